//! An output whose rosters lie elsewhere, so that whoever reads counts reads no personal data.
//!
//! Each place says what the other is, so that none is taken for another output's, and no run that is not told of the
//! rosters' place puts some beside the counts. It is one destination to all who publish and verify: every path is what it was, and which place a file is in is
//! decided by its path alone ([`layout::holds_guests`]). Manifests, locks and the summary stay with the counts.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::layout;
use crate::error_chain::excerpt;
use crate::storage::destination::{
    Destination, DestinationError, HeldLock, Listing, Precondition, StagedFile, Version, Versioned,
};
use crate::storage::lock_wait::LockWait;
use crate::storage::path::RelativePath;

/// The longest text of an owner's file that is read, in bytes.
const MAX_OWNER_BYTES: u64 = 16 * 1024;
/// The most that is shown of an output's name, in characters.
const MAX_SHOWN_CHARACTERS: usize = 200;

/// Whose rosters a place has.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    /// The full name of the place of the counts.
    output: String,
}

/// Where an output has its rosters.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RostersPlace {
    /// The full name of the place.
    rosters: String,
}

fn place_file() -> RelativePath {
    RelativePath::known(".rosters-in.json".to_owned())
}

fn owner_file() -> RelativePath {
    RelativePath::known(".rosters-of.json".to_owned())
}

/// Reads what a place says of the other.
async fn read_other<T: DeserializeOwned>(
    place: &dyn Destination,
    file: &RelativePath,
) -> Result<Option<T>, DestinationError> {
    let Some(found) = place.read(file, MAX_OWNER_BYTES).await? else { return Ok(None) };
    let read = serde_json::from_slice(&found.bytes);
    let damaged = |_| DestinationError::PlaceFileDamaged { place: place.describe(), file: file.to_string() };
    read.map(Some).map_err(damaged)
}

/// Makes sure that the rosters of an output are where they are looked for: beside its counts, or in another place.
async fn check_place(
    counts: &dyn Destination,
    rosters: Option<&dyn Destination>,
) -> Result<(), DestinationError> {
    let Some(found) = read_other::<RostersPlace>(counts, &place_file()).await? else { return Ok(()) };
    let name = rosters.map(Destination::full_name);
    if Some(&found.rosters) == name.as_ref() {
        return Ok(());
    }
    Err(DestinationError::RostersElsewhere {
        output: counts.describe(),
        recorded: excerpt(&found.rosters, MAX_SHOWN_CHARACTERS),
        wanted: rosters
            .map_or_else(|| "beside its counts".to_owned(), |rosters| format!("to {}", rosters.describe())),
        file: place_file().to_string(),
    })
}

