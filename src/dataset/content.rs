//! The digest of a period's logical content, which decides whether a restatement is needed.
//!
//! It covers rows, never file bytes, so that a new compression library or another page order restates nothing.
//! The hasher refuses rows that are not in their published form (sorted, distinct, of this period and
//! network): a digest of anything else would compare what nobody published.
//!
//! # Definition
//! `content_sha256` is the SHA-256 of these values, one after the other:
//!
//! 1. text `wickr-guest-export content v1`
//! 2. text mode: `full`, `pseudonymous` or `none`
//! 3. text key id if the mode is `pseudonymous`, else null
//! 4. text billing period, such as `2026-10`
//! 5. text network id, such as `01234567`
//! 6. unless the mode is `none`, for each guest in ascending bytewise order of `username_hash`: text
//!    `username_hash`, then `username` as text or null. In the mode `pseudonymous` the hash is the pseudonym
//!    and the username is null.
//! 7. integer `guest_count`
//!
//! where text is the byte `01`, the length in bytes as a big-endian unsigned 64-bit integer and the UTF-8
//! bytes; null is the byte `00`; an integer is the byte `02` and a big-endian signed 64-bit integer.

use std::fmt;
use std::str::FromStr;

use arrow::array::{Array, RecordBatch};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::schema::{self, SchemaError};
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

const DOMAIN: &str = "wickr-guest-export content v1";

/// The digest of the logical content of one period of one network, as the module defines it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest([u8; 32]);

/// A text that is not a content digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a content digest is exactly 64 lower-case hexadecimal digits")]
pub struct ContentDigestError;

impl ContentDigest {
    /// Digests the content of a period that publishes its count only.
    #[must_use]
    pub fn of_counts(period: BillingPeriod, network: NetworkId, guests: u64) -> Self {
        let mut canonical = Canonical::new("none", None, period, network);
        canonical.count(guests);
        canonical.finish()
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ContentDigest {
    type Err = ContentDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let lower_case = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if lower_case => Ok(Self(bytes)),
            _ => Err(ContentDigestError),
        }
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = ContentDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.to_string()
    }
}

/// How much of its guests a published roster discloses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure<'a> {
    /// Hashes and usernames as the service sent them.
    Full,
    /// Keyed pseudonyms, and no usernames.
    Pseudonymous {
        /// The id of the key that they were made with.
        key_id: &'a str,
    },
}

/// Why rows are not a roster in its published form. Rows are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// The rows have other columns.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A hash is not greater than the one before it.
    #[error("row {0} repeats the hash before it or is out of order")]
    OutOfOrder(u64),
    /// A row belongs elsewhere.
    #[error("row {0} is of another billing period or network")]
    Foreign(u64),
    /// A full roster lacks a username.
    #[error("row {0} has no username, though the roster is a full one")]
    UsernameMissing(u64),
    /// A pseudonymous roster shows a username.
    #[error("row {0} shows a username, though the roster is pseudonymous")]
    UsernameDisclosed(u64),
}

/// Digests a roster row by row.
#[derive(Clone)]
pub struct RosterHasher {
    canonical: Canonical,
    period: String,
    network: NetworkId,
    usernames: bool,
    guests: u64,
    previous: String,
}

impl RosterHasher {
    /// Begins the digest of one roster.
    #[must_use]
    pub fn new(disclosure: Disclosure<'_>, period: BillingPeriod, network: NetworkId) -> Self {
        let (canonical, usernames) = match disclosure {
            Disclosure::Full => (Canonical::new("full", None, period, network), true),
            Disclosure::Pseudonymous { key_id } => {
                (Canonical::new("pseudonymous", Some(key_id), period, network), false)
            }
        };
        let period = period.to_string();
        Self { canonical, period, network, usernames, guests: 0, previous: String::new() }
    }

