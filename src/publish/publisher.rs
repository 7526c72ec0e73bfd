//! The publisher: makes one task's roster the published one, or leaves what was published.
//!
//! Order is everything here. Revision files are complete and durable before the manifest names them; replacing
//! the manifest is the publication; the current copies follow it. Each step takes what only the step before can
//! give (`PlannedRevision`, `WrittenRevision`, [`PublishedManifest`]), so that another order does not compile.
//! A run may die between any two operations: what it left is finished or swept by [`Publisher::recover`], which
//! every publication begins with.

mod purging;
mod recovery;

pub use self::purging::{PurgeError, PurgeTerms, Purged, RosterFiles};

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};
use tokio::sync::Mutex;

use self::recovery::{Found, Standing};
use super::error::PublishError;
use super::layout::{self, Place, RevisionName, TaskKey};
use super::manifest::{
    ChangesRecord, FileRecord, MANIFEST_VERSION, MAX_MANIFEST_BYTES, Manifest, ManifestError, SEAL_FIELD,
    SourceKind,
};
use super::publication::{CompareRosters, EncodedPart, Part, PartError, Publication, RosterChanges};
use super::recheck::rechecked;
use super::shrink::ShrinkLimit;
use crate::clock::Clock;
use crate::dataset::changes::{ChangesError, Side};
use crate::dataset::{Dataset, Format, WriteError};
use crate::storage::LockWait;
use crate::storage::RelativePath;
use crate::storage::destination::{Destination, DestinationError, HeldLock, Precondition, Version};
use crate::storage::digest::Measure;
use crate::storage::encode::{EncodeError, EncodedFile, encode};
use crate::storage::seal;

/// What a job says about publishing.
#[derive(Clone, Debug)]
pub struct PublisherSettings {
    /// How much a roster may lose without being asked for.
    pub shrink: ShrinkLimit,
    /// How long locks are waited for.
    pub lock_wait: LockWait,
}

/// The lock of one task: the proof that no other run publishes it.
#[derive(Debug)]
pub struct TaskLock {
    task: TaskKey,
    lock: HeldLock,
}

impl TaskLock {
    /// Returns the task that is locked.
    #[must_use]
    pub const fn task(&self) -> TaskKey {
        self.task
    }
}

/// A manifest that stands at its task's place: the only proof of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedManifest {
    manifest: Manifest,
    revision: RevisionName,
}

impl PublishedManifest {
    /// Returns what is published.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the folder of the revision that is published.
    #[must_use]
    pub const fn revision(&self) -> RevisionName {
        self.revision
    }
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationStatus {
    /// The task had not been published before.
    Published,
    /// It replaced an earlier revision.
    Restated,
    /// The roster is the one that was published; only the manifest was renewed.
    Unchanged,
}

/// What [`Publisher::publish`] did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is published now.
    pub manifest: PublishedManifest,
    /// How it came to be.
    pub status: PublicationStatus,
    /// How it differs from what was published before, where that could be compared.
    pub changes: Option<ChangesRecord>,
}

/// A revision that has been decided on.
struct PlannedRevision {
    name: RevisionName,
    changes: Option<ChangesRecord>,
    /// When the rosters of its task were purged, if they were.
    rosters_purged_at: Option<DateTime<Utc>>,
}

/// A revision that is complete and durable, and that nothing names yet.
struct WrittenRevision {
    manifest: Manifest,
    name: RevisionName,
}

/// How many manifests are read at once by whoever reads many: each is small, and a store takes its time for each.
pub const MANIFESTS_AT_ONCE: usize = 16;

/// Reads what is published for a task.
///
/// # Errors
/// [`PublishError::ManifestDamaged`], or what the destination fails with.
pub async fn read_manifest(
    destination: &dyn Destination,
    task: TaskKey,
) -> Result<Option<Manifest>, PublishError> {
    Ok(read_published(destination, task).await?.map(|(published, _)| published.manifest))
}