/// Makes sure that an output has no other place for its rosters.
///
/// # Errors
/// [`DestinationError::RostersElsewhere`], [`DestinationError::PlaceFileDamaged`], or what the place fails with.
pub async fn check_undivided(output: &dyn Destination) -> Result<(), DestinationError> {
    check_place(output, None).await
}

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

    /// Makes sure that the place of the rosters is no other output's: nothing but that output's manifests and locks
    /// keeps its rosters from being swept away as what a dead run has left. And that this output has no other.
    ///
    /// # Errors
    /// [`DestinationError::OwnedByAnother`], [`DestinationError::RostersElsewhere`],
    /// [`DestinationError::PlaceFileDamaged`], or what a place fails with.
    pub async fn check_owner(&self) -> Result<(), DestinationError> {
        match read_other::<Owner>(&*self.rosters, &owner_file()).await? {
            None => {}
            Some(owner) if owner == self.owner() => {}
            Some(Owner { output }) => {
                let owner = excerpt(&output, MAX_SHOWN_CHARACTERS);
                let (place, file) = (self.rosters.describe(), owner_file().to_string());
                return Err(DestinationError::OwnedByAnother { place, owner, file });
            }
        }
        check_place(&*self.counts, Some(&*self.rosters)).await
    }

    fn owner(&self) -> Owner {
        Owner { output: self.counts.full_name() }
    }

    /// Makes the place of the rosters this output's, if it is nobody's yet, and lets each place name the other.
    async fn claim(&self) -> Result<(), DestinationError> {
        self.check_owner().await?;
        let place = RostersPlace { rosters: self.rosters.full_name() };
        let owner = serde_json::to_vec_pretty(&self.owner()).expect("an owner has a JSON form");
        let place = serde_json::to_vec_pretty(&place).expect("a place has a JSON form");
        for (at, file, json) in [(&self.rosters, owner_file(), owner), (&self.counts, place_file(), place)] {
            match at.put(json, &file, Precondition::Absent).await {
                Ok(_) => {}
                // Somebody was faster, or it has been ours for long.
                Err(DestinationError::Changed { .. }) => self.check_owner().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that rosters from before the output was divided are still where only counts should be, and which of them
    /// are nowhere else.
    async fn warn_of_old_rosters(&self) -> Result<(), DestinationError> {
        let (mut copied, mut only) = (0, 0);
        for prefix in layout::published_prefixes() {
            let mut old = self.counts.list(&prefix).await?.files;
            old.retain(|file| layout::holds_guests(&file.path));
            if old.is_empty() {
                continue;
            }
            let moved = self.rosters.list(&prefix).await?.files;
            let moved: BTreeSet<_> = moved.iter().map(|file| (&file.path, file.bytes)).collect();
            let of = old.iter().filter(|file| moved.contains(&(&file.path, file.bytes))).count();
            copied += of;
            only += old.len() - of;
        }
        let place = self.counts.describe();
        if copied > 0 {
            tracing::warn!(
                files = copied,
                %place,
                "rosters from before output.roster_url was set are still beside the counts as well; remove those \
                 guest_roster files there if whoever reads the counts must not read them"
            );
        }
        if only > 0 {
            tracing::warn!(
                files = only,
                %place,
                "rosters from before output.roster_url was set are nowhere but beside the counts; a run that exports \
                 rosters publishes those of its periods again, move the others by hand to the same paths of the \
                 rosters' place"
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

    fn full_names(&self) -> Vec<String> {
        vec![self.counts.full_name(), self.rosters.full_name()]
    }

    async fn probe_writable(&self) -> Result<(), DestinationError> {
        self.counts.probe_writable().await?;
        self.rosters.probe_writable().await?;
        self.claim().await?;
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
        let own = |name: &String| {
            name.starts_with(".locks/")
                || [owner_file(), place_file()].iter().any(|file| name == file.as_str())
        };
        found.into_iter().filter(|name| !own(name)).collect()
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

    #[tokio::test]
    async fn a_place_of_rosters_is_one_outputs_alone() {
        let [one, other, rosters] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let divided =
            |counts: &tempfile::TempDir| DividedOutput::new(local(counts.path()), local(rosters.path()));
        divided(&one).check_owner().await.unwrap();
        divided(&one).probe_writable().await.unwrap();
        divided(&one).probe_writable().await.unwrap();
        for refused in [divided(&other).probe_writable().await, divided(&other).check_owner().await] {
            match refused {
                Err(DestinationError::OwnedByAnother { owner, .. }) => {
                    assert_eq!(owner, divided(&one).full_name());
                }
                taken => panic!("{taken:?}"),
            }
        }
    }
    #[tokio::test]
    async fn an_output_has_one_place_for_its_rosters() {
        let [counts, rosters, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let divided =
            |rosters: &tempfile::TempDir| DividedOutput::new(local(counts.path()), local(rosters.path()));
        check_undivided(&*local(counts.path())).await.unwrap();
        divided(&rosters).probe_writable().await.unwrap();
        divided(&rosters).probe_writable().await.unwrap();
        let refused = [
            check_undivided(&*local(counts.path())).await,
            divided(&other).check_owner().await,
            divided(&other).probe_writable().await,
        ];
        for refused in refused {
            match refused {
                Err(DestinationError::RostersElsewhere { recorded, .. }) => {
                    assert_eq!(recorded, local(rosters.path()).full_name());
                }
                taken => panic!("{taken:?}"),
            }
        }
        assert!(!other.path().join(owner_file().as_str()).exists(), "what is refused claims nothing");
    }

    #[tokio::test]
    async fn what_a_place_says_and_nobody_can_read_is_taken_for_no_place() {
        let [counts, rosters] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let divided = || DividedOutput::new(local(counts.path()), local(rosters.path()));
        for (at, file) in [(&counts, place_file()), (&rosters, owner_file())] {
            divided().probe_writable().await.unwrap();
            let path = at.path().join(file.as_str());
            std::fs::write(&path, "{").unwrap();
            let error = divided().check_owner().await.unwrap_err().to_string();
            let start = format!("{file} in {} is damaged, so", local(at.path()).describe());
            assert!(error.starts_with(&start), "{error}");
            // The remedy that it names.
            std::fs::remove_file(&path).unwrap();
            divided().probe_writable().await.unwrap();
            assert!(path.exists());
        }
    }
}
