//! What a line says of the invoice, and what that ends with.

use std::fmt;

use serde::Serialize;

use crate::exit::ExitStatus;

/// What a line says of the invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The invoice has the guests that are published.
    Match,
    /// It is no further off than it may be.
    WithinTolerance,
    /// The period is not closed: nothing is wrong yet.
    NotClosed,
    /// It is further off.
    Mismatch,
    /// It is no further off than it may be, and yet a network is not published whose guests it should have.
    Incomplete,
    /// Guests are published, and the invoice has no such line.
    NotInvoiced,
    /// The invoice has a line, and nothing is published.
    NotPublished,
    /// The invoice has a line of a month that has not begun.
    NotBegun,
    /// Neither has anything, of a period that is asked for or between two that have.
    Gap,
    /// The period is closed, and its number was read before it was.
    #[serde(rename = "stale")]
    NotFinal,
    /// A manifest of it is not to be believed.
    #[serde(rename = "damaged")]
    Unbelievable,
}

impl Verdict {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 11] = [
        Self::Match,
        Self::WithinTolerance,
        Self::NotClosed,
        Self::Mismatch,
        Self::Incomplete,
        Self::NotInvoiced,
        Self::NotPublished,
        Self::NotBegun,
        Self::Gap,
        Self::NotFinal,
        Self::Unbelievable,
    ];

    /// Returns the words used in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::WithinTolerance => "within tolerance",
            Self::NotClosed => "not closed",
            Self::Mismatch => "MISMATCH",
            Self::Incomplete => "INCOMPLETE",
            Self::NotInvoiced => "NOT INVOICED",
            Self::NotPublished => "NOT PUBLISHED",
            Self::NotBegun => "NOT BEGUN",
            Self::Gap => "GAP",
            Self::NotFinal => "STALE",
            Self::Unbelievable => "DAMAGED",
        }
    }

    /// Returns what a comparison that has such a line ends with.
    #[must_use]
    pub const fn exit(self) -> ExitStatus {
        match self {
            Self::Match | Self::WithinTolerance | Self::NotClosed => ExitStatus::Success,
            Self::Mismatch
            | Self::Incomplete
            | Self::NotInvoiced
            | Self::NotPublished
            | Self::NotBegun
            | Self::Gap
            | Self::NotFinal => ExitStatus::Refused,
            Self::Unbelievable => ExitStatus::Untrusted,
        }
    }

    /// Says whether such a line has a difference that stays, so that it is in the total. A side that has nothing counts
    /// as none; a number that is not final, or not to be believed, says nothing of what is charged wrongly.
    pub(super) const fn counts(self) -> bool {
        match self {
            Self::Match
            | Self::WithinTolerance
            | Self::Mismatch
            | Self::Incomplete
            | Self::NotInvoiced
            | Self::NotPublished
            | Self::NotBegun => true,
            Self::NotClosed | Self::Gap | Self::NotFinal | Self::Unbelievable => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
