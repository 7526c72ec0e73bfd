//! Who signs: the whole AWS credential chain by `aws-config`, cached and refreshed ahead of expiry.
//!
//! The chain itself is not cached by `aws-config` (the SDK clients do that), so it is here. A refresh that
//! fails while the old credentials still hold is not an error yet, and one that takes its time is not waited for long
//! by whoever could do with the old ones. It goes on when nobody waits: a lock's lease has no time for a slow provider,
//! and would find it as slow the next time.

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
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::Mutex;

use super::caller::Caller;
use super::client::HttpClients;
use super::credential_faults::{chain_failure, role_failure};
use super::error::ApiError;
use super::role::{AssumedRole, ExternalId};
use super::sdk_http::SdkHttpClient;

/// Credentials that expire sooner than this are renewed first.
const RENEW_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// How long a provider may take: a process, a login service or an instance's metadata that hangs must not look
/// like a slow export.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// How long new credentials are waited for while the old ones hold.
const PATIENCE: Duration = Duration::from_secs(1);

/// A source of credentials with the last ones that it gave.
pub struct CachedCredentials {
    origin: Arc<Origin>,
    known: Mutex<Known>,
}

/// The last credentials, and those on their way.
#[derive(Default)]
struct Known {
    cached: Option<Credentials>,
    fetching: Option<Fetch>,
}

impl Known {
    /// Keeps what was fetched in the meantime. What failed is asked for again by whoever comes next.
    fn take_what_has_come(&mut self) {
        let come = self.fetching.take_if(|fetch| fetch.peek().is_some());
        if let Some(Ok(new)) = come.and_then(FutureExt::now_or_never) {
            self.cached = Some(new);
        }
    }
}

/// Ends with new credentials, however many wait for it, and if nobody does.
type Fetch = Shared<BoxFuture<'static, Result<Credentials, ApiError>>>;

/// Who gives credentials.
enum Origin {
    /// The credential chain, or one link of it, and the profile that it was told of.
    Provider { provider: SharedCredentialsProvider, profile: Option<String> },
    /// STS, which lends a role to whomever the base credentials belong to.
    Role { role: AssumedRole, base: Arc<CachedCredentials>, sts: Box<SdkConfig> },
}

impl CachedCredentials {
    /// Wraps a provider; nothing is asked of it yet.
    #[must_use]
    pub fn new(provider: SharedCredentialsProvider) -> Self {
        Self::of_profile(provider, None)
    }

    fn of_profile(provider: SharedCredentialsProvider, profile: Option<String>) -> Self {
        Self { origin: Arc::new(Origin::Provider { provider, profile }), known: Mutex::default() }
    }

    /// Wraps a role that is assumed with `base`; nothing is asked yet. `sts` says where STS is and how it is reached.
    fn of_role(role: AssumedRole, base: Arc<Self>, sts: SdkConfig) -> Self {
        // Whoever asks for credentials asks again, so the SDK need not.
        let sts = sts.into_builder().retry_config(RetryConfig::disabled()).build();
        let origin = Arc::new(Origin::Role { role, base, sts: Box::new(sts) });
        Self { origin, known: Mutex::default() }
    }

    /// Returns credentials that hold for some minutes yet, asking for new ones if need be.
    ///
    /// # Errors
    /// [`ApiError::NoCredentials`], [`ApiError::CredentialsUnavailable`] if the provider or STS does not answer,
    /// and what STS says of the role and of whoever asks for it.
    pub async fn current(&self, now: DateTime<Utc>) -> Result<Credentials, ApiError> {
        let (old, fetch) = {
            let mut known = self.known.lock().await;
            known.take_what_has_come();
            let old = known.cached.clone().filter(|credentials| holds(credentials, now));
            if let Some(old) = old.as_ref().filter(|old| holds(old, now + RENEW_AHEAD)) {
                return Ok(old.clone());
            }
            (old, known.fetching.get_or_insert_with(|| fetching(self.origin.clone(), now)).clone())
        };
        let fetched = match &old {
            None => Some(fetch.clone().await),
            Some(_) => tokio::time::timeout(PATIENCE, fetch.clone()).await.ok(),
        };
        match (fetched, old) {
            (Some(Ok(new)), _) => {
                self.known.lock().await.take_what_has_come();
                Ok(new)
            }
            (Some(Err(_)), Some(old)) => {
                tracing::warn!("credentials could not be renewed yet; the old ones still hold");
                Ok(old)
            }
            (None, Some(old)) => Ok(old),
            (Some(Err(error)), None) => Err(error),
            (None, None) => unreachable!("without old credentials the new ones are waited for"),
        }
    }

    /// Drops what is cached and on its way, so that the next attempt asks anew; of a role, also what it is asked for with.
    pub(super) async fn forget(&self) {
        *self.known.lock().await = Known::default();
        if let Origin::Role { base, .. } = &*self.origin {
            *base.known.lock().await = Known::default();
        }
    }
}

impl Origin {
    async fn fetch(&self, now: DateTime<Utc>) -> Result<Credentials, ApiError> {
        match self {
            Origin::Provider { provider, profile } => {
                ask(provider).await.map_err(|error| chain_failure(&error, profile.as_deref()))
            }
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
}

/// Begins to fetch credentials.
fn fetching(origin: Arc<Origin>, now: DateTime<Utc>) -> Fetch {
    let fetch = tokio::spawn(async move { origin.fetch(now).await });
    let ended = async move {
        fetch.await.unwrap_or_else(|_panic| {
            Err(ApiError::CredentialsUnavailable("their provider panicked".to_owned()))
        })
    };
    ended.boxed().shared()
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
    let variable = || std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
    let told_of = profile.clone().or_else(variable);
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
    let credentials = Arc::new(CachedCredentials::of_profile(provider, told_of));
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

    /// A provider that takes its time, and whose credentials soon end.
    #[derive(Debug, Default)]
    struct Slow(std::sync::atomic::AtomicU64);

    impl ProvideCredentials for Slow {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
                let end = Utc::now() + TimeDelta::minutes(2);
                Ok(Credentials::new(format!("key {number}"), "secret", None, Some(end.into()), "slow"))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_provider_is_asked_once_whoever_gives_up_and_old_credentials_serve_until_it_answers() {
        let credentials = CachedCredentials::new(SharedCredentialsProvider::new(Slow::default()));
        let key = async || credentials.current(Utc::now()).await.unwrap().access_key_id().to_owned();
        let given_up = tokio::time::timeout(Duration::from_secs(3), key()).await;
        assert!(given_up.is_err(), "the first credentials are waited for");
        let start = tokio::time::Instant::now();
        assert_eq!(key().await, "key 1");
        assert!(start.elapsed() <= Duration::from_secs(2), "the fetch went on: {:?}", start.elapsed());

        let start = tokio::time::Instant::now();
        assert_eq!(key().await, "key 1");
        assert!(start.elapsed() <= PATIENCE + Duration::from_millis(10), "{:?}", start.elapsed());
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(key().await, "key 2", "what came while nobody waited is used");
    }
}
