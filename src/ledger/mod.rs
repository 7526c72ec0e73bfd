//! What an output has published, read for its numbers: the manifest of each network and period, and of each revision
//! that is kept.
//!
//! Nothing but manifests and closings is read, so that a ledger of thousands of rosters is small. What cannot be believed
//! is no number and no error: it stands in the ledger by itself, for whoever reports on it. So does what was published
//! and has lost its manifest: to call that missing would send somebody to export again what the exporter refuses to
//! touch.
//!
//! # Words
//!
//! `status`, `reconcile` and the page say the same of the same:
//!
//! | word | meaning |
//! |---|---|
//! | `open`, `settling`, `closed` | the state of a month, by the calendar alone: it has not ended; it ended less than `settle_days` ago, and AWS may still correct it; neither. Of a number (`period_state` in its manifest and in the summary, `published_as` in `status` and `reconcile`): the state that its month had when it was last read |
//! | marked closed | of a closed month: all its numbers are there, each published as closed, and `_CLOSED.json` says so |
//! | `missing` | a network has no number for a closed month that should have one ([`missed`]) |
//! | `not yet` | the same of a month that has not closed |
//! | `stale` | a number was published as an earlier state than its month has now |
//! | `mismatch` | another count contradicts a number: AWS's own one of an ended month or, in `reconcile`, the invoice |
//! | `damaged` | a manifest is not to be believed, or is lost: files of a publication, or the closing of its month, show that it was there |
//! | final | a number of a closed month that is neither stale nor damaged |

mod attempts;
mod closing;
mod lost;
pub mod missed;
mod staleness;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream};

pub use self::attempts::Attempts;
pub use self::closing::{Awaited, Closing, ClosingError, named};
pub use self::staleness::staleness;
use crate::error_chain::error_chain;
use crate::period::BillingPeriod;
use crate::publish::layout::{self, Place, RevisionName, TaskKey};
use crate::publish::{
    ClosedPeriod, MANIFESTS_AT_ONCE, Manifest, PublishError, SourceKind, read_closed, read_manifest,
    read_revision_manifest,
};
use crate::storage::{Destination, DestinationError};

/// An output of which nothing is published: mostly another place than was meant (exit 65).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing is published at {0}; check the path or url")]
pub struct NothingPublished(String);

impl NothingPublished {
    /// Refuses an output of which nothing is published, for whoever only reads.
    ///
    /// # Errors
    /// [`NothingPublished`], unless something is.
    pub fn unless(is_published: bool, place: &str) -> Result<(), Self> {
        if is_published { Ok(()) } else { Err(Self(place.to_owned())) }
    }
}

/// All that an output has published.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// What is published, by network and period.
    pub publications: BTreeMap<TaskKey, Manifest>,
    /// What has a manifest that is not to be believed, or has lost it, and why.
    pub unreadable: BTreeMap<TaskKey, String>,
    /// The closings of months, or why one is not to be believed.
    pub closings: BTreeMap<BillingPeriod, Result<ClosedPeriod, String>>,
    /// When what is published was exported of whose manifest nothing else was kept.
    pub(super) exported: BTreeMap<TaskKey, DateTime<Utc>>,
}

/// What is kept of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    All,
    /// When it was exported: of an output's thousands of months a closing asks no more.
    Time,
    Nothing,
}

