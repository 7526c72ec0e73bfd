//! Who signs: the whole AWS credential chain by `aws-config`, cached and refreshed ahead of expiry.
//!
//! The chain itself is not cached by `aws-config` (the SDK clients do that), so it is here. A refresh that
//! fails while the old credentials still hold is not an error yet.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::region::Region;
use aws_types::service_config::ServiceConfigKey;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::error::{ApiError, quotable};
use super::sdk_http::{HttpClients, SdkHttpClient};

/// Credentials that expire sooner than this are renewed first.
const RENEW_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// How long a provider may take: a process, a login service or an instance's metadata that hangs must not look
/// like a slow export.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// A credential provider with the last credentials that it gave.
pub struct CachedCredentials {
    provider: SharedCredentialsProvider,
    cached: Mutex<Option<Credentials>>,
}

impl CachedCredentials {
    /// Wraps a provider; nothing is asked of it yet.
    #[must_use]
    pub fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, cached: Mutex::new(None) }
    }

    /// Returns credentials that hold for some minutes yet, asking the provider if need be.
    ///
    /// # Errors
    /// [`ApiError::NoCredentials`], or [`ApiError::CredentialsUnavailable`] if the provider does not answer.
    pub async fn current(&self, now: DateTime<Utc>) -> Result<Credentials, ApiError> {
        let mut cached = self.cached.lock().await;
        if let Some(credentials) = cached.as_ref().filter(|credentials| holds(credentials, now + RENEW_AHEAD))
        {
            return Ok(credentials.clone());
        }
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.provider.provide_credentials())
            .await
            .unwrap_or_else(|_elapsed| Err(CredentialsError::provider_timed_out(FETCH_TIMEOUT)));
        match fetched {
            Ok(credentials) => Ok(cached.insert(credentials).clone()),
            Err(error) => match cached.as_ref().filter(|credentials| holds(credentials, now)) {
                Some(credentials) => {
                    tracing::warn!("credentials could not be renewed yet; the old ones still hold");
                    Ok(credentials.clone())
                }
                None => Err(match error {
                    CredentialsError::ProviderTimedOut(_) => {
                        ApiError::CredentialsUnavailable(quotable(&error.to_string(), &[]))
                    }
                    _ => ApiError::NoCredentials(advice(&error)),
                }),
            },
        }
    }

    /// Drops what is cached, so that the next attempt asks the provider again.
    pub(super) async fn forget(&self) {
        *self.cached.lock().await = None;
    }
}

fn holds(credentials: &Credentials, at: DateTime<Utc>) -> bool {
    credentials.expiry().is_none_or(|expiry| DateTime::<Utc>::from(expiry) > at)
}

fn advice(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let cause = cause.to_string();
    // The chain lists each of its providers on a line; those that nobody set up say nothing of interest.
    let lines: Vec<&str> =
        cause.lines().map(str::trim).filter(|line| !line.contains("provider was not enabled")).collect();
    let told = lines.join(" ");
    format!(
        "{}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile with --profile, log in with \
         `aws sso login`, or run under a role",
        quotable(told.strip_suffix(". Attempted:").unwrap_or(&told), &[])
    )
}

/// What the AWS configuration (environment, profile files, instance) says.
pub struct AwsEnvironment {
    /// The region, if any is configured.
    pub region: Option<String>,
    /// `AWS_USE_FIPS_ENDPOINT` or the profile's `use_fips_endpoint`.
    pub use_fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT` or the profile's `use_dualstack_endpoint`.
    pub use_dual_stack: bool,
    /// `AWS_ENDPOINT_URL_WICKR` before `AWS_ENDPOINT_URL`, from the environment or the profile.
    pub endpoint_url: Option<String>,
    /// `AWS_ENDPOINT_URL_S3` before `AWS_ENDPOINT_URL`, likewise.
    pub s3_endpoint_url: Option<String>,
    /// The credential chain.
    pub credentials: CachedCredentials,
}

/// Reads the AWS configuration: environment, profile, SSO, web identity, container, instance, process.
///
/// `region` and `profile` stand before what the environment says. Credentials are not fetched yet.
///
/// # Errors
/// [`ApiError::NoCredentials`] if the chain cannot even be set up.
pub async fn load_aws_environment(
    clients: HttpClients,
    region: Option<String>,
    profile: Option<String>,
) -> Result<AwsEnvironment, ApiError> {
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(SdkHttpClient::new(clients.clone()));
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    if let Some(profile) = &profile {
        loader = loader.profile_name(profile);
    }
    let config = loader.load().await;
    let endpoint_of = |service: &'static str| {
        let key = ServiceConfigKey::builder()
            .service_id(service)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        let key = key.map_err(|error| ApiError::NoCredentials(error.to_string()))?;
        let own = config.service_config().and_then(|service| service.load_config(key));
        let own = own.or_else(|| config.endpoint_url().map(str::to_owned));
        Ok::<_, ApiError>(own.filter(|url| !url.is_empty()))
    };
    let (endpoint_url, s3_endpoint_url) = (endpoint_of("Wickr")?, endpoint_of("S3")?);
    let provider = match profile {
        // In the default chain, keys in the environment stand before any profile. Whoever names one means it.
        Some(profile) => {
            let settings = ProviderConfig::without_region()
                .with_region(config.region().cloned())
                .with_use_fips(config.use_fips())
                .with_use_dual_stack(config.use_dual_stack())
                .with_http_client(SdkHttpClient::new(clients));
            let named = ProfileFileCredentialsProvider::builder().configure(&settings).profile_name(profile);
            SharedCredentialsProvider::new(named.build())
        }
        None => config
            .credentials_provider()
            .ok_or_else(|| ApiError::NoCredentials("no credential provider is configured".to_owned()))?,
    };
    Ok(AwsEnvironment {
        region: config.region().map(ToString::to_string),
        use_fips: config.use_fips().unwrap_or_default(),
        use_dual_stack: config.use_dual_stack().unwrap_or_default(),
        endpoint_url,
        s3_endpoint_url,
        credentials: CachedCredentials::new(provider),
    })
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::future;

    use super::*;

    /// A provider that never answers, as a process that waits for input.
    #[derive(Debug)]
    struct Hanging;

    impl ProvideCredentials for Hanging {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_hangs_is_given_up_and_may_be_asked_again() {
        let credentials = CachedCredentials::new(SharedCredentialsProvider::new(Hanging));
        let start = tokio::time::Instant::now();
        let error = credentials.current(Utc::now()).await.unwrap_err();
        assert!(start.elapsed() >= FETCH_TIMEOUT);
        assert!(matches!(error, ApiError::CredentialsUnavailable(_)), "{error}");
        assert!(error.to_string().starts_with("the AWS credentials could not be fetched: "), "{error}");
    }
}
