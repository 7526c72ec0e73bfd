//! Runs a case for real and holds what comes of it against what was foretold.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use chrono::TimeDelta;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wickr_guest_export::checkpoint::{Checkpoint, Fingerprint, StateLocation};
use wickr_guest_export::clock::{Clock, SystemClock};
use wickr_guest_export::evidence::{
    self, ConfirmError, ConfirmSettings, ConfirmedBy, ConfirmedRoster, Surroundings, confirm,
};
use wickr_guest_export::exit::ExitStatus;
use wickr_guest_export::export::TaskError;
use wickr_guest_export::pacing::{Paced, Pacer, PacerSettings, RequestCount, RetryPolicy};
use wickr_guest_export::roster::RunBound;
use wickr_guest_export::simulator::{
    Change, FaultKind, PagingMode, Population, RunningSimulator, Simulator, SimulatorConfig,
};
use wickr_guest_export::storage::LockWait;
use wickr_guest_export::telemetry::Silent;
use wickr_guest_export::walk::{Direction, GuardError, Walk, WalkFailure, WalkPlan};
use wickr_guest_export::wickr::{
    ApiError, CachedCredentials, EndpointRequest, HttpSettings, HttpWickrAdmin, ShapeError, TransportFault,
    build_http_client,
};

use crate::datasets;
use crate::draw::Draw;
use crate::model::{Asked, Outcome, Pages, Prophecy, Publication, Refusal, drawn_guests, foretell};
use crate::plan::{ATTEMPTS, Case, Overlap, network, period};

/// A case that takes longer never ends: an export must not turn in circles.
const LONGEST_CASE: Duration = Duration::from_mins(1);

/// What holds, or what does not and how.
pub(crate) type Held<T> = Result<T, String>;

/// What came of a case that held.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) outcome: Outcome,
    /// What the simulator counted.
    pub(crate) struck: Vec<(FaultKind, u64)>,
    /// Whether a set was published that the list never was.
    pub(crate) never_was: bool,
}

/// Says that two things are the same, or how they differ.
pub(crate) fn ensure<T: PartialEq + Debug + ?Sized>(what: &str, found: &T, expected: &T) -> Held<()> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}:\n     found {found:?}\n  expected {expected:?}"))
}

