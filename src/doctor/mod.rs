//! What a run will meet, found out before the first month's end: a check for each thing that it needs.
//!
//! Each check does the very thing that a run would do, by the same code, on files of its own: what a policy allows or a
//! store honours is tried, not read from anywhere. No check shows a guest, and none changes what is published.

mod disk;
mod place;
mod publications;
mod sources;

use std::fmt;

use serde::Serialize;

pub use self::disk::{free_space, replaceable};
pub use self::place::examine_place;
pub use self::publications::examine_publications;
pub use self::sources::{Asker, SourceExamination};
use crate::exit::ExitStatus;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// All is well.
    Passed,
    /// A run would go on, to somebody's disadvantage.
    Warning,
    /// A run would fail.
    Failed,
    /// It could not be tried, since an earlier one failed.
    NotTried,
}

impl CheckStatus {
    /// Returns the word that begins a line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Warning => "WARNING",
            Self::Failed => "FAILED",
            Self::NotTried => "-",
        }
    }
}

/// One thing that a run needs, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it ended.
    pub status: CheckStatus,
    /// What was found, and what to do about it if need be.
    pub message: String,
    /// What a run would end with for this reason; none unless the check failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
    /// Set if a run would end there, whatever else is the matter.
    #[serde(skip)]
    ends_run: bool,
}

impl Check {
    /// What was found is as it should be.
    #[must_use]
    pub fn passed(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(name.into(), CheckStatus::Passed, message.into(), None)
    }

    /// A run would go on.
    #[must_use]
    pub fn warning(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(name.into(), CheckStatus::Warning, message.into(), None)
    }

    /// Part of a run would fail.
    #[must_use]
    pub fn failed(name: impl Into<String>, exit: ExitStatus, message: impl Into<String>) -> Self {
        Self::of(name.into(), CheckStatus::Failed, message.into(), Some(exit))
    }

    /// It could not be tried.
    #[must_use]
    pub fn not_tried(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(name.into(), CheckStatus::NotTried, message.into(), None)
    }

    /// A run would not get past this.
    #[must_use]
    pub fn ending_the_run(self) -> Self {
        Self { ends_run: self.exit.is_some(), ..self }
    }

    fn of(name: String, status: CheckStatus, message: String, exit: Option<ExitStatus>) -> Self {
        Self { name, status, message, exit, ends_run: false }
    }
}

/// One line, in columns.
impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<7}  {:<31}  {}", self.status.word(), self.name, self.message)
    }
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The checks, in the order in which a run meets what they are about.
    pub checks: Vec<Check>,
    /// What a run would end with, as far as the checks tell.
    #[serde(rename = "exit_code")]
    pub exit: ExitStatus,
}

impl Diagnosis {
    /// Concludes from the checks, in the order in which a run meets what they are about.
    #[must_use]
    pub fn of(checks: Vec<Check>) -> Self {
        let end = checks.iter().find(|check| check.ends_run).and_then(|check| check.exit);
        let exit = end.unwrap_or_else(|| ExitStatus::of_all(checks.iter().filter_map(|check| check.exit)));
        Self { checks, exit }
    }
}

/// The verdict.
impl fmt::Display for Diagnosis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |status| self.checks.iter().filter(|check| check.status == status).count();
        let (failed, warnings) = (of(CheckStatus::Failed), of(CheckStatus::Warning));
        write!(formatter, "{} checks: {failed} failed, {warnings} warnings. ", self.checks.len())?;
        match self.exit {
            ExitStatus::Success => formatter.write_str("Nothing keeps a run from succeeding"),
            exit => write!(formatter, "A run would end with {}", exit.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_run_decides_before_what_costs_a_part_of_it() {
        let part = |exit| Check::failed("part", exit, "");
        let whole = |exit| part(exit).ending_the_run();
        let (temporary, destination) = (ExitStatus::Temporary, ExitStatus::Destination);
        for (checks, exit) in [
            (vec![], ExitStatus::Success),
            (vec![Check::passed("", ""), Check::warning("", "").ending_the_run()], ExitStatus::Success),
            (vec![part(destination), part(temporary)], temporary),
            (vec![part(temporary), whole(destination), whole(ExitStatus::Usage)], destination),
        ] {
            assert_eq!(Diagnosis::of(checks).exit, exit);
        }
    }
}
