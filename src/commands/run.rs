//! `run`: from a job to published rosters and a summary.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use futures::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::conclusion::{Conclusion, Panicked};
use super::job::WrittenJob;
use super::places::{self, PlaceSettings};
use super::{print, source, stop};
use crate::checkpoint::StateLocation;
use crate::cli::{RunArguments, SummaryFormat};
use crate::clock::{Clock, SystemClock};
use crate::error_chain::error_chain;
use crate::exit::ExitStatus;
use crate::export::{
    DescribedSources, Description, ExportContext, Exported, FailedSource, KnownNetworks, Source, Task,
    TaskError,
};
use crate::job::{Job, NetworkScope, Networks, OnMismatch};
use crate::ledger::{Closing, Ledger};
use crate::pacing::{RequestCount, RetryPolicy};
use crate::publish::{
    AttemptedTask, Publisher, PublisherSettings, SourceKind, Summary, TaskKey, layout, read_manifest,
};
use crate::report::closing::closed_by;
use crate::report::{FailedSourceSummary, RunFacts, RunSummary, ShardSummary, TaskSummary, table};
use crate::roster::RunBound;
use crate::storage::LockWait;
use crate::telemetry::ProgressBars;

/// What the tasks hold of guests, in bytes, before they write it down: one alone, or several together. While one of
/// several is encoded, which takes as much again, the others go on.
const MEMORY_OF_ONE: usize = 32 * 1024 * 1024;
const MEMORY_OF_SEVERAL: usize = 12 * 1024 * 1024;

/// Runs to the end, and leaves in `conclusion` what there is to tell of it, however it ends.
pub(super) async fn run(
    arguments: RunArguments,
    bars: Option<ProgressBars>,
    conclusion: &mut Conclusion,
) -> anyhow::Result<ExitStatus> {
    let ended = AssertUnwindSafe(stoppable(arguments, bars, conclusion)).catch_unwind().await;
    let result = ended.unwrap_or_else(|_payload| Err(Panicked.into()));
    conclusion.tell_metrics(&result).await;
    result
}

/// Exports until it is told to stop; then it may take some time yet, and no more.
async fn stoppable(
    arguments: RunArguments,
    bars: Option<ProgressBars>,
    conclusion: &mut Conclusion,
) -> anyhow::Result<ExitStatus> {
    let started_at = SystemClock.now();
    let job = resolve(&arguments, started_at, conclusion)?;
    let stop = stop::on_signal()?;
    conclusion.stop = stop.clone();
    let (deadline, grace) = (Instant::now() + job.deadline, job.shutdown_grace);
    let exporting = export_job(arguments, job, started_at, deadline, bars, conclusion);
    match stop::within(&stop, grace, Box::pin(exporting)).await {
        Some(ended) => ended,
        None => Err(TaskError::OutOfGrace(grace).into()),
    }
}

