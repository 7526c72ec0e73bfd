//! What each kind of fault comes to: a refusal, a foreign answer, a bad delivery, or an altered list of guests.
//!
//! One `match` without a default arm, so that a new kind does not compile until it is said what it does.

use chrono::{DateTime, TimeDelta, Utc};
use http::StatusCode;

use super::authorization::time_refusal;
use super::faults::FaultKind;
use super::wire::Refusal;

/// How a fault changes what is otherwise the true list of guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alteration {
    EmptyPage,
    RepeatedPage,
    TokenLoop(u64),
    Row(RowDefect),
}

/// What is wrong with the one row that a fault adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowDefect {
    ForeignPeriod,
    UnreadablePeriod,
    Missing(&'static str),
    NullHash,
    EmptyHash,
}

/// An answer that is no answer of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Substitute {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) location: Option<&'static str>,
    pub(super) body: &'static [u8],
}

/// What becomes of the true answer on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Delivery {
    #[default]
    Whole,
    Truncated,
    StalledHalfway,
    Padded(u64),
    Never,
    Reset,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Refuse(Refusal),
    Substitute(Substitute),
    Misdeliver(Delivery),
    Alter(Alteration),
}

const HTML: &[u8] = b"<html><body><h1>Service Unavailable</h1></body></html>\n";

/// Writes a moment as HTTP does.
pub(super) fn http_date(moment: DateTime<Utc>) -> String {
    moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

impl FaultKind {
    pub(super) fn effect(self, now: DateTime<Utc>) -> Effect {
        let page = |status, content_type, body| {
            Effect::Substitute(Substitute { status, content_type, location: None, body })
        };
        let refuse = |status, code, message: &str| Effect::Refuse(Refusal::new(status, code, message));
        let row = |defect| Effect::Alter(Alteration::Row(defect));
        match self {
            Self::Throttled => Effect::Refuse(Refusal::throttled()),
            Self::ThrottledForSeconds(seconds) => {
                Effect::Refuse(Refusal::throttled().with_header("retry-after", &seconds))
            }
            Self::ThrottledUntilDate(seconds) => {
                let date = http_date(now + TimeDelta::seconds(seconds.into()));
                Effect::Refuse(Refusal::throttled().with_header("retry-after", &date))
            }
            Self::ThrottledForMilliseconds(milliseconds) => {
                Effect::Refuse(Refusal::throttled().with_header("x-amz-retry-after", &milliseconds))
            }
            Self::InternalServerError => refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalServerError",
                "The service failed. Try again.",
            ),
            Self::BadGateway => page(StatusCode::BAD_GATEWAY, "text/html", HTML),
            Self::ServiceUnavailable => page(StatusCode::SERVICE_UNAVAILABLE, "text/html", HTML),
            Self::GatewayTimeout => page(StatusCode::GATEWAY_TIMEOUT, "text/plain", b""),
            Self::ConnectionReset => Effect::Misdeliver(Delivery::Reset),
            Self::TruncatedBody => Effect::Misdeliver(Delivery::Truncated),
            Self::Stall => Effect::Misdeliver(Delivery::Never),
            Self::StallMidBody => Effect::Misdeliver(Delivery::StalledHalfway),
            Self::Padded(bytes) => Effect::Misdeliver(Delivery::Padded(bytes)),
            Self::Garbage => page(StatusCode::OK, "application/json", b"{\"guestlist\": [\xff\x00,,"),
            Self::HtmlPage => page(StatusCode::OK, "text/html", HTML),
            Self::WrongShape => page(StatusCode::OK, "application/json", br#"{"guests":{"total":3}}"#),
            Self::Redirect => Effect::Substitute(Substitute {
                status: StatusCode::FOUND,
                content_type: "text/plain",
                location: Some("/elsewhere"),
                body: b"",
            }),
            Self::EmptyPage => Effect::Alter(Alteration::EmptyPage),
            Self::RepeatedPage => Effect::Alter(Alteration::RepeatedPage),
            Self::TokenLoop(length) => Effect::Alter(Alteration::TokenLoop(length.max(1))),
            Self::ForeignPeriodRow => row(RowDefect::ForeignPeriod),
            Self::UnreadablePeriodRow => row(RowDefect::UnreadablePeriod),
            Self::MissingUsernameHash => row(RowDefect::Missing("usernameHash")),
            Self::NullUsernameHash => row(RowDefect::NullHash),
            Self::EmptyUsernameHash => row(RowDefect::EmptyHash),
            Self::MissingUsername => row(RowDefect::Missing("username")),
            Self::MissingBillingPeriod => row(RowDefect::Missing("billingPeriod")),
            Self::RejectedToken => {
                Effect::Refuse(Refusal::bad_request("The nextToken is not valid any more."))
            }
            Self::BadRequest => Effect::Refuse(Refusal::bad_request("The request could not be understood.")),
            Self::Unauthorized => {
                refuse(StatusCode::UNAUTHORIZED, "UnauthorizedError", "The request is not authenticated.")
            }
            Self::PaymentRequired => page(StatusCode::PAYMENT_REQUIRED, "application/json", b"{}"),
            Self::Forbidden => {
                refuse(StatusCode::FORBIDDEN, "ForbiddenError", "Access to the network is denied.")
            }
            Self::AccessDenied => refuse(
                StatusCode::FORBIDDEN,
                "AccessDeniedException",
                "User is not authorized to perform the action, because no identity-based policy allows it.",
            ),
            Self::ExpiredToken => refuse(
                StatusCode::FORBIDDEN,
                "ExpiredTokenException",
                "The security token included in the request is expired",
            ),
            Self::ClockSkew => {
                let stamp = (now - TimeDelta::minutes(15)).format("%Y%m%dT%H%M%SZ").to_string();
                Effect::Refuse(time_refusal(&stamp, now, true))
            }
            Self::NotFound => Effect::Refuse(Refusal::not_found()),
            Self::ValidationError => {
                Effect::Refuse(Refusal::invalid("billingPeriod", "is not a billing period"))
            }
        }
    }
}
