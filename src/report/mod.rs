//! What a run tells whoever started it: one summary, printed as a table or as JSON, and told in metrics.
//!
//! The summary is plain data made from what happened; all forms of it show the same facts.

pub mod closing;
pub mod metrics;
mod table;
mod turnover;

pub use table::{Alignment, kept_walks, laid_out, laid_out_as, purged, table};
pub use turnover::turnover;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::error_chain::error_chain;
use crate::evidence::{ConfirmedBy, Reconciliation};
use crate::exit::ExitStatus;
use crate::export::{Exported, FailedSource, Task, TaskError};
use crate::guest::NetworkId;
use crate::job::Shard;
use crate::pacing::RequestCount;
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::{Manifest, PublicationStatus};
use crate::task::TaskKey;
use crate::telemetry::RunId;
use crate::wickr::RoleArn;

/// The version of the JSON form.
pub const SUMMARY_VERSION: u32 = 1;

/// A run, task by task.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Always [`SUMMARY_VERSION`].
    pub summary_version: u32,
    /// What the run is called, here and in the log.
    pub run_id: RunId,
    /// Where the files are.
    pub output: String,
    /// The instant that decided on the state of periods.
    pub as_of: DateTime<Utc>,
    /// When the run began.
    pub started_at: DateTime<Utc>,
    /// When its last task ended.
    pub finished_at: DateTime<Utc>,
    /// Which of the networks this process had to export, where others had the rest.
    pub shard: Option<ShardSummary>,
    /// The exit code.
    pub exit_code: u8,
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Requests answered with 429.
    pub throttled: u64,
    /// Requests that were repeated.
    pub retries: u64,
    /// `throttled` as a share of `requests`, 0 to 1.
    pub throttled_share: f64,
    /// The sources that nothing was exported from, because their networks could not be listed.
    pub failed_sources: Vec<FailedSourceSummary>,
    /// The tasks, latest period first, then by network.
    pub tasks: Vec<TaskSummary>,
}

/// The share of the networks that fell to a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ShardSummary {
    /// Which, of how many.
    #[serde(flatten)]
    pub shard: Shard,
    /// How many networks are in it.
    pub networks: usize,
    /// How many there are in all.
    pub of_networks: usize,
}

impl fmt::Display for ShardSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shard, networks, of_networks } = self;
        write!(formatter, "Shard {shard} has {networks} of the {of_networks} networks.")
    }
}

/// A source of several that was left out: there is no network to name.
#[derive(Clone, Debug, Serialize)]
pub struct FailedSourceSummary {
    /// Its place in the job file, counted from 1.
    pub source: usize,
    /// Its region.
    pub region: String,
    /// The profile that the job names for it.
    pub profile: Option<String>,
    /// The role that was to be assumed.
    pub role_arn: Option<RoleArn>,
    /// The exit code that it alone would have had.
    pub exit_code: u8,
    /// Why.
    pub message: String,
    /// All of it that tells it from others, for people.
    #[serde(skip)]
    pub name: String,
}

impl FailedSourceSummary {
    /// Sums up a source that failed.
    #[must_use]
    pub fn of(failed: &FailedSource) -> Self {
        let FailedSource { source, error } = failed;
        Self {
            source: source.number,
            region: source.endpoint.region.clone(),
            profile: source.profile.clone(),
            role_arn: source.role_arn.clone(),
            exit_code: ExitStatus::of_source(error).code(),
            message: error_chain(error),
            name: source.to_string(),
        }
    }
}

/// What an interrupted run has left of a task.
#[derive(Clone, Debug)]
pub struct KeptWalkSummary {
    /// The task.
    pub task: TaskKey,
    /// Its bytes in the state folder.
    pub bytes: u64,
    /// What its cursor says, if it is sound.
    pub known: Option<KnownWalk>,
}

/// What a sound cursor says.
#[derive(Clone, Debug)]
pub struct KnownWalk {
    /// When it was written.
    pub saved_at: DateTime<Utc>,
    /// Pages read, by all walks that are kept.
    pub pages: u64,
    /// Rows read.
    pub rows: u64,
    /// The output that they were read for.
    pub output: String,
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Published for the first time.
    Published,
    /// Published anew, because guests came or went.
    Restated,
    /// Walked, and found as it was published.
    Unchanged,
    /// Left alone: fresh enough, or closed already.
    Kept,
    /// Not exported.
    Failed,
}

