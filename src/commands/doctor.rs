//! `doctor`: will a run of this job succeed? One line a check, as soon as it is made.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;

use super::job::WrittenJob;
use super::places::{self, PlaceSettings};
use super::{metrics, print, source, stop};
use crate::checkpoint::StateLocation;
use crate::cli::{DoctorArguments, SummaryFormat};
use crate::clock::{Clock, SystemClock};
use crate::doctor::{
    Asker, Check, Diagnosis, SourceExamination, examine_place, examine_publications, free_space,
};
use crate::exit::ExitStatus;
use crate::export::TaskError;
use crate::job::{Job, MetricsSettings};
use crate::pacing::RetryPolicy;
use crate::period::BillingPeriod;
use crate::publish::SourceKind;
use crate::publish::divided::check_undivided;
use crate::storage::{Destination, DestinationError, LockWait, StoreUrl};

/// Whether the rosters are where this output has them.
const ROSTERS: &str = "rosters: output";
/// How long the sources are asked, at most: whoever looks on does not wait as long as a run may.
const LONGEST_QUESTIONS: Duration = Duration::from_mins(2);

pub(super) async fn doctor(arguments: DoctorArguments) -> anyhow::Result<ExitStatus> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let written = WrittenJob::read(&arguments.job)?;
    let metrics = written.metrics(&arguments.metrics)?;
    let name = written.name();
    let job = written.resolve(clock.now())?;
    let metrics = metrics.of_shard(job.shard);
    let stop = stop::on_signal()?;
    let mut telling = Telling { format: arguments.summary, checks: Vec::new() };
    telling.tell([told(&name, &job)])?;
    let examining = Box::pin(examine(&job, &metrics, &clock, &mut telling));
    let examined = stop.run_until_cancelled(examining).await;
    examined.ok_or(TaskError::Interrupted)??;
    let diagnosis = Diagnosis::of(telling.checks);
    print(&match arguments.summary {
        SummaryFormat::Text => diagnosis.to_string(),
        SummaryFormat::Json => serde_json::to_string_pretty(&diagnosis)?,
    })?;
    Ok(diagnosis.exit)
}

/// The checks so far, each of which people see at once.
struct Telling {
    format: SummaryFormat,
    checks: Vec<Check>,
}

impl Telling {
    fn tell(&mut self, checks: impl IntoIterator<Item = Check>) -> anyhow::Result<()> {
        for check in checks {
            if self.format == SummaryFormat::Text {
                print(&check.to_string())?;
            }
            self.checks.push(check);
        }
        Ok(())
    }
}

/// Looks at everything in the order in which a run meets it.
async fn examine(
    job: &Job,
    metrics: &MetricsSettings,
    clock: &Arc<dyn Clock>,
    telling: &mut Telling,
) -> anyhow::Result<()> {
    let settings = PlaceSettings::of(job);
    let [output, rosters, state] = Box::pin(open_places(job, &settings, telling)).await?;
    if let (Some(output), Some(state)) = (&output, &state) {
        let state = StateLocation::new(state.clone(), LockWait::none());
        if let Err(error) = places::keep_apart(&state, &**output) {
            telling.tell([Check::failed("state", ExitStatus::Usage, error.to_string()).ending_the_run()])?;
        }
    }
    let answered = examine_sources(job, clock, telling).await?;
    let output = match (output, rosters, &job.roster_output) {
        (Some(counts), Some(rosters), Some(_)) => divided(counts, rosters, telling).await?,
        (Some(output), None, None) => {
            if let Err(error) = check_undivided(&*output).await {
                telling.tell([misplaced(&error)])?;
            }
            Some(output)
        }
        _ => None,
    };
    if let Some(output) = output {
        telling.tell(examine_publications(output, answered, clock.clone()).await)?;
    }
    telling.tell(metrics::examine(metrics).await)
}

/// Makes one output of two places, if they may be one.
async fn divided(
    counts: Arc<dyn Destination>,
    rosters: Arc<dyn Destination>,
    telling: &mut Telling,
) -> anyhow::Result<Option<Arc<dyn Destination>>> {
    let divided = match places::divide(counts, rosters) {
        Ok(divided) => divided,
        Err(error) => {
            let check = Check::failed(ROSTERS, ExitStatus::Usage, error.to_string());
            telling.tell([check.ending_the_run()])?;
            return Ok(None);
        }
    };
    telling.tell([match divided.check_owner().await {
        Ok(()) => Check::passed(ROSTERS, "no other output has its rosters there"),
        Err(error) => misplaced(&error),
    }])?;
    Ok(Some(Arc::new(divided)))
}

fn misplaced(error: &DestinationError) -> Check {
    Check::failed(ROSTERS, ExitStatus::of_destination(error), error.to_string()).ending_the_run()
}

