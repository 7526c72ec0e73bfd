//! Distinct guests in ascending order, from wherever they are held.
//!
//! Rows are lent, not handed out: a merge of millions would otherwise allocate twice a guest.

use std::sync::Arc;

use super::RosterError;
use super::columns::TextColumn;

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

/// Rows in memory: texts as they were pushed, and the kept ones in order.
pub struct SortedRun {
    identities: TextColumn,
    names: TextColumn,
    kept: Vec<Kept>,
}

/// A row that is kept of all that came for its guest.
#[derive(Clone, Copy)]
struct Kept {
    row: u32,
    conflict: bool,
}

impl SortedRun {
    /// Sorts and deduplicates what was pushed. Only row numbers move, each with the first bytes of its identity: they
    /// tell nearly all hashes apart, without a look at texts that lie all over the memory.
    pub(super) fn sorted(identities: TextColumn, names: TextColumn) -> Self {
        let mut order: Vec<(u64, u32)> =
            (0..identities.rows()).map(|row| (first_bytes(identities.get(row)), row)).collect();
        let row = |row: u32| (identities.get(row), names.get(row));
        order.sort_unstable_by(|(left_bytes, left), (right_bytes, right)| {
            left_bytes.cmp(right_bytes).then_with(|| row(*left).cmp(&row(*right)))
        });
        let mut kept: Vec<Kept> = Vec::with_capacity(order.len());
        for (_, row) in order {
            match kept.last_mut() {
                // Sorted by name within the guest: the first is the smallest.
                Some(last) if identities.get(last.row) == identities.get(row) => {
                    last.conflict |= names.get(last.row) != names.get(row);
                }
                _ => kept.push(Kept { row, conflict: false }),
            }
        }
        Self { identities, names, kept }
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

    /// Returns the bytes that it holds, as [`RunBound`](super::RunBound) counts them.
    pub(crate) fn bytes(&self) -> usize {
        self.identities.bytes() + self.names.bytes()
    }

    /// Returns the rows from the first on.
    pub(super) fn rows(self: &Arc<Self>) -> MemoryRows {
        MemoryRows { run: Arc::clone(self), next: 0 }
    }
}

/// Returns the first eight bytes of a text as a number that is ordered as the texts are, where it differs.
fn first_bytes(text: &str) -> u64 {
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
        let Some(Kept { row, conflict }) = self.run.kept.get(self.next).copied() else { return Ok(None) };
        self.next += 1;
        let (identity, name) = (self.run.identities.get(row), self.run.names.get(row));
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