async fn export_job(
    arguments: RunArguments,
    job: Job,
    started_at: DateTime<Utc>,
    deadline: Instant,
    bars: Option<ProgressBars>,
    conclusion: &mut Conclusion,
) -> anyhow::Result<ExitStatus> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stop = conclusion.stop.clone();
    let place = PlaceSettings::of(&job);
    let destination = places::open_whole_output(&job.output, job.roster_output.as_deref(), &place).await?;
    let lock_wait = LockWait { longest: job.lock_wait, deadline, stop: stop.clone() };
    let state = places::open_state(&job, &place, &lock_wait).await?;
    if let Some(state) = &state {
        places::keep_apart(state, destination.as_ref())?;
    }
    if !arguments.dry_run {
        destination.probe_writable().await?;
    }
    let settings = PublisherSettings { shrink: job.shrink, lock_wait: lock_wait.clone() };
    let publisher = Publisher::new(destination, settings, clock.clone());
    if !arguments.dry_run && job.is_simulated() {
        publisher.check_source(SourceKind::Simulator).await?;
    }

    let opened = source::open(&job, &clock).await?;
    let policy = RetryPolicy { attempts: job.request_attempts, deadline };
    let description = Description {
        policy,
        clock: clock.clone(),
        at_once: job.concurrency,
        shard: job.shard,
        lists_only: arguments.dry_run,
    };
    let described = stop.run_until_cancelled(description.of(&opened.sources)).await;
    let DescribedSources { networks, failed, asked, of_networks } =
        described.ok_or(TaskError::Interrupted)??;
    conclusion.asked_first = asked;
    let share = share_of(&job, networks.len(), of_networks);
    let failed = failures_beside_others(failed, &opened.sources)?;

    let tasks = tasks(&job, &networks);
    let bound = run_bound(&job, &networks);
    let context = Arc::new(ExportContext {
        job,
        policy,
        clock: clock.clone(),
        publisher,
        networks,
        bars,
        state,
        bound,
        encoding: Semaphore::new(1),
        stop,
    });
    if arguments.dry_run {
        return dry_run(&context, &opened.sources, &tasks, &failed, share).await;
    }
    // What answers is known by now: numbers of another kind of source are not even looked at.
    if let Some(kind) = opened.kind_that_answered()? {
        context.publisher.check_source(kind).await?;
    }
    let (summaries, mut statuses) = export_all(&context, tasks).await;
    statuses.extend(failed.iter().map(|failed| ExitStatus::of_source(&failed.error)));
    let exit = ExitStatus::of_all(statuses);
    if !summaries.is_empty() {
        update_summary(&context, &summaries).await;
    }
    // Whoever exports a part knows nothing of the rest.
    if failed.is_empty() && share.is_none() && context.job.scope != NetworkScope::Picked {
        close_periods(&context, &summaries).await;
    }
    // What a source that was left out has published is not known here, nor what it has not.
    if failed.is_empty() {
        conclusion.find_unclosed(&context, &summaries).await;
    }
    clean_up(&context).await;
    let facts = RunFacts {
        run_id: conclusion.run_id,
        output: context.publisher.destination().describe(),
        as_of: context.job.decided_at.trunc_subsecs(0),
        started_at: started_at.trunc_subsecs(0),
        finished_at: clock.now().trunc_subsecs(0),
        shard: share,
        asked,
    };
    let failed = failed.iter().map(FailedSourceSummary::of).collect();
    let run_summary = RunSummary::new(facts, summaries, failed, exit);
    let run_summary = conclusion.summary.insert(run_summary);
    let printed = print(&match arguments.summary {
        SummaryFormat::Text => table(run_summary),
        SummaryFormat::Json => serde_json::to_string_pretty(run_summary)?,
    });
    match printed {
        Err(error) if exit == ExitStatus::Success => Err(error.into()),
        Ok(()) | Err(_) => Ok(exit),
    }
}

/// Works out what the command line and the job file mean, where metrics go first of all.
fn resolve(arguments: &RunArguments, now: DateTime<Utc>, conclusion: &mut Conclusion) -> anyhow::Result<Job> {
    let written = WrittenJob::read(&arguments.job)?;
    let metrics = written.metrics(&arguments.metrics)?;
    conclusion.metrics = (!arguments.dry_run && metrics.go_somewhere()).then_some(metrics);
    let job = written.resolve(now)?;
    conclusion.metrics = conclusion.metrics.take().map(|metrics| metrics.of_shard(job.shard));
    Ok(job)
}

/// Says which share of the networks falls to this process, if it is not all of them.
fn share_of(job: &Job, networks: usize, of_networks: usize) -> Option<ShardSummary> {
    let share = ShardSummary { shard: job.shard, networks, of_networks };
    if job.shard.is_whole() {
        return None;
    }
    tracing::info!(
        shard = %share.shard,
        networks,
        of_networks,
        max_requests_per_second = job.max_requests_per_second,
        "share of the networks"
    );
    Some(share)
}

/// Says which sources are left out. The failure of an only one is that of the run.
fn failures_beside_others(
    mut failed: Vec<FailedSource>,
    sources: &[(Arc<Source>, Networks)],
) -> anyhow::Result<Vec<FailedSource>> {
    if sources.len() == 1
        && let Some(failed) = failed.pop()
    {
        return Err(failed.error.into());
    }
    for FailedSource { source, error } in &failed {
        let exit_code = ExitStatus::of_source(error).code();
        tracing::error!(%source, exit_code, error = %error_chain(error), "source failed");
    }
    Ok(failed)
}

