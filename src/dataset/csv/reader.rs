//! CSV bytes back to rows, for holding a CSV file against its Parquet.
//!
//! It reads the dialect of the writer and nothing else: a file that a spreadsheet or an editor saved again
//! (other line ends, other quotes, `TRUE` for `true`) is not what was published, and saying so is the point.
//! Only a byte order mark is taken either way.

use std::io::{BufRead, Read};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use chrono::DateTime;

use super::formula::FormulaGuard;
use super::{BYTE_ORDER_MARK, timestamp_text};
use crate::dataset::BATCH_ROWS;
use crate::dataset::error::{CsvProblem, ReadError};
use crate::dataset::schema::{self, ColumnType};
use crate::guest::MAX_TEXT_BYTES;

/// The longest text in a file, in bytes: every byte a doubled quote, two quotes and an apostrophe around them.
const MAX_FIELD_BYTES: u64 = 2 * MAX_TEXT_BYTES as u64 + 3;

/// Opens a CSV file that must have exactly the columns of `schema`.
///
/// `formula_guard` says whether the file was written with the guard, which is then undone; a cell that the guard
/// would not have left as it stands is an error. A manifest that counts no guarded cells tells the same of
/// both settings: read such a file with `false`.
///
/// # Errors
/// [`ReadError`] if the file cannot be read or has another header.
pub fn read<R: BufRead>(
    reader: R,
    schema: &SchemaRef,
    formula_guard: bool,
) -> Result<CsvBatches<R>, ReadError> {
    let types = schema::column_types(schema)?;
    let columns = (0..types.len())
        .map(|index| {
            let field = schema.field(index);
            let guard = formula_guard.then(|| FormulaGuard::of_column(field.name()));
            Column { values: Values::new(types[index]), nullable: field.is_nullable(), guard }
        })
        .collect::<Vec<_>>();
    let most_bytes = (MAX_FIELD_BYTES + 1) * columns.len() as u64;
    let records = Records { reader, most_bytes, record: 0, bytes: Vec::new() };
    let mut batches =
        CsvBatches { records, schema: Arc::clone(schema), columns, guarded_cells: 0, ended: false };
    batches.read_header()?;
    Ok(batches)
}

/// The rows of a CSV file, in batches of exactly [`BATCH_ROWS`] but the last.
pub struct CsvBatches<R> {
    records: Records<R>,
    schema: SchemaRef,
    columns: Vec<Column>,
    guarded_cells: u64,
    ended: bool,
}

impl<R: BufRead> CsvBatches<R> {
    /// Returns the cells so far that the guard had changed.
    #[must_use]
    pub const fn guarded_cells(&self) -> u64 {
        self.guarded_cells
    }

    fn read_header(&mut self) -> Result<(), ReadError> {
        if !self.records.advance()? {
            return Err(ReadError::Csv { record: 1, problem: CsvProblem::Header });
        }
        let header = self.records.bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.records.bytes);
        let names = fields(header).map_err(|problem| self.records.error(problem))?;
        let expected = self.schema.fields().iter().map(|field| Some(field.name().as_str()));
        if !names.iter().map(Field::text).eq(expected) {
            return Err(self.records.error(CsvProblem::Header));
        }
        Ok(())
    }

    fn read_batch(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        let mut rows = 0;
        while rows < BATCH_ROWS && self.records.advance()? {
            let fields = fields(&self.records.bytes).map_err(|problem| self.records.error(problem))?;
            if fields.len() != self.columns.len() {
                return Err(self.records.error(CsvProblem::FieldCount));
            }
            for (column, field) in self.columns.iter_mut().zip(&fields) {
                let guarded = column.append(field).map_err(|problem| self.records.error(problem))?;
                self.guarded_cells += u64::from(guarded);
            }
            rows += 1;
        }
        if rows == 0 {
            return Ok(None);
        }
        let arrays = self.columns.iter_mut().map(|column| column.values.finish()).collect();
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?))
    }
}

impl<R: BufRead> Iterator for CsvBatches<R> {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.read_batch();
        self.ended = !matches!(batch, Ok(Some(_)));
        batch.transpose()
    }
}

/// Cuts a file into records. A line feed ends one only where the quotes before it are even in number.
struct Records<R> {
    reader: R,
    most_bytes: u64,
    record: u64,
    bytes: Vec<u8>,
}

