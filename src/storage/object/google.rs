//! Who asks Google's store: the token that it wants, from wherever Google's own tools would have it.
//!
//! A service account's key signs its tokens itself, which `object_store` does. All else asks for them here rather than
//! there: a metadata server must be asked past any proxy and over plain http only where it is near, `object_store`
//! knows no workload identity federation, and what refuses a token (77) has to be told from what is silent (75).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use object_store::CredentialProvider;
use object_store::client::{HttpError, HttpRequest, HttpRequestBody, HttpService as _};
use object_store::gcp::GcpCredential;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::answer::{Answer, StoreCredentialsError, beginning};
use crate::error_chain::error_chain;

/// The metadata server of Google's machines ("View and query VM metadata").
pub const METADATA_HOST: &str = "metadata.google.internal";
/// What the token of a federated identity may be used for, and that of a service account that it acts as.
const STORAGE_SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
/// What it takes to act as a service account ("`generateAccessToken`", IAM Service Account Credentials API).
const IMPERSONATION_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where a user's refresh token is exchanged, unless the file says otherwise ("Using OAuth 2.0").
const USER_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// How much of its life a token must have left. The metadata server hands out the same one until about then.
const LEAST_REMAINING: Duration = Duration::from_mins(4);
/// How long one question for a token may take.
const LONGEST_QUESTION: Duration = Duration::from_secs(10);
/// Pauses between the attempts: GKE's metadata server takes some seconds until it answers a new pod.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long a failure is that of whoever asks next: many wait for the same answer, and would wait one after another.
const FAILURE_STANDS: Duration = Duration::from_secs(5);
/// How long a service account's token lives that a federated identity asks for, in seconds; the most by default.
const IMPERSONATED_SECONDS: u64 = 3600;

/// A file of credentials, as far as it tells its kind.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    private_key: Option<String>,
}

/// What a file of credentials turned out to be.
pub(super) enum CredentialsFile {
    /// A service account's key, as the file has it.
    Key(String),
    /// Whoever asks for tokens.
    Tokens(TokenSource),
}

/// The login of a user (`gcloud auth application-default login`; AIP-4113).
#[derive(Deserialize)]
pub(super) struct User {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    #[serde(default)]
    token_uri: Option<String>,
}

/// Workload identity federation (AIP-4117): another provider's token is exchanged for one of Google's.
#[derive(Deserialize)]
pub(super) struct Federation {
    audience: String,
    subject_token_type: String,
    token_url: String,
    #[serde(default)]
    service_account_impersonation_url: Option<String>,
    credential_source: SubjectSource,
}

/// Where the other provider's token is.
#[derive(Deserialize)]
struct SubjectSource {
    #[serde(default)]
    file: Option<PathBuf>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    format: SubjectFormat,
    #[serde(default)]
    environment_id: Option<String>,
}

/// How the other provider's token is written.
#[derive(Default, Deserialize)]
struct SubjectFormat {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    subject_token_field_name: Option<String>,
}

/// Where tokens come from.
pub(super) enum TokenSource {
    User(User),
    Federation(Box<Federation>),
    /// The metadata server, by its host and perhaps port.
    Metadata(String),
}

/// Reads a file of credentials.
pub(super) fn read_credentials(path: &Path) -> Result<CredentialsFile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("{} cannot be read: {error}; correct GOOGLE_APPLICATION_CREDENTIALS", path.display())
    })?;
    // What a parser says of JSON may quote it.
    let unreadable = || format!("{} is no file of Google's credentials; make a new one", path.display());
    let kind: Kind = serde_json::from_str(&text).map_err(|_| unreadable())?;
    match kind.kind.as_deref() {
        Some("service_account") => Ok(CredentialsFile::Key(text)),
        None if kind.private_key.is_some() => Ok(CredentialsFile::Key(text)),
        Some("authorized_user") => {
            let user: User = serde_json::from_str(&text).map_err(|_| unreadable())?;
            check_far(user.token_uri.as_deref(), path)?;
            Ok(CredentialsFile::Tokens(TokenSource::User(user)))
        }
        Some("external_account") => {
            let federation: Federation = serde_json::from_str(&text).map_err(|_| unreadable())?;
            federation.check(path)?;
            Ok(CredentialsFile::Tokens(TokenSource::Federation(Box::new(federation))))
        }
        kind => Err(format!(
            "{} holds credentials of the type `{}`, and only `service_account`, `authorized_user` and \
             `external_account` can be used here",
            path.display(),
            kind.unwrap_or("?").escape_debug()
        )),
    }
}

