//! What a store answers when it does not do what it was asked, and what that means.
//!
//! Requests go through the program's own HTTP client, and answers that are no success are read here, before
//! `object_store` puts their whole text into its errors: S3 repeats session tokens in them. What is final is handed
//! on as an error that keeps its parts, what `object_store` tries again or knows by its status as an answer whose
//! text is a code and a message.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use http::StatusCode;
use object_store::client::{
    HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

use crate::error_chain::{error_chain, excerpt};
use crate::storage::destination::DestinationError;

/// The most that is read of an answer that is no success, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    status: StatusCode,
    code: Option<String>,
    message: Option<String>,
    /// The region that S3 says the bucket is in.
    region: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the store answers {}", self.told())
    }
}

impl Error for Answer {}

/// Why there are no credentials to ask a store with.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreCredentialsError {
    /// What the provider said, and the remedy.
    pub message: String,
    /// Whether it may be otherwise in a moment.
    pub is_temporary: bool,
}

/// What an answer means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Credentials,
    Address,
    Refusal,
    Temporary,
}

/// Codes that say that who asks is not believed, whatever the status.
const CREDENTIAL_CODES: [&str; 14] = [
    "AuthenticationFailed",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidAuthenticationInfo",
    "InvalidSecurity",
    "InvalidToken",
    "NoAuthenticationInformation",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "unauthorized_client",
];
/// Codes that say that another region, endpoint or account would answer.
const ADDRESS_CODES: [&str; 5] = [
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "IncorrectEndpoint",
    "PermanentRedirect",
    "TemporaryRedirect",
];
/// Codes of a 404 that is about more than the key.
const MISSING_PLACES: [&str; 4] = ["NoSuchBucket", "NoSuchUpload", "ContainerNotFound", "ResourceNotFound"];

impl Answer {
    pub(super) fn read(status: StatusCode, region: Option<String>, body: &str) -> Self {
        let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
        let json = |pointer: &str| json.as_ref()?.pointer(pointer)?.as_str().map(str::to_owned);
        let code = element(body, "Code").or_else(|| json("/error")).or_else(|| json("/error/status"));
        let message = element(body, "Message").or_else(|| json("/error/message"));
        let shown =
            |text: Option<String>| text.map(|text| excerpt(&text, 300)).filter(|text| !text.is_empty());
        Self { status, code: shown(code), message: shown(message), region }
    }

    /// Returns the status, the code and the message, without who says so.
    pub(super) fn told(&self) -> String {
        let status = self.status.as_u16();
        match (&self.code, &self.message) {
            (Some(code), Some(message)) => format!("{status} {code}: {message}"),
            (Some(text), None) | (None, Some(text)) => format!("{status} {text}"),
            (None, None) => match self.status.canonical_reason() {
                Some(reason) => format!("{status} {reason}"),
                None => status.to_string(),
            },
        }
    }

    fn has_code_of(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Says whether asking again, or knowing the key's state, changes nothing about it.
    fn is_final(&self) -> bool {
        let is_known_by_status = matches!(
            self.status,
            StatusCode::NOT_FOUND
                | StatusCode::CONFLICT
                | StatusCode::PRECONDITION_FAILED
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        );
        let is_unsupported = self.status == StatusCode::NOT_IMPLEMENTED;
        self.has_code_of(&MISSING_PLACES)
            || !(is_known_by_status || (self.status.is_server_error() && !is_unsupported))
    }

    fn meaning(&self) -> Meaning {
        if self.has_code_of(&CREDENTIAL_CODES) || self.status == StatusCode::UNAUTHORIZED {
            Meaning::Credentials
        } else if self.has_code_of(&ADDRESS_CODES) || self.status.is_redirection() {
            Meaning::Address
        } else if self.is_final() {
            Meaning::Refusal
        } else {
            Meaning::Temporary
        }
    }

    /// Says whether the store does not know what it was asked.
    pub(super) fn is_unsupported(&self) -> bool {
        self.status == StatusCode::NOT_IMPLEMENTED
    }

    fn remedy(&self) -> String {
        match (&self.region, self.code.as_deref()) {
            (Some(region), _) if self.meaning() == Meaning::Address => {
                format!("{self}; the bucket is in {region}: set output.region or AWS_REGION")
            }
            (None, _) if self.meaning() == Meaning::Address => {
                format!("{self}; set output.region, AWS_REGION or AWS_ENDPOINT_URL_S3 to where the bucket is")
            }
            (_, Some("NoSuchBucket" | "ContainerNotFound")) => format!("{self}; create it first"),
            (_, Some("RequestTimeTooSkewed")) => format!("{self}; set this machine's clock"),
            _ => self.to_string(),
        }
    }
}

/// Returns the text of the first XML element of a name: errors of stores are that flat.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    quick_xml::escape::unescape(text).ok().map(|text| text.trim().to_owned())
}

