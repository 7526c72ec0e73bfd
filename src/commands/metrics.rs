//! Brings the metrics of a run to where the job wants them. Whatever fails here is said and changes nothing else: the
//! rosters are what the run was for.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::clients::http_clients;
use super::stop::within;
use crate::doctor::{Check, replaceable};
use crate::job::{MetricsSettings, UsageError};
use crate::report::metrics::{EndedRun, samples};
use crate::telemetry::metrics::{Sample, encode, pushgateway, textfile};
use crate::wickr::{TimeLimit, Way};

/// How long a run that was told to stop still takes for what it has to tell.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Does something that a run tells at its end; not for much longer once the program is told to stop.
pub(super) async fn last_words<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    within(stop, LAST_WORDS, work).await
}

/// Writes and pushes the metrics of a run.
pub(super) async fn deliver(settings: &MetricsSettings, run: &EndedRun<'_>, stop: &CancellationToken) {
    let samples = samples(run);
    if settings.file.is_some() {
        write(settings.clone(), samples.clone()).await;
    }
    if settings.pushgateway.is_some() && last_words(stop, push(settings, &samples)).await.is_none() {
        tracing::warn!("metrics not pushed, the run was told to stop");
    }
}

/// Looks at where metrics go, if anywhere.
pub(super) async fn examine(settings: &MetricsSettings) -> Vec<Check> {
    const GATEWAY: &str = "metrics: Pushgateway";
    let mut checks = Vec::new();
    checks.extend(settings.file.as_deref().map(|file| replaceable("metrics: file", file)));
    if let Some(gateway) = &settings.pushgateway {
        let ready = async { Ok::<_, anyhow::Error>(pushgateway::is_ready(&client()?, gateway).await?) };
        checks.push(match ready.await {
            Ok(()) => Check::passed(GATEWAY, format!("{gateway} is ready")),
            Err(error) => Check::warning(GATEWAY, format!("{error:#}; a run goes on without it")),
        });
    }
    checks
}

async fn write(settings: MetricsSettings, samples: Vec<Sample>) {
    let MetricsSettings { job, file, .. } = settings;
    let Some(file) = file else { return };
    let replacing = move || {
        if let Err(error) = textfile::replace(&file, &job, &samples) {
            tracing::warn!(%error, "metrics not written");
        }
    };
    if let Err(error) = tokio::task::spawn_blocking(replacing).await {
        tracing::warn!(%error, "metrics not written");
    }
}

async fn push(settings: &MetricsSettings, samples: &[Sample]) {
    let Some(gateway) = &settings.pushgateway else { return };
    let client = match client() {
        Ok(client) => client,
        Err(error) => return tracing::warn!(%error, "metrics not pushed"),
    };
    let text = encode(&settings.job, samples);
    if let Err(error) = pushgateway::push(&client, gateway, &settings.job, &text).await {
        tracing::warn!(%error, "metrics not pushed");
    }
}

fn client() -> Result<reqwest::Client, UsageError> {
    Ok(http_clients(TimeLimit::Exchange(pushgateway::LONGEST_ATTEMPT))?.get(Way::Proxied)?)
}
