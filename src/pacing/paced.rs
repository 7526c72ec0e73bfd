//! The decorator that makes a single attempt into a request that is answered, refused for good, or out of time.
//!
//! Throttling is no failure: it is bounded by the deadline alone. What may be a fault of the server or of the
//! network is tried a bounded number of times, each time signed anew by the layer below.

use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::pacer::Pacer;
use crate::clock::Clock;
use crate::guest::{NetworkId, PageToken};
use crate::wickr::{
    ApiError, Disposition, GuestPage, HistoryMonth, ListGuestUsers, Network, NetworkPage, WickrAdmin,
};

/// How often and how long a request is tried.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// The most attempts at one request that fail for other reasons than throttling.
    pub attempts: u32,
    /// When the run has to end.
    pub deadline: Instant,
}

/// What one task has asked for so far.
#[derive(Debug, Default)]
pub struct RequestCounters {
    requests: AtomicU64,
    throttled: AtomicU64,
    retries: AtomicU64,
}

/// A reading of [`RequestCounters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestCount {
    /// Attempts that were sent.
    pub requests: u64,
    /// Those that were answered with 429.
    pub throttled: u64,
    /// Attempts that repeated a failed one, throttled or not.
    pub retries: u64,
}

impl Add for RequestCount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            throttled: self.throttled.saturating_add(other.throttled),
            retries: self.retries.saturating_add(other.retries),
        }
    }
}

impl RequestCounters {
    /// Reads the counters.
    #[must_use]
    pub fn read(&self) -> RequestCount {
        RequestCount {
            requests: self.requests.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }
}

/// An API whose every request is paced, tried again and counted.
pub struct Paced {
    api: Arc<dyn WickrAdmin>,
    pacer: Arc<Pacer>,
    policy: RetryPolicy,
    clock: Arc<dyn Clock>,
    counters: RequestCounters,
}

impl Paced {
    /// Decorates `api`; the pacer is shared with all others, the counters are not.
    #[must_use]
    pub fn new(
        api: Arc<dyn WickrAdmin>,
        pacer: Arc<Pacer>,
        policy: RetryPolicy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { api, pacer, policy, clock, counters: RequestCounters::default() }
    }

    /// Returns what has been asked through this decorator.
    #[must_use]
    pub fn count(&self) -> RequestCount {
        self.counters.read()
    }

    async fn persist<'a, T>(
        &'a self,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, ApiError>> + Send + Sync,
    ) -> Result<T, ApiError> {
        let mut backoff = Backoff::default();
        let mut failures = 0;
        let mut mended = false;
        let mut last: Option<ApiError> = None;
        loop {
            let permit = match self.pacer.acquire(self.policy.deadline).await {
                Ok(permit) => permit,
                Err(earliest) => return Err(self.out_of_time(earliest, last)),
            };
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            if last.is_some() {
                self.counters.retries.fetch_add(1, Ordering::Relaxed);
            }
            let error = match tokio::time::timeout_at(self.policy.deadline, attempt()).await {
                Err(_elapsed) => {
                    return Err(ApiError::DeadlineReached { not_before: None, last: last.map(Box::new) });
                }
                Ok(Ok(answer)) => {
                    self.pacer.on_accepted(&permit);
                    return Ok(answer);
                }
                Ok(Err(error)) => error,
            };
            match error.disposition() {
                Disposition::Throttled { hint } => {
                    self.counters.throttled.fetch_add(1, Ordering::Relaxed);
                    self.pacer.on_throttled(&permit, hint);
                }
                Disposition::Transient { hint } => {
                    failures += 1;
                    if failures >= self.policy.attempts {
                        return Err(ApiError::GaveUp { attempts: failures, last: Box::new(error) });
                    }
                    tracing::debug!(attempt = failures, error = %error, "attempt failed");
                    // A hint holds everybody.
                    if let Some(hint) = hint {
                        self.pacer.on_hint(hint);
                    }
                    let until = Instant::now() + backoff.next(self.pacer.jitter());
                    if until > self.policy.deadline {
                        return Err(self.out_of_time(until, Some(error)));
                    }
                    tokio::time::sleep_until(until).await;
                }
                Disposition::Mendable if !mended && self.api.mend(&error).await => mended = true,
                Disposition::Mendable | Disposition::Permanent => return Err(error),
            }
            last = Some(error);
        }
    }

    fn out_of_time(&self, earliest: Instant, last: Option<ApiError>) -> ApiError {
        let wait = earliest.saturating_duration_since(Instant::now());
        let not_before = TimeDelta::from_std(wait).ok().map(|wait| self.clock.now() + wait);
        ApiError::DeadlineReached { not_before, last: last.map(Box::new) }
    }
}

