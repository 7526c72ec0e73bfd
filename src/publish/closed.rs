//! The closing of a month: one document a period, written once, when every network that was expected in it had its
//! closed number published.
//!
//! It is an event and no state: whoever loads a warehouse waits for it, and what is restated later leaves it as it
//! is, so that what was loaded then can be told from what stands now. Its name begins with `_`, which engines that
//! read the folder leave alone.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, Utc};
use serde::{Deserialize, Serialize};

use super::layout;
use super::manifest::{Manifest, Program};
use crate::dataset::ContentDigest;
use crate::error_chain::excerpt;
use crate::guest::NetworkId;
use crate::period::BillingPeriod;
use crate::storage::destination::{Destination, DestinationError, Precondition};
use crate::storage::seal;

/// The field that seals a closing, as [`seal`] defines it.
pub const SEAL_FIELD: &str = "closed_sha256";
/// The version that this program writes, and the only one that it reads.
pub const CLOSED_VERSION: u32 = 1;
/// The longest closing that is written or read, in bytes: some 40,000 networks.
pub const MAX_CLOSED_BYTES: u64 = 8 * 1024 * 1024;

/// The closing of a period. Field by field as in `deploy/closed.schema.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPeriod {
    /// Always [`CLOSED_VERSION`].
    pub closed_version: u32,
    /// What wrote it.
    pub program: Program,
    /// The period.
    pub billing_period: BillingPeriod,
    /// When it was found that every network is closed.
    pub closed_at: DateTime<Utc>,
    /// What was published then, by network.
    pub networks: Vec<ClosedNetwork>,
}

/// What was published of one network when its period was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedNetwork {
    /// The network.
    pub network_id: NetworkId,
    /// The revision.
    pub revision: u32,
    /// The digest of its rows.
    pub content_sha256: ContentDigest,
    /// Its distinct guests.
    pub guests: u64,
}

impl ClosedNetwork {
    /// Takes from a manifest what a closing says of it.
    #[must_use]
    pub const fn of(manifest: &Manifest) -> Self {
        Self {
            network_id: manifest.network_id,
            revision: manifest.revision,
            content_sha256: manifest.content_sha256,
            guests: manifest.counts.guests,
        }
    }
}

/// Why a closing is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClosedPeriodError {
    /// It is of another version than this program knows.
    #[error(
        "is of closing version {0}, and this program knows version {CLOSED_VERSION}; use a newer program"
    )]
    Version(u64),
    /// Its seal does not hold.
    #[error("was altered since it was written: its {SEAL_FIELD} does not hold")]
    Altered,
    /// It cannot be read as a closing at all.
    #[error("is not the closing of a period: {0}")]
    Unreadable(String),
    /// It contradicts the path it was read from, or itself.
    #[error("contradicts itself: {0}")]
    Inconsistent(&'static str),
    /// It would be longer than any that is read.
    #[error("would be {0} bytes long, and none of more than {MAX_CLOSED_BYTES} is read")]
    TooLong(usize),
}

impl ClosedPeriod {
    /// Reads a closing and holds it against its seal, its period and itself.
    ///
    /// # Errors
    /// [`ClosedPeriodError`] with the first contradiction found.
    pub fn parse(bytes: &[u8], period: BillingPeriod) -> Result<Self, ClosedPeriodError> {
        #[derive(Deserialize)]
        struct Versioned {
            closed_version: u64,
        }
        if !seal::holds(SEAL_FIELD, bytes) {
            return Err(ClosedPeriodError::Altered);
        }
        let unreadable =
            |error: serde_json::Error| ClosedPeriodError::Unreadable(excerpt(&error.to_string(), 300));
        let Versioned { closed_version } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if closed_version != u64::from(CLOSED_VERSION) {
            return Err(ClosedPeriodError::Version(closed_version));
        }
        let closed: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        closed.contradiction(period).map_or(Ok(closed), |found| Err(ClosedPeriodError::Inconsistent(found)))
    }

    fn contradiction(&self, period: BillingPeriod) -> Option<&'static str> {
        let ids: BTreeSet<NetworkId> = self.networks.iter().map(|network| network.network_id).collect();
        if self.billing_period != period {
            return Some("it speaks of another period than its place");
        }
        if !(1970..=9999).contains(&self.closed_at.year()) {
            return Some("its closed_at lies in no usual year");
        }
        if self.networks.is_empty() || ids.len() != self.networks.len() {
            return Some("it lists no network, or one twice");
        }
        let possible =
            |network: &ClosedNetwork| network.revision > 0 && i64::try_from(network.guests).is_ok();
        (!self.networks.iter().all(possible)).then_some("its numbers are not those of any publication")
    }

    /// Writes the closing as it is stored: indented, sealed, with a final newline.
    ///
    /// # Panics
    /// Never: every field has a JSON form.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        seal::sealed(SEAL_FIELD, &serde_json::to_string_pretty(self).expect("every field has a JSON form"))
    }
}

