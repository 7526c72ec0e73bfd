//! A prefix of an object store as a destination.
//!
//! An object comes into place whole or not at all, so nothing is staged there: files are made on this machine and
//! uploaded, in parts if they are large. What must not be replaced is created by a conditional put, a manifest by one
//! that names the version it was read at, and locks are leases (`lease`). A put that the store refuses may be our
//! own, repeated after its answer was lost: then what is there has our bytes, which no other run's have, because each
//! revision and each lease has a nonce. A put without an answer may take effect later (`LATEST_EFFECT`).

mod answer;
mod connect;
mod google;
mod lease;
#[cfg(test)]
pub(crate) mod moody;
mod probe;
mod upload;
mod url;

use std::collections::HashSet;
use std::fs::File;
use std::future::Future;
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, UpdateVersion,
};
use tokio_util::task::TaskTracker;

pub use self::answer::StoreCredentialsError;
pub use self::connect::{
    AzureAccess, GoogleAccess, GoogleIdentity, S3Access, StoreAccess, StoreConnectError, StoreIdentity,
    connect,
};
pub use self::google::METADATA_HOST;
pub use self::lease::LeaseTerm;
pub use self::upload::PART_BYTES;
use self::upload::read_part;
pub use self::url::{StoreKind, StoreUrl};
use super::destination::{
    Destination, DestinationError, HeldLock, ListedFile, Listing, Precondition, StagedFile, Version,
    Versioned,
};
use super::lock_wait::LockWait;
use super::path::RelativePath;

/// How long a run that is done waits for its locks to be given back: little less than until they end by themselves.
const LONGEST_FINISH: Duration = Duration::from_secs(10);
/// How long a put without an answer may still take effect. S3 takes no request that was signed more than a quarter of
/// an hour ago ("Authenticating Requests: Using the Authorization Header", `RequestTimeTooSkewed`), and a put is tried
/// again for some minutes; the rest is for clocks that differ.
const LATEST_EFFECT: Duration = Duration::from_hours(1);
/// How long one small thing may take, attempts included: a put, a question, a page of a listing.
const LONGEST_OPERATION: Duration = Duration::from_mins(2);
/// The metadata key that names the path which an object was first put at: a copy has it too.
const ORIGIN: &str = "guestexportorigin";
/// What is shorter costs more in the classes for what is read rarely: they bill this length at least.
const LEAST_CLASSED_BYTES: u64 = 128 * 1024;

/// What is done in a store that ignores the conditions of puts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionalPuts {
    /// Nothing.
    #[default]
    Required,
    /// All of it, with nothing that keeps two runs apart.
    BestEffort,
}

/// How a prefix of a store is used.
#[derive(Clone, Debug, Default)]
pub struct StoreSettings {
    /// How long locks last that are not renewed.
    pub term: LeaseTerm,
    /// What is done if the store ignores the conditions of puts.
    pub conditional_puts: ConditionalPuts,
    /// The storage class of what is written once and never replaced; the bucket's own without one.
    pub storage_class: Option<String>,
}

/// A prefix of a bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ObjectDestination {
    store: Arc<dyn ObjectStore>,
    url: Arc<StoreUrl>,
    settings: Arc<StoreSettings>,
    /// Whether the store was found to ignore the conditions of puts.
    ignores_conditions: Arc<AtomicBool>,
    /// What is still under way when nobody waits for it: locks that are given back.
    finishing: TaskTracker,
    /// The leases that are held here, by their nonces.
    held: Arc<Mutex<HashSet<String>>>,
}

