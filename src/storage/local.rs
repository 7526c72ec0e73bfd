//! A folder of this machine as a destination.
//!
//! Files are written under `.staging/` at the root, which no engine reads, and come into place by one function
//! that makes file and folder durable; there is no other way in. A staged file is locked while its writer
//! lives, so what a dead run left is told from what a live one is writing by asking the system, not a clock.
//! What is in place is read-only: current copies are links to revisions, and a spreadsheet that saves in place
//! would change both.

mod folders;

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tempfile::TempPath;

use self::folders::DurableFolders;
use super::destination::{
    Destination, DestinationError, HeldLock, ListedFile, Listing, Precondition, StagedFile, Version,
    Versioned,
};
use super::digest::{FileDigest, Measure};
use super::failpoint::{self, Operation, Site};
use super::lock::FileLock;
use super::lock_wait::LockWait;
use super::path::RelativePath;

const STAGING: &str = ".staging";
const FILE_MODE: u32 = 0o400;
/// How often an operation is begun again because another process swept a name or pruned a folder under it.
const ATTEMPTS: u32 = 8;

/// A folder that publications are written to and read from.
#[derive(Clone, Debug)]
pub struct LocalDestination {
    root: PathBuf,
    durable: DurableFolders,
}

impl LocalDestination {
    /// Names the folder; nothing is touched.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, durable: DurableFolders::default() }
    }

    fn at(&self, path: &RelativePath) -> PathBuf {
        self.root.join(path.as_str())
    }

    fn staging(&self) -> PathBuf {
        self.root.join(STAGING)
    }

    /// Makes a change of names, or of content that is durable already.
    fn step<T>(
        &self,
        operation: Operation,
        path: &Path,
        change: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        failpoint::step(operation, Site::of(&self.root, path), change)
    }

    /// Runs file operations on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        place: &Path,
        work: impl FnOnce(&Self) -> Result<T, DestinationError> + Send + 'static,
    ) -> Result<T, DestinationError> {
        let own = self.clone();
        let joined = tokio::task::spawn_blocking(move || work(&own)).await;
        joined.map_err(|_| DestinationError::Worker { place: shown(place) })?
    }

    /// Creates a file under `.staging/`, locked for as long as it is open.
    fn staged(&self) -> Result<StagedFile, DestinationError> {
        let staging = self.staging();
        for _ in 0..ATTEMPTS {
            self.create_folder(&staging)?;
            let created = self.step(Operation::Stage, &staging, || {
                tempfile::Builder::new().prefix("part-").rand_bytes(12).tempfile_in(&staging)
            });
            let file = match created {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|error| DestinationError::io("written", shown(&staging), error))?,
            };
            let locked = file.as_file().lock().and_then(|()| file.as_file().metadata());
            let metadata =
                locked.map_err(|error| DestinationError::io("locked", shown(file.path()), error))?;
            // A sweep may have come between creating and locking.
            if metadata.nlink() > 0 {
                return Ok(StagedFile { file });
            }
        }
        Err(DestinationError::Changed { place: shown(&staging) })
    }

    /// Puts staged content in place: the only way that a file of the output comes to be.
    ///
    /// The content is durable before its name is, and the name before this returns.
    fn put_in_place(
        &self,
        content: &File,
        staged: TempPath,
        target: &Path,
        replace: bool,
    ) -> Result<(), DestinationError> {
        let failed = |error| DestinationError::io("written", shown(target), error);
        failpoint::step(Operation::Sync, Site::content(&self.root, target, content), || {
            content.set_permissions(Permissions::from_mode(FILE_MODE))?;
            content.sync_all()
        })
        .map_err(failed)?;
        let folder = target.parent().unwrap_or(Path::new("."));
        let mut pending = Some(staged);
        for _ in 0..ATTEMPTS {
            self.create_folder(folder)?;
            let put = self.step(Operation::Rename, target, || {
                let staged = pending.take().expect("what was refused is given back");
                let put = if replace { staged.persist(target) } else { staged.persist_noclobber(target) };
                put.map_err(|refused| {
                    pending = Some(refused.path);
                    refused.error
                })
            });
            let Err(error) = put else { return self.sync_folder(folder).map_err(failed) };
            match error.kind() {
                // Another task's last file left the folder, which was pruned under us.
                io::ErrorKind::NotFound => {}
                io::ErrorKind::AlreadyExists => {
                    return Err(DestinationError::Changed { place: shown(target) });
                }
                io::ErrorKind::IsADirectory => {
                    return Err(DestinationError::InTheWay { place: shown(target), found: "a folder" });
                }
                _ => return Err(failed(error)),
            }
        }
        Err(DestinationError::Changed { place: shown(target) })
    }

    /// Removes staged files whose writers are dead.
    fn sweep_staging(&self) -> Result<(), DestinationError> {
        let staging = self.staging();
        let failed = |error| DestinationError::io("swept", shown(&staging), error);
        let entries = match fs::read_dir(&staging) {
            Ok(entries) => entries,
            Err(error) if is_absence(&error) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let Ok(file) = File::open(entry.path()) else { continue };
            match file.try_lock() {
                Ok(()) => match self.remove_file(&entry.path()) {
                    Ok(()) => {
                        tracing::debug!(file = %entry.path().display(), "swept a dead run's staged file");
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(error)),
                },
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn link(&self, source: &Path, target: &Path) -> Result<(), DestinationError> {
        match self.staged_link(source)? {
            Some((content, link)) => self.put_in_place(&content, link, target, true),
            // Some filesystems have no links, or have had enough of them: a copy serves as well.
            None => self.copy_bytes(source, target),
        }
    }

    /// Makes another name of a file under `.staging/`, locked like everything there; none if that cannot be had.
    ///
    /// The lock is the file's, whatever its name, so it is taken before a sweep can see the new one.
    fn staged_link(&self, source: &Path) -> Result<Option<(File, TempPath)>, DestinationError> {
        let staging = self.staging();
        self.create_folder(&staging)?;
        let content = open_regular(source)?.ok_or_else(|| missing("copied", source))?;
        if content.try_lock_shared().is_err() {
            return Ok(None);
        }
        let linked = self.step(Operation::Link, &staging, || {
            tempfile::Builder::new().prefix("link-").make_in(&staging, |path| fs::hard_link(source, path))
        });
        Ok(linked.ok().map(|link| (content, link.into_temp_path())))
    }

    fn copy_bytes(&self, source: &Path, target: &Path) -> Result<(), DestinationError> {
        let failed = |error| DestinationError::io("copied", shown(source), error);
        if let Some(existing) = open_regular(target)?
            && digest_of(existing).map_err(failed)? == digest_of(open_existing(source)?).map_err(failed)?
        {
            return Ok(());
        }
        let mut staged = self.staged()?;
        io::copy(&mut open_existing(source)?, &mut staged)
            .map_err(|error| DestinationError::io("written", shown(target), error))?;
        let (content, path) = staged.file.into_parts();
        self.put_in_place(&content, path, target, true)
    }

    fn list_below(&self, folder: &RelativePath, listing: &mut Listing) -> Result<(), DestinationError> {
        let failed = |error| DestinationError::io("listed", shown(&self.at(folder)), error);
        let entries = match fs::read_dir(self.at(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let path = name.to_str().and_then(|name| folder.join(name).ok());
            let metadata = match fs::symlink_metadata(entry.path()) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            match path {
                Some(path) if metadata.is_dir() => self.list_below(&path, listing)?,
                Some(path) if metadata.is_file() => {
                    let modified = metadata.modified().map_err(failed)?.into();
                    listing.files.push(ListedFile { path, bytes: metadata.len(), modified });
                }
                _ => listing.foreign.push(format!("{folder}/{}", name.to_string_lossy().escape_debug())),
            }
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step(Operation::Remove, path, || fs::remove_file(path))
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn missing(operation: &'static str, path: &Path) -> DestinationError {
    DestinationError::io(operation, shown(path), io::Error::from(io::ErrorKind::NotFound))
}

/// Opens a regular file; never a pipe that would block, never a link that leads elsewhere.
fn open_regular(path: &Path) -> Result<Option<File>, DestinationError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => {
            return Err(DestinationError::InTheWay { place: shown(path), found: "no regular file" });
        }
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(DestinationError::io("read", shown(path), error)),
    }
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(DestinationError::io("read", shown(path), error)),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn open_existing(path: &Path) -> Result<File, DestinationError> {
    open_regular(path)?.ok_or_else(|| missing("read", path))
}

fn digest_of(file: File) -> io::Result<String> {
    Ok(Measure::of(file)?.sha256.to_string())
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::symlink_metadata(one), fs::symlink_metadata(other)) {
        (Ok(one), Ok(other)) => one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[async_trait]
impl Destination for LocalDestination {
    fn describe(&self) -> String {
        shown(&self.root)
    }

    fn full_name(&self) -> String {
        let absolute = std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone());
        // What is not there yet may lie in a folder that is, and has another name.
        let named = absolute.ancestors().find_map(|ancestor| {
            let real = fs::canonicalize(ancestor).ok()?;
            Some(real.join(absolute.strip_prefix(ancestor).ok()?))
        });
        // It may be written with a slash at its end.
        shown(&named.unwrap_or(absolute).components().collect::<PathBuf>())
    }

    async fn clear_away(&self) {
        // It is not removed while somebody has a file in it.
        let _in_use = fs::remove_dir(self.staging());
    }

    fn local_folder(&self) -> Option<&Path> {
        Some(&self.root)
    }

    async fn probe_writable(&self) -> Result<(), DestinationError> {
        self.blocking(&self.root, |own| {
            // What a dead run left may be what fills the disk.
            own.sweep_staging()?;
            let mut staged = own.staged()?;
            let path = own.staging();
            io::Write::write_all(&mut staged, b"probe")
                .and_then(|()| own.step(Operation::Sync, &path, || staged.file.as_file().sync_all()))
                .and_then(|()| own.step(Operation::Remove, &path, || staged.file.close()))
                .map_err(|error| DestinationError::io("written", own.describe(), error))
        })
        .await
    }

    async fn stage(&self, _path: &RelativePath) -> Result<StagedFile, DestinationError> {
        self.blocking(&self.root, Self::staged).await
    }

    /// Compares and swaps under the caller's lock: no system call does both for a file.
    async fn install(
        &self,
        staged: StagedFile,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<(), DestinationError> {
        let target = self.at(path);
        self.blocking(&target.clone(), move |own| {
            let (content, staged) = staged.file.into_parts();
            let replace = match precondition {
                Precondition::Absent => false,
                Precondition::Any => true,
                Precondition::Unchanged(version) => {
                    let failed = |error| DestinationError::io("read", shown(&target), error);
                    let present = open_regular(&target)?.map(digest_of).transpose().map_err(failed)?;
                    if present.map(Version) != Some(version) {
                        return Err(DestinationError::Changed { place: shown(&target) });
                    }
                    true
                }
            };
            own.put_in_place(&content, staged, &target, replace)
        })
        .await
    }

    async fn read(&self, path: &RelativePath, limit: u64) -> Result<Option<Versioned>, DestinationError> {
        let place = self.at(path);
        self.blocking(&place.clone(), move |_| {
            let Some(file) = open_regular(&place)? else { return Ok(None) };
            let mut bytes = Vec::new();
            file.take(limit.saturating_add(1))
                .read_to_end(&mut bytes)
                .map_err(|error| DestinationError::io("read", shown(&place), error))?;
            if bytes.len() as u64 > limit {
                return Err(DestinationError::TooLong { place: shown(&place), limit });
            }
            let version = Version(FileDigest::of(&bytes).to_string());
            Ok(Some(Versioned { bytes, version }))
        })
        .await
    }

    async fn open(&self, path: &RelativePath) -> Result<Option<File>, DestinationError> {
        let place = self.at(path);
        self.blocking(&place.clone(), move |_| open_regular(&place)).await
    }

    async fn copy(&self, from: &RelativePath, to: &RelativePath) -> Result<(), DestinationError> {
        let (source, target) = (self.at(from), self.at(to));
        self.blocking(&target.clone(), move |own| {
            // Renaming one name of a file over another of the same file does nothing, not even remove it.
            if is_same_file(&source, &target) { Ok(()) } else { own.link(&source, &target) }
        })
        .await
    }

    async fn remove(&self, path: &RelativePath) -> Result<(), DestinationError> {
        let place = self.at(path);
        self.blocking(&place.clone(), move |own| {
            match own.remove_file(&place) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(DestinationError::io("removed", shown(&place), error)),
            }
            own.prune_above(&place).map_err(|error| DestinationError::io("removed", shown(&place), error))
        })
        .await
    }

    async fn list(&self, folder: &RelativePath) -> Result<Listing, DestinationError> {
        let folder = folder.clone();
        self.blocking(&self.at(&folder), move |own| {
            let mut listing = Listing::default();
            own.list_below(&folder, &mut listing)?;
            listing.files.sort_by(|one, other| one.path.cmp(&other.path));
            listing.foreign.sort();
            Ok(listing)
        })
        .await
    }

    async fn put(
        &self,
        bytes: Vec<u8>,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<Version, DestinationError> {
        let mut staged = self.stage(path).await?;
        let version = Version(FileDigest::of(&bytes).to_string());
        let written = io::Write::write_all(&mut staged, &bytes).and_then(|()| io::Write::flush(&mut staged));
        written.map_err(|error| DestinationError::io("written", shown(&self.at(path)), error))?;
        self.install(staged, path, precondition).await?;
        Ok(version)
    }

    async fn lock(&self, name: &RelativePath, wait: &LockWait) -> Result<HeldLock, DestinationError> {
        let path = self.at(name);
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        self.blocking(&folder.clone(), move |own| own.create_folder(&folder)).await?;
        Ok(HeldLock { guard: Box::new(FileLock::acquire(&self.root, path, wait).await?) })
    }
}

#[cfg(test)]
mod tests;
