//! The verification of one task: its manifest, its revisions, its current copies.
//!
//! The published revision is held against the published manifest, every earlier one against the manifest kept
//! with it; a revision that neither covers is an attempt that died. Data is read twice, once for its bytes and
//! once for its rows: a damaged file is then called damaged, rather than whatever a decoder makes of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::content::{ContentProblem, check_bytes, check_rows};
use super::inventory::{RevisionFiles, TaskFiles};
use super::report::{MISSING, VerificationReport};
use crate::dataset::Dataset;
use crate::publish::find_kept_purge;
use crate::publish::layout::{self, RevisionName, TaskKey};
use crate::publish::manifest;
use crate::publish::manifest::{FileRecord, MAX_MANIFEST_BYTES, Manifest, RosterKind};
use crate::publish::summary_row::SummaryRow;
use crate::storage::RelativePath;
use crate::storage::destination::{Destination, Version};
use crate::storage::seal;

/// What the verification of a task gave.
pub(super) struct Verified {
    pub(super) found: VerificationReport,
    /// The row that the summary must have.
    pub(super) row: Option<SummaryRow>,
    /// The version of the manifest that was verified.
    pub(super) version: Option<Version>,
}

/// Verifies one task.
pub(super) struct TaskVerifier {
    destination: Arc<dyn Destination>,
    task: TaskKey,
}

/// A manifest that could be read.
struct Read {
    manifest: Manifest,
    revision: RevisionName,
    is_sealed: bool,
}

impl TaskVerifier {
    pub(super) fn new(destination: Arc<dyn Destination>, task: TaskKey) -> Self {
        Self { destination, task }
    }

    /// Returns the version of the manifest that stands there now.
    pub(super) async fn version(&self) -> Option<Version> {
        let read = self.destination.read(&layout::manifest(self.task), MAX_MANIFEST_BYTES).await;
        read.ok().flatten().map(|read| read.version)
    }

    /// Reads and checks the files that the inventory lists, and misses those that it should.
    pub(super) async fn verify(&self, files: &TaskFiles) -> Verified {
        let mut found = VerificationReport::default();
        let version = self.version().await;
        if !files.manifest {
            self.report_unpublished(files, &mut found).await;
            return Verified { found, row: None, version };
        }
        let published = self.read_manifest(&layout::manifest(self.task), &mut found).await;
        if let Some(published) = &published {
            found.totals.publications += 1;
            found.totals.guests += published.manifest.counts.guests;
            if published.manifest.rosters_purged_at.is_some() {
                found.totals.purged += 1;
            } else if published.manifest.roster.mode == RosterKind::None {
                found.totals.without_rosters += 1;
            }
            self.verify_published(published, files, &mut found).await;
            self.verify_current(published, files, &mut found).await;
        }
        self.verify_others(published.as_ref(), files, &mut found).await;
        // The summary leaves out what is not sealed.
        let row = published
            .filter(|published| published.is_sealed)
            .map(|published| SummaryRow::published(&published.manifest));
        Verified { found, row, version }
    }

    fn export_again(&self) -> String {
        format!("export {} again: the run finishes or replaces what is there", self.task)
    }

    fn purge_again(&self) -> String {
        let next = self.task.period.plus_months(1);
        format!("run purge --rosters-before {next} again: it finishes what was begun")
    }

    fn restore(&self) -> String {
        format!(
            "restore it from a backup; or remove it and export {} again, which publishes a new revision",
            self.task
        )
    }

    fn restore_manifest(&self) -> String {
        format!(
            "restore it from the manifest.json of the newest revision below {}",
            layout::task_revisions(self.task)
        )
    }

    /// Without a manifest, what is there is either what a dead first run left, or has lost its manifest.
    async fn report_unpublished(&self, files: &TaskFiles, found: &mut VerificationReport) {
        let was_published =
            !files.current.is_empty() || files.revisions.keys().any(|revision| revision.number > 1);
        if was_published || self.was_purged(files).await {
            let problem = "is missing, though its task was published";
            found.find(layout::manifest(self.task), problem, self.restore_manifest());
        } else {
            for (revision, there) in &files.revisions {
                self.report_orphan(*revision, there, found);
            }
        }
    }

    /// What a dead first run left knows of no purge.
    async fn was_purged(&self, files: &TaskFiles) -> bool {
        let kept: Vec<RevisionName> = files.revisions.keys().copied().collect();
        matches!(find_kept_purge(&*self.destination, self.task, &kept).await, Ok(Some(_)))
    }

    /// A run may be about to publish what was written just now.
    fn report_orphan(&self, revision: RevisionName, there: &RevisionFiles, found: &mut VerificationReport) {
        if there.is_recent {
            tracing::info!(task = %self.task, %revision, "a revision that may yet be published is not looked at");
            return;
        }
        let folder = format!("{}/{revision}", layout::task_revisions(self.task));
        let problem = "was never published: a run died while it was being written";
        found.find(folder, problem, format!("export {} again: the run sweeps it", self.task));
    }

    async fn read_manifest(&self, path: &RelativePath, found: &mut VerificationReport) -> Option<Read> {
        let read = match self.destination.read(path, MAX_MANIFEST_BYTES).await {
            Ok(Some(read)) => read,
            Ok(None) => {
                found.find(path, MISSING, self.restore_manifest());
                return None;
            }
            Err(error) => {
                found.find(path, format!("cannot be read: {error}"), "make it readable and verify again");
                return None;
            }
        };
        found.totals.files += 1;
        let is_sealed = seal::holds(manifest::SEAL_FIELD, &read.bytes);
        if !is_sealed {
            found.find(path, "was altered: its manifest_sha256 does not hold", self.restore_manifest());
        }
        let parsed = Manifest::parse(&read.bytes, self.task).and_then(|manifest| {
            let revision = manifest.revision_of(self.task)?;
            Ok(Read { manifest, revision, is_sealed })
        });
        match parsed {
            Ok(read) => Some(read),
            Err(error) => {
                found.find(path, error.to_string(), self.restore_manifest());
                None
            }
        }
    }

