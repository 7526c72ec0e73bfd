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

/// Rows in memory, one after the other in their order: they are read several times, and texts that lie all over the
/// memory cost more each time than putting them in order once.
pub struct SortedRun {
    identities: TextColumn,
    names: TextColumn,
    /// Whether different names came with the identity of each row.
    conflicts: Vec<bool>,
    /// What was pushed took so many bytes.
    bytes: usize,
}

impl SortedRun {
    /// Sorts and deduplicates what was pushed. Row numbers are sorted, each with the first bytes of its identity: they
    /// tell nearly all hashes apart, without a look at the texts.
    pub(super) fn sorted(identities: &TextColumn, names: &TextColumn) -> Self {
        let mut order: Vec<(u64, u32)> =
            (0..identities.rows()).map(|row| (first_bytes(identities.get(row)), row)).collect();
        let row = |row: u32| (identities.get(row), names.get(row));
        order.sort_unstable_by(|(left_bytes, left), (right_bytes, right)| {
            left_bytes.cmp(right_bytes).then_with(|| row(*left).cmp(&row(*right)))
        });
        let mut sorted = Self {
            identities: TextColumn::as_large_as(identities),
            names: TextColumn::as_large_as(names),
            conflicts: Vec::with_capacity(order.len()),
            bytes: identities.bytes() + names.bytes(),
        };
        let mut kept: Option<(&str, &str)> = None;
        for (identity, name) in order.into_iter().map(|(_, number)| row(number)) {
            match (kept, sorted.conflicts.last_mut()) {
                // Sorted by name within the guest: the first is the smallest.
                (Some((same, smallest)), Some(conflict)) if same == identity => *conflict |= smallest != name,
                _ => {
                    sorted.identities.push(identity);
                    sorted.names.push(name);
                    sorted.conflicts.push(false);
                    kept = Some((identity, name));
                }
            }
        }
        sorted
    }

    /// Sorts and deduplicates rows that are at hand.
    #[cfg(test)]
    pub(crate) fn of<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Arc<Self> {
        let (mut identities, mut names) = (TextColumn::default(), TextColumn::default());
        for (identity, name) in rows {
            identities.push(identity);
            names.push(name);
        }
        Arc::new(Self::sorted(&identities, &names))
    }

    /// Returns the bytes of what was pushed, as [`RunBound`](super::RunBound) counts them.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
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
    next: u32,
}

impl SortedRows for MemoryRows {
    fn advance(&mut self) -> Result<Option<GuestRow<'_>>, RosterError> {
        let Some(conflict) = self.run.conflicts.get(self.next as usize).copied() else { return Ok(None) };
        let row = self.next;
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
