//! Tasks: what the program does its work by.
//!
//! A task is named by users, in `--allow-shrink` and in job files, as it is in errors and logs: `NETWORK/PERIOD`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// One network in one billing period: what is walked, locked and published as a whole. Ordered by period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TaskKey {
    /// The billing period.
    pub period: BillingPeriod,
    /// The network.
    pub network: NetworkId,
}

impl TaskKey {
    /// Names the task of a network in a period.
    #[must_use]
    pub const fn new(network: NetworkId, period: BillingPeriod) -> Self {
        Self { period, network }
    }

    /// Returns the two path segments that hold what belongs to the task, in an output as in a state location.
    #[must_use]
    pub fn folder(self) -> String {
        format!("period={}/network={}", self.period, self.network)
    }

    /// Reads the two segments that [`Self::folder`] writes.
    #[must_use]
    pub fn from_segments(period: &str, network: &str) -> Option<Self> {
        Some(Self {
            period: period.strip_prefix("period=")?.parse().ok()?,
            network: network.strip_prefix("network=")?.parse().ok()?,
        })
    }
}

/// A text that names no task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not NETWORK/PERIOD, such as 12345678/2026-10")]
pub struct TaskKeyError(String);

impl FromStr for TaskKey {
    type Err = TaskKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('/')
            .and_then(|(network, period)| Some(Self::new(network.parse().ok()?, period.parse().ok()?)))
            .ok_or_else(|| TaskKeyError(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for TaskKey {
    type Error = TaskKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for TaskKey {
    /// Writes `NETWORK/PERIOD`, as `--allow-shrink` and `--accept-zero` take it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.network, self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_read_as_it_is_shown() {
        let task = TaskKey::new("01234567".parse().unwrap(), "2026-10".parse().unwrap());
        assert_eq!(task.to_string(), "01234567/2026-10");
        assert_eq!("01234567/2026-10".parse(), Ok(task));
        for text in ["", "/", "01234567", "2026-10/01234567", "01234567/2026-10/", "01234567/2026-13"] {
            assert!(text.parse::<TaskKey>().is_err(), "{text:?}");
        }
    }
}
