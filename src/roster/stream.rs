//! A roster as a stream of record batches.
//!
//! Every batch but the last has exactly [`BATCH_ROWS`] rows, counted from the first row of the roster: encoders
//! and checks downstream rest on batches that depend on the rows alone.

use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, StringBuilder};

use super::rows::SortedRows;
use super::{Roster, RosterError};
use crate::dataset::content::Disclosure;
use crate::dataset::{BATCH_ROWS, schema};

/// The rows of one roster, sorted bytewise by `username_hash`, in the schema of `guest_roster`.
pub struct RosterStream {
    roster: Roster,
    /// None before the first batch: opening runs may fail, and that is the first batch's failure.
    rows: Option<Box<dyn SortedRows + Send>>,
    period: String,
    network: String,
    with_names: bool,
    has_ended: bool,
}

impl RosterStream {
    /// Begins at the first row, if the roster may show its rows at all.
    pub(super) fn new(roster: &Roster) -> Option<Self> {
        let with_names = match roster.mode().disclosure()? {
            Disclosure::Full => true,
            Disclosure::Pseudonymous { .. } => false,
        };
        Some(Self {
            roster: roster.clone(),
            rows: None,
            period: roster.period().to_string(),
            network: roster.network().to_string(),
            with_names,
            has_ended: false,
        })
    }

    fn read_batch(&mut self) -> Result<Option<RecordBatch>, RosterError> {
        let rows = match &mut self.rows {
            Some(rows) => rows,
            unopened => unopened.insert(self.roster.0.rows.rows()?),
        };
        let mut hashes = StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 44);
        let mut usernames = StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 24);
        let mut count = 0;
        while count < BATCH_ROWS {
            let Some(row) = rows.advance()? else {
                self.has_ended = true;
                break;
            };
            hashes.append_value(row.identity);
            if self.with_names {
                usernames.append_value(row.name);
            } else {
                usernames.append_null();
            }
            count += 1;
        }
        if count == 0 {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(repeat_n(self.period.as_str(), count))),
            Arc::new(StringArray::from_iter_values(repeat_n(self.network.as_str(), count))),
            Arc::new(hashes.finish()),
            Arc::new(usernames.finish()),
        ];
        Ok(Some(RecordBatch::try_new(schema::guest_roster(), columns)?))
    }
}

impl Iterator for RosterStream {
    type Item = Result<RecordBatch, RosterError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let batch = self.read_batch();
        // After a failure nothing follows that could be taken for the rest.
        self.has_ended |= batch.is_err();
        batch.transpose()
    }
}