fn check_far(url: Option<&str>, path: &Path) -> Result<(), String> {
    url.map_or(Ok(()), |url| super::connect::check_endpoint(url, &path.display().to_string()))
}

impl Federation {
    fn check(&self, path: &Path) -> Result<(), String> {
        let (source, shown) = (&self.credential_source, path.display());
        check_far(Some(&self.token_url), path)?;
        check_far(self.service_account_impersonation_url.as_deref(), path)?;
        if source.environment_id.is_some() {
            return Err(format!(
                "{shown} takes its token from AWS's own signature, which cannot be used here; federate the cluster's \
                 or another OpenID provider's token (credential_source.file)"
            ));
        }
        match (&source.file, &source.url) {
            (Some(_), None) => {}
            (None, Some(url)) if is_near(url) => {}
            (None, Some(url)) => check_far(Some(url), path)?,
            _ => {
                return Err(format!(
                    "{shown} takes its token from neither a file nor a URL: only credential_source.file and \
                     credential_source.url can be used here"
                ));
            }
        }
        match source.format.kind.as_deref() {
            None | Some("text") => Ok(()),
            Some("json") if source.format.subject_token_field_name.is_some() => Ok(()),
            Some(_) => Err(format!(
                "{shown}: credential_source.format is neither text nor json with a subject_token_field_name"
            )),
        }
    }
}

/// Says whether a URL or host is one that may be asked in the clear, past any proxy: on this machine or its own link.
pub(super) fn is_near(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(reqwest::Url::host_str).map(|host| host.trim_matches(['[', ']']));
    let Some(host) = host else { return false };
    match host.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(std::net::IpAddr::V6(address)) => {
            // fd20:ce::254 is Google's metadata server.
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.segments()[..2] == [0xfd20, 0x00ce]
        }
        Err(_) => host == "localhost" || host == METADATA_HOST,
    }
}

/// Hands out tokens, each until it nearly ends.
pub(super) struct GoogleTokens {
    source: TokenSource,
    /// Goes through proxies.
    far: reqwest::Client,
    /// Goes past them.
    near: reqwest::Client,
    known: Mutex<Known>,
}

/// What came of the last question.
#[derive(Default)]
struct Known {
    token: Option<Token>,
    /// Why there was none then, and when.
    failure: Option<(StoreCredentialsError, Instant)>,
}

struct Token {
    credential: Arc<GcpCredential>,
    ends: Instant,
}

impl fmt::Debug for GoogleTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GoogleTokens(redacted)")
    }
}

/// An answer with a token (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: String,
}

impl GoogleTokens {
    pub(super) fn new(source: TokenSource, far: reqwest::Client, near: reqwest::Client) -> Self {
        Self { source, far, near, known: Mutex::default() }
    }

    async fn ask(&self) -> Result<Token, StoreCredentialsError> {
        let begun = Instant::now();
        let granted = match &self.source {
            TokenSource::User(user) => self.ask_for_user(user).await?,
            TokenSource::Federation(federation) => self.ask_for_federated(federation).await?,
            TokenSource::Metadata(host) => self.ask_metadata(host).await?,
        };
        let credential = Arc::new(GcpCredential { bearer: granted.access_token });
        Ok(Token { credential, ends: begun + Duration::from_secs(granted.expires_in) })
    }

