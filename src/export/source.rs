//! A source of guests: one account in one region, asked as one identity, at a rate of its own.
//!
//! Nothing is shared between sources but the output and the deadline, so that one which is throttled, or has no
//! credentials, costs the others nothing.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::pacing::{Paced, Pacer, RetryPolicy};
use crate::period::PeriodSpelling;
use crate::publish::SourceKind;
use crate::wickr::{Endpoint, HttpWickrAdmin, RoleArn};

/// A source, ready to be asked.
pub struct Source {
    /// Its place in the job file, counted from 1.
    pub number: usize,
    /// The profile that the job names for it.
    pub profile: Option<String>,
    /// The role that is assumed to ask it.
    pub role_arn: Option<RoleArn>,
    /// The API, one attempt at a time.
    pub api: Arc<HttpWickrAdmin>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// The rate of all that is asked of it.
    pub pacer: Arc<Pacer>,
    /// Whose turn it is among its tasks.
    pub turns: Arc<Semaphore>,
    /// How billing periods are written in requests, at first.
    pub spelling: PeriodSpelling,
    /// Set if it is the simulator of this process.
    pub is_embedded: bool,
}

impl Source {
    /// Returns what kind of service answers, as far as it has answered.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        if self.is_simulated() { SourceKind::Simulator } else { SourceKind::Wickr }
    }

    /// Says whether a simulator answers, wherever it is.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.is_embedded || self.api.answered_by_simulator()
    }

    /// Returns the endpoint as it is written down.
    #[must_use]
    pub fn endpoint_name(&self) -> &str {
        self.endpoint.url.as_str().trim_end_matches('/')
    }

    /// Returns the API at the source's rate, with counters of its own.
    #[must_use]
    pub fn paced(&self, policy: RetryPolicy, clock: Arc<dyn Clock>) -> Paced {
        Paced::new(self.api.clone(), self.pacer.clone(), policy, clock)
    }
}

/// Its number, and what tells it from the others of the job.
impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "source {} ({}", self.number, self.endpoint.region)?;
        match (&self.role_arn, &self.profile) {
            (Some(role), _) => write!(formatter, ", role {role})"),
            (None, Some(profile)) => write!(formatter, ", profile {profile})"),
            (None, None) => formatter.write_str(")"),
        }
    }
}
