//! From the URL of a place to the store that it is in.
//!
//! A store is reached through the program's own HTTP client, so that proxies, `AWS_CA_BUNDLE` and TLS are the same
//! everywhere, and by the credentials that the API is asked with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AwsCredentialProvider, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{BackoffConfig, ObjectStore, RetryConfig, StaticCredentialProvider};

use super::answer::{Exchange, shown};
use super::google::{CredentialsFile, GoogleTokens, NoTokens, TokenSource, is_near, read_credentials};
use super::url::StoreUrl;

/// Where Google's store is ("Request endpoints", Cloud Storage).
const GOOGLE_ENDPOINT: &str = "https://storage.googleapis.com";

/// How S3 is reached.
#[derive(Clone, Debug)]
pub struct S3Access {
    /// The bucket's region, if any is known.
    pub region: Option<String>,
    /// Another endpoint than the region's own.
    pub endpoint: Option<String>,
    /// Who signs.
    pub credentials: AwsCredentialProvider,
    /// The KMS key that encrypts what is written; the bucket's own setting without one.
    pub kms_key: Option<String>,
}

/// How Azure is reached: settings by the names that its tools give them in the environment
/// (`AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_CLIENT_ID`, …).
#[derive(Clone, Default)]
pub struct AzureAccess(pub Vec<(String, String)>);

impl fmt::Debug for AzureAccess {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// How Google's store is reached.
#[derive(Clone, Debug)]
pub struct GoogleAccess {
    /// Another endpoint than Google's own.
    pub endpoint: Option<String>,
    /// Who asks.
    pub identity: GoogleIdentity,
    /// Speaks HTTP with what is near and gives credentials, past any proxy.
    pub near: reqwest::Client,
}

/// Who asks Google's store.
#[derive(Clone)]
pub enum GoogleIdentity {
    /// Whoever the token is of, until it ends.
    Token(String),
    /// The service account whose key this is, in JSON.
    Key(String),
    /// Whoever the file is about: a service account, a user, a workload of another provider.
    File(PathBuf),
    /// The service account of this machine or pod, by the host of its metadata server.
    Machine(String),
    /// Nobody is known.
    Nobody,
}

impl fmt::Debug for GoogleIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Token(_) => "Token",
            Self::Key(_) => "Key",
            Self::File(_) => "File",
            Self::Machine(_) => "Machine",
            Self::Nobody => "Nobody",
        })
    }
}

/// Who reaches a store, and by which settings.
#[derive(Clone, Debug)]
pub enum StoreIdentity {
    /// For S3.
    S3(S3Access),
    /// For Google.
    Google(GoogleAccess),
    /// For Azure.
    Azure(AzureAccess),
}

/// What it takes to reach a store.
#[derive(Clone, Debug)]
pub struct StoreAccess {
    /// Speaks HTTP.
    pub client: reqwest::Client,
    /// Who asks.
    pub identity: StoreIdentity,
}

/// A store cannot be reached as it is set up (exit 2).
#[derive(Debug, thiserror::Error)]
pub enum StoreConnectError {
    /// S3, and nobody said in which region.
    #[error(
        "{0} is in S3, and the region of the bucket is not known; set AWS_REGION, output.region, or `region` in the profile"
    )]
    NoRegion(String),
    /// What is set up for the store contradicts itself, or lacks something.
    #[error("{url}: {reason}")]
    Settings {
        /// The place.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// Connects to the store that a place is in; nothing is asked of it.
///
/// # Errors
/// [`StoreConnectError`].
pub fn connect(url: &StoreUrl, access: &StoreAccess) -> Result<Arc<dyn ObjectStore>, StoreConnectError> {
    let connector = Lent(access.client.clone());
    match &access.identity {
        StoreIdentity::S3(s3) => connect_s3(url, s3, connector),
        StoreIdentity::Google(google) => connect_google(url, google, &access.client),
        StoreIdentity::Azure(azure) => connect_azure(url, azure, connector),
    }
}

fn connect_s3(
    url: &StoreUrl,
    s3: &S3Access,
    connector: Lent,
) -> Result<Arc<dyn ObjectStore>, StoreConnectError> {
    let region = s3.region.as_ref().ok_or_else(|| StoreConnectError::NoRegion(url.to_string()))?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&url.bucket)
        .with_region(region)
        .with_credentials(Arc::clone(&s3.credentials))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // One by one: what removes many at once is not known to every server, and few are removed here.
        .with_disable_bulk_delete(true)
        .with_retry(retry())
        .with_http_connector(connector);
    if let Some(endpoint) = &s3.endpoint {
        check_endpoint(endpoint, "AWS_ENDPOINT_URL_S3").map_err(|reason| settings(url, reason))?;
        builder = builder.with_endpoint(endpoint).with_allow_http(true);
    }
    if let Some(key) = &s3.kms_key {
        builder = builder.with_sse_kms_encryption(key);
    }
    Ok(Arc::new(builder.build().map_err(|error| settings(url, shown(&error)))?))
}

