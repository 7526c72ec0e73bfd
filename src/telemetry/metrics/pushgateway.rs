//! Metrics handed to a Pushgateway, which Prometheus scrapes in the place of a job that has ended.
//!
//! They are added with POST to those of the job, never put in the place of all: POST replaces the metrics that are
//! sent and leaves the others of the job as they were. Plain http is allowed to anywhere: within a cluster a
//! Pushgateway seldom has anything else, and metrics hold ids and counts, nothing of a person.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use percent_encoding::percent_decode_str;
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use reqwest::{StatusCode, Url};

use crate::error_chain::{error_chain, excerpt};

/// How long a push may take, all its attempts together.
const LONGEST_PUSH: Duration = Duration::from_secs(10);
/// How long one attempt may take; the client that is lent bounds it.
pub const LONGEST_ATTEMPT: Duration = Duration::from_secs(4);
/// How often a push is tried.
const ATTEMPTS: u32 = 3;
/// How long is waited after the first attempt; twice as long after the second.
const PAUSE: Duration = Duration::from_millis(500);
/// The most bytes that are read of what a Pushgateway says of a push that it refuses.
const MAX_REFUSAL_BYTES: usize = 4096;

/// Where a Pushgateway is, and who is asking. Shown without user and password, always.
#[derive(Clone, PartialEq, Eq)]
pub struct PushgatewayUrl {
    base: Url,
    user: Option<(String, String)>,
}

/// Why a text names no Pushgateway. Never shows the text, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushgatewayUrlError {
    /// It is no URL.
    #[error("it is not a URL such as https://pushgateway.example.com:9091: {0}")]
    NotAUrl(String),
    /// It is a URL of something else.
    #[error("it does not begin with https:// or http://")]
    Scheme,
    /// It holds what is no part of a base URL.
    #[error("it has a query or a fragment; give the Pushgateway's base URL alone")]
    Decorated,
    /// It names a job already.
    #[error("it has the path of a job; give the Pushgateway's base URL, and the job's name as metrics.job")]
    NamesAJob,
}

/// Why metrics were not taken.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It answered, with something else than success.
    #[error("{gateway} answered {status}{words}")]
    Refused {
        /// Where.
        gateway: String,
        /// The status.
        status: StatusCode,
        /// What it said, after a colon.
        words: String,
    },
    /// No answer came.
    #[error("{gateway}: {reason}")]
    Unreachable {
        /// Where.
        gateway: String,
        /// What happened.
        reason: String,
    },
    /// It took too long.
    #[error("{0} did not answer within {LONGEST_PUSH:?}")]
    TimedOut(String),
}

impl PushError {
    /// Says whether trying again may help.
    const fn is_temporary(&self) -> bool {
        match self {
            Self::Refused { status, .. } => status.as_u16() == 429 || status.as_u16() >= 500,
            Self::Unreachable { .. } | Self::TimedOut(_) => true,
        }
    }
}

impl PushgatewayUrl {
    /// Reads a base URL, with a user and a password if it has them.
    ///
    /// # Errors
    /// [`PushgatewayUrlError`], which does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, PushgatewayUrlError> {
        let mut base = Url::parse(text).map_err(|error| PushgatewayUrlError::NotAUrl(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(PushgatewayUrlError::Scheme);
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(PushgatewayUrlError::Decorated);
        }
        if base.path().contains("/metrics/job") {
            return Err(PushgatewayUrlError::NamesAJob);
        }
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let is_named = !base.username().is_empty() || base.password().is_some();
        let user = is_named.then(|| (decoded(base.username()), decoded(base.password().unwrap_or_default())));
        base.set_username("").and_then(|()| base.set_password(None)).expect("an http URL has a host");
        Ok(Self { base, user })
    }

    /// Returns where the metrics of a job are added to.
    fn of_job(&self, job: &str) -> Url {
        let is_plain = |sign: u8| sign.is_ascii_alphanumeric() || matches!(sign, b'-' | b'_' | b'.');
        let mut url = self.base.clone();
        let mut path = url.path_segments_mut().expect("an http URL has a path");
        path.pop_if_empty().push("metrics");
        // What has a meaning in a path, slash and dots above all, travels in the form that the Pushgateway has for it.
        if job.bytes().all(is_plain) && job.bytes().any(|sign| sign != b'.') {
            path.extend(["job", job]);
        } else {
            path.extend(["job@base64", &URL_SAFE.encode(job)]);
        }
        drop(path);
        url
    }
}

