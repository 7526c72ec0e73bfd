//! What an answer other than 200 means: which error it is, and what of its words may be shown.
//!
//! A pure function of the answer, so that it can be held against anything that a server may send.

use chrono::{DateTime, Utc};
use http::HeaderMap;

use super::error::{ApiError, quotable};
use super::model::ErrorAnswer;
use super::retry_after::server_hint;

/// How much of a refusal's body is read, give or take a chunk.
pub(super) const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// An answer other than 200.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, whole or cut off past 64 KiB.
    pub body: &'a [u8],
}

impl Refusal<'_> {
    /// Reads the error: the code from the header, else from the body; the rest from the HTTP status.
    ///
    /// `action` is the IAM action that the operation needs, `secrets` what of the request must not be quoted, and
    /// `now` the time that hints are reckoned from if the answer has no `Date`.
    #[must_use]
    pub fn error(&self, action: &'static str, secrets: &[&str], now: DateTime<Utc>) -> ApiError {
        let parsed = ErrorAnswer::read(self.body);
        let is_json = parsed.is_some();
        let body = parsed.unwrap_or_default();
        let header = self.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        let code = header.or(body.code.as_deref()).or(body.kind.as_deref()).map(bare_code);
        let message = match (body.message(), is_json) {
            (Some(message), _) => quotable(message, secrets),
            (None, true) => "no message".to_owned(),
            (None, false) if self.body.len() > MAX_REFUSAL_BYTES => {
                format!("a body of more than {MAX_REFUSAL_BYTES} bytes")
            }
            (None, false) => format!("a body of {} bytes that is not JSON", self.body.len()),
        };
        let shown_code = quotable(code.unwrap_or("no error code"), secrets);
        let coded = format!("{shown_code}: {message}");
        let hint = server_hint(self.headers, now);
        match (code.unwrap_or_default(), self.status) {
            ("ExpiredToken" | "ExpiredTokenException", _) => ApiError::ExpiredCredentials { message: coded },
            (code, _) if is_skew(code, &message) => {
                ApiError::ClockSkewed { message: coded, server_time: server_time(self.headers) }
            }
            (
                "RateLimitError"
                | "Throttling"
                | "ThrottlingException"
                | "TooManyRequestsException"
                | "RequestLimitExceeded",
                _,
            )
            | (_, 429) => ApiError::RateLimited { hint },
            ("ValidationError" | "ValidationException", _) | (_, 422) => {
                ApiError::Validation { message, reasons: body.validation_reasons(secrets) }
            }
            // What follows the first sentence may quote the request that was signed, keys and tokens included.
            (code, status) if is_unauthentic(code) || status == 401 => {
                let sentence = message.split(['.', '\\']).next().unwrap_or_default();
                ApiError::Unauthorized { message: format!("{shown_code}: {sentence}") }
            }
            ("ForbiddenError" | "AccessDenied" | "AccessDeniedException", _) | (_, 403) => {
                ApiError::Forbidden { message: coded, action }
            }
            ("ResourceNotFoundError", _) => ApiError::NotFound { message },
            (_, 404) if is_json => ApiError::NotFound { message },
            ("BadRequestError", _) => ApiError::BadRequest { message },
            (_, 400) if is_json => ApiError::BadRequest { message: coded },
            (_, status) if status >= 500 || status == 408 => ApiError::Internal { status, message, hint },
            (_, status) => ApiError::Unexpected { status, message: coded },
        }
    }
}

/// Strips what some services put around an error code: a namespace before `#`, a URL after `:`.
fn bare_code(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or(code);
    code.rsplit('#').next().unwrap_or(code)
}

/// Says whether a refused signature is a matter of time.
fn is_skew(code: &str, message: &str) -> bool {
    matches!(code, "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture")
        || (matches!(code, "InvalidSignatureException" | "SignatureDoesNotMatch" | "AuthFailure")
            && (message.contains("Signature expired") || message.contains("not yet current")))
}

/// Says whether a refusal is about who signed, which no permission will mend.
pub(super) fn is_unauthentic(code: &str) -> bool {
    matches!(
        code,
        "UnauthorizedError"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignatureException"
            | "MissingAuthenticationTokenException"
    )
}

pub(super) fn server_time(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let date = headers.get("date")?.to_str().ok()?;
    httpdate::parse_http_date(date).ok().map(DateTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_are_stripped_of_what_surrounds_them() {
        assert_eq!(bare_code("RateLimitError:http://internal.amazon.com/coral/"), "RateLimitError");
        assert_eq!(bare_code("com.amazonaws.wickr#ForbiddenError"), "ForbiddenError");
        assert_eq!(bare_code("NotFound"), "NotFound");
    }

    #[test]
    fn only_a_signature_out_of_time_is_a_matter_of_the_clock() {
        assert!(is_skew("RequestTimeTooSkewed", ""));
        assert!(is_skew("InvalidSignatureException", "Signature expired: 2026 is now earlier than"));
        assert!(is_skew("InvalidSignatureException", "Signature not yet current: 2026 is still later than"));
        assert!(!is_skew("InvalidSignatureException", "The request signature we calculated does not match"));
    }
}