fn connect_google(
    url: &StoreUrl,
    google: &GoogleAccess,
    client: &reqwest::Client,
) -> Result<Arc<dyn ObjectStore>, StoreConnectError> {
    let refuse = |reason| settings(url, reason);
    let endpoint = google.endpoint.as_deref().unwrap_or(GOOGLE_ENDPOINT);
    check_endpoint(endpoint, "GOOGLE_BASE_URL").map_err(refuse)?;
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(&url.bucket)
        // Else a key's own `gcs_base_url` would say where its tokens are sent.
        .with_base_url(endpoint.trim_end_matches('/'))
        .with_retry(RetryConfig { backoff: google_backoff(), ..retry() })
        .with_http_connector(Lent(client.clone()));
    let asking = |source| Arc::new(GoogleTokens::new(source, client.clone(), google.near.clone()));
    let builder = match &google.identity {
        GoogleIdentity::Token(bearer) => {
            let credential = GcpCredential { bearer: bearer.clone() };
            builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
        }
        GoogleIdentity::Key(json) => builder.with_service_account_key(json),
        GoogleIdentity::File(path) => match read_credentials(path).map_err(refuse)? {
            CredentialsFile::Key(json) => builder.with_service_account_key(json),
            CredentialsFile::Tokens(source) => builder.with_credentials(asking(source)),
        },
        GoogleIdentity::Machine(host) if is_near(&format!("http://{host}")) => {
            builder.with_credentials(asking(TokenSource::Metadata(host.clone())))
        }
        GoogleIdentity::Machine(host) => {
            return Err(refuse(format!(
                "GCE_METADATA_HOST is {host}, and tokens are asked for over plain http only on this machine and its \
                 own link; correct it"
            )));
        }
        GoogleIdentity::Nobody => builder.with_credentials(Arc::new(NoTokens)),
    };
    // What a parser says of a key may quote it.
    let built = builder.build().map_err(|_| {
        refuse(
            "the key of the service account cannot be used; make a new one, or name its file by \
             GOOGLE_APPLICATION_CREDENTIALS"
                .to_owned(),
        )
    });
    Ok(Arc::new(built?))
}

fn connect_azure(
    url: &StoreUrl,
    azure: &AzureAccess,
    connector: Lent,
) -> Result<Arc<dyn ObjectStore>, StoreConnectError> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(&url.bucket)
        .with_retry(retry())
        .with_http_connector(connector);
    for (name, value) in &azure.0 {
        // The HTTP client is the program's own, and Azure's tools have settings that are of no concern here.
        let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() else { continue };
        match key {
            // The container is the URL's.
            AzureConfigKey::Client(_) | AzureConfigKey::ContainerName => continue,
            AzureConfigKey::Endpoint => {
                check_endpoint(value, name).map_err(|reason| settings(url, reason))?;
                builder = builder.with_allow_http(true);
            }
            _ => {}
        }
        builder = builder.with_config(key, value);
    }
    let built = builder.build().map_err(|error| {
        let reason = shown(&error);
        settings(url, format!("{reason}; AZURE_STORAGE_ACCOUNT_NAME says which account, and who asks is found as by Azure's tools"))
    });
    Ok(Arc::new(built?))
}

fn settings(url: &StoreUrl, reason: String) -> StoreConnectError {
    StoreConnectError::Settings { url: url.to_string(), reason }
}

/// A few attempts within a minute: the run has a deadline, and another run comes.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(10),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: 6, retry_timeout: Duration::from_mins(1) }
}

/// Google lets an object be changed once a second ("Quotas & limits", Cloud Storage), and answers 429 to more: a probe
/// and a lock that is soon given back change theirs more often, so attempts are that far apart.
fn google_backoff() -> BackoffConfig {
    BackoffConfig { init_backoff: Duration::from_millis(600), ..retry().backoff }
}

/// An endpoint is a URL, and plain http is for this machine alone, as everywhere.
pub(super) fn check_endpoint(endpoint: &str, variable: &str) -> Result<(), String> {
    let of = |url: &reqwest::Url| url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
    let url = reqwest::Url::parse(endpoint).ok();
    let host = url.as_ref().and_then(of);
    let is_loopback = |host: &str| {
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    match (url.as_ref().map(reqwest::Url::scheme), host) {
        (Some("https"), Some(_)) => Ok(()),
        (Some("http"), Some(host)) if is_loopback(&host) => Ok(()),
        (Some("http"), Some(_)) => {
            Err(format!("the endpoint {endpoint} is plain http to another machine; write https://"))
        }
        _ => Err(format!("the endpoint {endpoint} is no URL such as https://host; correct {variable}")),
    }
}

/// The program's HTTP client, whatever a builder wants of its own.
#[derive(Debug)]
struct Lent(reqwest::Client);

impl HttpConnector for Lent {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Exchange(self.0.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wickr::{HttpClients, TimeLimit, Way};

    #[test]
    fn no_variable_leads_to_another_container_than_the_url_s() {
        let url = StoreUrl::parse("az://mine/prefix").unwrap().unwrap();
        let variables =
            [("AZURE_STORAGE_ACCOUNT_NAME", "account"), ("AZURE_CONTAINER_NAME", "somebody-else-s")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let clients = HttpClients::new(TimeLimit::Silence(Duration::from_secs(1)), None).unwrap();
        let identity = StoreIdentity::Azure(AzureAccess(variables.into()));
        let access = StoreAccess { client: clients.get(Way::Direct).unwrap(), identity };
        let store = connect(&url, &access).unwrap().to_string();
        assert!(store.contains("mine") && !store.contains("somebody"), "{store}");
    }
}
