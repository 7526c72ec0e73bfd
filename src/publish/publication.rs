//! What is handed to the publisher: one roster's facts, and parts that write themselves.
//!
//! The publisher never encodes, so it does not know what a Parquet file is. A part is a closure over a stream
//! that can be taken again, not a buffer: a roster is never held in its encoded form.

use std::fmt;
use std::fs::File;
use std::io::Write;

use chrono::{DateTime, Utc};

use super::manifest::{Counts, CsvRecord, Program, RosterRecord, Source, Walk};
use crate::dataset::{ContentDigest, Dataset, Format};
use crate::period::PeriodState;

/// The error of an encoder or a comparison, which only passes through here.
pub type PartError = Box<dyn std::error::Error + Send + Sync>;

/// Writes one file.
pub type Encode = Box<dyn FnOnce(&mut (dyn Write + Send)) -> Result<EncodedPart, PartError> + Send>;

/// Counts who came and who went since the roster in the given Parquet file.
pub type CompareRosters = Box<dyn FnOnce(File) -> Result<RosterChanges, PartError> + Send>;

/// What an encoder says of the file that it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedPart {
    /// Rows written, a CSV's header not among them.
    pub rows: u64,
    /// Cells that the formula guard changed.
    pub guarded_cells: u64,
}

/// How two rosters differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterChanges {
    /// Guests only in the new one.
    pub added: u64,
    /// Guests only in the old one.
    pub removed: u64,
}

/// One file of a publication.
pub struct Part {
    /// What it holds.
    pub dataset: Dataset,
    /// How it is written.
    pub format: Format,
    /// Writes it.
    pub encode: Encode,
}

impl fmt::Debug for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Part({}.{})", self.dataset.name(), self.format.name())
    }
}

/// A confirmed roster, ready to be published.
pub struct Publication {
    /// What exports it.
    pub program: Program,
    /// Where it came from.
    pub source: Source,
    /// The state of the period when the first page was asked.
    pub period_state: PeriodState,
    /// The digest of its rows.
    pub content_sha256: ContentDigest,
    /// What of it is published.
    pub roster: RosterRecord,
    /// How CSV is written; none if no part is CSV.
    pub csv: Option<CsvRecord>,
    /// The numbers.
    pub counts: Counts,
    /// The walk; the publisher fills in `guarded_cells`.
    pub walk: Walk,
    /// Now.
    pub checked_at: DateTime<Utc>,
    /// Whether the user allowed this task to shrink.
    pub allow_shrink: bool,
    /// The files: both datasets (rosters only if the mode has them) in every format wanted.
    pub parts: Vec<Part>,
    /// Compares with the roster published before, where there is one of the same mode and key.
    pub compare: Option<CompareRosters>,
}

impl Publication {
    /// Leaves only what says how many guests there are.
    pub(super) fn withhold_rosters(&mut self) {
        self.parts.retain(|part| part.dataset != Dataset::GuestRoster);
        self.compare = None;
    }
}
