//! The invoice: rows of files, added up by period and by whatever tells them apart.
//!
//! Rows are added as they are read, so that a cost-and-usage export of any size takes no more memory than what it bills
//! guests for. Nothing about the result depends on the order of rows, or on which file they stand in. A cell that does
//! not say what it should ends the reading: an invoice without its worst row would be a wrong number that looks right.

mod copies;
mod delimited;
mod error;
mod files;
mod parquet;
mod tally;
mod totals;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use self::error::{CellError, InvoiceError, Place, RowAt};
use self::files::{Format, Found};
use self::tally::Tally;
use super::mapping::Mapping;
use super::quantity::Decimal;
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// The most lines that are compared: far more than there are networks and months.
const MAX_LINES: usize = 1_000_000;

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

impl fmt::Display for Bearer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.network.as_ref().map(NetworkId::as_str);
        let parts = [network, self.account.as_deref(), self.region.as_deref()];
        let named: Vec<&str> = parts.into_iter().flatten().collect();
        if named.is_empty() { formatter.pad("all networks") } else { formatter.pad(&named.join(" ")) }
    }
}

/// What an invoice has of one line, and what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvoicedLine {
    /// The guests.
    pub quantity: Decimal,
    /// The rows that they are made of.
    pub rows: u64,
    /// The files that those stand in.
    pub files: u64,
}

/// Says what a line is made of, if that is more than one row.
#[must_use]
pub fn parts(rows: u64, files: u64) -> Option<String> {
    match (rows, files) {
        (0 | 1, _) => None,
        (_, 0 | 1) => Some(rows_in_words(rows)),
        _ => Some(format!("{} in {files} files", rows_in_words(rows))),
    }
}

/// Counts rows in words.
#[must_use]
pub fn rows_in_words(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

/// What an invoice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// What tells its lines apart.
    pub grain: Grain,
    /// Its lines.
    pub lines: BTreeMap<(BillingPeriod, Bearer), InvoicedLine>,
    /// The rows that were read.
    pub rows_read: u64,
    /// Those of them that passed the filter.
    pub rows_kept: u64,
    /// The files that it is in.
    pub files: u64,
    /// Those beside them that were not read.
    pub files_skipped: Vec<PathBuf>,
}

impl Invoice {
    /// Reads a file or a folder of files.
    ///
    /// # Errors
    /// [`InvoiceError`] names the file, and the line and the column where there is one.
    pub fn read(path: &Path, mapping: &Mapping) -> Result<Self, InvoiceError> {
        let mut tally = Tally::new(mapping);
        let Found { files, skipped } = files::find(path)?;
        for (file, format) in files {
            let whole = match format {
                Format::Delimited => Some(delimited::read(&file, &mut tally)?),
                Format::Parquet => {
                    parquet::read(&file, &mut tally)?;
                    None
                }
            };
            tally.close(&file, format, whole);
            tracing::debug!(file = %file.display(), rows = tally.rows_read, "invoice file read");
        }
        Ok(Self { files_skipped: skipped, ..tally.finish(path)? })
    }

    /// Returns the first and the last period that it has lines of.
    #[must_use]
    pub fn span(&self) -> Option<(BillingPeriod, BillingPeriod)> {
        let (first, last) = (self.lines.first_key_value()?, self.lines.last_key_value()?);
        Some((first.0.0, last.0.0))
    }
}

#[cfg(test)]
mod tests;
