//! What can go wrong with one attempt, and what kind of remedy it has.
//!
//! Texts that the service sent are cleaned before they are kept: control characters escaped, length bounded,
//! and the token of the request taken out, because servers like to quote what they refuse.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::http::QUERY_ESCAPES;
use super::model::ShapeError;
use crate::error_chain::excerpt;

/// The longest text of the service that an error quotes, in characters.
const MAX_QUOTED_CHARACTERS: usize = 300;

/// One field that a `ValidationError` complains of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationReason {
    /// The parameter.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for ValidationReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.reason)
    }
}

/// How a request failed before there was an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// The name of the endpoint does not resolve.
    NameResolution,
    /// Nobody answers there, or TLS fails.
    Connect,
    /// The answer did not come in time.
    Timeout,
    /// The connection broke, in the answer or before it.
    Broken,
}

/// One failed attempt. The first seven variants are the errors that the API documents.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApiError {
    /// 422: a parameter is refused.
    #[error("the service refuses a parameter ({message}){}", listed(.reasons))]
    Validation {
        /// The service's words.
        message: String,
        /// Which fields, and why.
        reasons: Vec<ValidationReason>,
    },
    /// 400: the request as a whole is refused.
    #[error("the service refuses the request: {message}")]
    BadRequest {
        /// The service's words.
        message: String,
    },
    /// 401: the credentials are not accepted.
    #[error(
        "the service does not accept the credentials ({message}); check which identity AWS_PROFILE or the \
         environment selects, its secret key and the region"
    )]
    Unauthorized {
        /// The service's words.
        message: String,
    },
    /// 403, from Wickr or from IAM: the identity lacks a permission.
    #[error(
        "permission denied ({message}); allow the IAM action {action} on this network, or choose another identity"
    )]
    Forbidden {
        /// The service's words.
        message: String,
        /// The IAM action that the operation needs.
        action: &'static str,
    },
    /// 404: the account has no such network in this region.
    #[error(
        "no such network in this account and region ({message}); check the network id, the region and the identity"
    )]
    NotFound {
        /// The service's words.
        message: String,
    },
    /// 429: too many requests.
    #[error("the service limits the rate of requests")]
    RateLimited {
        /// How long the server asks to wait.
        hint: Option<Duration>,
    },
    /// 500, and any other 5xx or 408: the service failed.
    #[error("the service failed with status {status}: {message}")]
    Internal {
        /// The HTTP status.
        status: u16,
        /// The service's words, or what its body was instead.
        message: String,
        /// How long the server asks to wait.
        hint: Option<Duration>,
    },
    /// The credentials were good once.
    #[error("the credentials have expired ({message}); renew them (for SSO: `aws sso login`)")]
    ExpiredCredentials {
        /// The service's words.
        message: String,
    },
    /// The signature is too old or too new.
    #[error("the service finds this machine's clock wrong ({message}); set it by NTP")]
    ClockSkewed {
        /// The service's words.
        message: String,
        /// What the service's clock says.
        server_time: Option<DateTime<Utc>>,
    },
    /// Any other answer that no retry will change: 402, a redirect, a page of a proxy.
    #[error(
        "unexpected answer with status {status} ({message}); check the endpoint, the region and any proxy"
    )]
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// Code and words, or what the body was instead.
        message: String,
    },
    /// A good answer is no HTTP, not JSON, compressed, or not all of it arrived.
    #[error("the answer is unreadable: {0}")]
    Unreadable(String),
    /// The answer is JSON but not what the API documents.
    #[error(
        "the answer breaks the API's contract, so nothing is published; ask AWS Support if it keeps coming"
    )]
    Shape(#[from] ShapeError),
    /// The body is larger than any honest answer.
    #[error(
        "the answer is larger than {limit} bytes, more than any page of 100 guests takes; check the endpoint and \
         any proxy"
    )]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// There was no answer.
    #[error("{}: {message}", transport_advice(*.fault))]
    Transport {
        /// The kind of failure.
        fault: TransportFault,
        /// The cause, without the URL.
        message: String,
    },
    /// The credentials could not be fetched in time.
    #[error("the AWS credentials could not be fetched: {0}")]
    CredentialsUnavailable(String),
    /// There are no credentials.
    #[error("no AWS credentials could be had: {0}")]
    NoCredentials(String),
    /// STS does not lend the role that the job asks for.
    #[error(
        "the role {role} cannot be assumed ({message}); allow the identity that asks sts:AssumeRole on it, name that \
         identity in the role's trust policy, and set source.external_id to what that policy asks for"
    )]
    RoleRefused {
        /// The role.
        role: String,
        /// The words of STS.
        message: String,
    },
    /// The request could not be built or signed.
    #[error("the request could not be made: {0}")]
    Unsendable(String),
    /// The deadline comes before the request could be sent or tried again.
    #[error("the deadline comes first; try again {}", earliest(*.not_before))]
    DeadlineReached {
        /// The earliest time at which another try makes sense, where the server named one.
        not_before: Option<DateTime<Utc>>,
        /// How the last attempt failed, if there was one.
        #[source]
        last: Option<Box<ApiError>>,
    },
    /// The same request failed too often.
    #[error("gave up after {attempts} attempts")]
    GaveUp {
        /// How many there were.
        attempts: u32,
        /// The last failure.
        #[source]
        last: Box<ApiError>,
    },
}

