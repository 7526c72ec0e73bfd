//! One signed attempt over HTTP, and what its answer means.
//!
//! Nothing is tried again and no redirect is followed here: see `client`.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};

use super::api::{
    GuestPage, HistoryMonth, ListGuestUsers, Network, NetworkPage, SortDirection, SortField, WickrAdmin,
};
use super::credentials::CachedCredentials;
use super::endpoint::{Endpoint, SIGNING_NAME};
use super::error::{ApiError, TransportFault, quotable};
use super::model;
use super::refusal::{MAX_REFUSAL_BYTES, Refusal, server_time};
use super::signing::{SigningError, sign};
use crate::clock::Clock;
use crate::error_chain::error_chain;
use crate::guest::{NetworkId, PageToken};

/// The header by which the embedded simulator makes itself known in every answer.
pub const SIMULATOR_HEADER: &str = "x-wickr-simulator";

/// The largest body that is read. A hundred guests whose texts are as long as they may be, and a token as well,
/// fit in even if every byte of them is escaped.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// A clock that is off by more than this is corrected when the server says so.
const MIN_SKEW: TimeDelta = TimeDelta::seconds(60);
/// RFC 3986's unreserved characters stay as they are, as Signature Version 4 wants it.
pub(super) const QUERY_ESCAPES: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The API over HTTP, one signed attempt a call.
pub struct HttpWickrAdmin {
    client: reqwest::Client,
    endpoint: Endpoint,
    credentials: Arc<CachedCredentials>,
    clock: Arc<dyn Clock>,
    /// What the clock of the latest answer is ahead of ours, if it told the time.
    observed_offset: Mutex<Option<TimeDelta>>,
    /// What the server's clock is ahead of ours, in milliseconds, once it has complained.
    clock_offset_ms: AtomicI64,
    answered: AtomicBool,
    answered_by_simulator: AtomicBool,
}

/// An operation with what its errors have to name.
struct Operation<'a> {
    path: String,
    query: Vec<(&'static str, String)>,
    action: &'static str,
    token: Option<&'a PageToken>,
}