/// What all cases share.
#[derive(Clone)]
pub(crate) struct Bench {
    /// Waits so long that only a lost answer could outlast it.
    patient: reqwest::Client,
    /// For cases in which answers are lost.
    hasty: reqwest::Client,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let client = |request_timeout| {
            build_http_client(&HttpSettings { request_timeout, ca_bundle: None, use_proxies: false })
                .expect("a client")
        };
        Self { patient: client(Duration::from_mins(2)), hasty: client(Duration::from_millis(800)) }
    }

    /// Makes the API as the program does, without a limit to its rate and without waiting between attempts.
    fn api(&self, simulator: &RunningSimulator, hasty: bool) -> Paced {
        let endpoint = EndpointRequest {
            region: Some(simulator.region().to_owned()),
            custom_url: Some(simulator.endpoint()),
            ..EndpointRequest::default()
        };
        let keys = simulator.credentials();
        let credentials =
            Credentials::new(&keys.access_key_id, &keys.secret_access_key, None, None, "property");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let client = if hasty { &self.hasty } else { &self.patient };
        let http = HttpWickrAdmin::new(
            client.clone(),
            endpoint.resolve().expect("loopback"),
            CachedCredentials::new(SharedCredentialsProvider::new(credentials)),
            Arc::clone(&clock),
        );
        let pacer = Pacer::new(PacerSettings { max_requests_per_second: 10_000.0 }, || 0.0);
        let policy = RetryPolicy { attempts: ATTEMPTS, deadline: Instant::now() + Duration::from_mins(10) };
        Paced::new(Arc::new(http), Arc::new(pacer), policy, clock)
    }

    /// Runs a case and holds it against the model, in a task of its own, which may panic or never end.
    ///
    /// # Errors
    /// The first thing that is not as foretold.
    pub(crate) async fn hold(&self, case: &Case) -> Held<Trial> {
        let (bench, owned) = (self.clone(), case.clone());
        let mut task = tokio::spawn(async move { bench.compare(&owned).await });
        match tokio::time::timeout(LONGEST_CASE, &mut task).await {
            Ok(Ok(held)) => held,
            Ok(Err(panic)) => Err(format!("the case panicked: {panic}")),
            Err(_elapsed) => {
                task.abort();
                Err(format!("the case did not end within {LONGEST_CASE:?}"))
            }
        }
    }

    async fn compare(&self, case: &Case) -> Held<Trial> {
        let prophecy = foretell(case);
        check_against_the_draw(case, &prophecy.outcome)?;

        let simulator = start(case.simulator()).await?;
        let api = self.api(&simulator, case.stalls());
        let settings = ConfirmSettings {
            network: network(),
            period: period(),
            spelling: case.asked,
            page_size: case.page_size,
            mode: datasets::roster_mode(case.mode),
            bound: case.bound(),
            settle_days: 3,
            pretended_now: Some(case.as_of),
            attempts: case.walk_attempts,
            zero_accepted: case.zero_accepted,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = tempfile::tempdir().map_err(|error| format!("a state folder: {error}"))?;
        let location = StateLocation::parse(&folder.path().display().to_string(), LockWait::none())
            .map_err(|error| error.to_string())?;
        let stop = CancellationToken::new();
        let max_age = TimeDelta::hours(6);
        let mut checkpoint =
            Checkpoint::new(Some(location), fingerprint(&settings), max_age, clock.clone(), stop.clone());
        let surroundings =
            Surroundings { api: &api, asked: &|| api.count(), clock: &clock, stop: &stop, progress: &Silent };
        let confirmed = confirm(&surroundings, &settings, &mut checkpoint).await;
        let stats = simulator.stats();
        let struck: Vec<_> = stats.faults.iter().map(|fault| (fault.kind, fault.struck)).collect();
        simulator.shutdown().await;

        let never_was = match (confirmed, &prophecy.outcome) {
            (Ok(roster), Outcome::Published(expected)) => {
                hold_publication(case, &roster, expected)?;
                datasets::hold(
                    roster.roster(),
                    &expected.guests,
                    case.mode,
                    case.variation.is_multiple_of(2),
                )?;
                hold_bounds(case, expected, &prophecy)?;
                if case.changes.is_empty() {
                    self.hold_independence(case, &roster).await?;
                }
                let guests: BTreeSet<String> = expected.guests.keys().cloned().collect();
                !prophecy.moments.contains(&guests)
            }
            (Err(error), Outcome::Refused(expected)) => {
                ensure("the refusal", &refusal_of(error), expected)?;
                false
            }
            (Ok(roster), Outcome::Refused(expected)) => {
                return Err(format!("published {roster:?}\nwhere this was foretold: {expected:?}"));
            }
            (Err(error), Outcome::Published(expected)) => {
                return Err(format!(
                    "refused as {:?}\nwhere this was foretold: {expected:?}",
                    refusal_of(error)
                ));
            }
        };
        hold_requests(case, api.count(), &struck, &prophecy)?;
        Ok(Trial { outcome: prophecy.outcome, struck, never_was })
    }

    /// The roster's bytes and digest are those of another row order, page size, direction and paging.
    async fn hold_independence(&self, case: &Case, confirmed: &ConfirmedRoster) -> Held<()> {
        let mut draw = Draw::new(u64::MAX, case.variation, 0);
        let mut rows = if confirmed.roster().guests() == 0 { Vec::new() } else { case.rows.clone() };
        draw.shuffle(&mut rows);
        let config = SimulatorConfig {
            population: Population::explicit([(network(), period(), rows)]),
            paging: draw.pick(&[PagingMode::Offset, PagingMode::Keyset]),
            edge_repeats_per_thousand: 500,
            edge_repeat_rows: 5,
            seed: case.variation,
            ..SimulatorConfig::default()
        };
        let simulator = start(config).await?;
        let plan = WalkPlan {
            network: network(),
            period: period(),
            spelling: case.asked,
            direction: draw.pick(&[Direction::Forward, Direction::Backward]),
            page_size: u8::try_from(draw.within(10, 100)).expect("at most a hundred"),
            mode: datasets::roster_mode(case.mode),
            bound: RunBound { rows: u32::MAX, bytes: usize::MAX },
        };
        let mut walk = Walk::begin(plan);
        let read = walk.read(&self.api(&simulator, false), &CancellationToken::new(), &Silent).await;
        let walked = match read {
            Ok(_end) => walk.finish(None).await,
            Err(error) => Err(error),
        };
        simulator.shutdown().await;
        let (first, second) =
            (confirmed.roster(), walked.map_err(|error| format!("walking once more: {error}"))?);
        let second = second.roster;
        ensure("the digest of another walk", &second.content_sha256(), &first.content_sha256())?;
        ensure("whether another walk found the same", &second.same_guests(first), &true)?;
        if datasets::parquet_file(&second)? != datasets::parquet_file(first)? {
            return Err("another walk of the same list gave other bytes".to_owned());
        }
        Ok(())
    }
}

