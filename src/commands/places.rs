//! Opens what is named as an output or a state location: a folder of this machine, or a prefix of an object store.
//!
//! What a store takes, an HTTP client and the AWS configuration, is looked for only once a store is named.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

use super::source::ca_bundle;
use crate::clock::{Clock, SystemClock};
use crate::error_chain::error_chain;
use crate::job::UsageError;
use crate::storage::object::{LeaseTerm, S3Access, StoreAccess, connect};
use crate::storage::{Destination, LocalDestination, ObjectDestination, StoreUrl, local_path};
use crate::wickr::{
    CachedCredentials, HttpClients, HttpSettings, TimeLimit, build_http_client, load_aws_environment,
};

/// How long a store may be silent in the middle of an answer. Files are large, so answers may take as long as they go
/// on.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// Which AWS identity and region reach S3, where a job says it.
#[derive(Clone, Debug, Default)]
pub(super) struct PlaceSettings {
    /// The profile; the usual credential chain without one.
    pub(super) profile: Option<String>,
    /// The bucket's region; the environment's without one.
    pub(super) region: Option<String>,
    /// The KMS key that encrypts what is written.
    pub(super) kms_key: Option<String>,
}

/// Opens a place; nothing is asked of it yet.
pub(super) async fn open(text: &str, settings: &PlaceSettings) -> anyhow::Result<Arc<dyn Destination>> {
    let Some(url) = StoreUrl::parse(text)? else {
        return Ok(Arc::new(LocalDestination::new(local_path(text)?)));
    };
    let ca_bundle = ca_bundle()?;
    let client = |use_proxies| {
        let time_limit = TimeLimit::Silence(LONGEST_SILENCE);
        let settings = HttpSettings { time_limit, ca_bundle: ca_bundle.clone(), use_proxies };
        build_http_client(&settings).map_err(|error| UsageError(format!("AWS_CA_BUNDLE or TLS: {error}")))
    };
    let access = s3(settings, client).await?;
    let store = connect(&url, &access)?;
    Ok(Arc::new(ObjectDestination::new(store, url, LeaseTerm::default())))
}

async fn s3(
    settings: &PlaceSettings,
    client: impl Fn(bool) -> Result<reqwest::Client, UsageError>,
) -> anyhow::Result<StoreAccess> {
    let clients = HttpClients { proxied: client(true)?, direct: client(false)? };
    let environment =
        load_aws_environment(clients, settings.region.clone(), settings.profile.clone()).await?;
    // Plain http is for this machine, where a proxy would carry it elsewhere.
    let is_plain = environment.s3_endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"));
    let credentials = Arc::new(Lent(environment.credentials));
    let s3 = environment.region.map(|region| S3Access {
        region,
        endpoint: environment.s3_endpoint_url,
        credentials,
        kms_key: settings.kms_key.clone(),
    });
    Ok(StoreAccess { client: client(!is_plain)?, s3 })
}

/// The credentials of the API, as a store wants them.
struct Lent(CachedCredentials);

impl fmt::Debug for Lent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Lent(redacted)")
    }
}

#[async_trait]
impl CredentialProvider for Lent {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let credentials = self.0.current(SystemClock.now()).await.map_err(|error| {
            // The chain in one line: what is shown of it is an error of the store.
            let source = error_chain(&error).into();
            object_store::Error::Unauthenticated { path: "the credentials".to_owned(), source }
        })?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}