/// The program's HTTP client, in the shape that `object_store` wants.
#[derive(Debug)]
pub(super) struct Exchange(pub(super) reqwest::Client);

#[async_trait]
impl HttpService for Exchange {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.0.call(request).await?;
        if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let (mut parts, body) = response.into_parts();
        let region = parts.headers.get("x-amz-bucket-region");
        let region = region.and_then(|region| region.to_str().ok()).map(|region| excerpt(region, 60));
        let text = beginning(body).await?;
        let answer = Answer::read(parts.status, region, &text);
        if answer.is_final() {
            return Err(HttpError::new(HttpErrorKind::Unknown, answer));
        }
        parts.headers.remove(http::header::CONTENT_LENGTH);
        Ok(HttpResponse::from_parts(parts, answer.to_string().into()))
    }
}

pub(super) async fn beginning(body: HttpResponseBody) -> Result<String, HttpError> {
    use futures::TryStreamExt as _;
    let mut stream = body.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.try_next().await? {
        bytes.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER_BYTES - bytes.len())]);
        if bytes.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Finds what a store answered, or what the provider of credentials said, among the causes of an error.
fn cause_of<T: Error + 'static>(error: &object_store::Error) -> Option<&T> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// Returns what the store answered, if that is why.
pub(super) fn answer_of(error: &object_store::Error) -> Option<&Answer> {
    cause_of(error)
}

pub(super) fn shown(error: &object_store::Error) -> String {
    match answer_of(error) {
        Some(answer) => answer.to_string(),
        // Each layer repeats the ones below it, cut short; what happened is said by the last.
        None => excerpt(&innermost(error), 500),
    }
}

/// Returns the last two causes of an error: what was done, and what came of it.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(source) = cause {
        causes.push(source.to_string());
        cause = source.source();
    }
    let mut last = causes.iter().rev().filter(|cause| !cause.is_empty());
    match (last.next(), last.next()) {
        (Some(cause), Some(before)) if !before.contains(cause.as_str()) => format!("{before}: {cause}"),
        (Some(cause), _) => cause.clone(),
        (None, _) => error_chain(error),
    }
}

