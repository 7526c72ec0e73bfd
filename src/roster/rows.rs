//! Distinct guests in ascending order, from wherever they are held.
//!
//! Rows are lent, not handed out: a merge of millions would otherwise allocate twice a guest.

use std::sync::{Arc, OnceLock};

use arrow::array::{StringArray, StringBuilder};

use super::columns::TextColumn;
use super::{GuestSet, GuestSetHasher, RosterError};

/// One guest of a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestRow<'a> {
    /// What is counted: the hash, or what stands for it.
    pub identity: &'a str,
    /// The smallest of the names that came with it, or its mark.
    pub name: &'a str,
    /// Whether different names came with it.
    pub conflict: bool,
}

/// Rows in ascending order of their identities, each identity once.
pub trait SortedRows {
    /// Goes to the next row and lends it; none after the last.
    ///
    /// # Errors
    /// [`RosterError`]; the rows end there.
    fn advance(&mut self) -> Result<Option<GuestRow<'_>>, RosterError>;
}

/// How many texts are looked up before the first is copied. They lie all over the memory, and a processor that does
/// nothing but look them up waits for many of them at the same time.
const FOUND_AT_ONCE: usize = 64;

/// Rows in memory, in the columns that encoders take: they are read several times, and never copied again.
pub struct SortedRun {
    identities: StringArray,
    names: StringArray,
    /// Whether different names came with the identity of each row.
    conflicts: Vec<bool>,
    /// What was pushed took so many bytes.
    bytes: usize,
    guest_set: OnceLock<GuestSet>,
}

impl SortedRun {
    /// Sorts and deduplicates what was pushed. Row numbers are sorted, each with the first bytes of its identity: they
    /// tell nearly all hashes apart, without a look at the texts.
    ///
    /// # Panics
    /// If the texts are longer than an Arrow array reaches, 2 GiB: a run ends long before.
    pub(super) fn sorted(identities: TextColumn, names: TextColumn) -> Self {
        let bytes = identities.bytes() + names.bytes();
        let mut order: Vec<(u64, u32)> =
            (0..identities.rows()).map(|row| (first_bytes(identities.get(row)), row)).collect();
        // Numbers first, which is fast, and then the few whose texts begin alike.
        order.sort_unstable();
        for alike in order.chunk_by_mut(|(left, _), (right, _)| left == right) {
            alike.sort_unstable_by_key(|(_, row)| (identities.get(*row), names.get(*row)));
        }
        let mut conflicts = Vec::with_capacity(order.len());
        conflicts.extend(order.first().map(|_| false));
        // Sorted by name within the guest: the first is the smallest.
        order.dedup_by(|(bytes, row), (kept_bytes, kept)| {
            let same = bytes == kept_bytes && identities.get(*row) == identities.get(*kept);
            match conflicts.last_mut() {
                Some(conflict) if same => *conflict |= names.get(*row) != names.get(*kept),
                _ => conflicts.push(false),
            }
            same
        });
        // One column after the other, so that only one of them is there twice.
        let in_order = |column: TextColumn| {
            let mut texts = StringBuilder::with_capacity(order.len(), column.text_bytes());
            let mut found = Vec::with_capacity(FOUND_AT_ONCE);
            for rows in order.chunks(FOUND_AT_ONCE) {
                found.clear();
                found.extend(rows.iter().map(|(_, row)| column.get(*row)));
                for text in &found {
                    texts.append_value(text);
                }
            }
            texts.finish()
        };
        Self {
            identities: in_order(identities),
            names: in_order(names),
            conflicts,
            bytes,
            guest_set: OnceLock::new(),
        }
    }

    /// Sorts and deduplicates rows that are at hand.
    #[cfg(test)]
    pub(crate) fn of<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Arc<Self> {
        let (mut identities, mut names) = (TextColumn::default(), TextColumn::default());
        for (identity, name) in rows {
            identities.push(identity);
            names.push(name);
        }
        Arc::new(Self::sorted(identities, names))
    }

    /// Returns the bytes of what was pushed, as [`RunBound`](super::RunBound) counts them.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of rows.
    pub(super) fn rows_held(&self) -> usize {
        self.conflicts.len()
    }

    /// Lends the identities and the names of up to so many rows from this one on, without a copy.
    pub(super) fn slice(&self, first: usize, most: usize) -> (StringArray, StringArray) {
        let count = most.min(self.conflicts.len() - first);
        (self.identities.slice(first, count), self.names.slice(first, count))
    }

    /// Returns the digest of the identities of all rows, which is made once.
    pub(super) fn guest_set(&self) -> &GuestSet {
        self.guest_set.get_or_init(|| {
            let mut hasher = GuestSetHasher::default();
            self.identities.iter().flatten().for_each(|identity| hasher.push(identity));
            hasher.finish()
        })
    }

    /// Returns the rows from the first on.
    pub(super) fn rows(self: &Arc<Self>) -> MemoryRows {
        MemoryRows { run: Arc::clone(self), next: 0 }
    }
}

/// Returns the first eight bytes of a text as a number that is ordered as the texts are, where it differs.
pub(super) fn first_bytes(text: &str) -> u64 {
    let mut first = [0; 8];
    let length = text.len().min(8);
    first[..length].copy_from_slice(&text.as_bytes()[..length]);
    u64::from_be_bytes(first)
}

/// The rows of a [`SortedRun`].
pub(super) struct MemoryRows {
    run: Arc<SortedRun>,
    next: usize,
}

impl SortedRows for MemoryRows {
    fn advance(&mut self) -> Result<Option<GuestRow<'_>>, RosterError> {
        let Some(conflict) = self.run.conflicts.get(self.next).copied() else { return Ok(None) };
        let row = self.next;
        self.next += 1;
        let (identity, name) = (self.run.identities.value(row), self.run.names.value(row));
        Ok(Some(GuestRow { identity, name, conflict }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_begin_alike_are_in_order_too() {
        let identities = ["", "\0", "a", "a\0", "a\0\0\0\0\0\0\0", "abcdefgh", "abcdefgh1", "abcdefgh2", "é"];
        let mut rows = SortedRun::of(identities.iter().rev().map(|identity| (*identity, "x"))).rows();
        for identity in identities {
            assert_eq!(rows.advance().unwrap().unwrap().identity, identity);
        }
        assert_eq!(rows.advance().unwrap(), None);
    }
}