impl TaskStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Published, Self::Restated, Self::Unchanged, Self::Kept, Self::Failed];

    /// Returns the word used in the table and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Restated => "restated",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

/// One network in one period. What is not known is null.
#[derive(Clone, Debug, Serialize)]
pub struct TaskSummary {
    /// The place of its source in the job file, counted from 1.
    pub source: usize,
    /// The network.
    pub network_id: NetworkId,
    /// Its name.
    pub network_name: Option<String>,
    /// The period.
    pub billing_period: BillingPeriod,
    /// Its state when it was walked, or now if it was not.
    pub period_state: PeriodState,
    /// What became of it.
    pub status: TaskStatus,
    /// Distinct guests, as published.
    pub guests: Option<u64>,
    /// The service's own count.
    pub api_guests: Option<u64>,
    /// How the two compare.
    pub reconciliation: Option<Reconciliation>,
    /// What confirmed the number.
    pub confirmed_by: Option<ConfirmedBy>,
    /// Whether the list stood still while it was read.
    pub stable: Option<bool>,
    /// Pages of the walk.
    pub pages: Option<u64>,
    /// Rows dropped as duplicates.
    pub duplicates: Option<u64>,
    /// Full walks made.
    pub walks: Option<u32>,
    /// The revision that is published.
    pub revision: Option<u32>,
    /// Guests who were not in the revision before.
    pub added: Option<u64>,
    /// Guests who were only in the revision before.
    pub removed: Option<u64>,
    /// Requests sent for this task.
    pub requests: u64,
    /// Requests answered with 429.
    pub throttled: u64,
    /// Requests repeated.
    pub retries: u64,
    /// The exit code that this task alone would have had.
    pub exit_code: u8,
    /// Why it failed, or what there is to say.
    pub message: Option<String>,
}

/// The facts of a run that its tasks do not have.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// What the run is called.
    pub run_id: RunId,
    /// Where the files are.
    pub output: String,
    /// The instant that decided on the state of periods.
    pub as_of: DateTime<Utc>,
    /// When the run began.
    pub started_at: DateTime<Utc>,
    /// When its last task ended.
    pub finished_at: DateTime<Utc>,
    /// Its share of the networks, where it was not to export all.
    pub shard: Option<ShardSummary>,
    /// What was asked outside of tasks.
    pub asked: RequestCount,
}

impl TaskSummary {
    /// Sums up a task that ended well; a mismatch that is to fail makes it exit 3.
    #[must_use]
    pub fn of(exported: &Exported, source: usize, count: RequestCount, fails_on_mismatch: bool) -> Self {
        let (manifest, status) = match exported {
            Exported::Kept(manifest) => (manifest, TaskStatus::Kept),
            Exported::Done { manifest, status } => (
                manifest,
                match status {
                    PublicationStatus::Published => TaskStatus::Published,
                    PublicationStatus::Restated => TaskStatus::Restated,
                    PublicationStatus::Unchanged => TaskStatus::Unchanged,
                },
            ),
        };
        let contradicted =
            manifest.counts.reconciliation == Reconciliation::Mismatch && manifest.period_state.has_ended();
        let exit = if contradicted && fails_on_mismatch { ExitStatus::Refused } else { ExitStatus::Success };
        let summary = Self::of_manifest(manifest, source, status, count, contradicted);
        Self { exit_code: exit.code(), ..summary }
    }