impl ObjectDestination {
    /// Names a prefix of a store; nothing is asked.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, url: StoreUrl, settings: StoreSettings) -> Self {
        let (ignores_conditions, finishing) = (Arc::default(), TaskTracker::new());
        let (url, settings, held) = (Arc::new(url), Arc::new(settings), Arc::default());
        Self { store, url, settings, ignores_conditions, finishing, held }
    }

    fn holding<T>(&self, work: impl FnOnce(&mut HashSet<String>) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says whether a lease is held here, whose holder then need not be watched to know that it lives.
    fn holds(&self, nonce: &str) -> bool {
        self.holding(|nonces| nonces.contains(nonce))
    }

    fn term(&self) -> LeaseTerm {
        self.settings.term
    }

    fn at(&self, path: &str) -> Path {
        Path::from(self.url.key(path))
    }

    /// Names a path for people.
    fn shown(&self, path: &RelativePath) -> String {
        format!("{}/{path}", self.url)
    }

    fn finish_later(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.finishing.spawn_on(work, &runtime);
        }
    }

    /// Says what the store's refusal means.
    fn failed(
        &self,
        operation: &'static str,
        path: &RelativePath,
        error: &object_store::Error,
    ) -> DestinationError {
        answer::failed(operation, self.shown(path), error)
    }

    /// Waits for the store, but not for ever. What was asked for may be done all the same.
    async fn in_time<T>(
        &self,
        operation: &'static str,
        path: &RelativePath,
        work: impl Future<Output = T>,
    ) -> Result<T, DestinationError> {
        self.within(LONGEST_OPERATION, operation, path, work).await
    }

    async fn within<T>(
        &self,
        longest: Duration,
        operation: &'static str,
        path: &RelativePath,
        work: impl Future<Output = T>,
    ) -> Result<T, DestinationError> {
        tokio::time::timeout(longest, work).await.map_err(|_elapsed| {
            let cause = format!("no answer within {longest:?}");
            DestinationError::Unavailable { operation, place: self.shown(path), cause }
        })
    }

    /// What is said of an object when it is put: where, and how it is kept if nobody will replace it.
    fn attributes(&self, path: &RelativePath, precondition: &Precondition, bytes: u64) -> Attributes {
        let mut attributes =
            Attributes::from_iter([(Attribute::Metadata(ORIGIN.into()), path.as_str().to_owned())]);
        let is_kept = *precondition == Precondition::Absent && bytes >= LEAST_CLASSED_BYTES;
        if let Some(class) = self.settings.storage_class.as_ref().filter(|_| is_kept) {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        attributes
    }

    fn mode(&self, precondition: &Precondition) -> PutMode {
        match precondition {
            _ if self.ignores_conditions.load(Ordering::Relaxed) => PutMode::Overwrite,
            Precondition::Absent => PutMode::Create,
            Precondition::Unchanged(version) => PutMode::Update(update_version(version)),
            Precondition::Any => PutMode::Overwrite,
        }
    }

    async fn read_small(
        &self,
        path: &RelativePath,
        limit: u64,
    ) -> Result<Option<Versioned>, DestinationError> {
        let location = self.at(path.as_str());
        let got = match self.in_time("read", path, self.store.get(&location)).await? {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", path, &error)),
        };
        if got.meta.size > limit {
            return Err(DestinationError::TooLong { place: self.shown(path), limit });
        }
        let version = version_of(&got.meta);
        let bytes = self.in_time("read", path, got.bytes()).await?;
        let bytes = bytes.map_err(|error| self.failed("read", path, &error))?;
        Ok(Some(Versioned { bytes: bytes.into(), version }))
    }

    /// Puts bytes in place. A refusal is none if what is there has the same bytes: then it is our own put, repeated.
    async fn put_small(
        &self,
        path: &RelativePath,
        bytes: Vec<u8>,
        precondition: Precondition,
    ) -> Result<Version, DestinationError> {
        let (bytes, location) = (Bytes::from(bytes), self.at(path.as_str()));
        if self.ignores_conditions.load(Ordering::Relaxed) {
            self.check_without_conditions(path, &precondition).await?;
        }
        let attributes = self.attributes(path, &precondition, bytes.len() as u64);
        let options = PutOptions { mode: self.mode(&precondition), attributes, ..PutOptions::default() };
        let put = self.store.put_opts(&location, PutPayload::from(bytes.clone()), options);
        match self.in_time("written", path, put).await? {
            Ok(put) => Ok(version(put.e_tag, put.version)),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                match self.read_small(path, bytes.len() as u64).await {
                    Ok(Some(found)) if found.bytes == bytes => Ok(found.version),
                    Ok(_) | Err(DestinationError::TooLong { .. }) => {
                        Err(DestinationError::Changed { place: self.shown(path) })
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(self.failed("written", path, &error)),
        }
    }

    /// Holds a put against its condition by hand, as a store should by itself: another may come in between.
    async fn check_without_conditions(
        &self,
        path: &RelativePath,
        precondition: &Precondition,
    ) -> Result<(), DestinationError> {
        let found = self.origin_of(path).await?.map(|(meta, _)| version_of(&meta));
        self.hold(path, precondition, found.as_ref())
    }

    /// Holds a condition against the version that was found.
    fn hold(
        &self,
        path: &RelativePath,
        precondition: &Precondition,
        found: Option<&Version>,
    ) -> Result<(), DestinationError> {
        let holds = match precondition {
            Precondition::Absent => found.is_none(),
            Precondition::Unchanged(version) => found == Some(version),
            Precondition::Any => true,
        };
        if holds { Ok(()) } else { Err(DestinationError::Changed { place: self.shown(path) }) }
    }

    /// Returns what is known of an object, and the path that it was first put at.
    async fn origin_of(&self, path: &RelativePath) -> Result<Option<(ObjectMeta, String)>, DestinationError> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let location = self.at(path.as_str());
        match self.in_time("read", path, self.store.get_opts(&location, options)).await? {
            Ok(got) => {
                let origin = got.attributes.get(&Attribute::Metadata(ORIGIN.into()));
                let origin = origin.map(|origin| origin.as_ref().to_owned()).unwrap_or_default();
                Ok(Some((got.meta, origin)))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path, &error)),
        }
    }
}

