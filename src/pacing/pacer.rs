//! The rate at which requests leave, found out by asking: AWS publishes no limit for Wickr.
//!
//! After a refusal the rate falls, returns within [`RECOVERY`] to just under the rate that was refused, and
//! from there probes upward slowly at first and ever faster, as TCP CUBIC does (RFC 9438) and for the same
//! reason: time near the limit is time well spent, and a limit that was raised is still found. All requests
//! that were already on their way when the rate fell count as one refusal.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;

/// What remains of the refused rate right after a refusal.
const DECREASE: f64 = 0.7;
/// The part of the refused rate that is returned to.
const JUST_UNDER: f64 = 0.96;
/// How long the return takes.
const RECOVERY: Duration = Duration::from_secs(2);
/// How long probing takes to come back to the refused rate, in seconds and in requests, whichever is longer:
/// a slow limit must not be asked too often either.
const PROBING_SECONDS: f64 = 20.0;
const PROBING_REQUESTS: f64 = 100.0;
/// The bounds of the pause after a refusal that names none. It begins with half of what a failed attempt waits: the rate
/// falls as well, so the pause need not make up for what was too much, only let it pass.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The rate never falls below one request in ten seconds.
const SLOWEST: f64 = 0.1;
/// How far a request may leave behind its slot without the schedule shifting: the timer's grain.
const TIMER_GRAIN: Duration = Duration::from_millis(5);
/// How many departures the measured rate looks back over.
const MEASURED_DEPARTURES: usize = 16;

/// What the user allows.
#[derive(Clone, Copy, Debug)]
pub struct PacerSettings {
    /// The most requests that may leave in a second.
    pub max_requests_per_second: f64,
}

/// Lets requests leave one at a time, at a rate that the server has been seen to accept.
pub struct Pacer {
    settings: PacerSettings,
    /// Held by the one request whose turn is next, so that turns are taken in order of arrival.
    turnstile: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// The rate at which the last refused request left, and when it was refused.
    refused: Option<(f64, Instant)>,
    /// How often the rate has fallen.
    epoch: u64,
    next_slot: Instant,
    paused_until: Instant,
    departures: VecDeque<Instant>,
    backoff: Backoff,
    jitter: Box<dyn FnMut() -> f64 + Send>,
}

/// Leave to send one request; remembers when it was given.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    epoch: u64,
    rate: f64,
}

