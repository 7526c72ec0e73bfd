//! The pipeline for one task: lock, walk until confirmed, publish.
//!
//! Everything that can fail fails here with its task known; the caller goes on with the other tasks.

mod networks;
mod source;

pub use networks::{
    DescribedSources, Description, FailedSource, KnownNetwork, KnownNetworks, NetworkOfTwoSources,
    NetworksError, SourceError, leaves_network_unnamed,
};
pub use source::Source;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{Checkpoint, Fingerprint, StateLocation};
use crate::clock::Clock;
use crate::dataset::{Dataset, Format, changes, csv, parquet};
use crate::error_chain::error_chain;
use crate::evidence::{ConfirmError, ConfirmSettings, ConfirmedRoster, Inquiry, Surroundings, confirm};
use crate::job::Job;
use crate::pacing::{Paced, RequestCount, RetryPolicy};
use crate::period::PeriodState;
use crate::publish::{
    self, Counts, CsvRecord, EncodedPart, Manifest, Outcome, Part, PartError, Program, Publication,
    PublicationStatus, PublishError, PublishedManifest, Publisher, RosterChanges, RosterKind, RosterRecord,
    TaskKey, Walk,
};
use crate::roster::{Roster, RosterMode, RunBound};
use crate::storage::DestinationError;
use crate::telemetry::{Progress, ProgressBars, Silent};
use crate::wickr::ApiError;

/// One network in one period, and on what condition it is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which.
    pub key: TaskKey,
    /// Set if it is left alone once the numbers of its closed state are published.
    pub only_if_missing: bool,
}

/// What a network is called and who owns it, where that may be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// Its name.
    pub name: Option<String>,
    /// The AWS account that owns it.
    pub aws_account_id: Option<String>,
}

/// What all tasks of a run share.
pub struct ExportContext {
    /// The job.
    pub job: Job,
    /// How requests are tried again.
    pub policy: RetryPolicy,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Where rosters go.
    pub publisher: Publisher,
    /// The networks of all tasks, and the source that each is asked of.
    pub networks: KnownNetworks,
    /// Where progress is drawn, if anywhere.
    pub bars: Option<ProgressBars>,
    /// Where interrupted walks are kept, if anywhere.
    pub state: Option<StateLocation>,
    /// How much of one walk is read before it is written down.
    pub bound: RunBound,
    /// Whose turn it is to encode a roster that does not fit into memory.
    pub encoding: Semaphore,
    /// Set when the program is told to stop.
    pub stop: CancellationToken,
}

/// What became of a task that did not fail.
#[derive(Clone, Debug)]
pub enum Exported {
    /// What was published before is left alone: it is fresh enough, or closed already.
    Kept(Box<Manifest>),
    /// Walked, confirmed and published.
    Done {
        /// What is published now.
        manifest: Box<Manifest>,
        /// Whether it is new.
        status: PublicationStatus,
    },
}

/// The account has no network to export (exit 78).
#[derive(Debug, thiserror::Error)]
#[error(
    "the account has no Wickr network in region {0}; check the region and the identity, or name networks with \
     --network"
)]
pub struct NoNetworks(pub String);

/// Why a task was not exported.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The network is not known to the service, or not to be asked about.
    #[error("asking for the network")]
    Network(#[source] ApiError),
    /// The number could not be confirmed.
    #[error(transparent)]
    Confirm(ConfirmError),
    /// The number could not be confirmed yet.
    #[error("not finished, the next run goes on from what was read so far")]
    Unfinished(#[source] ConfirmError),
    /// The roster could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The task's lock could not be had.
    #[error(transparent)]
    Lock(#[from] DestinationError),
    /// The program was told to stop.
    #[error("interrupted before anything was published; run again")]
    Interrupted,
    /// The program was told to stop, and what was under way did not end in the time that the job allows.
    #[error(
        "told to stop, what was under way did not end within {0:?} (shutdown_grace); what was published stands, what was \
         read since the last checkpoint is lost; run again"
    )]
    OutOfGrace(Duration),
    /// A bug.
    #[error("the task panicked; this is a bug, please report it")]
    Panicked,
}

