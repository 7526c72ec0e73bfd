//! A roster as a stream of record batches.
//!
//! Every batch but the last has exactly [`BATCH_ROWS`] rows, counted from the first row of the roster: encoders
//! and checks downstream rest on batches that depend on the rows alone.

use std::iter::repeat_n;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};

use super::{GuestRows, RosterContent, RosterError, RosterMode};
use crate::dataset::{BATCH_ROWS, schema};

/// The rows of one roster, sorted bytewise by `username_hash`, in the schema of `guest_roster`.
pub struct RosterStream {
    content: Arc<RosterContent>,
    next_row: usize,
}

impl RosterStream {
    /// Begins at the first row, if the roster has rows at all.
    pub(super) fn new(content: &Arc<RosterContent>) -> Option<Self> {
        content.rows.is_some().then(|| Self { content: Arc::clone(content), next_row: 0 })
    }
}

impl Iterator for RosterStream {
    type Item = Result<RecordBatch, RosterError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.content.rows.as_ref()?;
        let kept = &rows.order[self.next_row..];
        let kept = &kept[..kept.len().min(BATCH_ROWS)];
        if kept.is_empty() {
            return None;
        }
        self.next_row += kept.len();
        Some(batch(&self.content, rows, kept))
    }
}

fn batch(content: &RosterContent, rows: &GuestRows, kept: &[u32]) -> Result<RecordBatch, RosterError> {
    let period = content.period.to_string();
    let usernames = match content.mode {
        RosterMode::Full => StringArray::from_iter_values(kept.iter().map(|row| rows.names.get(*row))),
        RosterMode::Pseudonymous(_) | RosterMode::CountsOnly => StringArray::new_null(kept.len()),
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(repeat_n(period.as_str(), kept.len()))),
        Arc::new(StringArray::from_iter_values(repeat_n(content.network.as_str(), kept.len()))),
        Arc::new(StringArray::from_iter_values(kept.iter().map(|row| rows.identities.get(*row)))),
        Arc::new(usernames),
    ];
    Ok(RecordBatch::try_new(schema::guest_roster(), columns)?)
}