/// An answer whose body arrived whole.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl HttpWickrAdmin {
    /// Puts the parts together; nothing is sent yet.
    #[must_use]
    pub fn new(
        client: reqwest::Client,
        endpoint: Endpoint,
        credentials: impl Into<Arc<CachedCredentials>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            client,
            endpoint,
            credentials: credentials.into(),
            clock,
            observed_offset: Mutex::new(None),
            clock_offset_ms: AtomicI64::new(0),
            answered: AtomicBool::new(false),
            answered_by_simulator: AtomicBool::new(false),
        }
    }

    /// Says whether there was any answer so far.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Says whether any answer so far came from a simulator, wherever the endpoint points.
    #[must_use]
    pub fn answered_by_simulator(&self) -> bool {
        self.answered_by_simulator.load(Ordering::Relaxed)
    }

    /// Returns how far the service's clock is ahead of this machine's, to a second or two, by its latest answer.
    #[must_use]
    pub fn observed_offset(&self) -> Option<TimeDelta> {
        *self.observed_offset.lock().expect("nothing panics while it is held")
    }

    fn signing_time(&self) -> DateTime<Utc> {
        self.clock.now() + TimeDelta::milliseconds(self.clock_offset_ms.load(Ordering::Relaxed))
    }

    async fn call(&self, operation: &Operation<'_>) -> Result<Bytes, ApiError> {
        let credentials = self.credentials.current(self.clock.now()).await?;
        let request = self.signed_request(operation, &credentials)?;
        let answer = self.exchange(request).await?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        // Servers like to quote the request that they refuse.
        let secrets = [
            operation.token.map_or("", PageToken::as_str),
            credentials.session_token().unwrap_or_default(),
            credentials.secret_access_key(),
            credentials.access_key_id(),
        ];
        let Answer { status, headers, body } = &answer;
        let refusal = Refusal { status: *status, headers, body };
        Err(refusal.error(operation.action, &secrets, self.signing_time()))
    }

    fn signed_request(
        &self,
        operation: &Operation<'_>,
        credentials: &Credentials,
    ) -> Result<reqwest::Request, ApiError> {
        let mut url = self.endpoint.url.clone();
        url.set_path(&[url.path().trim_end_matches('/'), &operation.path].concat());
        let mut query = String::new();
        for (name, value) in &operation.query {
            query.push_str(if query.is_empty() { "" } else { "&" });
            query.push_str(name);
            query.push('=');
            query.extend(utf8_percent_encode(value, QUERY_ESCAPES));
        }
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        let mut request = reqwest::Request::new(Method::GET, url);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        sign(&mut request, credentials, &self.endpoint.region, SIGNING_NAME, self.signing_time().into())
            .map_err(|error| match error {
                SigningError::Request(_) => ApiError::Unsendable(error.to_string()),
                SigningError::Credentials(_) => ApiError::NoCredentials(error.to_string()),
            })?;
        Ok(request)
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<Answer, ApiError> {
        let response = self.client.execute(request).await.map_err(|error| self.transport_error(error))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        self.answered.store(true, Ordering::Relaxed);
        if let Some(told) = server_time(&headers) {
            let mut offset = self.observed_offset.lock().expect("nothing panics while it is held");
            *offset = Some(told - self.clock.now());
        }
        if headers.contains_key(SIMULATOR_HEADER) {
            self.answered_by_simulator.store(true, Ordering::Relaxed);
        }
        let body = if status == 200 {
            refuse_compression(&headers)?;
            self.whole_body(response).await?
        } else {
            self.words_of(response).await?.into()
        };
        Ok(Answer { status, headers, body })
    }

    /// Reads a body of which nothing may be missing.
    async fn whole_body(&self, mut response: reqwest::Response) -> Result<Bytes, ApiError> {
        const TOO_LARGE: ApiError = ApiError::TooLarge { limit: MAX_BODY_BYTES };
        let announced = usize::try_from(response.content_length().unwrap_or_default()).unwrap_or(usize::MAX);
        if announced > MAX_BODY_BYTES {
            return Err(TOO_LARGE);
        }
        // Most come in one piece, which need not be copied.
        let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport_error(error))? {
            if first.len().max(whole.len()) + chunk.len() > MAX_BODY_BYTES {
                return Err(TOO_LARGE);
            }
            if first.is_empty() {
                first = chunk;
                continue;
            }
            if whole.is_empty() {
                whole.reserve(announced.max(first.len() + chunk.len()));
                whole.extend_from_slice(&first);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }

    /// Reads what a refusal says, or its beginning: the status tells what to do, however much is said about it.
    async fn words_of(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ApiError> {
        // These statuses and their headers tell all: a hint must not be lost with a body that breaks.
        let needs_no_words = matches!(response.status().as_u16(), 429 | 500..);
        let mut body = Vec::new();
        while body.len() <= MAX_REFUSAL_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) if needs_no_words => break,
                Err(error) => return Err(self.transport_error(error)),
            }
        }
        Ok(body)
    }

    fn transport_error(&self, error: reqwest::Error) -> ApiError {
        let error = error.without_url();
        let host = self.endpoint.url.host_str().unwrap_or_default();
        let message = format!("{host}: {}", quotable(&error_chain(&error), &[]));
        if speaks_no_http(&error) {
            return ApiError::Unreadable(message);
        }
        let fault = if error.is_timeout() {
            TransportFault::Timeout
        } else if error.is_connect() && message.contains("dns error") {
            TransportFault::NameResolution
        } else if error.is_connect() {
            TransportFault::Connect
        } else {
            TransportFault::Broken
        };
        ApiError::Transport { fault, message }
    }
}

/// Refuses a body that is compressed: none was asked for, and what it would take up unpacked is anybody's guess.
fn refuse_compression(headers: &HeaderMap) -> Result<(), ApiError> {
    let plain =
        |coding: &http::HeaderValue| coding.is_empty() || coding.as_bytes().eq_ignore_ascii_case(b"identity");
    let coded = headers.get_all("content-encoding").iter().find(|coding| !plain(coding));
    coded.map_or(Ok(()), |coding| {
        let coding = quotable(&String::from_utf8_lossy(coding.as_bytes()), &[]);
        Err(ApiError::Unreadable(format!("it is compressed ({coding}), which was not asked for")))
    })
}

/// Says whether what came is no HTTP at all, or more of a head than an answer has.
fn speaks_no_http(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse)
}

#[async_trait]
impl WickrAdmin for HttpWickrAdmin {
    async fn list_guest_users(&self, request: &ListGuestUsers) -> Result<GuestPage, ApiError> {
        let mut query = vec![
            ("maxResults", request.max_results.to_string()),
            (
                "sortDirection",
                match request.sort_direction {
                    SortDirection::Ascending => "ASC".to_owned(),
                    SortDirection::Descending => "DESC".to_owned(),
                },
            ),
            (
                "sortFields",
                match request.sort_field {
                    SortField::Username => "username".to_owned(),
                    SortField::BillingPeriod => "billingPeriod".to_owned(),
                },
            ),
            ("billingPeriod", request.billing_period.spelled(request.spelling)),
        ];
        query.extend(request.username.clone().map(|username| ("username", username)));
        query.extend(request.next_token.as_ref().map(|token| ("nextToken", token.as_str().to_owned())));
        let operation = Operation {
            path: format!("/networks/{}/guest-users", request.network),
            query,
            action: "wickr:ListGuestUsers",
            token: request.next_token.as_ref(),
        };
        let body = self.call(&operation).await?;
        model::guest_page(&body, request.billing_period)
    }

