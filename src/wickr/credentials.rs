//! Who signs: the whole AWS credential chain by `aws-config`, cached and refreshed ahead of expiry.
//!
//! The chain itself is not cached by `aws-config` (the SDK clients do that), so it is here. A refresh that
//! fails while the old credentials still hold is not an error yet.

use std::sync::Arc;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_types::region::Region;
use aws_types::service_config::ServiceConfigKey;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use super::caller::Caller;
use super::credential_faults::{chain_failure, role_failure};
use super::error::ApiError;
use super::role::{AssumedRole, ExternalId};
use super::sdk_http::{HttpClients, SdkHttpClient};

/// Credentials that expire sooner than this are renewed first.
const RENEW_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// How long a provider may take: a process, a login service or an instance's metadata that hangs must not look
/// like a slow export.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// A source of credentials with the last ones that it gave.
pub struct CachedCredentials {
    origin: Origin,
    cached: Mutex<Option<Credentials>>,
}

/// Who gives credentials.
enum Origin {
    /// The credential chain, or one link of it.
    Provider(SharedCredentialsProvider),
    /// STS, which lends a role to whomever the base credentials belong to.
    Role { role: AssumedRole, base: Arc<CachedCredentials>, sts: Box<SdkConfig> },
}

impl CachedCredentials {
    /// Wraps a provider; nothing is asked of it yet.
    #[must_use]
    pub fn new(provider: SharedCredentialsProvider) -> Self {
        Self { origin: Origin::Provider(provider), cached: Mutex::new(None) }
    }

    /// Wraps a role that is assumed with `base`; nothing is asked yet. `sts` says where STS is and how it is reached.
    fn of_role(role: AssumedRole, base: Arc<Self>, sts: SdkConfig) -> Self {
        // Whoever asks for credentials asks again, so the SDK need not.
        let sts = sts.into_builder().retry_config(RetryConfig::disabled()).build();
        let origin = Origin::Role { role, base, sts: Box::new(sts) };
        Self { origin, cached: Mutex::new(None) }
    }

    /// Returns credentials that hold for some minutes yet, asking for new ones if need be.
    ///
    /// # Errors
    /// [`ApiError::NoCredentials`], [`ApiError::CredentialsUnavailable`] if the provider or STS does not answer,
    /// and what STS says of the role and of whoever asks for it.
    pub async fn current(&self, now: DateTime<Utc>) -> Result<Credentials, ApiError> {
        let mut cached = self.cached.lock().await;
        if let Some(credentials) = cached.as_ref().filter(|credentials| holds(credentials, now + RENEW_AHEAD))
        {
            return Ok(credentials.clone());
        }
        match self.fetch(now).await {
            Ok(credentials) => Ok(cached.insert(credentials).clone()),
            Err(error) => match cached.as_ref().filter(|credentials| holds(credentials, now)) {
                Some(credentials) => {
                    tracing::warn!("credentials could not be renewed yet; the old ones still hold");
                    Ok(credentials.clone())
                }
                None => Err(error),
            },
        }
    }

    async fn fetch(&self, now: DateTime<Utc>) -> Result<Credentials, ApiError> {
        match &self.origin {
            Origin::Provider(provider) => ask(provider).await.map_err(|error| chain_failure(&error)),
            Origin::Role { role, base, sts } => {
                // One role stands on another's credentials, so that the future has no size of its own.
                let base = Box::pin(base.current(now)).await?;
                let external_id = role.external_id.as_ref().map(ExternalId::as_str);
                let mut request = AssumeRoleProvider::builder(role.arn.as_str())
                    .session_name(role.session_name.as_str())
                    .configure(sts);
                if let Some(external_id) = external_id {
                    request = request.external_id(external_id);
                }
                let provider = request.build_from_provider(base.clone()).await;
                ask(&provider).await.map_err(|error| {
                    let secrets = [
                        base.session_token().unwrap_or_default(),
                        base.secret_access_key(),
                        base.access_key_id(),
                        external_id.unwrap_or_default(),
                    ];
                    role_failure(&error, &role.arn, &secrets)
                })
            }
        }
    }

    /// Drops what is cached, so that the next attempt asks anew; of a role, also what it is asked for with.
    pub(super) async fn forget(&self) {
        *self.cached.lock().await = None;
        if let Origin::Role { base, .. } = &self.origin {
            *base.cached.lock().await = None;
        }
    }
}

async fn ask(provider: &impl ProvideCredentials) -> Result<Credentials, CredentialsError> {
    tokio::time::timeout(FETCH_TIMEOUT, provider.provide_credentials())
        .await
        .unwrap_or_else(|_elapsed| Err(CredentialsError::provider_timed_out(FETCH_TIMEOUT)))
}

fn holds(credentials: &Credentials, at: DateTime<Utc>) -> bool {
    credentials.expiry().is_none_or(|expiry| DateTime::<Utc>::from(expiry) > at)
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
    pub credentials: Arc<CachedCredentials>,
    /// What the AWS configuration says of other services.
    sdk: SdkConfig,
}

impl AwsEnvironment {
    /// Puts a role in place of whoever the credential chain says we are; it is assumed when it is needed.
    #[must_use]
    pub fn assuming(self, role: AssumedRole) -> Self {
        let credentials = CachedCredentials::of_role(role, self.credentials, self.sdk.clone());
        Self { credentials: Arc::new(credentials), ..self }
    }

    /// Returns what finds out whose the credentials are.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::new(self.credentials.clone(), self.sdk.clone())
    }
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
    let credentials = Arc::new(CachedCredentials::new(provider));
    Ok(AwsEnvironment {
        region: config.region().map(ToString::to_string),
        use_fips: config.use_fips().unwrap_or_default(),
        use_dual_stack: config.use_dual_stack().unwrap_or_default(),
        endpoint_url,
        s3_endpoint_url,
        credentials,
        sdk: config,
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
