//! The summary: one row a network and period, latest first; the file that finance opens.
//!
//! It is derived, so it is never believed over a manifest: at each merge the row of every publication is made
//! anew from its manifest, under the summary's lock, and a manifest that cannot be read has no row rather than an
//! old one. Only that a task was tried and is missing is known nowhere else; those rows are taken from the summary
//! that is there, until the task is published.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt as _, stream};

use super::error::PublishError;
use super::layout::{self, Place, TaskKey};
use super::publication::{Encode, EncodedPart, PartError};
use super::publisher::{MANIFESTS_AT_ONCE, read_manifest};
pub use super::summary_row::AttemptedTask;
use super::summary_row::{SummaryRow, batches, rows_of, schema};
use crate::dataset::csv::CsvOptions;
use crate::dataset::{BATCH_ROWS, Encoded, Format, ReadError, WriteError, csv, parquet};
use crate::guest::NetworkId;
use crate::period::BillingPeriod;
use crate::storage::LockWait;
use crate::storage::destination::{Destination, DestinationError, Precondition};
use crate::storage::digest::{Measure, Measured};
use crate::storage::encode::{EncodeError, encode};

/// How many rows a summary has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SummaryTotals {
    /// Rows of publications.
    pub published: u64,
    /// Rows of tasks that were tried and are not published.
    pub missing: u64,
}

/// Why the summary was not written. It is derived: what is published stands all the same.
#[derive(Debug, thiserror::Error)]
pub enum SummaryError {
    /// The destination.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The encoder.
    #[error("the summary could not be encoded; this is a bug, please report it")]
    Encode(#[source] PartError),
}

/// The rows, in the order of the file.
pub(crate) type Rows = BTreeMap<(Reverse<BillingPeriod>, NetworkId), SummaryRow>;

/// Writes the summary of one destination.
#[derive(Clone, Debug)]
pub struct Summary {
    destination: Arc<dyn Destination>,
    csv: CsvOptions,
    lock_wait: LockWait,
}

impl Summary {
    /// Names the destination, how its CSV is written and how long the summary's lock is waited for.
    #[must_use]
    pub fn new(destination: Arc<dyn Destination>, csv: CsvOptions, lock_wait: LockWait) -> Self {
        Self { destination, csv, lock_wait }
    }

    /// Makes the summary anew from the manifests, with the tasks of a run that are missing among its rows.
    ///
    /// # Errors
    /// [`SummaryError`], which is a warning to the caller: publications do not depend on the summary.
    pub async fn merge(&self, attempted: &[AttemptedTask]) -> Result<SummaryTotals, SummaryError> {
        let lock = self.destination.lock(&layout::summary_lock(), &self.lock_wait).await?;
        let mut rows = self.missing_rows().await?;
        let files = self.destination.list(&layout::manifests()).await?.files;
        let tasks: Vec<TaskKey> =
            files.iter().filter_map(|file| Place::task_of_manifest(&file.path)).collect();
        let reading = stream::iter(tasks).map(|task| self.published_row(task));
        let mut reading = reading.buffer_unordered(MANIFESTS_AT_ONCE);
        while let Some(row) = reading.next().await {
            rows.extend(row?.map(|row| (position(row.task), row)));
        }
        for attempted in attempted {
            rows.entry(position(attempted.task)).or_insert_with(|| SummaryRow::missing(attempted));
        }
        let rows: Vec<SummaryRow> = rows.into_values().collect();
        let published = rows.iter().filter(|row| row.is_published()).count() as u64;
        let totals = SummaryTotals { published, missing: rows.len() as u64 - published };
        let rows = Arc::new(rows);
        // The Parquet is what the next merge reads, so it comes first.
        for format in Format::ALL {
            let file =
                encode(&*self.destination, &layout::summary(format), self.encoder(format, Arc::clone(&rows)))
                    .await;
            let file = file.map_err(|error| match error {
                EncodeError::Destination(error) => SummaryError::Destination(error),
                EncodeError::Encoder(error) => SummaryError::Encode(error),
            })?;
            lock.confirm().await?;
            self.destination.install(file.staged, &layout::summary(format), Precondition::Any).await?;
        }
        Ok(totals)
    }

