//! The shapes that travel: operations, answers and refusals as the service model spells them.
//!
//! Written from the reference and from AWS's service model, not from the client's types, on purpose.

use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::period::{BillingPeriod, PeriodSpelling};

/// An operation of the Wickr Admin API that the simulator offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub enum Operation {
    /// `GET /networks/{networkId}/guest-users`
    #[default]
    ListGuestUsers,
    /// `GET /networks/{networkId}/guest-users/count`
    GetGuestUserHistoryCount,
    /// `GET /networks/{networkId}/guest-users/blocklist`
    ListBlockedGuestUsers,
    /// `GET /networks`
    ListNetworks,
    /// `GET /networks/{networkId}`
    GetNetwork,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

impl Operation {
    /// Finds the operation of a path, with the network that it names.
    pub(super) fn route(path: &str) -> Option<(Self, Option<&str>)> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match segments[..] {
            ["networks"] => Some((Self::ListNetworks, None)),
            ["networks", network] => Some((Self::GetNetwork, Some(network))),
            ["networks", network, "guest-users"] => Some((Self::ListGuestUsers, Some(network))),
            ["networks", network, "guest-users", "count"] => {
                Some((Self::GetGuestUserHistoryCount, Some(network)))
            }
            ["networks", network, "guest-users", "blocklist"] => {
                Some((Self::ListBlockedGuestUsers, Some(network)))
            }
            _ => None,
        }
    }
}

/// Writes a period as the service would.
pub(super) fn spell(period: BillingPeriod, spelling: PeriodSpelling) -> String {
    let hyphenated = period.to_string();
    match spelling {
        PeriodSpelling::Hyphen => hyphenated,
        PeriodSpelling::Underscore => hyphenated.replace('-', "_"),
    }
}

/// Reads a period and how it was spelled.
pub(super) fn read_period(text: &str) -> Option<(BillingPeriod, PeriodSpelling)> {
    let (year, month, spelling) = match (text.split_once('-'), text.split_once('_')) {
        (Some((year, month)), None) => (year, month, PeriodSpelling::Hyphen),
        (None, Some((year, month))) => (year, month, PeriodSpelling::Underscore),
        _ => return None,
    };
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) {
        return None;
    }
    let period = BillingPeriod::new(year.parse().ok()?, month.parse().ok()?)?;
    Some((period, spelling))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GuestUser {
    pub(super) billing_period: String,
    pub(super) username: String,
    pub(super) username_hash: String,
}

#[derive(Debug, Serialize)]
pub(super) struct HistoryCount {
    pub(super) month: String,
    pub(super) count: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockedGuestUser {
    pub(super) username: String,
    pub(super) admin: String,
    pub(super) modified: String,
    pub(super) username_hash: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Network {
    #[serde(rename = "networkId")]
    pub(super) id: String,
    #[serde(rename = "networkName")]
    pub(super) name: String,
    pub(super) access_level: &'static str,
    pub(super) aws_account_id: &'static str,
    #[serde(rename = "networkArn")]
    pub(super) arn: String,
    pub(super) standing: u32,
    pub(super) migration_state: u32,
}

/// One parameter that a `ValidationError` complains about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    pub(super) field: &'static str,
    pub(super) reason: String,
}

/// A refusal in the documented shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) reasons: Vec<Reason>,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), reasons: Vec::new(), headers: Vec::new() }
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestError", message)
    }

    pub(super) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        let reasons = vec![Reason { field, reason: reason.into() }];
        let message = "The request did not pass validation.";
        Self { reasons, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "ValidationError", message) }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFoundError", "The network was not found.")
    }

    pub(super) fn throttled() -> Self {
        let message = "The request rate is too high. Try again later.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "RateLimitError", message)
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Returns the body: `message`, and `reasons` where there are any.
    pub(super) fn body(&self) -> String {
        let mut body = serde_json::json!({ "message": self.message });
        if !self.reasons.is_empty() {
            body["reasons"] = serde_json::json!(self.reasons);
        }
        body.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_operation_and_nothing_else_does() {
        for (path, operation) in [
            ("/networks", Some((Operation::ListNetworks, None))),
            ("/networks/1", Some((Operation::GetNetwork, Some("1")))),
            ("/networks/1/guest-users", Some((Operation::ListGuestUsers, Some("1")))),
            ("/networks/1/guest-users/count", Some((Operation::GetGuestUserHistoryCount, Some("1")))),
            ("/networks/1/guest-users/blocklist", Some((Operation::ListBlockedGuestUsers, Some("1")))),
            ("/networks/1/guest-users/", None),
            ("/", None),
            ("networks", None),
        ] {
            assert_eq!(Operation::route(path), operation, "{path}");
        }
    }

    #[test]
    fn both_spellings_are_read_and_written() {
        let period = BillingPeriod::new(2026, 10).unwrap();
        for (text, spelling) in [("2026-10", PeriodSpelling::Hyphen), ("2026_10", PeriodSpelling::Underscore)]
        {
            assert_eq!(read_period(text), Some((period, spelling)));
            assert_eq!(spell(period, spelling), text);
        }
        for text in ["", "2026", "2026-13", "2026-1", "+026-10", "2026-10-01", "2026-1_0", "last"] {
            assert_eq!(read_period(text), None, "{text}");
        }
    }

    #[test]
    fn refusals_carry_reasons_only_where_there_are_some() {
        assert_eq!(Refusal::not_found().body(), r#"{"message":"The network was not found."}"#);
        let body: serde_json::Value =
            serde_json::from_str(&Refusal::invalid("maxResults", "is 0").body()).unwrap();
        assert_eq!(body["reasons"], serde_json::json!([{"field": "maxResults", "reason": "is 0"}]));
    }
}
