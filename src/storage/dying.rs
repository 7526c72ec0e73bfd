//! A destination that dies: every operation from the n-th change on fails, before or after it took effect.
//!
//! It stands for a process that was killed, as seen from the files: what was done is done, what was not never is.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;

use super::destination::{
    Destination, DestinationError, HeldLock, Listing, Precondition, StagedFile, Version, Versioned,
};
use super::lock_wait::LockWait;
use super::path::RelativePath;

/// When the fatal change is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Before it took effect.
    Before,
    /// After it took effect, before anybody knew.
    After,
}

/// Passes everything on, until it dies.
#[derive(Debug)]
pub(crate) struct Dying {
    inner: Arc<dyn Destination>,
    changes: AtomicU64,
    fatal: u64,
    death: Death,
    dead: AtomicBool,
}

impl Dying {
    /// Dies at the change of the given number, counted from 0.
    pub(crate) fn at(inner: Arc<dyn Destination>, fatal: u64, death: Death) -> Arc<Self> {
        Arc::new(Self { inner, changes: AtomicU64::new(0), fatal, death, dead: AtomicBool::new(false) })
    }

    pub(crate) fn has_died(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Returns how many changes were asked for.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    fn alive(&self) -> Result<(), DestinationError> {
        if self.has_died() { Err(killed()) } else { Ok(()) }
    }

    async fn change<T>(
        &self,
        change: impl Future<Output = Result<T, DestinationError>>,
    ) -> Result<T, DestinationError> {
        self.alive()?;
        if self.changes.fetch_add(1, Ordering::SeqCst) < self.fatal {
            return change.await;
        }
        self.dead.store(true, Ordering::SeqCst);
        if self.death == Death::After {
            change.await?;
        }
        Err(killed())
    }
}

fn killed() -> DestinationError {
    DestinationError::io("changed", "the output", io::Error::other("killed"))
}

#[async_trait]
impl Destination for Dying {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn full_name(&self) -> String {
        self.inner.full_name()
    }

    async fn probe_writable(&self) -> Result<(), DestinationError> {
        self.alive()?;
        self.inner.probe_writable().await
    }

    async fn stage(&self, path: &RelativePath) -> Result<StagedFile, DestinationError> {
        self.alive()?;
        self.inner.stage(path).await
    }

    async fn install(
        &self,
        staged: StagedFile,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<(), DestinationError> {
        self.change(self.inner.install(staged, path, precondition)).await
    }

    async fn read(&self, path: &RelativePath, limit: u64) -> Result<Option<Versioned>, DestinationError> {
        self.alive()?;
        self.inner.read(path, limit).await
    }

    async fn open(&self, path: &RelativePath) -> Result<Option<File>, DestinationError> {
        self.alive()?;
        self.inner.open(path).await
    }

    async fn copy(&self, from: &RelativePath, to: &RelativePath) -> Result<(), DestinationError> {
        self.change(self.inner.copy(from, to)).await
    }

    async fn remove(&self, path: &RelativePath) -> Result<(), DestinationError> {
        self.change(self.inner.remove(path)).await
    }

    async fn list(&self, folder: &RelativePath) -> Result<Listing, DestinationError> {
        self.alive()?;
        self.inner.list(folder).await
    }

    async fn lock(&self, name: &RelativePath, wait: &LockWait) -> Result<HeldLock, DestinationError> {
        self.alive()?;
        self.inner.lock(name, wait).await
    }

    async fn put(
        &self,
        bytes: Vec<u8>,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<Version, DestinationError> {
        self.change(self.inner.put(bytes, path, precondition)).await
    }
}