impl fmt::Display for PushgatewayUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.base.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for PushgatewayUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Adds the metrics in `text` to those of a job.
///
/// # Errors
/// [`PushError`], once trying again is of no use or has taken ten seconds.
pub async fn push(
    client: &reqwest::Client,
    gateway: &PushgatewayUrl,
    job: &str,
    text: &str,
) -> Result<(), PushError> {
    let trying = async {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match attempt(client, gateway, job, text).await {
                Err(error) if error.is_temporary() => {
                    tracing::debug!(error = %error, "push failed");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                ended => return ended,
            }
        }
        attempt(client, gateway, job, text).await
    };
    let timed_out = |_elapsed| Err(PushError::TimedOut(gateway.to_string()));
    tokio::time::timeout(LONGEST_PUSH, trying).await.unwrap_or_else(timed_out)
}

async fn attempt(
    client: &reqwest::Client,
    gateway: &PushgatewayUrl,
    job: &str,
    text: &str,
) -> Result<(), PushError> {
    let request = client.post(gateway.of_job(job));
    send(gateway, request.header("content-type", CONTENT_TYPE).body(text.to_owned())).await
}

/// Asks a Pushgateway whether it is ready to take metrics (`GET /-/ready`, which it has since version 0.5).
///
/// # Errors
/// [`PushError`], as for a push.
pub async fn is_ready(client: &reqwest::Client, gateway: &PushgatewayUrl) -> Result<(), PushError> {
    let mut url = gateway.base.clone();
    url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(["-", "ready"]);
    send(gateway, client.get(url)).await
}

async fn send(gateway: &PushgatewayUrl, mut request: reqwest::RequestBuilder) -> Result<(), PushError> {
    if let Some((user, password)) = &gateway.user {
        request = request.basic_auth(user, Some(password));
    }
    let response = request.send().await.map_err(|error| PushError::Unreachable {
        gateway: gateway.to_string(),
        reason: excerpt(&error_chain(&error.without_url()), 300),
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    Err(PushError::Refused { gateway: gateway.to_string(), status, words: words_of(response).await })
}

/// Returns what a refusal says, as much of it as is worth showing.
async fn words_of(mut response: reqwest::Response) -> String {
    let mut body = Vec::new();
    while body.len() <= MAX_REFUSAL_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    let words = String::from_utf8_lossy(&body);
    if words.trim().is_empty() { String::new() } else { format!(": {}", excerpt(words.trim(), 300)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_a_place_of_its_own_whatever_it_is_called() {
        let gateway = PushgatewayUrl::parse("http://pushgateway:9091/prefix/").unwrap();
        for (job, path) in [
            ("daily", "/prefix/metrics/job/daily"),
            ("month-close_2.eu", "/prefix/metrics/job/month-close_2.eu"),
            ("finance/daily", "/prefix/metrics/job@base64/ZmluYW5jZS9kYWlseQ=="),
            ("..", "/prefix/metrics/job@base64/Li4="),
            ("Zoë?", "/prefix/metrics/job@base64/Wm_Dqz8="),
        ] {
            assert_eq!(gateway.of_job(job).path(), path, "{job}");
        }
        let bare = PushgatewayUrl::parse("https://pushgateway.example.com").unwrap();
        assert_eq!(bare.of_job("daily").as_str(), "https://pushgateway.example.com/metrics/job/daily");
    }

    #[test]
    fn who_asks_is_known_and_never_shown() {
        let gateway = PushgatewayUrl::parse("https://finance:p%40ss@pushgateway.example.com").unwrap();
        assert_eq!(gateway.user, Some(("finance".to_owned(), "p@ss".to_owned())));
        for shown in [gateway.to_string(), format!("{gateway:?}"), gateway.of_job("x").to_string()] {
            assert!(!shown.contains("finance") && !shown.contains("ss@"), "{shown}");
        }
        assert_eq!(gateway.to_string(), "https://pushgateway.example.com");
    }

    #[test]
    fn what_is_no_base_url_is_refused_without_repeating_it() {
        for text in [
            "pushgateway:9091",
            "user:secret@pushgateway",
            "http://me:secret@",
            "ftp://me:secret@pushgateway",
            "http://me:secret@pushgateway/?x=1",
            "http://me:secret@pushgateway/metrics/job/daily",
            "http://me:secret@push gateway",
            "http://me:secret@pushgateway:99999",
        ] {
            let error = PushgatewayUrl::parse(text).expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
