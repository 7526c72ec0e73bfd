//! Verification: is what is published whole and unaltered?
//!
//! Everything is read again, to the last byte, and held against what vouches for it: files against their
//! manifest, rows against the digest of the content, the manifest against the one kept with its revision,
//! current copies, summary and closings against the manifests. What is wrong becomes a [`Finding`], never an error: only
//! a destination that cannot be listed at all stops the verification. No finding shows a value of a row.

mod closed;
mod content;
mod inventory;
mod report;
mod summary;
mod task;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use self::inventory::Inventory;
pub use self::report::{Finding, Totals, VerificationReport};
use self::task::{TaskVerifier, Verified};
use crate::guest::NetworkId;
use crate::period::BillingPeriod;
use crate::publish::layout::{self, TaskKey};
use crate::publish::summary_row::SummaryRow;
use crate::storage::destination::{Destination, DestinationError};

/// How often a task is verified again because a run replaced its manifest in the meantime.
const ATTEMPTS: u32 = 3;

/// What to verify; an empty set selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerificationFilter {
    /// Only these networks.
    pub networks: BTreeSet<NetworkId>,
    /// Only these periods.
    pub periods: BTreeSet<BillingPeriod>,
}

impl VerificationFilter {
    fn selects(&self, task: TaskKey) -> bool {
        (self.networks.is_empty() || self.networks.contains(&task.network))
            && (self.periods.is_empty() || self.periods.contains(&task.period))
    }

    fn is_everything(&self) -> bool {
        self.networks.is_empty() && self.periods.is_empty()
    }
}

/// Reads and checks everything that the filter selects. `now` tells what a run may be about to publish.
///
/// # Errors
/// [`DestinationError`] if the output cannot be listed; whatever else is wrong is in the report.
pub async fn verify(
    destination: Arc<dyn Destination>,
    filter: &VerificationFilter,
    now: DateTime<Utc>,
) -> Result<VerificationReport, DestinationError> {
    let inventory = Inventory::take(&*destination, now).await?;
    let mut report = VerificationReport::default();
    report_strays(&inventory, filter, &mut report);

    let mut published = Vec::new();
    for task in inventory.tasks.keys().copied().filter(|task| filter.selects(*task)) {
        if let Some(row) = verify_task(&destination, &inventory, task, now, &mut report).await? {
            published.push(row);
        }
    }
    report_absent(&*destination, filter, &published, &mut report);
    closed::verify(&*destination, &inventory, filter, &published, &mut report).await;
    let manifests = inventory.tasks.iter().filter(|(_, files)| files.manifest).map(|(task, _)| *task);
    let expected = summary::Expected { manifests: manifests.collect(), rows: published };
    summary::verify(&destination, &expected, filter, &mut report).await;
    report.findings.sort();
    Ok(report)
}

/// Verifies one task, again if a run published it anew while it was being read.
async fn verify_task(
    destination: &Arc<dyn Destination>,
    inventory: &Inventory,
    task: TaskKey,
    now: DateTime<Utc>,
    report: &mut VerificationReport,
) -> Result<Option<SummaryRow>, DestinationError> {
    let mut files = inventory.tasks.get(&task).cloned().unwrap_or_default();
    for attempt in 1.. {
        let verifier = TaskVerifier::new(destination.clone(), task);
        let Verified { mut found, row, version } = verifier.verify(&files).await;
        let is_stale = !found.is_clean() && verifier.version().await != version;
        if !is_stale || attempt == ATTEMPTS {
            report.append(&mut found);
            return Ok(row);
        }
        files = Inventory::take(&**destination, now).await?.tasks.remove(&task).unwrap_or_default();
    }
    unreachable!("the last attempt returns")
}

/// Reports what no manifest can own: files that this program never writes.
fn report_strays(inventory: &Inventory, filter: &VerificationFilter, report: &mut VerificationReport) {
    if filter.is_everything() {
        for path in &inventory.strays {
            report.find(
                path,
                "is no file of this program, below a folder that only it writes to",
                "move it away: engines that read the folder would read it too",
            );
        }
    }
}

/// Reports what was asked for and is not published: verifying nothing must not look like success.
fn report_absent(
    destination: &dyn Destination,
    filter: &VerificationFilter,
    published: &[SummaryRow],
    report: &mut VerificationReport,
) {
    const REMEDY: &str = "see whether this is the right output, and run the export if it is";
    let place = destination.describe();
    let is_published = |selects: &dyn Fn(TaskKey) -> bool| published.iter().any(|row| selects(row.task));
    if published.is_empty() && filter.is_everything() {
        report.find(&place, "holds no publication that could be read", REMEDY);
    }
    for network in &filter.networks {
        if filter.periods.is_empty() && !is_published(&|task| task.network == *network) {
            report.find(&place, format!("holds no publication of network {network}"), REMEDY);
        }
        for period in &filter.periods {
            let wanted = TaskKey::new(*network, *period);
            if !is_published(&|task| task == wanted) {
                report.find(layout::manifest(wanted), "does not exist or cannot be read", REMEDY);
            }
        }
    }
    for period in &filter.periods {
        if filter.networks.is_empty() && !is_published(&|task| task.period == *period) {
            report.find(&place, format!("holds no publication of period {period}"), REMEDY);
        }
    }
}

#[cfg(test)]
mod tests;
