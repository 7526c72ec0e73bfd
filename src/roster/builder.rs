//! Gathers the guests of one walk, in whatever order and however often they come, until there are enough for a run.
//!
//! Texts lie in flat columns, and sorting moves row numbers only. What was written down already is known here only
//! by a bit a guest: enough to tell whether a walk still brings anybody new, and two megabytes at most however many guests
//! there are.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::columns::TextColumn;
use super::merge::OpenRuns;
use super::rows::{SortedRows as _, SortedRun};
use super::{RosterError, RosterMode};
use crate::guest::{Guest, Guests};

/// How much a task holds in memory before it is written down. Whatever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunBound {
    /// Rows, repeated ones included: what a killed task has to read again at most.
    pub rows: u32,
    /// Bytes of text and of what tells the texts apart: what is held in memory at most, but for the pages that
    /// reach it.
    pub bytes: usize,
}

/// What is held in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Rows, repeated ones included.
    pub rows: u32,
    /// Bytes of text and of what tells the texts apart.
    pub bytes: usize,
}

impl Held {
    /// Foretells what a page takes at most, where the mode leaves its texts as they are. Elsewhere short texts take more:
    /// there a page more may be held than was meant to be.
    #[must_use]
    pub fn of(guests: &Guests) -> Self {
        let rows = u32::try_from(guests.len()).unwrap_or(u32::MAX);
        Self { rows, bytes: guests.bytes() + 2 * guests.len() * TextColumn::BYTES_BESIDE_A_TEXT }
    }
}

impl std::ops::Add for Held {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_add(other.rows), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl std::iter::Sum for Held {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), std::ops::Add::add)
    }
}

impl RunBound {
    /// Says whether it is time to write down what is held.
    #[must_use]
    pub const fn is_reached_by(self, held: Held) -> bool {
        held.rows >= self.rows || held.bytes >= self.bytes
    }
}

/// What tells guests apart within one walk, and nobody who does not have it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FingerprintKey(u64, u64);

impl FingerprintKey {
    /// Draws a key.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random(), rand::random())
    }

    fn of(self, identity: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(identity.as_bytes());
        hasher.finish()
    }

    /// Returns what tells a row from rows with another hash or another username.
    #[must_use]
    pub fn of_row(self, username_hash: &str, username: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write_usize(username_hash.len());
        hasher.write(username_hash.as_bytes());
        hasher.write(username.as_bytes());
        hasher.finish()
    }
}

impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FingerprintKey(redacted)")
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Tells the guest from others of the same walk.
    pub fingerprint: u64,
    /// Whether the guest is new to the walk. A new one may rarely look known, a known one never looks new.
    pub is_new: bool,
}

/// Collects guests until there is a run of them.
pub struct RosterBuilder {
    mode: RosterMode,
    key: FingerprintKey,
    seen: SeenGuests,
    identities: TextColumn,
    names: TextColumn,
}

impl RosterBuilder {
    /// Begins with nobody.
    #[must_use]
    pub fn new(mode: RosterMode, key: FingerprintKey) -> Self {
        let (identities, names) = (TextColumn::default(), TextColumn::default());
        Self { mode, key, seen: SeenGuests::default(), identities, names }
    }

    /// Adds one row of an answer. Rows may repeat and come in any order.
    ///
    /// # Errors
    /// [`RosterError::EmptyHash`].
    pub fn push(&mut self, username_hash: &str, username: &str) -> Result<Pushed, RosterError> {
        let fingerprint = self.hold(Guest { username_hash, username })?;
        Ok(self.remember(fingerprint))
    }

