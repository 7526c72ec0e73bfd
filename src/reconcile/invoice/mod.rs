//! The invoice: rows of files, added up by period and by whatever tells them apart.
//!
//! Rows are added as they are read, so that a cost-and-usage export of any size takes no more memory than what it bills
//! guests for. Nothing about the result depends on the order of rows, or on which file they stand in. A cell that does
//! not say what it should ends the reading: an invoice without its worst row would be a wrong number that looks right.

mod delimited;
mod files;
mod parquet;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use self::files::Format;
use super::mapping::{Aggregate, Columns, ColumnsError, Mapping, PeriodPlace};
use super::quantity::{Decimal, DecimalError};
use super::written_period::{WrittenPeriod, WrittenPeriodError};
use crate::error_chain::excerpt;
use crate::guest::{NetworkId, NetworkIdError};
use crate::period::BillingPeriod;

/// The most lines that are compared: far more than there are networks and months.
const MAX_LINES: usize = 1_000_000;
/// The most values of a filter's column that are kept to be named.
const MAX_SEEN_VALUES: usize = 100;
/// The longest account or region that is believed, in bytes.
const MAX_LABEL_BYTES: usize = 64;
/// The digits of an AWS account's id and of a network's, which programs drop the leading zeros of.
const ACCOUNT_DIGITS: usize = 12;
const NETWORK_DIGITS: usize = 8;

/// What tells the lines of an invoice apart, the finest that all its rows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grain {
    /// Networks.
    pub network: bool,
    /// AWS accounts.
    pub account: bool,
    /// Regions.
    pub region: bool,
}

impl Grain {
    /// Returns what a compared line stands for.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match (self.network, self.account, self.region) {
            (true, ..) => "network",
            (_, true, true) => "account and region",
            (_, true, _) => "account",
            (_, _, true) => "region",
            _ => "total",
        }
    }
}

/// Whom a line is for, as far as the grain goes; what is beyond it is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bearer {
    /// The network.
    pub network: Option<NetworkId>,
    /// The AWS account.
    pub account: Option<String>,
    /// The region.
    pub region: Option<String>,
}

impl Bearer {
    fn up_to(self, grain: Grain) -> Self {
        Self {
            network: self.network.filter(|_| grain.network),
            account: self.account.filter(|_| grain.account),
            region: self.region.filter(|_| grain.region),
        }
    }
}

/// What an invoice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// What tells its lines apart.
    pub grain: Grain,
    /// Its quantities.
    pub lines: BTreeMap<(BillingPeriod, Bearer), Decimal>,
    /// The rows that were read.
    pub rows_read: u64,
    /// Those of them that passed the filter.
    pub rows_kept: u64,
}

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
    file: PathBuf,
    row: RowAt,
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
    /// It is no billing period.
    #[error(transparent)]
    Period(#[from] WrittenPeriodError),
    /// It is no network.
    #[error(transparent)]
    Network(#[from] NetworkIdError),
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

impl Invoice {
    /// Reads a file or a folder of files.
    ///
    /// # Errors
    /// [`InvoiceError`] names the file, and the line and the column where there is one.
    pub fn read(path: &Path, mapping: &Mapping) -> Result<Self, InvoiceError> {
        let mut tally = Tally::new(mapping);
        for (file, format) in files::find(path)? {
            match format {
                Format::Delimited => delimited::read(&file, &mut tally)?,
                Format::Parquet => parquet::read(&file, &mut tally)?,
            }
            tracing::debug!(file = %file.display(), rows = tally.rows_read, "invoice file read");
        }
        tally.finish(path)
    }

    /// Returns the first and the last period that it has lines of.
    #[must_use]
    pub fn span(&self) -> Option<(BillingPeriod, BillingPeriod)> {
        let (first, last) = (self.lines.first_key_value()?, self.lines.last_key_value()?);
        Some((first.0.0, last.0.0))
    }
}

/// A column that says whom a line is for: which row has it, and which has not.
#[derive(Default)]
struct Presence {
    with: Option<Place>,
    without: Option<Place>,
}

impl Presence {
    fn note(&mut self, is_there: bool, place: impl FnOnce() -> Place) {
        let noted = if is_there { &mut self.with } else { &mut self.without };
        noted.get_or_insert_with(place);
    }

    /// Says whether all rows have it.
    fn settle(self, what: &'static str) -> Result<bool, InvoiceError> {
        match (self.with, self.without) {
            (Some(with), Some(without)) => Err(InvoiceError::Mixed { what, without, with }),
            (with, _) => Ok(with.is_some()),
        }
    }
}

/// What was read so far.
struct Tally<'a> {
    mapping: &'a Mapping,
    lines: BTreeMap<(BillingPeriod, Bearer), Decimal>,
    rows_read: u64,
    rows_kept: u64,
    network: Presence,
    account: Presence,
    region: Presence,
    /// What the filter's columns hold: what there is, if nothing passes.
    seen: BTreeMap<String, Seen>,
}

/// What a column of the filter holds, in the rows that pass the columns before it.
#[derive(Default)]
struct Seen {
    /// Whether a row had one of the values that are wanted.
    is_met: bool,
    /// Values, the smallest.
    values: BTreeSet<String>,
    /// Whether there are more.
    has_more: bool,
}

/// A file whose columns are known.
struct OpenFile<'a> {
    path: PathBuf,
    columns: Columns<'a>,
    titles: Vec<String>,
    /// The period of its path, if it is there.
    period: Option<BillingPeriod>,
}

