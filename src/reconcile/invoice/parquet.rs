//! Reads an invoice in Parquet: the columns that matter, each cell as the text that it would be in CSV.
//!
//! A cost-and-usage export holds quantities as floats. A float is taken for the shortest decimal that means it, which is
//! what was billed; it is never calculated with as a float.

use std::fs::File;
use std::path::Path;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::copies::Rows;
use super::tally::Tally;
use super::{InvoiceError, RowAt};
use crate::error_chain::excerpt;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8192;

/// In files of more columns rows of totals are looked for only in those that matter.
const MAX_TEXT_COLUMNS: usize = 40;

/// Reads all rows of a file.
pub(super) fn read(path: &Path, tally: &mut Tally<'_>) -> Result<(), InvoiceError> {
    let unreadable = |reason| InvoiceError::Unreadable { path: path.to_owned(), reason };
    let damaged = |reason: String| InvoiceError::Damaged { path: path.to_owned(), reason };
    let said = |reason: &dyn std::fmt::Display| damaged(excerpt(&reason.to_string(), 300));
    let file = File::open(path).map_err(unreadable)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| said(&error))?;
    let schema = builder.schema().clone();
    let titles = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut opened = tally.open(path, titles)?;
    opened.has_numbers = schema.field(opened.columns.quantity).data_type().is_numeric();
    let mut wanted = opened.columns.all();
    for column in &wanted {
        let field = schema.field(*column);
        if field.data_type().is_nested() || matches!(field.data_type(), DataType::Binary) {
            let (name, kind) = (excerpt(field.name(), 60), field.data_type());
            return Err(said(&format!(
                "the column `{name}` is of type {kind}, which is no text and no number"
            )));
        }
    }
    // An export has a hundred of them and no rows of totals: what writes those writes few columns.
    if schema.fields().len() <= MAX_TEXT_COLUMNS {
        let is_text = |column: &usize| match schema.field(*column).data_type() {
            DataType::Dictionary(_, values) => values.is_string(),
            plain => plain.is_string(),
        };
        opened.texts = (0..schema.fields().len()).filter(is_text).collect();
        wanted.extend(&opened.texts);
        wanted.sort_unstable();
        wanted.dedup();
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
    let mut first = 1;
    for batch in reader.map_err(|error| said(&error))? {
        let batch: RecordBatch = batch.map_err(|error| said(&error))?;
        let options = FormatOptions::new();
        let columns = in_utc(&batch).map_err(|error| said(&error))?;
        let cells = columns.iter().map(|column| ArrayFormatter::try_new(column, &options));
        let cells = cells.collect::<Result<Vec<_>, _>>().map_err(|error| said(&error))?;
        for row in 0..batch.num_rows() {
            let at = RowAt::Row(first + row as u64);
            tally.add(&opened, at, |column| {
                let projected = wanted.binary_search(&column).expect("a column that is read");
                cells[projected].value(row).try_to_string().map_err(|error| said(&error))
            })?;
        }
        first += batch.num_rows() as u64;
    }
    Ok(())
}

/// Reads all columns of a file, which takes long, to tell copies of it.
pub(super) fn whole(path: &Path) -> Result<Rows, InvoiceError> {
    let said = |reason: &dyn std::fmt::Display| InvoiceError::Damaged {
        path: path.to_owned(),
        reason: excerpt(&reason.to_string(), 300),
    };
    let file =
        File::open(path).map_err(|reason| InvoiceError::Unreadable { path: path.to_owned(), reason })?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| said(&error))?;
    let mut rows = Rows::default();
    rows.add(builder.schema().fields().iter().map(|field| field.name()));
    for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(|error| said(&error))? {
        let batch: RecordBatch = batch.map_err(|error| said(&error))?;
        let columns = in_utc(&batch).map_err(|error| said(&error))?;
        let options = FormatOptions::new();
        let cells = columns.iter().map(|column| ArrayFormatter::try_new(column, &options));
        let cells = cells.collect::<Result<Vec<_>, _>>().map_err(|error| said(&error))?;
        for row in 0..batch.num_rows() {
            let texts = cells.iter().map(|cells| cells.value(row).try_to_string());
            rows.add(texts.collect::<Result<Vec<_>, _>>().map_err(|error| said(&error))?);
        }
    }
    Ok(rows)
}

/// Takes the time zone off instants, which are in UTC whatever it says: only how they are shown depends on it.
fn in_utc(batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
    let without_zone = |column: &ArrayRef| match column.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            cast(&cast(column, &DataType::Int64)?, &DataType::Timestamp(*unit, None))
        }
        _ => Ok(column.clone()),
    };
    batch.columns().iter().map(without_zone).collect()
}