impl Ledger {
    /// Says whether anything has a manifest, to be believed or not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks().next().is_none()
    }

    /// Returns whose the numbers are; those of AWS and of the simulator never stand beside each other.
    #[must_use]
    pub fn source_kind(&self) -> Option<SourceKind> {
        self.publications.values().map(|manifest| manifest.source.kind).next()
    }

    /// Reads the manifests of the networks and periods that are wanted.
    ///
    /// # Errors
    /// [`DestinationError`] if the output cannot be listed, or does not answer.
    pub async fn read(
        output: &dyn Destination,
        wanted: impl Fn(TaskKey) -> bool,
    ) -> Result<Self, DestinationError> {
        Self::read_as(output, |task| if wanted(task) { Kept::All } else { Kept::Nothing }).await
    }

    /// Reads all manifests, and keeps whole those of some months: of the others it is known when they were exported.
    ///
    /// # Errors
    /// As [`Self::read`].
    async fn read_to_close(
        output: &dyn Destination,
        periods: &BTreeSet<BillingPeriod>,
    ) -> Result<Self, DestinationError> {
        let kept = |task: TaskKey| if periods.contains(&task.period) { Kept::All } else { Kept::Time };
        Self::read_as(output, kept).await
    }

    async fn read_as(
        output: &dyn Destination,
        kept: impl Fn(TaskKey) -> Kept,
    ) -> Result<Self, DestinationError> {
        let wanted = |task: TaskKey| kept(task) != Kept::Nothing;
        // Listed first: what is published in between has its manifest when those are listed.
        let remains = lost::remains(output).await?;
        let files = output.list(&layout::manifests()).await?.files;
        let tasks: BTreeSet<TaskKey> =
            files.iter().filter_map(|file| Place::task_of_manifest(&file.path)).collect();
        let reading = stream::iter(tasks.clone().into_iter().filter(|task| wanted(*task)))
            .map(async |task| (task, read_manifest(output, task).await));
        let mut reading = reading.buffer_unordered(MANIFESTS_AT_ONCE);
        let mut ledger = Self::default();
        while let Some((task, read)) = reading.next().await {
            match believed(read)? {
                Some(Ok(manifest)) if kept(task) == Kept::Time => {
                    ledger.exported.insert(task, manifest.exported_at);
                }
                Some(Ok(manifest)) => drop(ledger.publications.insert(task, manifest)),
                Some(Err(reason)) => drop(ledger.unreadable.insert(task, reason)),
                // It went away while the output was read.
                None => {}
            }
        }
        let closed = files.iter().filter_map(|file| match Place::of(&file.path) {
            Some(Place::Closed(period)) => Some(period),
            _ => None,
        });
        let reading = stream::iter(closed).map(async |period| (period, read_closed(output, period).await));
        let mut reading = reading.buffer_unordered(MANIFESTS_AT_ONCE);
        while let Some((period, closing)) = reading.next().await {
            ledger.closings.extend(closing?.map(|closing| (period, closing)));
        }
        let lost = lost::lost(remains, &ledger.closings, &tasks);
        ledger.unreadable.extend(lost.into_iter().filter(|(task, _)| wanted(*task)));
        Ok(ledger)
    }
}

/// Says whether an output has any manifest, to be believed or not.
///
/// # Errors
/// [`DestinationError`] if the output cannot be listed, or does not answer.
pub async fn is_anything_published(output: &dyn Destination) -> Result<bool, DestinationError> {
    let files = output.list(&layout::manifests()).await?.files;
    Ok(files.iter().any(|file| Place::task_of_manifest(&file.path).is_some()))
}

/// Reads the manifests of the revisions that are kept of one network and period, the earliest first. One that is not
/// to be believed is left out: `verify` tells of it.
///
/// # Errors
/// [`DestinationError`] if the output cannot be listed, or does not answer.
pub async fn revisions(
    output: &dyn Destination,
    task: TaskKey,
) -> Result<BTreeMap<RevisionName, Manifest>, DestinationError> {
    let files = output.list(&layout::task_revisions(task)).await?.files;
    let mut kept = BTreeMap::new();
    for file in files {
        let Some(Place::RevisionManifest(of, name)) = Place::of(&file.path) else { continue };
        if of != task {
            continue;
        }
        if let Some(Ok(manifest)) = believed(read_revision_manifest(output, task, name).await)? {
            kept.insert(name, manifest);
        }
    }
    Ok(kept)
}

/// Tells a manifest that is not to be believed from a place that does not answer.
fn believed(
    read: Result<Option<Manifest>, PublishError>,
) -> Result<Option<Result<Manifest, String>>, DestinationError> {
    match read {
        Ok(manifest) => Ok(manifest.map(Ok)),
        Err(PublishError::Destination(error)) if !error.is_of_one_document() => Err(error),
        Err(error) => Ok(Some(Err(error_chain(&error)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::fixture::{Sample, local, publisher, task};

    #[tokio::test]
    async fn a_ledger_holds_what_is_published_and_names_what_is_not_to_be_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (output, publisher) = (local(folder.path()), publisher(local(folder.path())));
        let (october, september) = (task("12345678", "2026-10"), task("12345678", "2026-09"));
        for (key, guests) in [(october, 100), (october, 102), (september, 50)] {
            let lock = publisher.lock(key).await.unwrap();
            publisher.publish(&lock, Sample::new(0..guests).of(key).publication()).await.unwrap();
        }
        let ledger = Ledger::read(&*output, |_| true).await.unwrap();
        let guests = |ledger: &Ledger, task| ledger.publications[&task].counts.guests;
        assert_eq!((guests(&ledger, october), guests(&ledger, september)), (102, 50));
        let earlier = revisions(&*output, october).await.unwrap();
        let counts: Vec<_> = earlier.values().map(|manifest| manifest.counts.guests).collect();
        assert_eq!(counts, [100, 102]);

        let path = folder.path().join(layout::manifest(september).as_str());
        std::fs::write(path, "{}").unwrap();
        let ledger = Ledger::read(&*output, |_| true).await.unwrap();
        assert_eq!(ledger.publications.keys().collect::<Vec<_>>(), [&october]);
        assert!(ledger.unreadable[&september].contains("restore it"), "{:?}", ledger.unreadable);
        let of_september = Ledger::read(&*output, |task| task == september).await.unwrap();
        assert!(of_september.publications.is_empty() && of_september.unreadable.len() == 1);
    }
}