impl<'a> Tally<'a> {
    fn new(mapping: &'a Mapping) -> Self {
        Self {
            mapping,
            lines: BTreeMap::new(),
            rows_read: 0,
            rows_kept: 0,
            network: Presence::default(),
            account: Presence::default(),
            region: Presence::default(),
            seen: BTreeMap::new(),
        }
    }

    /// Finds the columns of a file.
    fn open(&self, path: &Path, titles: Vec<String>) -> Result<OpenFile<'a>, InvoiceError> {
        let columns = self
            .mapping
            .locate(&titles)
            .map_err(|reason| InvoiceError::Columns { path: path.to_owned(), reason })?;
        let period = match &self.mapping.period.place {
            PeriodPlace::Column(_) => None,
            PeriodPlace::Partition(key) => {
                let value = files::partition(path, key)
                    .ok_or_else(|| InvoiceError::NoPartition { path: path.to_owned(), key: key.clone() })?;
                let read = WrittenPeriod::read(self.mapping.period.written, &value);
                Some(read.map_err(|reason| InvoiceError::PartitionPeriod { path: path.to_owned(), reason })?)
            }
        };
        Ok(OpenFile { path: path.to_owned(), columns, titles, period })
    }

    /// Adds a row, whose cells are asked for by their column; an absent value is an empty text.
    fn add<C: AsRef<str>>(
        &mut self,
        file: &OpenFile<'a>,
        row: RowAt,
        cell: impl Fn(usize) -> Result<C, InvoiceError>,
    ) -> Result<(), InvoiceError> {
        self.rows_read += 1;
        for (column, values) in &file.columns.filter {
            let value = cell(*column)?;
            let is_met = values.allow(value.as_ref().trim());
            if self.rows_kept == 0 {
                self.note_value(&file.titles[*column], value.as_ref().trim(), is_met);
            }
            if !is_met {
                return Ok(());
            }
        }
        self.rows_kept += 1;
        let place = || Place { file: file.path.clone(), row };
        let refused = |column: usize, reason: CellError| InvoiceError::Cell {
            place: place(),
            column: excerpt(file.titles[column].trim(), 60),
            reason,
        };
        let text = |column: Option<usize>| -> Result<Option<String>, InvoiceError> {
            let Some(column) = column else { return Ok(None) };
            let text = cell(column)?.as_ref().trim().to_owned();
            Ok((!text.is_empty()).then_some(text))
        };
        let label = |column: Option<usize>| -> Result<Option<String>, InvoiceError> {
            let Some(label) = text(column)? else { return Ok(None) };
            if label.len() > MAX_LABEL_BYTES || label.contains(char::is_control) {
                let reason = CellError::Label(excerpt(&label, MAX_LABEL_BYTES));
                return Err(refused(column.unwrap_or_default(), reason));
            }
            Ok(Some(label))
        };
        let network = match (text(file.columns.network)?, file.columns.network) {
            (Some(digits), Some(column)) => {
                let parsed = with_leading_zeros(&digits, NETWORK_DIGITS).parse::<NetworkId>();
                Some(parsed.map_err(|error| refused(column, error.into()))?)
            }
            _ => None,
        };
        let account =
            label(file.columns.account)?.map(|account| with_leading_zeros(&account, ACCOUNT_DIGITS));
        let region = label(file.columns.region)?.map(|region| region.to_ascii_lowercase());
        let period = match (file.period, file.columns.period) {
            (None, Some(column)) => {
                let written = cell(column)?;
                WrittenPeriod::read(self.mapping.period.written, written.as_ref())
                    .map_err(|error| refused(column, error.into()))?
            }
            (Some(period), _) => period,
            (None, None) => unreachable!("a mapping has a column or a partition"),
        };
        let quantity: Decimal = cell(file.columns.quantity)?
            .as_ref()
            .parse()
            .map_err(|error: DecimalError| refused(file.columns.quantity, error.into()))?;
        self.network.note(network.is_some(), place);
        self.account.note(account.is_some(), place);
        self.region.note(region.is_some(), place);
        if self.lines.len() > MAX_LINES {
            return Err(InvoiceError::TooManyLines(file.path.clone()));
        }
        gather(
            &mut self.lines,
            (period, Bearer { network, account, region }),
            quantity,
            self.mapping.aggregate,
        );
        Ok(())
    }

    fn note_value(&mut self, column: &str, value: &str, is_met: bool) {
        let seen = match self.seen.get_mut(column) {
            Some(seen) => seen,
            None => self.seen.entry(column.to_owned()).or_default(),
        };
        seen.is_met |= is_met;
        if !seen.values.contains(value) {
            seen.values.insert(excerpt(value, MAX_LABEL_BYTES));
            if seen.values.len() > MAX_SEEN_VALUES {
                seen.values.pop_last();
                seen.has_more = true;
            }
        }
    }

    /// Adds up what was read, by the finest that all rows have.
    fn finish(self, path: &Path) -> Result<Invoice, InvoiceError> {
        if self.rows_read == 0 {
            return Err(InvoiceError::NoRows(path.to_owned()));
        }
        if self.rows_kept == 0 {
            let seen = what_there_is(&self.seen);
            return Err(InvoiceError::NothingPasses { path: path.to_owned(), rows: self.rows_read, seen });
        }
        let network = self.network.settle("network")?;
        // Where networks tell the lines apart, nobody asks whose they are.
        let account = !network && self.account.settle("account")?;
        let region = !network && self.region.settle("region")?;
        let grain = Grain { network, account, region };
        let mut lines = BTreeMap::new();
        for ((period, bearer), quantity) in self.lines {
            gather(&mut lines, (period, bearer.up_to(grain)), quantity, self.mapping.aggregate);
        }
        let lines = lines.into_iter().map(|(line, quantity)| (line, quantity.shortest())).collect();
        Ok(Invoice { grain, lines, rows_read: self.rows_read, rows_kept: self.rows_kept })
    }
}

