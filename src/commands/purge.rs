//! `purge`: the rosters of old billing periods go, their counts stay.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::places::{self, PlaceSettings};
use super::{print, stop};
use crate::cli::{PurgeArguments, SummaryFormat};
use crate::clock::{Clock as _, SystemClock};
use crate::exit::ExitStatus;
use crate::job::UsageError;
use crate::publish::{Publisher, PublisherSettings, ShrinkLimit};
use crate::report::purged;
use crate::retention::{Expired, Expiry};
use crate::storage::LockWait;

/// Each wait for a lock has its limit; there is none for all of them.
const NO_DEADLINE: Duration = Duration::from_hours(24 * 365);

pub(super) async fn purge(arguments: PurgeArguments) -> anyhow::Result<ExitStatus> {
    let expiry = Expiry::before(arguments.rosters_before, SystemClock.now(), arguments.settle_days)
        .map_err(|error| UsageError(error.to_string()))?;
    let settings = PlaceSettings::default();
    let rosters = arguments.roster_url.as_deref();
    let output = places::open_output(&arguments.output, rosters, &settings).await?;
    // Rosters from before the output was divided lie beside the counts, where nobody else looks for them.
    let beside = match rosters {
        Some(_) => Some(places::open(&arguments.output, &settings).await?),
        None => None,
    };
    let expired = Expired::find(Arc::clone(&output), beside, expiry).await?.ok_or_else(|| {
        UsageError(format!(
            "{} holds nothing that was published; see whether this is the right output",
            output.describe()
        ))
    })?;
    let report = if arguments.dry_run {
        expired.looked_at(arguments.already_removed).await?
    } else {
        output.probe_writable().await?;
        let stop = stop::on_signal()?;
        let longest = arguments.lock_wait.0;
        let deadline = Instant::now() + NO_DEADLINE;
        let lock_wait = LockWait { longest, deadline, stop: stop.clone() };
        let settings = PublisherSettings { shrink: ShrinkLimit::default(), lock_wait };
        let publisher = Publisher::new(Arc::clone(&output), settings, Arc::new(SystemClock));
        let report = expired.purge(&publisher, arguments.already_removed, &stop).await;
        output.finish().await;
        report
    };
    print(&match arguments.summary {
        SummaryFormat::Text => purged(&report),
        SummaryFormat::Json => serde_json::to_string_pretty(&report)?,
    })?;
    Ok(report.exit)
}