    /// Adds the next guest.
    ///
    /// # Errors
    /// [`ContentError`] if the hash does not ascend, or the username is there where it must not be or is not
    /// where it must.
    pub fn push(&mut self, username_hash: &str, username: Option<&str>) -> Result<(), ContentError> {
        if self.guests > 0 && username_hash <= self.previous.as_str() {
            return Err(ContentError::OutOfOrder(self.guests));
        }
        match (self.usernames, username) {
            (true, None) => return Err(ContentError::UsernameMissing(self.guests)),
            (false, Some(_)) => return Err(ContentError::UsernameDisclosed(self.guests)),
            (true, Some(_)) | (false, None) => {}
        }
        self.canonical.text(Some(username_hash));
        self.canonical.text(username);
        self.guests += 1;
        username_hash.clone_into(&mut self.previous);
        Ok(())
    }

    /// Adds the guests of a batch of `guest_roster`.
    ///
    /// # Errors
    /// [`ContentError`] as [`Self::push`], and for other columns and for rows of another period or network.
    pub fn push_batch(&mut self, batch: &RecordBatch) -> Result<(), ContentError> {
        schema::require(&schema::guest_roster(), &batch.schema())?;
        let [periods, networks, hashes, usernames] =
            [schema::BILLING_PERIOD, schema::NETWORK_ID, schema::USERNAME_HASH, schema::USERNAME]
                .map(|column| schema::text_column(batch, column));
        for row in 0..batch.num_rows() {
            if periods.value(row) != self.period || networks.value(row) != self.network.as_str() {
                return Err(ContentError::Foreign(self.guests));
            }
            let username = usernames.is_valid(row).then(|| usernames.value(row));
            self.push(hashes.value(row), username)?;
        }
        Ok(())
    }

    /// Returns the guests so far.
    #[must_use]
    pub const fn guests(&self) -> u64 {
        self.guests
    }

    /// Ends the digest.
    #[must_use]
    pub fn finish(mut self) -> ContentDigest {
        self.canonical.count(self.guests);
        self.canonical.finish()
    }
}

/// The canonical encoding: every value tagged and of known length, so that no two contents are alike.
#[derive(Clone)]
struct Canonical {
    digest: Sha256,
    /// What is not digested yet: a digest takes a few KiB at once far faster than by the word.
    pending: Vec<u8>,
}

impl Canonical {
    const PENDING_BYTES: usize = 8 * 1024;

    fn new(mode: &str, key_id: Option<&str>, period: BillingPeriod, network: NetworkId) -> Self {
        let pending = Vec::with_capacity(Self::PENDING_BYTES);
        let mut canonical = Self { digest: Sha256::new(), pending };
        canonical.text(Some(DOMAIN));
        canonical.text(Some(mode));
        canonical.text(key_id);
        canonical.text(Some(&period.to_string()));
        canonical.text(Some(network.as_str()));
        canonical
    }

    fn text(&mut self, text: Option<&str>) {
        match text {
            None => self.pending.push(0),
            Some(text) => {
                self.pending.push(1);
                self.pending.extend_from_slice(&(text.len() as u64).to_be_bytes());
                self.pending.extend_from_slice(text.as_bytes());
            }
        }
        if self.pending.len() >= Self::PENDING_BYTES {
            self.digest_pending();
        }
    }

    fn count(&mut self, guests: u64) {
        let guests = i64::try_from(guests).expect("fewer guests than 2^63");
        self.pending.push(2);
        self.pending.extend_from_slice(&guests.to_be_bytes());
    }

    fn digest_pending(&mut self) {
        self.digest.update(&self.pending);
        self.pending.clear();
    }

