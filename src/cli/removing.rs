//! The commands that remove things for good: `purge` and `state`.

use clap::{Args, Subcommand};

use super::{LogArguments, SummaryFormat};
use crate::guest::NetworkId;
use crate::job::Span;
use crate::period::{BillingPeriod, DEFAULT_SETTLE_DAYS};

/// The arguments of `purge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Rosters go in every format, of every revision, with their current copies. Counts, manifests and
the summary stay, and the manifest says when its rosters were purged. They stay away: a later run
of such a period publishes its count alone. To see the guests of one again, export it to another
output while the service still lists them.

What a bucket with versions keeps of removed files is removed by its own lifecycle rules. What
interrupted runs have left is removed by `state clear`, and goes by itself after 7 days.

Examples:
  wickr-guest-export purge ./billing --rosters-before 2025-11 --dry-run
  wickr-guest-export purge s3://b/counts --roster-url s3://b/rosters --rosters-before 2025-11")]
pub struct PurgeArguments {
    /// The folder or the prefix of a store that was published to.
    #[arg(value_name = "OUTPUT")]
    pub output: String,

    /// Purge the rosters of all billing periods before this one, which must be closed.
    #[arg(long, value_name = "PERIOD")]
    pub rosters_before: BillingPeriod,

    /// Where its rosters are, if the job has `output.roster_url`.
    #[arg(long, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_ROSTER_URL")]
    pub roster_url: Option<String>,

    /// Believe that rosters which a manifest names and which are not there were removed by somebody,
    /// and let the manifest say so.
    #[arg(long)]
    pub already_removed: bool,

    /// Purge also what was published last before its period was closed, whose number may not be the
    /// final one: for networks that no run can ask for any more.
    #[arg(long)]
    pub accept_not_final: bool,

    /// How many days a period settles after its end: decides which ones are closed.
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_SETTLE_DAYS)]
    pub settle_days: u32,

    /// How long to wait for a run that works on the same network and period.
    #[arg(long, value_name = "SPAN", default_value = "2m", env = "WICKR_GUEST_EXPORT_LOCK_WAIT")]
    pub lock_wait: Span,

    /// Say what would be removed, and touch nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// How the result is printed on stdout.
    #[arg(long, default_value = "text", env = "WICKR_GUEST_EXPORT_SUMMARY")]
    pub summary: SummaryFormat,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// The arguments of `state`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is kept goes away by itself once its roster is published, and is not used when it is older than
resume.max_age (6h). It holds guests' hashes and usernames, unless output.roster says otherwise.")]
pub struct StateArguments {
    /// What to do. [default: list]
    #[command(subcommand)]
    pub command: Option<StateCommand>,

    /// The state folder, or the URL of a prefix in S3.
    /// [default: $XDG_STATE_HOME/wickr-guest-export, or ~/.local/state/wickr-guest-export]
    #[arg(long, global = true, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_STATE")]
    pub state: Option<String>,

    /// Only of this network. May be repeated.
    #[arg(long, global = true, value_name = "ID", value_delimiter = ',')]
    pub network: Vec<NetworkId>,

    /// Only of this billing period. May be repeated.
    #[arg(long, global = true, value_name = "PERIOD", value_delimiter = ',')]
    pub period: Vec<BillingPeriod>,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// What to do with a state folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum StateCommand {
    /// List what interrupted runs have left.
    List,
    /// Remove it; the next run begins anew.
    Clear,
}
