//! Why rows could not be encoded or a file could not be read back.
//!
//! I/O errors stay `std::io::Error`s whatever library they came through, because a full disk and a broken file
//! have different remedies and exit codes. No message shows a value of a row: they are personal data.

use std::io;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::schema::SchemaError;
use crate::error_chain::excerpt;

/// Any error of whatever produces rows.
pub type RowsError = Box<dyn std::error::Error + Send + Sync>;

/// Why an encoder stopped. What it wrote until then is not a valid file.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output refused bytes.
    #[error("the encoded file could not be written; see whether the destination is full or read-only")]
    Io(#[source] io::Error),
    /// The rows could not be produced to their end.
    #[error("the rows to encode could not be produced to their end")]
    Rows(#[source] RowsError),
    /// The rows are not what the encoder was told to expect.
    #[error("the rows to encode do not have the columns of their dataset; this is a bug, please report it")]
    Schema(#[from] SchemaError),
    /// The encoder itself failed.
    #[error("the rows could not be encoded; this is a bug, please report it")]
    Encoder(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ParquetError> for WriteError {
    fn from(error: ParquetError) -> Self {
        match without_io(error) {
            Ok(io_error) => Self::Io(io_error),
            Err(error) => Self::Encoder(Box::new(error)),
        }
    }
}

impl From<ArrowError> for WriteError {
    fn from(error: ArrowError) -> Self {
        Self::Encoder(Box::new(error))
    }
}

/// Why a published file could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read at all.
    #[error("the file could not be read; see whether it is accessible")]
    Io(#[source] io::Error),
    /// The file holds other columns.
    #[error("the file does not have the columns of its dataset; restore it, or run the export again")]
    Schema(#[from] SchemaError),
    /// The file is no Parquet file, or a damaged one.
    #[error("the file is not intact Parquet; restore it, or run the export again")]
    Parquet(#[source] DecoderError),
    /// The Parquet file holds values that its own schema does not allow.
    #[error("the file's Parquet columns contradict its schema; restore it, or run the export again")]
    Columns(#[source] DecoderError),
    /// The CSV file departs from the dialect that this program writes.
    #[error("record {record} of the CSV {problem}; restore the file, or run the export again")]
    Csv {
        /// The record, counted from 1, which is the header.
        record: u64,
        /// What is wrong with it.
        problem: CsvProblem,
    },
}

/// What a library said of a damaged file: an excerpt, because it quotes the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecoderError(String);

impl DecoderError {
    fn new(error: &impl std::fmt::Display) -> Self {
        Self(excerpt(&error.to_string(), 300))
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ParquetError> for ReadError {
    fn from(error: ParquetError) -> Self {
        match without_io(error) {
            // An end of file that comes too early is damage, not a failure of the disk.
            Ok(io_error) if io_error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Parquet(DecoderError::new(&io_error))
            }
            Ok(io_error) => Self::Io(io_error),
            Err(error) => Self::Parquet(DecoderError::new(&error)),
        }
    }
}

impl From<ArrowError> for ReadError {
    /// Unwraps what the Parquet reader reports through Arrow's iterator interface.
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, source) => Self::from(ParquetError::External(Box::new(source))),
            ArrowError::ExternalError(source) => match source.downcast::<ParquetError>() {
                Ok(error) => Self::from(*error),
                Err(source) => Self::Columns(DecoderError::new(&source)),
            },
            ArrowError::ParquetError(text) => Self::Parquet(DecoderError::new(&text)),
            other => Self::Columns(DecoderError::new(&other)),
        }
    }
}

/// What is wrong with a record of a CSV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvProblem {
    /// The file has no header, or another one.
    #[error("is not the header of its dataset")]
    Header,
    /// The file ends within a record, or without the last line feed.
    #[error("is cut off")]
    CutOff,
    /// The record is longer than any that could have been written.
    #[error("is longer than any record that could have been written")]
    TooLong,
    /// A quote stands where none can, or a field is quoted that must not be, or the other way round.
    #[error("is not quoted as this program quotes")]
    Quoting,
    /// The record has another number of fields than the header.
    #[error("has another number of fields than the header")]
    FieldCount,
    /// A text is not UTF-8.
    #[error("is not UTF-8")]
    Encoding,
    /// A value is missing that must not be.
    #[error("lacks a value that is never null")]
    Null,
    /// An integer, a boolean or a timestamp is not written as this program writes it.
    #[error("holds an integer, boolean or timestamp that is not in canonical form")]
    Value,
    /// A cell that a spreadsheet would run as a formula is not neutralised.
    #[error("holds a formula that is not neutralised")]
    Formula,
}

/// Takes the `io::Error` out of an error of the Parquet library, or gives the error back.
fn without_io(error: ParquetError) -> Result<io::Error, ParquetError> {
    match error {
        ParquetError::External(source) => {
            source.downcast::<io::Error>().map(|error| *error).map_err(ParquetError::External)
        }
        other => Err(other),
    }
}
