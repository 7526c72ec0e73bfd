//! How long lists take that stand still, by the round trip, the rate that is allowed, and how many are walked
//! at once.
//!
//! Three times over: by arithmetic, by the program's own pacing in pretended time, and, where a line says so,
//! over a socket from the simulator, in real time.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use futures::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use wickr_guest_export::clock::SystemClock;
use wickr_guest_export::evidence::Strategy;
use wickr_guest_export::guest::NetworkId;
use wickr_guest_export::pacing::{Paced, Pacer, PacerSettings, RetryPolicy};
use wickr_guest_export::simulator::{RunningSimulator, Simulator, SimulatorConfig};
use wickr_guest_export::wickr::{
    CachedCredentials, EndpointRequest, HttpClients, HttpWickrAdmin, TimeLimit, Way, WickrAdmin,
};

use crate::live::{LiveService, Paging};
use crate::walked::{PAGE_ROWS, STRATEGIES, confirmed, period, today};

/// Pages of every list.
pub(crate) const PAGES: u32 = 40;

/// What lists are walked under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Lists at once, each of its own network.
    pub(crate) tasks: u32,
    /// Requests a second, of all lists together.
    pub(crate) rate: u32,
    pub(crate) round_trip_ms: u32,
    /// Whether it is measured over a socket too: that takes its time.
    is_real: bool,
}

/// Seconds that a strategy takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) forward: f64,
    pub(crate) converge: f64,
}

impl Times {
    pub(crate) fn ratio(self) -> f64 {
        self.converge / self.forward
    }

    fn of(mut seconds: impl FnMut(Strategy) -> f64) -> Self {
        let [forward, converge] = STRATEGIES.map(&mut seconds);
        Self { forward, converge }
    }
}

/// A load, and what it takes.
pub(crate) struct Line {
    pub(crate) load: Load,
    pub(crate) by_arithmetic: Times,
    pub(crate) pretended: Times,
    pub(crate) over_a_socket: Option<Times>,
}

const fn load(tasks: u32, rate: u32, round_trip_ms: u32) -> Load {
    Load { tasks, rate, round_trip_ms, is_real: false }
}

const fn real(tasks: u32, rate: u32, round_trip_ms: u32) -> Load {
    Load { is_real: true, ..load(tasks, rate, round_trip_ms) }
}

/// One list alone, then several at once.
const LOADS: [Load; 22] = [
    load(1, 10, 20),
    real(1, 10, 50),
    load(1, 10, 100),
    load(1, 10, 150),
    real(1, 10, 200),
    load(1, 10, 500),
    load(1, 50, 10),
    load(1, 50, 20),
    load(1, 50, 30),
    load(1, 50, 40),
    real(1, 50, 100),
    load(1, 50, 200),
    load(2, 10, 100),
    load(2, 10, 200),
    real(4, 10, 200),
    load(4, 10, 500),
    load(12, 10, 500),
    load(2, 50, 100),
    real(4, 50, 100),
    load(6, 50, 100),
    load(4, 50, 200),
    load(12, 50, 200),
];

/// Measures every load.
pub(crate) fn measured() -> Vec<Line> {
    let pretending =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let real = Runtime::new().expect("a runtime");
    // They wait far more than they work, so that all of them can wait at once.
    let over_sockets = real.block_on(join_all(LOADS.map(async |load| {
        if !load.is_real {
            return None;
        }
        let [forward, converge] = STRATEGIES.map(|strategy| over_a_socket(load, strategy));
        let (forward, converge) = tokio::join!(forward, converge);
        Some(Times { forward, converge })
    })));
    LOADS
        .into_iter()
        .zip(over_sockets)
        .map(|(load, over_a_socket)| Line {
            load,
            by_arithmetic: Times::of(|strategy| by_arithmetic(load, strategy)),
            pretended: Times::of(|strategy| pretending.block_on(pretended(load, strategy))),
            over_a_socket,
        })
        .collect()
}

/// Each chain takes a round trip, or the turns of all others, whichever is longer, for every request: the
/// count, the pages, the count. Of two walks towards each other every request takes two turns, but there are
/// half as many: after the first page, which says whether there is anybody, so many pairs that two pages are
/// read by both.
fn by_arithmetic(load: Load, strategy: Strategy) -> f64 {
    let round_trip = f64::from(load.round_trip_ms) / 1e3;
    let turns = f64::from(load.tasks) / f64::from(load.rate);
    let alone = round_trip.max(turns);
    match strategy {
        Strategy::Forward => f64::from(PAGES + 2) * alone,
        Strategy::Converge => 3.0 * alone + f64::from((PAGES + 1).div_ceil(2)) * round_trip.max(2.0 * turns),
    }
}

fn network(number: u32) -> NetworkId {
    format!("{number:08}").parse().expect("eight digits")
}

async fn pretended(load: Load, strategy: Strategy) -> f64 {
    let round_trip = Duration::from_millis(load.round_trip_ms.into());
    walked(load, strategy, || Arc::new(LiveService::open(PAGES, round_trip, Paging::Offset, None))).await
}

async fn over_a_socket(load: Load, strategy: Strategy) -> f64 {
    let config = SimulatorConfig {
        networks: (0..load.tasks).map(network).collect(),
        periods: vec![period()],
        guests: u64::from(PAGES) * u64::from(PAGE_ROWS),
        guests_vary_percent: 0,
        duplicates_per_thousand: 0,
        conflicts_per_thousand: 0,
        edge_repeats_per_thousand: 0,
        now: Some(today()),
        latency_ms: load.round_trip_ms.into(),
        ..SimulatorConfig::default()
    };
    let simulator = Simulator::start(config).await.expect("a simulator");
    let clients = HttpClients::new(TimeLimit::Exchange(Duration::from_mins(1)), None);
    let client = clients.and_then(|clients| clients.get(Way::Plain)).expect("a client");
    let seconds = walked(load, strategy, || connected(&simulator, client.clone())).await;
    simulator.shutdown().await;
    seconds
}

fn connected(simulator: &RunningSimulator, client: reqwest::Client) -> Arc<dyn WickrAdmin> {
    let endpoint = EndpointRequest {
        region: Some(simulator.region().to_owned()),
        custom_url: Some(simulator.endpoint()),
        ..EndpointRequest::default()
    };
    let keys = simulator.credentials();
    let credentials = Credentials::new(&keys.access_key_id, &keys.secret_access_key, None, None, "bench");
    Arc::new(HttpWickrAdmin::new(
        client,
        endpoint.resolve().expect("loopback"),
        CachedCredentials::new(SharedCredentialsProvider::new(credentials)),
        Arc::new(SystemClock),
    ))
}

/// Walks all lists of a load at once, and returns how many seconds it took until the last number was
/// confirmed.
async fn walked(load: Load, strategy: Strategy, connect: impl Fn() -> Arc<dyn WickrAdmin>) -> f64 {
    let pacer = Arc::new(Pacer::new(PacerSettings { max_requests_per_second: load.rate.into() }, || 0.0));
    let policy = RetryPolicy { attempts: 1, deadline: Instant::now() + Duration::from_hours(1) };
    let begun = Instant::now();
    let tasks = (0..load.tasks).map(|number| {
        let api = Paced::new(connect(), Arc::clone(&pacer), policy, Arc::new(SystemClock));
        async move {
            let ended = confirmed(&api, network(number), strategy).await;
            ended.unwrap_or_else(|error| panic!("{load:?}, {strategy:?}: {error}"));
        }
    });
    join_all(tasks).await;
    begun.elapsed().as_secs_f64()
}