/// Reads the closing of a period, if it has one: what it says, or why it is not to be
/// believed, to be read after its path.
///
/// # Errors
/// [`DestinationError`] if the destination does not answer.
pub async fn read_closed(
    destination: &dyn Destination,
    period: BillingPeriod,
) -> Result<Option<Result<ClosedPeriod, String>>, DestinationError> {
    match destination.read(&layout::closed(period), MAX_CLOSED_BYTES).await {
        Ok(read) => {
            Ok(read.map(|read| ClosedPeriod::parse(&read.bytes, period).map_err(|error| error.to_string())))
        }
        Err(error) if error.is_of_one_document() => Ok(Some(Err(format!("cannot be read: {error}")))),
        Err(error) => Err(error),
    }
}

/// Why a closing was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteClosedError {
    /// The destination; [`DestinationError::Changed`] if it stands there already.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// Nobody would believe it.
    #[error("{place} {cause}")]
    Unbelievable {
        /// Where it belongs.
        place: String,
        /// What is wrong with it.
        cause: ClosedPeriodError,
    },
}

/// Writes the closing of a period, where there is none yet. Says whether this call has written it.
///
/// # Errors
/// [`WriteClosedError`], and nothing is written.
pub async fn write_closed(
    destination: &dyn Destination,
    closed: &ClosedPeriod,
) -> Result<bool, WriteClosedError> {
    let (period, json) = (closed.billing_period, closed.to_json());
    let place = layout::closed(period);
    let unbelievable = |cause| WriteClosedError::Unbelievable { place: place.to_string(), cause };
    if json.len() as u64 > MAX_CLOSED_BYTES {
        return Err(unbelievable(ClosedPeriodError::TooLong(json.len())));
    }
    ClosedPeriod::parse(&json, period).map_err(unbelievable)?;
    match destination.put(json, &place, Precondition::Absent).await {
        Ok(_version) => Ok(true),
        Err(DestinationError::Changed { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::fixture::local;

    fn october() -> BillingPeriod {
        "2026-10".parse().unwrap()
    }

    fn closed() -> ClosedPeriod {
        let network = |id: &str, guests| ClosedNetwork {
            network_id: id.parse().unwrap(),
            revision: 2,
            content_sha256: "ab".repeat(32).parse().unwrap(),
            guests,
        };
        ClosedPeriod {
            closed_version: CLOSED_VERSION,
            program: Program { name: "wickr-guest-export".to_owned(), version: "0.1.0".to_owned() },
            billing_period: october(),
            closed_at: "2026-11-04T03:00:00Z".parse().unwrap(),
            networks: vec![network("01234567", 2622), network("12345678", 0)],
        }
    }

    #[test]
    fn a_closing_reads_as_documented() {
        let json = String::from_utf8(closed().to_json()).unwrap();
        insta::assert_snapshot!(json);
    }

    #[test]
    fn every_closing_fits_the_schema_and_reads_back_as_it_was() {
        let text = include_str!("../../deploy/closed.schema.json");
        let schema = jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&closed().to_json()).unwrap();
        let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(ClosedPeriod::parse(&closed().to_json(), october()), Ok(closed()));
        for pointer in ["/closed_version", "/billing_period", "/networks/0/network_id", "/closed_sha256"] {
            let mut other = value.clone();
            *other.pointer_mut(pointer).unwrap() = "x".into();
            assert!(!schema.is_valid(&other), "{pointer}");
        }
        for field in value.as_object().unwrap().keys() {
            let mut other = value.clone();
            other.as_object_mut().unwrap().remove(field);
            assert!(!schema.is_valid(&other), "without {field}");
        }
    }

    #[test]
    fn what_is_not_as_it_was_sealed_or_contradicts_itself_is_not_believed() {
        let json = closed().to_json();
        for at in 0..json.len() {
            let mut damaged = json.clone();
            damaged[at] ^= 1;
            assert!(ClosedPeriod::parse(&damaged, october()).is_err(), "byte {at}");
        }
        let september = "2026-09".parse().unwrap();
        assert!(matches!(ClosedPeriod::parse(&json, september), Err(ClosedPeriodError::Inconsistent(_))));
        let twice = [closed().networks, closed().networks].concat();
        let mut impossible = closed().networks;
        impossible[0].revision = 0;
        for wrong in [
            ClosedPeriod { networks: Vec::new(), ..closed() },
            ClosedPeriod { networks: twice, ..closed() },
            ClosedPeriod { closed_at: DateTime::<Utc>::MAX_UTC, ..closed() },
            ClosedPeriod { networks: impossible, ..closed() },
        ] {
            let parsed = ClosedPeriod::parse(&wrong.to_json(), october());
            assert!(matches!(parsed, Err(ClosedPeriodError::Inconsistent(_))), "{parsed:?}");
        }
        let newer = ClosedPeriod { closed_version: 2, ..closed() };
        assert_eq!(ClosedPeriod::parse(&newer.to_json(), october()), Err(ClosedPeriodError::Version(2)));
    }

    #[tokio::test]
    async fn a_closing_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let output = local(folder.path());
        assert!(read_closed(&*output, october()).await.unwrap().is_none());
        assert!(write_closed(&*output, &closed()).await.unwrap());
        let later = ClosedPeriod { closed_at: "2026-12-01T00:00:00Z".parse().unwrap(), ..closed() };
        assert!(!write_closed(&*output, &later).await.unwrap());
        assert_eq!(read_closed(&*output, october()).await.unwrap(), Some(Ok(closed())));

        let nothing = ClosedPeriod { networks: Vec::new(), ..closed() };
        assert!(write_closed(&*output, &nothing).await.is_err());
    }
}
