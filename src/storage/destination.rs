//! Where publications go: the seam between what is published and what it is stored in.
//!
//! Everything above works in whole files and knows three ways to put one in place ([`Precondition`]); an object
//! store maps them to conditional puts, a folder to links and renames. Reading hands out a [`File`] of this
//! machine, even from a store, which spools it first: the Parquet reader wants random access, and a download
//! that breaks off then cannot be taken for the end of the data.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tempfile::NamedTempFile;

use super::failpoint::{self, Operation, Site};
use super::lock::Holder;
use super::lock_wait::LockWait;
use super::path::RelativePath;

/// What must be true of a path for a staged file to be put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing is there yet: for what is immutable.
    Absent,
    /// What is there is what was read: compare and swap, for manifests.
    Unchanged(Version),
    /// None: for derived files, written under a lock.
    Any,
}

/// Tells one content of a path from another: a digest locally, an entity tag in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub(crate) String);

/// A small file that was read whole, and the version that it had.
#[derive(Clone, Debug)]
pub struct Versioned {
    /// The content.
    pub bytes: Vec<u8>,
    /// What to put in [`Precondition::Unchanged`] to replace exactly this content.
    pub version: Version,
}

/// A file being written where no reader looks; it vanishes when dropped.
#[derive(Debug)]
pub struct StagedFile {
    pub(crate) file: NamedTempFile,
}

impl StagedFile {
    /// Names the folder that it is made in, which may be on another filesystem than where it goes.
    pub(crate) fn folder(&self) -> String {
        self.file.path().parent().unwrap_or(Path::new("")).display().to_string()
    }
}

