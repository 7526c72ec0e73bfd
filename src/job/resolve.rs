//! What a job means: flags over file over defaults, every value checked.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::definition::{JobDefinition, OnMismatch, ResumeDefinition, Span, StorageClass};
use super::shard::{Shard, ShardDefinition, ShardError};
use super::sources::{JobSource, NetworkScope, Networks, output_profile, scope, sources};
use crate::checkpoint::{LONGEST_MAX_AGE, StateLocation};
use crate::dataset::Format;
use crate::dataset::csv::CsvOptions;
use crate::evidence::Strategy;
use crate::guest::NetworkId;
use crate::period::{DEFAULT_SETTLE_DAYS, PeriodError, PeriodSelector, SelectedPeriod};
use crate::publish::{RosterKind, ShrinkLimit};
use crate::roster::{PseudonymKey, PseudonymKeyError, RosterMode};
use crate::storage::object::ConditionalPuts;
use crate::task::TaskKey;
use crate::wickr::{ExternalIdError, RoleArn};

/// How many tasks are worked on at once, at most.
const MAX_CONCURRENCY: usize = 256;
/// How many rows are read before they are written down: two minutes at ten full pages a second.
const DEFAULT_RESUME_ROWS: u32 = 131_072;

/// A job has to go somewhere.
const NO_OUTPUT: JobError =
    JobError::Missing { what: "the job names no output", setting: "--output DIR or output.url" };

/// The longest key file that is read, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 64 * 1024;

