//! The state location: where checkpoints of all tasks and all outputs lie.
//!
//! ```text
//! walks/<output>/period=2026-10/network=12345678/cursor.json    <output>: digest of the output's full name
//!                                               <digest>.run
//! .locks/walks/<output>/period=2026-10/network=12345678.lock
//! ```
//! A checkpoint is read and written under its lock alone, and the lock is taken only once there is something to
//! read or write.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::IgnoredAny;

use super::cursor::Cursor;
use crate::storage::{Destination, DestinationError, FileDigest, HeldLock, LockWait, RelativePath};
use crate::task::TaskKey;

const CURSOR: &str = "cursor.json";
const WALKS: &str = "walks";
const PROGRAM: &str = "wickr-guest-export";

/// The oldest checkpoint that any job may go on with: the longest `resume.max_age`.
pub const LONGEST_MAX_AGE: TimeDelta = TimeDelta::days(7);

/// Where checkpoints are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StateLocation {
    pub(super) place: Arc<dyn Destination>,
    lock_wait: LockWait,
}

/// A checkpoint that was found in a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptWalk {
    /// The task that was interrupted.
    pub task: TaskKey,
    /// Its bytes, cursor and runs.
    pub bytes: u64,
    /// When the latest of its files was written.
    modified: DateTime<Utc>,
    folder: RelativePath,
}

impl StateLocation {
    /// Keeps checkpoints in a place of their own; nothing is touched.
    #[must_use]
    pub fn new(place: Arc<dyn Destination>, lock_wait: LockWait) -> Self {
        Self { place, lock_wait }
    }

    /// Waits until all locks are given back.
    pub async fn finish(&self) {
        self.place.finish().await;
    }

    /// Returns the folder that the environment suggests, by the XDG base directory specification.
    pub fn default_folder(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        let absolute = |name| variable(name).filter(|path| path.starts_with('/'));
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| format!("{home}/.local/state")))
            .map(|folder| format!("{folder}/{PROGRAM}"))
    }

    /// Names the location for people.
    #[must_use]
    pub fn describe(&self) -> String {
        self.place.describe()
    }

    /// Says whether it is a folder of this machine that is not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.place.local_folder().is_some_and(|folder| !folder.exists())
    }

    /// Says whether it is the very place that is published to, or within it.
    #[must_use]
    pub fn is_within(&self, place: &dyn Destination) -> bool {
        let own = self.place.full_name();
        place.full_names().iter().any(|name| Path::new(&own).starts_with(name))
    }

    /// Takes the lock of a checkpoint, and sweeps away what a killed run was writing.
    pub(super) async fn lock(&self, folder: &RelativePath) -> Result<HeldLock, DestinationError> {
        // What cannot be written to may yet be read, and be rid of something.
        if let Err(error) = self.place.probe_writable().await {
            tracing::warn!(%error, "state location not writable");
        }
        let name = RelativePath::known(format!(".locks/{folder}.lock"));
        self.place.lock(&name, &self.lock_wait).await
    }

    /// Lists all checkpoints.
    ///
    /// # Errors
    /// [`DestinationError`] if the location cannot be read.
    pub async fn kept_walks(&self) -> Result<Vec<KeptWalk>, DestinationError> {
        let mut found: Vec<KeptWalk> = Vec::new();
        for file in self.place.list(&RelativePath::known(WALKS.to_owned())).await?.files {
            let Some((folder, task)) = checkpoint_of(&file.path) else { continue };
            match found.last_mut() {
                Some(last) if last.folder == folder => {
                    last.bytes += file.bytes;
                    last.modified = last.modified.max(file.modified);
                }
                _ => found.push(KeptWalk { task, bytes: file.bytes, modified: file.modified, folder }),
            }
        }
        Ok(found)
    }

    /// Reads the cursor of a checkpoint, if it has one.
    ///
    /// # Errors
    /// [`DestinationError`] if it cannot be read.
    pub async fn cursor(&self, walk: &KeptWalk) -> Result<Option<Vec<u8>>, DestinationError> {
        let read = self.place.read(&cursor(&walk.folder), super::MAX_CURSOR_BYTES).await?;
        Ok(read.map(|read| read.bytes))
    }

    /// Removes the checkpoints that are too old for any job: of a job that never runs again nothing else would, and
    /// they hold personal data. What is in use stays.
    ///
    /// Returns the task of each and what became of it.
    ///
    /// # Errors
    /// [`DestinationError`] if the location cannot be read.
    pub async fn remove_expired(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<(TaskKey, Result<(), DestinationError>)>, DestinationError> {
        let impatient = Self { place: self.place.clone(), lock_wait: LockWait::none() };
        let mut expired = Vec::new();
        for walk in self.kept_walks().await? {
            if self.is_expired(&walk, now).await {
                match impatient.remove_if_expired(&walk, now).await {
                    Ok(false) | Err(DestinationError::Locked { .. }) => {}
                    removed => expired.push((walk.task, removed.map(drop))),
                }
            }
        }
        Ok(expired)
    }

    /// A run may have gone on with it before the lock was had.
    async fn remove_if_expired(&self, walk: &KeptWalk, now: DateTime<Utc>) -> Result<bool, DestinationError> {
        let lock = self.lock(&walk.folder).await?;
        let is_expired = self.is_expired(walk, now).await;
        if is_expired {
            remove_all(&*self.place, &walk.folder, &lock).await?;
        }
        Ok(is_expired)
    }

    /// What has no readable cursor is as old as its files.
    async fn is_expired(&self, walk: &KeptWalk, now: DateTime<Utc>) -> bool {
        let cursor = self.cursor(walk).await.ok().flatten();
        let cursor = cursor.and_then(|bytes| Cursor::<IgnoredAny>::parse(&bytes).ok());
        let saved_at = cursor.map_or(walk.modified, |cursor| cursor.saved_at);
        (now - saved_at).abs() > LONGEST_MAX_AGE
    }

    /// Removes a checkpoint under its lock.
    ///
    /// # Errors
    /// [`DestinationError`], also if a run is using it.
    pub async fn clear(&self, walk: &KeptWalk) -> Result<(), DestinationError> {
        let lock = self.lock(&walk.folder).await?;
        remove_all(&*self.place, &walk.folder, &lock).await
    }
}

/// The folder of a task's checkpoint for an output.
pub(super) fn folder(output: &str, task: TaskKey) -> RelativePath {
    let digest = FileDigest::of(output.as_bytes()).to_string();
    RelativePath::known(format!("{WALKS}/{}/{}", &digest[..16], task.folder()))
}

/// The cursor of a checkpoint.
pub(super) fn cursor(folder: &RelativePath) -> RelativePath {
    folder.join(CURSOR).expect("a plain name")
}

/// Removes a checkpoint under its lock: the cursor first, so that what is left of an interrupted removal is garbage.
pub(super) async fn remove_all(
    place: &dyn Destination,
    folder: &RelativePath,
    lock: &HeldLock,
) -> Result<(), DestinationError> {
    lock.confirm().await?;
    place.remove(&cursor(folder)).await?;
    for file in place.list(folder).await?.files {
        place.remove(&file.path).await?;
    }
    Ok(())
}

fn checkpoint_of(path: &RelativePath) -> Option<(RelativePath, TaskKey)> {
    let segments: Vec<&str> = path.segments().collect();
    let [WALKS, output, period, network, _file] = segments.as_slice() else { return None };
    let task = TaskKey::from_segments(period, network)?;
    Some((RelativePath::known(format!("{WALKS}/{output}/{}", task.folder())), task))
}
