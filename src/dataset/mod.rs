//! The published data: which datasets there are, in which formats, and how rows become bytes and back.
//!
//! Everything here is a pure function of its rows. Encoders take a stream of record batches and any `Write`;
//! they know no paths, no clock and no network, and they cut the rows into batches of [`BATCH_ROWS`] anew, so
//! that the same rows give the same bytes however they arrived.

pub mod changes;
pub mod content;
pub mod csv;
pub mod error;
pub mod parquet;
#[cfg(test)]
pub(crate) mod samples;
pub mod schema;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::content::ContentDigest;
pub use self::error::{ReadError, WriteError};

/// The rows of every batch in the pipeline but the last.
pub const BATCH_ROWS: usize = 8_192;

/// One of the datasets that a billing period of a network is published as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dataset {
    /// One row a guest.
    GuestRoster,
    /// One row with the number of guests.
    GuestCounts,
}

impl Dataset {
    /// Every dataset, in the order in which files are listed.
    pub const ALL: [Self; 2] = [Self::GuestRoster, Self::GuestCounts];

    /// Returns the name used in paths and manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GuestRoster => "guest_roster",
            Self::GuestCounts => "guest_counts",
        }
    }

    /// Returns the schema of its rows.
    #[must_use]
    pub fn schema(self) -> arrow::datatypes::SchemaRef {
        match self {
            Self::GuestRoster => schema::guest_roster(),
            Self::GuestCounts => schema::guest_counts(),
        }
    }

    /// Returns the columns that its rows are sorted by, ascending and bytewise.
    #[must_use]
    pub const fn sorting_columns(self) -> &'static [&'static str] {
        match self {
            Self::GuestRoster => &[schema::USERNAME_HASH],
            Self::GuestCounts => &[],
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A file format that datasets are published in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For engines: always exact.
    Parquet,
    /// For people: cells that a spreadsheet would run as a formula are neutralised.
    Csv,
}

impl Format {
    /// Every format, in the order in which files are listed.
    pub const ALL: [Self; 2] = [Self::Parquet, Self::Csv];

    /// Returns the name used in paths, manifests and job files, which is also the file name's extension.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// What an encoder wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The rows written.
    pub rows: u64,
    /// The cells that the formula guard changed; always 0 in Parquet.
    pub guarded_cells: u64,
}
