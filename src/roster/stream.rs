//! A roster as a stream of record batches.
//!
//! Every batch but the last has exactly [`BATCH_ROWS`] rows, counted from the first row of the roster: encoders
//! and checks downstream rest on batches that depend on the rows alone.

use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch, StringArray, StringBuilder, new_null_array};
use arrow::datatypes::DataType;

use super::rows::{SortedRows, SortedRun};
use super::{HeldRows, OpenRuns, Roster, RosterError};
use crate::dataset::content::Disclosure;
use crate::dataset::{BATCH_ROWS, schema};

/// The rows of one roster, sorted bytewise by `username_hash`, in the schema of `guest_roster`.
pub struct RosterStream {
    rows: Rows,
    /// What is the same in every row, as often as the largest batch has rows.
    period: ArrayRef,
    network: ArrayRef,
    with_names: bool,
}

/// Where the next rows come from.
enum Rows {
    /// Not from runs yet: opening them may fail, and that is the first batch's failure.
    Unopened(OpenRuns),
    /// Slices of a run's columns, from this row on.
    Columns(Arc<SortedRun>, usize),
    /// Copied out of a merge.
    Merged(Box<dyn SortedRows + Send>),
    /// Nowhere: the last one was there, or a failure, after which nothing follows that could be taken for the rest.
    Ended,
}

impl RosterStream {
    /// Begins at the first row, if the roster may show its rows at all.
    pub(super) fn new(roster: &Roster) -> Option<Self> {
        let with_names = match roster.mode().disclosure()? {
            Disclosure::Full => true,
            Disclosure::Pseudonymous { .. } => false,
        };
        let rows = match &roster.0.rows {
            HeldRows::Memory(run) => Rows::Columns(Arc::clone(run), 0),
            HeldRows::Runs(runs, _) => Rows::Unopened(runs.clone()),
        };
        let most = match &roster.0.rows {
            HeldRows::Memory(run) => run.rows_held().min(BATCH_ROWS),
            // Files that have changed since they were counted may have more, until that shows at their end.
            HeldRows::Runs(..) => BATCH_ROWS,
        };
        let repeated =
            |text: String| Arc::new(StringArray::from_iter_values(repeat_n(text, most))) as ArrayRef;
        let (period, network) =
            (repeated(roster.period().to_string()), repeated(roster.network().to_string()));
        Some(Self { rows, period, network, with_names })
    }

    fn read_batch(&mut self) -> Result<Option<RecordBatch>, RosterError> {
        if let Rows::Unopened(runs) = &self.rows {
            self.rows = Rows::Merged(Box::new(runs.rows()?));
        }
        let (hashes, usernames) = match &mut self.rows {
            Rows::Columns(run, next) => {
                let columns = run.slice(*next, BATCH_ROWS);
                *next += columns.0.len();
                columns
            }
            Rows::Merged(rows) => copied(rows.as_mut(), self.with_names)?,
            Rows::Unopened(_) | Rows::Ended => return Ok(None),
        };
        let count = hashes.len();
        if count == 0 {
            return Ok(None);
        }
        let usernames: ArrayRef =
            if self.with_names { Arc::new(usernames) } else { new_null_array(&DataType::Utf8, count) };
        let columns = vec![
            self.period.slice(0, count),
            self.network.slice(0, count),
            Arc::new(hashes) as ArrayRef,
            usernames,
        ];
        Ok(Some(RecordBatch::try_new(schema::guest_roster(), columns)?))
    }
}

/// Copies the hashes of the next rows, and the names if they are wanted.
fn copied(
    rows: &mut (dyn SortedRows + Send),
    with_names: bool,
) -> Result<(StringArray, StringArray), RosterError> {
    let mut hashes = StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 64);
    let mut usernames = StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 32);
    for _ in 0..BATCH_ROWS {
        let Some(row) = rows.advance()? else { break };
        hashes.append_value(row.identity);
        if with_names {
            usernames.append_value(row.name);
        }
    }
    Ok((hashes.finish(), usernames.finish()))
}

impl Iterator for RosterStream {
    type Item = Result<RecordBatch, RosterError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.read_batch();
        if !matches!(batch, Ok(Some(_))) {
            self.rows = Rows::Ended;
        }
        batch.transpose()
    }
}
