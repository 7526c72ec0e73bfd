//! Refusals in the words of the model.

use wickr_guest_export::evidence::{self, ConfirmError};
use wickr_guest_export::exit::ExitStatus;
use wickr_guest_export::export::TaskError;
use wickr_guest_export::walk::{GuardError, WalkFailure};
use wickr_guest_export::wickr::{ApiError, ShapeError, TransportFault};

use crate::model::Refusal;
use crate::schedule::ATTEMPTS;

/// Words a refusal as the model does.
pub(super) fn refusal_of(error: ConfirmError) -> Refusal {
    let reason = match &error {
        ConfirmError::History(error) => format!("history: {}", name_of(error)),
        ConfirmError::Refused(evidence::Refusal::WalksDiffer { guests }) => {
            format!("WalksDiffer {guests:?}")
        }
        ConfirmError::Refused(evidence::Refusal::UnconfirmedZero) => "UnconfirmedZero".to_owned(),
        ConfirmError::Walk(error) => {
            let why = match &error.reason {
                WalkFailure::Api(error) => name_of(error),
                WalkFailure::Guard(GuardError::RepeatedToken) => "RepeatedToken".to_owned(),
                WalkFailure::Guard(GuardError::NoProgress) => "NoProgress".to_owned(),
                WalkFailure::Guard(GuardError::Endless) => "Endless".to_owned(),
                WalkFailure::Roster(error) => format!("Roster {error}"),
                WalkFailure::Runs(error) => format!("Runs {error}"),
                WalkFailure::Interrupted => "Interrupted".to_owned(),
            };
            format!("{} walk, page {}: {why}", error.direction.as_str(), error.page)
        }
        ConfirmError::Checkpoint(error) => format!("Checkpoint {error}"),
        ConfirmError::Interrupted => "Interrupted".to_owned(),
    };
    Refusal { reason, exit_code: ExitStatus::of_task(&TaskError::Confirm(error)).code() }
}

fn name_of(error: &ApiError) -> String {
    match error {
        ApiError::Validation { .. } => "Validation".to_owned(),
        ApiError::BadRequest { .. } => "BadRequest".to_owned(),
        ApiError::Unauthorized { .. } => "Unauthorized".to_owned(),
        ApiError::Forbidden { .. } => "Forbidden".to_owned(),
        ApiError::NotFound { .. } => "NotFound".to_owned(),
        ApiError::RateLimited { .. } => "RateLimited".to_owned(),
        ApiError::Internal { status, .. } => format!("Internal {status}"),
        ApiError::ExpiredCredentials { .. } => "ExpiredCredentials".to_owned(),
        ApiError::ClockSkewed { .. } => "ClockSkewed".to_owned(),
        ApiError::Unexpected { status, .. } => format!("Unexpected {status}"),
        ApiError::Unreadable(_) => "Unreadable".to_owned(),
        ApiError::Shape(error) => match error {
            ShapeError::Answer { .. } => "Shape Answer".to_owned(),
            ShapeError::MissingField { row, field } => format!("Shape MissingField {field} row {row}"),
            ShapeError::BadText { row, field, .. } => format!("Shape BadText {field} row {row}"),
            ShapeError::ForeignPeriod { row, .. } => format!("Shape ForeignPeriod row {row}"),
            other => format!("Shape {other}"),
        },
        ApiError::TooLarge { .. } => "TooLarge".to_owned(),
        ApiError::Transport { fault, .. } => match fault {
            TransportFault::Timeout => "Transport Timeout".to_owned(),
            TransportFault::Broken => "Transport Broken".to_owned(),
            TransportFault::Connect => "Transport Connect".to_owned(),
            TransportFault::NameResolution => "Transport NameResolution".to_owned(),
        },
        ApiError::CredentialsUnavailable(_) => "CredentialsUnavailable".to_owned(),
        ApiError::NoCredentials(_) => "NoCredentials".to_owned(),
        ApiError::RoleRefused { .. } => "RoleRefused".to_owned(),
        ApiError::Unsendable(_) => "Unsendable".to_owned(),
        ApiError::DeadlineReached { .. } => "DeadlineReached".to_owned(),
        ApiError::GaveUp { attempts, last } if *attempts == ATTEMPTS => format!("GaveUp {}", name_of(last)),
        ApiError::GaveUp { attempts, .. } => format!("GaveUp after {attempts} attempts"),
    }
}
