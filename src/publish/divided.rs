//! An output whose rosters lie elsewhere, so that whoever reads counts reads no personal data.
//!
//! It is one destination to all who publish and verify: every path is what it was, and which place a file is in is
//! decided by its path alone ([`layout::holds_guests`]). Manifests, locks and the summary stay with the counts.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::layout;
use crate::storage::destination::{
    Destination, DestinationError, HeldLock, Listing, Precondition, StagedFile, Version, Versioned,
};
use crate::storage::lock_wait::LockWait;
use crate::storage::path::RelativePath;

/// Two places that are one output.
#[derive(Debug)]
pub struct DividedOutput {
    counts: Arc<dyn Destination>,
    rosters: Arc<dyn Destination>,
}

impl DividedOutput {
    /// Puts rosters into one place, and everything else into another.
    #[must_use]
    pub fn new(counts: Arc<dyn Destination>, rosters: Arc<dyn Destination>) -> Self {
        Self { counts, rosters }
    }

    fn of(&self, path: &RelativePath) -> &dyn Destination {
        if layout::holds_guests(path) { &*self.rosters } else { &*self.counts }
    }

    /// Says that rosters from before the output was divided are still where only counts should be.
    async fn warn_of_old_rosters(&self) -> Result<(), DestinationError> {
        let mut left = 0;
        for prefix in layout::published_prefixes() {
            let files = self.counts.list(&prefix).await?.files;
            left += files.iter().filter(|file| layout::holds_guests(&file.path)).count();
        }
        if left > 0 {
            tracing::warn!(
                files = left,
                place = %self.counts.describe(),
                "rosters from before output.roster_url was set are still beside the counts; remove every guest_roster \
                 file there if whoever reads the counts must not read them"
            );
        }
        Ok(())
    }
}

#[async_trait]
impl Destination for DividedOutput {
    fn describe(&self) -> String {
        self.counts.describe()
    }

    fn full_name(&self) -> String {
        self.counts.full_name()
    }

    async fn probe_writable(&self) -> Result<(), DestinationError> {
        self.counts.probe_writable().await?;
        self.rosters.probe_writable().await?;
        self.warn_of_old_rosters().await
    }

    fn honours_conditions(&self) -> bool {
        self.counts.honours_conditions() && self.rosters.honours_conditions()
    }

    async fn stage(&self, path: &RelativePath) -> Result<StagedFile, DestinationError> {
        self.of(path).stage(path).await
    }

    async fn install(
        &self,
        staged: StagedFile,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<(), DestinationError> {
        self.of(path).install(staged, path, precondition).await
    }

    async fn put(
        &self,
        bytes: Vec<u8>,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<Version, DestinationError> {
        self.of(path).put(bytes, path, precondition).await
    }

    async fn read(&self, path: &RelativePath, limit: u64) -> Result<Option<Versioned>, DestinationError> {
        self.of(path).read(path, limit).await
    }

    async fn open(&self, path: &RelativePath) -> Result<Option<File>, DestinationError> {
        self.of(path).open(path).await
    }

    /// Rosters are copied to rosters, counts to counts.
    async fn copy(&self, from: &RelativePath, to: &RelativePath) -> Result<(), DestinationError> {
        self.of(to).copy(from, to).await
    }

    async fn remove(&self, path: &RelativePath) -> Result<(), DestinationError> {
        self.of(path).remove(path).await
    }

    /// What lies in the wrong place is as good as absent.
    async fn list(&self, folder: &RelativePath) -> Result<Listing, DestinationError> {
        let mut listing = self.counts.list(folder).await?;
        let rosters = self.rosters.list(folder).await?;
        listing.files.retain(|file| !layout::holds_guests(&file.path));
        listing.files.extend(rosters.files.into_iter().filter(|file| layout::holds_guests(&file.path)));
        listing.files.sort_by(|one, other| one.path.cmp(&other.path));
        listing.foreign.extend(rosters.foreign);
        listing.foreign.sort();
        Ok(listing)
    }

    async fn lock(&self, name: &RelativePath, wait: &LockWait) -> Result<HeldLock, DestinationError> {
        self.counts.lock(name, wait).await
    }

    fn latest_effect(&self) -> Duration {
        self.counts.latest_effect().max(self.rosters.latest_effect())
    }

    async fn finish(&self) {
        self.counts.finish().await;
        self.rosters.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::fixture::{Sample, local};
    use crate::verify::{VerificationFilter, verify};

    fn names(root: &std::path::Path) -> Vec<String> {
        let found = walk(root);
        found.into_iter().filter(|name| !name.starts_with(".locks/")).collect()
    }

    fn walk(root: &std::path::Path) -> Vec<String> {
        let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found
    }

    #[tokio::test]
    async fn whoever_reads_the_counts_finds_no_guest_there() {
        let (counts, rosters) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let output = || Arc::new(DividedOutput::new(local(counts.path()), local(rosters.path())));
        Sample::new(0..250).run(local(counts.path())).await.unwrap();
        std::fs::remove_dir_all(counts.path().join("guest_roster")).unwrap();
        for guests in [0..250, 0..260, 0..260] {
            Sample::new(guests).run(output()).await.unwrap();
        }
        let report = verify(output(), &VerificationFilter::default(), chrono::Utc::now()).await.unwrap();
        // The first revision was published before the rosters went elsewhere.
        assert!(report.findings.iter().all(|finding| finding.path.contains("/r000001-")), "{report:#?}");
        let (beside_counts, beside_rosters) = (names(counts.path()), names(rosters.path()));
        assert!(beside_rosters.iter().all(|name| name.contains("guest_roster.")), "{beside_rosters:?}");
        assert_eq!(beside_rosters.len(), 2 * 2 + 2, "two revisions and the current copies, of two formats");
        let misplaced = beside_counts.iter().filter(|name| name.contains("guest_roster"));
        assert!(misplaced.clone().all(|name| name.contains("/r000001-")), "{beside_counts:?}");
        assert_eq!(misplaced.count(), 2);
    }
}
