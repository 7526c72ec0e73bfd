//! A prefix of an object store as a destination.
//!
//! An object comes into place whole or not at all, so nothing is staged there: files are made on this machine and
//! uploaded, in parts if they are large. What must not be replaced is created by a conditional put, a manifest by one
//! that names the version it was read at, and locks are leases ([`lease`]). A put that the store refuses may be our
//! own, repeated after its answer was lost: then what is there has our bytes, which no other run's have, because each
//! revision and each lease has a nonce.

mod connect;
mod lease;
mod url;

use std::fs::File;
use std::future::Future;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, UpdateVersion,
};
use tokio_util::task::TaskTracker;

pub use self::connect::{S3Access, StoreAccess, StoreConnectError, connect};
pub use self::lease::LeaseTerm;
pub use self::url::StoreUrl;
use super::destination::{
    Destination, DestinationError, HeldLock, ListedFile, Listing, Precondition, StagedFile, Version,
    Versioned,
};
use super::path::RelativePath;

/// What is put at once; what is longer is uploaded in parts of this length.
const PART_BYTES: u64 = 8 * 1024 * 1024;
/// How long a run that is done waits for its locks to be given back: little less than until they end by themselves.
const LONGEST_FINISH: Duration = Duration::from_secs(10);
/// The metadata key that names the path which an object was first put at: a copy has it too.
const ORIGIN: &str = "wickr-guest-export-origin";

/// A prefix of a bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ObjectDestination {
    store: Arc<dyn ObjectStore>,
    url: Arc<StoreUrl>,
    term: LeaseTerm,
    /// Whether the store was found to ignore the conditions of puts.
    ignores_conditions: Arc<AtomicBool>,
    /// What is still under way when nobody waits for it: locks that are given back.
    finishing: TaskTracker,
}

impl ObjectDestination {
    /// Names a prefix of a store; nothing is asked.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, url: StoreUrl, term: LeaseTerm) -> Self {
        let (ignores_conditions, finishing) = (Arc::default(), TaskTracker::new());
        Self { store, url: Arc::new(url), term, ignores_conditions, finishing }
    }

    fn term(&self) -> LeaseTerm {
        self.term
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
        error: object_store::Error,
    ) -> DestinationError {
        failed(operation, self.shown(path), error)
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
        let got = match self.store.get(&self.at(path.as_str())).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", path, error)),
        };
        if got.meta.size > limit {
            return Err(DestinationError::TooLong { place: self.shown(path), limit });
        }
        let version = version_of(&got.meta);
        let bytes = got.bytes().await.map_err(|error| self.failed("read", path, error))?;
        Ok(Some(Versioned { bytes: bytes.into(), version }))
    }

    /// Puts bytes in place. A refusal is none if what is there has the same bytes: then it is our own put, repeated.
    async fn put_small(
        &self,
        path: &RelativePath,
        bytes: Vec<u8>,
        precondition: Precondition,
    ) -> Result<Version, DestinationError> {
        let bytes = Bytes::from(bytes);
        let options =
            PutOptions { mode: self.mode(&precondition), attributes: origin(path), ..PutOptions::default() };
        let put =
            self.store.put_opts(&self.at(path.as_str()), PutPayload::from(bytes.clone()), options).await;
        match put {
            Ok(put) => Ok(version(put.e_tag, put.version)),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::NotFound { .. },
            ) => match self.read_small(path, bytes.len() as u64).await {
                Ok(Some(found)) if found.bytes == bytes => Ok(found.version),
                Ok(_) | Err(DestinationError::TooLong { .. }) => {
                    Err(DestinationError::Changed { place: self.shown(path) })
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(self.failed("written", path, error)),
        }
    }

    /// Uploads a file in parts, of which one is in memory at a time.
    ///
    /// Stores complete such an upload without a condition, so what must be absent is looked for first: only revisions
    /// are as large, and no other run has a revision of the same name.
    async fn put_large(
        &self,
        path: &RelativePath,
        file: File,
        precondition: &Precondition,
    ) -> Result<(), DestinationError> {
        let location = self.at(path.as_str());
        match (precondition, self.store.head(&location).await) {
            (Precondition::Absent, Ok(_)) => {
                return Err(DestinationError::Changed { place: self.shown(path) });
            }
            (Precondition::Unchanged(version), Ok(meta)) if version_of(&meta) != *version => {
                return Err(DestinationError::Changed { place: self.shown(path) });
            }
            (_, Ok(_) | Err(object_store::Error::NotFound { .. })) => {}
            (_, Err(error)) => return Err(self.failed("written", path, error)),
        }
        let options = PutMultipartOptions { attributes: origin(path), ..PutMultipartOptions::default() };
        let begun = self.store.put_multipart_opts(&location, options).await;
        let mut upload = begun.map_err(|error| self.failed("written", path, error))?;
        let uploaded = self.upload_parts(path, file, &mut *upload).await;
        if uploaded.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(path = %self.shown(path), error = %shown(&error), "parts of a broken upload are left behind");
        }
        uploaded
    }

    async fn upload_parts(
        &self,
        path: &RelativePath,
        file: File,
        upload: &mut dyn MultipartUpload,
    ) -> Result<(), DestinationError> {
        let mut file = file;
        loop {
            let (back, part) = read_part(file, &self.shown(path)).await?;
            file = back;
            if part.is_empty() {
                break;
            }
            let put = upload.put_part(PutPayload::from(part)).await;
            put.map_err(|error| self.failed("written", path, error))?;
        }
        upload.complete().await.map(drop).map_err(|error| self.failed("written", path, error))
    }

    /// Returns what is known of an object, and the path that it was first put at.
    async fn origin_of(&self, path: &RelativePath) -> Result<Option<(ObjectMeta, String)>, DestinationError> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        match self.store.get_opts(&self.at(path.as_str()), options).await {
            Ok(got) => {
                let origin = got.attributes.get(&Attribute::Metadata(ORIGIN.into()));
                let origin = origin.map(|origin| origin.as_ref().to_owned()).unwrap_or_default();
                Ok(Some((got.meta, origin)))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path, error)),
        }
    }
}

