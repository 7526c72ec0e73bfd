//! What a job asks: AWS as the AWS configuration says, or the embedded simulator.

use std::sync::Arc;

use crate::clock::Clock;
use crate::job::{Job, JobSource, UsageError};
use crate::wickr::{
    Endpoint, EndpointRequest, HttpClients, HttpSettings, HttpWickrAdmin, TimeLimit, build_http_client,
    load_aws_environment,
};

/// What answers, ready to be asked. Dropping it stops the simulator, if there is one.
pub(super) struct Source {
    pub(super) api: Arc<HttpWickrAdmin>,
    pub(super) endpoint: Endpoint,
    #[cfg(feature = "simulator")]
    _simulator: Option<crate::simulator::RunningSimulator>,
}

/// Connects to what the job names as its source. Nothing is asked yet.
pub(super) async fn open(job: &Job, clock: Arc<dyn Clock>) -> anyhow::Result<Source> {
    let ca_bundle = ca_bundle()?;
    let client = |use_proxies| {
        let ca_bundle = ca_bundle.clone();
        let settings =
            HttpSettings { time_limit: TimeLimit::Exchange(job.request_timeout), ca_bundle, use_proxies };
        build_http_client(&settings).map_err(|error| UsageError(format!("AWS_CA_BUNDLE or TLS: {error}")))
    };
    match &job.source {
        JobSource::Wickr { region, profile, endpoint_url } => {
            let clients = HttpClients { proxied: client(true)?, direct: client(false)? };
            let aws = load_aws_environment(clients, region.clone(), profile.clone()).await?;
            let endpoint = EndpointRequest {
                region: aws.region,
                use_fips: aws.use_fips,
                use_dual_stack: aws.use_dual_stack,
                custom_url: endpoint_url.clone().or(aws.endpoint_url),
            }
            .resolve()?;
            let client = client(endpoint.url.scheme() == "https")?;
            Ok(Source {
                api: Arc::new(HttpWickrAdmin::new(client, endpoint.clone(), aws.credentials, clock)),
                endpoint,
                #[cfg(feature = "simulator")]
                _simulator: None,
            })
        }
        #[cfg(feature = "simulator")]
        JobSource::Simulator(config) => simulated(config, job, client(false)?, clock).await,
    }
}

#[cfg(feature = "simulator")]
async fn simulated(
    config: &crate::simulator::SimulatorConfig,
    job: &Job,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Source> {
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;

    use crate::error_chain::error_chain;
    use crate::simulator::{Simulator, SimulatorConfig};
    use crate::wickr::CachedCredentials;

    let config = SimulatorConfig { now: config.now.or(job.as_of), ..config.clone() };
    let simulator = Simulator::start(config).await.map_err(|error| UsageError(error_chain(&error)))?;
    let keys = simulator.credentials();
    let (key, secret, token) = (&keys.access_key_id, &keys.secret_access_key, &keys.session_token);
    let credentials = Credentials::new(key, secret, token.clone(), None, "simulator");
    let endpoint = EndpointRequest {
        region: Some(simulator.region().to_owned()),
        custom_url: Some(simulator.endpoint()),
        ..EndpointRequest::default()
    }
    .resolve()?;
    let credentials = CachedCredentials::new(SharedCredentialsProvider::new(credentials));
    let api = Arc::new(HttpWickrAdmin::new(client, endpoint.clone(), credentials, clock));
    Ok(Source { api, endpoint, _simulator: Some(simulator) })
}

pub(super) fn ca_bundle() -> Result<Option<Vec<u8>>, UsageError> {
    let Some(path) = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    std::fs::read(&path)
        .map(Some)
        .map_err(|error| UsageError(format!("AWS_CA_BUNDLE: {} cannot be read: {error}", path.display())))
}
