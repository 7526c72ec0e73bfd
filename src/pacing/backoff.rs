//! Full-jitter exponential backoff, as arithmetic.
//!
//! The crate `backoff` supplies the growth of the interval and nothing else: it is no longer maintained, so it
//! neither sleeps, nor reads a clock that matters, nor draws random numbers here. The jitter comes in as a
//! number between 0 and 1 (see "Exponential Backoff and Jitter", AWS Architecture Blog: full jitter spreads
//! clients best).

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// The wait before the next try, doubling from half a second to a minute, times the jitter.
#[derive(Debug)]
pub struct Backoff {
    interval: ExponentialBackoff,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_mins(1))
    }
}

impl Backoff {
    /// Makes a backoff whose bound starts at `initial` and doubles up to `longest`.
    #[must_use]
    pub fn new(initial: Duration, longest: Duration) -> Self {
        let interval = ExponentialBackoff {
            current_interval: initial,
            initial_interval: initial,
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: longest,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { interval }
    }

    /// Returns the next wait: `jitter` (0 to 1) of the bound, which then doubles.
    pub fn next(&mut self, jitter: f64) -> Duration {
        let bound = self.interval.next_backoff().unwrap_or(self.interval.max_interval);
        bound.mul_f64(jitter.clamp(0.0, 1.0))
    }

    /// Starts again from the initial bound.
    pub fn reset(&mut self) {
        self.interval.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(jitter: f64) -> Vec<u128> {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(4));
        (0..6).map(|_| backoff.next(jitter).as_millis()).collect()
    }

    #[test]
    fn the_bound_doubles_up_to_the_longest() {
        assert_eq!(milliseconds(1.0), [500, 1000, 2000, 4000, 4000, 4000]);
    }

    #[test]
    fn the_other_end_of_the_jitter_waits_not_at_all() {
        assert_eq!(milliseconds(0.0), [0; 6]);
        assert_eq!(milliseconds(0.5), [250, 500, 1000, 2000, 2000, 2000]);
    }

    #[test]
    fn a_reset_begins_again() {
        let mut backoff = Backoff::default();
        backoff.next(1.0);
        backoff.next(1.0);
        backoff.reset();
        assert_eq!(backoff.next(1.0), Duration::from_millis(500));
    }
}