/// Reads the manifest that is kept with a revision of a task.
///
/// # Errors
/// [`PublishError::ManifestDamaged`], also if it is of another revision, or what the destination fails with.
pub async fn read_revision_manifest(
    destination: &dyn Destination,
    task: TaskKey,
    revision: RevisionName,
) -> Result<Option<Manifest>, PublishError> {
    let path = layout::revision_manifest(task, revision);
    let Some((published, _)) = read_manifest_at(destination, path.clone(), task).await? else {
        return Ok(None);
    };
    if published.revision == revision {
        return Ok(Some(published.manifest));
    }
    let cause = ManifestError::Inconsistent("it is of another revision than its folder".to_owned());
    Err(PublishError::ManifestDamaged { place: path.to_string(), cause })
}

/// Finds the revision among some of a task whose kept manifest says that the rosters are purged: what a purge leaves of
/// it where the manifest is lost. One that cannot be read hides no other.
///
/// # Errors
/// As [`read_revision_manifest`] of the first that cannot be read, if no other says so.
pub async fn find_kept_purge(
    destination: &dyn Destination,
    task: TaskKey,
    revisions: &[RevisionName],
) -> Result<Option<RevisionName>, PublishError> {
    let mut unread = Ok(None);
    for revision in revisions.iter().copied() {
        match read_revision_manifest(destination, task, revision).await {
            Ok(Some(kept)) if kept.rosters_purged_at.is_some() => return Ok(Some(revision)),
            Ok(_) => {}
            Err(error) => unread = unread.and(Err(error)),
        }
    }
    unread
}

async fn read_published(
    destination: &dyn Destination,
    task: TaskKey,
) -> Result<Option<(PublishedManifest, Version)>, PublishError> {
    read_manifest_at(destination, layout::manifest(task), task).await
}

async fn read_manifest_at(
    destination: &dyn Destination,
    path: RelativePath,
    task: TaskKey,
) -> Result<Option<(PublishedManifest, Version)>, PublishError> {
    let Some(read) = destination.read(&path, MAX_MANIFEST_BYTES).await? else { return Ok(None) };
    // What was edited must not be written again under a seal that holds.
    let sealed = if seal::holds(SEAL_FIELD, &read.bytes) { Ok(()) } else { Err(ManifestError::Altered) };
    let parsed = sealed.and_then(|()| Manifest::parse(&read.bytes, task)).and_then(|manifest| {
        let revision = manifest.revision_of(task)?;
        Ok(PublishedManifest { manifest, revision })
    });
    match parsed {
        Ok(published) => Ok(Some((published, read.version))),
        Err(cause) => Err(PublishError::ManifestDamaged { place: path.to_string(), cause }),
    }
}

/// Writes a manifest that will be believed when it is read.
fn checked_json(manifest: &Manifest, task: TaskKey) -> Result<Vec<u8>, PublishError> {
    let inconsistent = |cause| PublishError::Inconsistent { task, cause };
    manifest.revision_of(task).map_err(inconsistent)?;
    let json = manifest.to_json();
    if json.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(inconsistent(ManifestError::TooLong(json.len())));
    }
    Ok(json)
}

/// Publishes rosters to one destination.
pub struct Publisher {
    destination: Arc<dyn Destination>,
    settings: PublisherSettings,
    /// Tells how long ago something was written.
    clock: Arc<dyn Clock>,
    /// What source the output's data comes from, once a manifest has been seen.
    output_source: Mutex<Option<(SourceKind, RelativePath)>>,
}

impl Publisher {
    /// Publishes to a destination.
    #[must_use]
    pub fn new(
        destination: Arc<dyn Destination>,
        settings: PublisherSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { destination, settings, clock, output_source: Mutex::new(None) }
    }

    /// Returns the destination.
    #[must_use]
    pub fn destination(&self) -> &Arc<dyn Destination> {
        &self.destination
    }

