//! Purging: the guests of a task go, its counts and their evidence stay.
//!
//! The manifest says so first, in place of the one that was read and under the task's lock; then every roster is
//! removed, of all revisions and formats, and the current copies with them. What was begun is finished by whoever
//! comes next, a run included, since from then on nobody takes a roster for missing. It stays so: a later revision of
//! the task has counts alone, so that no run brings back what was to be forgotten.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::SubsecRound;

use super::recovery::{Found, Standing};
use super::{PublishedManifest, Publisher, TaskLock, WrittenRevision, checked_json, read_manifest_at};
use crate::dataset::{Dataset, Format};
use crate::period::PeriodState;
use crate::publish::error::PublishError;
use crate::publish::layout::{self, Place, RevisionName, TaskKey};
use crate::publish::manifest::Manifest;
use crate::storage::RelativePath;
use crate::storage::destination::{Destination, DestinationError, ListedFile, Listing, Precondition};

/// On what terms rosters are purged.
#[derive(Clone, Debug, Default)]
pub struct PurgeTerms {
    /// Another place where rosters may lie, from before the output was divided.
    pub beside: Option<Arc<dyn Destination>>,
    /// Whether rosters that are not there were removed by somebody, and do not lie in a third place.
    pub already_removed: bool,
    /// Whether a number that is not that of the closed period may lose what it could be checked against.
    pub not_final_accepted: bool,
}

/// The rosters of a task, as files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RosterFiles {
    /// How many there are, in all formats and revisions, current copies included.
    pub files: u64,
    /// Their lengths, added up.
    pub bytes: u64,
}

/// What becomes of the rosters of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// They go.
    Now(RosterFiles),
    /// They were purged before.
    Before,
    /// There are none.
    Nothing,
}

/// Why the rosters of a task were not purged.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// What is published cannot be understood, or the destination refuses.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The manifest names rosters, and none is there (exit 2).
    #[error(
        "the manifest of {0} names rosters that are not here; if the job has output.roster_url, give it as \
         --roster-url; if somebody has removed them, say so with --already-removed"
    )]
    Elsewhere(TaskKey),
    /// The period was not closed when it was published last (exit 3).
    #[error(
        "{task} was published last while its month was {state}, so its number may not be the final one, and without \
         the roster nobody can tell; run once more with --network {network} --period {period}, then purge; if no run \
         can, purge with --accept-not-final",
        network = .task.network,
        period = .task.period
    )]
    NotFinal {
        /// The task.
        task: TaskKey,
        /// The state of its period in the published manifest.
        state: PeriodState,
    },
    /// A run wrote a revision a short time ago, and its manifest may yet take effect (exit 75).
    #[error("a run was about to publish {0} a short time ago, and still may; purge again in an hour")]
    Undecided(TaskKey),
}

impl From<DestinationError> for PurgeError {
    fn from(error: DestinationError) -> Self {
        Self::Publish(error.into())
    }
}

impl RosterFiles {
    /// Adds up the files of a listing that hold guests.
    fn of(listing: &[ListedFile]) -> Self {
        Self { files: listing.len() as u64, bytes: listing.iter().map(|file| file.bytes).sum() }
    }
}

/// What a purge of a task does, decided before anything is touched.
struct PurgePlan {
    found: Found,
    /// Rosters beside the counts.
    misplaced: Vec<ListedFile>,
    outcome: Purged,
}

/// Lists the rosters of a task in a place, whoever wrote them.
async fn rosters_in(place: &dyn Destination, task: TaskKey) -> Result<Vec<ListedFile>, DestinationError> {
    let mut rosters = rosters_of(&place.list(&layout::task_revisions(task)).await?);
    for format in Format::ALL {
        let folder = layout::current_folder(task, Dataset::GuestRoster, format);
        rosters.extend(rosters_of(&place.list(&folder).await?));
    }
    Ok(rosters)
}

fn rosters_of(listing: &Listing) -> Vec<ListedFile> {
    listing.files.iter().filter(|file| layout::holds_guests(&file.path)).cloned().collect()
}

impl Publisher {
    /// Says what a purge of a task would do, and touches nothing.
    ///
    /// # Errors
    /// [`PurgeError`], as the purge would fail.
    pub async fn foresee_purge(&self, task: TaskKey, terms: &PurgeTerms) -> Result<Purged, PurgeError> {
        Ok(self.plan_purge(task, terms).await?.outcome)
    }

    /// Removes every roster of a task under its lock, in the order that this module is about.
    ///
    /// # Errors
    /// [`PurgeError`]; what was begun is finished by the next purge.
    pub async fn purge(&self, lock: &TaskLock, terms: &PurgeTerms) -> Result<Purged, PurgeError> {
        lock.lock.confirm().await?;
        let PurgePlan { found, misplaced, outcome } = self.plan_purge(lock.task, terms).await?;
        self.finish(lock, &found).await?;
        if outcome == Purged::Nothing {
            return Ok(outcome);
        }
        if let Found { standing: Some(standing), undecided, .. } = found {
            self.purge_standing(lock, standing, &undecided).await?;
        }
        if let Some(place) = &terms.beside {
            remove_misplaced(&**place, &misplaced).await?;
        }
        Ok(outcome)
    }