    async fn ask_for_user(&self, user: &User) -> Result<Granted, StoreCredentialsError> {
        let form = form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &user.client_id),
            ("client_secret", &user.client_secret),
            ("refresh_token", &user.refresh_token),
        ]);
        let url = user.token_uri.as_deref().unwrap_or(USER_TOKEN_URL);
        let question = Question { whom: "Google's token endpoint", request: posted(url, form) };
        question.json(&self.far, "log in again with `gcloud auth application-default login`").await
    }

    async fn ask_for_federated(&self, federation: &Federation) -> Result<Granted, StoreCredentialsError> {
        let subject = self.subject_token(&federation.credential_source).await?;
        let impersonation = federation.service_account_impersonation_url.as_deref();
        let form = form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", &federation.audience),
            ("scope", if impersonation.is_some() { IMPERSONATION_SCOPE } else { STORAGE_SCOPE }),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", &federation.subject_token_type),
            ("subject_token", subject.trim()),
        ]);
        let question = Question {
            whom: "Google's Security Token Service",
            request: posted(&federation.token_url, form),
        };
        let granted: Granted =
            question.json(&self.far, "see to the workload identity pool and its provider").await?;
        let Some(url) = impersonation else { return Ok(granted) };
        let scope = serde_json::json!({
            "scope": [STORAGE_SCOPE], "lifetime": format!("{IMPERSONATED_SECONDS}s"),
        });
        let mut request = posted(url, scope.to_string());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(bearer) = HeaderValue::from_str(&format!("Bearer {}", granted.access_token)) {
            request.headers_mut().insert(AUTHORIZATION, bearer);
        }
        let question = Question { whom: "Google's IAM Service Account Credentials API", request };
        let impersonated: Impersonated =
            question.json(&self.far, "grant roles/iam.workloadIdentityUser on the service account").await?;
        Ok(Granted { access_token: impersonated.access_token, expires_in: IMPERSONATED_SECONDS })
    }

    /// Gets the other provider's token. It is read each time: whoever wrote it replaces it before it ends.
    async fn subject_token(&self, source: &SubjectSource) -> Result<String, StoreCredentialsError> {
        let text = match (&source.file, &source.url) {
            (Some(file), _) => tokio::fs::read_to_string(file).await.map_err(|error| {
                refused(format!("the token file {} cannot be read: {error}", file.display()))
            })?,
            (None, Some(url)) => {
                let mut request = got(url);
                for (name, value) in &source.headers {
                    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value))
                    {
                        request.headers_mut().insert(name, value);
                    }
                }
                let client = if is_near(url) { &self.near } else { &self.far };
                let question = Question { whom: "the provider of the token", request };
                question.text(client, "see to credential_source in the file of credentials").await?
            }
            (None, None) => String::new(),
        };
        let Some(field) = source.format.subject_token_field_name.as_deref() else { return Ok(text) };
        let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
        json.as_ref()
            .and_then(|json| json.get(field)?.as_str())
            .map(str::to_owned)
            .ok_or_else(|| refused(format!("the provider's answer has no `{field}`")))
    }

    async fn ask_metadata(&self, host: &str) -> Result<Granted, StoreCredentialsError> {
        if host == METADATA_HOST && tokio::net::lookup_host((host, 80)).await.is_err() {
            return Err(refused(NO_CREDENTIALS.to_owned()));
        }
        let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
        let mut request = got(&url);
        request.headers_mut().insert("metadata-flavor", HeaderValue::from_static("Google"));
        let question = Question { whom: "the metadata server", request };
        question.json(&self.near, "give the machine or the pod a service account").await
    }
}

/// Nobody says who asks, nor is this a machine of Google's.
const NO_CREDENTIALS: &str = "there are no credentials of Google: no GOOGLE_APPLICATION_CREDENTIALS, no login by \
    `gcloud auth application-default login`, and no metadata server";

/// Who never has credentials: no file names any, and the metadata server is not to be asked (`NO_GCE_CHECK`).
#[derive(Debug)]
pub(super) struct NoTokens;

#[async_trait]
impl CredentialProvider for NoTokens {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        Err(unauthenticated(refused(NO_CREDENTIALS.to_owned())))
    }
}

#[async_trait]
impl CredentialProvider for GoogleTokens {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let mut known = self.known.lock().await;
        let has = |token: &Token, least| token.ends.saturating_duration_since(Instant::now()) > least;
        let still = |known: &Known, least| {
            let token = known.token.as_ref().filter(|token| has(token, least));
            token.map(|token| Arc::clone(&token.credential))
        };
        if let Some(credential) = still(&known, LEAST_REMAINING) {
            return Ok(credential);
        }
        let failed = known.failure.as_ref().filter(|(_, at)| at.elapsed() < FAILURE_STANDS);
        let error = match failed.map(|(error, _)| error.clone()) {
            Some(error) => error,
            None => match self.ask().await {
                Ok(token) => {
                    *known = Known::default();
                    return Ok(Arc::clone(&known.token.insert(token).credential));
                }
                Err(error) => {
                    known.failure = Some((error.clone(), Instant::now()));
                    error
                }
            },
        };
        match still(&known, Duration::ZERO) {
            Some(credential) if error.is_temporary => Ok(credential),
            _ => Err(unauthenticated(error)),
        }
    }
}

fn unauthenticated(error: StoreCredentialsError) -> object_store::Error {
    object_store::Error::Unauthenticated { path: "the credentials".to_owned(), source: Box::new(error) }
}

fn refused(message: String) -> StoreCredentialsError {
    StoreCredentialsError { message, is_temporary: false }
}

fn got(url: &str) -> HttpRequest {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    // URLs were held against what a URL is when they were read; a host that is none fails when it is asked.
    *request.uri_mut() = url.parse().unwrap_or_default();
    request
}

