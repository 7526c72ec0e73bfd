//! From the URL of a place to the store that it is in.
//!
//! A store is reached through the program's own HTTP client, so that proxies, `AWS_CA_BUNDLE` and TLS are the same
//! everywhere, and by the credentials that the API is asked with.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AwsCredentialProvider, S3ConditionalPut};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use super::answer::{Exchange, shown};
use super::url::StoreUrl;

/// How S3 is reached.
#[derive(Clone, Debug)]
pub struct S3Access {
    /// The bucket's region.
    pub region: String,
    /// Another endpoint than the region's own.
    pub endpoint: Option<String>,
    /// Who signs.
    pub credentials: AwsCredentialProvider,
    /// The KMS key that encrypts what is written; the bucket's own setting without one.
    pub kms_key: Option<String>,
}

/// What it takes to reach a store.
#[derive(Clone, Debug)]
pub struct StoreAccess {
    /// Speaks HTTP.
    pub client: reqwest::Client,
    /// How; none if no region is known.
    pub s3: Option<S3Access>,
}

/// A store cannot be reached as it is set up (exit 2).
#[derive(Debug, thiserror::Error)]
pub enum StoreConnectError {
    /// S3, and nobody said in which region.
    #[error("{0} is in S3, and no region is known; set AWS_REGION, or `region` in the profile")]
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
    let settings = |error: object_store::Error| StoreConnectError::Settings {
        url: url.to_string(),
        reason: shown(&error),
    };
    let s3 = access.s3.as_ref().ok_or_else(|| StoreConnectError::NoRegion(url.to_string()))?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&url.bucket)
        .with_region(&s3.region)
        .with_credentials(Arc::clone(&s3.credentials))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // One by one: what removes many at once is not known to every server, and few are removed here.
        .with_disable_bulk_delete(true)
        .with_retry(retry())
        .with_http_connector(connector);
    if let Some(endpoint) = &s3.endpoint {
        let checked = check_endpoint(endpoint);
        checked.map_err(|reason| StoreConnectError::Settings { url: url.to_string(), reason })?;
        builder = builder.with_endpoint(endpoint).with_allow_http(true);
    }
    if let Some(key) = &s3.kms_key {
        builder = builder.with_sse_kms_encryption(key);
    }
    Ok(Arc::new(builder.build().map_err(settings)?))
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

/// An endpoint is a URL, and plain http is for this machine alone, as everywhere.
fn check_endpoint(endpoint: &str) -> Result<(), String> {
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
        _ => Err(format!(
            "the endpoint {endpoint} is no URL such as https://host; correct AWS_ENDPOINT_URL_S3"
        )),
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
