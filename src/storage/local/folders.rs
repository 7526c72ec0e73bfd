//! Folders: created, pruned, and each durable in the one that holds it before anything in it counts as durable.
//!
//! That a folder is there does not say that its name is durable: a run that died, or one that lives, may have
//! created it and not have come to sync it. So the first use of a folder in a process syncs the one above.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{LocalDestination, shown};
use crate::storage::destination::DestinationError;
use crate::storage::failpoint::Operation;

const FOLDER_MODE: u32 = 0o700;

/// The folders whose names this process knows to be durable.
#[derive(Clone, Debug, Default)]
pub(super) struct DurableFolders(Arc<Mutex<HashSet<PathBuf>>>);

impl DurableFolders {
    fn with<T>(&self, work: impl FnOnce(&mut HashSet<PathBuf>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LocalDestination {
    /// Creates a folder and those above it, each durable in the one that holds it.
    ///
    /// Another run may prune it at any moment, as long as it is empty: whoever then misses it creates it again.
    pub(super) fn create_folder(&self, folder: &Path) -> Result<(), DestinationError> {
        let failed = |error| DestinationError::io("created", shown(folder), error);
        match fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => return self.settle_folder(folder).map_err(failed),
            Ok(_) => {
                return Err(DestinationError::InTheWay { place: shown(folder), found: "no folder" });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(failed(error)),
        }
        self.create_folder(above(folder))?;
        let created =
            self.step(Operation::CreateFolder, folder, || DirBuilder::new().mode(FOLDER_MODE).create(folder));
        match created {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
            // Nobody prunes the root or what it is in: a filesystem that says so of them takes no folders.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_ours(folder) => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        self.make_durable(folder).map_err(failed)
    }

    /// Makes the name of a folder below the root durable, and those of the folders between.
    fn settle_folder(&self, folder: &Path) -> io::Result<()> {
        if !self.is_ours(folder) || self.durable.with(|durable| durable.contains(folder)) {
            return Ok(());
        }
        self.settle_folder(above(folder))?;
        self.make_durable(folder)
    }

    /// Says whether a folder is below the root.
    fn is_ours(&self, folder: &Path) -> bool {
        folder != self.root && folder.starts_with(&self.root)
    }

    fn make_durable(&self, folder: &Path) -> io::Result<()> {
        match self.sync_folder(above(folder)) {
            Ok(()) => {
                self.durable.with(|durable| durable.insert(folder.to_owned()));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        self.step(Operation::SyncFolder, folder, || File::open(folder)?.sync_all())
    }

    /// Removes the folders that a removal has emptied, and makes it durable in the first that stays.
    pub(super) fn prune_above(&self, removed: &Path) -> io::Result<()> {
        let mut folders = removed.ancestors().skip(1).take_while(|folder| **folder != self.root).peekable();
        // Only an empty folder goes; that it is not empty is no failure.
        let pruned = |folder: &Path| {
            self.durable.with(|durable| durable.remove(folder));
            self.step(Operation::RemoveFolder, folder, || fs::remove_dir(folder)).is_ok()
        };
        while folders.next_if(|folder| pruned(folder)).is_some() {}
        for folder in folders {
            match self.sync_folder(folder) {
                // Another run has pruned it in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => return synced,
            }
        }
        self.sync_folder(&self.root)
    }
}

fn above(folder: &Path) -> &Path {
    match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}