fn fingerprint(settings: &ConfirmSettings) -> Fingerprint {
    Fingerprint {
        network: settings.network,
        billing_period: settings.period,
        spelling: settings.spelling,
        endpoint: "http://127.0.0.1".to_owned(),
        region: "us-east-1".to_owned(),
        source: "simulator".to_owned(),
        aws_account_id: None,
        as_of: settings.pretended_now,
        strategy: "by username".to_owned(),
        page_size: settings.page_size,
        destination: "out".to_owned(),
        roster: settings.mode.name().to_owned(),
        key_id: settings.mode.key_id(),
        published: None,
    }
}

async fn start(config: SimulatorConfig) -> Held<RunningSimulator> {
    Simulator::start(config).await.map_err(|error| format!("the simulator: {error}"))
}

/// The model itself may be wrong: what was drawn to be recoverable must come out as it was drawn.
fn check_against_the_draw(case: &Case, outcome: &Outcome) -> Held<()> {
    let published = match outcome {
        Outcome::Published(publication) => Some(&publication.guests),
        Outcome::Refused(_) => None,
    };
    if case.must_be_published() {
        ensure("what the model makes of a recoverable plan", &published, &Some(&drawn_guests(case)))?;
    }
    if case.must_be_refused() {
        ensure("what the model publishes of a plan that has no way out", &published, &None)?;
    }
    Ok(())
}

fn hold_publication(case: &Case, confirmed: &ConfirmedRoster, expected: &Publication) -> Held<()> {
    let (roster, walk) = (confirmed.roster(), confirmed.walk());
    let confirmation = confirmed.confirmation();
    let mut pages = Pages {
        count: walk.pages,
        rows: walk.rows,
        duplicates: roster.duplicates(),
        edge_repeats: walk.edge_repeats,
    };
    ensure("rows less duplicates", &(pages.rows - pages.duplicates), &roster.guests())?;
    if matches!(case.overlap, Overlap::Some { .. }) {
        pages = expected.pages;
    }
    ensure("the number of guests", &roster.guests(), &(expected.guests.len() as u64))?;
    let found = Publication {
        guests: expected.guests.clone(),
        state: confirmed.state().as_str(),
        confirmed_by: confirmation.confirmed_by.map(ConfirmedBy::as_str),
        reconciliation: confirmation.reconciliation.as_str(),
        api_guests: confirmation.api_guests,
        stable: confirmation.stable,
        direction: walk.direction.as_str(),
        walks: walk.walks,
        username_conflicts: roster.username_conflicts(),
        empty_usernames: roster.empty_usernames(),
        pages,
    };
    ensure("the publication", &found, expected)
}

/// What holds of a moving list whatever the model says: nobody is invented, and keyset paging loses nobody who
/// was there all the time.
fn hold_bounds(case: &Case, published: &Publication, prophecy: &Prophecy) -> Held<()> {
    if let Some(stranger) =
        published.guests.keys().find(|hash| !prophecy.moments.iter().any(|moment| moment.contains(*hash)))
    {
        return Err(format!("published {stranger:?}, who never was in the list"));
    }
    let left: BTreeSet<&String> = case
        .changes
        .iter()
        .filter_map(|(_, change)| match change {
            Change::Leave { username_hash } => Some(username_hash),
            Change::Arrive { .. } => None,
        })
        .collect();
    let stayed = || prophecy.moments[0].iter().filter(|hash| !left.contains(hash));
    let skipped = stayed().find(|hash| !published.guests.contains_key(*hash));
    match skipped {
        // A service that understands neither spelling, or answers empty, hides everybody.
        Some(hash) if case.paging == PagingMode::Keyset && !published.guests.is_empty() => {
            Err(format!("keyset paging, and {hash:?} was lost, who never left"))
        }
        _ => Ok(()),
    }
}