/// Divides the memory among the tasks that run at once.
fn run_bound(job: &Job, known: &KnownNetworks) -> RunBound {
    let mut tasks_by_source = BTreeMap::new();
    for network in known.values() {
        *tasks_by_source.entry(network.source.number).or_insert(0) += job.periods.len();
    }
    let at_once = tasks_by_source.into_values().map(|tasks| job.concurrency.min(tasks)).sum();
    let bytes = match at_once {
        0 | 1 => MEMORY_OF_ONE,
        at_once => MEMORY_OF_SEVERAL / at_once,
    };
    RunBound { rows: job.resume.rows, bytes }
}

/// Leaves both places to others: without what nobody wants, and with every lock given back.
async fn clean_up(context: &ExportContext) {
    if let Some(state) = &context.state {
        remove_expired(state, context.clock.now()).await;
        state.finish().await;
    }
    context.publisher.destination().finish().await;
}

/// Removes what runs of other jobs left and nobody will go on with. A failure is said and changes nothing else.
async fn remove_expired(state: &StateLocation, now: DateTime<Utc>) {
    match state.remove_expired(now).await {
        Ok(expired) => {
            for (TaskKey { network, period }, removed) in expired {
                match removed {
                    Ok(()) => {
                        tracing::warn!(
                            %network,
                            %period,
                            "unfinished walk removed, it is too old for any job to go on with"
                        );
                    }
                    Err(error) => tracing::warn!(%network, %period, %error, "old state not removed"),
                }
            }
        }
        Err(error) => {
            tracing::warn!(error = %error_chain(&error), "old state not removed");
        }
    }
}

fn tasks(job: &Job, known: &KnownNetworks) -> Vec<Task> {
    let of_network = |network| {
        job.periods.iter().map(move |selected| Task {
            key: TaskKey::new(network, selected.period),
            only_if_missing: selected.only_if_missing,
        })
    };
    known.keys().flat_map(|network| of_network(*network)).collect()
}

/// Exports all tasks, as many of a source at once as the job allows; none of them stops another.
async fn export_all(context: &Arc<ExportContext>, tasks: Vec<Task>) -> (Vec<TaskSummary>, Vec<ExitStatus>) {
    let mut running = JoinSet::new();
    let mut waiting = std::collections::HashMap::new();
    for task in tasks {
        let (context, turns) = (context.clone(), context.source_of(task.key).turns.clone());
        // Of the level of errors, so that every line of a task names it, however few lines are wanted.
        let span = tracing::error_span!("task", network = %task.key.network, period = %task.key.period);
        let work = async move {
            let _turn = turns.acquire_owned().await.expect("the semaphore is never closed");
            // Made when its turn comes: it takes many kilobytes, and thousands may wait.
            Box::pin(context.export(task)).await
        };
        let handle = running.spawn(work.instrument(span));
        waiting.insert(handle.id(), task);
    }
    let (mut summaries, mut statuses) = (Vec::new(), Vec::new());
    while let Some(joined) = running.join_next_with_id().await {
        let (id, (result, count)) = match joined {
            Ok(ended) => ended,
            Err(panic) => (panic.id(), (Err(TaskError::Panicked), RequestCount::default())),
        };
        let task = waiting.remove(&id).expect("every task is waited for once");
        let (summary, status) = sum_up(context, task, result, count);
        statuses.push(status);
        summaries.push(summary);
    }
    (summaries, statuses)
}

fn sum_up(
    context: &ExportContext,
    task: Task,
    result: Result<Exported, TaskError>,
    count: RequestCount,
) -> (TaskSummary, ExitStatus) {
    let network = context.network_of(task.key);
    let source = network.source.number;
    match result {
        Ok(exported) => {
            let fails = context.job.on_mismatch == OnMismatch::Fail;
            let summary = TaskSummary::of(&exported, source, count, fails);
            let status = if summary.exit_code == 0 { ExitStatus::Success } else { ExitStatus::Refused };
            tracing::info!(
                network = %task.key.network,
                period = %task.key.period,
                status = summary.status.as_str(),
                guests = summary.guests,
                "task done"
            );
            (summary, status)
        }
        Err(error) => {
            let status = ExitStatus::of_task(&error);
            let TaskKey { network: id, period } = task.key;
            let error_text = error_chain(&error);
            tracing::error!(network = %id, %period, exit_code = status.code(), error = error_text, "task failed");
            let state = context.state_of(task.key);
            let name = network.facts.as_ref().ok().and_then(|facts| facts.name.clone());
            (TaskSummary::of_failure(task, source, state, name, count, &error), status)
        }
    }
}