/// What the flags say; each stands before the job file.
#[derive(Clone, Debug, Default)]
pub struct JobOverrides {
    /// `--network`, each an id or `all`.
    pub networks: Vec<Networks>,
    /// `--period`.
    pub periods: Vec<PeriodSelector>,
    /// `--output`.
    pub output: Option<String>,
    /// `--roster-url`.
    pub roster_url: Option<String>,
    /// `--format`.
    pub formats: Vec<Format>,
    /// `--endpoint-url`.
    pub endpoint_url: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--role-arn`.
    pub role_arn: Option<RoleArn>,
    /// `--external-id`.
    pub external_id: Option<String>,
    /// `--state`.
    pub state: Option<String>,
    /// `--deadline`.
    pub deadline: Option<Span>,
    /// `--as-of`.
    pub as_of: Option<DateTime<Utc>>,
    /// `--max-requests-per-second`.
    pub max_requests_per_second: Option<f64>,
    /// `--concurrency`.
    pub concurrency: Option<usize>,
    /// `--fresh-for`.
    pub fresh_for: Option<Span>,
    /// `--lock-wait`.
    pub lock_wait: Option<Span>,
    /// `--allow-shrink`.
    pub allow_shrink: Vec<TaskKey>,
    /// `--accept-zero`.
    pub accept_zero: Vec<TaskKey>,
    /// `--shard`.
    pub shard: Option<ShardDefinition>,
    /// `--on-mismatch`.
    pub on_mismatch: Option<OnMismatch>,
}

/// What is kept of an interrupted walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeSettings {
    /// Where, if anywhere.
    pub state: Option<String>,
    /// How old it may be for a run to go on with it.
    pub max_age: TimeDelta,
    /// How many rows are read before they are written down.
    pub rows: u32,
}

/// A job, checked and complete.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the guests come from, at least one.
    pub sources: Vec<JobSource>,
    /// Which of the networks that there are these sources have.
    pub scope: NetworkScope,
    /// Which periods, earliest first, each once.
    pub periods: Vec<SelectedPeriod>,
    /// How many days a period settles after its end.
    pub settle_days: u32,
    /// The day that selectors are resolved on, and that a simulator pretends, where it is not today.
    pub as_of: Option<DateTime<Utc>>,
    /// The instant that the selectors were resolved at.
    pub decided_at: DateTime<Utc>,
    /// How long the run may take.
    pub deadline: Duration,
    /// How recently checked a task is left alone; zero leaves none alone.
    pub fresh_for: TimeDelta,
    /// How long a lock is waited for.
    pub lock_wait: Duration,
    /// How long a run that was told to stop may still take.
    pub shutdown_grace: Duration,
    /// How many tasks of a source are worked on at once.
    pub concurrency: usize,
    /// The share of the networks that falls to this process.
    pub shard: Shard,
    /// The most requests a second of this process to a source: its share of what the job says.
    pub max_requests_per_second: f64,
    /// How long one attempt may take.
    pub request_timeout: Duration,
    /// How often a request may fail for other reasons than throttling.
    pub request_attempts: u32,
    /// How a list is walked.
    pub walk_strategy: Strategy,
    /// How many pairs of walks may differ.
    pub walk_attempts: u32,
    /// What is kept of an interrupted walk.
    pub resume: ResumeSettings,
    /// What a mismatch does to the exit code.
    pub on_mismatch: OnMismatch,
    /// How much a roster may lose.
    pub shrink: ShrinkLimit,
    /// Tasks that may lose more.
    pub allow_shrink: BTreeSet<TaskKey>,
    /// Tasks that may be empty.
    pub accept_zero: BTreeSet<TaskKey>,
    /// The folder or the store that is published to.
    pub output: String,
    /// Where its rosters are, if not there.
    pub roster_output: Option<String>,
    /// The profile that reaches buckets, where it is not the environment's.
    pub output_profile: Option<String>,
    /// The region of its bucket, where it is not the environment's.
    pub output_region: Option<String>,
    /// The KMS key that encrypts what is written to it.
    pub kms_key: Option<String>,
    /// The storage class of its revisions.
    pub storage_class: Option<StorageClass>,
    /// Whether a store that ignores conditional puts will do.
    pub conditional_puts: ConditionalPuts,
    /// The file formats, each once.
    pub formats: Vec<Format>,
    /// How much of a roster is published.
    pub roster: RosterMode,
    /// How CSV is written.
    pub csv: CsvOptions,
}

/// A setting outside the job that makes no sense (exit 2).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Why a job means nothing (exit 2).
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A setting that has no default.
    #[error("{what}; set {setting}")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Flag and key.
        setting: &'static str,
    },
    /// A text that says nothing.
    #[error("{0} is empty; write something, or remove it")]
    Empty(&'static str),
    /// A value outside its bounds.
    #[error("{setting} is {value}; it must be {bounds}")]
    OutOfBounds {
        /// Flag or key.
        setting: &'static str,
        /// What was written.
        value: String,
        /// What may be written.
        bounds: &'static str,
    },
    /// Periods that cannot be exported.
    #[error("periods")]
    Periods(#[from] PeriodError),
    /// `all` beside ids.
    #[error(
        "`all` and single networks exclude each other; give --network or source.networks one or the other"
    )]
    AllAndSome,
    /// A day that has not come.
    #[error(
        "--as-of {as_of} lies in the future; only data of the simulator can be exported as of a later day than \
         today"
    )]
    FutureAsOf {
        /// What was asked for.
        as_of: DateTime<Utc>,
    },
    /// A setting of one kind of source beside the other kind.
    #[error("{setting} has no meaning for a {kind} source; remove it or change source.kind")]
    WrongSource {
        /// Flag or key.
        setting: &'static str,
        /// The source's kind.
        kind: &'static str,
    },
    /// A setting of a role without the role.
    #[error("{0} belongs to a role; set --role-arn or source.role_arn, or remove it")]
    NoRole(&'static str),
    /// A text that is no external id.
    #[error("--external-id or source.external_id")]
    ExternalId(#[from] ExternalIdError),
    /// A flag that would make several sources the same.
    #[error("{flag} would make all sources of the job the same; set {instead}")]
    FlagOfOneSource {
        /// The flag.
        flag: &'static str,
        /// What to set in its place.
        instead: &'static str,
    },
    /// The simulator beside others.
    #[error(
        "source {0} is the simulator, which is the only source of its job: simulated numbers never stand beside real \
         ones; put it into a job of its own"
    )]
    SimulatorAmongSeveral(usize),
    /// One of several sources names no network.
    #[error("source {0} names no network; set its `networks` to \"all\" or to a list of ids")]
    SourceWithoutNetworks(usize),
    /// The same network in two sources.
    #[error(
        "network {network} is named by source {first} and by source {second}, and only one number of it can be \
         published; name it in one of them"
    )]
    NetworkOfTwo {
        /// The network.
        network: NetworkId,
        /// The first source that names it.
        first: usize,
        /// The second one.
        second: usize,
    },
    /// A network that no source names.
    #[error("--network {0} is named by no source of the job; add it to the `networks` of one")]
    NetworkOfNone(NetworkId),
    /// The program was built without the simulator.
    #[error(
        "source.kind is `simulator`, and this program was built without the simulator; build it with the default features"
    )]
    NoSimulator,
    /// There is no such share of the networks.
    #[error("--shard or shard")]
    Shard(#[from] ShardError),
    /// A roster mode and its key do not go together.
    #[error("output.roster: {0}")]
    PseudonymKey(String),
    /// The pseudonym key is too short.
    #[error("output.roster")]
    WeakKey(#[from] PseudonymKeyError),
}

impl Job {
    /// Says whether the embedded simulator answers.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.sources.iter().all(|source| source.service.is_simulated())
    }

    /// Returns the region that all sources name, if they name one and the same.
    #[must_use]
    pub fn common_region(&self) -> Option<&str> {
        let mut regions = self.sources.iter().map(|source| source.service.region());
        let first = regions.next()??;
        regions.all(|region| region == Some(first)).then_some(first)
    }

    /// Works out what a job means at an instant.
    ///
    /// `variable` reads the environment: the pseudonym key, which pod of an Indexed Job this is, and where the state
    /// folder is by default.
    ///
    /// # Errors
    /// [`JobError`], which names the setting and what to write there.
    pub fn resolve(
        overrides: JobOverrides,
        definition: JobDefinition,
        now: DateTime<Utc>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, JobError> {
        let is_simulated = definition.sources.are_simulated();
        let as_of = pretended_day(overrides.as_of.or(definition.as_of), now, is_simulated)?;
        let settle_days = within(
            definition.settle_days.unwrap_or(DEFAULT_SETTLE_DAYS),
            "settle_days",
            0..=60,
            "0 to 60 days",
        )?;
        let written = definition.periods.as_deref().unwrap_or_default();
        let selectors = if overrides.periods.is_empty() { written } else { &overrides.periods[..] };
        let periods = periods(selectors, as_of.unwrap_or(now), settle_days)?;
        let sources = sources(&overrides, &definition)?;
        let scope = scope(&overrides, &definition);
        let output = filled("--output or output.url", overrides.output.or(definition.output.url))?;
        let output = output.ok_or(NO_OUTPUT)?;
        let formats = formats(overrides.formats, definition.output.formats)?;
        let roster = roster_mode(
            definition.output.roster,
            definition.output.pseudonym_key_env,
            definition.output.pseudonym_key_file,
            &variable,
        )?;
        let resume = resume(overrides.state, definition.resume, &variable)?;
        let rosters = overrides.roster_url.or(definition.output.roster_url);
        let shard = overrides.shard.or(definition.shard);
        let shard = shard.map_or(Ok(Shard::WHOLE), |shard| shard.resolve(&variable))?;
        let places = [Some(output.as_str()), rosters.as_deref(), resume.state.as_deref()];
        let (written, flag) = (filled("output.profile", definition.output.profile)?, &overrides.profile);
        let output_profile = output_profile(written, flag.as_ref(), &definition.sources, places)?;
        let rate = overrides.max_requests_per_second.or(definition.max_requests_per_second).unwrap_or(10.0);
        let fresh_for = within(
            span(overrides.fresh_for.or(definition.fresh_for), Duration::ZERO),
            "fresh_for",
            Duration::ZERO..=Duration::from_hours(24 * 366),
            "0s to 366days",
        )?;
        Ok(Self {
            sources,
            scope,
            periods,
            settle_days,
            as_of,
            decided_at: as_of.unwrap_or(now),
            deadline: within(
                span(overrides.deadline.or(definition.deadline), Duration::from_mins(55)),
                "deadline",
                Duration::from_secs(1)..=Duration::from_hours(24 * 7),
                "1s to 7days",
            )?,
            fresh_for: TimeDelta::from_std(fresh_for).unwrap_or(TimeDelta::MAX),
            lock_wait: within(
                span(overrides.lock_wait.or(definition.lock_wait), Duration::from_mins(2)),
                "lock_wait",
                Duration::ZERO..=Duration::from_hours(24),
                "0s to 24h",
            )?,
            shutdown_grace: within(
                span(definition.shutdown_grace, Duration::from_secs(20)),
                "shutdown_grace",
                Duration::from_secs(1)..=Duration::from_mins(10),
                "1s to 10m",
            )?,
            concurrency: within(
                overrides.concurrency.or(definition.concurrency).unwrap_or(4),
                "concurrency",
                1..=MAX_CONCURRENCY,
                "1 to 256 tasks",
            )?,
            shard,
            max_requests_per_second: share_of_rate(rate, shard)?,
            request_timeout: within(
                span(definition.request.timeout, Duration::from_secs(30)),
                "request.timeout",
                Duration::from_millis(100)..=Duration::from_mins(10),
                "100ms to 10m",
            )?,
            request_attempts: within(
                definition.request.attempts.unwrap_or(8),
                "request.attempts",
                1..=100,
                "1 to 100",
            )?,
            resume,
            walk_strategy: definition.walk.strategy,
            walk_attempts: within(definition.walk.attempts.unwrap_or(3), "walk.attempts", 1..=10, "1 to 10")?,
            on_mismatch: overrides.on_mismatch.or(definition.on_mismatch).unwrap_or_default(),
            shrink: shrink_limit(definition.max_shrink, definition.max_shrink_rows)?,
            allow_shrink: overrides.allow_shrink.into_iter().chain(definition.allow_shrink).collect(),
            accept_zero: overrides.accept_zero.into_iter().chain(definition.accept_zero).collect(),
            roster_output: filled("--roster-url or output.roster_url", rosters)?,
            output_profile,
            output_region: filled("output.region", definition.output.region)?,
            kms_key: filled("output.kms_key", definition.output.kms_key)?,
            output,
            storage_class: definition.output.storage_class,
            conditional_puts: definition.output.conditional_puts,
            formats,
            roster,
            csv: CsvOptions { bom: definition.csv.bom, formula_guard: definition.csv.formula_guard },
        })
    }
}

fn shrink_limit(share: Option<f64>, guests: Option<u64>) -> Result<ShrinkLimit, JobError> {
    Ok(ShrinkLimit {
        share: within(share.unwrap_or(0.10), "max_shrink", 0.0..=1.0, "a share from 0 to 1")?,
        guests: guests.unwrap_or(10),
    })
}

fn resume(
    flag: Option<String>,
    written: ResumeDefinition,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<ResumeSettings, JobError> {
    let max_age = within(
        span(written.max_age, Duration::from_hours(6)),
        "resume.max_age",
        Duration::ZERO..=LONGEST_MAX_AGE.to_std().expect("a span that is not negative"),
        "0s to 7days",
    )?;
    let suggested = || StateLocation::default_folder(variable);
    Ok(ResumeSettings {
        state: filled("--state or resume.state", flag.or(written.state))?.or_else(suggested),
        max_age: TimeDelta::from_std(max_age).expect("a week is in range"),
        rows: within(
            written.rows.unwrap_or(DEFAULT_RESUME_ROWS),
            "resume.rows",
            100..=1_000_000,
            "100 to 1000000 rows",
        )?,
    })
}

/// Divides the rate among the processes that do the job together.
fn share_of_rate(rate: f64, shard: Shard) -> Result<f64, JobError> {
    const BOUNDS: std::ops::RangeInclusive<f64> = 0.01..=10_000.0;
    let rate = within(rate, "max_requests_per_second", BOUNDS, "0.01 to 10000 requests")?;
    let own = rate / f64::from(shard.count());
    within(own, "max_requests_per_second, divided by the number of shards,", BOUNDS, "0.01 or more")
}

fn span(written: Option<Span>, default: Duration) -> Duration {
    written.map_or(default, |span| span.0)
}

/// Refuses a text that is written and says nothing.
pub(super) fn filled(setting: &'static str, text: Option<String>) -> Result<Option<String>, JobError> {
    if text.as_deref() == Some("") { Err(JobError::Empty(setting)) } else { Ok(text) }
}

fn within<T: PartialOrd + std::fmt::Debug>(
    value: T,
    setting: &'static str,
    range: std::ops::RangeInclusive<T>,
    bounds: &'static str,
) -> Result<T, JobError> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(JobError::OutOfBounds { setting, value: format!("{value:?}"), bounds })
    }
}

/// Checks the day to pretend: bounded, and for real data not yet to come.
fn pretended_day(
    as_of: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    is_simulated: bool,
) -> Result<Option<DateTime<Utc>>, JobError> {
    let Some(as_of) = as_of else { return Ok(None) };
    within(as_of.year(), "as_of", 2001..=9990, "an instant in the years 2001 to 9990")?;
    if as_of > now && !is_simulated {
        return Err(JobError::FutureAsOf { as_of });
    }
    Ok(Some(as_of))
}

fn formats(flags: Vec<Format>, written: Option<Vec<Format>>) -> Result<Vec<Format>, JobError> {
    let mut formats = if flags.is_empty() { written.unwrap_or_else(|| Format::ALL.to_vec()) } else { flags };
    formats.sort_unstable();
    formats.dedup();
    if formats.is_empty() {
        return Err(JobError::Missing {
            what: "the job names no format",
            setting: "--format parquet,csv or output.formats",
        });
    }
    Ok(formats)
}

/// Lists the periods of all selectors once each; one that is wanted anyway is not conditional.
fn periods(
    selectors: &[PeriodSelector],
    now: DateTime<Utc>,
    settle_days: u32,
) -> Result<Vec<SelectedPeriod>, JobError> {
    if selectors.is_empty() {
        return Err(JobError::Missing {
            what: "the job names no billing period",
            setting: "--period SELECTOR or periods",
        });
    }
    let mut selected = Vec::new();
    for selector in selectors {
        selected.extend(selector.select(now, settle_days)?);
    }
    // Sorted by period with the unconditional one first, which is the one that is kept.
    selected.sort_unstable();
    selected.dedup_by_key(|selected| selected.period);
    Ok(selected)
}

fn roster_mode(
    kind: RosterKind,
    key_env: Option<String>,
    key_file: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<RosterMode, JobError> {
    let unwanted = key_env.is_some() || key_file.is_some();
    match kind {
        RosterKind::Full | RosterKind::None if unwanted => Err(JobError::PseudonymKey(
            "a pseudonym key is given, but only `pseudonymous` uses one; remove the key or change the mode"
                .to_owned(),
        )),
        RosterKind::Full => Ok(RosterMode::Full),
        RosterKind::None => Ok(RosterMode::CountsOnly),
        RosterKind::Pseudonymous => {
            let bytes = match (key_env, key_file) {
                (Some(name), None) => variable(&name).map(String::into_bytes).ok_or_else(|| {
                    JobError::PseudonymKey(format!(
                        "the environment variable {name} is not set; put the key there"
                    ))
                })?,
                (None, Some(path)) => read_key(&path).map_err(|error| {
                    JobError::PseudonymKey(format!("the key file {} cannot be read: {error}", path.display()))
                })?,
                (None, None) | (Some(_), Some(_)) => {
                    return Err(JobError::PseudonymKey(
                        "`pseudonymous` needs a key; set either output.pseudonym_key_file or \
                         output.pseudonym_key_env"
                            .to_owned(),
                    ));
                }
            };
            Ok(RosterMode::Pseudonymous(PseudonymKey::new(bytes.trim_ascii_end())?))
        }
    }
}

/// Reads a key file, no longer than any key: the path may be that of something without end.
fn read_key(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_KEY_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(io::Error::other("it is longer than the 64 KiB that a key may have"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
