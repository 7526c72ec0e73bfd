//! `simulate`: a Wickr Admin API on this machine, until it is stopped.

use chrono::Utc;

use super::{UsageError, print, stop};
use crate::cli::SimulateArguments;
use crate::exit::ExitStatus;
use crate::report::error_chain;
use crate::simulator::{Simulator, SimulatorConfig};

pub(super) async fn simulate(arguments: SimulateArguments) -> anyhow::Result<ExitStatus> {
    let stop = stop::on_signal()?;
    let defaults = SimulatorConfig::default();
    let mut periods = Vec::new();
    for selector in &arguments.periods {
        let selected = selector.select(Utc::now(), 0).map_err(|error| UsageError(error.to_string()))?;
        periods.extend(selected.into_iter().map(|selected| selected.period));
    }
    let config = SimulatorConfig {
        port: arguments.port,
        seed: arguments.seed,
        guests: arguments.guests,
        networks: if arguments.networks.is_empty() { defaults.networks.clone() } else { arguments.networks },
        periods,
        latency_ms: arguments.latency,
        requests_per_second: arguments.rate,
        ..defaults
    };
    let simulator = Simulator::start(config).await.map_err(|error| UsageError(error_chain(&error)))?;
    let keys = simulator.credentials();
    print(&format!(
        "export AWS_ENDPOINT_URL_WICKR={}\nexport AWS_ACCESS_KEY_ID={}\nexport AWS_SECRET_ACCESS_KEY={}\nexport \
         AWS_REGION={}",
        simulator.endpoint(),
        keys.access_key_id,
        keys.secret_access_key,
        simulator.region()
    ))?;
    let networks: Vec<String> = simulator.networks().iter().map(ToString::to_string).collect();
    tracing::info!(networks = networks.join(","), "serving until stopped");
    stop.cancelled().await;
    simulator.shutdown().await;
    Ok(ExitStatus::Success)
}