#[async_trait]
impl WickrAdmin for Paced {
    async fn list_guest_users(&self, request: &ListGuestUsers) -> Result<GuestPage, ApiError> {
        self.persist(|| self.api.list_guest_users(request)).await
    }

    async fn guest_user_history_count(&self, network: NetworkId) -> Result<Vec<HistoryMonth>, ApiError> {
        self.persist(|| self.api.guest_user_history_count(network)).await
    }

    async fn list_networks(&self, next: Option<&PageToken>) -> Result<NetworkPage, ApiError> {
        self.persist(|| self.api.list_networks(next)).await
    }

    async fn get_network(&self, network: NetworkId) -> Result<Network, ApiError> {
        self.persist(|| self.api.get_network(network)).await
    }

    async fn mend(&self, error: &ApiError) -> bool {
        self.api.mend(error).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::clock::SystemClock;
    use crate::pacing::PacerSettings;
    use crate::wickr::TransportFault;

    /// Answers each request with the next of a list of outcomes, then with success.
    struct Scripted {
        outcomes: Mutex<Vec<ApiError>>,
        mends: bool,
    }

    #[async_trait]
    impl WickrAdmin for Scripted {
        async fn list_guest_users(&self, _request: &ListGuestUsers) -> Result<GuestPage, ApiError> {
            unreachable!("the tests ask for networks")
        }

        async fn guest_user_history_count(&self, _network: NetworkId) -> Result<Vec<HistoryMonth>, ApiError> {
            unreachable!("the tests ask for networks")
        }

        async fn list_networks(&self, _next: Option<&PageToken>) -> Result<NetworkPage, ApiError> {
            match self.outcomes.lock().unwrap().pop() {
                Some(error) => Err(error),
                None => Ok(NetworkPage { networks: Vec::new(), next: None }),
            }
        }

        async fn get_network(&self, _network: NetworkId) -> Result<Network, ApiError> {
            unreachable!("the tests ask for networks")
        }

        async fn mend(&self, _error: &ApiError) -> bool {
            self.mends
        }
    }

    fn broken() -> ApiError {
        ApiError::Transport { fault: TransportFault::Broken, message: "reset".to_owned() }
    }

    fn paced(mut outcomes: Vec<ApiError>, mends: bool, deadline: Duration) -> Paced {
        outcomes.reverse();
        Paced::new(
            Arc::new(Scripted { outcomes: Mutex::new(outcomes), mends }),
            Arc::new(Pacer::new(PacerSettings { max_requests_per_second: 100.0 }, || 1.0)),
            RetryPolicy { attempts: 4, deadline: Instant::now() + deadline },
            Arc::new(SystemClock),
        )
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn transient_failures_are_tried_again_a_bounded_number_of_times() {
        let good = paced(vec![broken(), broken(), broken()], false, HOUR);
        assert!(good.list_networks(None).await.is_ok());
        assert_eq!(good.count(), RequestCount { requests: 4, throttled: 0, retries: 3 });
        let bad = paced(vec![broken(), broken(), broken(), broken()], false, HOUR);
        let error = bad.list_networks(None).await.unwrap_err();
        assert!(matches!(error, ApiError::GaveUp { attempts: 4, .. }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_is_bounded_by_the_deadline_alone() {
        let throttled = || ApiError::RateLimited { hint: None };
        let patient = paced((0..12).map(|_| throttled()).collect(), false, HOUR);
        assert!(patient.list_networks(None).await.is_ok());
        assert_eq!(patient.count(), RequestCount { requests: 13, throttled: 12, retries: 12 });
        let short = paced((0..12).map(|_| throttled()).collect(), false, Duration::from_secs(20));
        let error = short.list_networks(None).await.unwrap_err();
        assert!(matches!(error, ApiError::DeadlineReached { not_before: Some(_), last: Some(_) }), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_mended_is_tried_once_more_and_no_more() {
        let expired = || ApiError::ExpiredCredentials { message: String::new() };
        assert!(paced(vec![expired()], true, HOUR).list_networks(None).await.is_ok());
        assert!(paced(vec![expired()], false, HOUR).list_networks(None).await.is_err());
        let twice = paced(vec![expired(), expired()], true, HOUR);
        assert!(matches!(twice.list_networks(None).await, Err(ApiError::ExpiredCredentials { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_permanent_is_not_tried_again() {
        let refused = paced(vec![ApiError::NotFound { message: String::new() }], true, HOUR);
        assert!(matches!(refused.list_networks(None).await, Err(ApiError::NotFound { .. })));
        assert_eq!(refused.count().requests, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_servers_hint_holds_everybody() {
        let failed =
            ApiError::Internal { status: 503, message: String::new(), hint: Some(Duration::from_secs(40)) };
        let start = Instant::now();
        assert!(paced(vec![failed], false, HOUR).list_networks(None).await.is_ok());
        assert!(start.elapsed() >= Duration::from_secs(40));
    }
}