    fn finish(mut self) -> ContentDigest {
        self.digest_pending();
        ContentDigest(self.digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    fn hasher(disclosure: Disclosure<'_>) -> RosterHasher {
        RosterHasher::new(disclosure, "2026-10".parse().unwrap(), "01234567".parse().unwrap())
    }

    fn full(rows: &[(&str, &str)]) -> ContentDigest {
        let mut hasher = hasher(Disclosure::Full);
        for (hash, username) in rows {
            hasher.push(hash, Some(username)).unwrap();
        }
        hasher.finish()
    }

    /// The vectors were computed from the definition above by a program in another language.
    #[test]
    fn the_digest_is_the_documented_one() {
        assert_eq!(
            full(&[("a1", ""), ("b2", "Zoë")]).to_string(),
            "8a6d5119c202b695a70cca6f9f8c05d1fa224616fa1add4cf2726fa43d853a6e"
        );
        assert_eq!(full(&[]).to_string(), "848c72c3a77b6aa0544020bb75011396816cfdca407dac21f64878462326cf63");
        let mut pseudonymous = hasher(Disclosure::Pseudonymous { key_id: "0123456789abcdef" });
        pseudonymous.push("a1", None).unwrap();
        pseudonymous.push("b2", None).unwrap();
        assert_eq!(
            pseudonymous.finish().to_string(),
            "7ed156ae7e0ca461deebbeb516156883c435e3526ea61c40dc49c3ffa49e1ba8"
        );
        let counts = ContentDigest::of_counts("2026-10".parse().unwrap(), "01234567".parse().unwrap(), 2);
        assert_eq!(counts.to_string(), "fdcef9945e6511468d296200877a368cec2050cff5c18a650339adbb348293c5");
    }

    #[test]
    fn contents_that_concatenate_alike_differ() {
        assert_ne!(full(&[("ab", "c")]), full(&[("a", "bc")]));
        assert_ne!(full(&[("a", ""), ("b", "")]), full(&[("a", "b")]));
    }

    #[test]
    fn only_rows_in_published_form_are_digested() {
        let mut hasher = hasher(Disclosure::Full);
        hasher.push("b", Some("x")).unwrap();
        assert_eq!(hasher.push("b", Some("x")), Err(ContentError::OutOfOrder(1)));
        assert_eq!(hasher.push("a", Some("x")), Err(ContentError::OutOfOrder(1)));
        assert_eq!(hasher.push("c", None), Err(ContentError::UsernameMissing(1)));
        let mut pseudonymous = self::hasher(Disclosure::Pseudonymous { key_id: "k" });
        assert_eq!(pseudonymous.push("a", Some("")), Err(ContentError::UsernameDisclosed(0)));
    }

    #[test]
    fn a_row_of_another_period_or_network_is_refused() {
        let batch = |period: &str, network: &str| {
            let column = |text: &str| Arc::new(StringArray::from_iter_values([text])) as _;
            let columns = vec![column(period), column(network), column("a1"), column("ann")];
            RecordBatch::try_new(schema::guest_roster(), columns).unwrap()
        };
        let mut hasher = hasher(Disclosure::Full);
        assert_eq!(hasher.push_batch(&batch("2026-09", "01234567")), Err(ContentError::Foreign(0)));
        assert_eq!(hasher.push_batch(&batch("2026-10", "01234568")), Err(ContentError::Foreign(0)));
        hasher.push_batch(&batch("2026-10", "01234567")).unwrap();
        assert_eq!(hasher.finish(), full(&[("a1", "ann")]));
        let counts = schema::guest_counts_batch("2026-10".parse().unwrap(), "01234567".parse().unwrap(), 1);
        let refused = self::hasher(Disclosure::Full).push_batch(&counts);
        assert!(matches!(refused, Err(ContentError::Schema(_))));
    }

    #[test]
    fn a_digest_reads_back_only_as_it_prints() {
        let digest = full(&[]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<ContentDigest>(&json).unwrap(), digest);
        for text in [digest.to_string().to_uppercase(), "00".repeat(31), "00".repeat(33), "zz".repeat(32)] {
            assert!(text.parse::<ContentDigest>().is_err(), "{text}");
        }
    }
}