/// Reads the next part of a file on a thread that may block.
async fn read_part(mut file: File, place: &str) -> Result<(File, Bytes), DestinationError> {
    let read = tokio::task::spawn_blocking(move || {
        let mut part = Vec::new();
        (&mut file).take(PART_BYTES).read_to_end(&mut part).map(|_| (file, Bytes::from(part)))
    });
    let read = read.await.map_err(|_| DestinationError::Worker { place: place.to_owned() })?;
    read.map_err(|error| DestinationError::io("read again to be uploaded", place, error))
}

fn origin(path: &RelativePath) -> Attributes {
    Attributes::from_iter([(Attribute::Metadata(ORIGIN.into()), path.as_str().to_owned())])
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

fn shown(error: &object_store::Error) -> String {
    crate::error_chain::excerpt(&crate::error_chain::error_chain(error), 500)
}

/// What a store says of a key, in the words of a destination.
fn failed(operation: &'static str, place: String, error: object_store::Error) -> DestinationError {
    use std::io;
    let cause = |kind| io::Error::new(kind, shown(&error));
    match error {
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            DestinationError::io(operation, place, cause(io::ErrorKind::PermissionDenied))
        }
        object_store::Error::NotFound { .. } => {
            DestinationError::io(operation, place, cause(io::ErrorKind::NotFound))
        }
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            DestinationError::Changed { place }
        }
        error => DestinationError::Unavailable { operation, place, cause: shown(&error) },
    }
}

#[async_trait]
impl Destination for ObjectDestination {
    fn describe(&self) -> String {
        self.url.to_string()
    }

    fn full_name(&self) -> String {
        self.url.to_string()
    }

    /// Also finds out whether the store honours the conditions of puts.
    async fn probe_writable(&self) -> Result<(), DestinationError> {
        let path = RelativePath::known(format!(".probe/{}", hex::encode(rand::random::<[u8; 16]>())));
        let location = self.at(path.as_str());
        let failed = |error| failed("written", self.url.to_string(), error);
        let create = |text: &'static str| {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            self.store.put_opts(&location, PutPayload::from_static(text.as_bytes()), options)
        };
        let first = create("first").await;
        let honours = match first {
            Ok(_) => create("second").await.is_err(),
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                false
            }
            Err(error) => return Err(failed(error)),
        };
        if !honours {
            self.ignores_conditions.store(true, Ordering::Relaxed);
            self.store.put(&location, PutPayload::from_static(b"third")).await.map_err(failed)?;
            tracing::warn!(
                destination = %self.url,
                "this store ignores conditional puts, so nothing keeps two runs at the same time from overwriting \
                 each other's publications: never let two run at once"
            );
        }
        self.store.delete(&location).await.map_err(failed)
    }

    async fn stage(&self) -> Result<StagedFile, DestinationError> {
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
            return self.put_large(path, file, &precondition).await;
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
            Err(error) => return Err(self.failed("read", path, error)),
        };
        let (bytes, place) = (got.meta.size, self.shown(path));
        let spooling = |error| DestinationError::io("downloaded", &*place, error);
        let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(spooling)?);
        let mut stream = got.into_stream();
        let mut received = 0;
        while let Some(chunk) = stream.try_next().await.map_err(|error| self.failed("read", path, error))? {
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
        let copied = self.store.copy(&self.at(from.as_str()), &self.at(to.as_str())).await;
        copied.map_err(|error| self.failed("written", to, error))
    }

    async fn remove(&self, path: &RelativePath) -> Result<(), DestinationError> {
        match self.store.delete(&self.at(path.as_str())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("removed", path, error)),
        }
    }

    async fn list(&self, folder: &RelativePath) -> Result<Listing, DestinationError> {
        let objects: Vec<ObjectMeta> = self
            .store
            .list(Some(&self.at(folder.as_str())))
            .try_collect()
            .await
            .map_err(|error| self.failed("listed", folder, error))?;
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

    async fn lock(&self, name: &RelativePath, wait: Duration) -> Result<HeldLock, DestinationError> {
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
