//! How much of a guest a roster keeps: everything, a keyed pseudonym, or only that they exist.
//!
//! The mode is applied when a guest is pushed, before anything could be written anywhere. What stands in for a
//! username that must not be kept still has to tell conflicts: a mark, a digest of hash and username that is
//! empty for an empty username. Usernames and marks then follow one rule (the smaller is kept, two different
//! ones are a conflict), and an empty one is the smallest in both.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::dataset::content::Disclosure;

/// The fewest bytes of a pseudonym key.
pub const MIN_KEY_BYTES: usize = 16;

const KEY_ID_DOMAIN: &[u8] = b"wickr-guest-export pseudonym key id v1\0";
const MARK_KEY_DOMAIN: &[u8] = b"wickr-guest-export username mark key v1\0";
const COUNTED_DOMAIN: &[u8] = b"wickr-guest-export counted guest v1\0";
const COUNTED_MARK_DOMAIN: &[u8] = b"wickr-guest-export counted username mark v1\0";

/// The bytes of a mark: enough that two usernames never share one by chance.
const MARK_BYTES: usize = 16;

/// What a roster keeps and publishes of its guests.
#[derive(Clone, Debug)]
pub enum RosterMode {
    /// Hashes and usernames, as the service sent them.
    Full,
    /// `username_hash` is the lower-case hex HMAC-SHA256 of the hash under the key; no usernames.
    Pseudonymous(PseudonymKey),
    /// Guests are told apart while they are counted, and nothing of them is kept.
    CountsOnly,
}

impl RosterMode {
    /// Returns the word used in job files and manifests.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Pseudonymous(_) => "pseudonymous",
            Self::CountsOnly => "none",
        }
    }

    /// Returns the id of the pseudonym key, if the mode has one.
    #[must_use]
    pub fn key_id(&self) -> Option<String> {
        match self {
            Self::Pseudonymous(key) => Some(key.id().to_owned()),
            Self::Full | Self::CountsOnly => None,
        }
    }

    /// Returns what the roster's rows disclose, or `None` if it has no rows.
    #[must_use]
    pub fn disclosure(&self) -> Option<Disclosure<'_>> {
        match self {
            Self::Full => Some(Disclosure::Full),
            Self::Pseudonymous(key) => Some(Disclosure::Pseudonymous { key_id: key.id() }),
            Self::CountsOnly => None,
        }
    }

    /// Turns a guest into what may be kept: the identity that is counted, and the username or its mark.
    pub(super) fn admit<'a>(&self, hash: &'a str, username: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
        let (identity, mark): (_, [u8; 32]) = match self {
            Self::Full => return (hash.into(), username.into()),
            Self::Pseudonymous(key) => {
                let pseudonym = key.0.pseudonyms.clone().chain_update(hash).finalize().into_bytes();
                let mark = key
                    .0
                    .marks
                    .clone()
                    .chain_update((hash.len() as u64).to_be_bytes())
                    .chain_update(hash)
                    .chain_update(username);
                (hex::encode(pseudonym), mark.finalize().into_bytes().into())
            }
            Self::CountsOnly => {
                let identity = Sha256::new().chain_update(COUNTED_DOMAIN).chain_update(hash).finalize();
                let mark = Sha256::new()
                    .chain_update(COUNTED_MARK_DOMAIN)
                    .chain_update((hash.len() as u64).to_be_bytes())
                    .chain_update(hash)
                    .chain_update(username);
                (hex::encode(identity), mark.finalize().into())
            }
        };
        let mark = if username.is_empty() { String::new() } else { hex::encode(&mark[..MARK_BYTES]) };
        (identity.into(), mark.into())
    }
}

/// The user's secret that turns hashes into pseudonyms. It is never printed and never published.
#[derive(Clone)]
pub struct PseudonymKey(Arc<KeyedState>);