    async fn guest_user_history_count(&self, network: NetworkId) -> Result<Vec<HistoryMonth>, ApiError> {
        let operation = Operation {
            path: format!("/networks/{network}/guest-users/count"),
            query: Vec::new(),
            action: "wickr:GetGuestUserHistoryCount",
            token: None,
        };
        model::history(&self.call(&operation).await?)
    }

    async fn list_networks(&self, next: Option<&PageToken>) -> Result<NetworkPage, ApiError> {
        let mut query = vec![("maxResults", "100".to_owned())];
        query.extend(next.map(|token| ("nextToken", token.as_str().to_owned())));
        let operation =
            Operation { path: "/networks".to_owned(), query, action: "wickr:ListNetworks", token: next };
        model::network_page(&self.call(&operation).await?)
    }

    async fn get_network(&self, network: NetworkId) -> Result<Network, ApiError> {
        let operation = Operation {
            path: format!("/networks/{network}"),
            query: Vec::new(),
            action: "wickr:GetNetwork",
            token: None,
        };
        model::network(&self.call(&operation).await?, network)
    }

    async fn mend(&self, error: &ApiError) -> bool {
        match error {
            ApiError::Unauthorized { .. } | ApiError::ExpiredCredentials { .. } => {
                self.credentials.forget().await;
                true
            }
            ApiError::ClockSkewed { server_time: Some(server_time), .. } => {
                let offset = *server_time - self.clock.now();
                let corrected = offset.abs() > MIN_SKEW;
                if corrected {
                    tracing::warn!(offset_seconds = offset.num_seconds(), "clock corrected by the server's");
                    self.clock_offset_ms.store(offset.num_milliseconds(), Ordering::Relaxed);
                }
                corrected
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::provider::SharedCredentialsProvider;

    use super::*;
    use crate::clock::SystemClock;
    use crate::guest::{MAX_TEXT_BYTES, MAX_TOKEN_BYTES};
    use crate::wickr::client::{HttpClients, TimeLimit, Way};

    #[test]
    fn the_largest_page_that_is_believed_is_read_even_if_every_byte_is_escaped() {
        let escaped = |bytes| r"\u0000".repeat(bytes);
        let text = escaped(MAX_TEXT_BYTES);
        let row =
            format!(r#"{{"billingPeriod": "2026-10", "username": "{text}", "usernameHash": "{text}"}}"#);
        let rows = vec![row; 100].join(", ");
        let body = format!(r#"{{"guestlist": [{rows}], "nextToken": "{}"}}"#, escaped(MAX_TOKEN_BYTES));
        let body = Bytes::from(body);
        let page = model::guest_page(&body, "2026-10".parse().unwrap()).unwrap();
        assert_eq!((page.guests.len(), page.next.is_some()), (100, true));
        assert!(body.len() <= MAX_BODY_BYTES, "{} bytes", body.len());
    }

    #[test]
    fn a_request_goes_below_the_endpoint_with_its_query_escaped() {
        let clients = HttpClients::new(TimeLimit::Exchange(Duration::from_secs(1)), None).unwrap();
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
        let url = |endpoint: &str, query: &[(&'static str, &str)]| {
            let api = HttpWickrAdmin::new(
                clients.get(Way::Plain).unwrap(),
                Endpoint { url: endpoint.parse().unwrap(), region: "us-east-1".to_owned() },
                CachedCredentials::new(SharedCredentialsProvider::new(credentials.clone())),
                Arc::new(SystemClock),
            );
            let operation = Operation {
                path: "/networks/12345678".to_owned(),
                query: query.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
                action: "wickr:GetNetwork",
                token: None,
            };
            api.signed_request(&operation, &credentials).unwrap().url().to_string()
        };
        for endpoint in ["https://h.example", "https://h.example/"] {
            assert_eq!(url(endpoint, &[]), "https://h.example/networks/12345678");
        }
        assert_eq!(
            url("https://h.example/a%2Fb/", &[("maxResults", "100"), ("nextToken", "a b/+=&'é%")]),
            "https://h.example/a%2Fb/networks/12345678?maxResults=100&nextToken=a%20b%2F%2B%3D%26%27%C3%A9%25"
        );
    }

    #[test]
    fn a_compressed_body_is_refused_and_its_coding_named() {
        let refused = |codings: &[&'static str]| {
            let codings =
                codings.iter().map(|coding| ("content-encoding".parse().unwrap(), coding.parse().unwrap()));
            refuse_compression(&codings.collect()).map_err(|error| error.to_string())
        };
        assert!(refused(&[]).is_ok() && refused(&["identity"]).is_ok() && refused(&["Identity", ""]).is_ok());
        let error = refused(&["identity", "br"]).unwrap_err();
        assert_eq!(error, "the answer is unreadable: it is compressed (br), which was not asked for");
    }
}
