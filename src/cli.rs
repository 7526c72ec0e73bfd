//! The command line as clap types, and nothing else.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::dataset::Format;
use crate::guest::NetworkId;
use crate::job::{JobOverrides, MetricsOverrides, Networks, OnMismatch, SecretUrl, ShardDefinition, Span};
use crate::period::{BillingPeriod, DEFAULT_SETTLE_DAYS, PeriodSelector};
use crate::reconcile::quantity::{Decimal, Tolerance};
use crate::task::TaskKey;
use crate::telemetry::LogFormat;
use crate::turnover::Edition;
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
   3  a mismatch with --on-mismatch fail, or a roster that shrank too much (the old one stays);
       reconcile: the invoice is wrong, or something is missing;
       status: a number of a closed month is missing, outdated or contradicted
  65  the answers broke the API's contract or could not be confirmed; verify: not whole;
       reconcile, status: a manifest is damaged; report: nothing to believe
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

    /// The folder to publish to, or a prefix of a store: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.
    #[arg(long, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_OUTPUT")]
    pub output: Option<String>,

    /// Another folder or store for the rosters, so that whoever reads counts reads no personal data.
    #[arg(long, value_name = "DIR|URL", env = "WICKR_GUEST_EXPORT_ROSTER_URL")]
    pub roster_url: Option<String>,

    /// The file formats. [default: parquet,csv]
    #[arg(long, value_name = "FORMAT", env = "WICKR_GUEST_EXPORT_FORMAT", value_delimiter = ',')]
    pub format: Vec<Format>,

    /// Which service is asked, and as whom.
    #[command(flatten)]
    pub service: ServiceArguments,

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
            roster_url: self.roster_url.clone(),
            formats: self.format.clone(),
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
            ..self.service.overrides()
        }
    }
}

/// Which service is asked, and as whom.
#[derive(Clone, Debug, Args)]
pub struct ServiceArguments {
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
}

impl ServiceArguments {
    /// Returns what the flags say about the service.
    #[must_use]
    pub fn overrides(&self) -> JobOverrides {
        JobOverrides {
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            profile: self.profile.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            ..JobOverrides::default()
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

/// The arguments of `reconcile`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The invoice is CSV or Parquet, plain or gzip, a file or a folder of files. Without --mapping its
columns are period, quantity and, as far as it has them, network, account and region. A mapping
names others:

  quantity = \"line_item_usage_amount\"      # 3000, 3000.0 or 3E3
  aggregate = \"sum\"                        # or \"max\": of several rows for the same
  account = \"line_item_usage_account_id\"   # also region, network; leave out what there is not
  delimiter = \",\"
  period = { column = \"bill_billing_period_start_date\" }
  filter = { line_item_product_code = \"…\", line_item_usage_type = [\"…\", \"…\"] }

Rows count that have one of the values of each column of the filter. A period is written in any
form that leaves no doubt (2026-10, 10/2026, 2026-10-01, 2026-10-01T00:00:00Z), or as
period.written says: \"MM/DD/YYYY\", \"DD/MM/YYYY\". period = { partition = \"BILLING_PERIOD\" }
takes it from the names of folders.

Lines are compared by network, else by account and region, else in total: the finest that all
rows of the invoice have. The guests of an account and region are the sum of its networks': a
guest of two networks counts twice. A difference is the invoice less the roster. A line is judged
once its period is closed. All months from the first to the last of the invoice are compared, or
those of --period; what either side has not, or neither has between two months, is a finding
whatever the tolerance.

Exit codes: 3 if a line is off by more than the tolerance, or missing; 65 if a manifest cannot be
believed; 2 if the invoice or the mapping cannot be used.

Examples:
  wickr-guest-export reconcile ./billing --invoice october.csv --tolerance 0.5%
  wickr-guest-export reconcile s3://bucket/billing --invoice ./cur --mapping cur2.toml
  wickr-guest-export reconcile ./billing --invoice ./cur --mapping cur2.toml \\
      --period previous --price-per-guest 5.00 --currency USD --free 100")]
pub struct ReconcileArguments {
    /// The folder or the prefix of a store that was published to.
    #[arg(value_name = "OUTPUT")]
    pub output: String,

    /// The invoice: CSV or Parquet, a file or a folder of files on this machine.
    #[arg(long, value_name = "FILE|DIR")]
    pub invoice: PathBuf,

    /// Which of its columns mean what. --help shows one. [default: period, quantity, network, account, region]
    #[arg(long, value_name = "MAPPING.toml")]
    pub mapping: Option<PathBuf>,

    /// Compare these billing periods only: a month, a range or a selector. May be repeated. [default: all
    /// months from the first to the last of the invoice]
    #[arg(long, value_name = "SELECTOR", value_delimiter = ',')]
    pub period: Vec<PeriodSelector>,

    /// How far a line may be off: guests, or a share of the roster.
    #[arg(long, value_name = "N|N%", default_value = "0")]
    pub tolerance: Tolerance,

    /// Show differences as money too: what one guest of one period costs, such as 5.00.
    #[arg(long, value_name = "AMOUNT", requires = "currency", value_parser = parse_price)]
    pub price_per_guest: Option<Decimal>,

    /// The currency of the price, three letters.
    #[arg(long, value_name = "CODE", requires = "price_per_guest", value_parser = parse_currency)]
    pub currency: Option<String>,

    /// Of each line, so many guests cost nothing. It changes money only, never a verdict. [default: 0]
    #[arg(long, value_name = "N", requires = "price_per_guest")]
    pub free: Option<u64>,

    /// How many days a period settles after its end: decides when one that nothing is published of is closed.
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_SETTLE_DAYS)]
    pub settle_days: u32,

    /// How the comparison is printed on stdout.
    #[arg(long, default_value = "text")]
    pub summary: ComparisonFormat,

    /// How it logs.
    #[command(flatten)]
    pub log: LogArguments,
}

/// How a comparison is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ComparisonFormat {
    /// A table for people.
    Text,
    /// One line for each compared line.
    Csv,
    /// One JSON object.
    Json,
}

fn parse_price(text: &str) -> Result<Decimal, String> {
    match text.parse::<Decimal>() {
        Ok(price) if price > Decimal::default() => Ok(price),
        Ok(_) => Err("a price is more than nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_currency(text: &str) -> Result<String, String> {
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_code {
        Ok(text.to_owned())
    } else {
        Err("a currency is three capital letters, such as USD".to_owned())
    }
}

/// The arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
It ends with 3 if a number of a closed month is missing, from before the month had closed, or
contradicted by AWS's own count, and with 65 if a manifest is damaged. A network is missed that was
published for months before and after, or for the latest published month before, or that is known
and published for no month since.

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

    /// Do not miss this network after the last month that was published of it: it is no more. May be
    /// repeated.
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
    #[arg(long, value_name = "FILE", required_unless_present = "rebuild_summary")]
    pub html: Option<PathBuf>,

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
    #[arg(long, value_name = "N|N%", default_value = "0", requires = "invoice")]
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