/// What can be done about a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Everybody slows down; tried again until the deadline.
    Throttled {
        /// How long the server asks to wait.
        hint: Option<Duration>,
    },
    /// Tried again a bounded number of times.
    Transient {
        /// How long the server asks to wait.
        hint: Option<Duration>,
    },
    /// Tried again once, if [`WickrAdmin::mend`](super::WickrAdmin::mend) finds something to mend.
    Mendable,
    /// Never tried again.
    Permanent,
}

impl ApiError {
    /// Says what can be done about the failure.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::RateLimited { hint } => Disposition::Throttled { hint: *hint },
            Self::Internal { hint, .. } => Disposition::Transient { hint: *hint },
            Self::Unreadable(_) | Self::Transport { .. } | Self::CredentialsUnavailable(_) => {
                Disposition::Transient { hint: None }
            }
            Self::Unauthorized { .. } | Self::ExpiredCredentials { .. } | Self::ClockSkewed { .. } => {
                Disposition::Mendable
            }
            Self::Validation { .. }
            | Self::BadRequest { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Unexpected { .. }
            | Self::Shape(_)
            | Self::TooLarge { .. }
            | Self::NoCredentials(_)
            | Self::RoleRefused { .. }
            | Self::Unsendable(_)
            | Self::DeadlineReached { .. }
            | Self::GaveUp { .. } => Disposition::Permanent,
        }
    }

    /// Says whether nothing at all can be asked, because there are no credentials or none that are accepted.
    #[must_use]
    pub fn is_of_the_identity(&self) -> bool {
        match self {
            Self::NoCredentials(_)
            | Self::CredentialsUnavailable(_)
            | Self::RoleRefused { .. }
            | Self::Unauthorized { .. }
            | Self::ExpiredCredentials { .. } => true,
            Self::GaveUp { last, .. } => last.is_of_the_identity(),
            Self::Validation { .. }
            | Self::BadRequest { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::RateLimited { .. }
            | Self::Internal { .. }
            | Self::ClockSkewed { .. }
            | Self::Unexpected { .. }
            | Self::Unreadable(_)
            | Self::Shape(_)
            | Self::TooLarge { .. }
            | Self::Transport { .. }
            | Self::Unsendable(_)
            | Self::DeadlineReached { .. } => false,
        }
    }
}

fn listed(reasons: &[ValidationReason]) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    format!(": {}", reasons.join("; "))
}

fn transport_advice(fault: TransportFault) -> &'static str {
    match fault {
        TransportFault::NameResolution => {
            "the endpoint's name does not resolve; a mistyped region or one without Wickr looks like this"
        }
        TransportFault::Connect => "no connection to the endpoint; check network, proxy and certificates",
        TransportFault::Timeout => "the answer did not come in time",
        TransportFault::Broken => "the connection broke",
    }
}

fn earliest(not_before: Option<DateTime<Utc>>) -> String {
    not_before.map_or_else(
        || "later, with a longer --deadline if it keeps happening".to_owned(),
        |time| format!("after {}", time.format("%Y-%m-%dT%H:%M:%SZ")),
    )
}

/// Makes a text of the service fit to be shown: bounded, on one line, without `secrets`, percent-encoded or not.
pub(super) fn quotable(text: &str, secrets: &[&str]) -> String {
    let shows = |text: &str| secrets.iter().any(|secret| !secret.is_empty() && text.contains(secret));
    let mut text = redacted(text, secrets);
    // A server may encode what it quotes in its own way: `%2f` for `%2F`, or more or less than was sent.
    loop {
        let decoded = percent_decode_str(&text).decode_utf8_lossy();
        if !shows(&decoded) {
            return excerpt(&text, MAX_QUOTED_CHARACTERS);
        }
        text = redacted(&decoded, secrets);
    }
}

fn redacted(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let encoded = utf8_percent_encode(secret, QUERY_ESCAPES).to_string();
        text = text.replace(*secret, "[redacted]").replace(&encoded, "[redacted]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_service_are_bounded_and_on_one_line() {
        assert_eq!(quotable("a\r\nb\u{1b}[2J", &[]), "a\\r\\nb\\u{1b}[2J");
        let long = quotable(&"é".repeat(1000), &[]);
        assert_eq!(long.chars().count(), MAX_QUOTED_CHARACTERS + 1);
        assert_eq!(quotable("token a/b is stale", &["a/b"]), "token [redacted] is stale");
        assert_eq!(
            quotable("nextToken=a%2Fb&x-amz-security-token:s+t", &["a/b", "s+t"]),
            "nextToken=[redacted]&x-amz-security-token:[redacted]"
        );
        for quoted in ["a%2fb", "%61/b", "a%2fb and a%252fb", "a/b and %2561%2fb"] {
            let shown = quotable(&format!("{quoted} is stale"), &["a/b"]);
            assert!(shown.starts_with("[redacted]") && shown.ends_with(" is stale"), "{quoted}: {shown}");
        }
        assert_eq!(quotable("100 %2f, 50 %", &["a/b"]), "100 %2f, 50 %");
    }

    #[test]
    fn a_validation_error_shows_its_reasons() {
        let error = ApiError::Validation {
            message: "invalid".to_owned(),
            reasons: vec![ValidationReason {
                field: "billingPeriod".to_owned(),
                reason: "malformed".to_owned(),
            }],
        };
        assert_eq!(error.to_string(), "the service refuses a parameter (invalid): billingPeriod: malformed");
    }
}
