//! One process of a case: the export as the program makes it, and whoever interrupts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wickr_guest_export::checkpoint::{Checkpoint, Fingerprint, StateLocation};
use wickr_guest_export::clock::{Clock, SystemClock};
use wickr_guest_export::evidence::{
    ConfirmError, ConfirmSettings, ConfirmedRoster, Strategy, Surroundings, confirm,
};
use wickr_guest_export::guest::{NetworkId, PageToken};
use wickr_guest_export::pacing::{Paced, Pacer, PacerSettings, RequestCount, RetryPolicy};
use wickr_guest_export::simulator::RunningSimulator;
use wickr_guest_export::storage::{LocalDestination, LockWait};
use wickr_guest_export::telemetry::Silent;
use wickr_guest_export::wickr::{
    ApiError, CachedCredentials, EndpointRequest, GuestPage, HistoryMonth, HttpClients, HttpWickrAdmin,
    ListGuestUsers, Network, NetworkPage, SortDirection, TimeLimit, Way, WickrAdmin,
};

use super::datasets;
use super::state::StateFolder;
use crate::schedule::{
    ATTEMPTS, Case, Difference, FAR_TOO_LATE, Guise, Interruption, MAX_AGE, Manner, Moment, Site, network,
    period,
};

/// What all cases share.
#[derive(Clone)]
pub(crate) struct Bench {
    /// Waits so long that only a lost answer could outlast it.
    patient: reqwest::Client,
    /// For cases in which answers are lost.
    hasty: reqwest::Client,
}

/// How a process ended.
pub(super) enum Ended {
    Confirmed(Box<ConfirmedRoster>),
    Refused(ConfirmError),
    Killed,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let client = |request_timeout| {
            let clients = HttpClients::new(TimeLimit::Exchange(request_timeout), None);
            clients.and_then(|clients| clients.get(Way::Plain)).expect("a client")
        };
        Self { patient: client(Duration::from_mins(2)), hasty: client(Duration::from_millis(800)) }
    }

    /// Connects as the program does.
    fn connect(&self, simulator: &RunningSimulator, hasty: bool) -> Arc<dyn WickrAdmin> {
        let endpoint = EndpointRequest {
            region: Some(simulator.region().to_owned()),
            custom_url: Some(simulator.endpoint()),
            ..EndpointRequest::default()
        };
        let keys = simulator.credentials();
        let credentials =
            Credentials::new(&keys.access_key_id, &keys.secret_access_key, None, None, "campaign");
        let client = if hasty { &self.hasty } else { &self.patient };
        Arc::new(HttpWickrAdmin::new(
            client.clone(),
            endpoint.resolve().expect("loopback"),
            CachedCredentials::new(SharedCredentialsProvider::new(credentials)),
            Arc::new(SystemClock),
        ))
    }

    /// Makes the API as the program does, without a limit to its rate and without waiting between attempts.
    pub(super) fn api(&self, simulator: &RunningSimulator, hasty: bool) -> Paced {
        paced(self.connect(simulator, hasty))
    }

    /// Runs a process to its end, and says what it asked.
    pub(super) async fn process(
        &self,
        case: &Case,
        number: usize,
        simulator: &RunningSimulator,
        state: &Arc<StateFolder>,
    ) -> (Ended, RequestCount) {
        let guise = case.guise(number);
        let settings = settings(case, guise);
        let clock: Arc<dyn Clock> = Arc::new(MovedClock(guise.clock));
        let stop = CancellationToken::new();
        let interrupter = Arc::new(Interrupter {
            api: self.connect(simulator, case.stalls()),
            interruption: case.interruptions.get(number).copied(),
            attempts: AtomicU64::new(0),
            stop: stop.clone(),
            killed: CancellationToken::new(),
            state: Arc::clone(state),
        });
        let api = paced(interrupter.clone());
        // Whoever forks meanwhile, as histories do, holds every open file of this process until it has become another.
        let lock_wait = LockWait::of(Duration::from_mins(1));
        let location =
            StateLocation::new(Arc::new(LocalDestination::new(state.path().to_owned())), lock_wait);
        let mut checkpoint = Checkpoint::new(
            Some(location),
            fingerprint(&settings, guise),
            MAX_AGE,
            clock.clone(),
            stop.clone(),
        );
        let asked = || api.count();
        let in_turn = InTurn { api: &api, turn: tokio::sync::Mutex::new(()) };
        let surroundings =
            Surroundings { api: &in_turn, asked: &asked, clock: &clock, stop: &stop, progress: &Silent };
        // Dropped where it stands, it does nothing more: that is as near to being killed as a future gets.
        let ended = tokio::select! {
            confirmed = confirm(&surroundings, &settings, &mut checkpoint) => match confirmed {
                Ok(roster) => Ended::Confirmed(Box::new(roster)),
                Err(error) => Ended::Refused(error),
            },
            () = interrupter.killed.cancelled() => Ended::Killed,
        };
        if let Ended::Confirmed(_) = &ended {
            checkpoint.clear().await.expect("a folder of one's own");
        }
        drop(checkpoint);
        state.look();
        (ended, api.count())
    }
}

fn paced(api: Arc<dyn WickrAdmin>) -> Paced {
    let pacer = Pacer::new(PacerSettings { max_requests_per_second: 10_000.0 }, || 0.0);
    let policy = RetryPolicy { attempts: ATTEMPTS, deadline: Instant::now() + Duration::from_mins(10) };
    Paced::new(api, Arc::new(pacer), policy, Arc::new(SystemClock))
}

