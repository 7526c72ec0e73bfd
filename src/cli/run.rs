//! The commands that take a whole job: `run`, and `doctor`, which tries what a run would need.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::{JobArguments, LogArguments, MetricsArguments, SummaryFormat};

/// The arguments of `run`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Billing periods:
  2026-10            one month              last:3     the last 3, the current one included
  2026-08..2026-10   a range, both ends     closed:2   the 2 latest closed ones
  current, previous  relative to today      missing:3  of the 3 latest closed ones, those that
                                                       were not published since they closed

A period is open until it ends (UTC), then settles for 3 days (settle_days), then is closed.

Examples:
  wickr-guest-export run jobs/demo.toml
  wickr-guest-export run --network 12345678 --period previous --output ./billing
  wickr-guest-export run jobs/daily.toml --network all --dry-run")]
pub struct RunArguments {
    /// The job.
    #[command(flatten)]
    pub job: JobArguments,

    /// How the summary is printed on stdout.
    #[arg(long, default_value = "text", env = "WICKR_GUEST_EXPORT_SUMMARY")]
    pub summary: SummaryFormat,

    /// Where its metrics go.
    #[command(flatten)]
    pub metrics: MetricsArguments,

    /// Say what would be done and where it would go, and do nothing.
    #[arg(long, env = "WICKR_GUEST_EXPORT_DRY_RUN", value_parser = BoolishValueParser::new())]
    pub dry_run: bool,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// The arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each check is a line: ok, WARNING or FAILED, what was looked at, and what was found with its remedy. It ends
with the code that a run would end with. It asks for one guest and shows none; in the output and the state
location it writes files of its own below .probe, and removes them.")]
pub struct DoctorArguments {
    /// The job.
    #[command(flatten)]
    pub job: JobArguments,

    /// How the checks are printed on stdout.
    #[arg(long, default_value = "text", env = "WICKR_GUEST_EXPORT_SUMMARY")]
    pub summary: SummaryFormat,

    /// Where its metrics go.
    #[command(flatten)]
    pub metrics: MetricsArguments,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}
