//! What a verification found: each finding says where, what is wrong, and what to do.
//!
//! A finding is text for people and nothing else decides on it but whether there is one, and whether a file is missing.

use std::fmt;

use serde::Serialize;

use crate::dataset::Dataset;

/// The problem of a file that something names and that is not there.
pub(super) const MISSING: &str = "is missing";

/// One thing that is not as it was published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Where: a path below the output, or the output itself.
    pub path: String,
    /// What is wrong, to be read after the path.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}; {}", self.path, self.problem, self.remedy)
    }
}

/// How much was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Networks and periods whose manifest could be read.
    pub publications: u64,
    /// Revisions whose files were read, superseded ones included.
    pub revisions: u64,
    /// Files read, manifests and current copies included.
    pub files: u64,
    /// Bytes of data files read.
    pub bytes: u64,
    /// Guests of all publications.
    pub guests: u64,
    /// Publications whose rosters were purged: of them counts and evidence were verified.
    pub purged: u64,
    /// Publications that never had a roster: of them the same.
    pub without_rosters: u64,
}

/// What was verified and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerificationReport {
    /// What is wrong, by path.
    pub findings: Vec<Finding>,
    /// How much was verified.
    pub totals: Totals,
}

impl VerificationReport {
    /// Says whether everything that was looked at is whole and unaltered.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Says whether rosters are named that are not there.
    #[must_use]
    pub fn misses_rosters(&self) -> bool {
        let roster = Dataset::GuestRoster.name();
        let is_roster = |path: &str| path.rsplit('/').next().is_some_and(|name| name.starts_with(roster));
        self.findings.iter().any(|finding| finding.problem == MISSING && is_roster(&finding.path))
    }

    pub(super) fn find(
        &mut self,
        path: impl fmt::Display,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (problem, remedy) = (problem.into(), remedy.into());
        self.findings.push(Finding { path: path.to_string(), problem, remedy });
    }

    pub(super) fn append(&mut self, other: &mut Self) {
        self.findings.append(&mut other.findings);
        let (own, of) = (&mut self.totals, other.totals);
        own.publications += of.publications;
        own.revisions += of.revisions;
        own.files += of.files;
        own.bytes += of.bytes;
        own.purged += of.purged;
        own.without_rosters += of.without_rosters;
        // Damaged manifests may claim anything.
        own.guests = own.guests.saturating_add(of.guests);
    }
}
