//! Exit codes, and the one place where an error becomes one.
//!
//! The codes are those of sysexits.h where it has a fitting one. Schedulers act on them: 75 is worth another
//! try, most others want a person.

use serde::{Serialize, Serializer};

use crate::checkpoint::CheckpointError;
use crate::evidence::ConfirmError;
use crate::export::{NetworkOfTwoSources, NetworksError, SourceError, TaskError};
use crate::job::{JobError, JobFileError, UsageError};
use crate::ledger::NothingPublished;
use crate::page::NothingToShow;
use crate::page::file::PageFileError;
use crate::publish::summary::SummaryError;
use crate::publish::{PublishError, PurgeError};
use crate::reconcile::LongInvoice;
use crate::reconcile::invoice::InvoiceError;
use crate::reconcile::mapping::MappingError;
use crate::report::PrintError;
use crate::roster::{RosterError, RunStoreError};
use crate::storage::object::StoreConnectError;
use crate::storage::{DestinationError, DestinationUrlError};
use crate::telemetry::LoggingError;
use crate::turnover::TurnoverError;
use crate::walk::{WalkError, WalkFailure};
use crate::wickr::{ApiError, EndpointError, HttpClientError};

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// All was published, unchanged, or there was nothing to do.
    Success = 0,
    /// The command line or the job definition is wrong.
    Usage = 2,
    /// A mismatch that was to fail, a shrink that nobody allowed, a period that was further when published, a purge
    /// of what is not final, or an invoice that disagrees.
    Refused = 3,
    /// The answers broke the contract or could not be confirmed; for what reads an output, nothing is published
    /// there, or it is not whole or cannot be believed.
    Untrusted = 65,
    /// A bug.
    Bug = 70,
    /// The destination refuses, or is full.
    Destination = 73,
    /// Temporary: run again.
    Temporary = 75,
    /// Credentials or permissions.
    Credentials = 77,
    /// No such network.
    NoNetwork = 78,
}

impl Serialize for ExitStatus {
    /// Writes its number.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.code().serialize(serializer)
    }
}

impl ExitStatus {
    /// All codes but success, the one that a run of several failures ends with first: what a retry can mend is
    /// retried first.
    const BY_PRECEDENCE: [Self; 8] = [
        Self::Bug,
        Self::Temporary,
        Self::Credentials,
        Self::NoNetwork,
        Self::Untrusted,
        Self::Destination,
        Self::Refused,
        Self::Usage,
    ];

    /// Returns the number that the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Picks the one code of a run whose tasks ended in different ways.
    #[must_use]
    pub fn of_all(statuses: impl IntoIterator<Item = Self>) -> Self {
        let rank = |status: &Self| Self::BY_PRECEDENCE.iter().position(|listed| listed == status);
        statuses.into_iter().min_by_key(|status| rank(status).unwrap_or(usize::MAX)).unwrap_or(Self::Success)
    }

