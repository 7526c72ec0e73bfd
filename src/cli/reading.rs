//! The commands that read what is published: `verify`, `status`, `diff` and `report`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;

use super::{LogArguments, ServiceArguments, SummaryFormat, parse_instant, parse_networks};
use crate::dataset::Format;
use crate::guest::NetworkId;
use crate::job::{Networks, Span};
use crate::period::{DEFAULT_SETTLE_DAYS, PeriodSelector};
use crate::reconcile::quantity::Tolerance;
use crate::turnover::Edition;

/// The arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The folder or the prefix of a store that was published to.
    #[arg(value_name = "OUTPUT")]
    pub output: String,

    /// Where its rosters are, if the job has `output.roster_url`.
    #[arg(long, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_ROSTER_URL")]
    pub roster_url: Option<String>,

    /// Only this network. May be repeated.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub network: Vec<NetworkId>,

    /// Only these billing periods: a month, a range or a selector. May be repeated.
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    pub period: Vec<PeriodSelector>,

    /// How many days a period settles after its end: decides what `closed:N` and `missing:N` select.
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_SETTLE_DAYS)]
    pub settle_days: u32,

    /// How what was found is printed on stdout.
    #[arg(long, default_value = "text", env = "WICKR_GUEST_EXPORT_SUMMARY")]
    pub summary: SummaryFormat,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// The arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
