//! `purge`: the rosters of old billing periods go, their counts stay.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::places::{self, PlaceSettings};
use super::{print, stop};
use crate::cli::{PurgeArguments, SummaryFormat};
use crate::clock::{Clock as _, SystemClock};
use crate::exit::ExitStatus;
use crate::job::UsageError;
use crate::ledger::NothingPublished;
use crate::publish::{Publisher, PublisherSettings, PurgeTerms, ShrinkLimit};
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
    let output = places::open_whole_output(&arguments.output, rosters, &settings).await?;
    // Rosters from before the output was divided lie beside the counts, where nobody else looks for them.
    let beside = match rosters {
        Some(_) => Some(places::open(&arguments.output, &settings).await?),
        None => None,
    };
    let terms = PurgeTerms {
        beside,
        already_removed: arguments.already_removed,
        not_final_accepted: arguments.accept_not_final,
    };
    let expired = Expired::find(Arc::clone(&output), terms, expiry).await?;
    NothingPublished::unless(expired.holds_anything(), &output.describe())?;
    // What touches nothing needs no end.
    let stop = if arguments.dry_run { CancellationToken::new() } else { stop::on_signal()? };
    let deadline = Instant::now() + NO_DEADLINE;
    let lock_wait = LockWait { longest: arguments.lock_wait.0, deadline, stop: stop.clone() };
    let settings = PublisherSettings { shrink: ShrinkLimit::default(), lock_wait };
    let publisher = Publisher::new(Arc::clone(&output), settings, Arc::new(SystemClock));
    let report = if arguments.dry_run {
        expired.looked_at(&publisher).await
    } else {
        output.probe_writable().await?;
        let report = expired.purge(&publisher, &stop).await;
        output.finish().await;
        report
    };
    print(&match arguments.summary {
        SummaryFormat::Text => purged(&report),
        SummaryFormat::Json => serde_json::to_string_pretty(&report)?,
    })?;
    Ok(report.exit)
}
