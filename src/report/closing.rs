//! Which period is still to be closed: what the month's end waits for, and what time runs out for.
//!
//! A period counts as closed once every network of the run has a manifest of its closed state. What a task that failed
//! has left published stands in its manifest, so that one failure does not reopen a month.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{TaskStatus, TaskSummary};
use crate::evidence::HISTORY_DAYS;
use crate::guest::NetworkId;
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::{MANIFESTS_AT_ONCE, PublishError, read_manifest};
use crate::storage::Destination;
use crate::task::TaskKey;

/// Finds the oldest period of a run that is not published as closed; if all are, the next one to close, which the
/// run had no reason to name.
///
/// # Errors
/// [`PublishError`] if a manifest that decides cannot be read.
pub async fn oldest_unclosed(
    destination: &dyn Destination,
    tasks: &[TaskSummary],
    now: DateTime<Utc>,
    settle_days: u32,
) -> Result<BillingPeriod, PublishError> {
    let mut periods: BTreeMap<BillingPeriod, Vec<&TaskSummary>> = BTreeMap::new();
    for task in tasks {
        periods.entry(task.billing_period).or_default().push(task);
    }
    for (period, tasks) in periods {
        let (failed, done): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| task.status == TaskStatus::Failed);
        if done.iter().any(|task| task.period_state != PeriodState::Closed) {
            return Ok(period);
        }
        let keys = failed.into_iter().map(|task| TaskKey::new(task.network_id, period));
        let mut manifests =
            stream::iter(keys).map(|key| read_manifest(destination, key)).buffer_unordered(MANIFESTS_AT_ONCE);
        while let Some(manifest) = manifests.try_next().await? {
            if manifest.is_none_or(|manifest| manifest.period_state != PeriodState::Closed) {
                return Ok(period);
            }
        }
    }
    Ok(BillingPeriod::containing(now - TimeDelta::days(i64::from(settle_days))))
}

/// Lists the periods of a run that are published as closed for all of its networks, with these. A task that failed
/// speaks for nothing, whatever was published of it before.
#[must_use]
pub fn closed_by(tasks: &[TaskSummary]) -> BTreeMap<BillingPeriod, BTreeSet<NetworkId>> {
    let is_closed =
        |task: &TaskSummary| task.status != TaskStatus::Failed && task.period_state == PeriodState::Closed;
    let others: BTreeSet<BillingPeriod> =
        tasks.iter().filter(|task| !is_closed(task)).map(|task| task.billing_period).collect();
    let mut closed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for task in tasks.iter().filter(|task| !others.contains(&task.billing_period)) {
        closed.entry(task.billing_period).or_default().insert(task.network_id);
    }
    closed
}

/// Returns when the service's count history no longer covers a period, so that only two walks can confirm it.
#[must_use]
pub fn history_horizon(period: BillingPeriod) -> DateTime<Utc> {
    period.start() + TimeDelta::days(HISTORY_DAYS)
}
