//! What lies in an output, by task: every file recognised as what it is, or as a stray.
//!
//! It is taken from listings alone, so that a file which no manifest mentions is found as surely as one that
//! is missing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::dataset::{Dataset, Format};
use crate::period::BillingPeriod;
use crate::publish::layout::{self, Place, RevisionName, TaskKey};
use crate::storage::destination::{Destination, DestinationError};

/// The files of a whole output.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) tasks: BTreeMap<TaskKey, TaskFiles>,
    /// The periods that were closed.
    pub(super) closed: BTreeSet<BillingPeriod>,
    /// What is below a published folder and is nothing that this program writes.
    pub(super) strays: Vec<String>,
}

/// The files of one task.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskFiles {
    pub(super) manifest: bool,
    pub(super) revisions: BTreeMap<RevisionName, RevisionFiles>,
    pub(super) current: BTreeSet<(Dataset, Format)>,
}

/// The files of one revision.
#[derive(Clone, Debug, Default)]
pub(super) struct RevisionFiles {
    pub(super) manifest: bool,
    pub(super) data: BTreeSet<(Dataset, Format)>,
    /// Set if the manifest that names it may yet take effect.
    pub(super) is_recent: bool,
}

impl Inventory {
    /// Lists the output.
    pub(super) async fn take(
        destination: &dyn Destination,
        now: DateTime<Utc>,
    ) -> Result<Self, DestinationError> {
        let mut inventory = Self::default();
        for prefix in layout::published_prefixes() {
            let listing = destination.list(&prefix).await?;
            inventory.strays.extend(listing.foreign);
            for file in listing.files {
                match Place::of(&file.path) {
                    Some(place) => inventory.enter(place, destination.is_recent(&file, now)),
                    None => inventory.strays.push(file.path.to_string()),
                }
            }
        }
        Ok(inventory)
    }

    fn enter(&mut self, place: Place, is_recent: bool) {
        if let Place::Closed(period) = place {
            self.closed.insert(period);
        }
        let Some(task) = place.task() else { return };
        let files = self.tasks.entry(task).or_default();
        match place {
            Place::Manifest(_) => files.manifest = true,
            Place::RevisionManifest(_, revision) => {
                let files = files.revisions.entry(revision).or_default();
                files.manifest = true;
                files.is_recent |= is_recent;
            }
            Place::RevisionFile(_, revision, dataset, format) => {
                let files = files.revisions.entry(revision).or_default();
                files.data.insert((dataset, format));
                files.is_recent |= is_recent;
            }
            Place::Current(_, dataset, format) => {
                files.current.insert((dataset, format));
            }
            Place::Closed(_) | Place::Summary(_) => {}
        }
    }
}
