//! What changes between two rosters: guests added, removed and kept.
//!
//! A merge join over two sorted streams, so that neither roster is ever held in memory. Both are read to their
//! end and held to strictly ascending hashes, because an unsorted roster would not fail the join, only make it
//! count wrongly. A changed username alone is no change of guests.

use std::cmp::Ordering;
use std::fmt;
use std::ops::ControlFlow;

use arrow::array::{Array, RecordBatch, StringArray};

use super::error::RowsError;
use super::schema::{self, SchemaError};

/// How two rosters differ, in guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Guests that only the new roster has.
    pub added: u64,
    /// Guests that only the old roster has.
    pub removed: u64,
}

/// What becomes of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Only the new roster has it.
    Added,
    /// Only the old roster has it.
    Removed,
    /// Both have it.
    Kept,
}

/// A guest, as the new roster has it, or the old one if the new one has not.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    /// Its hash or pseudonym.
    pub username_hash: &'a str,
    /// Its name, unless it is pseudonymous.
    pub username: Option<&'a str>,
}

/// One of the two rosters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The roster that was published before.
    Old,
    /// The roster that replaces it.
    New,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

/// Why two rosters could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// A roster could not be read to its end.
    #[error("the {0} roster could not be read to its end")]
    Rows(Side, #[source] RowsError),
    /// A roster has other columns.
    #[error("the {0} roster does not have the columns of a roster; restore it, or run the export again")]
    Schema(Side, #[source] SchemaError),
    /// A roster is not sorted or not distinct. Rows are counted from 0.
    #[error(
        "row {1} of the {0} roster repeats the hash before it or is out of order; restore it, or run the \
         export again"
    )]
    OutOfOrder(Side, u64),
}

/// Counts the guests that two rosters do not share.
///
/// Both must be rosters of the same mode, and of the same key if they are pseudonymous: hashes and pseudonyms
/// never match, nor do pseudonyms of two keys.
///
/// # Errors
/// [`ChangesError`] if a roster cannot be read, is not a roster, or is not sorted and distinct.
pub fn count<Old: Into<RowsError>, New: Into<RowsError>>(
    old: impl IntoIterator<Item = Result<RecordBatch, Old>>,
    new: impl IntoIterator<Item = Result<RecordBatch, New>>,
) -> Result<Changes, ChangesError> {
    let mut changes = Changes::default();
    let counted = join(old, new, |fate, _guest| {
        changes.added += u64::from(fate == Fate::Added);
        changes.removed += u64::from(fate == Fate::Removed);
        ControlFlow::Continue(())
    });
    counted.map(|_to_the_end| changes)
}