    /// Adds the rows of a page, as [`Self::push`] adds each.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_all(&mut self, guests: &Guests) -> Result<Vec<Pushed>, RosterError> {
        let fingerprints: Vec<u64> = guests.iter().map(|guest| self.hold(guest)).collect::<Result<_, _>>()?;
        // Each is looked up somewhere else in the memory: with nothing between them the looks need not wait for each other.
        Ok(fingerprints.into_iter().map(|fingerprint| self.remember(fingerprint)).collect())
    }

    fn hold(&mut self, guest: Guest<'_>) -> Result<u64, RosterError> {
        if guest.username_hash.is_empty() {
            return Err(RosterError::EmptyHash);
        }
        let (identity, name) = self.mode.admit(guest.username_hash, guest.username);
        self.identities.push(&identity);
        self.names.push(&name);
        Ok(self.key.of(&identity))
    }

    /// Remembers all guests who are written down already, by reading every run to its end.
    ///
    /// # Errors
    /// [`RosterError`] if a run is not what was written.
    pub fn remember_all(&mut self, runs: &OpenRuns) -> Result<(), RosterError> {
        let mut rows = runs.rows()?;
        while let Some(row) = rows.advance()? {
            self.remember(self.key.of(row.identity));
        }
        Ok(())
    }

    fn remember(&mut self, fingerprint: u64) -> Pushed {
        Pushed { fingerprint, is_new: self.seen.insert(fingerprint) }
    }

    /// Returns how much was pushed since the last run.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { rows: self.identities.rows(), bytes: self.identities.bytes() + self.names.bytes() }
    }

    /// Says whether nothing was pushed since the last run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.rows() == 0
    }

    /// Takes over what another builder holds since its last run, as though it had been pushed here.
    ///
    /// # Panics
    /// If both together are longer than 32-bit offsets reach: a run ends long before.
    pub fn take_over(&mut self, other: &Self) {
        self.identities.append(&other.identities);
        self.names.append(&other.names);
    }

    /// Takes what was pushed since the last run.
    #[must_use]
    pub fn take_rows(&mut self) -> UnsortedRows {
        UnsortedRows {
            identities: std::mem::take(&mut self.identities),
            names: std::mem::take(&mut self.names),
        }
    }
}

/// Rows as they were pushed.
pub struct UnsortedRows {
    identities: TextColumn,
    names: TextColumn,
}

impl UnsortedRows {
    /// Sorts and deduplicates them, which takes a while.
    #[must_use]
    pub fn sorted(self) -> SortedRun {
        SortedRun::sorted(self.identities, self.names)
    }
}

/// Which guests a walk has met: one bit each, picked by fingerprint, among at least [`Self::BITS_A_GUEST`] times as many
/// until there are [`Self::MOST_BITS`].
///
/// Two guests may share a bit, which makes the second look known. Making room doubles the bits that are set, so that at
/// most a quarter of the guests share one until there is no more to make; at ten million guests more than one in two
/// does, at a hundred million all but one in five hundred: of the 100,000 rows of a thousand pages in a row more than
/// enough still show as new.
struct SeenGuests {
    bits: Vec<u64>,
    /// Those that looked new.
    guests: usize,
}

impl Default for SeenGuests {
    fn default() -> Self {
        Self { bits: vec![0; Self::LEAST_BITS / 64], guests: 0 }
    }
}

impl SeenGuests {
    const LEAST_BITS: usize = 1 << 16;
    const MOST_BITS: usize = 1 << 24;
    const BITS_A_GUEST: usize = 16;