/// A store tells versions by an entity tag, a generation, or both.
fn version(e_tag: Option<String>, version: Option<String>) -> Version {
    Version(format!("{}\n{}", e_tag.unwrap_or_default(), version.unwrap_or_default()))
}

fn version_of(meta: &ObjectMeta) -> Version {
    version(meta.e_tag.clone(), meta.version.clone())
}

fn update_version(version: &Version) -> UpdateVersion {
    let (e_tag, version) = version.0.split_once('\n').unwrap_or((&version.0, ""));
    let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    UpdateVersion { e_tag: told(e_tag), version: told(version) }
}

#[async_trait]
impl Destination for ObjectDestination {
    fn describe(&self) -> String {
        self.url.to_string()
    }

    fn full_name(&self) -> String {
        self.url.to_string()
    }

    fn honours_conditions(&self) -> bool {
        !self.ignores_conditions.load(Ordering::Relaxed)
    }

    /// Also finds out whether the store honours the conditions of puts.
    async fn probe_writable(&self) -> Result<(), DestinationError> {
        probe::probe(self).await
    }

    async fn stage(&self, _path: &RelativePath) -> Result<StagedFile, DestinationError> {
        let staged = tokio::task::spawn_blocking(|| {
            tempfile::Builder::new().prefix("wickr-guest-export-").tempfile().map(|file| StagedFile { file })
        });
        let folder = std::env::temp_dir().display().to_string();
        let staged = staged.await.map_err(|_| DestinationError::Worker { place: folder.clone() })?;
        staged.map_err(|error| DestinationError::io("written", folder, error))
    }

