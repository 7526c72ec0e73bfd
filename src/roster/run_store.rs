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
    #[error("what was read so far cannot be kept in the state location: {0}")]
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
        let written = encode(&*self.place, move |out| {
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
                let reason = RunFileError::Damaged("it is missing");
                return Err(RosterError::Damaged(DamagedRun { run: run.sha256, reason }).into());
            };
            opened.push(OpenRun { file: Arc::new(file), sha256: run.sha256, rows: run.rows });
        }
        Ok(OpenRuns { runs: opened, stop: self.stop.clone() })
    }
}
