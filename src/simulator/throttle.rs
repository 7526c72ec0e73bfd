//! The rate that the simulated service allows, as a token bucket in its time form.
//!
//! It remembers one instant, the earliest at which an ideally spaced request would be due, in place of a fill
//! level: no fractions, and nothing to refill. A refused request costs nothing, as at AWS.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Admits so many requests a second, and a few at once after a pause.
#[derive(Debug)]
pub(super) struct Throttle {
    interval: Duration,
    tolerance: Duration,
    due: Mutex<Option<Instant>>,
}

impl Throttle {
    pub(super) fn new(requests_per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / requests_per_second.max(1);
        Self { interval, tolerance: interval * burst.saturating_sub(1), due: Mutex::new(None) }
    }

    /// Admits a request, or says how long it is until one would be.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let ideal = due.map_or(now, |due| due.max(now));
        let early = ideal - now;
        let wait = early.saturating_sub(self.tolerance);
        if !wait.is_zero() {
            return Err(wait);
        }
        *due = Some(ideal + self.interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_refusals_cost_nothing() {
        let throttle = Throttle::new(10, 1);
        let start = Instant::now();
        let admitted =
            (0..2000).filter(|tick| throttle.admit(start + Duration::from_millis(*tick)).is_ok()).count();
        assert_eq!(admitted, 20);
    }

    #[test]
    fn a_burst_is_admitted_after_a_pause_and_no_more() {
        let throttle = Throttle::new(10, 3);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(throttle.admit(start), Ok(()));
        }
        assert_eq!(throttle.admit(start), Err(Duration::from_millis(100)));
        let later = start + Duration::from_mins(1);
        assert_eq!((0..10).filter(|_| throttle.admit(later).is_ok()).count(), 3);
    }
}
