//! A job on the command line: what to export, which service is asked for it, where metrics go.
//!
//! Each of these has an environment variable, as what runs a job on a schedule mostly passes those.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;

use super::{parse_instant, parse_networks};
use crate::dataset::Format;
use crate::job::{JobOverrides, MetricsOverrides, Networks, OnMismatch, SecretUrl, ShardDefinition, Span};
use crate::period::PeriodSelector;
use crate::task::TaskKey;
use crate::wickr::RoleArn;

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
