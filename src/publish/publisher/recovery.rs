//! Recovery: what a run that died has left of a task is finished or swept, under the task's lock.
//!
//! Nothing that was ever published is swept. Without a manifest that cannot be known of any revision but the
//! first attempt's, so everything else without a manifest stops the task rather than its history.

use std::collections::BTreeSet;

use super::{PublishedManifest, Publisher, TaskLock, find_kept_purge, read_published};
use crate::publish::error::PublishError;
use crate::publish::layout::{self, Place, RevisionName, TaskKey};
use crate::publish::publication::Publication;
use crate::storage::RelativePath;
use crate::storage::destination::DestinationError;
use crate::storage::destination::{Listing, Version};
use crate::storage::digest::Measure;

/// What is published for a task when its turn comes.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) published: PublishedManifest,
    pub(super) version: Version,
    /// Whether the files that the manifest names are all there, in their lengths.
    pub(super) is_whole: bool,
}

/// What is found of a task when its turn comes.
#[derive(Debug)]
pub(super) struct Found {
    /// What is published, if anything.
    pub(super) standing: Option<Standing>,
    /// Revisions that nothing names, and whose manifest may yet take effect: until another manifest does.
    pub(super) undecided: BTreeSet<RevisionName>,
    /// Revisions that nothing names, or ever will.
    orphans: BTreeSet<RevisionName>,
    /// The files of all revisions.
    listing: Listing,
}

impl Publisher {
    /// Recovers a task under its lock.
    pub(super) async fn recover_standing(&self, lock: &TaskLock) -> Result<Found, PublishError> {
        lock.lock.confirm().await?;
        let found = self.find(lock.task).await?;
        self.finish(lock, &found).await?;
        Ok(found)
    }

    /// Finds what there is of a task, and touches nothing.
    pub(super) async fn find(&self, task: TaskKey) -> Result<Found, PublishError> {
        let listing = self.destination.list(&layout::task_revisions(task)).await?;
        let standing = read_published(&*self.destination, task).await?.map(|(published, version)| {
            let is_whole = is_whole(&published, &listing);
            Standing { published, version, is_whole }
        });
        if standing.is_none() {
            self.refuse_lost_manifest(task, &listing).await?;
        }
        let published = standing.as_ref().map(|standing| standing.published.revision);
        let (orphans, undecided) = self.unnamed(&listing, published);
        Ok(Found { standing, undecided, orphans, listing })
    }

    /// Finishes or sweeps what a run that died has left of a task.
    pub(super) async fn finish(&self, lock: &TaskLock, found: &Found) -> Result<(), PublishError> {
        self.remove_revisions(&found.listing, &found.orphans).await?;
        if let Some(Standing { published, is_whole: true, .. }) = &found.standing {
            self.finish_purge(lock, published, &found.listing).await?;
            self.follow(lock, published).await?;
        }
        Ok(())
    }