impl io::Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (content, path) = (self.file.as_file(), self.file.path());
        // It is staged in a folder of the root.
        let root = path.ancestors().nth(2).unwrap_or(path);
        failpoint::step(Operation::Write, Site::content(root, path, content), || {
            let mut content = content;
            content.write(bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What a listing found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The regular files, in the order of their paths.
    pub files: Vec<ListedFile>,
    /// What is there but is no regular file of a usable name: links, pipes, names that are no text.
    pub foreign: Vec<String>,
}

/// One file of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path.
    pub path: RelativePath,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written last.
    pub modified: DateTime<Utc>,
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct HeldLock {
    pub(crate) guard: Box<dyn LockGuard>,
}

impl HeldLock {
    /// Makes sure that the lock is still this process's.
    ///
    /// # Errors
    /// [`DestinationError::LockLost`] if somebody else may hold it by now.
    pub async fn confirm(&self) -> Result<(), DestinationError> {
        self.guard.confirm().await
    }
}

/// What stands behind a [`HeldLock`]; dropping it releases the lock.
#[async_trait]
pub trait LockGuard: fmt::Debug + Send + Sync {
    /// Makes sure that the lock is still this process's.
    async fn confirm(&self) -> Result<(), DestinationError>;
}

/// A folder or a bucket that publications are written to and read from.
#[async_trait]
pub trait Destination: fmt::Debug + Send + Sync {
    /// Names the destination for people: a path or a URL, without credentials.
    fn describe(&self) -> String;

    /// Names the destination so that no other has the same name, wherever this process was started.
    fn full_name(&self) -> String;

    /// Names every place that it is made of, each as [`Self::full_name`] would.
    fn full_names(&self) -> Vec<String> {
        vec![self.full_name()]
    }

    /// Makes sure that files can be created and removed, creating the root where it is missing.
    async fn probe_writable(&self) -> Result<(), DestinationError>;

    /// Begins a file that [`Self::install`] puts in place, at this path or beside it.
    async fn stage(&self, path: &RelativePath) -> Result<StagedFile, DestinationError>;

    /// Puts a staged file in place, whole and durable, or leaves the path as it was.
    async fn install(
        &self,
        staged: StagedFile,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<(), DestinationError>;

    /// Reads a file of at most `limit` bytes; none if nothing is there.
    async fn read(&self, path: &RelativePath, limit: u64) -> Result<Option<Versioned>, DestinationError>;

    /// Opens a file for reading; none if nothing is there.
    async fn open(&self, path: &RelativePath) -> Result<Option<File>, DestinationError>;

    /// Makes `to` the same file as `from`, replacing what is there; nothing happens where it already is.
    async fn copy(&self, from: &RelativePath, to: &RelativePath) -> Result<(), DestinationError>;

    /// Removes a file; it is no error if nothing is there.
    async fn remove(&self, path: &RelativePath) -> Result<(), DestinationError>;

    /// Lists everything below a folder; a folder that is missing is empty.
    async fn list(&self, folder: &RelativePath) -> Result<Listing, DestinationError>;

    /// Takes a lock, waiting as long as `wait` says for whoever holds it.
    ///
    /// Where locks outlive their holder, it takes longer to find out that a holder is dead, whatever `wait` says.
    ///
    /// # Errors
    /// [`DestinationError::Locked`] if somebody holds it for longer, [`DestinationError::Interrupted`] if they hold it
    /// when the program is told to stop.
    async fn lock(&self, name: &RelativePath, wait: &LockWait) -> Result<HeldLock, DestinationError>;

    /// Puts bytes in place, whole and durable, or leaves the path as it was. Returns the version that they are.
    async fn put(
        &self,
        bytes: Vec<u8>,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<Version, DestinationError>;

    /// Says whether conditions are honoured, as far as [`Self::probe_writable`] has found out.
    fn honours_conditions(&self) -> bool {
        true
    }

    /// Returns the folder of this machine that it is, if it is one.
    fn local_folder(&self) -> Option<&Path> {
        None
    }

    /// How long a change that was asked for, and whose answer nobody got, may still take effect.
    fn latest_effect(&self) -> Duration {
        Duration::ZERO
    }

    /// Says whether the run that wrote a file may yet have changed something else without knowing.
    fn is_recent(&self, file: &ListedFile, now: DateTime<Utc>) -> bool {
        let span = TimeDelta::from_std(self.latest_effect()).unwrap_or(TimeDelta::MAX);
        span > TimeDelta::zero() && now.checked_sub_signed(span).is_none_or(|settled| file.modified > settled)
    }

    /// Removes what it needs only while it is written to, where nobody else writes: for a place that is no output.
    async fn clear_away(&self) {}

    /// Waits for what goes on after a call has returned, such as giving back a lock.
    async fn finish(&self) {}
}

/// Why a destination did not do what it was asked.
///
/// Each says its cause itself, before the remedy, and so has no source that a chain would repeat after it.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// A read-only filesystem (exit 73).
    #[error("{place} cannot be {operation}: {cause}; mount it for writing, or choose another place")]
    ReadOnly {
        /// What was tried, as a participle.
        operation: &'static str,
        /// Where.
        place: String,
        /// What the system said.
        cause: io::Error,
    },
    /// Permissions (exit 73).
    #[error(
        "{place} cannot be {operation}: {cause}; give this user the right to {right} there, or choose another place",
        right = if matches!(*.operation, "read" | "listed" | "downloaded") { "read" } else { "write" }
    )]
    Refused {
        /// What was tried, as a participle: `written`, `read`, `listed`.
        operation: &'static str,
        /// Where.
        place: String,
        /// What the system said.
        cause: io::Error,
    },
    /// No space, or a quota (exit 73).
    #[error("{place} cannot be {operation}: {cause}; free some space and run again")]
    Full {
        /// What was tried.
        operation: &'static str,
        /// Where.
        place: String,
        /// What the system said.
        cause: io::Error,
    },
    /// Anything else that the system said (exit 73).
    #[error("{place} cannot be {operation}: {cause}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Where.
        place: String,
        /// What the system said.
        cause: io::Error,
    },
    /// Something else stands where a file or a folder of the program belongs (exit 73).
    #[error(
        "{place} is {found}, where this program needs one; choose another place, or move away what is there"
    )]
    InTheWay {
        /// Where.
        place: String,
        /// What is there.
        found: &'static str,
    },
    /// A file that should be small is not (exit 73).
    #[error(
        "{place} is longer than the {limit} bytes that such a file can have, so it was not written by this \
         program; move it away"
    )]
    TooLong {
        /// Where.
        place: String,
        /// The longest accepted, in bytes.
        limit: u64,
    },
    /// Who asks is not known, or no longer (exit 77).
    #[error("{place} cannot be {operation}: {cause}; see to the credentials and run again")]
    Unauthorized {
        /// What was tried.
        operation: &'static str,
        /// Where.
        place: String,
        /// What the store or the provider of credentials said.
        cause: String,
    },
    /// It is reached in a way that cannot work (exit 2).
    #[error("{place} cannot be {operation}: {cause}")]
    Misaddressed {
        /// What was tried.
        operation: &'static str,
        /// Where.
        place: String,
        /// What is wrong, and the remedy.
        cause: String,
    },
    /// Rosters would go to another place than those that are there already (exit 2).
    #[error(
        "{output} says in {file} that its rosters are in {recorded}; give that as output.roster_url or --roster-url, or \
         move its revisions and guest_roster folders {wanted} and remove {file}"
    )]
    RostersElsewhere {
        /// The place of the counts.
        output: String,
        /// The place that has its rosters.
        recorded: String,
        /// Where they would go.
        wanted: String,
        /// The file that says so.
        file: String,
    },
    /// What a place of an output says of the other cannot be understood (exit 73).
    #[error(
        "{file} in {place} is damaged, so which place has the rosters of which output is not known; restore it from a \
         backup, or remove it and run with the output.roster_url that this output has had, which writes it anew"
    )]
    PlaceFileDamaged {
        /// Where.
        place: String,
        /// The file.
        file: String,
    },
    /// A store that does not do what publications rest on (exit 73).
    #[error(
        "{place} ignores conditional puts, so nothing would keep two runs at the same time from overwriting each \
         other's publications; choose another store, or, if two never run at once, set output.conditional_puts = \
         \"best-effort\""
    )]
    Unconditional {
        /// Where.
        place: String,
    },
    /// What is there belongs to another output (exit 73).
    #[error(
        "{place} holds the rosters of another output, {owner}, which this one would take for its own; give each output \
         a roster_url of its own, or, if that output was moved here, remove {file} there"
    )]
    OwnedByAnother {
        /// Where.
        place: String,
        /// Whose it is.
        owner: String,
        /// The file that says so.
        file: String,
    },
    /// A store that does not answer as it should (exit 75).
    #[error("{place} cannot be {operation} at the moment: {cause}; run again")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// Where.
        place: String,
        /// What the store said, or did not.
        cause: String,
    },
    /// The path no longer holds what it held when it was read (exit 75).
    #[error("{place} was changed by somebody else in the meantime; run again")]
    Changed {
        /// Where.
        place: String,
    },
    /// Somebody else holds the lock (exit 75).
    #[error(
        "{place} is locked{holder}{waited}",
        holder = .holder.as_ref().map_or_else(String::new, |holder| format!(" by {holder}")),
        waited = in_vain(*.waited)
    )]
    Locked {
        /// The lock.
        place: String,
        /// Who holds it, where that is known.
        holder: Option<Holder>,
        /// How long was waited.
        waited: Duration,
    },
    /// The program was told to stop while somebody else held the lock (exit 75).
    #[error(
        "interrupted while {place} was locked{holder}; run again",
        holder = .holder.as_ref().map_or_else(String::new, |holder| format!(" by {holder}"))
    )]
    Interrupted {
        /// The lock.
        place: String,
        /// Who holds it, where that is known.
        holder: Option<Holder>,
    },
    /// The lock was taken away from this process (exit 75).
    #[error("{place} is no longer this run's lock: the file was removed or replaced; run again")]
    LockLost {
        /// The lock.
        place: String,
    },
    /// A worker of this process died (exit 70).
    #[error("a worker that was writing or reading {place} panicked; this is a bug, please report it")]
    Worker {
        /// Where.
        place: String,
    },
}