/// Says what a failure means, in the words of a destination.
pub(super) fn failed(
    operation: &'static str,
    place: String,
    error: &object_store::Error,
) -> DestinationError {
    use std::io;
    let refused =
        |kind, cause: String| DestinationError::io(operation, place.clone(), io::Error::new(kind, cause));
    if let Some(error) = cause_of::<StoreCredentialsError>(error) {
        let cause = error.message.clone();
        return if error.is_temporary {
            DestinationError::Unavailable { operation, place, cause }
        } else {
            DestinationError::Unauthorized { operation, place, cause }
        };
    }
    if let Some(answer) = answer_of(error) {
        let cause = answer.remedy();
        return match answer.meaning() {
            Meaning::Credentials => DestinationError::Unauthorized { operation, place, cause },
            Meaning::Address => DestinationError::Misaddressed { operation, place, cause },
            Meaning::Refusal if answer.status == StatusCode::FORBIDDEN => {
                refused(io::ErrorKind::PermissionDenied, cause)
            }
            Meaning::Refusal => refused(io::ErrorKind::Other, cause),
            Meaning::Temporary => DestinationError::Unavailable { operation, place, cause },
        };
    }
    match error {
        object_store::Error::NotFound { .. } => refused(io::ErrorKind::NotFound, shown(error)),
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            DestinationError::Changed { place }
        }
        object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. } => {
            refused(io::ErrorKind::Unsupported, shown(error))
        }
        error => DestinationError::Unavailable { operation, place, cause: shown(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(code: &str, rest: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No &amp; never</Message>{rest}</Error>"
        )
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer::read(StatusCode::from_u16(status).unwrap(), None, body)
    }

    fn told(answer: Answer) -> DestinationError {
        let source = Box::new(HttpError::new(HttpErrorKind::Unknown, answer));
        let error = object_store::Error::Generic { store: "S3", source };
        failed("written", "s3://bucket/x".to_owned(), &error)
    }

    #[test]
    fn an_answer_is_told_by_its_code_and_message_and_nothing_else() {
        let expired = answer(400, &xml("ExpiredToken", "<Token-0>FwoGZXIvYXdzSECRET</Token-0>"));
        assert_eq!(expired.to_string(), "the store answers 400 ExpiredToken: No & never");
        assert_eq!(answer(503, "busy").to_string(), "the store answers 503 Service Unavailable");
        let token = answer(400, r#"{"error": "invalid_grant", "error_description": "AADSTS7000215 secret"}"#);
        assert_eq!(token.to_string(), "the store answers 400 invalid_grant");
    }

    #[test]
    fn what_an_answer_means_decides_how_a_run_ends() {
        use DestinationError::{Io, Misaddressed, Refused, Unauthorized};
        let forbidden = told(answer(403, &xml("AccessDenied", "")));
        assert!(matches!(forbidden, Refused { .. }), "{forbidden}");
        for code in ["ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"] {
            let error = told(answer(403, &xml(code, "")));
            assert!(matches!(error, Unauthorized { .. }), "{error}");
        }
        let missing = told(answer(404, &xml("NoSuchBucket", "")));
        assert!(
            matches!(missing, Io { .. }) && missing.to_string().ends_with("; create it first"),
            "{missing}"
        );
        let region = Some("eu-central-1".to_owned());
        let elsewhere =
            told(Answer::read(StatusCode::MOVED_PERMANENTLY, region, &xml("PermanentRedirect", "")));
        assert!(matches!(elsewhere, Misaddressed { .. }), "{elsewhere}");
        assert!(elsewhere.to_string().contains("is in eu-central-1: set output.region"), "{elsewhere}");
        let unknown = told(answer(400, &xml("KMS.NotFoundException", "")));
        assert!(matches!(unknown, Io { .. }), "{unknown}");
    }

    #[test]
    fn what_is_tried_again_or_known_by_its_status_stays_an_answer() {
        for status in [404, 408, 409, 412, 429, 500, 502, 503, 504] {
            assert!(!answer(status, "").is_final(), "{status}");
        }
        for status in [301, 307, 400, 401, 403, 405, 411, 501] {
            assert!(answer(status, "").is_final(), "{status}");
        }
        assert!(answer(404, &xml("NoSuchBucket", "")).is_final());
        assert!(!answer(404, &xml("NoSuchKey", "")).is_final());
    }

    #[test]
    fn credentials_that_are_missing_are_told_from_a_provider_that_is_silent() {
        let error = |is_temporary| {
            let source = Box::new(StoreCredentialsError { message: "none".to_owned(), is_temporary });
            let error = object_store::Error::Unauthenticated { path: "x".to_owned(), source };
            failed("written", "s3://bucket/x".to_owned(), &error)
        };
        assert!(matches!(error(false), DestinationError::Unauthorized { .. }));
        assert!(matches!(error(true), DestinationError::Unavailable { .. }));
    }
}