impl Pacer {
    /// Makes a pacer; `jitter` draws numbers from 0 to 1.
    pub fn new(settings: PacerSettings, jitter: impl FnMut() -> f64 + Send + 'static) -> Self {
        let now = Instant::now();
        Self {
            settings,
            turnstile: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                refused: None,
                epoch: 0,
                next_slot: now,
                paused_until: now,
                departures: VecDeque::with_capacity(MEASURED_DEPARTURES),
                backoff: Backoff::new(SHORTEST_PAUSE, LONGEST_PAUSE),
                jitter: Box::new(jitter),
            }),
        }
    }

    /// Waits for leave to send one request.
    ///
    /// # Errors
    /// The instant at which leave would have come, if that is after `deadline`.
    pub async fn acquire(&self, deadline: Instant) -> Result<Permit, Instant> {
        let _turn = tokio::time::timeout_at(deadline, self.turnstile.lock())
            .await
            .map_err(|_| self.state().earliest().max(deadline))?;
        loop {
            let earliest = self.state().earliest();
            let now = Instant::now();
            if earliest <= now {
                return Ok(self.depart(now));
            }
            if earliest > deadline {
                return Err(earliest);
            }
            tokio::time::sleep_until(earliest).await;
        }
    }

    /// Takes note that the server answered; ends the growth of the pauses.
    pub fn on_accepted(&self, permit: &Permit) {
        let mut state = self.state();
        if permit.epoch == state.epoch {
            state.backoff.reset();
        }
    }

    /// Takes note of a 429: pauses everybody, and slows down unless that was done for this request's epoch.
    pub fn on_throttled(&self, permit: &Permit, hint: Option<Duration>) {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(hint) = hint {
            state.pause(now + hint);
        }
        if permit.epoch != state.epoch {
            return;
        }
        state.epoch += 1;
        state.refused = Some((permit.rate.max(SLOWEST / DECREASE), now));
        state.departures.clear();
        if hint.is_none() {
            let jitter = (state.jitter)();
            let wait = state.backoff.next(jitter);
            state.pause(now + wait);
        }
        let rate = self.rate(&state, now);
        drop(state);
        tracing::debug!(refused_rate = permit.rate, rate, "rate lowered");
    }

    /// Pauses everybody because a failing server asked for it.
    pub fn on_hint(&self, hint: Duration) {
        self.state().pause(Instant::now() + hint);
    }

    /// Draws a number from 0 to 1 from the pacer's random source.
    pub(super) fn jitter(&self) -> f64 {
        (self.state().jitter)()
    }

    /// Returns the present rate in requests a second.
    #[must_use]
    pub fn present_rate(&self) -> f64 {
        self.rate(&self.state(), Instant::now())
    }

    fn depart(&self, now: Instant) -> Permit {
        let mut state = self.state();
        let rate = self.rate(&state, now);
        let slot = state.next_slot.max(now.checked_sub(TIMER_GRAIN).unwrap_or(now));
        state.next_slot = slot + Duration::from_secs_f64(1.0 / rate);
        if state.departures.len() == MEASURED_DEPARTURES {
            state.departures.pop_front();
        }
        state.departures.push_back(now);
        Permit { epoch: state.epoch, rate: state.measured_rate().map_or(rate, |measured| measured.min(rate)) }
    }

    fn rate(&self, state: &State, now: Instant) -> f64 {
        let most = self.settings.max_requests_per_second;
        let Some((refused, since)) = state.refused else {
            return most;
        };
        let elapsed = now.saturating_duration_since(since);
        let target = refused * JUST_UNDER;
        let rate = if elapsed < RECOVERY {
            let remaining = 1.0 - elapsed.as_secs_f64() / RECOVERY.as_secs_f64();
            target - (target - refused * DECREASE) * remaining.powi(3)
        } else {
            let probing = PROBING_SECONDS.max(PROBING_REQUESTS / target);
            let probed = elapsed.saturating_sub(RECOVERY).as_secs_f64() / probing;
            target + (refused - target) * probed.powi(3)
        };
        rate.clamp(SLOWEST.min(most), most)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn earliest(&self) -> Instant {
        self.next_slot.max(self.paused_until)
    }

    fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(until);
    }

    /// The rate of the last departures, once there are enough to tell.
    fn measured_rate(&self) -> Option<f64> {
        let (first, last) = (self.departures.front()?, self.departures.back()?);
        let intervals = u32::try_from(self.departures.len() - 1).ok().filter(|intervals| *intervals >= 4)?;
        let span = last.duration_since(*first).as_secs_f64();
        (span > 0.0).then(|| f64::from(intervals) / span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_secs(100_000);

    fn pacer(most: f64, jitter: f64) -> Pacer {
        Pacer::new(PacerSettings { max_requests_per_second: most }, move || jitter)
    }

    async fn leave(pacer: &Pacer) -> Permit {
        pacer.acquire(Instant::now() + FAR).await.expect("leave before the deadline")
    }

    #[tokio::test(start_paused = true)]
    async fn requests_leave_no_faster_than_allowed() {
        let pacer = pacer(10.0, 0.0);
        let start = Instant::now();
        for _ in 0..51 {
            let _permit = leave(&pacer).await;
        }
        let elapsed = start.elapsed().as_secs_f64();
        assert!((4.9..5.2).contains(&elapsed), "{elapsed}");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up_for_a_burst() {
        let pacer = pacer(10.0, 0.0);
        let _first = leave(&pacer).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        let start = Instant::now();
        for _ in 0..11 {
            let _permit = leave(&pacer).await;
        }
        assert!(start.elapsed() >= Duration::from_millis(950));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_already_on_their_way_count_as_one_refusal() {
        let pacer = pacer(8.0, 0.0);
        let permits = [leave(&pacer).await, leave(&pacer).await, leave(&pacer).await];
        for permit in &permits {
            pacer.on_throttled(permit, None);
        }
        assert!((pacer.present_rate() - 8.0 * DECREASE).abs() < 1e-9, "{}", pacer.present_rate());
        let later = leave(&pacer).await;
        pacer.on_throttled(&later, None);
        assert!(pacer.present_rate() < 8.0 * DECREASE, "a later refusal counts again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_returns_to_just_under_the_refused_one_and_then_probes() {
        let pacer = pacer(100.0, 0.0);
        let permit = Permit { epoch: 0, rate: 50.0 };
        pacer.on_throttled(&permit, None);
        let after = async |wait: Duration| {
            tokio::time::sleep(wait).await;
            pacer.present_rate()
        };
        assert!((pacer.present_rate() - 35.0).abs() < 0.01);
        let recovered = after(RECOVERY).await;
        assert!((recovered - 48.0).abs() < 0.01, "{recovered}");
        let halfway = after(Duration::from_secs_f64(PROBING_SECONDS / 2.0)).await;
        assert!((48.0..48.5).contains(&halfway), "{halfway}");
        let back = after(Duration::from_secs_f64(PROBING_SECONDS / 2.0)).await;
        assert!((back - 50.0).abs() < 0.01, "{back}");
        assert!((after(Duration::from_mins(10)).await - 100.0).abs() < 1e-9, "a raised limit is found");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_hint_the_pause_lies_between_none_and_the_bound() {
        for (jitter, expected) in [(0.0, 0), (1.0, 250)] {
            let pacer = pacer(1000.0, jitter);
            let permit = leave(&pacer).await;
            pacer.on_throttled(&permit, None);
            let start = Instant::now();
            let _next = leave(&pacer).await;
            let waited = start.elapsed().as_millis();
            assert!((expected..expected + 10).contains(&waited), "jitter {jitter}: {waited}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_until_something_is_accepted() {
        let pacer = pacer(1000.0, 1.0);
        let mut waits = Vec::new();
        for _ in 0..3 {
            let permit = leave(&pacer).await;
            pacer.on_throttled(&permit, None);
            let start = Instant::now();
            let next = leave(&pacer).await;
            waits.push(start.elapsed().as_millis() / 10);
            if waits.len() == 2 {
                pacer.on_accepted(&next);
            }
        }
        assert_eq!(waits, [25, 50, 25]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_pauses_everybody_at_least_that_long() {
        let pacer = pacer(1000.0, 0.0);
        let permit = leave(&pacer).await;
        pacer.on_throttled(&permit, Some(Duration::from_secs(30)));
        pacer.on_hint(Duration::from_secs(5));
        let start = Instant::now();
        let _other = leave(&pacer).await;
        assert!(start.elapsed() >= Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_past_the_deadline_is_told_at_once() {
        let pacer = pacer(1000.0, 0.0);
        let permit = leave(&pacer).await;
        pacer.on_throttled(&permit, Some(Duration::from_hours(1)));
        let start = Instant::now();
        let earliest = pacer.acquire(start + Duration::from_mins(1)).await.unwrap_err();
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(earliest >= start + Duration::from_hours(1));
    }

    /// A server that allows `limit` requests a second by a token bucket of the given depth.
    async fn settle(limit: f64, depth: f64, seconds: u64) -> (f64, f64) {
        let pacer = pacer(100.0, 0.5);
        let start = Instant::now();
        let (mut tokens, mut filled) = (depth, start);
        let (mut accepted, mut throttled) = (0.0, 0.0);
        while start.elapsed() < Duration::from_secs(seconds) {
            let permit = leave(&pacer).await;
            let now = Instant::now();
            tokens = (tokens + (now - filled).as_secs_f64() * limit).min(depth);
            filled = now;
            if tokens >= 1.0 {
                tokens -= 1.0;
                accepted += 1.0;
                pacer.on_accepted(&permit);
            } else {
                throttled += 1.0;
                pacer.on_throttled(&permit, None);
            }
        }
        (accepted / start.elapsed().as_secs_f64() / limit, throttled / (accepted + throttled))
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_settles_just_under_an_unknown_limit() {
        for limit in [2.0, 5.0, 20.0, 60.0] {
            for depth in [1.0, limit] {
                let (share_of_limit, share_throttled) = settle(limit, depth, 600).await;
                assert!(share_of_limit > 0.92, "limit {limit}, depth {depth}: {share_of_limit}");
                assert!(share_throttled < 0.03, "limit {limit}, depth {depth}: {share_throttled}");
            }
        }
    }
}
