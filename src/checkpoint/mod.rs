//! What an interrupted task leaves behind, and how it is found again.
//!
//! A checkpoint is a folder of runs and a cursor that lists them. The order is always the same: runs are durable
//! before the cursor that names them replaces the one before it, and that is the only commit point; a run that no
//! cursor names is garbage. What the cursor says beyond that is for whoever walks: here it is a document with a
//! seal, a fingerprint and an age. One that does not fit is discarded and said, never trusted.
//!
//! A task too small to fill a run leaves nothing, and then nothing is touched.

mod cursor;
mod fingerprint;
mod location;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

pub use self::cursor::{Cursor, CursorError, FORMAT};
pub use self::fingerprint::Fingerprint;
pub use self::location::{KeptWalk, LONGEST_MAX_AGE, StateLocation};
use crate::clock::Clock;
use crate::error_chain::error_chain;
use crate::roster::{RunRecord, RunStore, RunStoreError};
use crate::storage::{Destination, DestinationError, HeldLock, Precondition, RelativePath};
use crate::task::TaskKey;

/// The most bytes of a cursor: the digests of a million tokens, twice over.
const MAX_CURSOR_BYTES: u64 = 64 * 1024 * 1024;

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Nobody said where, and the environment does not either (exit 73).
    #[error(
        "there is no place to keep what was read so far: neither --state nor XDG_STATE_HOME nor HOME is set; give \
         --state DIR"
    )]
    NoLocation,
    /// What was written down cannot be read at the moment (exit 73 or 75).
    #[error("going on where an earlier run stopped; run again, or remove what it left with `state clear`")]
    Runs(#[source] RunStoreError),
    /// The state location refuses (exit 73), or is in use (exit 75).
    #[error("the state location (--state)")]
    Storage(#[from] DestinationError),
}

/// What a document in a cursor must tell of itself.
pub trait Resumable: Serialize + DeserializeOwned + Send + Sync {
    /// Lists every run that it rests on.
    fn runs(&self) -> Vec<RunRecord>;

    /// Says what makes it unusable now, if anything.
    ///
    /// # Errors
    /// The reason, as the end of a sentence about the walk.
    fn check(&self) -> Result<(), String>;
}

/// The checkpoint of one task.
pub struct Checkpoint {
    location: Option<StateLocation>,
    folder: RelativePath,
    fingerprint: Fingerprint,
    max_age: TimeDelta,
    clock: Arc<dyn Clock>,
    store: Option<RunStore>,
    lock: Option<HeldLock>,
    is_there: bool,
    /// What the next cursor may replace: the one that was read or written last, if that is known.
    replaces: Precondition,
}

impl Checkpoint {
    /// Names the checkpoint of a task; nothing is touched.
    ///
    /// Without a location nothing is resumed, and a task that has to write something down fails.
    #[must_use]
    pub fn new(
        location: Option<StateLocation>,
        fingerprint: Fingerprint,
        max_age: TimeDelta,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Self {
        let task = TaskKey::new(fingerprint.network, fingerprint.billing_period);
        let folder = location::folder(&fingerprint.destination, task);
        let store =
            location.as_ref().map(|location| RunStore::new(location.place.clone(), folder.clone(), stop));
        let (lock, is_there, replaces) = (None, false, Precondition::Any);
        Self { location, folder, fingerprint, max_age, clock, store, lock, is_there, replaces }
    }

    /// Says whether the task has left anything so far that the next process would find.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.is_there
    }

    /// Says whether the next process would go on with it.
    #[must_use]
    pub fn can_be_resumed(&self) -> bool {
        self.is_there && self.max_age > TimeDelta::zero()
    }

    /// Returns where runs are written, locking the checkpoint against everybody else.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn store(&mut self) -> Result<&RunStore, CheckpointError> {
        self.hold().await?;
        self.store.as_ref().ok_or(CheckpointError::NoLocation)
    }

    async fn hold(&mut self) -> Result<(), CheckpointError> {
        let location = self.location.as_ref().ok_or(CheckpointError::NoLocation)?;
        if self.lock.is_none() {
            self.lock = Some(location.lock(&self.folder).await?);
        }
        Ok(())
    }

    fn place(&self) -> Result<&Arc<dyn Destination>, CheckpointError> {
        Ok(&self.location.as_ref().ok_or(CheckpointError::NoLocation)?.place)
    }

    /// Finds what an earlier process left of the same task and when, if it still fits, and sweeps away what does not.
    ///
    /// # Errors
    /// [`CheckpointError::Storage`] if somebody else holds the checkpoint. A location that cannot be read has
    /// nothing to resume, which is said; what has to be written there will fail.
    pub async fn load<T: Resumable>(&mut self) -> Result<Option<(T, DateTime<Utc>)>, CheckpointError> {
        if self.location.is_none() {
            return Ok(None);
        }
        match self.find().await {
            Ok(found) => Ok(found),
            Err(
                error @ CheckpointError::Storage(
                    DestinationError::Locked { .. } | DestinationError::Interrupted { .. },
                ),
            ) => Err(error),
            Err(error) => {
                tracing::warn!(error = %error_chain(&error), "state location not readable, nothing is resumed");
                Ok(None)
            }
        }
    }

    /// Returns what an earlier process left, if it is sound; whether it fits is not asked, and nothing is touched.
    pub async fn look<T: Resumable>(&self) -> Option<T> {
        let path = location::cursor(&self.folder);
        let read = self.place().ok()?.read(&path, MAX_CURSOR_BYTES).await.ok()??;
        let document = Cursor::<T>::parse(&read.bytes).ok()?.document;
        document.check().is_ok().then_some(document)
    }

    async fn find<T: Resumable>(&mut self) -> Result<Option<(T, DateTime<Utc>)>, CheckpointError> {
        if self.place()?.list(&self.folder).await?.files.is_empty() {
            return Ok(None);
        }
        self.hold().await?;
        match self.read::<T>().await? {
            Ok(found) => {
                self.is_there = true;
                self.sweep(&found.0.runs()).await;
                Ok(Some(found))
            }
            Err(reason) => {
                self.discard(&reason).await;
                Ok(None)
            }
        }
    }

    /// Reads the cursor and holds it against everything that it must fit.
    async fn read<T: Resumable>(&mut self) -> Result<Result<(T, DateTime<Utc>), String>, CheckpointError> {
        let path = location::cursor(&self.folder);
        let read = match self.place()?.read(&path, MAX_CURSOR_BYTES).await {
            Ok(Some(read)) => read,
            Ok(None) => {
                return Ok(Err(
                    "its cursor is missing, as after a kill before the first checkpoint".to_owned()
                ));
            }
            Err(DestinationError::TooLong { .. }) => return Ok(Err("its cursor is damaged".to_owned())),
            Err(error) => return Err(error.into()),
        };
        self.replaces = Precondition::Unchanged(read.version);
        let cursor: Cursor<T> = match Cursor::parse(&read.bytes) {
            Ok(cursor) => cursor,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if let Some(difference) = self.fingerprint.difference(&cursor.fingerprint) {
            return Ok(Err(format!("{difference} is another one now")));
        }
        if (self.clock.now() - cursor.saved_at).abs() > self.max_age {
            return Ok(Err(format!(
                "it is from {} and older than resume.max_age",
                cursor.saved_at.format("%FT%TZ")
            )));
        }
        Ok(cursor.document.check().map(|()| (cursor.document, cursor.saved_at)))
    }

    /// Makes a document the checkpoint. Every run that it lists is durable already. It is as old as the latest of what
    /// it tells: a walk that never gets on must be too old some day.
    ///
    /// # Errors
    /// [`CheckpointError`]; the checkpoint before it is still there.
    pub async fn save<T: Resumable>(
        &mut self,
        document: &T,
        saved_at: DateTime<Utc>,
    ) -> Result<(), CheckpointError> {
        self.hold().await?;
        let cursor = Cursor { fingerprint: &self.fingerprint, saved_at, document };
        let json = cursor.to_sealed_json();
        if let Some(lock) = &self.lock
            && let Err(error) = lock.confirm().await
        {
            // Whoever took the lock away took the rest, or has it now.
            self.is_there &= !matches!(error, DestinationError::LockLost { .. });
            return Err(error.into());
        }
        // If it fails, whether it took effect is not known; the lock is asked again before the next one.
        let replaces = std::mem::replace(&mut self.replaces, Precondition::Any);
        let version = self.place()?.put(json, &location::cursor(&self.folder), replaces).await?;
        self.replaces = Precondition::Unchanged(version);
        self.is_there = true;
        self.sweep(&document.runs()).await;
        Ok(())
    }

    /// Removes runs that no cursor lists. They are garbage: what stays is in nobody's way, and the next one sweeps it.
    async fn sweep(&self, kept: &[RunRecord]) {
        if let Err(error) = self.remove_all_but(kept).await {
            tracing::warn!(error = %error_chain(&error), "outdated runs could not be removed");
        }
    }

    async fn remove_all_but(&self, kept: &[RunRecord]) -> Result<(), CheckpointError> {
        let store = self.store.as_ref().ok_or(CheckpointError::NoLocation)?;
        let mut kept: BTreeSet<RelativePath> = kept.iter().map(|run| store.path(run)).collect();
        kept.insert(location::cursor(&self.folder));
        let place = self.place()?;
        for file in place.list(&self.folder).await?.files {
            if !kept.contains(&file.path) {
                place.remove(&file.path).await?;
            }
        }
        Ok(())
    }

    /// Drops a checkpoint that cannot be used, and says why. What does not go away is in nobody's way: the next cursor
    /// replaces it.
    pub async fn discard(&mut self, reason: &str) {
        tracing::warn!(reason, "unfinished walk discarded");
        if let Err(error) = self.clear().await {
            tracing::warn!(error = %error_chain(&error), "its state could not be removed");
        }
        self.is_there = false;
    }

    /// Removes the checkpoint: its task is published, or begins anew.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub async fn clear(&mut self) -> Result<(), CheckpointError> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        self.replaces = Precondition::Any;
        location::remove_all(&**self.place()?, &self.folder, &lock).await?;
        self.is_there = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
