//! The command line as clap types, and nothing else.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::dataset::Format;
use crate::guest::NetworkId;
use crate::job::{JobOverrides, MetricsOverrides, Networks, OnMismatch, SecretUrl, ShardDefinition, Span};
use crate::period::{BillingPeriod, DEFAULT_SETTLE_DAYS, PeriodSelector};
use crate::task::TaskKey;
use crate::telemetry::LogFormat;
use crate::wickr::RoleArn;

/// Version and commit, as `--version` prints them.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("WICKR_GUEST_EXPORT_COMMIT"));

/// Exports the guests that AWS Wickr bills a network for, with the evidence that the list is complete.
#[derive(Debug, Parser)]
#[command(name = "wickr-guest-export", version = VERSION, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes:
   0  all published, unchanged, or nothing to do
   2  the command line or the job definition is wrong
   3  a mismatch with --on-mismatch fail, or a roster that shrank too much (the old one stays)
  65  the answers broke the API's contract or could not be confirmed; verify: not whole;
      report: nothing to believe
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
    /// Make the page for people, or the summary anew, from what is published.
    Report(ReportArguments),
    /// Try everything that a run of a job needs: credentials, permissions, clock, places.
    Doctor(Box<DoctorArguments>),
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

/// A job: its file, and the flags that stand before what it says.
#[derive(Debug, Args)]
pub struct JobArguments {
    /// The job file. Flags stand before what it says; without one, flags say all.
    #[arg(value_name = "JOB.toml", env = "WICKR_GUEST_EXPORT_JOB")]
    pub job: Option<PathBuf>,

    /// A network to export: eight digits, or `all` of the account. May be repeated. Of a job with
    /// several sources it picks among their networks.
    #[arg(
        long,
        value_name = "ID|all",
        env = "WICKR_GUEST_EXPORT_NETWORK",
        value_delimiter = ',',
        value_parser = parse_networks
    )]
    pub network: Vec<Networks>,

    /// A billing period or a selector of several. May be repeated; --help lists the forms.
    #[arg(long, value_name = "SELECTOR", env = "WICKR_GUEST_EXPORT_PERIOD", value_delimiter = ',')]
    pub period: Vec<PeriodSelector>,

    /// The folder to publish to, or a prefix of a store: `s3://bucket/prefix`, `az://container/prefix`.
    #[arg(long, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_OUTPUT")]
    pub output: Option<String>,

    /// The file formats. [default: parquet,csv]
    #[arg(long, value_name = "FORMAT", env = "WICKR_GUEST_EXPORT_FORMAT", value_delimiter = ',')]
    pub format: Vec<Format>,

    /// Ask this endpoint instead of AWS's; https, or http to this machine.
    #[arg(long, value_name = "URL", env = "WICKR_GUEST_EXPORT_ENDPOINT_URL")]
    pub endpoint_url: Option<String>,

    /// The AWS region. [default: as `AWS_REGION` or the profile says]
    #[arg(long, env = "WICKR_GUEST_EXPORT_REGION")]
    pub region: Option<String>,

    /// The AWS profile. [default: as `AWS_PROFILE` says]
    #[arg(long, env = "WICKR_GUEST_EXPORT_PROFILE")]
    pub profile: Option<String>,

    /// A role to assume, with the credentials of the profile or the environment.
    #[arg(long, value_name = "ARN", env = "WICKR_GUEST_EXPORT_ROLE_ARN")]
    pub role_arn: Option<RoleArn>,

    /// The external id that the role's trust policy asks for.
    #[arg(long, value_name = "ID", env = "WICKR_GUEST_EXPORT_EXTERNAL_ID", hide_env_values = true)]
    pub external_id: Option<String>,

    /// The folder that keeps what an interrupted run has read, so that the next one goes on from there.
    /// [default: $XDG_STATE_HOME/wickr-guest-export, or ~/.local/state/wickr-guest-export]
    #[arg(long, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_STATE")]
    pub state: Option<String>,

    /// How long the run may take, throttling included. [default: 55m]
    #[arg(long, value_name = "SPAN", env = "WICKR_GUEST_EXPORT_DEADLINE")]
    pub deadline: Option<Span>,

    /// Resolve periods such as `current` as of this instant; real months still end with the real day.
    /// [default: now]
    #[arg(
        long,
        value_name = "RFC3339",
        env = "WICKR_GUEST_EXPORT_AS_OF",
        value_parser = parse_instant
    )]
    pub as_of: Option<DateTime<Utc>>,

    /// The most requests a second, over all networks of a source. [default: 10]
    #[arg(long, value_name = "N", env = "WICKR_GUEST_EXPORT_MAX_REQUESTS_PER_SECOND")]
    pub max_requests_per_second: Option<f64>,

    /// How many networks and periods of a source are walked at once. [default: 4]
    #[arg(long, value_name = "N", env = "WICKR_GUEST_EXPORT_CONCURRENCY")]
    pub concurrency: Option<usize>,

    /// Export this share of the networks only, of N that other processes export at the same time: a number
    /// from 0 and how many there are, such as 3/16, or index/16 for what `JOB_COMPLETION_INDEX` says in an
    /// Indexed Job of Kubernetes. Each process asks an N-th of --max-requests-per-second. [default: all]
    #[arg(long, value_name = "I/N", env = "WICKR_GUEST_EXPORT_SHARD")]
    pub shard: Option<ShardDefinition>,

    /// Leave alone what was checked within this time, so that a retried run does not walk it again.
    /// [default: 0s]
    #[arg(long, value_name = "SPAN", env = "WICKR_GUEST_EXPORT_FRESH_FOR")]
    pub fresh_for: Option<Span>,

    /// How long to wait for another run that works on the same network and period. [default: 2m]
    #[arg(long, value_name = "SPAN", env = "WICKR_GUEST_EXPORT_LOCK_WAIT")]
    pub lock_wait: Option<Span>,

    /// Let this roster lose more than a tenth of its guests. May be repeated.
    #[arg(
        long,
        value_name = "NETWORK/PERIOD",
        env = "WICKR_GUEST_EXPORT_ALLOW_SHRINK",
        value_delimiter = ','
    )]
    pub allow_shrink: Vec<TaskKey>,

    /// Believe that this ended period has no guests, where the count history does not say so.
    /// May be repeated.
    #[arg(
        long,
        value_name = "NETWORK/PERIOD",
        env = "WICKR_GUEST_EXPORT_ACCEPT_ZERO",
        value_delimiter = ','
    )]
    pub accept_zero: Vec<TaskKey>,

    /// What to do when the service's own count contradicts a confirmed roster: `warn` publishes and
    /// says so, `fail` publishes and exits 3. [default: warn]
    #[arg(long, env = "WICKR_GUEST_EXPORT_ON_MISMATCH")]
    pub on_mismatch: Option<OnMismatch>,
}

