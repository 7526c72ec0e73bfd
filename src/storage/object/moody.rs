//! A store in memory whose puts fail as told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

/// What becomes of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done and answered.
    Answered,
    /// It is done, and nobody hears of it.
    Unanswered,
    /// It never arrives.
    Lost,
    /// It is done whatever its condition says.
    Unconditional,
    /// The store does not know conditions.
    Unsupported,
    /// The store is out of order.
    Broken,
}

/// A store whose puts have fates, the last of which is that of all later ones.
#[derive(Debug)]
pub(crate) struct Moody {
    inner: InMemory,
    fates: Mutex<Vec<Fate>>,
    puts: AtomicU32,
    /// What the paths contain whose puts have fates; all others are answered.
    only: Mutex<String>,
    /// What the next copy waits for.
    held: Mutex<Option<Arc<Notify>>>,
}

impl Moody {
    pub(crate) fn new(fates: &[Fate]) -> Arc<Self> {
        let fates = Mutex::new(fates.iter().rev().copied().collect());
        Arc::new(Self {
            inner: InMemory::new(),
            fates,
            puts: AtomicU32::new(0),
            only: Mutex::default(),
            held: Mutex::default(),
        })
    }

    pub(crate) fn become_(&self, fates: &[Fate]) {
        *self.fates.lock().unwrap() = fates.iter().rev().copied().collect();
    }

    /// Holds the next copy up, between reading and writing, until it is notified.
    pub(crate) fn hold_next_copy(&self) -> Arc<Notify> {
        let held = Arc::new(Notify::new());
        *self.held.lock().unwrap() = Some(Arc::clone(&held));
        held
    }

    /// Says whether a copy is being held up.
    pub(crate) fn holds_a_copy(&self) -> bool {
        self.held.lock().unwrap().is_none()
    }

    /// Gives fates to the puts of some paths alone.
    pub(crate) fn become_at(&self, only: &str, fates: &[Fate]) {
        only.clone_into(&mut self.only.lock().unwrap());
        self.become_(fates);
    }

    fn next(&self) -> Fate {
        let mut fates = self.fates.lock().unwrap();
        if fates.len() > 1 { fates.pop().unwrap() } else { fates.first().copied().unwrap_or(Fate::Answered) }
    }

    pub(crate) fn puts(&self) -> u32 {
        self.puts.load(Ordering::SeqCst)
    }
}

impl std::fmt::Display for Moody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("moody")
    }
}

#[async_trait]
impl ObjectStore for Moody {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        if !path.as_ref().contains(&*self.only.lock().unwrap()) {
            return self.inner.put_opts(path, payload, options).await;
        }
        let is_conditional = options.mode != PutMode::Overwrite;
        match self.next() {
            Fate::Unanswered => {
                self.inner.put_opts(path, payload, options).await?;
                std::future::pending().await
            }
            Fate::Lost => std::future::pending().await,
            Fate::Unconditional => {
                let options = PutOptions { mode: PutMode::Overwrite, ..options };
                self.inner.put_opts(path, payload, options).await
            }
            Fate::Unsupported if is_conditional => Err(object_store::Error::NotImplemented {
                operation: "conditional put".to_owned(),
                implementer: self.to_string(),
            }),
            Fate::Answered | Fate::Unsupported => self.inner.put_opts(path, payload, options).await,
            Fate::Broken => Err(object_store::Error::Generic { store: "moody", source: "503".into() }),
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let held = self.held.lock().unwrap().take();
        let Some(held) = held else { return self.inner.copy_opts(from, to, options).await };
        // It has read what it copies, which may be gone when it is written.
        let read = self.inner.get_opts(from, GetOptions::default()).await?.bytes().await?;
        held.notified().await;
        self.inner.put_opts(to, read.into(), PutOptions::default()).await.map(drop)
    }
}