    /// Reads the published files again: those that were altered in place are replaced, not called unchanged.
    pub(super) async fn is_unaltered(&self, published: &PublishedManifest) -> Result<bool, PublishError> {
        for record in published.manifest.present_files() {
            let Some(file) = self.destination.open(&record.path).await? else { return Ok(false) };
            let place = record.path.to_string();
            let measured = tokio::task::spawn_blocking(move || Measure::of(file)).await;
            let measure = measured
                .map_err(|_panic| DestinationError::Worker { place: place.clone() })?
                .map_err(|error| DestinationError::io("read", place, error))?;
            if measure.sha256 != record.sha256 {
                tracing::warn!(file = %record.path, "published file was altered; the roster is published again");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Without a manifest, only a first attempt that died can have left anything, and no first attempt knows of a
    /// purge.
    async fn refuse_lost_manifest(&self, task: TaskKey, listing: &Listing) -> Result<(), PublishError> {
        let shows_publication = |path| Place::of(path).is_some_and(|place| place.shows_publication());
        let later = listing.files.iter().find(|file| shows_publication(&file.path));
        let mut remains = later.map(|file| file.path.clone());
        for (dataset, format) in layout::every_data_file() {
            let path = layout::current(task, dataset, format);
            if remains.is_none() && self.destination.open(&path).await?.is_some() {
                remains = Some(path);
            }
        }
        let kept = listing.files.iter().filter_map(|file| match Place::of(&file.path)? {
            Place::RevisionManifest(_, revision) => Some(revision),
            _ => None,
        });
        let kept: Vec<RevisionName> = kept.collect();
        let purged = match find_kept_purge(&*self.destination, task, &kept).await {
            Err(PublishError::ManifestDamaged { .. }) if remains.is_some() => None,
            purged => purged?.map(|revision| layout::revision_manifest(task, revision)),
        };
        let was_purged = purged.is_some();
        match remains.or(purged) {
            None => Ok(()),
            Some(remains) => Err(PublishError::ManifestLost {
                task,
                place: layout::manifest(task),
                remains: remains.to_string(),
                was_purged,
            }),
        }
    }

    /// Finds revisions that were written and never published: at or past the published number, unnamed.
    ///
    /// Where a put may take effect long after its run has died, the manifest that names a young one may yet come; those
    /// come second.
    fn unnamed(
        &self,
        listing: &Listing,
        published: Option<RevisionName>,
    ) -> (BTreeSet<RevisionName>, BTreeSet<RevisionName>) {
        let is_unnamed = |revision: &RevisionName| match published {
            Some(published) => revision.number >= published.number && *revision != published,
            None => true,
        };
        let (mut unnamed, mut undecided) = (BTreeSet::new(), BTreeSet::new());
        let now = self.clock.now();
        for file in &listing.files {
            let Some(revision) = revision_at(&file.path).filter(is_unnamed) else { continue };
            unnamed.insert(revision);
            if self.destination.is_recent(file, now) {
                undecided.insert(revision);
            }
        }
        (&unnamed - &undecided, undecided)
    }

    async fn remove_revisions(
        &self,
        listing: &Listing,
        revisions: &BTreeSet<RevisionName>,
    ) -> Result<(), PublishError> {
        for file in &listing.files {
            if revision_at(&file.path).is_some_and(|revision| revisions.contains(&revision)) {
                tracing::info!(path = %file.path, "sweeping a file that a dead run left");
                self.destination.remove(&file.path).await?;
            }
        }
        Ok(())
    }

    /// Removes revisions that were undecided until a manifest was put just now, on whose predecessor theirs depend.
    pub(super) async fn sweep_decided(&self, task: TaskKey, revisions: &BTreeSet<RevisionName>) {
        if revisions.is_empty() {
            return;
        }
        let swept = async {
            let listing = self.destination.list(&layout::task_revisions(task)).await?;
            self.remove_revisions(&listing, revisions).await
        };
        if let Err(error) = swept.await {
            tracing::warn!(%task, %error, "files of an attempt that failed are left for the next run to sweep");
        }
    }

    /// Removes what an attempt has written that failed, so that a full disk is left no fuller.
    pub(super) async fn or_sweep(
        &self,
        task: TaskKey,
        attempt: RevisionName,
        published: Result<PublishedManifest, PublishError>,
    ) -> Result<PublishedManifest, PublishError> {
        // A manifest whose put got no answer may yet take effect.
        let is_refused = match &published {
            Ok(_) | Err(PublishError::Destination(DestinationError::Unavailable { .. })) => false,
            Err(_) => true,
        };
        if is_refused && let Err(error) = self.sweep_attempt(task, attempt).await {
            tracing::warn!(%task, %error, "files of the failed attempt are left for the next run to sweep");
        }
        published
    }

    /// The manifest may name the attempt all the same: what failed may be what comes after its replacement.
    async fn sweep_attempt(&self, task: TaskKey, attempt: RevisionName) -> Result<(), PublishError> {
        let standing = read_published(&*self.destination, task).await?;
        if standing.is_some_and(|(published, _)| published.revision == attempt) {
            return Ok(());
        }
        let listing = self.destination.list(&layout::task_revisions(task)).await?;
        self.remove_revisions(&listing, &BTreeSet::from([attempt])).await
    }

    /// Makes the current copies those of the published revision.
    ///
    /// A run that was held up for so long that another has taken its lock away may have copied over what that one has
    /// copied, or has purged, so it copies again what is published then.
    pub(super) async fn follow(
        &self,
        lock: &TaskLock,
        published: &PublishedManifest,
    ) -> Result<(), PublishError> {
        let aligned = self.align_current_copies(published).await;
        // What it copied from may be gone by then, which says nothing that the loss of the lock does not.
        let Err(lost) = lock.lock.confirm().await else { return aligned };
        if let Some((standing, _)) = read_published(&*self.destination, lock.task).await?
            && standing.manifest != published.manifest
        {
            self.align_current_copies(&standing).await?;
        }
        Err(lost.into())
    }

    /// Makes the current copies those of the published revision, and removes what it does not have.
    async fn align_current_copies(&self, published: &PublishedManifest) -> Result<(), PublishError> {
        let manifest = &published.manifest;
        for (dataset, format) in layout::every_data_file() {
            let current = layout::current(manifest.task(), dataset, format);
            match manifest.present_file(dataset, format) {
                Some(file) => self.destination.copy(&file.path, &current).await?,
                None => self.destination.remove(&current).await?,
            }
        }
        Ok(())
    }
}

impl Standing {
    pub(super) fn is_unchanged_by(&self, publication: &Publication) -> bool {
        let manifest = &self.published.manifest;
        let same_files = manifest.present_files().count() == publication.parts.len()
            && publication
                .parts
                .iter()
                .all(|part| manifest.present_file(part.dataset, part.format).is_some());
        self.is_whole
            && manifest.content_sha256 == publication.content_sha256
            && manifest.roster == publication.roster
            && manifest.csv == publication.csv
            && same_files
    }
}

/// Returns the revision that a file of this program belongs to.
fn revision_at(path: &RelativePath) -> Option<RevisionName> {
    match Place::of(path)? {
        Place::RevisionManifest(_, revision) | Place::RevisionFile(_, revision, ..) => Some(revision),
        Place::Manifest(_) | Place::Closed(_) | Place::Current(..) | Place::Summary(_) => None,
    }
}

fn is_whole(published: &PublishedManifest, listing: &Listing) -> bool {
    let length_of = |path: &RelativePath| {
        let found = listing.files.binary_search_by(|file| file.path.cmp(path));
        found.ok().map(|at| listing.files[at].bytes)
    };
    let kept = layout::revision_manifest(published.manifest.task(), published.revision);
    length_of(&kept).is_some()
        && published.manifest.present_files().all(|file| length_of(&file.path) == Some(file.bytes))
}
