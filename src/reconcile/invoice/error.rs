//! Why an invoice cannot be compared, and which row of which file is to blame.

use std::fmt;
use std::path::PathBuf;

use super::MAX_LINES;
use crate::guest::NetworkIdError;
use crate::period::BillingPeriod;
use crate::reconcile::mapping::ColumnsError;
use crate::reconcile::quantity::{Decimal, DecimalError};
use crate::reconcile::written_period::WrittenPeriodError;

/// Where a row stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowAt {
    /// In a text, counted from 1, the header included.
    Line(u64),
    /// Among the rows, counted from 1.
    Row(u64),
}

impl fmt::Display for RowAt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(formatter, "line {line}"),
            Self::Row(row) => write!(formatter, "row {row}"),
        }
    }
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its file.
    pub file: PathBuf,
    /// Which it is there.
    pub row: RowAt,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}", self.file.display(), self.row)
    }
}

/// Why a cell is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// It is no quantity.
    #[error(transparent)]
    Quantity(#[from] DecimalError),
    /// It is a number to two readers.
    #[error(
        "is `{0}`, which is two numbers to two readers: if the point separates thousands, leave it out; if it begins a \
         fraction, say fractions = true in the mapping"
    )]
    Thousands(String),
    /// It is no billing period.
    #[error(transparent)]
    Period(#[from] WrittenPeriodError),
    /// It is no network.
    #[error(transparent)]
    Network(#[from] NetworkIdError),
    /// It was an account's id before a spreadsheet took it for a number.
    #[error(
        "is `{0}`, an id that a spreadsheet has taken for a number, and its last digits are lost; take the invoice as it \
         came, or make the column one of texts before the ids are put in"
    )]
    Rounded(String),
    /// It is no account and no region.
    #[error("is `{0}`, which is too long for an account or a region, or holds control characters")]
    Label(String),
}

/// Why an invoice cannot be compared (exit 2).
#[derive(Debug, thiserror::Error)]
pub enum InvoiceError {
    /// The system does not let it be read.
    #[error("invoice {path}: {reason}; give a CSV or Parquet file, plain or gzip, or a folder of them")]
    Unreadable {
        /// What cannot be read.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// A folder holds nothing to read.
    #[error("invoice {0}: holds no file that ends in .csv, .csv.gz or .parquet")]
    NoFiles(PathBuf),
    /// A folder holds what may be part of the invoice, and cannot be read.
    #[error(
        "invoice {0}: is neither CSV nor Parquet; unpack it, or move it away if it is no part of the invoice"
    )]
    UnknownFile(PathBuf),
    /// It is what a spreadsheet program keeps.
    #[error("invoice {0}: is a spreadsheet; save the sheet as CSV (UTF-8), and give that")]
    Spreadsheet(PathBuf),
    /// One partition holds files in two folders.
    #[error(
        "invoice {first} and {second}: both are in {partition}, in two folders, as several versions of an export are, \
         and would be counted twice; give the folder of the one that holds"
    )]
    SeveralVersions {
        /// The `KEY=value` that both are in.
        partition: String,
        /// One file.
        first: PathBuf,
        /// A file in another folder.
        second: PathBuf,
    },
    /// The same data is there packed and unpacked.
    #[error("invoice {0}: is there with and without .gz, and would be counted twice; remove one of them")]
    Twice(PathBuf),
    /// A file's columns are not those of the mapping.
    #[error("invoice {path}: {reason}")]
    Columns {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: ColumnsError,
    },
    /// The path does not have the key that the period is behind.
    #[error(
        "invoice {path}: no folder on its path is called {key}=…, where period.partition of the mapping looks"
    )]
    NoPartition {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// The period in the path is none.
    #[error("invoice {path}: the period in its path {reason}")]
    PartitionPeriod {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: WrittenPeriodError,
    },
    /// A file is not what its kind of file is.
    #[error("invoice {path}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What its reader says.
        reason: String,
    },
    /// A cell does not say what it should.
    #[error("invoice {place}: the column `{column}` {reason}")]
    Cell {
        /// The row.
        place: Place,
        /// The column.
        column: String,
        /// Why it is not believed.
        reason: CellError,
    },
    /// A row adds up others.
    #[error(
        "invoice {place}: looks like a row of totals, as its column `{column}` {}; leave it out with \
         exclude = {{ {column:?} = {value:?} }} in a mapping, which need hold no more than that line{}",
        if value.is_empty() { "is empty".to_owned() } else { format!("is `{value}`") },
        if value.is_empty() {
            String::new()
        } else {
            format!(", or take it with filter = {{ {column:?} = {value:?} }} if such rows are none")
        }
    )]
    Total {
        /// The row.
        place: Place,
        /// The column.
        column: String,
        /// What it says.
        value: String,
    },
    /// A line is no whole number of guests.
    #[error(
        "invoice {place}: is the first row with a fraction of those that make {bearer} in {period} {quantity}, and guests \
         are whole; if they are prorated, say fractions = true in the mapping; if a point separates thousands, leave it \
         out"
    )]
    Fraction {
        /// A row with a fraction.
        place: Place,
        /// Whom the line is for.
        bearer: String,
        /// Its period.
        period: BillingPeriod,
        /// What it adds up to.
        quantity: Decimal,
    },
    /// Two files hold the same.
    #[error(
        "invoice {first} and {second}: both hold the same {rows}, as two copies of an export do, and would be counted \
         twice; remove one of them"
    )]
    Copies {
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// How many, in words.
        rows: String,
    },
    /// Some rows say whom they are for, and others do not.
    #[error(
        "invoice {without}: names no {what}, but {with} does; leave out such rows with a filter of the mapping, or the \
         column {what} itself"
    )]
    Mixed {
        /// `network`, `account` or `region`.
        what: &'static str,
        /// A row without.
        without: Place,
        /// A row with.
        with: Place,
    },
    /// No row passes the filter.
    #[error("invoice {path}: no row of {rows} passes the filter of the mapping{seen}")]
    NothingPasses {
        /// The invoice.
        path: PathBuf,
        /// How many were read.
        rows: u64,
        /// What there is instead.
        seen: String,
    },
    /// There are no rows.
    #[error("invoice {0}: holds no rows")]
    NoRows(PathBuf),
    /// It is no invoice of guests.
    #[error(
        "invoice {0}: has more than {MAX_LINES} lines after adding up; filter the rows that are for guests"
    )]
    TooManyLines(PathBuf),
}
