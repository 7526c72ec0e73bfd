//! Uploads in parts, of which one is in memory at a time.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutMultipartOptions, PutPayload};

use super::answer::shown;
use super::{ObjectDestination, version_of};
use crate::storage::destination::{DestinationError, Precondition};
use crate::storage::path::RelativePath;

/// What is put at once; what is longer is uploaded in parts of this length, the least that S3 takes: a slow line has
/// the less to send again.
pub const PART_BYTES: u64 = 5 * 1024 * 1024;
/// How long one part may take, attempts included.
const LONGEST_PART: Duration = Duration::from_mins(5);

impl ObjectDestination {
    /// Uploads a file in parts.
    ///
    /// Stores complete such an upload without a condition, so what must be absent is looked for first: only revisions
    /// are as large, and no other run has a revision of the same name.
    pub(super) async fn put_large(
        &self,
        path: &RelativePath,
        file: File,
        bytes: u64,
        precondition: &Precondition,
    ) -> Result<(), DestinationError> {
        let location = self.at(path.as_str());
        let found = match self.in_time("written", path, self.store.head(&location)).await? {
            Ok(meta) => Some(version_of(&meta)),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(self.failed("written", path, &error)),
        };
        self.hold(path, precondition, found.as_ref())?;
        let attributes = self.attributes(path, precondition, bytes);
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let begun = self.in_time("written", path, self.store.put_multipart_opts(&location, options)).await?;
        let mut upload = begun.map_err(|error| self.failed("written", path, &error))?;
        let uploaded = self.upload_parts(path, file, &mut *upload).await;
        if let Err(error) = &uploaded {
            if found.is_none() && self.is_complete(path, bytes).await {
                tracing::debug!(%error, "an upload was complete already");
                return Ok(());
            }
            match self.in_time("written", path, upload.abort()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(path = %self.shown(path), error = %shown(&error), "parts of a broken upload are left behind");
                }
                Err(error) => tracing::warn!(%error, "parts of a broken upload are left behind"),
            }
        }
        uploaded
    }

    /// Says whether what is there is an upload of ours whose completion was not answered. Asked again, a store knows
    /// the upload no longer; but nothing was there before, and what is was put for this path and is as long.
    async fn is_complete(&self, path: &RelativePath, bytes: u64) -> bool {
        let found = self.origin_of(path).await;
        matches!(found, Ok(Some((meta, origin))) if meta.size == bytes && origin == path.as_str())
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
            let put = upload.put_part(PutPayload::from(part));
            let put = self.within(LONGEST_PART, "written", path, put).await?;
            put.map_err(|error| self.failed("written", path, &error))?;
        }
        let completed = self.in_time("written", path, upload.complete()).await?;
        completed.map(drop).map_err(|error| self.failed("written", path, &error))
    }
}

/// Reads the next part of a file on a thread that may block.
pub(super) async fn read_part(mut file: File, place: &str) -> Result<(File, Bytes), DestinationError> {
    let read = tokio::task::spawn_blocking(move || {
        let mut part = Vec::new();
        (&mut file).take(PART_BYTES).read_to_end(&mut part).map(|_| (file, Bytes::from(part)))
    });
    let read = read.await.map_err(|_| DestinationError::Worker { place: place.to_owned() })?;
    read.map_err(|error| DestinationError::io("read again to be uploaded", place, error))
}