    /// Takes the lock of a task, waiting as long as the settings say.
    ///
    /// # Errors
    /// [`DestinationError::Locked`] if it is held by somebody else for longer.
    pub async fn lock(&self, task: TaskKey) -> Result<TaskLock, DestinationError> {
        let lock = self.destination.lock(&layout::task_lock(task), &self.settings.lock_wait).await?;
        Ok(TaskLock { task, lock })
    }

    /// Refuses a source whose data cannot stand beside what is in the output: rule 9, before any request.
    ///
    /// # Errors
    /// [`PublishError::MixedSources`].
    pub async fn check_source(&self, offered: SourceKind) -> Result<(), PublishError> {
        match self.output_source().await? {
            Some((found, place)) if found != offered => {
                Err(PublishError::MixedSources { place, found, offered })
            }
            _ => Ok(()),
        }
    }

    /// Finishes what a run that died has left of a task, and returns what is published and whether its files are all
    /// there.
    ///
    /// # Errors
    /// [`PublishError`], where what is there cannot be understood.
    pub async fn recover(&self, lock: &TaskLock) -> Result<Option<(PublishedManifest, bool)>, PublishError> {
        let standing = self.recover_standing(lock).await?.standing;
        if standing.as_ref().is_some_and(|standing| !standing.is_whole) {
            let task = lock.task;
            tracing::warn!(%task, "published files are missing or cut short; the roster is published again");
        }
        Ok(standing.map(|standing| (standing.published, standing.is_whole)))
    }

    /// Publishes a roster under its task's lock, in the order that this module is about.
    ///
    /// # Errors
    /// [`PublishError`]; what was published before then still is, unless only the current copies failed.
    pub async fn publish(&self, lock: &TaskLock, publication: Publication) -> Result<Outcome, PublishError> {
        let task = lock.task;
        let Found { standing, undecided, .. } = self.recover_standing(lock).await?;
        self.check_source(publication.source.kind).await?;
        let outcome = self.publish_over(lock, standing, publication).await?;
        self.sweep_decided(task, &undecided).await;
        self.follow(lock, &outcome.manifest).await?;
        Ok(outcome)
    }

    /// Puts the manifest of a roster in place of what stands there.
    async fn publish_over(
        &self,
        lock: &TaskLock,
        standing: Option<Standing>,
        publication: Publication,
    ) -> Result<Outcome, PublishError> {
        let task = lock.task;
        let Some(standing) = standing else {
            let name = RevisionName { number: 1, nonce: rand::random() };
            let plan = PlannedRevision { name, changes: None, rosters_purged_at: None };
            let publishing = async {
                let written = self.write_revision(task, plan, publication).await?;
                self.put_first_manifest(lock, written).await
            };
            let published = self.or_sweep(task, name, publishing.await).await?;
            return Ok(Outcome { manifest: published, status: PublicationStatus::Published, changes: None });
        };

        let mut publication = publication;
        let rosters_purged_at = standing.published.manifest.rosters_purged_at;
        if let Some(purged_at) = rosters_purged_at {
            tracing::warn!(%task, %purged_at, "the rosters were purged, so only the counts are published");
            publication.withhold_rosters();
        }
        if standing.is_unchanged_by(&publication) && self.is_unaltered(&standing.published).await? {
            let renewed = rechecked(&standing.published.manifest, &publication);
            let revision = WrittenRevision { manifest: renewed, name: standing.published.revision };
            let published =
                self.put_manifest(lock, revision, Precondition::Unchanged(standing.version)).await?;
            return Ok(Outcome { manifest: published, status: PublicationStatus::Unchanged, changes: None });
        }

        let (published, seen) = (standing.published.manifest.period_state, publication.period_state);
        if seen < published {
            return Err(PublishError::StateWentBack { task, published, seen });
        }
        let changes = self.changes_since(&standing, &mut publication).await?;
        let before = standing.published.manifest.counts.guests;
        let lost = changes
            .map_or_else(|| before.saturating_sub(publication.counts.guests), |changes| changes.removed);
        if !publication.allow_shrink {
            self.settings.shrink.check(task, before, lost, publication.counts.guests)?;
        }
        let number = standing.published.revision.number.checked_add(1).ok_or_else(|| {
            let cause = ManifestError::Inconsistent("its revision is the last possible one".to_owned());
            PublishError::ManifestDamaged { place: layout::manifest(task).to_string(), cause }
        })?;
        let name = RevisionName { number, nonce: rand::random() };
        let plan = PlannedRevision { name, changes, rosters_purged_at };
        let publishing = async {
            let written = self.write_revision(task, plan, publication).await?;
            self.put_manifest(lock, written, Precondition::Unchanged(standing.version)).await
        };
        let published = self.or_sweep(task, name, publishing.await).await?;
        Ok(Outcome { manifest: published, status: PublicationStatus::Restated, changes })
    }