    async fn verify_published(&self, published: &Read, files: &TaskFiles, found: &mut VerificationReport) {
        let is_purged = published.manifest.rosters_purged_at.is_some();
        self.verify_revision(&published.manifest, published.revision, is_purged, files, found).await;
        let path = layout::revision_manifest(self.task, published.revision);
        let Some(kept) = self.read_manifest(&path, found).await else { return };
        if kept.revision != published.revision {
            found.find(&path, "speaks of another revision than its folder", self.restore());
        }
        if is_purged && kept.manifest.rosters_purged_at.is_none() {
            found.find(&path, "does not say that the rosters were purged", self.purge_again());
        }
        for field in published.manifest.departures_from(&kept.manifest) {
            let problem = format!("says another {field} than the manifest kept with its revision");
            found.find(layout::manifest(self.task), problem, self.restore_manifest());
        }
    }

    /// Checks the files of a revision against a manifest, and that there are no others. Of a task whose rosters were
    /// purged no revision has any.
    async fn verify_revision(
        &self,
        manifest: &Manifest,
        revision: RevisionName,
        is_purged: bool,
        files: &TaskFiles,
        found: &mut VerificationReport,
    ) {
        found.totals.revisions += 1;
        let is_gone = |dataset: Dataset| is_purged && dataset == Dataset::GuestRoster;
        for record in manifest.files.iter().filter(|record| !is_gone(record.dataset)) {
            self.verify_file(&record.path, record, Some(manifest), self.restore(), found).await;
        }
        let none = RevisionFiles::default();
        let there = &files.revisions.get(&revision).unwrap_or(&none).data;
        for (dataset, format) in there.iter().copied() {
            let path = layout::revision_file(self.task, revision, dataset, format);
            if is_gone(dataset) {
                self.report_purged(&path, found).await;
            } else if manifest.file(dataset, format).is_none() {
                found.find(path, "is in no manifest", "move it away: nobody vouches for it");
            }
        }
    }

    /// Reads a file and checks its bytes, and with a manifest its rows.
    async fn verify_file(
        &self,
        path: &RelativePath,
        record: &FileRecord,
        rows_of: Option<&Manifest>,
        remedy: String,
        found: &mut VerificationReport,
    ) {
        let mut file = match self.destination.open(path).await {
            Ok(Some(file)) => file,
            Ok(None) => return found.find(path, MISSING, remedy),
            Err(error) => return found.find(path, format!("cannot be read: {error}"), remedy),
        };
        found.totals.files += 1;
        found.totals.bytes += file.metadata().map_or(0, |metadata| metadata.len());
        let (record, manifest) = (record.clone(), rows_of.cloned());
        let checked = tokio::task::spawn_blocking(move || -> Result<(), ContentProblem> {
            check_bytes(&mut file, &record)?;
            match &manifest {
                Some(manifest) => check_rows(file, &record, manifest),
                None => Ok(()),
            }
        });
        match checked.await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => found.find(path, problem.to_string(), remedy),
            // A decoder that panics on a damaged file has found the damage.
            Err(_panicked) => found.find(path, "cannot be decoded: its reader panicked", remedy),
        }
    }

    async fn verify_current(&self, published: &Read, files: &TaskFiles, found: &mut VerificationReport) {
        for record in published.manifest.present_files() {
            let path = layout::current(self.task, record.dataset, record.format);
            self.verify_file(&path, record, None, self.export_again(), found).await;
        }
        let is_purged = published.manifest.rosters_purged_at.is_some();
        for (dataset, format) in files.current.iter().copied() {
            let path = layout::current(self.task, dataset, format);
            if is_purged && dataset == Dataset::GuestRoster {
                self.report_purged(&path, found).await;
            } else if published.manifest.file(dataset, format).is_none() {
                found.find(path, "is no longer published", self.export_again());
            }
        }
    }

    /// Reports a roster that should be gone, unless a purge has removed it since the output was listed.
    async fn report_purged(&self, path: &RelativePath, found: &mut VerificationReport) {
        if !matches!(self.destination.open(path).await, Ok(None)) {
            found.find(path, "was purged, and is still there", self.purge_again());
        }
    }

    /// Checks the revisions that the published manifest does not name.
    async fn verify_others(
        &self,
        published: Option<&Read>,
        files: &TaskFiles,
        found: &mut VerificationReport,
    ) {
        let current = published.map(|published| published.revision);
        let is_purged = published.is_some_and(|published| published.manifest.rosters_purged_at.is_some());
        let mut numbers = BTreeSet::new();
        for (revision, there) in &files.revisions {
            if Some(*revision) == current {
                continue;
            }
            if current.is_some_and(|current| revision.number >= current.number) {
                self.report_orphan(*revision, there, found);
                continue;
            }
            let folder = format!("{}/{revision}", layout::task_revisions(self.task));
            if !numbers.insert(revision.number) {
                found.find(&folder, "has the number of another revision", "move the wrong one away");
            }
            let path = layout::revision_manifest(self.task, *revision);
            if !there.manifest {
                found.find(path, MISSING, "restore it from a backup, or move its folder away");
                continue;
            }
            let Some(kept) = self.read_manifest(&path, found).await else { continue };
            if kept.revision != *revision {
                found.find(&path, "speaks of another revision than its folder", self.restore());
                continue;
            }
            self.verify_revision(&kept.manifest, *revision, is_purged, files, found).await;
        }
    }
}
