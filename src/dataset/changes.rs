//! What a restatement changes: guests added and removed between two rosters.
//!
//! A merge join over two sorted streams, so that neither roster is ever held in memory. Both are read to their
//! end and held to strictly ascending hashes, because an unsorted roster would not fail the join, only make it
//! count wrongly. A changed username alone is no change of guests.

use std::fmt;

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
    let mut old = Guests::new(Side::Old, old.into_iter());
    let mut new = Guests::new(Side::New, new.into_iter());
    let (mut old_guest, mut new_guest) = (old.advance()?, new.advance()?);
    let mut changes = Changes::default();
    while old_guest || new_guest {
        let order = match (old_guest, new_guest) {
            (true, true) => old.hash().cmp(new.hash()),
            (true, false) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        };
        changes.removed += u64::from(order.is_lt());
        changes.added += u64::from(order.is_gt());
        if order.is_le() {
            old_guest = old.advance()?;
        }
        if order.is_ge() {
            new_guest = new.advance()?;
        }
    }
    Ok(changes)
}

/// A position in one roster.
struct Guests<I> {
    side: Side,
    batches: I,
    hashes: StringArray,
    /// The row within `hashes`, if the walk has begun.
    row: Option<usize>,
    /// The rows of the batches before.
    rows_before: u64,
}

impl<I, E> Guests<I>
where
    I: Iterator<Item = Result<RecordBatch, E>>,
    E: Into<RowsError>,
{
    fn new(side: Side, batches: I) -> Self {
        let hashes = StringArray::new_null(0);
        Self { side, batches, hashes, row: None, rows_before: 0 }
    }

    /// Returns the hash of the guest that the last `advance` found.
    fn hash(&self) -> &str {
        self.hashes.value(self.row.expect("the walk has begun"))
    }

    /// Moves to the next guest and says whether there is one.
    fn advance(&mut self) -> Result<bool, ChangesError> {
        if let Some(next) =
            self.row.map_or(Some(0), |row| row.checked_add(1)).filter(|row| *row < self.hashes.len())
        {
            let ascends = self.row.is_none_or(|row| self.hashes.value(row) < self.hashes.value(next));
            self.row = Some(next);
            return self.ascending(ascends, next);
        }
        let last = self.row.map(|row| self.hashes.value(row).to_owned());
        loop {
            let Some(batch) = self.batches.next() else { return Ok(false) };
            let batch = batch.map_err(|error| ChangesError::Rows(self.side, error.into()))?;
            schema::require(&schema::guest_roster(), &batch.schema())
                .map_err(|error| ChangesError::Schema(self.side, error))?;
            if batch.num_rows() == 0 {
                continue;
            }
            self.rows_before += self.hashes.len() as u64;
            self.hashes =
                batch.column(2).as_any().downcast_ref::<StringArray>().expect("a text column").clone();
            self.row = Some(0);
            let ascends = last.is_none_or(|last| last.as_str() < self.hashes.value(0));
            return self.ascending(ascends, 0);
        }
    }

    fn ascending(&self, ascends: bool, row: usize) -> Result<bool, ChangesError> {
        if !ascends {
            return Err(ChangesError::OutOfOrder(self.side, self.rows_before + row as u64));
        }
        Ok(true)
    }
}