    async fn plan_purge(&self, task: TaskKey, terms: &PurgeTerms) -> Result<PurgePlan, PurgeError> {
        let mut rosters = rosters_in(&*self.destination, task).await?;
        let misplaced = match &terms.beside {
            Some(place) => rosters_in(&**place, task).await?,
            None => Vec::new(),
        };
        rosters.extend(misplaced.iter().cloned());
        let found = self.find(task).await?;
        let outcome = decide(task, &found, &rosters, terms)?;
        Ok(PurgePlan { found, misplaced, outcome })
    }

    async fn purge_standing(
        &self,
        lock: &TaskLock,
        standing: Standing,
        undecided: &BTreeSet<RevisionName>,
    ) -> Result<(), PublishError> {
        let task = lock.task;
        let published = if standing.published.manifest.rosters_purged_at.is_some() {
            // What a run may yet publish over it is left alone. It has counts and no rosters.
            standing.published
        } else {
            let published = self.put_purged(lock, standing).await?;
            // No manifest that another run has put may take effect any more.
            self.sweep_decided(task, undecided).await;
            published
        };
        self.tell_kept_manifest(&published).await?;
        let listing = self.destination.list(&layout::task_revisions(task)).await?;
        self.finish_purge(lock, &published, &listing).await?;
        for format in Format::ALL {
            self.destination.remove(&layout::current(task, Dataset::GuestRoster, format)).await?;
        }
        Ok(())
    }

    /// Puts a manifest that says that the rosters are purged in place of the one that was read.
    async fn put_purged(
        &self,
        lock: &TaskLock,
        standing: Standing,
    ) -> Result<PublishedManifest, PublishError> {
        let Standing { published, version, .. } = standing;
        let rosters_purged_at = Some(self.clock.now().trunc_subsecs(0));
        let manifest = Manifest { rosters_purged_at, ..published.manifest };
        let revision = WrittenRevision { manifest, name: published.revision };
        self.put_manifest(lock, revision, Precondition::Unchanged(version)).await
    }

    /// Removes the rosters of all revisions, where the manifest says that they are purged.
    pub(super) async fn finish_purge(
        &self,
        lock: &TaskLock,
        published: &PublishedManifest,
        listing: &Listing,
    ) -> Result<(), PublishError> {
        let rosters = rosters_of(listing);
        if published.manifest.rosters_purged_at.is_none() || rosters.is_empty() {
            return Ok(());
        }
        self.tell_kept_manifest(published).await?;
        lock.lock.confirm().await?;
        for roster in rosters {
            tracing::info!(path = %roster.path, "removing a roster that is purged");
            self.destination.remove(&roster.path).await?;
        }
        Ok(())
    }

    /// Says the same in the manifest that is kept with the published revision, from which a lost one is restored.
    /// One that is damaged or missing is left to `verify`.
    async fn tell_kept_manifest(&self, published: &PublishedManifest) -> Result<(), PublishError> {
        let task = published.manifest.task();
        let path = layout::revision_manifest(task, published.revision);
        let read = match read_manifest_at(&*self.destination, path.clone(), task).await {
            Err(PublishError::ManifestDamaged { .. }) => None,
            read => read?,
        };
        let Some((kept, version)) = read else { return Ok(()) };
        if kept.revision != published.revision || kept.manifest.rosters_purged_at.is_some() {
            return Ok(());
        }
        let rosters_purged_at = published.manifest.rosters_purged_at;
        let json = checked_json(&Manifest { rosters_purged_at, ..kept.manifest }, task)?;
        self.destination.put(json, &path, Precondition::Unchanged(version)).await?;
        Ok(())
    }
}

/// Decides what becomes of the rosters that are there of a task.
fn decide(
    task: TaskKey,
    found: &Found,
    rosters: &[ListedFile],
    terms: &PurgeTerms,
) -> Result<Purged, PurgeError> {
    let those_there = if rosters.is_empty() { None } else { Some(Purged::Now(RosterFiles::of(rosters))) };
    let Some(Standing { published, .. }) = &found.standing else {
        if !found.undecided.is_empty() {
            return Err(PurgeError::Undecided(task));
        }
        return Ok(those_there.unwrap_or(Purged::Nothing));
    };
    let manifest = &published.manifest;
    if manifest.rosters_purged_at.is_some() {
        return Ok(those_there.unwrap_or(Purged::Before));
    }
    if rosters.is_empty() && !manifest.has_rosters() {
        return Ok(Purged::Nothing);
    }
    let is_there = rosters.iter().any(|file| is_of(published, &file.path));
    if manifest.has_rosters() && !is_there && !terms.already_removed {
        return Err(PurgeError::Elsewhere(task));
    }
    if manifest.period_state != PeriodState::Closed && !terms.not_final_accepted {
        return Err(PurgeError::NotFinal { task, state: manifest.period_state });
    }
    Ok(Purged::Now(RosterFiles::of(rosters)))
}

/// Says whether a roster is one of the published revision.
fn is_of(published: &PublishedManifest, path: &RelativePath) -> bool {
    matches!(Place::of(path), Some(Place::RevisionFile(_, revision, ..)) if revision == published.revision)
}

async fn remove_misplaced(place: &dyn Destination, rosters: &[ListedFile]) -> Result<(), PurgeError> {
    for roster in rosters {
        tracing::info!(path = %roster.path, place = %place.describe(), "removing a roster that is purged");
        place.remove(&roster.path).await?;
    }
    Ok(())
}
