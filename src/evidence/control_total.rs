//! The service's own count of a period's guests, as a control total.
//!
//! The history covers the past 90 days. A month that began earlier is covered in part at most, so its count is
//! no control total and is not even asked for.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::guest::NetworkId;
use crate::period::BillingPeriod;
use crate::wickr::{ApiError, WickrAdmin};

/// How far back the count history reaches (API reference of `GetGuestUserHistoryCount`).
pub const HISTORY_DAYS: i64 = 90;

/// One reading of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlTotal {
    /// The history covers the period and says this.
    Listed(u64),
    /// The history covers the period and does not mention it.
    NotListed,
    /// The period began before the history does.
    NotCovered,
    /// The history could not be had.
    Unavailable,
}

impl ControlTotal {
    /// Returns the number, if the history has one.
    #[must_use]
    pub const fn count(self) -> Option<u64> {
        match self {
            Self::Listed(count) => Some(count),
            Self::NotListed | Self::NotCovered | Self::Unavailable => None,
        }
    }

    /// Returns the number, with no mention taken as zero: what an empty roster is held against.
    #[must_use]
    pub const fn count_or_absent(self) -> Option<u64> {
        match self {
            Self::NotListed => Some(0),
            Self::Listed(_) | Self::NotCovered | Self::Unavailable => self.count(),
        }
    }
}

/// Reads the count of a period.
///
/// A service that refuses or fails here leaves the number unavailable, which is said in a warning and makes a
/// second walk necessary; it does not stop the export.
///
/// # Errors
/// What would stop the walk as well: the deadline, missing or refused credentials, an answer that breaks the
/// contract.
pub async fn read_control_total(
    api: &dyn WickrAdmin,
    network: NetworkId,
    period: BillingPeriod,
    now: DateTime<Utc>,
) -> Result<ControlTotal, ApiError> {
    if period.start() < now - TimeDelta::days(HISTORY_DAYS) {
        return Ok(ControlTotal::NotCovered);
    }
    match api.guest_user_history_count(network).await {
        Ok(history) => Ok(history
            .iter()
            .find(|month| month.period == period)
            .map_or(ControlTotal::NotListed, |month| ControlTotal::Listed(month.count))),
        Err(error) if leaves_count_unavailable(&error) => {
            tracing::warn!(error = %error, "count history unavailable");
            Ok(ControlTotal::Unavailable)
        }
        Err(error) => Err(error),
    }
}

/// Says whether an export goes on without the count that was asked for in vain.
#[must_use]
pub fn leaves_count_unavailable(error: &ApiError) -> bool {
    match error {
        ApiError::Validation { .. }
        | ApiError::BadRequest { .. }
        | ApiError::Forbidden { .. }
        | ApiError::NotFound { .. }
        | ApiError::Unexpected { .. } => true,
        ApiError::GaveUp { last, .. } => !matches!(**last, ApiError::CredentialsUnavailable(_)),
        ApiError::Unauthorized { .. }
        | ApiError::RateLimited { .. }
        | ApiError::Internal { .. }
        | ApiError::ExpiredCredentials { .. }
        | ApiError::ClockSkewed { .. }
        | ApiError::Unreadable(_)
        | ApiError::Shape(_)
        | ApiError::TooLarge { .. }
        | ApiError::Transport { .. }
        | ApiError::CredentialsUnavailable(_)
        | ApiError::NoCredentials(_)
        | ApiError::RoleRefused { .. }
        | ApiError::Unsendable(_)
        | ApiError::DeadlineReached { .. } => false,
    }
}
