//! Gathers the guests of one walk, in whatever order and however often they come.
//!
//! Everything is held in memory, in flat columns; sorting moves row numbers only. The rest of the program sees
//! this builder and the stream behind it, never the columns, so that sorted runs on disk can take their place.

use std::sync::Arc;

use super::columns::TextColumn;
use super::{GuestRows, Roster, RosterContent, RosterMode};
use crate::dataset::content::{ContentDigest, Disclosure, RosterHasher};
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// The most bytes of text that are held for one roster: about 40 million guests with the usual hashes.
pub const MAX_ROSTER_BYTES: usize = u32::MAX as usize;

/// Why a roster could not be built.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// A guest without an identity: counting them would merge strangers into one.
    #[error("a guest has an empty hash, so they cannot be told from others; nothing can be counted on it")]
    EmptyHash,
    /// The roster is larger than this process may hold.
    #[error(
        "the roster holds more than {limit} bytes of text, more than is held in memory; if the network really \
         has so many guests, please report it, else its answers are not to be trusted"
    )]
    TooLarge {
        /// The most bytes held.
        limit: usize,
    },
    /// A batch of rows could not be made.
    #[error("a batch of the roster could not be made; this is a bug, please report it")]
    Batch(#[from] arrow::error::ArrowError),
}

/// Collects guests until a walk has ended.
pub struct RosterBuilder {
    network: NetworkId,
    period: BillingPeriod,
    mode: RosterMode,
    identities: TextColumn,
    names: TextColumn,
    rows: u32,
    most_bytes: usize,
}

impl RosterBuilder {
    /// Begins the roster of one period of one network.
    #[must_use]
    pub fn new(network: NetworkId, period: BillingPeriod, mode: RosterMode) -> Self {
        let (identities, names) = (TextColumn::default(), TextColumn::default());
        Self { network, period, mode, identities, names, rows: 0, most_bytes: MAX_ROSTER_BYTES }
    }

    /// Adds one row of an answer. Rows may repeat and come in any order.
    ///
    /// # Errors
    /// [`RosterError::EmptyHash`], or [`RosterError::TooLarge`] past [`MAX_ROSTER_BYTES`].
    pub fn push(&mut self, username_hash: &str, username: &str) -> Result<(), RosterError> {
        if username_hash.is_empty() {
            return Err(RosterError::EmptyHash);
        }
        let (identity, name) = self.mode.admit(username_hash, username);
        let too_large = || RosterError::TooLarge { limit: self.most_bytes };
        let bytes = self.identities.bytes() + self.names.bytes() + identity.len() + name.len();
        let rows = self.rows.checked_add(1).ok_or_else(too_large)?;
        // The sum is below what 32-bit offsets reach, so neither column refuses where the sum does not.
        if bytes > self.most_bytes || !self.identities.push(&identity) || !self.names.push(&name) {
            return Err(too_large());
        }
        self.rows = rows;
        Ok(())
    }

    /// Returns the rows pushed so far, repeated ones included.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.into()
    }

    /// Sorts, deduplicates, counts and digests.
    ///
    /// # Errors
    /// None while rosters are held in memory; [`RosterError`] is the seam for runs on disk.
    pub fn finish(mut self) -> Result<Roster, RosterError> {
        self.identities.shrink();
        self.names.shrink();
        let mut order: Vec<u32> = (0..self.rows).collect();
        let row = |row: &u32| (self.identities.get(*row), self.names.get(*row));
        order.sort_unstable_by(|left, right| row(left).cmp(&row(right)));

        let (mut username_conflicts, mut empty_usernames) = (0, 0);
        let mut guests = 0_usize;
        let mut start = 0;
        while start < order.len() {
            let kept = order[start];
            let identity = self.identities.get(kept);
            let repeats =
                order[start..].iter().take_while(|row| self.identities.get(**row) == identity).count();
            // Sorted by name within the guest: the first is the smallest, and differs from the last if any do.
            let last = order[start + repeats - 1];
            username_conflicts += u64::from(self.names.get(kept) != self.names.get(last));
            empty_usernames += u64::from(self.names.get(kept).is_empty());
            order[guests] = kept;
            guests += 1;
            start += repeats;
        }
        order.truncate(guests);
        order.shrink_to_fit();

        let Self { network, period, mode, identities, names, rows, .. } = self;
        let sorted = GuestRows { identities, names, order };
        let guest_set = sorted.guest_set();
        let (content_sha256, published) = match mode.disclosure() {
            Some(disclosure) => {
                let mut hasher = RosterHasher::new(disclosure, period, network);
                for (identity, name) in sorted.iter() {
                    let username = matches!(disclosure, Disclosure::Full).then_some(name);
                    hasher.push(identity, username).expect("sorted and deduplicated above");
                }
                (hasher.finish(), Some(sorted))
            }
            None => (ContentDigest::of_counts(period, network, guests as u64), None),
        };
        Ok(Roster(Arc::new(RosterContent {
            network,
            period,
            mode,
            guests: guests as u64,
            duplicates: u64::from(rows) - guests as u64,
            username_conflicts,
            empty_usernames,
            content_sha256,
            guest_set,
            rows: published,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_past_its_bound_is_refused_and_keeps_what_it_had() {
        let (network, period) = ("01234567".parse().unwrap(), "2026-10".parse().unwrap());
        let mut builder = RosterBuilder::new(network, period, RosterMode::Full);
        builder.most_bytes = 10;
        builder.push("hash1", "a").unwrap();
        let error = builder.push("hash2", "").unwrap_err();
        assert!(error.to_string().starts_with("the roster holds more than 10 bytes of text"), "{error}");
        builder.push("hsh2", "").unwrap();
        assert_eq!(builder.finish().unwrap().guests(), 2);
    }
}
