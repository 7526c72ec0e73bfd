//! The cursor: a sealed JSON document, whose replacement commits everything that was read so far.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use crate::error_chain::excerpt;
use crate::storage::seal;

/// The version of the format of cursors and runs. Another one is not read.
pub const FORMAT: u32 = 2;
/// The field that seals a cursor.
const SEAL_FIELD: &str = "cursor_sha256";

/// Why bytes are no cursor. Ends a sentence about a walk.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// They are not those that were written.
    #[error("its cursor is damaged")]
    Damaged,
    /// Another version wrote them.
    #[error("another version of this program wrote its cursor")]
    Version,
    /// They were written so, and mean nothing.
    #[error("its cursor is not understood: {0}")]
    Meaningless(String),
}

/// A cursor: what was found out so far, when, and in answer to what.
#[derive(Debug)]
pub struct Cursor<T, F = Fingerprint> {
    /// What the walk is of.
    pub fingerprint: F,
    /// When it was written.
    pub saved_at: DateTime<Utc>,
    /// What was found out.
    pub document: T,
}

#[derive(Serialize)]
struct Written<'a, T> {
    format: u32,
    saved_at: DateTime<Utc>,
    fingerprint: &'a Fingerprint,
    document: &'a T,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<T> {
    #[serde(rename = "format")]
    _format: u32,
    saved_at: DateTime<Utc>,
    fingerprint: Fingerprint,
    document: T,
    #[serde(rename = "cursor_sha256")]
    _seal: String,
}

impl<T: Serialize> Cursor<&T, &Fingerprint> {
    /// Writes the cursor, sealed.
    ///
    /// # Panics
    /// If the document has no JSON form.
    #[must_use]
    pub fn to_sealed_json(&self) -> Vec<u8> {
        let Self { fingerprint, saved_at, document } = *self;
        let written = Written { format: FORMAT, saved_at, fingerprint, document };
        seal::sealed(SEAL_FIELD, &serde_json::to_string_pretty(&written).expect("a document has a JSON form"))
    }
}

impl<T: DeserializeOwned> Cursor<T> {
    /// Reads a cursor.
    ///
    /// # Errors
    /// [`CursorError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CursorError> {
        if !seal::holds(SEAL_FIELD, bytes) {
            return Err(CursorError::Damaged);
        }
        let meaningless =
            |error: serde_json::Error| CursorError::Meaningless(excerpt(&error.to_string(), 300));
        let version: Version = serde_json::from_slice(bytes).map_err(meaningless)?;
        if version.format != FORMAT {
            return Err(CursorError::Version);
        }
        let Read { saved_at, fingerprint, document, .. } =
            serde_json::from_slice(bytes).map_err(meaningless)?;
        Ok(Self { fingerprint, saved_at, document })
    }
}