    /// Compares with the roster that is published, where it is there, undamaged and of the same kind.
    async fn changes_since(
        &self,
        standing: &Standing,
        publication: &mut Publication,
    ) -> Result<Option<ChangesRecord>, PublishError> {
        let before = &standing.published.manifest;
        if before.roster != publication.roster {
            return Ok(None);
        }
        let record = |added, removed| ChangesRecord { against_revision: before.revision, added, removed };
        if before.content_sha256 == publication.content_sha256 {
            return Ok(Some(record(0, 0)));
        }
        let file = before.file(Dataset::GuestRoster, Format::Parquet);
        let (Some(compare), Some(file)) = (publication.compare.take(), file) else { return Ok(None) };
        let task = before.task();
        match self.compared(file, compare).await {
            Ok(changes) => Ok(Some(record(changes.added, changes.removed))),
            // What is to be published must be readable; only what is published may be damaged.
            Err(source) if matches!(source.downcast_ref(), Some(ChangesError::Rows(Side::New, _))) => {
                Err(PublishError::Rows { task, source })
            }
            Err(error) => {
                tracing::warn!(%task, %error, "the published roster cannot be compared with; its count is used");
                Ok(None)
            }
        }
    }

    async fn compared(&self, file: &FileRecord, compare: CompareRosters) -> Result<RosterChanges, PartError> {
        let measured = self.destination.open(&file.path).await?.ok_or("it is missing")?;
        let roster = self.destination.open(&file.path).await?.ok_or("it is missing")?;
        let recorded = Measure { bytes: file.bytes, sha256: file.sha256 };
        tokio::task::spawn_blocking(move || {
            if Measure::of(measured)? != recorded {
                return Err("its bytes are not those that were published".into());
            }
            compare(roster)
        })
        .await?
    }

    /// Encodes all parts before the first is put in place, so that a failing encoder leaves nothing.
    async fn write_revision(
        &self,
        task: TaskKey,
        plan: PlannedRevision,
        publication: Publication,
    ) -> Result<WrittenRevision, PublishError> {
        let Publication { parts, .. } = publication;
        let mut staged = Vec::with_capacity(parts.len());
        let mut files = Vec::with_capacity(parts.len());
        let mut guarded_cells = 0;
        for part in parts {
            let (dataset, format) = (part.dataset, part.format);
            let path = layout::revision_file(task, plan.name, dataset, format);
            let file = self.encode(task, &path, part).await?;
            let Measure { bytes, sha256 } = file.measure;
            let rows = file.encoded.rows;
            files.push(FileRecord { path: path.clone(), dataset, format, rows, bytes, sha256 });
            guarded_cells += file.encoded.guarded_cells;
            staged.push((file.staged, path));
        }
        let exported_at = publication.checked_at.trunc_subsecs(0);
        let mut walk = publication.walk;
        walk.guarded_cells = guarded_cells;
        walk.started_at = walk.started_at.trunc_subsecs(0);
        walk.finished_at = walk.finished_at.trunc_subsecs(0);
        let manifest = Manifest {
            manifest_version: MANIFEST_VERSION,
            program: publication.program,
            source: publication.source,
            network_id: task.network,
            billing_period: task.period,
            period_start: task.period.start(),
            period_end: task.period.end(),
            period_state: publication.period_state,
            revision: plan.name.number,
            content_sha256: publication.content_sha256,
            exported_at,
            checked_at: exported_at,
            rosters_purged_at: plan.rosters_purged_at,
            roster: publication.roster,
            csv: publication.csv,
            counts: publication.counts,
            walk,
            changes: plan.changes,
            files,
        };
        let json = checked_json(&manifest, task)?;

        for (file, path) in staged {
            self.destination.install(file, &path, Precondition::Absent).await?;
        }
        let kept = layout::revision_manifest(task, plan.name);
        self.destination.put(json, &kept, Precondition::Absent).await?;
        Ok(WrittenRevision { manifest, name: plan.name })
    }