impl JobArguments {
    /// Returns what the flags say about the job.
    #[must_use]
    pub fn overrides(&self) -> JobOverrides {
        JobOverrides {
            networks: self.network.clone(),
            periods: self.period.clone(),
            output: self.output.clone(),
            formats: self.format.clone(),
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            profile: self.profile.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            state: self.state.clone(),
            deadline: self.deadline,
            as_of: self.as_of,
            max_requests_per_second: self.max_requests_per_second,
            concurrency: self.concurrency,
            fresh_for: self.fresh_for,
            lock_wait: self.lock_wait,
            allow_shrink: self.allow_shrink.clone(),
            accept_zero: self.accept_zero.clone(),
            shard: self.shard,
            on_mismatch: self.on_mismatch,
        }
    }
}

/// Where the metrics of a run go.
#[derive(Clone, Debug, Args)]
pub struct MetricsArguments {
    /// Write metrics to this file, which should end in .prom, for the textfile collector of
    /// Prometheus's node exporter.
    #[arg(long, value_name = "FILE", env = "WICKR_GUEST_EXPORT_METRICS_FILE")]
    pub metrics_file: Option<PathBuf>,

    /// Push metrics to this Prometheus Pushgateway; https or http, with user:password@ if need be.
    #[arg(long, value_name = "URL", env = "WICKR_GUEST_EXPORT_PUSHGATEWAY_URL", hide_env_values = true)]
    pub pushgateway_url: Option<SecretUrl>,
}

impl MetricsArguments {
    /// Returns what the flags say about metrics.
    #[must_use]
    pub fn overrides(&self) -> MetricsOverrides {
        MetricsOverrides { file: self.metrics_file.clone(), pushgateway: self.pushgateway_url.clone() }
    }
}

fn parse_networks(text: &str) -> Result<Networks, crate::guest::NetworkIdError> {
    if text == "all" { Ok(Networks::All) } else { text.parse().map(|id| Networks::Listed(vec![id])) }
}

fn parse_instant(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| format!("`{text}` is not an instant such as 2026-11-02T09:00:00Z"))
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        &Format::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
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
  wickr-guest-export report s3://bucket/prefix --rebuild-summary")]
pub struct ReportArguments {
    /// The folder or the prefix of a store that was published to.
    #[arg(value_name = "OUTPUT")]
    pub output: String,

    /// Where its rosters are, if the job has `output.roster_url`.
    #[arg(long, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_ROSTER_URL")]
    pub roster_url: Option<String>,

    /// Write the page to this file, replacing it as a whole.
    #[arg(long, value_name = "FILE", required_unless_present = "rebuild_summary")]
    pub html: Option<PathBuf>,

    /// Make the summary of the output anew from its manifests.
    #[arg(long)]
    pub rebuild_summary: bool,

    /// Read the rosters of this many of the latest months, to tell new guests from returning ones; 0 reads none.
    #[arg(long, value_name = "MONTHS", default_value_t = 12, requires = "html")]
    pub compare_rosters: usize,

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

/// The arguments of `simulate`.
#[cfg(feature = "simulator")]
#[derive(Debug, Args)]
#[command(after_help = "\
It prints what to export, then serves until it is stopped (Ctrl-C):
  wickr-guest-export simulate --port 4710 > simulator.env &
  source simulator.env
  aws wickr list-guest-users --network-id 12345678 --billing-period 2026-10
  wickr-guest-export run --network all --period previous --output ./out/simulated")]
pub struct SimulateArguments {
    /// A job file whose `[simulator]` table says what to simulate, faults included. Flags stand before it.
    #[arg(value_name = "JOB.toml")]
    pub job: Option<PathBuf>,

    /// The port on 127.0.0.1; 0 takes any free one. [default: 0]
    #[arg(long)]
    pub port: Option<u16>,

    /// Guests a network and period. [default: 3000]
    #[arg(long)]
    pub guests: Option<u64>,

    /// The networks. [default: 01234567,12345678,87654321]
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub networks: Vec<NetworkId>,

    /// The billing periods: months, ranges or selectors. [default: the last six months]
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    pub periods: Vec<PeriodSelector>,

    /// Decides everything that looks random. [default: 1]
    #[arg(long)]
    pub seed: Option<u64>,

    /// How long each answer takes, in milliseconds. [default: 0]
    #[arg(long, value_name = "MS")]
    pub latency: Option<u64>,

    /// Requests a second that are allowed. [default: all]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}
