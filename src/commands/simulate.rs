//! `simulate`: a Wickr Admin API on this machine, until it is stopped.

use chrono::Utc;

use super::{print, stop};
use crate::cli::SimulateArguments;
use crate::error_chain::error_chain;
use crate::exit::ExitStatus;
use crate::job::{JobDefinition, UsageError};
use crate::period::{BillingPeriod, PeriodSelector};
use crate::simulator::Simulator;

pub(super) async fn simulate(arguments: SimulateArguments) -> anyhow::Result<ExitStatus> {
    let stop = stop::on_signal()?;
    let written = match &arguments.job {
        Some(path) => JobDefinition::read(path)?.simulator,
        None => None,
    };
    let mut config = written.unwrap_or_default();
    if !arguments.periods.is_empty() {
        config.periods = selected_periods(&arguments.periods)?;
    }
    if !arguments.networks.is_empty() {
        config.networks = arguments.networks;
    }
    config.port = arguments.port.unwrap_or(config.port);
    config.seed = arguments.seed.unwrap_or(config.seed);
    config.guests = arguments.guests.unwrap_or(config.guests);
    config.latency_ms = arguments.latency.unwrap_or(config.latency_ms);
    config.requests_per_second = arguments.rate.or(config.requests_per_second);
    let simulator = Simulator::start(config).await.map_err(|error| UsageError(error_chain(&error)))?;
    let keys = simulator.credentials();
    // The region stands under both of its names: boto3 and the first AWS CLI read only AWS_DEFAULT_REGION.
    print(&format!(
        "export AWS_ENDPOINT_URL_WICKR={}\nexport AWS_ACCESS_KEY_ID={}\nexport AWS_SECRET_ACCESS_KEY={}\nexport \
         AWS_REGION={region}\nexport AWS_DEFAULT_REGION={region}",
        simulator.endpoint(),
        keys.access_key_id,
        keys.secret_access_key,
        region = simulator.region()
    ))?;
    let networks: Vec<String> = simulator.networks().iter().map(ToString::to_string).collect();
    tracing::info!(networks = networks.join(","), "serving until stopped");
    stop.cancelled().await;
    simulator.shutdown().await;
    Ok(ExitStatus::Success)
}

fn selected_periods(selectors: &[PeriodSelector]) -> Result<Vec<BillingPeriod>, UsageError> {
    let mut periods = Vec::new();
    for selector in selectors {
        let selected = selector.select(Utc::now(), 0).map_err(|error| UsageError(error.to_string()))?;
        periods.extend(selected.into_iter().map(|selected| selected.period));
    }
    Ok(periods)
}