    async fn encode(
        &self,
        task: TaskKey,
        path: &RelativePath,
        part: Part,
    ) -> Result<EncodedFile<EncodedPart>, PublishError> {
        let (dataset, format) = (part.dataset.name(), part.format.name());
        encode(&*self.destination, path, part.encode).await.map_err(|error| match error {
            EncodeError::Destination(error) => error.into(),
            EncodeError::Encoder(source) => match source.downcast_ref() {
                Some(WriteError::Rows(_)) => PublishError::Rows { task, source },
                _ => PublishError::Encode { task, dataset, format, source },
            },
        })
    }

    /// Publishes the first revision of a task; the first of an output only alone, so that sources cannot mix.
    async fn put_first_manifest(
        &self,
        lock: &TaskLock,
        revision: WrittenRevision,
    ) -> Result<PublishedManifest, PublishError> {
        let source = revision.manifest.source.kind;
        // Only a manifest of the same source makes the lock needless: without one, another run may be putting
        // the output's first manifest at this moment.
        let alone = match self.output_source().await? {
            Some((found, _place)) if found == source => None,
            Some(_) | None => {
                let name = layout::first_publication_lock();
                Some(self.destination.lock(&name, &self.settings.lock_wait).await?)
            }
        };
        self.check_source(source).await?;
        let published = self.put_manifest(lock, revision, Precondition::Absent).await?;
        drop(alone);
        Ok(published)
    }

    /// Makes a durable revision the published one.
    async fn put_manifest(
        &self,
        lock: &TaskLock,
        revision: WrittenRevision,
        precondition: Precondition,
    ) -> Result<PublishedManifest, PublishError> {
        let WrittenRevision { manifest, name } = revision;
        let task = lock.task;
        let json = checked_json(&manifest, task)?;
        lock.lock.confirm().await?;
        self.destination.put(json, &layout::manifest(task), precondition).await?;
        Ok(PublishedManifest { manifest, revision: name })
    }

    /// Finds out what source the output's data comes from: any one manifest tells, by rule 9 itself.
    async fn output_source(&self) -> Result<Option<(SourceKind, RelativePath)>, PublishError> {
        let mut known = self.output_source.lock().await;
        if known.is_some() {
            return Ok(known.clone());
        }
        let mut damaged = None;
        for file in self.destination.list(&layout::manifests()).await?.files {
            let Some(Place::Manifest(task)) = Place::of(&file.path) else { continue };
            match read_manifest(&*self.destination, task).await {
                Ok(Some(manifest)) => {
                    *known = Some((manifest.source.kind, file.path));
                    return Ok(known.clone());
                }
                Ok(None) => {}
                Err(error @ PublishError::ManifestDamaged { .. }) => damaged = Some(error),
                Err(error) => return Err(error),
            }
        }
        damaged.map_or(Ok(None), Err)
    }
}

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
