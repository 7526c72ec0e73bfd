//! Locks in a folder: one file a lock, held through the operating system.
//!
//! The system releases the lock when its owner dies, however it dies, so no lock is ever stale and none needs
//! breaking. The files stay behind on purpose: removing one while another process waits for it would give the
//! same lock to two owners. Against someone who removes them by hand, the holder checks that the file it
//! locked is still the one at the path.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::destination::{DestinationError, LockGuard};
use super::failpoint::{self, Operation, Site};
use super::lock_wait::LockWait;

/// How often a lock that somebody else holds is tried.
const POLL: Duration = Duration::from_millis(200);
/// The most that is believed of what a lock file says about its holder, in bytes.
const MAX_HOLDER_BYTES: u64 = 4096;

/// Who holds a lock, as they wrote it into the lock's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// When the lock was taken, by the clock of the filesystem.
    #[serde(skip)]
    pub since: Option<DateTime<Utc>>,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The file is only a hint, and its text may be anybody's.
        let host: String = self.host.chars().filter(|character| !character.is_control()).take(255).collect();
        write!(formatter, "process {} on {host}", self.pid)?;
        match self.since {
            Some(since) => {
                write!(formatter, " since {}", since.to_rfc3339_opts(SecondsFormat::Secs, true))
            }
            None => Ok(()),
        }
    }
}

impl Holder {
    pub(super) fn this_process() -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self { pid: std::process::id(), host, since: None }
    }

    fn read(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let since = file.metadata().ok()?.modified().ok().map(DateTime::<Utc>::from);
        let mut text = String::new();
        file.take(MAX_HOLDER_BYTES).read_to_string(&mut text).ok()?;
        let holder: Self = serde_json::from_str(&text).ok()?;
        Some(Self { since, ..holder })
    }
}

/// A lock file that this process has locked.
#[derive(Debug)]
pub(super) struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock at a path below a root, whose folder exists, trying it now and then while it may wait.
    pub(super) async fn acquire(
        root: &Path,
        path: PathBuf,
        wait: &LockWait,
    ) -> Result<Self, DestinationError> {
        let longest = wait.longest_from_now();
        let give_up = tokio::time::Instant::now() + longest;
        let mut is_told = false;
        loop {
            // One attempt is two system calls: not worth another thread.
            match Self::attempt(root, &path) {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => {}
                Err(source) => {
                    return Err(DestinationError::io("locked", path.display().to_string(), source));
                }
            }
            let now = tokio::time::Instant::now();
            if now >= give_up || wait.stop.is_cancelled() {
                let (place, holder) = (path.display().to_string(), Holder::read(&path));
                return Err(if wait.stop.is_cancelled() {
                    DestinationError::Interrupted { place, holder }
                } else {
                    DestinationError::Locked { place, holder, waited: longest }
                });
            }
            if !is_told {
                let holder = Holder::read(&path).map(|holder| holder.to_string()).unwrap_or_default();
                tracing::info!(lock = %path.display(), holder, "waiting for a lock");
                is_told = true;
            }
            wait.pause(POLL.min(give_up - now)).await;
        }
    }

    fn attempt(root: &Path, path: &Path) -> io::Result<Option<Self>> {
        let mut open = OpenOptions::new();
        let mut file = open.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !is_at(&file, path)? {
            return Ok(None);
        }
        let written = failpoint::step(Operation::Lock, Site::of(root, path), || {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&serde_json::to_vec(&Holder::this_process())?)
        });
        // It is a hint for whoever waits. On a full disk there may be no room for it, and yet something to remove.
        if let Err(error) = written {
            tracing::warn!(lock = %path.display(), %error, "holder not written into the lock's file");
        }
        Ok(Some(Self { file, path: path.to_owned() }))
    }
}

/// Says whether the open file is the one that the path names.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl LockGuard for FileLock {
    async fn confirm(&self) -> Result<(), DestinationError> {
        let place = self.path.display().to_string();
        match is_at(&self.file, &self.path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(DestinationError::LockLost { place }),
            Err(source) => Err(DestinationError::io("read", place, source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.lock");
        (folder, path)
    }

    async fn acquire(path: PathBuf, wait: Duration) -> Result<FileLock, DestinationError> {
        FileLock::acquire(path.parent().unwrap(), path.clone(), &LockWait::of(wait)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_lock_is_refused_after_the_wait_and_its_holder_is_named() {
        let (_folder, path) = place();
        let held = acquire(path.clone(), Duration::ZERO).await.unwrap();
        let before = tokio::time::Instant::now();
        let at_once = acquire(path.clone(), Duration::ZERO).await.unwrap_err().to_string();
        assert!(at_once.ends_with("; run again when that run has ended"), "{at_once}");
        let error = acquire(path.clone(), Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(before.elapsed(), Duration::from_secs(5));
        let text = error.to_string();
        assert!(text.contains(&format!("by process {} on ", std::process::id())), "{text}");
        assert!(text.contains("task.lock is locked") && text.contains("--lock-wait"), "{text}");
        drop(held);
        acquire(path, Duration::ZERO).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_gets_the_lock_once_it_is_released() {
        let (_folder, path) = place();
        let held = acquire(path.clone(), Duration::ZERO).await.unwrap();
        let waiter = tokio::spawn(acquire(path, Duration::from_mins(1)));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!waiter.is_finished());
        drop(held);
        waiter.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_lock_whose_file_was_removed_is_known_to_be_lost() {
        let (_folder, path) = place();
        let held = acquire(path.clone(), Duration::ZERO).await.unwrap();
        held.confirm().await.unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(held.confirm().await, Err(DestinationError::LockLost { .. })));
        let other = acquire(path, Duration::ZERO).await.unwrap();
        assert!(matches!(held.confirm().await, Err(DestinationError::LockLost { .. })));
        other.confirm().await.unwrap();
    }

    #[tokio::test]
    async fn what_a_lock_file_says_of_its_holder_may_be_nonsense() {
        let (_folder, path) = place();
        let held = acquire(path.clone(), Duration::ZERO).await.unwrap();
        std::fs::write(&path, "{\"pid\": -1").unwrap();
        let error = acquire(path, Duration::ZERO).await.unwrap_err();
        assert!(matches!(error, DestinationError::Locked { holder: None, .. }), "{error}");
        drop(held);
    }
}
