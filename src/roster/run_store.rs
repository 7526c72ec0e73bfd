//! Where runs are written down: immutable files, named by their digests, in one folder of the state location.
//!
//! A run is there for whoever knows its record and garbage for everybody else. So nothing here decides what still
//! counts: the cursor that lists the runs does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::merge::{OpenRun, OpenRuns};
use super::rows::{SortedRows, SortedRun};
use super::run_file::{self, RunFileError, WriteError};
use super::{DamagedRun, RosterError};
use crate::storage::{
    Destination, DestinationError, EncodeError, FileDigest, Precondition, RelativePath, encode,
};

/// The most runs that are merged at once: each takes an open file and a block of memory.
pub const MERGE_FAN_IN: usize = 64;

/// A run that is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The digest of its bytes, and its name.
    pub sha256: FileDigest,
    /// Its rows, each a distinct guest.
    pub rows: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Why runs could not be written down or read again.
#[derive(Debug, thiserror::Error)]
pub enum RunStoreError {
    /// The state location refuses (exit 73).
    #[error("what was read so far cannot be kept in the state location (--state)")]
    Storage(#[from] DestinationError),
    /// The rows failed.
    #[error(transparent)]
    Rows(#[from] RosterError),
}

/// A folder of runs.
#[derive(Clone, Debug)]
pub struct RunStore {
    place: Arc<dyn Destination>,
    folder: RelativePath,
    stop: CancellationToken,
}

impl RunStore {
    /// Names the folder; nothing is touched. Long merges end when `stop` is cancelled.
    #[must_use]
    pub const fn new(place: Arc<dyn Destination>, folder: RelativePath, stop: CancellationToken) -> Self {
        Self { place, folder, stop }
    }

    /// Returns the path of a run.
    #[must_use]
    pub fn path(&self, run: &RunRecord) -> RelativePath {
        self.folder.join(&format!("{}.run", run.sha256)).expect("digits and letters")
    }

    /// Writes a run down, durably.
    ///
    /// # Errors
    /// [`RunStoreError`]; no run is there then.
    pub async fn write(&self, run: Arc<SortedRun>) -> Result<RunRecord, RunStoreError> {
        self.write_rows(run.rows()).await
    }

    /// Writes several runs down as one.
    ///
    /// # Errors
    /// [`RunStoreError`]; the runs stay as they are.
    pub async fn merge(&self, runs: &[RunRecord]) -> Result<RunRecord, RunStoreError> {
        let rows = self.open(runs).await?.rows()?;
        self.write_rows(rows).await
    }

    async fn write_rows(
        &self,
        mut rows: impl SortedRows + Send + 'static,
    ) -> Result<RunRecord, RunStoreError> {
        let written = encode(&*self.place, &self.folder, move |out| {
            run_file::write(&mut rows, out).map_err(|error| match error {
                WriteError::Rows(error) => error.into(),
                WriteError::Io(error) => error.into(),
            })
        });
        let file = written.await.map_err(|error| match error {
            EncodeError::Destination(error) => RunStoreError::Storage(error),
            EncodeError::Encoder(error) => match error.downcast::<RosterError>() {
                Ok(error) => RunStoreError::Rows(*error),
                Err(error) => RunStoreError::Storage(DestinationError::io(
                    "written",
                    self.place.describe(),
                    std::io::Error::other(error),
                )),
            },
        })?;
        let record = RunRecord { sha256: file.measure.sha256, rows: file.encoded, bytes: file.measure.bytes };
        self.place.install(file.staged, &self.path(&record), Precondition::Any).await?;
        Ok(record)
    }

    /// Opens runs to be read as one, as often as needed. They may be removed meanwhile.
    ///
    /// # Errors
    /// [`RunStoreError`], also if one is missing. Damage shows when they are read.
    pub async fn open(&self, runs: &[RunRecord]) -> Result<OpenRuns, RunStoreError> {
        let mut opened = Vec::with_capacity(runs.len());
        for run in runs {
            let Some(file) = self.place.open(&self.path(run)).await? else {
                let reason = RunFileError::Damaged("the file is missing");
                return Err(RosterError::Damaged(DamagedRun { run: run.sha256, reason }).into());
            };
            opened.push(OpenRun { file: Arc::new(file), sha256: run.sha256, rows: run.rows });
        }
        Ok(OpenRuns { runs: opened, stop: self.stop.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::roster::{Roster, RosterMode, RosterOf, RosterRows};
    use crate::storage::LocalDestination;

    fn store(folder: &Path) -> RunStore {
        let place = Arc::new(LocalDestination::new(folder.to_owned()));
        RunStore::new(place, RelativePath::new("runs").unwrap(), CancellationToken::new())
    }

    fn of() -> RosterOf {
        let (network, period) = ("01234567".parse().unwrap(), "2026-10".parse().unwrap());
        RosterOf { network, period, mode: RosterMode::Full }
    }

    async fn merged(store: &RunStore, runs: &[RunRecord], pushed: usize) -> Result<Roster, RosterError> {
        let rows = RosterRows::Runs(store.open(runs).await.unwrap());
        Roster::of(of(), pushed as u64, rows)
    }

    fn batches(roster: &Roster) -> Vec<arrow::array::RecordBatch> {
        roster.stream().unwrap().map(Result::unwrap).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Also those that are merged twice: a conflict that shows within a run, between runs, or both, counts once.
        #[test]
        fn runs_together_are_the_roster_of_all_their_rows(
            pushed in proptest::collection::vec(("[a-cé]{1,2}", "[xy]?"), 0..60),
            run_rows in 1..20_usize,
            merged_first in 0..4_usize,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (roster, expected) = runtime.block_on(async {
                let store = store(folder.path());
                let mut runs = Vec::new();
                for chunk in pushed.chunks(run_rows) {
                    let rows = chunk.iter().map(|(hash, name)| (hash.as_str(), name.as_str()));
                    runs.push(store.write(SortedRun::of(rows)).await.unwrap());
                }
                let first = runs.split_off(runs.len().saturating_sub(merged_first));
                runs.push(store.merge(&first).await.unwrap());
                let roster = merged(&store, &runs, pushed.len()).await.unwrap();
                let rows = pushed.iter().map(|(hash, name)| (hash.as_str(), name.as_str()));
                (roster, Roster::of_guests(of(), rows))
            });
            prop_assert_eq!(roster.content_sha256(), expected.content_sha256());
            prop_assert!(roster.same_guests(&expected));
            prop_assert_eq!(roster.guests(), expected.guests());
            prop_assert_eq!(roster.duplicates(), expected.duplicates());
            prop_assert_eq!(roster.username_conflicts(), expected.username_conflicts());
            prop_assert_eq!(roster.empty_usernames(), expected.empty_usernames());
            prop_assert_eq!(batches(&roster), batches(&expected));
        }
    }

    #[tokio::test]
    async fn a_run_is_written_once_whatever_its_rows_came_in() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let one = store.write(SortedRun::of([("b", "y"), ("a", "x"), ("a", "w")])).await.unwrap();
        let other = store.write(SortedRun::of([("a", "w"), ("b", "y"), ("a", "x")])).await.unwrap();
        assert_eq!(one, other);
        assert_eq!(one.rows, 2);
        assert_eq!(std::fs::read_dir(folder.path().join("runs")).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn bytes_that_are_not_those_that_were_written_end_the_roster_with_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let run = store.write(SortedRun::of([("a", "x"), ("b", "y")])).await.unwrap();
        let path = folder.path().join("runs").join(format!("{}.run", run.sha256));
        let sound = std::fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, damaged).unwrap();
            let roster = merged(&store, &[run], 2).await;
            assert!(matches!(roster, Err(RosterError::Damaged(_))), "byte {at}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(store.open(&[run]).await.is_err());
    }
}