fn gather(
    lines: &mut BTreeMap<(BillingPeriod, Bearer), Decimal>,
    line: (BillingPeriod, Bearer),
    quantity: Decimal,
    aggregate: Aggregate,
) {
    match lines.get_mut(&line) {
        Some(so_far) => {
            *so_far = match aggregate {
                Aggregate::Sum => so_far.plus(&quantity),
                Aggregate::Max => quantity.max(so_far.clone()),
            }
        }
        None => drop(lines.insert(line, quantity)),
    }
}

/// Says which column of the filter no row passes that passes those before it, and what it holds instead.
fn what_there_is(seen: &BTreeMap<String, Seen>) -> String {
    let named = |column: &str| format!("`{}`", excerpt(column.trim(), 60));
    let met: Vec<String> =
        seen.iter().filter(|(_, seen)| seen.is_met).map(|(column, _)| named(column)).collect();
    let Some((column, seen)) = seen.iter().find(|(_, seen)| !seen.is_met) else { return String::new() };
    let values: Vec<String> = seen.values.iter().map(|value| format!("`{value}`")).collect();
    let more = if seen.has_more { " and others" } else { "" };
    let before =
        if met.is_empty() { String::new() } else { format!("where {} is as wanted, ", met.join(" and ")) };
    format!("; {before}the column {} holds {}{more}", named(column), values.join(", "))
}

/// Restores the zeros that a program took off an id that it held for a number.
fn with_leading_zeros(id: &str, digits: usize) -> String {
    if id.bytes().all(|byte| byte.is_ascii_digit()) { format!("{id:0>digits$}") } else { id.to_owned() }
}

#[cfg(test)]
mod tests;
