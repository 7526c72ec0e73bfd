//! The invoice: rows of files, added up by period and by whatever tells them apart.
//!
//! Rows are added as they are read, so that a cost-and-usage export of any size takes no more memory than what it bills
//! guests for. Nothing about the result depends on the order of rows, or on which file they stand in. A cell that does
//! not say what it should ends the reading: an invoice without its worst row would be a wrong number that looks right.

mod delimited;
mod error;
mod files;
mod parquet;
mod tally;

use std::collections::BTreeMap;
use std::path::Path;

pub use self::error::{CellError, InvoiceError, Place, RowAt};
use self::files::Format;
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

#[cfg(test)]
mod tests;