    /// Maps any error that ends a command: the first cause that has a code decides.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Bug)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let usage = cause.is::<JobFileError>()
            || cause.is::<JobError>()
            || cause.is::<EndpointError>()
            || cause.is::<DestinationUrlError>()
            || cause.is::<StoreConnectError>()
            || cause.is::<LoggingError>()
            || cause.is::<HttpClientError>()
            || cause.is::<NetworkOfTwoSources>()
            || cause.is::<MappingError>()
            || cause.is::<InvoiceError>()
            || cause.is::<LongInvoice>()
            || cause.is::<UsageError>();
        if usage {
            return Some(Self::Usage);
        }
        if cause.is::<PrintError>() || cause.is::<PageFileError>() {
            return Some(Self::Destination);
        }
        if cause.is::<NothingPublished>() || cause.is::<NothingToShow>() {
            return Some(Self::Untrusted);
        }
        cause
            .downcast_ref::<ApiError>()
            .map(Self::of_api)
            .or_else(|| cause.downcast_ref::<SourceError>().map(Self::of_source))
            .or_else(|| cause.downcast_ref::<DestinationError>().map(Self::of_destination))
            .or_else(|| cause.downcast_ref::<CheckpointError>().map(Self::of_checkpoint))
            .or_else(|| cause.downcast_ref::<PublishError>().map(Self::of_publication))
            .or_else(|| cause.downcast_ref::<PurgeError>().map(Self::of_purge))
            .or_else(|| cause.downcast_ref::<TurnoverError>().map(Self::of_turnover))
            .or_else(|| cause.downcast_ref::<SummaryError>().map(Self::of_summary))
            .or_else(|| cause.downcast_ref::<TaskError>().map(Self::of_task))
    }

    /// Maps the failure of a task.
    #[must_use]
    pub fn of_task(error: &TaskError) -> Self {
        match error {
            TaskError::Network(error) => Self::of_api(error),
            TaskError::Confirm(error) | TaskError::Unfinished(error) => Self::of_confirming(error),
            TaskError::Publish(error) => Self::of_publication(error),
            TaskError::Lock(error) => Self::of_destination(error),
            TaskError::Interrupted | TaskError::OutOfGrace(_) => Self::Temporary,
            TaskError::Panicked => Self::Bug,
        }
    }

    /// Maps why the rosters of a task were not purged.
    #[must_use]
    pub fn of_purge(error: &PurgeError) -> Self {
        match error {
            PurgeError::Publish(error) => Self::of_publication(error),
            PurgeError::Elsewhere(_) => Self::Usage,
            PurgeError::NotFinal { .. } => Self::Refused,
            PurgeError::Undecided(_) => Self::Temporary,
        }
    }

    fn of_turnover(error: &TurnoverError) -> Self {
        match error {
            TurnoverError::Destination(error) => Self::of_destination(error),
            TurnoverError::OneNetwork | TurnoverError::NoRevision { .. } | TurnoverError::Nothing { .. } => {
                Self::Usage
            }
            TurnoverError::Encode(_) | TurnoverError::Panicked => Self::Bug,
        }
    }

    fn of_confirming(error: &ConfirmError) -> Self {
        match error {
            ConfirmError::Walk(error) => Self::of_walk(error),
            ConfirmError::History(error) => Self::of_api(error),
            ConfirmError::Refused(_) => Self::Untrusted,
            ConfirmError::Checkpoint(error) => Self::of_checkpoint(error),
            ConfirmError::Interrupted => Self::Temporary,
        }
    }

    fn of_walk(error: &WalkError) -> Self {
        match &error.reason {
            WalkFailure::Api(error) => Self::of_api(error),
            WalkFailure::Guard(_) => Self::Untrusted,
            WalkFailure::Roster(error) => Self::of_roster(error),
            WalkFailure::Runs(error) => Self::of_runs(error),
            WalkFailure::Interrupted => Self::Temporary,
        }
    }

    fn of_runs(error: &RunStoreError) -> Self {
        match error {
            RunStoreError::Storage(error) => Self::of_destination(error),
            RunStoreError::Rows(error) => Self::of_roster(error),
        }
    }

    fn of_roster(error: &RosterError) -> Self {
        match error {
            RosterError::EmptyHash => Self::Untrusted,
            RosterError::Damaged(_) | RosterError::Interrupted => Self::Temporary,
            RosterError::Batch(_) => Self::Bug,
        }
    }

    fn of_checkpoint(error: &CheckpointError) -> Self {
        match error {
            CheckpointError::NoLocation => Self::Destination,
            CheckpointError::Runs(error) => Self::of_runs(error),
            CheckpointError::Storage(error) => Self::of_destination(error),
        }
    }

    /// Maps what the API fails with.
    #[must_use]
    pub fn of_api(error: &ApiError) -> Self {
        match error {
            ApiError::Validation { .. }
            | ApiError::BadRequest { .. }
            | ApiError::Unexpected { .. }
            | ApiError::Unreadable(_)
            | ApiError::Shape(_)
            | ApiError::TooLarge { .. } => Self::Untrusted,
            ApiError::Unauthorized { .. }
            | ApiError::Forbidden { .. }
            | ApiError::ExpiredCredentials { .. }
            | ApiError::ClockSkewed { .. }
            | ApiError::NoCredentials(_)
            | ApiError::RoleRefused { .. } => Self::Credentials,
            ApiError::Unsendable(_) => Self::Bug,
            ApiError::NotFound { .. } => Self::NoNetwork,
            ApiError::RateLimited { .. }
            | ApiError::Internal { .. }
            | ApiError::Transport { .. }
            | ApiError::CredentialsUnavailable(_)
            | ApiError::DeadlineReached { .. } => Self::Temporary,
            ApiError::GaveUp { last, .. } => Self::of_api(last),
        }
    }

    /// Maps the failure of a source.
    #[must_use]
    pub fn of_source(error: &SourceError) -> Self {
        match error {
            SourceError::Networks(error) => Self::of_networks(error),
            SourceError::NoNetworks(_) => Self::NoNetwork,
        }
    }

    fn of_networks(error: &NetworksError) -> Self {
        match error {
            NetworksError::Api(error) => Self::of_api(error),
            NetworksError::Guard(_) | NetworksError::TooMany => Self::Untrusted,
        }
    }

    /// Maps what a destination fails with.
    #[must_use]
    pub fn of_destination(error: &DestinationError) -> Self {
        match error {
            DestinationError::ReadOnly { .. }
            | DestinationError::Refused { .. }
            | DestinationError::Full { .. }
            | DestinationError::Io { .. }
            | DestinationError::InTheWay { .. }
            | DestinationError::TooLong { .. }
            | DestinationError::OwnedByAnother { .. }
            | DestinationError::PlaceFileDamaged { .. }
            | DestinationError::Unconditional { .. } => Self::Destination,
            DestinationError::Unauthorized { .. } => Self::Credentials,
            DestinationError::Misaddressed { .. } | DestinationError::RostersElsewhere { .. } => Self::Usage,
            DestinationError::Changed { .. }
            | DestinationError::Unavailable { .. }
            | DestinationError::Locked { .. }
            | DestinationError::Interrupted { .. }
            | DestinationError::LockLost { .. } => Self::Temporary,
            DestinationError::Worker { .. } => Self::Bug,
        }
    }

    fn of_summary(error: &SummaryError) -> Self {
        match error {
            SummaryError::Destination(error) => Self::of_destination(error),
            SummaryError::Encode(_) => Self::Bug,
        }
    }

    /// Maps what a publication fails with.
    #[must_use]
    pub fn of_publication(error: &PublishError) -> Self {
        match error {
            PublishError::Destination(error) => Self::of_destination(error),
            PublishError::ManifestDamaged { .. }
            | PublishError::ManifestLost { .. }
            | PublishError::MixedSources { .. } => Self::Destination,
            PublishError::Shrink(_) | PublishError::StateWentBack { .. } => Self::Refused,
            PublishError::Rows { .. } => Self::Temporary,
            PublishError::Encode { .. } | PublishError::Inconsistent { .. } => Self::Bug,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_retry_can_mend_is_retried_first() {
        use ExitStatus::{Credentials, Destination, NoNetwork, Refused, Success, Temporary, Untrusted};
        let all = [Success, Refused, Destination, Untrusted, NoNetwork, Credentials, Temporary];
        for end in (1..=all.len()).rev() {
            assert_eq!(ExitStatus::of_all(all[..end].iter().copied()), all[end - 1]);
        }
        assert_eq!(ExitStatus::of_all([Temporary, ExitStatus::Bug]), ExitStatus::Bug);
        assert_eq!(ExitStatus::of_all([]), Success);
    }

    #[test]
    fn an_answer_unreadable_after_all_attempts_is_no_temporary_failure() {
        let gave_up = |last| ApiError::GaveUp { attempts: 8, last: Box::new(last) };
        let unreadable = gave_up(ApiError::Unreadable("it is not JSON".to_owned()));
        assert_eq!(ExitStatus::of(&unreadable.into()), ExitStatus::Untrusted);
        let down = gave_up(ApiError::Internal { status: 500, message: String::new(), hint: None });
        assert_eq!(ExitStatus::of(&down.into()), ExitStatus::Temporary);
    }

    #[test]
    fn an_error_that_nobody_placed_is_a_bug() {
        assert_eq!(ExitStatus::of(&anyhow::anyhow!("surprise")), ExitStatus::Bug);
    }
}