/// Passes the guests of two rosters on, in the order of their hashes, until it is told to break off.
///
/// Both must be of the same kind, as for [`count`].
///
/// # Errors
/// [`ChangesError`] as [`count`].
pub fn join<Old: Into<RowsError>, New: Into<RowsError>>(
    old: impl IntoIterator<Item = Result<RecordBatch, Old>>,
    new: impl IntoIterator<Item = Result<RecordBatch, New>>,
    mut visit: impl FnMut(Fate, Guest<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ChangesError> {
    let mut old = Guests::new(Side::Old, old.into_iter());
    let mut new = Guests::new(Side::New, new.into_iter());
    let (mut old_guest, mut new_guest) = (old.advance()?, new.advance()?);
    while old_guest || new_guest {
        let order = match (old_guest, new_guest) {
            (true, true) => old.current.cmp(&new.current),
            (true, false) => Ordering::Less,
            _ => Ordering::Greater,
        };
        let visited = match order {
            Ordering::Less => visit(Fate::Removed, old.guest()),
            Ordering::Greater => visit(Fate::Added, new.guest()),
            Ordering::Equal => visit(Fate::Kept, new.guest()),
        };
        if visited.is_break() {
            return Ok(visited);
        }
        if order.is_le() {
            old_guest = old.advance()?;
        }
        if order.is_ge() {
            new_guest = new.advance()?;
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// A position in one roster.
struct Guests<I> {
    side: Side,
    batches: I,
    hashes: StringArray,
    usernames: StringArray,
    next_row: usize,
    /// The guests passed, the current one included.
    passed: u64,
    current: String,
}

impl<I, E> Guests<I>
where
    I: Iterator<Item = Result<RecordBatch, E>>,
    E: Into<RowsError>,
{
    fn new(side: Side, batches: I) -> Self {
        let (hashes, usernames) = (StringArray::new_null(0), StringArray::new_null(0));
        Self { side, batches, hashes, usernames, next_row: 0, passed: 0, current: String::new() }
    }

    /// Moves to the next guest and says whether there is one.
    fn advance(&mut self) -> Result<bool, ChangesError> {
        while self.next_row == self.hashes.len() {
            let Some(batch) = self.batches.next() else { return Ok(false) };
            let batch = batch.map_err(|error| ChangesError::Rows(self.side, error.into()))?;
            schema::require(&schema::guest_roster(), &batch.schema())
                .map_err(|error| ChangesError::Schema(self.side, error))?;
            self.hashes = schema::text_column(&batch, schema::USERNAME_HASH).clone();
            self.usernames = schema::text_column(&batch, schema::USERNAME).clone();
            self.next_row = 0;
        }
        let hash = self.hashes.value(self.next_row);
        if self.passed > 0 && hash <= self.current.as_str() {
            return Err(ChangesError::OutOfOrder(self.side, self.passed));
        }
        hash.clone_into(&mut self.current);
        self.next_row += 1;
        self.passed += 1;
        Ok(true)
    }

    /// Returns the guest that [`Self::advance`] has moved to.
    fn guest(&self) -> Guest<'_> {
        let row = self.next_row - 1;
        let username = self.usernames.is_valid(row).then(|| self.usernames.value(row));
        Guest { username_hash: &self.current, username }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::samples::{Rows, roster_batch};

    fn batches(hashes: &[&str], rows: usize) -> Vec<Rows> {
        let batch = |hashes: &[&str]| {
            let guests: Vec<_> = hashes.iter().map(|hash| (*hash, Some("ann"))).collect();
            Ok(roster_batch(&guests))
        };
        hashes.chunks(rows).map(batch).collect()
    }

    #[test]
    fn guests_of_one_side_only_are_counted_across_batches() {
        for (old, new, added, removed) in [
            (vec![], vec![], 0, 0),
            (vec![], vec!["a", "b"], 2, 0),
            (vec!["a", "b"], vec![], 0, 2),
            (vec!["a", "b", "c"], vec!["a", "b", "c"], 0, 0),
            (vec!["a", "c", "e", "f"], vec!["b", "c", "d"], 2, 3),
            (vec!["Z", "a", "é"], vec!["a", "z", "é", "🦀"], 2, 1),
        ] {
            for rows in 1..4 {
                let changes = count(batches(&old, rows), batches(&new, 4 - rows)).unwrap();
                assert_eq!(changes, Changes { added, removed }, "{old:?} {new:?}");
            }
        }
    }

    #[test]
    fn a_new_username_alone_is_no_change() {
        let old = [Rows::Ok(roster_batch(&[("a", Some("ann"))]))];
        let new = [Rows::Ok(roster_batch(&[("a", None)]))];
        assert_eq!(count(old, new).unwrap(), Changes::default());
    }

    #[test]
    fn each_guest_is_passed_on_in_order_as_the_newer_roster_has_it_until_it_is_enough() {
        let old = || [Rows::Ok(roster_batch(&[("a", Some("ann")), ("b", None), ("d", Some("dan"))]))];
        let new = || [Rows::Ok(roster_batch(&[("a", Some("anna")), ("c", Some("cleo")), ("d", None)]))];
        let seen = |enough: usize| {
            let mut seen = Vec::new();
            let joined = join(old(), new(), |fate, guest| {
                seen.push((fate, guest.username_hash.to_owned(), guest.username.map(str::to_owned)));
                if seen.len() == enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            (joined.unwrap().is_break(), seen)
        };
        let guest = |fate, hash: &str, name: Option<&str>| (fate, hash.to_owned(), name.map(str::to_owned));
        let all = vec![
            guest(Fate::Kept, "a", Some("anna")),
            guest(Fate::Removed, "b", None),
            guest(Fate::Added, "c", Some("cleo")),
            guest(Fate::Kept, "d", None),
        ];
        assert_eq!(seen(2), (true, all[..2].to_vec()));
        assert_eq!(seen(9), (false, all));
    }

    #[test]
    fn an_unsorted_or_repeating_roster_is_refused_even_past_the_end_of_the_other() {
        for rows in 1..4 {
            let unsorted = count(batches(&["a"], 1), batches(&["b", "d", "c"], rows)).unwrap_err();
            assert!(matches!(unsorted, ChangesError::OutOfOrder(Side::New, 2)), "{unsorted}");
            let repeating = count(batches(&["b", "b"], rows), batches(&[], 1)).unwrap_err();
            assert!(matches!(repeating, ChangesError::OutOfOrder(Side::Old, 1)), "{repeating}");
        }
    }

    #[test]
    fn what_is_no_roster_or_cannot_be_read_is_refused() {
        let counts = schema::guest_counts_batch("2026-10".parse().unwrap(), "01234567".parse().unwrap(), 1);
        let error = count([Rows::Ok(counts)], batches(&[], 1)).unwrap_err();
        assert!(matches!(error, ChangesError::Schema(Side::Old, _)), "{error}");
        let broken = [Rows::Err(std::io::Error::other("gone"))];
        let error = count(batches(&["a"], 1), broken).unwrap_err();
        assert!(matches!(error, ChangesError::Rows(Side::New, _)), "{error}");
    }
}
