//! The digest of a file, and the writer that takes it while the file is written.
//!
//! Length and digest come from the bytes on their way to the file, never from reading the file again: what the
//! manifest says is what was encoded, so a file that was damaged on its way to the disk does not vouch for
//! itself.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The SHA-256 of a file's bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileDigest([u8; 32]);

/// A text that is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not a SHA-256 of 64 lower-case hexadecimal digits")]
pub struct FileDigestError;

impl FromStr for FileDigest {
    type Err = FileDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let lower_case = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if lower_case => Ok(Self(bytes)),
            _ => Err(FileDigestError),
        }
    }
}

impl TryFrom<String> for FileDigest {
    type Error = FileDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FileDigest> for String {
    fn from(digest: FileDigest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for FileDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for FileDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FileDigest {
    /// Digests bytes that are at hand.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// The length of a file in bytes and its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The length in bytes.
    pub bytes: u64,
    /// The digest.
    pub sha256: FileDigest,
}

impl Measure {
    /// Reads to the end.
    ///
    /// # Errors
    /// Whatever the reader fails with.
    pub fn of(mut reader: impl Read) -> io::Result<Self> {
        let mut measured = Measured::new(io::sink());
        io::copy(&mut reader, &mut measured)?;
        Ok(measured.finish()?.1)
    }
}

/// A writer that measures what passes through it, and remembers if the file behind it ever failed.
pub struct Measured<W> {
    inner: W,
    failure: Option<io::Error>,
    bytes: u64,
    digest: Sha256,
}

impl<W> Measured<W> {
    /// Measures what passes on its way to `inner`.
    #[must_use]
    pub fn new(inner: W) -> Self {
        Self { inner, failure: None, bytes: 0, digest: Sha256::new() }
    }

    /// Ends the file; fails if any write did, even one whose error was swallowed on its way.
    ///
    /// # Errors
    /// The failure of the writer behind this one.
    pub fn finish(self) -> io::Result<(W, Measure)> {
        let sha256 = FileDigest(self.digest.finalize().into());
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok((self.inner, Measure { bytes: self.bytes, sha256 })),
        }
    }

    fn remember(&mut self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::Interrupted {
            self.failure.get_or_insert_with(|| io::Error::new(error.kind(), error.to_string()));
        }
        error
    }
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes).map_err(|error| self.remember(error))?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush().map_err(|error| self.remember(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_digest_is_exactly_64_lower_case_digits() {
        assert_eq!(FileDigest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(FileDigest::of(b"")));
        for text in ["", &EMPTY[1..], &format!("{EMPTY}0"), &EMPTY.to_uppercase(), &EMPTY.replace('e', "g")] {
            assert_eq!(text.parse::<FileDigest>(), Err(FileDigestError), "{text}");
        }
    }

    /// Takes at most three bytes a call, as a pipe may.
    struct Reluctant(Vec<u8>);

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes nothing.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failure_that_an_encoder_swallows_is_not_forgotten() {
        let mut measured = Measured::new(Full);
        assert!(measured.write_all(b"x").is_err());
        assert_eq!(measured.finish().err().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    }

    #[test]
    fn only_what_was_taken_is_measured() {
        let mut measured = Measured::new(Reluctant(Vec::new()));
        measured.write_all(b"0123456789").unwrap();
        let (inner, measure) = measured.finish().unwrap();
        assert_eq!(inner.0, b"0123456789");
        assert_eq!(measure, Measure { bytes: 10, sha256: FileDigest::of(b"0123456789") });
        assert_eq!(Measure::of(&inner.0[..]).unwrap(), measure);
    }
}
