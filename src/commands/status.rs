//! `status`: what is open, closed, missing, about to be lost?
//!
//! A job is read for what it says of networks and places alone, so that whoever looks needs neither its pseudonym key nor
//! the index of its pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::places::{self, PlaceSettings};
use super::{print, source};
use crate::cli::{StatusArguments, SummaryFormat};
use crate::clock::{Clock, SystemClock};
use crate::exit::ExitStatus;
use crate::export::Description;
use crate::job::{Job, JobDefinition, JobOverrides, Networks, UsageError};
use crate::ledger::{Ledger, NothingPublished};
use crate::pacing::RetryPolicy;
use crate::period::{DEFAULT_SETTLE_DAYS, PeriodSelector};
use crate::status::{KnownNetworks, StatusQuestion, close_periods, today};

/// How long the sources are asked, at most: whoever looks on does not wait as long as a run may.
const LONGEST_QUESTIONS: Duration = Duration::from_mins(2);

pub(super) async fn status(arguments: StatusArguments) -> anyhow::Result<ExitStatus> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let job = job(&arguments, clock.now())?;
    let place = job.as_ref().map(PlaceSettings::of).unwrap_or_default();
    let output = places::open_output(&arguments.output, None, &place).await?;
    if arguments.mark_closed && arguments.networks.is_empty() && job.is_none() {
        return Err(UsageError(
            "--mark-closed wants to know all networks of a month; name them with --networks, ask AWS for them with \
             --networks all, or give the job with --job"
                .to_owned(),
        )
        .into());
    }
    let mut ledger = Ledger::read(&*output, |_| true).await?;
    NothingPublished::unless(!ledger.is_empty(), &output.describe())?;
    let known = known(&arguments.networks, job.as_ref(), &clock).await?;
    let as_of = arguments.as_of.or_else(|| job.as_ref()?.as_of);
    let now = today(&ledger, as_of, clock.now()).map_err(|error| UsageError(error.to_string()))?;
    let of_job = || job.as_ref().map_or(DEFAULT_SETTLE_DAYS, |job| job.settle_days);
    let settle_days = arguments.settle_days.unwrap_or_else(of_job);
    let mut question = StatusQuestion {
        periods: BTreeSet::new(),
        known,
        gone: arguments.gone.into_iter().collect(),
        now,
        settle_days,
    };
    for selector in &arguments.period {
        let selected = selector.select(now, settle_days).map_err(|error| UsageError(error.to_string()))?;
        question.periods.extend(selected.into_iter().map(|selected| selected.period));
    }
    question.check_gone(&ledger).map_err(|error| UsageError(error.to_string()))?;
    let awaited = if arguments.mark_closed {
        close_periods(&*output, &mut ledger, &question, clock.now()).await?
    } else {
        BTreeMap::new()
    };
    let status = question.answer(output.describe(), &ledger, &awaited);
    output.finish().await;
    print(&match arguments.summary {
        SummaryFormat::Text => status.table(arguments.mark_closed),
        SummaryFormat::Json => serde_json::to_string_pretty(&status)?,
    })?;
    Ok(status.exit())
}

/// Reads the job, or makes one of the flags where somebody has to be asked.
fn job(arguments: &StatusArguments, now: DateTime<Utc>) -> anyhow::Result<Option<Job>> {
    let asks = arguments.networks.contains(&Networks::All);
    let (definition, name) = match &arguments.job {
        Some(path) => (JobDefinition::read(path)?, format!("job file {}", path.display())),
        None if asks => (JobDefinition::default(), "command line".to_owned()),
        None => return Ok(None),
    };
    let names_networks = definition.sources.0.iter().any(|source| source.networks.is_some());
    let overrides = JobOverrides {
        // Those that are named need not be the job's: a month may have had others.
        networks: if asks || !names_networks { arguments.networks.clone() } else { Vec::new() },
        output: Some(arguments.output.clone()),
        as_of: arguments.as_of,
        // It asks for no guests.
        periods: vec![PeriodSelector::Current],
        ..arguments.service.overrides()
    };
    let variable = |name: &str| std::env::var(name).ok();
    Job::resolve(overrides, definition.for_looking_only(), now, variable).map(Some).context(name)
}

/// Finds out which networks there are, if anybody says so: those that are named, or those of the job.
async fn known(
    named: &[Networks],
    job: Option<&Job>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<KnownNetworks>> {
    let ids = named.iter().flat_map(|networks| match networks {
        Networks::Listed(ids) => ids.clone(),
        Networks::All | Networks::Among(_) => Vec::new(),
    });
    let ids: KnownNetworks = ids.map(|id| (id, None)).collect();
    match job {
        None if ids.is_empty() => Ok(None),
        Some(job) if ids.is_empty() => Ok(Some(ask(job, clock).await?)),
        None | Some(_) => Ok(Some(ids)),
    }
}

/// Asks the sources of a job which networks they have. One that does not say leaves the answer unknown.
async fn ask(job: &Job, clock: &Arc<dyn Clock>) -> anyhow::Result<KnownNetworks> {
    let opened = source::open(job, clock).await?;
    let deadline = Instant::now() + job.deadline.min(LONGEST_QUESTIONS);
    let description = Description {
        policy: RetryPolicy { attempts: job.request_attempts, deadline },
        clock: clock.clone(),
        at_once: job.concurrency,
        shard: job.shard,
        lists_only: true,
    };
    let described = description.of(&opened.sources).await?;
    if let Some(failed) = described.failed.into_iter().next() {
        return Err(anyhow::Error::from(failed.error).context(failed.source.to_string()));
    }
    let name = |known: crate::export::KnownNetwork| known.facts.ok().and_then(|facts| facts.name);
    Ok(described.networks.into_iter().map(|(network, known)| (network, name(known))).collect())
}
