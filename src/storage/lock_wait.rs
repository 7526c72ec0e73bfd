//! How long a run waits for what another one holds.
//!
//! A wait is counted from when it begins, but it ends at the run's deadline and where the run is told to stop: then
//! whoever holds the lock is named.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long locks are waited for.
#[derive(Clone, Debug)]
pub struct LockWait {
    /// The longest wait for one lock.
    pub longest: Duration,
    /// When all waiting ends.
    pub deadline: Instant,
    /// Set when the program is told to stop.
    pub stop: CancellationToken,
}

impl LockWait {
    /// Waits for nobody.
    #[must_use]
    pub fn none() -> Self {
        Self { longest: Duration::ZERO, deadline: Instant::now(), stop: CancellationToken::new() }
    }

    /// Waits this long, whatever else happens.
    #[must_use]
    pub fn of(longest: Duration) -> Self {
        Self { longest, deadline: Instant::now() + longest, stop: CancellationToken::new() }
    }

    /// Returns how long a wait that begins now may last.
    pub(super) fn longest_from_now(&self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        whole_milliseconds(self.longest.min(left))
    }

    /// Lets some time pass, or less if the program is told to stop.
    pub(super) async fn pause(&self, span: Duration) {
        // Told to stop, there is nothing to be done but to go on.
        let _passed = self.stop.run_until_cancelled(tokio::time::sleep(span)).await;
    }
}

/// Cuts a wait to what a reader of the error wants to know.
fn whole_milliseconds(wait: Duration) -> Duration {
    Duration::new(wait.as_secs(), wait.subsec_millis() * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Destination as _, DestinationError, LocalDestination, RelativePath};

    async fn waited(longest: u64, until_deadline: u64, until_stop: u64) -> Duration {
        let folder = tempfile::tempdir().unwrap();
        let output = LocalDestination::new(folder.path().to_owned());
        let name = RelativePath::new("held.lock").unwrap();
        let _held = output.lock(&name, &LockWait::none()).await.unwrap();
        let (begun, stop) = (Instant::now(), CancellationToken::new());
        let deadline = begun + Duration::from_secs(until_deadline);
        let wait = LockWait { longest: Duration::from_secs(longest), deadline, stop: stop.clone() };
        let stopping = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(until_stop)).await;
            stop.cancel();
        });
        let error = output.lock(&name, &wait).await.unwrap_err();
        let waited = begun.elapsed();
        let is_told = if until_stop < longest.min(until_deadline) {
            matches!(error, DestinationError::Interrupted { holder: Some(_), .. })
        } else {
            matches!(error, DestinationError::Locked { holder: Some(_), .. })
        };
        assert!(is_told, "{error}");
        stopping.abort();
        waited
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_bound_at_the_deadline_or_when_told_to_stop() {
        for (longest, until_deadline, until_stop) in [(5, 60, 70), (60, 7, 70), (60, 0, 70), (60, 50, 3)] {
            let expected = longest.min(until_deadline).min(until_stop);
            let waited = waited(longest, until_deadline, until_stop).await;
            // Tokio's timers are a millisecond wide.
            assert_eq!(waited.as_secs(), expected, "{waited:?}");
        }
    }
}
