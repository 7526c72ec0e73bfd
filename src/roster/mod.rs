//! The roster of one period of one network: every guest once, sorted, counted and digested.
//!
//! A [`RosterBuilder`] takes the rows of one walk; [`RosterBuilder::finish`] makes the [`Roster`], which no
//! longer changes and is read as a [`RosterStream`] of record batches. The number that is billed is
//! [`Roster::guests`]: the distinct hashes, and nothing else. A roster that only counts has no stream at all,
//! so that no code path can publish what the user did not want kept.

mod builder;
mod columns;
mod mode;
mod stream;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use sha2::{Digest, Sha256};

pub use self::builder::{MAX_ROSTER_BYTES, RosterBuilder, RosterError};
use self::columns::TextColumn;
pub use self::mode::{MIN_KEY_BYTES, PseudonymKey, PseudonymKeyError, RosterMode};
pub use self::stream::RosterStream;
use crate::dataset::ContentDigest;
use crate::dataset::schema;
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// All guests of one period of one network. Cheap to clone.
#[derive(Clone)]
pub struct Roster(Arc<RosterContent>);

struct RosterContent {
    network: NetworkId,
    period: BillingPeriod,
    mode: RosterMode,
    guests: u64,
    duplicates: u64,
    username_conflicts: u64,
    empty_usernames: u64,
    content_sha256: ContentDigest,
    guest_set: [u8; 32],
    /// The rows, unless the mode keeps none.
    rows: Option<GuestRows>,
}

/// The rows of a roster: texts as they were pushed, and the row numbers of the kept ones in order.
struct GuestRows {
    identities: TextColumn,
    names: TextColumn,
    order: Vec<u32>,
}

impl GuestRows {
    fn identities(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(|row| self.identities.get(*row))
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.order.iter().map(|row| (self.identities.get(*row), self.names.get(*row)))
    }

    /// Digests who the guests are, whatever they are called. It never leaves the process.
    fn guest_set(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for identity in self.identities() {
            digest.update((identity.len() as u64).to_be_bytes());
            digest.update(identity);
        }
        digest.finalize().into()
    }
}

impl Roster {
    /// Returns the network whose guests these are.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.0.network
    }

    /// Returns the billing period whose guests these are.
    #[must_use]
    pub fn period(&self) -> BillingPeriod {
        self.0.period
    }

    /// Returns what the roster keeps of its guests.
    #[must_use]
    pub fn mode(&self) -> &RosterMode {
        &self.0.mode
    }

    /// Returns the number of distinct hashes: the number that is billed.
    #[must_use]
    pub fn guests(&self) -> u64 {
        self.0.guests
    }

    /// Returns the rows that were pushed beyond the first of each guest.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.0.duplicates
    }

    /// Returns the guests that came with more than one username; each counts once, however many there were.
    #[must_use]
    pub fn username_conflicts(&self) -> u64 {
        self.0.username_conflicts
    }

    /// Returns the guests whose kept username is empty. It is kept wherever it came at all, being the smallest.
    #[must_use]
    pub fn empty_usernames(&self) -> u64 {
        self.0.empty_usernames
    }

    /// Returns the digest of the logical content, as [`crate::dataset::content`] defines it.
    ///
    /// Of a counts-only roster it covers the count alone: use [`Self::same_guests`] to compare two walks.
    #[must_use]
    pub fn content_sha256(&self) -> ContentDigest {
        self.0.content_sha256
    }

    /// Says whether two walks found the same set of guests, whatever they were called and whatever is published.
    #[must_use]
    pub fn same_guests(&self, other: &Self) -> bool {
        self.0.network == other.0.network
            && self.0.period == other.0.period
            && self.0.guests == other.0.guests
            && self.0.guest_set == other.0.guest_set
    }

    /// Returns the rows from the first on, or `None` if the roster only counts. May be called again.
    #[must_use]
    pub fn stream(&self) -> Option<RosterStream> {
        RosterStream::new(&self.0)
    }

    /// Returns the one row of `guest_counts`.
    #[must_use]
    pub fn counts(&self) -> RecordBatch {
        schema::guest_counts_batch(self.0.period, self.0.network, self.0.guests)
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Roster")
            .field("network", &self.0.network)
            .field("period", &self.0.period)
            .field("mode", &self.0.mode)
            .field("guests", &self.0.guests)
            .field("content_sha256", &self.0.content_sha256)
            .finish_non_exhaustive()
    }
}
