//! What a job asks: AWS as the AWS configuration says, once for each source, or the embedded simulator.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::clients::http_clients;
use crate::clock::Clock;
use crate::export::Source;
use crate::job::{Job, JobSource, Networks, Service, UsageError};
use crate::pacing::{Pacer, PacerSettings};
use crate::publish::SourceKind;
use crate::wickr::{
    CachedCredentials, Caller, Endpoint, EndpointRequest, HttpWickrAdmin, TimeLimit, Way,
    load_aws_environment,
};

/// What answers, ready to be asked. Dropping it stops the simulator, if there is one.
pub(super) struct OpenSources {
    /// Each source, with what is wanted of it.
    pub(super) sources: Vec<(Arc<Source>, Networks)>,
    /// What knows whose credentials ask each source; none for the simulator.
    pub(super) callers: Vec<Option<Caller>>,
    #[cfg(feature = "simulator")]
    _simulators: Vec<crate::simulator::RunningSimulator>,
}

impl OpenSources {
    /// Finds out what kind of source answers, if any has answered: all of them are of one kind, or none is believed.
    pub(super) fn kind_that_answered(&self) -> Result<Option<SourceKind>, UsageError> {
        let sources = self.sources.iter().map(|(source, _)| source);
        let mut answered = sources.filter(|source| source.api.has_answered());
        let Some(first) = answered.next() else { return Ok(None) };
        match answered.find(|other| other.kind() != first.kind()) {
            None => Ok(Some(first.kind())),
            Some(other) => Err(UsageError(format!(
                "{first} is of the kind {}, and {other} of the kind {}; simulated numbers never stand beside real \
                 ones, so put them into jobs with outputs of their own",
                first.kind().as_str(),
                other.kind().as_str()
            ))),
        }
    }
}

/// A way to a service, and what signs the requests that take it.
struct Connection {
    client: reqwest::Client,
    endpoint: Endpoint,
    credentials: Arc<CachedCredentials>,
    caller: Option<Caller>,
    #[cfg(feature = "simulator")]
    simulator: Option<crate::simulator::RunningSimulator>,
}

/// Connects to what the job names as its sources. Nothing is asked yet.
pub(super) async fn open(job: &Job, clock: &Arc<dyn Clock>) -> anyhow::Result<OpenSources> {
    let (mut sources, mut callers) = (Vec::new(), Vec::new());
    #[cfg(feature = "simulator")]
    let mut simulators = Vec::new();
    for source in &job.sources {
        let connection = match connect(source, job).await {
            Err(error) if job.sources.len() > 1 => Err(error.context(format!("source {}", source.number))),
            connection => connection,
        }?;
        let rate = PacerSettings { max_requests_per_second: job.max_requests_per_second };
        let (client, endpoint) = (connection.client, connection.endpoint);
        let api = HttpWickrAdmin::new(client, endpoint.clone(), connection.credentials, clock.clone());
        let open = Source {
            number: source.number,
            profile: source.service.profile().map(str::to_owned),
            role_arn: source.service.role().map(|role| role.arn.clone()),
            api: Arc::new(api),
            endpoint,
            pacer: Arc::new(Pacer::new(rate, || rand::random_range(0.0..=1.0))),
            turns: Arc::new(Semaphore::new(job.concurrency)),
            spelling: source.spelling,
            is_embedded: source.service.is_simulated(),
        };
        sources.push((Arc::new(open), source.networks.clone()));
        callers.push(connection.caller);
        #[cfg(feature = "simulator")]
        simulators.extend(connection.simulator);
    }
    Ok(OpenSources {
        sources,
        callers,
        #[cfg(feature = "simulator")]
        _simulators: simulators,
    })
}

async fn connect(source: &JobSource, job: &Job) -> anyhow::Result<Connection> {
    let clients = http_clients(TimeLimit::Exchange(job.request_timeout))?;
    match &source.service {
        Service::Wickr { region, profile, endpoint_url, role } => {
            let aws = load_aws_environment(clients.clone(), region.clone(), profile.clone()).await?;
            let aws = match role {
                Some(role) => aws.assuming(role.clone()),
                None => aws,
            };
            let caller = aws.caller();
            let endpoint = EndpointRequest {
                region: aws.region,
                use_fips: aws.use_fips,
                use_dual_stack: aws.use_dual_stack,
                custom_url: endpoint_url.clone().or(aws.endpoint_url),
            }
            .resolve()?;
            Ok(Connection {
                client: clients.get(Way::to(&endpoint.url))?,
                endpoint,
                credentials: aws.credentials,
                caller: Some(caller),
                #[cfg(feature = "simulator")]
                simulator: None,
            })
        }
        #[cfg(feature = "simulator")]
        Service::Simulator(config) => {
            let client = clients.get(Way::Plain)?;
            simulated(config, job, client).await
        }
    }
}

#[cfg(feature = "simulator")]
async fn simulated(
    config: &crate::simulator::SimulatorConfig,
    job: &Job,
    client: reqwest::Client,
) -> anyhow::Result<Connection> {
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;

    use crate::error_chain::error_chain;
    use crate::simulator::{Simulator, SimulatorConfig};

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
    let credentials = Arc::new(CachedCredentials::new(SharedCredentialsProvider::new(credentials)));
    Ok(Connection { client, endpoint, credentials, caller: None, simulator: Some(simulator) })
}