    /// Remembers a guest, and says whether it looks new.
    fn insert(&mut self, fingerprint: u64) -> bool {
        // Their number is a power of two: once it has doubled, this picks the same bit or its copy.
        let bit = fingerprint & (self.bits.len() as u64 * 64 - 1);
        let word = usize::try_from(bit / 64).expect("within the words");
        let mask = 1 << (bit % 64);
        let is_new = self.bits[word] & mask == 0;
        self.bits[word] |= mask;
        self.guests += usize::from(is_new);
        let bits = self.bits.len() * 64;
        if bits < Self::MOST_BITS && self.guests * Self::BITS_A_GUEST > bits {
            // Either half may be the one where a guest is looked for next.
            self.bits.extend_from_within(..);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> RosterBuilder {
        RosterBuilder::new(RosterMode::Full, FingerprintKey(1, 2))
    }

    #[test]
    fn a_bound_is_reached_in_rows_or_in_bytes_and_a_builder_is_empty_after_its_run_is_taken() {
        for (rows, bytes) in [(2, 1000), (1000, 24)] {
            let (mut builder, bound) = (builder(), RunBound { rows, bytes });
            builder.push("a1", "x1").unwrap();
            assert!(!bound.is_reached_by(builder.held()) && !builder.is_empty());
            builder.push("a1", "x1").unwrap();
            assert!(bound.is_reached_by(builder.held()));
            drop(builder.take_rows());
            assert!(!bound.is_reached_by(builder.held()) && builder.is_empty());
        }
    }

    #[test]
    fn a_page_takes_no_more_than_was_foretold_and_not_much_less() {
        let answer = bytestring::ByteString::from("a1,Zoë,b2");
        let mut page = Guests::of_answer(answer.clone(), 2);
        for (username_hash, username) in [(&answer[..2], &answer[3..7]), (&answer[8..], "unescaped")] {
            page.push(Guest { username_hash, username }).unwrap();
        }
        let mut builder = builder();
        builder.push_all(&page).unwrap();
        let (held, foretold) = (builder.held(), Held::of(&page));
        assert_eq!(held.rows, foretold.rows);
        assert_eq!(held.bytes + ",,".len(), foretold.bytes, "all but what parts the texts");
    }

    #[test]
    fn what_is_taken_over_is_as_though_it_had_been_pushed() {
        let (mut one, mut other, mut whole) = (builder(), builder(), builder());
        for (index, hash) in ["b", "é", "a", "b"].into_iter().enumerate() {
            if index < 2 { &mut one } else { &mut other }.push(hash, "x").unwrap();
            whole.push(hash, "x").unwrap();
        }
        one.take_over(&other);
        assert_eq!(one.held(), whole.held());
        for (taken, pushed) in [(one.identities, whole.identities), (one.names, whole.names)] {
            assert!((0..4).all(|row| taken.get(row) == pushed.get(row)));
        }
    }

    #[test]
    fn a_guest_is_new_once_also_after_a_run_was_taken() {
        let mut builder = builder();
        let first = builder.push("a", "x").unwrap();
        assert!(first.is_new);
        drop(builder.take_rows());
        assert_eq!(builder.push("a", "y").unwrap(), Pushed { is_new: false, ..first });
        assert!(!builder.remember(builder.key.of("a")).is_new, "known by what stands for the guest");
        assert!(builder.push("b", "x").unwrap().is_new);
    }

    #[test]
    fn of_the_rows_of_a_thousand_pages_enough_look_new_even_after_a_hundred_million_guests() {
        let mut seen = SeenGuests { bits: vec![u64::MAX; SeenGuests::MOST_BITS / 64], guests: 100_000_000 };
        // More than a hundred million leave clear: one in 384, where they would leave one in five hundred.
        for word in seen.bits.iter_mut().step_by(6) {
            *word = u64::MAX - 1;
        }
        let news = (0..100_000_u64).filter(|guest| seen.insert(FingerprintKey(1, 2).of(&guest.to_string())));
        assert!(news.count() > 100);
    }

    #[test]
    fn a_known_guest_never_looks_new_however_much_room_was_made_meanwhile() {
        let (key, guests) = (FingerprintKey(1, 2), 0..2_000_000_u64);
        let mut seen = SeenGuests::default();
        let mut insert = |guest: u64| seen.insert(key.of(&guest.to_string()));
        let news = guests.clone().filter(|guest| insert(*guest)).count();
        assert!(news > 1_200_000, "{news} look new");
        assert!(!guests.clone().any(&mut insert));
        assert_eq!(seen.bits.len(), SeenGuests::MOST_BITS / 64);
    }
}
