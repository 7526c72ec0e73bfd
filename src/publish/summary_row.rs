//! One row of the summary, and its columns.
//!
//! A row either is published, and then everything that its manifest says is there, or it is missing, and then
//! nothing is: [`PublishedColumns`] makes a half-filled row impossible to write and refuses one that is read.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::layout::TaskKey;
use super::manifest::Manifest;
use crate::dataset::schema::timestamp;
use crate::period::PeriodState;

const PUBLISHED: &str = "published";
const MISSING: &str = "missing";

/// A task that a run has tried, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptedTask {
    /// The task.
    pub task: TaskKey,
    /// The state of its period at that moment.
    pub period_state: PeriodState,
    /// The account that owns the network, where it is known.
    pub aws_account_id: Option<String>,
    /// The region that was asked.
    pub region: Option<String>,
    /// The name of the network, where it is known.
    pub network_name: Option<String>,
}

/// One network in one period. Timestamps are microseconds since 1970 in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRow {
    /// The task.
    pub task: TaskKey,
    /// The account that owns the network, where it is known.
    pub aws_account_id: Option<String>,
    /// The region that was asked, where it is known.
    pub region: Option<String>,
    /// The name of the network, where it is known.
    pub network_name: Option<String>,
    /// The state of the period at the last walk or attempt.
    pub period_state: String,
    /// What is published; none if the task is missing.
    pub published: Option<PublishedColumns>,
}

/// What the summary takes from a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedColumns {
    /// Distinct guests.
    pub guest_count: i64,
    /// The service's own count.
    pub api_guest_count: Option<i64>,
    /// How the two compare.
    pub reconciliation: String,
    /// What confirmed the number.
    pub confirmed_by: Option<String>,
    /// Whether nothing moved while the pages were read.
    pub stable: bool,
    /// The number of the revision.
    pub revision: i64,
    /// When the revision was exported.
    pub exported_at: i64,
    /// When the roster was last found to be the same.
    pub checked_at: i64,
    /// The digest of the roster.
    pub content_sha256: String,
}

/// A row that no manifest and no attempt could have given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "row {0} of the summary was not written by this program; delete the summary, the next run makes it anew"
)]
pub struct SummaryRowError(usize);

impl SummaryRow {
    /// Makes the row of a publication.
    #[must_use]
    pub fn published(manifest: &Manifest) -> Self {
        let (counts, source) = (&manifest.counts, &manifest.source);
        // No roster comes near 2^63 guests, and a manifest that says so is not made right by a panic.
        let integer = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            task: manifest.task(),
            aws_account_id: source.aws_account_id.clone(),
            region: Some(source.region.clone()),
            network_name: source.network_name.clone(),
            period_state: manifest.period_state.as_str().to_owned(),
            published: Some(PublishedColumns {
                guest_count: integer(counts.guests),
                api_guest_count: counts.api_guests.map(integer),
                reconciliation: counts.reconciliation.as_str().to_owned(),
                confirmed_by: counts.confirmed_by.map(|confirmed_by| confirmed_by.as_str().to_owned()),
                stable: manifest.walk.stable,
                revision: i64::from(manifest.revision),
                exported_at: manifest.exported_at.timestamp_micros(),
                checked_at: manifest.checked_at.timestamp_micros(),
                content_sha256: manifest.content_sha256.to_string(),
            }),
        }
    }

    /// Makes the row of a task that was tried and is not published.
    #[must_use]
    pub fn missing(attempted: &AttemptedTask) -> Self {
        Self {
            task: attempted.task,
            aws_account_id: attempted.aws_account_id.clone(),
            region: attempted.region.clone(),
            network_name: attempted.network_name.clone(),
            period_state: attempted.period_state.as_str().to_owned(),
            published: None,
        }
    }

    /// Says whether the row is one of a publication.
    #[must_use]
    pub const fn is_published(&self) -> bool {
        self.published.is_some()
    }
}

