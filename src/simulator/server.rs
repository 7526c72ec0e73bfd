//! The server: connections, the order in which a request is judged, and how answers fail to arrive.
//!
//! Each connection is driven by hand rather than through a framework's accept loop, because a reset must happen
//! on the socket itself, after hyper has let go of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authorization::{Credentials, Verifier};
use super::config::{SimulatorConfig, SimulatorError, ThrottleHint};
use super::delivery::{self, Body};
use super::effects::{Delivery, Effect, Substitute, http_date};
use super::faults::FaultPlan;
use super::noise::Noise;
use super::operations::Service;
use super::population::{Census, World};
use super::stats::{Stats, Tally};
use super::throttle::Throttle;
use super::wire::{Operation, Refusal};
use super::{SIMULATOR_HEADER, SIMULATOR_VERSION};
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// The longest request body that is read for its digest; the API's requests have none.
const MAX_REQUEST_BODY: usize = 64 * 1024;
/// How long answers under way may take once the simulator is told to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(300);

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

/// A simulator that answers until it is shut down or dropped.
#[derive(Debug)]
pub struct RunningSimulator {
    state: Arc<State>,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct State {
    service: Service,
    verifier: Verifier,
    throttle: Option<Throttle>,
    faults: FaultPlan,
    tally: Tally,
    periods: Vec<BillingPeriod>,
    request_ids: AtomicU64,
}

/// An answer before it is put on the wire.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    headers: HeaderMap,
    body: Bytes,
    delivery: Delivery,
}

impl Simulator {
    /// Starts a simulator on 127.0.0.1, within the running Tokio runtime.
    ///
    /// # Errors
    /// [`SimulatorError`] for a configuration that makes no sense and for a port that cannot be had.
    pub async fn start(config: SimulatorConfig) -> Result<RunningSimulator, SimulatorError> {
        config.validate()?;
        let periods = config.effective_periods(config.now.unwrap_or_else(Utc::now));
        let world = World::new(&config, &periods)?;
        let faults = FaultPlan::new(config.faults.clone(), config.seed)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, config.port));
        let listen = |source| SimulatorError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let state = Arc::new(State {
            verifier: Verifier::new(
                Credentials::simulated(config.session_token.clone()),
                config.region.clone(),
            ),
            throttle: config.requests_per_second.map(|rate| Throttle::new(rate, config.burst)),
            tally: Tally::new(faults.faults().iter().map(|fault| fault.kind)),
            faults,
            periods: world.periods(),
            service: Service::new(config, world),
            request_ids: AtomicU64::new(0),
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(listener, Arc::clone(&state), stop.clone(), tasks.clone()));
        Ok(RunningSimulator { state, address, stop, tasks })
    }
}