/// The key as the digests keep it, so that no guest costs a key schedule.
struct KeyedState {
    pseudonyms: Hmac<Sha256>,
    marks: Hmac<Sha256>,
    id: String,
}

/// A key that is too short to keep pseudonyms from being guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the pseudonym key is {length} bytes long; use at least {MIN_KEY_BYTES} random ones, as `openssl rand -hex \
     32` gives"
)]
pub struct PseudonymKeyError {
    /// Its length in bytes.
    length: usize,
}

impl PseudonymKey {
    /// Takes the key's bytes as they are; whoever read them from a file decides about a trailing line feed.
    ///
    /// # Errors
    /// [`PseudonymKeyError`] if there are fewer than [`MIN_KEY_BYTES`].
    pub fn new(key: impl AsRef<[u8]>) -> Result<Self, PseudonymKeyError> {
        let key = key.as_ref();
        if key.len() < MIN_KEY_BYTES {
            return Err(PseudonymKeyError { length: key.len() });
        }
        let keyed = |key: &[u8]| Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        let mark_key = Sha256::new().chain_update(MARK_KEY_DOMAIN).chain_update(key).finalize();
        let id = Sha256::new().chain_update(KEY_ID_DOMAIN).chain_update(key).finalize();
        Ok(Self(Arc::new(KeyedState {
            pseudonyms: keyed(key),
            marks: keyed(&mark_key),
            id: hex::encode(&id[..8]),
        })))
    }

    /// Returns the key's public id: the first 16 hexadecimal digits of the SHA-256 of the text
    /// `wickr-guest-export pseudonym key id v1`, a zero byte and the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PseudonymKey(redacted, id {})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PseudonymKey {
        PseudonymKey::new(b"0123456789abcdef").unwrap()
    }

    /// The vectors were computed by a program in another language.
    #[test]
    fn a_pseudonym_is_the_hmac_of_the_hash() {
        let (identity, _) = RosterMode::Pseudonymous(key()).admit("a1", "ann");
        assert_eq!(identity, "476d5bb034da81d9e812e732b877c3842468611b6bb66287973dd7374c74331d");
        assert_eq!(key().id(), "7621b8403cbc2df6");
    }

    #[test]
    fn only_the_full_mode_keeps_names_and_hashes() {
        for mode in [RosterMode::Pseudonymous(key()), RosterMode::CountsOnly] {
            let (identity, mark) = mode.admit("hash-of-ann", "ann@example.com");
            assert!(!identity.contains("ann") && !mark.contains("ann"));
            assert_ne!(mark, mode.admit("hash-of-ann", "bob").1, "a conflict shows");
            assert_ne!(mark, mode.admit("hash-of-bob", "ann@example.com").1, "equal names do not");
            assert_eq!(mode.admit("hash-of-ann", "").1, "", "an empty name stays empty");
        }
        let (identity, username) = RosterMode::Full.admit("h", "ann");
        assert_eq!((&*identity, &*username), ("h", "ann"));
    }

    #[test]
    fn a_short_key_is_refused_and_none_is_printed() {
        let error = PseudonymKey::new(b"too short").unwrap_err().to_string();
        assert!(error.starts_with("the pseudonym key is 9 bytes long; use at least 16"), "{error}");
        let printed = format!("{:?}", RosterMode::Pseudonymous(key()));
        assert_eq!(printed, "Pseudonymous(PseudonymKey(redacted, id 7621b8403cbc2df6))");
    }

    #[test]
    fn modes_have_the_names_of_the_manifest() {
        let modes = [RosterMode::Full, RosterMode::Pseudonymous(key()), RosterMode::CountsOnly];
        assert_eq!(modes.each_ref().map(RosterMode::name), ["full", "pseudonymous", "none"]);
        let key_ids = modes.each_ref().map(RosterMode::key_id);
        assert_eq!(key_ids, [None, Some("7621b8403cbc2df6".to_owned()), None]);
    }
}
