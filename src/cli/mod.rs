//! The command line as clap types, and nothing else.
//!
//! Commands whose arguments are alike share a file; what several files need stands here.

mod job;
mod reading;
mod reconcile;
mod removing;
mod run;
#[cfg(feature = "simulator")]
mod simulate;

use chrono::{DateTime, Utc};
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::job::{JobArguments, MetricsArguments, ServiceArguments};
pub use self::reading::{DiffArguments, ReportArguments, StatusArguments, VerifyArguments};
pub use self::reconcile::{ComparisonFormat, ReconcileArguments};
pub use self::removing::{PurgeArguments, StateArguments, StateCommand};
pub use self::run::{DoctorArguments, RunArguments};
#[cfg(feature = "simulator")]
pub use self::simulate::SimulateArguments;
use crate::dataset::Format;
use crate::guest::NetworkIdError;
use crate::job::Networks;
use crate::telemetry::LogFormat;

/// Version and commit, as `--version` prints them.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("WICKR_GUEST_EXPORT_COMMIT"));

/// Exports the guests that AWS Wickr bills a network for, with the evidence that the list is complete.
#[derive(Debug, Parser)]
#[command(name = "wickr-guest-export", version = VERSION, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes:
   0  all published, unchanged, or nothing to do
   2  the command line or the job definition is wrong
   3  a mismatch with --on-mismatch fail, or a roster that shrank too much (the old one stays);
       reconcile: the invoice is wrong, or something is missing;
       status: a number of a closed month is missing, stale or a mismatch
  65  the answers broke the API's contract or could not be confirmed; verify: not whole;
       reconcile, status: a manifest is damaged; diff: a roster is; report: nothing to believe;
       all of these and purge: nothing is published there
  70  a bug
  73  the destination refuses or is full
  75  temporary: run again
  77  credentials or permissions
  78  no such network")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Export guest counts and rosters of networks and billing periods.
    Run(Box<RunArguments>),
    /// Read everything that is published: is it whole and unaltered?
    Verify(VerifyArguments),
    /// Hold an invoice against the guests that are published: is its number right?
    Reconcile(Box<ReconcileArguments>),
    /// Tell what is published, closed, missing or contradicted, by period and network.
    Status(Box<StatusArguments>),
    /// Make the page for people, or the summary anew, from what is published.
    Report(Box<ReportArguments>),
    /// Try everything that a run of a job needs: credentials, permissions, clock, places.
    Doctor(Box<DoctorArguments>),
    /// Compare two periods or revisions: which guests came, went and stayed?
    Diff(DiffArguments),
    /// Remove the rosters of old billing periods, and keep their counts and evidence.
    Purge(PurgeArguments),
    /// Show or remove what interrupted runs have read and keep to go on from.
    State(StateArguments),
    /// Serve a simulated Wickr Admin API on this machine, to try things out against.
    #[cfg(feature = "simulator")]
    Simulate(SimulateArguments),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How a summary is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SummaryFormat {
    /// A table for people.
    Text,
    /// One JSON object.
    Json,
}

/// How a command logs.
#[derive(Clone, Copy, Debug, Args)]
pub struct LogArguments {
    /// How log lines are written on stderr.
    #[arg(long, global = true, default_value = "text", env = "WICKR_GUEST_EXPORT_LOG_FORMAT")]
    pub log_format: LogFormat,

    /// Log warnings and errors only, and draw no progress.
    #[arg(long, global = true, env = "WICKR_GUEST_EXPORT_QUIET", value_parser = BoolishValueParser::new())]
    pub quiet: bool,
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &Format::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

fn parse_networks(text: &str) -> Result<Networks, NetworkIdError> {
    if text == "all" { Ok(Networks::All) } else { text.parse().map(|id| Networks::Listed(vec![id])) }
}

fn parse_instant(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| format!("`{text}` is not an instant such as 2026-11-02T09:00:00Z"))
}