It ends with 3 if a number of a closed month is missing, stale (from before the month had closed),
or a mismatch (AWS's own count is another), and with 65 if a manifest is damaged or nothing is
published. A network is missing that was published for months before and after, or for the latest
published month before, or that is known and published for no month since.

Which networks are known: --networks names them; --networks all asks AWS for those of the account,
as region, profile and role say; --job takes those that the job exports, asked for as its sources
say.

Examples:
  wickr-guest-export status ./billing
  wickr-guest-export status ./billing --networks all --period closed:3
  wickr-guest-export status s3://bucket/wickr --job jobs/daily.toml --mark-closed")]
pub struct StatusArguments {
    /// The folder or the prefix of a store that was published to.
    #[arg(value_name = "OUTPUT")]
    pub output: String,

    /// The networks that should be there: eight digits each, or `all` of the account. May be repeated.
    /// [default: those of the job, or those that were published before]
    #[arg(long, value_name = "ID|all", value_delimiter = ',', value_parser = parse_networks)]
    pub networks: Vec<Networks>,

    /// The job that publishes there: its networks, its `settle_days`, and how it reaches a bucket.
    #[arg(long, value_name = "JOB.toml", env = "WICKR_GUEST_EXPORT_JOB")]
    pub job: Option<PathBuf>,

    /// Do not miss this network after the last month that was published of it: it is no more. Without effect
    /// it says so. May be repeated.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub gone: Vec<NetworkId>,

    /// Only these billing periods: a month, a range or a selector. May be repeated. [default: from the
    /// first that is published to the latest closed one, and what is published since]
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    pub period: Vec<PeriodSelector>,

    /// How many days a period settles after its end. [default: those of the job, or 3]
    #[arg(long, value_name = "DAYS")]
    pub settle_days: Option<u32>,

    /// Write `_CLOSED.json` for every closed month that has none and lacks nothing, as a run does that exports
    /// all networks: for shards, and for months of the past. All networks that are known have to be published
    /// for the month, and those that were published for the month before.
    #[arg(long)]
    pub mark_closed: bool,

    /// Tell it as of this instant, of an output of the simulator. [default: that of the job, or now]
    #[arg(long, value_name = "RFC3339", value_parser = parse_instant)]
    pub as_of: Option<DateTime<Utc>>,

    /// Which service is asked, and as whom.
    #[command(flatten)]
    pub service: ServiceArguments,

    /// How the status is printed on stdout.
    #[arg(long, default_value = "text", env = "WICKR_GUEST_EXPORT_SUMMARY")]
    pub summary: SummaryFormat,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// The arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
A period is compared as it is published: 2026-10. A revision of it, which belongs to one network, is
2026-10@1. A guest is the same guest if its hash is. Where a roster was purged, or never published,
only counts are compared, and a network that is published on one side only is not compared at all:
both is said. Lists hold guests, so they are readable by their owner only.

Examples:
  wickr-guest-export diff ./billing --from 2026-09 --to 2026-10 --lists ./october
  wickr-guest-export diff ./billing --from 2026-10@1 --to 2026-10@2 --network 12345678")]
pub struct DiffArguments {
    /// The folder or the prefix of a store that was published to.
    #[arg(value_name = "OUTPUT")]
    pub output: String,

    /// The earlier billing period, or a revision of it.
    #[arg(long, value_name = "PERIOD[@N]")]
    pub from: Edition,

    /// The later one.
    #[arg(long, value_name = "PERIOD[@N]")]
    pub to: Edition,

    /// Only this network. May be repeated.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub network: Vec<NetworkId>,

    /// Where its rosters are, if the job has `output.roster_url`.
    #[arg(long, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_ROSTER_URL")]
    pub roster_url: Option<String>,

    /// Write lists of the guests who came and went to this folder or store, named for what is compared.
    #[arg(long, value_name = "DIR|URL")]
    pub lists: Option<String>,

    /// List those who stayed, too.
    #[arg(long, requires = "lists")]
    pub kept: bool,

    /// The formats of lists. [default: parquet,csv]
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', requires = "lists")]
    pub format: Vec<Format>,

    /// How the result is printed on stdout.
    #[arg(long, default_value = "text", env = "WICKR_GUEST_EXPORT_SUMMARY")]
    pub summary: SummaryFormat,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// The arguments of `report`.
#[derive(Debug, Args)]
#[command(after_help = "\
The page is one file that needs no network and no script. It says first what needs attention:
numbers that AWS contradicts, months and networks that are missing, months that were not exported
since they closed. It names no guest. What it finds does not change the exit code; 65 means that
nothing could be believed.

Examples:
  wickr-guest-export report ./billing --html guests.html
  wickr-guest-export report ./billing --html guests.html --invoice october.csv
  wickr-guest-export report s3://bucket/prefix --rebuild-summary")]
pub struct ReportArguments {
    /// The folder or the prefix of a store that was published to.
    #[arg(value_name = "OUTPUT")]
    pub output: String,

    /// Where its rosters are, if the job has `output.roster_url`.
    #[arg(long, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_ROSTER_URL")]
    pub roster_url: Option<String>,

    /// Write the page to this file, replacing it as a whole.
    #[arg(long, value_name = "FILE", required_unless_present = "rebuild_summary", value_parser = parse_page)]
    pub html: Option<PathBuf>,

    /// Do not miss this network after the last month that was published of it: it is no more. Without effect
    /// it says so. May be repeated.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub gone: Vec<NetworkId>,

    /// Make the summary of the output anew from its manifests.
    #[arg(long)]
    pub rebuild_summary: bool,

    /// Read the rosters of this many of the latest months, to tell new guests from returning ones; 0 reads none.
    #[arg(long, value_name = "MONTHS", default_value_t = 12, requires = "html")]
    pub compare_rosters: usize,

    /// Hold this invoice against the output, as `reconcile` does, and say on the page where it does not agree.
    #[arg(long, value_name = "FILE|DIR", requires = "html")]
    pub invoice: Option<PathBuf>,

    /// Which columns of the invoice mean what, as for `reconcile`.
    #[arg(long, value_name = "MAPPING.toml", requires = "invoice")]
    pub mapping: Option<PathBuf>,

    /// How far a line of the invoice may be off: guests, or a share of the roster.
    #[arg(long, value_name = "N|N%", default_value = "0", allow_hyphen_values = true, requires = "invoice")]
    pub tolerance: Tolerance,

    /// Say what is missing as of this instant. [default: now]
    #[arg(long, value_name = "RFC3339", value_parser = parse_instant)]
    pub as_of: Option<DateTime<Utc>>,

    /// How many days a period settles after its end.
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_SETTLE_DAYS)]
    pub settle_days: u32,

    /// How long to wait for a run that writes the summary.
    #[arg(long, value_name = "SPAN", default_value = "2m", requires = "rebuild_summary")]
    pub lock_wait: Span,

    /// How what was made is told on stdout.
    #[arg(long, default_value = "text", env = "WICKR_GUEST_EXPORT_SUMMARY")]
    pub summary: SummaryFormat,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// Takes the file of a page. Stdout says what was made, so that it is no place for the page.
fn parse_page(text: &str) -> Result<PathBuf, String> {
    if text == "-" {
        return Err("the page is a file; name one, such as guests.html".to_owned());
    }
    Ok(PathBuf::from(text))
}