impl<R: BufRead> Records<R> {
    /// Moves to the next record, without its line feed, and says whether there was one.
    fn advance(&mut self) -> Result<bool, ReadError> {
        self.bytes.clear();
        self.record += 1;
        let mut within_quotes = false;
        loop {
            let line = self.bytes.len();
            let room = (self.most_bytes + 1).saturating_sub(line as u64);
            let read = self.reader.by_ref().take(room).read_until(b'\n', &mut self.bytes)?;
            if read == 0 && line == 0 {
                return Ok(false);
            }
            if self.bytes.len() as u64 > self.most_bytes {
                return Err(self.error(CsvProblem::TooLong));
            }
            if self.bytes.last() != Some(&b'\n') || read == 0 {
                return Err(self.error(CsvProblem::CutOff));
            }
            within_quotes =
                self.bytes[line..].iter().fold(within_quotes, |within, byte| within ^ (*byte == b'"'));
            if !within_quotes {
                self.bytes.pop();
                return Ok(true);
            }
        }
    }

    fn error(&self, problem: CsvProblem) -> ReadError {
        ReadError::Csv { record: self.record, problem }
    }
}

/// One field as it stands in the file.
enum Field {
    Quoted(String),
    Bare(String),
}

impl Field {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Quoted(text) => Some(text),
            Self::Bare(_) => None,
        }
    }
}

/// Cuts one record into fields.
fn fields(record: &[u8]) -> Result<Vec<Field>, CsvProblem> {
    let mut rest = std::str::from_utf8(record).map_err(|_| CsvProblem::Encoding)?;
    let mut fields = Vec::new();
    loop {
        let field = if let Some(quoted) = rest.strip_prefix('"') {
            let end = closing_quote(quoted).ok_or(CsvProblem::Quoting)?;
            rest = &quoted[end + 1..];
            Field::Quoted(quoted[..end].replace("\"\"", "\""))
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let bare = &rest[..end];
            rest = &rest[end..];
            if bare.contains(['"', '\r', '\n']) {
                return Err(CsvProblem::Quoting);
            }
            Field::Bare(bare.to_owned())
        };
        fields.push(field);
        if rest.is_empty() {
            return Ok(fields);
        }
        rest = rest.strip_prefix(',').ok_or(CsvProblem::Quoting)?;
    }
}

/// Finds the first quote that is not one of a doubled pair.
fn closing_quote(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += bytes[at..].iter().position(|byte| *byte == b'"')?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// One column being filled.
struct Column {
    values: Values,
    nullable: bool,
    guard: Option<FormulaGuard>,
}

enum Values {
    Text(StringBuilder),
    Integer(Int64Builder),
    Boolean(BooleanBuilder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl Column {
    /// Appends a field and says whether the guard had changed it.
    fn append(&mut self, field: &Field) -> Result<bool, CsvProblem> {
        match (&mut self.values, field) {
            (values, Field::Bare(bare)) if bare.is_empty() => {
                if !self.nullable {
                    return Err(CsvProblem::Null);
                }
                values.append_null();
            }
            (Values::Text(builder), Field::Quoted(cell)) => {
                let text = match self.guard {
                    Some(guard) => guard.undo(cell).map_err(|_| CsvProblem::Formula)?,
                    None => cell,
                };
                builder.append_value(text);
                return Ok(text.len() < cell.len());
            }
            (Values::Integer(builder), Field::Bare(bare)) => {
                builder.append_value(canonical(bare, |value: &i64| Some(value.to_string()))?);
            }
            (Values::Boolean(builder), Field::Bare(bare)) => {
                builder.append_value(canonical(bare, |value: &bool| Some(value.to_string()))?);
            }
            (Values::Timestamp(builder), Field::Bare(bare)) => {
                let instant = DateTime::parse_from_rfc3339(bare).map_err(|_| CsvProblem::Value)?;
                let microseconds = instant.timestamp_micros();
                if timestamp_text(microseconds).as_deref() != Some(bare.as_str()) {
                    return Err(CsvProblem::Value);
                }
                builder.append_value(microseconds);
            }
            (Values::Text(_), Field::Bare(_))
            | (Values::Integer(_) | Values::Boolean(_) | Values::Timestamp(_), Field::Quoted(_)) => {
                return Err(CsvProblem::Quoting);
            }
        }
        Ok(false)
    }
}

/// Parses a value whose only accepted spelling is the one that `print` gives.
fn canonical<T: std::str::FromStr>(
    text: &str,
    print: impl Fn(&T) -> Option<String>,
) -> Result<T, CsvProblem> {
    let value = text.parse().map_err(|_| CsvProblem::Value)?;
    if print(&value).as_deref() != Some(text) {
        return Err(CsvProblem::Value);
    }
    Ok(value)
}

impl Values {
    fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Text => Self::Text(StringBuilder::new()),
            ColumnType::Integer => Self::Integer(Int64Builder::new()),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Timestamp => {
                Self::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(schema::timestamp()))
            }
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Text(builder) => builder.append_null(),
            Self::Integer(builder) => builder.append_null(),
            Self::Boolean(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
        }
    }
}