    async fn install(
        &self,
        staged: StagedFile,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<(), DestinationError> {
        let place = self.shown(path);
        let reopened = tokio::task::spawn_blocking(move || {
            let mut file = staged.file.into_file();
            file.flush()?;
            let bytes = file.seek(SeekFrom::End(0))?;
            file.rewind().map(|()| (file, bytes))
        });
        let reopened = reopened.await.map_err(|_| DestinationError::Worker { place: place.clone() })?;
        let (file, bytes) =
            reopened.map_err(|error| DestinationError::io("read again to be uploaded", &place, error))?;
        if bytes > PART_BYTES {
            return self.put_large(path, file, bytes, &precondition).await;
        }
        let (_file, content) = read_part(file, &place).await?;
        self.put_small(path, content.into(), precondition).await.map(drop)
    }

    async fn read(&self, path: &RelativePath, limit: u64) -> Result<Option<Versioned>, DestinationError> {
        self.read_small(path, limit).await
    }

    /// Downloads the object to a file without a name first: a download that breaks off is no end of the data.
    async fn open(&self, path: &RelativePath) -> Result<Option<File>, DestinationError> {
        let got = match self.store.get(&self.at(path.as_str())).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", path, &error)),
        };
        let (bytes, place) = (got.meta.size, self.shown(path));
        let folder = std::env::temp_dir().display().to_string();
        let spooling = |error| DestinationError::io("written", &*folder, error);
        let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(spooling)?);
        let mut stream = got.into_stream();
        let mut received = 0;
        while let Some(chunk) = stream.try_next().await.map_err(|error| self.failed("read", path, &error))? {
            received += chunk.len() as u64;
            tokio::io::AsyncWriteExt::write_all(&mut file, &chunk).await.map_err(spooling)?;
        }
        tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(spooling)?;
        if received != bytes {
            let cause = format!("{received} of {bytes} bytes came");
            return Err(DestinationError::Unavailable { operation: "read", place, cause });
        }
        tokio::io::AsyncSeekExt::rewind(&mut file).await.map_err(spooling)?;
        Ok(Some(file.into_std().await))
    }

    async fn copy(&self, from: &RelativePath, to: &RelativePath) -> Result<(), DestinationError> {
        let Some((meta, origin)) = self.origin_of(from).await? else {
            let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(DestinationError::io("copied", self.shown(from), gone));
        };
        let is_there = self.origin_of(to).await?.is_some_and(|(copy, copied_from)| {
            !origin.is_empty() && copied_from == origin && copy.size == meta.size
        });
        if is_there {
            return Ok(());
        }
        let (source, target) = (self.at(from.as_str()), self.at(to.as_str()));
        let copied = self.in_time("written", to, self.store.copy(&source, &target)).await?;
        copied.map_err(|error| self.failed("written", to, &error))
    }

    async fn remove(&self, path: &RelativePath) -> Result<(), DestinationError> {
        let location = self.at(path.as_str());
        match self.in_time("removed", path, self.store.delete(&location)).await? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("removed", path, &error)),
        }
    }

    async fn list(&self, folder: &RelativePath) -> Result<Listing, DestinationError> {
        let objects: Vec<ObjectMeta> = self
            .store
            .list(Some(&self.at(folder.as_str())))
            .try_collect()
            .await
            .map_err(|error| self.failed("listed", folder, &error))?;
        let mut listing = Listing::default();
        for object in objects {
            let key = object.location.as_ref();
            match self.url.path_of(key).and_then(|path| RelativePath::new(path).ok()) {
                Some(path) if path.is_below(folder) => {
                    listing.files.push(ListedFile {
                        path,
                        bytes: object.size,
                        modified: object.last_modified,
                    });
                }
                Some(_) => {}
                None => listing.foreign.push(key.escape_debug().to_string()),
            }
        }
        listing.files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(listing)
    }

    async fn put(
        &self,
        bytes: Vec<u8>,
        path: &RelativePath,
        precondition: Precondition,
    ) -> Result<Version, DestinationError> {
        self.put_small(path, bytes, precondition).await
    }

    fn latest_effect(&self) -> Duration {
        LATEST_EFFECT
    }

    async fn lock(&self, name: &RelativePath, wait: &LockWait) -> Result<HeldLock, DestinationError> {
        let guard = lease::acquire(self, name, wait).await?;
        Ok(HeldLock { guard: Box::new(guard) })
    }

    async fn finish(&self) {
        self.finishing.close();
        if tokio::time::timeout(LONGEST_FINISH, self.finishing.wait()).await.is_err() {
            tracing::warn!(destination = %self.url, "locks not given back; they end by themselves");
        }
        self.finishing.reopen();
    }
}

#[cfg(test)]
mod tests;