fn posted(url: &str, body: String) -> HttpRequest {
    let mut request = got(url);
    *request.method_mut() = Method::POST;
    *request.body_mut() = body.into();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    request
}

fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    fields.join("&")
}

/// What is asked of somebody who may give a token.
struct Question {
    whom: &'static str,
    request: HttpRequest,
}

/// Why there was no answer of use.
enum Silence {
    Final(String),
    Temporary(String),
}

impl Question {
    async fn json<T: for<'de> Deserialize<'de>>(
        self,
        client: &reqwest::Client,
        remedy: &str,
    ) -> Result<T, StoreCredentialsError> {
        let whom = self.whom;
        let text = self.text(client, remedy).await?;
        // The text has a token, so nothing of it is shown.
        serde_json::from_str(&text).map_err(|_| refused(format!("{whom} answers without a token; {remedy}")))
    }

    /// Asks, and again if the answer may be another in a moment.
    async fn text(self, client: &reqwest::Client, remedy: &str) -> Result<String, StoreCredentialsError> {
        let mut pauses = PAUSES.iter();
        loop {
            let attempt = tokio::time::timeout(LONGEST_QUESTION, self.attempt(client)).await;
            let silence = match attempt {
                Ok(Ok(text)) => return Ok(text),
                Ok(Err(silence)) => silence,
                Err(_elapsed) => Silence::Temporary(format!("no answer within {LONGEST_QUESTION:?}")),
            };
            match (silence, pauses.next()) {
                (Silence::Final(cause), _) => {
                    return Err(refused(format!("{} refuses a token: {cause}; {remedy}", self.whom)));
                }
                (Silence::Temporary(_), Some(pause)) => tokio::time::sleep(*pause).await,
                (Silence::Temporary(cause), None) => {
                    let message = format!("{} gives no token: {cause}", self.whom);
                    return Err(StoreCredentialsError { message, is_temporary: true });
                }
            }
        }
    }

    async fn attempt(&self, client: &reqwest::Client) -> Result<String, Silence> {
        let silent = |error: HttpError| Silence::Temporary(error_chain(&error));
        let response = client.call(self.request.clone()).await.map_err(silent)?;
        let status = response.status();
        let text = beginning(response.into_body()).await.map_err(silent)?;
        if status.is_success() {
            return Ok(text);
        }
        let told = Answer::read(status, None, &text).told();
        let is_temporary = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Err(if is_temporary { Silence::Temporary(told) } else { Silence::Final(told) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_may_be_asked_in_the_clear() {
        for near in [
            "http://metadata.google.internal",
            "http://169.254.169.254:80/x",
            "http://[fd20:ce::254]",
            "http://127.0.0.1:8080",
            "http://localhost",
        ] {
            assert!(is_near(near), "{near}");
        }
        for far in [
            "http://metadata.google.internal.example.com",
            "http://metadata.google.internal@example.com",
            "http://169.253.0.1",
            "http://10.0.0.1",
            "http://[fd20:cf::254]",
            "metadata.google.internal",
        ] {
            assert!(!is_near(far), "{far}");
        }
    }

    #[test]
    fn what_a_form_would_take_for_its_own_is_encoded() {
        assert_eq!(form(&[("a", "b&c=d +/"), ("e", "")]), "a=b%26c%3Dd%20%2B%2F&e=");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_after_a_failure_is_told_of_it_until_it_is_time_to_ask_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let source = TokenSource::Federation(Box::new(Federation {
            audience: String::new(),
            subject_token_type: String::new(),
            token_url: "http://127.0.0.1:9/".to_owned(),
            service_account_impersonation_url: None,
            credential_source: SubjectSource {
                file: Some(file.clone()),
                url: None,
                headers: std::collections::BTreeMap::new(),
                format: SubjectFormat { kind: None, subject_token_field_name: Some("t".to_owned()) },
                environment_id: None,
            },
        }));
        let limit = crate::wickr::TimeLimit::Silence(Duration::from_secs(1));
        let clients = crate::wickr::HttpClients::new(limit, None).unwrap();
        let client = clients.get(crate::wickr::Way::Direct).unwrap();
        let tokens = GoogleTokens::new(source, client.clone(), client);
        let said = async || tokens.get_credential().await.unwrap_err().to_string();
        assert!(said().await.contains("cannot be read"));
        std::fs::write(&file, "{}").unwrap();
        assert!(said().await.contains("cannot be read"), "as before");
        tokio::time::sleep(FAILURE_STANDS).await;
        assert!(said().await.contains("has no `t`"), "it was looked again");
    }
}