fn told(name: &str, job: &Job) -> Check {
    let periods: Vec<String> = job.periods.iter().map(|selected| selected.period.to_string()).collect();
    let periods = match periods.as_slice() {
        [] => "no period to export now".to_owned(),
        [first, .., last] => format!("{} periods from {first} to {last}", periods.len()),
        [period] => period.clone(),
    };
    let formats: Vec<&str> = job.formats.iter().map(|format| format.name()).collect();
    let sources = match job.sources.len() {
        1 => String::new(),
        several => format!(" from {several} sources"),
    };
    Check::passed("job", format!("{name}: {periods}{sources}, as {}", formats.join(" and ")))
}

/// Opens and tries the output, the place of its rosters, and the state location, those that there are.
async fn open_places(
    job: &Job,
    settings: &PlaceSettings,
    telling: &mut Telling,
) -> anyhow::Result<[Option<Arc<dyn Destination>>; 3]> {
    let named = [
        ("output", Some(job.output.as_str())),
        ("rosters", job.roster_output.as_deref()),
        ("state", job.resume.state.as_deref()),
    ];
    let in_store = |text: &str| matches!(StoreUrl::parse(text), Ok(Some(_)));
    let stores = named.iter().filter_map(|(_, text)| *text).filter(|text| in_store(text));
    if let Some(caller) = places::caller(stores.clone(), settings).await {
        let check = match caller {
            Ok(caller) => match caller.identity(Utc::now()).await {
                Ok(found) => Check::passed("stores: credentials", found.to_string()),
                Err(error) => Check::warning("stores: credentials", error.to_string()),
            },
            Err(error) => Check::failed("stores: credentials", ExitStatus::of(&error), format!("{error:#}")),
        };
        telling.tell([check])?;
    }
    let mut opened = [None, None, None];
    for ((name, text), place) in named.into_iter().zip(&mut opened) {
        let Some(text) = text else {
            if name == "state" {
                let lost = "an interrupted run keeps nothing: the next one begins anew";
                telling.tell([Check::warning(name, format!("none; {lost}"))])?;
            }
            continue;
        };
        match places::open(text, settings).await {
            Ok(found) => {
                let checks = examine_place(name, &found, settings.kms_key.as_deref()).await;
                // A state location is not missed before there is something to keep.
                let told =
                    |check: Check| if name == "state" { unkept(check) } else { check.ending_the_run() };
                telling.tell(checks.into_iter().map(told))?;
                *place = Some(found);
            }
            Err(error) => {
                let check = Check::failed(name, ExitStatus::of(&error), format!("{error:#}"));
                telling.tell([check.ending_the_run()])?;
            }
        }
    }
    if stores.count() > 0 {
        telling.tell([free_space("temporary files: disk", &std::env::temp_dir())])?;
    }
    Ok(opened)
}

/// A list that fits into memory is exported without a state location, a longer one ends there.
fn unkept(check: Check) -> Check {
    match check.exit {
        Some(exit) => {
            let message = format!(
                "{}; a list that does not fit into memory would end with {}",
                check.message,
                exit.code()
            );
            Check::warning(check.name, message)
        }
        None => check,
    }
}

/// Asks all sources, and returns what kind they are, if any has answered.
async fn examine_sources(
    job: &Job,
    clock: &Arc<dyn Clock>,
    telling: &mut Telling,
) -> anyhow::Result<Option<SourceKind>> {
    let opened = match source::open(job, clock).await {
        Ok(opened) => opened,
        Err(error) => {
            let check = Check::failed("sources", ExitStatus::of(&error), format!("{error:#}"));
            telling.tell([check.ending_the_run()])?;
            return Ok(None);
        }
    };
    let deadline = Instant::now() + job.deadline.min(LONGEST_QUESTIONS);
    let today = job.as_of.unwrap_or_else(|| clock.now());
    let selected = job.periods.first().map(|selected| selected.period);
    let examination = SourceExamination {
        policy: RetryPolicy { attempts: job.request_attempts, deadline },
        clock: clock.clone(),
        at_once: job.concurrency,
        shard: job.shard,
        period: selected.unwrap_or_else(|| BillingPeriod::containing(today).plus_months(-1)),
    };
    let askers: Vec<Asker<'_>> = opened
        .sources
        .iter()
        .zip(&opened.callers)
        .map(|((source, wanted), caller)| Asker { source, wanted, caller: caller.as_ref() })
        .collect();
    telling.tell(examination.examine(&askers).await)?;
    match opened.kind_that_answered() {
        Ok(answered) => Ok(answered),
        Err(error) => {
            let check = Check::failed("sources", ExitStatus::Usage, error.to_string());
            telling.tell([check.ending_the_run()])?;
            Ok(None)
        }
    }
}