impl ExportContext {
    /// Returns the network of a task, with its source.
    #[must_use]
    pub fn network_of(&self, task: TaskKey) -> &KnownNetwork {
        self.networks.get(&task.network).expect("tasks are made of the networks that are known")
    }

    /// Returns the source of a task.
    #[must_use]
    pub fn source_of(&self, task: TaskKey) -> &Source {
        &self.network_of(task).source
    }

    /// Returns the state that the period of a task has now, or on the day that a simulator pretends.
    #[must_use]
    pub fn state_of(&self, task: TaskKey) -> PeriodState {
        let pretended = self.pretended_now(task);
        task.period.state_at(pretended.unwrap_or_else(|| self.clock.now()), self.job.settle_days)
    }

    /// Returns the present instant, or the one that a simulator pretends.
    #[must_use]
    pub fn today(&self) -> DateTime<Utc> {
        let is_simulated = self.networks.values().any(|network| network.source.is_simulated());
        self.job.as_of.filter(|_| is_simulated).unwrap_or_else(|| self.clock.now())
    }

    fn pretended_now(&self, task: TaskKey) -> Option<DateTime<Utc>> {
        self.job.as_of.filter(|_| self.source_of(task).is_simulated())
    }

    /// Says whether what is published of a task makes exporting it needless.
    ///
    /// What was published while its month was in another state is not fresh, and neither is what a clock that
    /// was ahead has dated into the future.
    #[must_use]
    pub fn is_settled(&self, task: Task, published: &Manifest) -> bool {
        let closed_already = task.only_if_missing && published.period_state == PeriodState::Closed;
        let age = self.clock.now() - published.checked_at;
        let fresh = age >= TimeDelta::zero()
            && age < self.job.fresh_for
            && published.period_state == self.state_of(task.key);
        closed_already || fresh
    }

    /// Exports one task, and counts what was asked for it, whatever became of it.
    ///
    /// # Errors
    /// [`TaskError`] beside the count; what was published of the task before still is.
    pub async fn export(&self, task: Task) -> (Result<Exported, TaskError>, RequestCount) {
        let api = self.source_of(task.key).paced(self.policy, self.clock.clone());
        let result = self.export_through(&api, task).await;
        (result, api.count())
    }

    async fn export_through(&self, api: &Paced, task: Task) -> Result<Exported, TaskError> {
        let facts = self.network_of(task.key).facts.clone().map_err(TaskError::Network)?;
        let lock = self.publisher.lock(task.key).await?;
        let standing = self.publisher.recover(&lock).await?;
        let is_whole = standing.as_ref().is_some_and(|(_, is_whole)| *is_whole);
        let published = standing.as_ref().map(|(published, _)| published.manifest());
        let settings = self.confirm_settings(task.key);
        let mut checkpoint = self.checkpoint(task.key, &settings, &facts, published);
        // A manifest alone is no publication: files that are gone are published again, however fresh it is.
        if let Some(published) = published
            && is_whole
            && self.is_settled(task, published)
        {
            // What a run left that died after it had published is outdated by what it published.
            if let Err(error) = checkpoint.load::<Inquiry>().await {
                tracing::warn!(error = %error_chain(&error), "outdated state could not be removed");
            }
            return Ok(Exported::Kept(Box::new(published.clone())));
        }

        let progress = self.progress(task.key);
        let surroundings = Surroundings {
            api,
            asked: &|| api.count(),
            clock: &self.clock,
            stop: &self.stop,
            progress: progress.as_ref(),
        };
        let confirmed = confirm(&surroundings, &settings, &mut checkpoint).await.map_err(|error| {
            if checkpoint.can_be_resumed() { TaskError::Unfinished(error) } else { TaskError::Confirm(error) }
        })?;

        let publication = self.publication(task.key, &confirmed, facts);
        // One after the other: an encoder holds a group of rows, and many at once would hold many.
        let turn = if confirmed.roster().is_in_memory() {
            None
        } else {
            let turn = self.unless_stopped(self.encoding.acquire()).await?;
            Some(turn.expect("the semaphore is never closed"))
        };
        let outcome = self.publisher.publish(&lock, publication).await;
        drop(turn);
        if has_served(&outcome)
            && let Err(error) = checkpoint.clear().await
        {
            tracing::warn!(error = %error_chain(&error), "state of a finished walk could not be removed");
        }
        let outcome = outcome?;
        Ok(done(&outcome.manifest, outcome.status))
    }