    /// Reads which tasks were missing when the summary that is there was written; one that cannot be read counts
    /// for nothing.
    async fn missing_rows(&self) -> Result<Rows, SummaryError> {
        let missing = standing_rows(&*self.destination).await?.into_iter().filter(|row| !row.is_published());
        Ok(missing.map(|row| (position(row.task), row)).collect())
    }

    /// Makes the row of a publication; none, and a warning, if its manifest is not one that can be believed.
    async fn published_row(&self, task: TaskKey) -> Result<Option<SummaryRow>, SummaryError> {
        match read_manifest(&*self.destination, task).await {
            Ok(manifest) => Ok(manifest.as_ref().map(SummaryRow::published)),
            Err(PublishError::Destination(error)) if !error.is_of_one_document() => Err(error.into()),
            Err(error) => {
                let TaskKey { network, period } = task;
                tracing::warn!(%network, %period, %error, "the summary leaves out a manifest that cannot be read");
                Ok(None)
            }
        }
    }

    fn encoder(&self, format: Format, rows: Arc<Vec<SummaryRow>>) -> Encode {
        let options = self.csv;
        Box::new(move |out| {
            let Encoded { rows, guarded_cells } = match format {
                Format::Parquet => write_parquet(&rows, out)?,
                Format::Csv => csv::write(&schema(), batches(&rows, BATCH_ROWS), options, out)?,
            };
            Ok(EncodedPart { rows, guarded_cells })
        })
    }
}

fn write_parquet(rows: &[SummaryRow], out: impl Write + Send) -> Result<Encoded, WriteError> {
    parquet::write(&schema(), batches(rows, BATCH_ROWS), &[], out)
}

/// Measures the Parquet file that this version of the program makes of the rows.
pub(crate) fn measure_parquet(rows: &[SummaryRow]) -> Result<Measure, PartError> {
    let mut out = Measured::new(std::io::sink());
    write_parquet(rows, &mut out)?;
    Ok(out.finish()?.1)
}

/// Reads the rows of the summary that is there; one that cannot be read has none.
///
/// # Errors
/// [`SummaryError::Destination`] if the destination does not answer.
pub(crate) async fn standing_rows(destination: &dyn Destination) -> Result<Vec<SummaryRow>, SummaryError> {
    let path = layout::summary(Format::Parquet);
    let Some(file) = destination.open(&path).await? else { return Ok(Vec::new()) };
    let reading = tokio::task::spawn_blocking(move || read_parquet(file)).await;
    Ok(reading.map_err(PartError::from).and_then(|read| read).unwrap_or_else(|error| {
        tracing::warn!(%path, %error, "the summary cannot be read; a run makes it anew from the manifests");
        Vec::new()
    }))
}

/// Returns where a task's row stands in the summary: latest period first, then by network.
pub(crate) const fn position(task: TaskKey) -> (Reverse<BillingPeriod>, NetworkId) {
    (Reverse(task.period), task.network)
}

/// Reads the rows of a summary in Parquet, in the order of the file.
pub(crate) fn read_parquet(file: File) -> Result<Vec<SummaryRow>, PartError> {
    rows_of_all(parquet::read(file, &schema())?)
}

/// Reads the rows of a summary in CSV, in the order of the file.
pub(crate) fn read_csv(file: File, formula_guard: bool) -> Result<Vec<SummaryRow>, PartError> {
    rows_of_all(csv::read(std::io::BufReader::new(file), &schema(), formula_guard)?)
}

fn rows_of_all(
    batches: impl Iterator<Item = Result<RecordBatch, ReadError>>,
) -> Result<Vec<SummaryRow>, PartError> {
    let mut rows = Vec::new();
    for batch in batches {
        rows.extend(rows_of(&batch?)?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