fn settings(case: &Case, guise: Guise) -> ConfirmSettings {
    ConfirmSettings {
        network: network(),
        period: period(),
        spelling: case.asked,
        page_size: case.page_size,
        mode: datasets::roster_mode(guise.mode, guise.other_key),
        bound: case.bound,
        settle_days: 3,
        pretended_now: Some(guise.as_of),
        strategy: if case.converges { Strategy::Converge } else { Strategy::Forward },
        attempts: case.walk_attempts,
        zero_accepted: case.zero_accepted,
    }
}

/// Names what is walked as the program would, but for the day: that passes, and the fingerprint stays.
fn fingerprint(settings: &ConfirmSettings, guise: Guise) -> Fingerprint {
    let mut fingerprint = Fingerprint {
        network: settings.network,
        billing_period: settings.period,
        spelling: settings.spelling,
        endpoint: "http://127.0.0.1".to_owned(),
        region: "us-east-1".to_owned(),
        source: "simulator".to_owned(),
        aws_account_id: Some("111122223333".to_owned()),
        as_of: None,
        strategy: "by username".to_owned(),
        page_size: settings.page_size,
        destination: "out".to_owned(),
        roster: settings.mode.name().to_owned(),
        key_id: settings.mode.key_id(),
        published: None,
    };
    let other = || "another".to_owned();
    match guise.difference {
        Some(Difference::Endpoint) => fingerprint.endpoint = other(),
        Some(Difference::Region) => fingerprint.region = other(),
        Some(Difference::Source) => fingerprint.source = other(),
        Some(Difference::Account) => fingerprint.aws_account_id = Some(other()),
        Some(Difference::PretendedDay) => fingerprint.as_of = Some(guise.as_of),
        Some(Difference::Strategy) => fingerprint.strategy = other(),
        Some(Difference::PageSize) => fingerprint.page_size += 1,
        Some(Difference::Spelling) => fingerprint.spelling = settings.spelling.other(),
        Some(Difference::Published) => fingerprint.published = Some(other()),
        Some(Difference::Mode(_) | Difference::Key) | None => {}
    }
    fingerprint
}

/// The system's clock, moved.
struct MovedClock(TimeDelta);

impl Clock for MovedClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.0
    }
}

/// Sends one request at a time, in the order in which they come: two walks at the same time take turns, and whoever
/// foretells what comes of them knows whose turn it is.
struct InTurn<'a> {
    api: &'a Paced,
    turn: tokio::sync::Mutex<()>,
}

#[async_trait]
impl WickrAdmin for InTurn<'_> {
    async fn list_guest_users(&self, request: &ListGuestUsers) -> Result<GuestPage, ApiError> {
        let _turn = self.turn.lock().await;
        self.api.list_guest_users(request).await
    }

    async fn guest_user_history_count(&self, network: NetworkId) -> Result<Vec<HistoryMonth>, ApiError> {
        self.api.guest_user_history_count(network).await
    }

    async fn list_networks(&self, next: Option<&PageToken>) -> Result<NetworkPage, ApiError> {
        self.api.list_networks(next).await
    }

    async fn get_network(&self, network: NetworkId) -> Result<Network, ApiError> {
        self.api.get_network(network).await
    }

    async fn mend(&self, error: &ApiError) -> bool {
        self.api.mend(error).await
    }
}

/// Lets attempts pass until it is time.
struct Interrupter {
    api: Arc<dyn WickrAdmin>,
    interruption: Option<Interruption>,
    attempts: AtomicU64,
    stop: CancellationToken,
    killed: CancellationToken,
    state: Arc<StateFolder>,
}

impl Interrupter {
    async fn pass<T>(
        &self,
        site: Site,
        attempt: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        self.state.look();
        let Some(interruption) = self.interruption.filter(|interruption| interruption.site.covers(site))
        else {
            return attempt.await;
        };
        if self.attempts.fetch_add(1, Ordering::Relaxed) + 1 != interruption.nth {
            return attempt.await;
        }
        if interruption.moment == Moment::After {
            let _lost = attempt.await;
        }
        match interruption.manner {
            Manner::Killed => self.killed.cancel(),
            Manner::Stopped => self.stop.cancel(),
            Manner::OutOfTime => {
                return Err(ApiError::RateLimited { hint: Some(Duration::from_secs(FAR_TOO_LATE)) });
            }
        }
        std::future::pending().await
    }
}

#[async_trait]
impl WickrAdmin for Interrupter {
    async fn list_guest_users(&self, request: &ListGuestUsers) -> Result<GuestPage, ApiError> {
        let site = match request.next_token {
            Some(_) => Site::LaterPage,
            None => Site::FirstPage { backward: request.sort_direction == SortDirection::Descending },
        };
        self.pass(site, self.api.list_guest_users(request)).await
    }

    async fn guest_user_history_count(&self, network: NetworkId) -> Result<Vec<HistoryMonth>, ApiError> {
        self.pass(Site::Count, self.api.guest_user_history_count(network)).await
    }

    async fn list_networks(&self, next: Option<&PageToken>) -> Result<NetworkPage, ApiError> {
        self.api.list_networks(next).await
    }

    async fn get_network(&self, network: NetworkId) -> Result<Network, ApiError> {
        self.api.get_network(network).await
    }

    async fn mend(&self, error: &ApiError) -> bool {
        self.api.mend(error).await
    }
}