impl RunningSimulator {
    /// Returns the address to send requests to, such as `http://127.0.0.1:4710`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the key pair that requests must be signed with.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.state.verifier.credentials
    }

    /// Makes a key pair with a session token, as a service that lends roles does. It is accepted for so many requests
    /// and then refused as expired.
    #[must_use]
    pub fn issue_credentials(&self, requests: u64) -> Credentials {
        self.state.verifier.issue(requests)
    }

    /// Returns the region that signatures must name.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.state.verifier.region
    }

    /// Lists the networks, in the order of their ids.
    #[must_use]
    pub fn networks(&self) -> Vec<NetworkId> {
        self.state.service.world.read().keys().copied().collect()
    }

    /// Lists the billing periods for which any network has a list, earliest first.
    #[must_use]
    pub fn periods(&self) -> &[BillingPeriod] {
        &self.state.periods
    }

    /// Returns each guest that an export must contain as the list stands now, once, as
    /// `(username_hash, username)`; of several usernames the smaller one, bytewise.
    pub fn expected(
        &self,
        network: NetworkId,
        period: BillingPeriod,
    ) -> impl Iterator<Item = (String, String)> + Send + use<> {
        self.state.service.world.expected(network, period)
    }

    /// Counts what the list of a network and period contains now; nothing if there is no such list.
    #[must_use]
    pub fn census(&self, network: NetworkId, period: BillingPeriod) -> Option<Census> {
        self.state.service.world.census(network, period)
    }

    /// Returns what was counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state.tally.snapshot()
    }

    /// Stops: no connection is accepted any more, and those that are open get a moment to finish.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for RunningSimulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                state.tally.count(|stats| stats.connections += 1);
                tasks.spawn(serve(stream, Arc::clone(&state), stop.clone()));
            }
            // Out of file descriptors, or a peer that was gone at once: neither lasts, and a loop must not spin.
            Err(error) => {
                tracing::warn!(%error, "the simulator could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<State>, stop: CancellationToken) {
    let reset = Arc::new(AtomicBool::new(false));
    let wants_reset = Arc::clone(&reset);
    let service = service_fn(move |request| {
        let (state, wants_reset) = (Arc::clone(&state), Arc::clone(&wants_reset));
        let answering: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(async move { respond(&state, request, &wants_reset).await });
        answering
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // A client that goes away mid-request is its own affair.
        _ = std::future::poll_fn(|context| connection.poll_without_shutdown(context)) => {}
        () = stop.cancelled() => {
            Pin::new(&mut connection).graceful_shutdown();
            let finishing = std::future::poll_fn(|context| connection.poll_without_shutdown(context));
            let _ = tokio::time::timeout(SHUTDOWN_GRACE, finishing).await;
        }
    }
    let stream = connection.into_parts().io.into_inner();
    if reset.load(Ordering::Relaxed) {
        // Closing with a zero linger time sends RST in place of FIN.
        if let Err(error) = stream.set_zero_linger() {
            tracing::warn!(%error, "the simulator could only close a connection that it meant to reset");
        }
    }
}

async fn respond(
    state: &State,
    request: Request<Incoming>,
    wants_reset: &AtomicBool,
) -> Result<Response<Body>, io::Error> {
    let _in_flight = state.tally.enter();
    let latency = Duration::from_millis(state.service.config.latency_ms);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_REQUEST_BODY).collect().await;
    let answer = match body {
        Ok(body) => state.answer(&parts, &body.to_bytes()),
        Err(_) => State::refuse(&Refusal::bad_request("The request body cannot be read.")),
    };
    match answer.delivery {
        Delivery::Never => std::future::pending().await,
        Delivery::Reset => {
            wants_reset.store(true, Ordering::Relaxed);
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        }
        Delivery::Whole | Delivery::Truncated | Delivery::StalledHalfway | Delivery::Padded(_) => {
            Ok(state.dispatch(answer))
        }
    }
}

impl State {
    /// Judges a request: is it authentic, within the rate, within bounds, struck by a fault? Then answers it.
    fn answer(&self, parts: &Parts, body: &[u8]) -> Answer {
        self.judge(parts, body).unwrap_or_else(|refusal| Self::refuse(&refusal))
    }

    fn judge(&self, parts: &Parts, body: &[u8]) -> Result<Answer, Refusal> {
        let clock = self.service.config.server_clock(Utc::now());
        let route = Operation::route(parts.uri.path()).filter(|_| parts.method == Method::GET);
        let Some((operation, network)) = route else {
            self.tally.count(|stats| stats.unrecognised += 1);
            let message = "The requested operation is not known.";
            return Err(Refusal::new(StatusCode::NOT_FOUND, "UnknownOperationException", message));
        };
        self.verifier
            .verify(parts, body, clock)
            .inspect_err(|_| self.tally.count(|stats| stats.unauthentic += 1))?;
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        self.tally.count(|stats| stats.note(operation, target));
        self.admit()?;
        let ask = self.service.read(operation, network, parts.uri.query().unwrap_or(""))?;
        self.service.advance(&ask);
        let effect = self.faults.strike(&ask.site()).map(|(number, kind)| {
            self.tally.count(|stats| stats.faults[number].struck += 1);
            kind.effect(clock)
        });
        let (alteration, delivery) = match effect {
            Some(Effect::Refuse(refusal)) => return Err(refusal),
            Some(Effect::Substitute(substitute)) => return Ok(Self::substitute(&substitute)),
            Some(Effect::Misdeliver(delivery)) => (None, delivery),
            Some(Effect::Alter(alteration)) => (Some(alteration), Delivery::Whole),
            None => (None, Delivery::Whole),
        };
        let answer = self.service.answer(&ask, alteration, Utc::now())?;
        Ok(Answer {
            status: StatusCode::OK,
            content_type: "application/json",
            headers: HeaderMap::new(),
            body: answer.to_string().into(),
            delivery,
        })
    }

    fn admit(&self) -> Result<(), Refusal> {
        let Some(throttle) = &self.throttle else { return Ok(()) };
        throttle.admit(Instant::now()).map_err(|wait| {
            self.tally.count(|stats| stats.throttled += 1);
            let refusal = Refusal::throttled();
            let seconds = wait.as_millis().div_ceil(1000);
            match self.service.config.throttle_hint {
                ThrottleHint::None => refusal,
                ThrottleHint::Seconds => refusal.with_header("retry-after", &seconds),
                ThrottleHint::HttpDate => {
                    let ahead = TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1000));
                    let clock = self.service.config.server_clock(Utc::now());
                    refusal.with_header("retry-after", &http_date(clock + ahead))
                }
                ThrottleHint::Milliseconds => {
                    refusal.with_header("x-amz-retry-after", &wait.as_micros().div_ceil(1000))
                }
            }
        })
    }

    fn refuse(refusal: &Refusal) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", HeaderValue::from_static(refusal.code));
        for (name, value) in &refusal.headers {
            let value = HeaderValue::from_str(value).expect("digits and dates");
            headers.insert(HeaderName::from_static(name), value);
        }
        Answer {
            status: refusal.status,
            content_type: "application/json",
            headers,
            body: refusal.body().into(),
            delivery: Delivery::Whole,
        }
    }

    fn substitute(substitute: &Substitute) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(location) = substitute.location {
            headers.insert(http::header::LOCATION, HeaderValue::from_static(location));
        }
        Answer {
            status: substitute.status,
            content_type: substitute.content_type,
            headers,
            body: Bytes::from_static(substitute.body),
            delivery: Delivery::Whole,
        }
    }

    /// Puts an answer on the wire, as whole as its delivery lets it be.
    fn dispatch(&self, answer: Answer) -> Response<Body> {
        let (length, body) = delivery::body(answer.body, answer.delivery);
        let mut response = Response::new(body);
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        *headers = answer.headers;
        let clock = self.service.config.server_clock(Utc::now());
        let date = HeaderValue::from_str(&http_date(clock)).expect("a date");
        headers.insert(http::header::DATE, date);
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert("x-amzn-requestid", self.request_id());
        headers.insert(SIMULATOR_HEADER, HeaderValue::from_static(SIMULATOR_VERSION));
        response
    }

    fn request_id(&self) -> HeaderValue {
        let number = self.request_ids.fetch_add(1, Ordering::Relaxed);
        let place = Noise::seeded(self.service.config.seed).named("request").at(number);
        let digits = format!("{:016x}{:016x}", place.at(0).value(), place.at(1).value());
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        HeaderValue::from_str(&parts.join("-")).expect("hexadecimal digits")
    }
}
