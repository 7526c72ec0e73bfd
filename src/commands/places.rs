//! Opens what is named as an output or a state location: a folder of this machine, or a prefix of an object store.
//!
//! What a store takes, an HTTP client and the AWS configuration, is looked for only once a store is named.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

use super::clients::http_clients;
use crate::checkpoint::StateLocation;
use crate::clock::{Clock, SystemClock};
use crate::error_chain::error_chain;
use crate::job::{Job, UsageError};
use crate::publish::DividedOutput;
use crate::publish::divided::check_undivided;
use crate::storage::object::{
    AzureAccess, ConditionalPuts, GoogleAccess, GoogleIdentity, LeaseTerm, METADATA_HOST, S3Access,
    StoreAccess, StoreCredentialsError, StoreIdentity, StoreKind, StoreSettings, connect,
};
use crate::storage::{Destination, LocalDestination, LockWait, ObjectDestination, StoreUrl, local_path};
use crate::wickr::{
    ApiError, AwsEnvironment, CachedCredentials, Caller, HttpClients, TimeLimit, Way, load_aws_environment,
    s3_variant,
};

/// How long a store may be silent. Files are large, so answers may take as long as they go on; of a part that is sent
/// nothing is heard before it has arrived.
const LONGEST_SILENCE: Duration = Duration::from_mins(2);

/// Which AWS identity and region reach S3, where a job says it.
#[derive(Clone, Debug, Default)]
pub(super) struct PlaceSettings {
    /// The profile; the usual credential chain without one.
    pub(super) profile: Option<String>,
    /// The bucket's region; the environment's without one.
    pub(super) region: Option<String>,
    /// The bucket's region where the environment has none: the sources', if they have one in common.
    pub(super) fallback_region: Option<String>,
    /// The KMS key that encrypts what is written.
    pub(super) kms_key: Option<String>,
    /// The storage class of what is never replaced.
    pub(super) storage_class: Option<String>,
    /// What is done if the store ignores the conditions of puts.
    pub(super) conditional_puts: ConditionalPuts,
}

impl PlaceSettings {
    /// Returns what a job says: not the role that asks the API, which may belong to somebody else, but whoever assumes
    /// it.
    pub(super) fn of(job: &Job) -> Self {
        Self {
            profile: job.output_profile.clone(),
            region: job.output_region.clone(),
            fallback_region: job.common_region().map(str::to_owned),
            kms_key: job.kms_key.clone(),
            storage_class: job.storage_class.map(|class| class.name().to_owned()),
            conditional_puts: job.conditional_puts,
        }
    }
}

/// Opens an output that is read, whose rosters may lie elsewhere.
pub(super) async fn open_output(
    counts: &str,
    rosters: Option<&str>,
    settings: &PlaceSettings,
) -> anyhow::Result<Arc<dyn Destination>> {
    let counts = open(counts, settings).await?;
    let Some(rosters) = rosters else { return Ok(counts) };
    let rosters = open_rosters(rosters, settings).await?;
    Ok(Arc::new(divide(counts, rosters)?))
}

/// Opens an output that is written to, with all the places that it has: what is published or removed with one of them
/// missing leaves guests in it that nobody looks for any more.
pub(super) async fn open_whole_output(
    counts: &str,
    rosters: Option<&str>,
    settings: &PlaceSettings,
) -> anyhow::Result<Arc<dyn Destination>> {
    let counts = open(counts, settings).await?;
    let Some(rosters) = rosters else {
        check_undivided(&*counts).await?;
        return Ok(counts);
    };
    let divided = divide(counts, open_rosters(rosters, settings).await?)?;
    divided.check_owner().await?;
    Ok(Arc::new(divided))
}

async fn open_rosters(rosters: &str, settings: &PlaceSettings) -> anyhow::Result<Arc<dyn Destination>> {
    open(rosters, settings).await.context("output.roster_url or --roster-url")
}

/// Makes one output of two places, neither of which is within the other.
pub(super) fn divide(
    counts: Arc<dyn Destination>,
    rosters: Arc<dyn Destination>,
) -> Result<DividedOutput, UsageError> {
    let (one, other) = (counts.full_name(), rosters.full_name());
    if Path::new(&one).starts_with(&other) || Path::new(&other).starts_with(&one) {
        return Err(UsageError(format!(
            "output.roster_url or --roster-url, {other}, and the output, {one}, are the same place or one within the \
             other, so whoever reads counts would read rosters; choose another place for the rosters"
        )));
    }
    Ok(DividedOutput::new(counts, rosters))
}

/// Opens the state location of a job, if it has one.
pub(super) async fn open_state(
    job: &Job,
    settings: &PlaceSettings,
    lock_wait: &LockWait,
) -> anyhow::Result<Option<StateLocation>> {
    let Some(named) = &job.resume.state else { return Ok(None) };
    let place = open(named, settings).await.context("--state or resume.state")?;
    Ok(Some(StateLocation::new(place, lock_wait.clone())))
}

/// Refuses a state location within the output.
pub(super) fn keep_apart(state: &StateLocation, output: &dyn Destination) -> Result<(), UsageError> {
    if !state.is_within(output) {
        return Ok(());
    }
    Err(UsageError(format!(
        "the state location is within the output, {}; what is not published does not belong there, give another \
         folder with --state",
        output.describe()
    )))
}

