//! Runs an encoder into a staged file.
//!
//! Encoders compute for seconds and block, so each runs on a thread of its own kind. What the staged file itself
//! refused is told from what the encoder could not do by asking the file, because encoders wrap I/O errors in
//! errors of their own, and a full disk must not look like a bug.

use std::io::{BufWriter, Write};

use super::destination::{Destination, DestinationError, StagedFile};
use super::digest::{Measure, Measured};
use super::path::RelativePath;

/// What an encoder may fail with.
pub type EncoderError = Box<dyn std::error::Error + Send + Sync>;

/// Why a file could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The destination refused it.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The encoder failed or panicked.
    #[error("the encoder failed")]
    Encoder(#[source] EncoderError),
}

/// An encoded file that is not in place yet.
#[derive(Debug)]
pub struct EncodedFile<T> {
    /// The file.
    pub staged: StagedFile,
    /// What the encoder tells of it.
    pub encoded: T,
    /// Its length and digest.
    pub measure: Measure,
}

/// Stages a file for a path and lets the encoder write it.
///
/// # Errors
/// [`EncodeError`]; nothing is left behind.
pub async fn encode<T: Send + 'static>(
    destination: &dyn Destination,
    path: &RelativePath,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<T, EncoderError> + Send + 'static,
) -> Result<EncodedFile<T>, EncodeError> {
    let staged = destination.stage(path).await?;
    let place = staged.folder();
    let encoding = tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(128 * 1024, Measured::new(staged));
        let encoded = write(&mut out);
        let encoded = encoded.and_then(|encoded| out.flush().map(|()| encoded).map_err(EncoderError::from));
        let (measured, _) = out.into_parts();
        match (measured.finish(), encoded) {
            (Ok((staged, measure)), Ok(encoded)) => Ok(EncodedFile { staged, encoded, measure }),
            (Err(failure), _) => Err(DestinationError::io("written", place, failure).into()),
            (Ok(_), Err(error)) => Err(EncodeError::Encoder(error)),
        }
    });
    encoding.await.unwrap_or_else(|ended| Err(EncodeError::Encoder(Box::new(ended))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalDestination;

    fn output() -> (tempfile::TempDir, LocalDestination) {
        let folder = tempfile::tempdir().unwrap();
        let destination = LocalDestination::new(folder.path().to_owned());
        (folder, destination)
    }

    #[tokio::test]
    async fn what_was_written_is_measured_to_the_last_buffered_byte() {
        let (_folder, output) = output();
        let text = b"some rows\n".repeat(50_000);
        let expected = Measure::of(&text[..]).unwrap();
        let file = encode(&output, &RelativePath::new("file").unwrap(), move |out| {
            out.write_all(&text)?;
            Ok(7)
        })
        .await
        .unwrap();
        assert_eq!((file.encoded, file.measure), (7, expected));
        assert_eq!(Measure::of(file.staged.file.reopen().unwrap()).unwrap(), expected);
    }

    #[tokio::test]
    async fn an_encoder_that_fails_or_panics_is_an_error_and_leaves_nothing() {
        let (folder, output) = output();
        let failed =
            encode::<()>(&output, &RelativePath::new("file").unwrap(), |_| Err("no rows".into())).await;
        assert!(matches!(failed, Err(EncodeError::Encoder(_))));
        let panicked =
            encode::<()>(&output, &RelativePath::new("file").unwrap(), |_| panic!("a bug in the encoder"))
                .await;
        assert!(matches!(panicked, Err(EncodeError::Encoder(_))));
        assert_eq!(std::fs::read_dir(folder.path().join(".staging")).unwrap().count(), 0);
    }
}
