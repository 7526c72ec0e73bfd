//! Rows to CSV bytes.
//!
//! The header is quoted like any text: a name is a text too, and no reader minds.

use std::io::Write;
use std::ops::Range;

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;

use super::formula::FormulaGuard;
use super::{BYTE_ORDER_MARK, timestamp_text};
use crate::dataset::Encoded;
use crate::dataset::error::{RowsError, WriteError};
use crate::dataset::schema::{self, ColumnType};

/// How CSV files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Begins the file with a byte order mark, which old spreadsheets need to take it for UTF-8.
    pub bom: bool,
    /// Neutralises cells that a spreadsheet would run as a formula.
    pub formula_guard: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { bom: false, formula_guard: true }
    }
}

/// The bytes that are gathered before they are written.
const FLUSHED_BYTES: usize = 64 * 1024;

/// Encodes the rows as one CSV file. Holds one batch in memory at most.
///
/// # Errors
/// [`WriteError`]; what was written until then is not a whole file.
pub fn write<E: Into<RowsError>>(
    schema: &SchemaRef,
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    options: CsvOptions,
    mut out: impl Write,
) -> Result<Encoded, WriteError> {
    let types = schema::column_types(schema)?;
    // Cells are short: they are gathered here, without a question after each whether there is room for it.
    let mut text = Vec::with_capacity(2 * FLUSHED_BYTES);
    if options.bom {
        text.extend_from_slice(BYTE_ORDER_MARK);
    }
    for (index, field) in schema.fields().iter().enumerate() {
        separate(index, &mut text);
        write_text(field.name(), &mut text);
    }
    text.push(b'\n');

    let mut encoded = Encoded::default();
    for batch in batches {
        let batch = batch.map_err(|error| WriteError::Rows(error.into()))?;
        schema::require(schema, &batch.schema())?;
        let mut columns: Vec<Column<'_>> = (0..types.len())
            .map(|index| {
                let guard =
                    options.formula_guard.then(|| FormulaGuard::of_column(schema.field(index).name()));
                Column::new(types[index], batch.column(index), guard)
            })
            .collect();
        for row in 0..batch.num_rows() {
            for (index, column) in columns.iter_mut().enumerate() {
                separate(index, &mut text);
                encoded.guarded_cells += u64::from(column.write(row, &mut text)?);
            }
            text.push(b'\n');
            if text.len() >= FLUSHED_BYTES {
                out.write_all(&text)?;
                text.clear();
                columns.iter_mut().for_each(Column::forget);
            }
        }
        encoded.rows += batch.num_rows() as u64;
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(encoded)
}

fn separate(column: usize, out: &mut Vec<u8>) {
    if column > 0 {
        out.push(b',');
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut written = 0;
    for quote in memchr::memchr_iter(b'"', text.as_bytes()) {
        // Once with what is before it, and once with what is after it.
        out.extend_from_slice(&text.as_bytes()[written..=quote]);
        written = quote;
    }
    out.extend_from_slice(&text.as_bytes()[written..]);
    out.push(b'"');
}

/// One column of a batch under its true type.
enum Column<'a> {
    Text(TextColumn<'a>),
    Integer(&'a Int64Array),
    Boolean(&'a BooleanArray),
    Timestamp(&'a TimestampMicrosecondArray),
}

impl<'a> Column<'a> {
    fn new(column_type: ColumnType, array: &'a dyn Array, guard: Option<FormulaGuard>) -> Self {
        fn typed<T: 'static>(array: &dyn Array) -> &T {
            array.as_any().downcast_ref().expect("the type that the schema names")
        }
        match column_type {
            ColumnType::Text => Self::Text(TextColumn { array: typed(array), guard, last: None }),
            ColumnType::Integer => Self::Integer(typed(array)),
            ColumnType::Boolean => Self::Boolean(typed(array)),
            ColumnType::Timestamp => Self::Timestamp(typed(array)),
        }
    }

    /// Writes one cell and says whether the guard changed it.
    fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, WriteError> {
        let array: &dyn Array = match self {
            Self::Text(column) => column.array,
            Self::Integer(array) => *array,
            Self::Boolean(array) => *array,
            Self::Timestamp(array) => *array,
        };
        if array.is_null(row) {
            return Ok(false);
        }
        match self {
            Self::Text(column) => return Ok(column.write(row, out)),
            Self::Integer(array) => write!(out, "{}", array.value(row))?,
            Self::Boolean(array) => write!(out, "{}", array.value(row))?,
            Self::Timestamp(array) => {
                let text = timestamp_text(array.value(row)).ok_or_else(|| {
                    WriteError::Encoder("a timestamp lies outside the years that RFC 3339 can write".into())
                })?;
                out.extend_from_slice(text.as_bytes());
            }
        }
        Ok(false)
    }

    /// Forgets what was written, which is there no longer.
    fn forget(&mut self) {
        if let Self::Text(column) = self {
            column.last = None;
        }
    }
}

struct TextColumn<'a> {
    array: &'a StringArray,
    guard: Option<FormulaGuard>,
    /// The last cell: some columns say the same in every row, and what was written once is only copied.
    last: Option<WrittenCell<'a>>,
}

struct WrittenCell<'a> {
    text: &'a str,
    lies_at: Range<usize>,
    is_guarded: bool,
}

impl TextColumn<'_> {
    /// Writes one cell, which is no null, and says whether the guard changed it.
    fn write(&mut self, row: usize, out: &mut Vec<u8>) -> bool {
        let text = self.array.value(row);
        if let Some(last) = self.last.as_ref().filter(|last| last.text == text) {
            out.extend_from_within(last.lies_at.clone());
            return last.is_guarded;
        }
        let start = out.len();
        let is_guarded = self.guard.is_some_and(|guard| guard.guards(text));
        if is_guarded {
            write_text(&format!("'{text}"), out);
        } else {
            write_text(text, out);
        }
        self.last = Some(WrittenCell { text, lies_at: start..out.len(), is_guarded });
        is_guarded
    }
}