    fn of_manifest(
        manifest: &Manifest,
        source: usize,
        status: TaskStatus,
        count: RequestCount,
        contradicted: bool,
    ) -> Self {
        let contradiction = contradicted.then(|| {
            format!(
                "the service counts {}, and {} walks found {}",
                manifest.counts.api_guests.unwrap_or_default(),
                manifest.walk.walks,
                manifest.counts.guests
            )
        });
        let purge = manifest.rosters_purged_at.filter(|_| status != TaskStatus::Kept).map(|purged_at| {
            format!("the rosters were purged on {}, so only the count is published", purged_at.format("%F"))
        });
        let messages: Vec<String> = contradiction.into_iter().chain(purge).collect();
        let message = (!messages.is_empty()).then(|| messages.join("; "));
        let changes = manifest.changes.filter(|_| status == TaskStatus::Restated);
        Self {
            source,
            network_id: manifest.network_id,
            network_name: manifest.source.network_name.clone(),
            billing_period: manifest.billing_period,
            period_state: manifest.period_state,
            status,
            guests: Some(manifest.counts.guests),
            api_guests: manifest.counts.api_guests,
            reconciliation: Some(manifest.counts.reconciliation),
            confirmed_by: manifest.counts.confirmed_by,
            stable: Some(manifest.walk.stable),
            pages: Some(manifest.walk.pages),
            duplicates: Some(manifest.walk.duplicates),
            walks: Some(manifest.walk.walks),
            revision: Some(manifest.revision),
            added: changes.map(|changes| changes.added),
            removed: changes.map(|changes| changes.removed),
            requests: count.requests,
            throttled: count.throttled,
            retries: count.retries,
            exit_code: ExitStatus::Success.code(),
            message,
        }
    }

    /// Says whether the service's own count contradicts the number of a period that has ended.
    #[must_use]
    pub fn is_contradicted(&self) -> bool {
        self.reconciliation == Some(Reconciliation::Mismatch) && self.period_state.has_ended()
    }

    /// Sums up a task that failed.
    #[must_use]
    pub fn of_failure(
        task: Task,
        source: usize,
        state: PeriodState,
        name: Option<String>,
        count: RequestCount,
        error: &TaskError,
    ) -> Self {
        Self {
            source,
            network_id: task.key.network,
            network_name: name,
            billing_period: task.key.period,
            period_state: state,
            status: TaskStatus::Failed,
            guests: None,
            api_guests: None,
            reconciliation: None,
            confirmed_by: None,
            stable: None,
            pages: None,
            duplicates: None,
            walks: None,
            revision: None,
            added: None,
            removed: None,
            requests: count.requests,
            throttled: count.throttled,
            retries: count.retries,
            exit_code: ExitStatus::of_task(error).code(),
            message: Some(error_chain(error)),
        }
    }
}

impl RunSummary {
    /// Sums up a run.
    #[must_use]
    pub fn new(
        facts: RunFacts,
        mut tasks: Vec<TaskSummary>,
        failed_sources: Vec<FailedSourceSummary>,
        exit: ExitStatus,
    ) -> Self {
        tasks.sort_by(|one, other| {
            (other.billing_period, one.network_id).cmp(&(one.billing_period, other.network_id))
        });
        let total = |of: fn(&TaskSummary) -> u64| tasks.iter().map(of).sum::<u64>();
        let requests = facts.asked.requests + total(|task| task.requests);
        let throttled = facts.asked.throttled + total(|task| task.throttled);
        #[expect(clippy::cast_precision_loss, reason = "a share of requests needs no 53 bits")]
        let throttled_share = if requests == 0 { 0.0 } else { throttled as f64 / requests as f64 };
        Self {
            summary_version: SUMMARY_VERSION,
            run_id: facts.run_id,
            output: facts.output,
            as_of: facts.as_of,
            started_at: facts.started_at,
            finished_at: facts.finished_at,
            shard: facts.shard,
            exit_code: exit.code(),
            requests,
            throttled,
            retries: facts.asked.retries + total(|task| task.retries),
            throttled_share: (throttled_share * 10_000.0).round() / 10_000.0,
            failed_sources,
            tasks,
        }
    }

    /// Counts the tasks of which this became.
    #[must_use]
    pub fn tasks_of(&self, status: TaskStatus) -> usize {
        self.tasks.iter().filter(|task| task.status == status).count()
    }

    /// Counts the ended periods whose published number the service's own count contradicts.
    #[must_use]
    pub fn mismatches(&self) -> usize {
        self.tasks.iter().filter(|task| task.is_contradicted()).count()
    }
}

/// A result that could not be printed (exit 73). What was published is published all the same.
#[derive(Debug, thiserror::Error)]
#[error("the result could not be written to stdout; what was published stays")]
pub struct PrintError(#[source] pub std::io::Error);