    /// Counts the rows that an interrupted run has left of a task, whether or not they can be gone on from: that
    /// shows once the service answers. Nothing is touched.
    pub async fn kept_rows(&self, task: TaskKey) -> Option<u64> {
        let checkpoint = self.checkpoint(task, &self.confirm_settings(task), &NetworkFacts::default(), None);
        checkpoint.look::<Inquiry>().await.map(|inquiry| inquiry.kept_rows())
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, TaskError> {
        self.stop.run_until_cancelled(work).await.ok_or(TaskError::Interrupted)
    }

    fn progress(&self, task: TaskKey) -> Box<dyn Progress> {
        match &self.bars {
            Some(bars) => Box::new(bars.task(task.network, task.period)),
            None => Box::new(Silent),
        }
    }

    fn checkpoint(
        &self,
        task: TaskKey,
        settings: &ConfirmSettings,
        facts: &NetworkFacts,
        published: Option<&Manifest>,
    ) -> Checkpoint {
        let source = self.source_of(task);
        let fingerprint = Fingerprint {
            network: settings.network,
            billing_period: settings.period,
            spelling: settings.spelling,
            endpoint: source.endpoint_name().to_owned(),
            region: source.endpoint.region.clone(),
            source: source.kind().as_str().to_owned(),
            aws_account_id: facts.aws_account_id.clone(),
            as_of: settings.pretended_now,
            strategy: format!("{STRATEGY}, {}", settings.strategy.as_str()),
            page_size: settings.page_size,
            destination: self.publisher.destination().full_name(),
            roster: settings.mode.name().to_owned(),
            key_id: settings.mode.key_id(),
            published: published
                .map(|manifest| format!("revision {} of {}", manifest.revision, manifest.checked_at)),
        };
        let (max_age, clock) = (self.job.resume.max_age, self.clock.clone());
        Checkpoint::new(self.state.clone(), fingerprint, max_age, clock, self.stop.clone())
    }

    fn confirm_settings(&self, task: TaskKey) -> ConfirmSettings {
        ConfirmSettings {
            network: task.network,
            period: task.period,
            spelling: self.source_of(task).spelling,
            page_size: PAGE_SIZE,
            mode: self.job.roster.clone(),
            bound: self.bound,
            strategy: self.job.walk_strategy,
            settle_days: self.job.settle_days,
            pretended_now: self.pretended_now(task),
            attempts: self.job.walk_attempts,
            zero_accepted: self.job.accept_zero.contains(&task),
        }
    }

    fn publication(&self, task: TaskKey, confirmed: &ConfirmedRoster, facts: NetworkFacts) -> Publication {
        let roster = confirmed.roster();
        let confirmation = confirmed.confirmation();
        let walk = confirmed.walk();
        let source = self.source_of(task);
        Publication {
            program: Program::this(),
            source: publish::Source {
                kind: source.kind(),
                endpoint: source.endpoint_name().to_owned(),
                region: source.endpoint.region.clone(),
                aws_account_id: facts.aws_account_id,
                network_name: facts.name,
            },
            period_state: confirmed.state(),
            content_sha256: roster.content_sha256(),
            roster: RosterRecord { mode: roster_kind(&self.job.roster), key_id: self.job.roster.key_id() },
            csv: self
                .job
                .formats
                .contains(&Format::Csv)
                .then_some(CsvRecord { bom: self.job.csv.bom, formula_guard: self.job.csv.formula_guard }),
            counts: Counts {
                guests: roster.guests(),
                api_guests: confirmation.api_guests,
                reconciliation: confirmation.reconciliation,
                confirmed_by: confirmation.confirmed_by,
            },
            walk: Walk {
                strategy: walk.strategy.to_owned(),
                walks: walk.walks,
                pages: walk.pages,
                rows: walk.rows,
                duplicates: roster.duplicates(),
                edge_repeats: walk.edge_repeats,
                username_conflicts: roster.username_conflicts(),
                empty_usernames: roster.empty_usernames(),
                guarded_cells: 0,
                requests: walk.asked.requests,
                throttled: walk.asked.throttled,
                retries: walk.asked.retries,
                resumed: walk.resumed,
                stable: confirmation.stable,
                started_at: walk.times.started_at.trunc_subsecs(0),
                finished_at: walk.times.finished_at.trunc_subsecs(0),
            },
            checked_at: walk.times.finished_at.trunc_subsecs(0),
            allow_shrink: self.job.allow_shrink.contains(&task),
            parts: parts(&self.job, roster),
            compare: comparison(roster),
        }
    }
}

/// How a list is walked, for whoever compares two walks: its order, and the directions that take turns.
const STRATEGY: &str = "by username, forward and backward in turns";
/// How many guests a page is asked to hold: all that the service gives at once.
const PAGE_SIZE: u8 = 100;

/// Says whether what was walked is of no further use: it is published, or another walk has to answer for itself.
fn has_served(outcome: &Result<Outcome, PublishError>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) => match error {
            PublishError::Shrink(_)
            | PublishError::StateWentBack { .. }
            | PublishError::Encode { .. }
            | PublishError::Inconsistent { .. } => true,
            PublishError::Destination(_)
            | PublishError::ManifestDamaged { .. }
            | PublishError::ManifestLost { .. }
            | PublishError::MixedSources { .. }
            | PublishError::Rows { .. } => false,
        },
    }
}