/// How long a run that has reached its deadline still waits for the summary, which others hold for moments.
const SUMMARY_WAIT: Duration = Duration::from_secs(10);

/// Brings the file that finance opens up to date. It is derived from the manifests, so a failure is said and
/// changes nothing else: the next run makes it good.
async fn update_summary(context: &ExportContext, tasks: &[TaskSummary]) {
    let attempted: Vec<AttemptedTask> = tasks
        .iter()
        .map(|task| {
            let key = TaskKey::new(task.network_id, task.billing_period);
            let network = context.network_of(key);
            let known = network.facts.as_ref().ok();
            AttemptedTask {
                task: key,
                period_state: task.period_state,
                aws_account_id: known.and_then(|facts| facts.aws_account_id.clone()),
                region: Some(network.source.endpoint.region.clone()),
                network_name: known.and_then(|facts| facts.name.clone()),
            }
        })
        .collect();
    let destination = context.publisher.destination().clone();
    let deadline = context.policy.deadline.max(Instant::now() + SUMMARY_WAIT);
    // Shares of a job end at about the same time, and each of them has its rows to add.
    let longest = if context.job.shard.is_whole() { context.job.lock_wait } else { context.job.deadline };
    let lock_wait = LockWait { longest, deadline, stop: context.stop.clone() };
    let summary = Summary::new(destination, context.job.csv, lock_wait);
    if let Err(error) = summary.merge(&attempted).await {
        tracing::warn!(error = %error_chain(&error), "summary not updated");
    }
}

/// Gives the event that a month's numbers are all there, where this run has exported all of them. A failure is said
/// and changes nothing else: the next run makes it good.
async fn close_periods(context: &ExportContext, tasks: &[TaskSummary]) {
    let output = &**context.publisher.destination();
    let all = context.job.scope == NetworkScope::All;
    for (period, closing) in Ledger::close_exported(output, closed_by(tasks), all, context.clock.now()).await
    {
        match closing {
            Ok(Closing::Closed(closed)) => {
                tracing::info!(%period, networks = closed.networks.len(), "period marked closed");
            }
            Ok(Closing::ClosedBefore) => {}
            Ok(Closing::Waits(awaited)) => {
                tracing::info!(%period, awaited = %awaited, "period not marked closed yet");
            }
            Err(error) => tracing::warn!(%period, error = %error_chain(&error), "period not marked closed"),
        }
    }
}

/// Says what would be done, task by task, and where it would go.
async fn dry_run(
    context: &ExportContext,
    sources: &[(Arc<Source>, Networks)],
    tasks: &[Task],
    failed: &[FailedSource],
    share: Option<ShardSummary>,
) -> anyhow::Result<ExitStatus> {
    let destination = context.publisher.destination();
    let mut lines = Vec::new();
    for task in tasks {
        let state = context.state_of(task.key);
        let published = read_manifest(destination.as_ref(), task.key).await?;
        let plan = match &published {
            Some(manifest) if context.is_settled(*task, manifest) => {
                format!("keep revision {} ({} guests)", manifest.revision, manifest.counts.guests)
            }
            Some(manifest) => {
                format!("walk again; revision {} has {} guests", manifest.revision, manifest.counts.guests)
            }
            None => "walk and publish".to_owned(),
        };
        let kept = context.kept_rows(task.key).await;
        let kept = kept
            .map(|rows| {
                format!(" (an interrupted run has left {rows} rows, to go on from if they still fit)")
            })
            .unwrap_or_default();
        let place = layout::manifest(task.key);
        lines.push(format!("{} {} {state}: {plan}{kept} -> {place}", task.key.network, task.key.period));
    }
    lines.extend(share.map(|share| share.to_string()));
    for FailedSource { source, error } in failed {
        lines.push(format!("failed: {source}: {}", error_chain(error)));
    }
    let endpoints: BTreeSet<&str> = sources.iter().map(|(source, _)| source.endpoint_name()).collect();
    lines.push(format!(
        "Dry run: nothing was walked or written. {} would be asked, and files would go to {}",
        endpoints.into_iter().collect::<Vec<_>>().join(", "),
        destination.describe()
    ));
    print(&lines.join("\n"))?;
    Ok(ExitStatus::of_all(failed.iter().map(|failed| ExitStatus::of_source(&failed.error))))
}
