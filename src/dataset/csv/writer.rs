//! Rows to CSV bytes.
//!
//! The header is quoted like any text: a name is a text too, and no reader minds.

use std::io::{BufWriter, Write};

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

/// Encodes the rows as one CSV file. Holds one batch in memory at most.
///
/// # Errors
/// [`WriteError`]; what was written until then is not a whole file.
pub fn write<E: Into<RowsError>>(
    schema: &SchemaRef,
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    options: CsvOptions,
    out: impl Write,
) -> Result<Encoded, WriteError> {
    let types = schema::column_types(schema)?;
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    if options.bom {
        out.write_all(BYTE_ORDER_MARK)?;
    }
    for (index, field) in schema.fields().iter().enumerate() {
        separate(index, &mut out)?;
        write_text(field.name(), &mut out)?;
    }
    out.write_all(b"\n")?;

    let mut encoded = Encoded::default();
    for batch in batches {
        let batch = batch.map_err(|error| WriteError::Rows(error.into()))?;
        schema::require(schema, &batch.schema())?;
        let columns: Vec<Column<'_>> = (0..types.len())
            .map(|index| {
                let guard =
                    options.formula_guard.then(|| FormulaGuard::of_column(schema.field(index).name()));
                Column::new(types[index], batch.column(index), guard)
            })
            .collect();
        for row in 0..batch.num_rows() {
            for (index, column) in columns.iter().enumerate() {
                separate(index, &mut out)?;
                encoded.guarded_cells += u64::from(column.write(row, &mut out)?);
            }
            out.write_all(b"\n")?;
        }
        encoded.rows += batch.num_rows() as u64;
    }
    out.flush()?;
    Ok(encoded)
}

fn separate(column: usize, out: &mut impl Write) -> Result<(), WriteError> {
    if column > 0 {
        out.write_all(b",")?;
    }
    Ok(())
}

fn write_text(text: &str, out: &mut impl Write) -> Result<(), WriteError> {
    out.write_all(b"\"")?;
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            out.write_all(b"\"\"")?;
        }
        out.write_all(part.as_bytes())?;
    }
    out.write_all(b"\"")?;
    Ok(())
}

/// One column of a batch under its true type.
enum Column<'a> {
    Text(&'a StringArray, Option<FormulaGuard>),
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
            ColumnType::Text => Self::Text(typed(array), guard),
            ColumnType::Integer => Self::Integer(typed(array)),
            ColumnType::Boolean => Self::Boolean(typed(array)),
            ColumnType::Timestamp => Self::Timestamp(typed(array)),
        }
    }

    /// Writes one cell and says whether the guard changed it.
    fn write(&self, row: usize, out: &mut impl Write) -> Result<bool, WriteError> {
        let array: &dyn Array = match self {
            Self::Text(array, _) => *array,
            Self::Integer(array) => *array,
            Self::Boolean(array) => *array,
            Self::Timestamp(array) => *array,
        };
        if array.is_null(row) {
            return Ok(false);
        }
        match self {
            Self::Text(array, guard) => {
                let text = array.value(row);
                if guard.is_some_and(|guard| guard.guards(text)) {
                    write_text(&format!("'{text}"), out)?;
                    return Ok(true);
                }
                write_text(text, out)?;
            }
            Self::Integer(array) => write!(out, "{}", array.value(row))?,
            Self::Boolean(array) => write!(out, "{}", array.value(row))?,
            Self::Timestamp(array) => {
                let text = timestamp_text(array.value(row)).ok_or_else(|| {
                    WriteError::Encoder("a timestamp lies outside the years that RFC 3339 can write".into())
                })?;
                out.write_all(text.as_bytes())?;
            }
        }
        Ok(false)
    }
}