/// Returns the columns of the summary.
pub(super) fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let field = |name: &str, data_type: DataType, nullable| Field::new(name, data_type, nullable);
        Arc::new(Schema::new(vec![
            field("billing_period", DataType::Utf8, false),
            field("period_start", timestamp(), false),
            field("period_end", timestamp(), false),
            field("aws_account_id", DataType::Utf8, true),
            field("region", DataType::Utf8, true),
            field("network_id", DataType::Utf8, false),
            field("network_name", DataType::Utf8, true),
            field("status", DataType::Utf8, false),
            field("period_state", DataType::Utf8, false),
            field("guest_count", DataType::Int64, true),
            field("api_guest_count", DataType::Int64, true),
            field("reconciliation", DataType::Utf8, true),
            field("confirmed_by", DataType::Utf8, true),
            field("stable", DataType::Boolean, true),
            field("revision", DataType::Int64, true),
            field("exported_at", timestamp(), true),
            field("checked_at", timestamp(), true),
            field("content_sha256", DataType::Utf8, true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// Cuts rows into batches.
pub(super) fn batches(
    rows: &[SummaryRow],
    batch_rows: usize,
) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
    rows.chunks(batch_rows).map(written)
}

fn written(rows: &[SummaryRow]) -> Result<RecordBatch, ArrowError> {
    let text = |value: &dyn Fn(&SummaryRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
    };
    let published = |value: fn(&PublishedColumns) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.published.as_ref().and_then(value)).collect::<StringArray>())
    };
    let integer = |value: fn(&PublishedColumns) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.published.as_ref().and_then(value)).collect::<Int64Array>())
    };
    let instant = |value: &dyn Fn(&SummaryRow) -> Option<i64>| -> ArrayRef {
        let array = rows.iter().map(value).collect::<TimestampMicrosecondArray>();
        Arc::new(array.with_timezone("UTC"))
    };
    let stable: BooleanArray = rows.iter().map(|row| row.published.as_ref().map(|of| of.stable)).collect();
    let columns = vec![
        text(&|row| Some(row.task.period.to_string())),
        instant(&|row| Some(row.task.period.start().timestamp_micros())),
        instant(&|row| Some(row.task.period.end().timestamp_micros())),
        text(&|row| row.aws_account_id.clone()),
        text(&|row| row.region.clone()),
        text(&|row| Some(row.task.network.to_string())),
        text(&|row| row.network_name.clone()),
        text(&|row| Some(if row.is_published() { PUBLISHED } else { MISSING }.to_owned())),
        text(&|row| Some(row.period_state.clone())),
        integer(|of| Some(of.guest_count)),
        integer(|of| of.api_guest_count),
        published(|of| Some(of.reconciliation.clone())),
        published(|of| of.confirmed_by.clone()),
        Arc::new(stable),
        integer(|of| Some(of.revision)),
        instant(&|row| row.published.as_ref().map(|of| of.exported_at)),
        instant(&|row| row.published.as_ref().map(|of| of.checked_at)),
        published(|of| Some(of.content_sha256.clone())),
    ];
    RecordBatch::try_new(schema(), columns)
}

/// Reads the rows of a batch whose columns are those of [`schema`].
///
/// # Errors
/// [`SummaryRowError`] for the first row that would not be written as it stands.
pub(super) fn rows_of(batch: &RecordBatch) -> Result<Vec<SummaryRow>, SummaryRowError> {
    let rows = (0..batch.num_rows())
        .map(|row| Cells { batch, row }.read().ok_or(SummaryRowError(row)))
        .collect::<Result<Vec<_>, _>>()?;
    match written(&rows) {
        Ok(again) if again == *batch => Ok(rows),
        _ => {
            let differs =
                |row: &usize| written(&rows[*row..=*row]).map_or(true, |again| again != batch.slice(*row, 1));
            Err(SummaryRowError((0..rows.len()).find(differs).unwrap_or(0)))
        }
    }
}

/// One row of a batch.
struct Cells<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl Cells<'_> {
    fn cell<A: Array + 'static>(&self, name: &str) -> Option<&A> {
        let array = self.batch.column_by_name(name)?.as_any().downcast_ref::<A>()?;
        array.is_valid(self.row).then_some(array)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.cell::<StringArray>(name).map(|array| array.value(self.row).to_owned())
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.cell::<Int64Array>(name).map(|array| array.value(self.row))
    }

    fn instant(&self, name: &str) -> Option<i64> {
        self.cell::<TimestampMicrosecondArray>(name).map(|array| array.value(self.row))
    }

    /// Returns the row, unless a cell that it needs is missing or unreadable.
    fn read(&self) -> Option<SummaryRow> {
        let network = self.text("network_id")?.parse().ok()?;
        let task = TaskKey::new(network, self.text("billing_period")?.parse().ok()?);
        let published = match self.text("status")?.as_str() {
            PUBLISHED => Some(PublishedColumns {
                guest_count: self.integer("guest_count")?,
                api_guest_count: self.integer("api_guest_count"),
                reconciliation: self.text("reconciliation")?,
                confirmed_by: self.text("confirmed_by"),
                stable: self.cell::<BooleanArray>("stable")?.value(self.row),
                revision: self.integer("revision")?,
                exported_at: self.instant("exported_at")?,
                checked_at: self.instant("checked_at")?,
                content_sha256: self.text("content_sha256")?,
            }),
            MISSING => None,
            _ => return None,
        };
        Some(SummaryRow {
            task,
            aws_account_id: self.text("aws_account_id"),
            region: self.text("region"),
            network_name: self.text("network_name"),
            period_state: self.text("period_state")?,
            published,
        })
    }
}
