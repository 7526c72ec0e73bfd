//! Which manifests are lost: something shows that a network was published for a month, and its manifest is not there.
//!
//! The files that show it are those by which the publisher refuses to publish such a task ([`Place::shows_publication`]),
//! and the closing of its month. Rosters are not listed: whoever may read counts need not be one who may see them, and
//! no publication is without counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::dataset::Dataset;
use crate::period::BillingPeriod;
use crate::publish::ClosedPeriod;
use crate::publish::layout::{self, Place, TaskKey};
use crate::storage::{Destination, DestinationError, RelativePath};

/// Lists what shows that something was published, one file for each.
///
/// # Errors
/// [`DestinationError`] if the output does not answer. Folders that may not be listed show nothing.
pub(super) async fn remains(
    output: &dyn Destination,
) -> Result<BTreeMap<TaskKey, RelativePath>, DestinationError> {
    let mut remains = BTreeMap::new();
    for folder in [layout::current_copies(Dataset::GuestCounts), layout::revisions()] {
        let files = match output.list(&folder).await {
            Ok(listing) => listing.files,
            Err(error @ (DestinationError::Refused { .. } | DestinationError::Unauthorized { .. })) => {
                tracing::warn!(%error, "manifests that are lost are not all found");
                continue;
            }
            Err(error) => return Err(error),
        };
        for file in files {
            let Some(place) = Place::of(&file.path).filter(Place::shows_publication) else { continue };
            if let Some(task) = place.task() {
                remains.entry(task).or_insert(file.path);
            }
        }
    }
    Ok(remains)
}

/// Returns what was published and has no manifest, and what is to be said of each.
pub(super) fn lost(
    remains: BTreeMap<TaskKey, RelativePath>,
    closings: &BTreeMap<BillingPeriod, Result<ClosedPeriod, String>>,
    manifests: &BTreeSet<TaskKey>,
) -> BTreeMap<TaskKey, String> {
    let mut shown = remains;
    for closed in closings.values().flatten() {
        for network in &closed.networks {
            let task = TaskKey::new(network.network_id, closed.billing_period);
            shown.entry(task).or_insert_with(|| layout::closed(closed.billing_period));
        }
    }
    shown.retain(|task, _| !manifests.contains(task));
    let reason = |task, shown| {
        format!(
            "{} is gone, but {shown} shows that it was published; restore the manifest from the manifest.json of the newest \
             revision below {}",
            layout::manifest(task),
            layout::task_revisions(task)
        )
    };
    shown.into_iter().map(|(task, shown)| (task, reason(task, shown))).collect()
}

#[cfg(test)]
mod tests {
    use crate::ledger::Ledger;
    use crate::publish::fixture::{Sample, local, task};
    use crate::publish::layout;

    #[tokio::test]
    async fn a_manifest_is_lost_if_files_or_the_closing_show_that_it_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (october, september) = (task("12345678", "2026-10"), task("12345678", "2026-09"));
        let remove = |path: &str| std::fs::remove_dir_all(folder.path().join(path)).unwrap();
        let lost = async || {
            let ledger = Ledger::read(&*local(folder.path()), |_| true).await.unwrap();
            ledger.unreadable.into_iter().collect::<Vec<_>>()
        };
        for (key, guests) in [(september, 9), (september, 10), (october, 10)] {
            Sample::new(0..guests).of(key).run(local(folder.path())).await.unwrap();
        }
        assert_eq!(lost().await, []);
        for key in [september, october] {
            std::fs::remove_file(folder.path().join(layout::manifest(key).as_str())).unwrap();
        }
        assert_eq!(lost().await.len(), 2);
        let of_october = Ledger::read(&*local(folder.path()), |task| task == october).await.unwrap();
        assert_eq!(of_october.unreadable.into_keys().collect::<Vec<_>>(), [october]);
        remove("guest_counts");
        let [(key, reason)] = &lost().await[..] else { panic!("a first revision may be a dead run's") };
        assert_eq!(*key, september);
        assert!(reason.contains("restore the manifest") && reason.contains("revisions/"), "{reason}");
        remove("revisions");
        assert_eq!(lost().await, []);
    }
}