/// Opens a place; nothing is asked of it yet.
pub(super) async fn open(text: &str, settings: &PlaceSettings) -> anyhow::Result<Arc<dyn Destination>> {
    let Some(url) = StoreUrl::parse(text)? else {
        return Ok(Arc::new(LocalDestination::new(local_path(text)?)));
    };
    let clients = store_clients()?;
    let access = match url.kind {
        StoreKind::S3 => s3(settings, &clients).await?,
        StoreKind::Google => google(&url, settings, &clients)?,
        StoreKind::Azure => azure(&url, settings, &clients)?,
    };
    let store = connect(&url, &access)?;
    let settings = StoreSettings {
        term: LeaseTerm::default(),
        conditional_puts: settings.conditional_puts,
        storage_class: settings.storage_class.clone(),
    };
    Ok(Arc::new(ObjectDestination::new(store, url, settings)))
}

/// Says whose credentials reach the buckets among some places, if any is one.
pub(super) async fn caller<'a>(
    mut places: impl Iterator<Item = &'a str>,
    settings: &PlaceSettings,
) -> Option<anyhow::Result<Caller>> {
    let is_bucket = |text: &str| matches!(StoreUrl::parse(text), Ok(Some(url)) if url.kind == StoreKind::S3);
    if !places.any(is_bucket) {
        return None;
    }
    Some(async { Ok(aws(settings, &store_clients()?).await?.caller()) }.await)
}

fn store_clients() -> Result<HttpClients, UsageError> {
    http_clients(TimeLimit::Silence(LONGEST_SILENCE))
}

/// Returns the client of a store: past all proxies if anything of it is plain http, which is for this machine alone.
fn store_client(clients: &HttpClients, is_plain: bool) -> Result<reqwest::Client, UsageError> {
    Ok(clients.get(if is_plain { Way::Direct } else { Way::Proxied })?)
}

async fn aws(settings: &PlaceSettings, clients: &HttpClients) -> anyhow::Result<AwsEnvironment> {
    let (region, profile) = (settings.region.clone(), settings.profile.clone());
    Ok(load_aws_environment(clients.clone(), region, profile).await?)
}

async fn s3(settings: &PlaceSettings, clients: &HttpClients) -> anyhow::Result<StoreAccess> {
    let environment = aws(settings, clients).await?;
    let is_plain = environment.s3_endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"));
    let credentials = Arc::new(Lent(environment.credentials));
    let region = environment.region.or_else(|| settings.fallback_region.clone());
    let variant = |region: &String| s3_variant(region, environment.use_fips, environment.use_dual_stack);
    let endpoint = environment.s3_endpoint_url.or_else(|| region.as_ref().and_then(variant));
    let identity =
        StoreIdentity::S3(S3Access { region, endpoint, credentials, kms_key: settings.kms_key.clone() });
    Ok(StoreAccess { client: store_client(clients, is_plain)?, identity })
}

fn refuse_settings_of_s3(
    url: &StoreUrl,
    settings: &PlaceSettings,
    whose: &str,
    what: &str,
) -> Result<(), UsageError> {
    if settings.region.is_none() && settings.kms_key.is_none() && settings.storage_class.is_none() {
        return Ok(());
    }
    Err(UsageError(format!(
        "output.region, output.kms_key and output.storage_class are settings of S3, and {url} is in {whose}; remove \
         them, and set these things for the {what}"
    )))
}

/// Google's tools find who asks in this order ("How Application Default Credentials works"); what only `object_store`
/// knows, a token or a key by itself, comes first.
fn google(
    url: &StoreUrl,
    settings: &PlaceSettings,
    clients: &HttpClients,
) -> Result<StoreAccess, UsageError> {
    refuse_settings_of_s3(url, settings, "Google Cloud Storage", "bucket")?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let file = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let login = || {
        let folder = file("CLOUDSDK_CONFIG").or_else(|| Some(file("HOME")?.join(".config/gcloud")))?;
        Some(folder.join("application_default_credentials.json")).filter(|path| path.exists())
    };
    let machine = || match variable("NO_GCE_CHECK") {
        Some(value) if value.eq_ignore_ascii_case("true") => GoogleIdentity::Nobody,
        _ => {
            GoogleIdentity::Machine(variable("GCE_METADATA_HOST").unwrap_or_else(|| METADATA_HOST.to_owned()))
        }
    };
    let identity = variable("GOOGLE_BEARER_TOKEN")
        .map(GoogleIdentity::Token)
        .or_else(|| variable("GOOGLE_SERVICE_ACCOUNT_KEY").map(GoogleIdentity::Key))
        .or_else(|| {
            let named =
                ["GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_APPLICATION_CREDENTIALS"];
            named.into_iter().find_map(file).or_else(login).map(GoogleIdentity::File)
        })
        .unwrap_or_else(machine);
    let endpoint = variable("GOOGLE_BASE_URL");
    let is_plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let access = GoogleAccess { endpoint, identity, near: clients.get(Way::Direct)? };
    Ok(StoreAccess { client: store_client(clients, is_plain)?, identity: StoreIdentity::Google(access) })
}

/// Azure's tools are set up by variables, which is all that is known of an account here.
fn azure(url: &StoreUrl, settings: &PlaceSettings, clients: &HttpClients) -> Result<StoreAccess, UsageError> {
    refuse_settings_of_s3(url, settings, "Azure", "container")?;
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| name.starts_with("AZURE_") && !value.is_empty())
        .collect();
    let is_plain = variables.iter().any(|(_, value)| value.starts_with("http://"));
    Ok(StoreAccess {
        client: store_client(clients, is_plain)?,
        identity: StoreIdentity::Azure(AzureAccess(variables)),
    })
}

/// The credentials of the API, as a store wants them.
struct Lent(Arc<CachedCredentials>);

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
            let is_temporary = matches!(error, ApiError::CredentialsUnavailable(_));
            let source = StoreCredentialsError { message: error_chain(&error), is_temporary };
            object_store::Error::Unauthenticated {
                path: "the credentials".to_owned(),
                source: Box::new(source),
            }
        })?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}