fn hold_requests(
    case: &Case,
    count: RequestCount,
    struck: &[(FaultKind, u64)],
    prophecy: &Prophecy,
) -> Held<()> {
    if matches!(case.overlap, Overlap::Some { .. }) || case.stalls() {
        // How many pages there are is not known, or an answer may be late for reasons of the machine.
        return Ok(());
    }
    let asked = Asked { requests: count.requests, throttled: count.throttled, retries: count.retries };
    ensure("what was asked", &asked, &prophecy.asked)?;
    ensure("what struck", struck, prophecy.struck.as_slice())
}

/// Words a refusal as the model does.
fn refusal_of(error: ConfirmError) -> Refusal {
    let reason = match &error {
        ConfirmError::History(error) => format!("history: {}", name_of(error)),
        ConfirmError::Refused(evidence::Refusal::WalksDiffer { guests }) => {
            format!("WalksDiffer {guests:?}")
        }
        ConfirmError::Refused(evidence::Refusal::UnconfirmedZero) => "UnconfirmedZero".to_owned(),
        ConfirmError::Walk(error) => {
            let why = match &error.reason {
                WalkFailure::Api(error) => name_of(error),
                WalkFailure::Guard(GuardError::RepeatedToken) => "RepeatedToken".to_owned(),
                WalkFailure::Guard(GuardError::NoProgress) => "NoProgress".to_owned(),
                WalkFailure::Guard(GuardError::Endless) => "Endless".to_owned(),
                WalkFailure::Roster(error) => format!("Roster {error}"),
                WalkFailure::Runs(error) => format!("Runs {error}"),
                WalkFailure::Interrupted => "Interrupted".to_owned(),
            };
            format!("{} walk, page {}: {why}", error.direction.as_str(), error.page)
        }
        ConfirmError::Checkpoint(error) => format!("Checkpoint {error}"),
        ConfirmError::Interrupted => "Interrupted".to_owned(),
    };
    Refusal { reason, exit_code: ExitStatus::of_task(&TaskError::Confirm(error)).code() }
}

fn name_of(error: &ApiError) -> String {
    match error {
        ApiError::Validation { .. } => "Validation".to_owned(),
        ApiError::BadRequest { .. } => "BadRequest".to_owned(),
        ApiError::Unauthorized { .. } => "Unauthorized".to_owned(),
        ApiError::Forbidden { .. } => "Forbidden".to_owned(),
        ApiError::NotFound { .. } => "NotFound".to_owned(),
        ApiError::RateLimited { .. } => "RateLimited".to_owned(),
        ApiError::Internal { status, .. } => format!("Internal {status}"),
        ApiError::ExpiredCredentials { .. } => "ExpiredCredentials".to_owned(),
        ApiError::ClockSkewed { .. } => "ClockSkewed".to_owned(),
        ApiError::Unexpected { status, .. } => format!("Unexpected {status}"),
        ApiError::Unreadable(_) => "Unreadable".to_owned(),
        ApiError::Shape(error) => match error {
            ShapeError::Answer { .. } => "Shape Answer".to_owned(),
            ShapeError::MissingField { row, field } => format!("Shape MissingField {field} row {row}"),
            ShapeError::BadText { row, field, .. } => format!("Shape BadText {field} row {row}"),
            ShapeError::ForeignPeriod { row, .. } => format!("Shape ForeignPeriod row {row}"),
            other => format!("Shape {other}"),
        },
        ApiError::TooLarge { .. } => "TooLarge".to_owned(),
        ApiError::Transport { fault, .. } => match fault {
            TransportFault::Timeout => "Transport Timeout".to_owned(),
            TransportFault::Broken => "Transport Broken".to_owned(),
            TransportFault::Connect => "Transport Connect".to_owned(),
            TransportFault::NameResolution => "Transport NameResolution".to_owned(),
        },
        ApiError::CredentialsUnavailable(_) => "CredentialsUnavailable".to_owned(),
        ApiError::NoCredentials(_) => "NoCredentials".to_owned(),
        ApiError::Unsendable(_) => "Unsendable".to_owned(),
        ApiError::DeadlineReached { .. } => "DeadlineReached".to_owned(),
        ApiError::GaveUp { attempts, last } if *attempts == ATTEMPTS => format!("GaveUp {}", name_of(last)),
        ApiError::GaveUp { attempts, .. } => format!("GaveUp after {attempts} attempts"),
    }
}
