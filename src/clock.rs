//! Wall time, the one way in.
//!
//! Signing, leases and the `checked_at` of a manifest need the time of day; all else is told it. Sleeping and
//! timeouts are Tokio's, which a test can pause.

use chrono::{DateTime, Utc};

/// Tells the time of day.
pub trait Clock: Send + Sync {
    /// Returns the present instant.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