/// Says how long a lock was waited for, and what to do about it.
fn in_vain(waited: Duration) -> String {
    if waited.is_zero() {
        return "; run again when that run has ended".to_owned();
    }
    format!(
        ", for longer than the {waited:?} that were waited; run again when that run has ended, or wait longer with \
         --lock-wait"
    )
}

impl DestinationError {
    /// Says whether it is about what stands at one path, so that whoever reads many may go on without it.
    #[must_use]
    pub const fn is_of_one_document(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::InTheWay { .. })
    }

    /// Classifies what the system said about a path.
    pub(crate) fn io(operation: &'static str, place: impl Into<String>, cause: io::Error) -> Self {
        let place = place.into();
        match cause.kind() {
            io::ErrorKind::PermissionDenied => Self::Refused { operation, place, cause },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { operation, place, cause },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { operation, place, cause }
            }
            _ => Self::Io { operation, place, cause },
        }
    }
}

/// Shows a URL without what stands before an `@`, as Hadoop and others write keys there.
pub(crate) fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, rest)), Some((before, after)))
            if rest.contains('@') && before.len() > scheme.len() =>
        {
            format!("{scheme}://…@{after}")
        }
        _ => url.to_owned(),
    }
}

/// Why a text names no destination (exit 2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationUrlError {
    /// The text is empty.
    #[error("no folder is named; write one, such as ./out")]
    Empty,
    /// An object store, and no place in it.
    #[error("`{url}` {reason}; write s3://bucket/prefix, gs://bucket/prefix or az://container/prefix")]
    Store {
        /// What was written.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder that was hardly meant.
    #[error("`{text}` would be a folder of that very name, which is written ./{text}; {meant}")]
    HardlyAFolder {
        /// What was written.
        text: String,
        /// How to write what was meant.
        meant: &'static str,
    },
    /// Another scheme.
    #[error(
        "`{0}` is of no scheme that can be written to; write a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
    )]
    Scheme(String),
    /// A `file://` URL that names no absolute path of this machine.
    #[error("`{0}` names no folder of this machine; write file:///absolute/path")]
    NotLocal(String),
}

