//! The verification of a period's closing: it must be whole, and name what was published.
//!
//! It says what stood when the month was closed, so a later revision is no contradiction; the one that it names is held
//! against the manifest of that revision, where that is kept.

use std::cmp::Ordering;

use super::VerificationFilter;
use super::inventory::Inventory;
use super::report::VerificationReport;
use crate::publish::closed::{ClosedNetwork, read_closed};
use crate::publish::layout::{self, TaskKey};
use crate::publish::summary_row::SummaryRow;
use crate::publish::{read_manifest, read_revision_manifest};
use crate::storage::destination::Destination;

const REMEDY: &str = "restore it from a backup; or remove it and run `status` with --mark-closed, which closes the \
                      period anew with what is published now";

/// Checks the closing of each period that has one.
pub(super) async fn verify(
    destination: &dyn Destination,
    inventory: &Inventory,
    filter: &VerificationFilter,
    published: &[SummaryRow],
    report: &mut VerificationReport,
) {
    let selected = |period| filter.periods.is_empty() || filter.periods.contains(period);
    for period in inventory.closed.iter().filter(|period| selected(period)) {
        let path = layout::closed(*period);
        let closed = match read_closed(destination, *period).await {
            Ok(Some(Ok(closed))) => closed,
            Ok(Some(Err(reason))) => {
                report.find(path, reason, REMEDY);
                continue;
            }
            Ok(None) => continue,
            Err(error) => {
                report.find(path, format!("cannot be read: {error}"), "make it readable and verify again");
                continue;
            }
        };
        report.totals.files += 1;
        for network in &closed.networks {
            let task = TaskKey::new(network.network_id, *period);
            if !filter.selects(task) {
                continue;
            }
            if let Some(problem) = contradiction(destination, inventory, task, network, published).await {
                report.find(&path, problem, REMEDY);
            }
        }
    }
}

/// Says what is published otherwise than the closing says it was. A manifest that cannot be believed has findings of
/// its own.
async fn contradiction(
    destination: &dyn Destination,
    inventory: &Inventory,
    task: TaskKey,
    network: &ClosedNetwork,
    published: &[SummaryRow],
) -> Option<String> {
    let files = inventory.tasks.get(&task);
    if !files.is_some_and(|files| files.manifest) {
        return Some(format!("names network {}, which is not published for that period", task.network));
    }
    let row = published.iter().find(|row| row.task == task)?;
    let revision = row.published.as_ref()?.revision;
    let manifest = match i64::from(network.revision).cmp(&revision) {
        Ordering::Equal => read_manifest(destination, task).await,
        Ordering::Greater => {
            return Some(format!("names a later revision of network {} than is published", task.network));
        }
        Ordering::Less => {
            let kept = files?.revisions.keys().find(|name| name.number == network.revision)?;
            read_revision_manifest(destination, task, *kept).await
        }
    };
    let manifest = manifest.ok().flatten()?;
    (ClosedNetwork::of(&manifest) != *network).then(|| {
        format!("says something else of network {} than the manifest of that revision", task.network)
    })
}