fn done(published: &PublishedManifest, status: PublicationStatus) -> Exported {
    Exported::Done { manifest: Box::new(published.manifest().clone()), status }
}

fn roster_kind(mode: &RosterMode) -> RosterKind {
    match mode {
        RosterMode::Full => RosterKind::Full,
        RosterMode::Pseudonymous(_) => RosterKind::Pseudonymous,
        RosterMode::CountsOnly => RosterKind::None,
    }
}

/// The files of a publication: the counts, and the roster where there is one, in every format.
fn parts(job: &Job, roster: &Roster) -> Vec<Part> {
    let datasets = if roster.mode().disclosure().is_some() {
        vec![Dataset::GuestRoster, Dataset::GuestCounts]
    } else {
        vec![Dataset::GuestCounts]
    };
    let mut parts = Vec::new();
    for dataset in datasets {
        for format in &job.formats {
            parts.push(part(dataset, *format, roster.clone(), job.csv));
        }
    }
    parts
}

fn part(dataset: Dataset, format: Format, roster: Roster, options: csv::CsvOptions) -> Part {
    let encode = move |out: &mut (dyn std::io::Write + Send)| -> Result<EncodedPart, PartError> {
        let (schema, sorting) = (dataset.schema(), dataset.sorting_columns());
        let counts = || std::iter::once(Ok::<_, crate::roster::RosterError>(roster.counts()));
        let rows = || roster.stream().into_iter().flatten();
        let encoded = match (dataset, format) {
            (Dataset::GuestRoster, Format::Parquet) => parquet::write(&schema, rows(), sorting, out)?,
            (Dataset::GuestRoster, Format::Csv) => csv::write(&schema, rows(), options, out)?,
            (Dataset::GuestCounts, Format::Parquet) => parquet::write(&schema, counts(), sorting, out)?,
            (Dataset::GuestCounts, Format::Csv) => csv::write(&schema, counts(), options, out)?,
        };
        Ok(EncodedPart { rows: encoded.rows, guarded_cells: encoded.guarded_cells })
    };
    Part { dataset, format, encode: Box::new(encode) }
}

/// Compares with a roster published before, where this one has rows to compare.
fn comparison(roster: &Roster) -> Option<crate::publish::CompareRosters> {
    let new = roster.stream()?;
    Some(Box::new(move |file| {
        let old = parquet::read(file, &Dataset::GuestRoster.schema())?;
        let counted = changes::count(old, new)?;
        Ok(RosterChanges { added: counted.added, removed: counted.removed })
    }))
}