/// Says what was meant by a path that hardly anybody means.
fn meant_by(text: &str) -> Option<&'static str> {
    const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "azure", "file", "http", "https"];
    if text == "~" || text.starts_with("~/") {
        return Some("what a shell makes of ~ is written out here");
    }
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme));
    is_scheme.then_some("a URL has `://`, as in s3://bucket/prefix")
}

/// Reads a folder of this machine: a path, or a `file://` URL. Nothing is touched.
///
/// # Errors
/// [`DestinationUrlError`] for other schemes.
pub fn local_path(text: &str) -> Result<PathBuf, DestinationUrlError> {
    if text.is_empty() {
        return Err(DestinationUrlError::Empty);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return match meant_by(text) {
            None => Ok(PathBuf::from(text)),
            Some(meant) => Err(DestinationUrlError::HardlyAFolder { text: without_credentials(text), meant }),
        };
    };
    match scheme.to_ascii_lowercase().as_str() {
        "file" => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            let decodes_to_itself = !path.contains(['%', '?', '#']);
            if path.starts_with('/') && decodes_to_itself {
                Ok(PathBuf::from(path))
            } else {
                Err(DestinationUrlError::NotLocal(text.to_owned()))
            }
        }
        _ => Err(DestinationUrlError::Scheme(without_credentials(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_file_urls_are_folders_of_this_machine() {
        assert_eq!(local_path("out").unwrap(), PathBuf::from("out"));
        assert_eq!(local_path("/var/out put").unwrap(), PathBuf::from("/var/out put"));
        assert_eq!(local_path("file:///var/out").unwrap(), PathBuf::from("/var/out"));
        assert_eq!(local_path("file://localhost/var/out").unwrap(), PathBuf::from("/var/out"));
    }

    #[test]
    fn what_cannot_be_written_to_is_refused_with_its_reason() {
        assert_eq!(local_path(""), Err(DestinationUrlError::Empty));
        assert!(matches!(local_path("ftp://host/x"), Err(DestinationUrlError::Scheme(_))));
        for text in ["s3:/bucket/x", "S3:bucket", "file:/x", "~", "~/out"] {
            let error = local_path(text).unwrap_err().to_string();
            assert!(error.contains(&format!("is written ./{text}; ")), "{error}");
            assert_eq!(local_path(&format!("./{text}")).unwrap(), PathBuf::from(format!("./{text}")));
        }
        assert_eq!(local_path("a:b/~").unwrap(), PathBuf::from("a:b/~"));
        for text in ["file://host/x", "file://x", "file:///a%20b", "file:///a?b"] {
            assert!(matches!(local_path(text), Err(DestinationUrlError::NotLocal(_))), "{text}");
        }
    }
}
