//! What a run states in its metrics.
//!
//! A run that failed before it had tasks states nothing of networks, guests and periods, and one that did not exit 0
//! states no success: what is not stated stays as an earlier run stated it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::closing::history_horizon;
use super::{RunSummary, TaskStatus};
use crate::exit::ExitStatus;
use crate::pacing::RequestCount;
use crate::period::BillingPeriod;
use crate::telemetry::metrics::Sample;
use crate::telemetry::metrics::catalogue::{
    BUILD, GUESTS, HISTORY_HORIZON, LAST_RUN, LAST_RUN_DURATION, LAST_RUN_EXIT_CODE, LAST_RUN_REPEATED,
    LAST_RUN_REQUESTS, LAST_RUN_TASKS, LAST_RUN_THROTTLED, LAST_RUN_THROTTLED_RATIO, LAST_SUCCESS,
    MISMATCHES, Metric, NETWORK_LABEL, NETWORK_LABELS_DROPPED, NETWORKS, OLDEST_UNCLOSED, PERIOD_LABEL,
};

/// The most networks that have series of their own: each costs whoever stores them.
pub const MAX_LABELLED_NETWORKS: usize = 200;

/// A run that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedRun<'a> {
    /// How.
    pub exit: ExitStatus,
    /// When.
    pub ended_at: DateTime<Utc>,
    /// How long it took.
    pub duration: Duration,
    /// What was asked.
    pub asked: RequestCount,
    /// What became of its tasks, if it got that far.
    pub summary: Option<&'a RunSummary>,
    /// What is still to be closed, if that is known.
    pub oldest_unclosed: Option<BillingPeriod>,
}

/// Lists what a run states.
#[must_use]
pub fn samples(run: &EndedRun<'_>) -> Vec<Sample> {
    let RequestCount { requests, throttled, retries } = run.asked;
    let mut samples = vec![
        Sample::single(&LAST_RUN, timestamp(run.ended_at)),
        Sample::single(&LAST_RUN_DURATION, run.duration.as_secs_f64()),
        Sample::single(&LAST_RUN_EXIT_CODE, f64::from(run.exit.code())),
        Sample::single(&LAST_RUN_REQUESTS, number(requests)),
        Sample::single(&LAST_RUN_THROTTLED, number(throttled)),
        Sample::single(&LAST_RUN_REPEATED, number(retries)),
        Sample::single(&LAST_RUN_THROTTLED_RATIO, number(throttled) / number(requests.max(1))),
        labelled(&BUILD, [("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0),
    ];
    samples.extend(TaskStatus::ALL.map(|status| {
        let tasks = run.summary.map_or(0, |summary| summary.tasks_of(status));
        labelled(&LAST_RUN_TASKS, [("status", status.as_str().to_owned())], number(tasks as u64))
    }));
    if run.exit == ExitStatus::Success {
        samples.push(Sample::single(&LAST_SUCCESS, timestamp(run.ended_at)));
    }
    if let Some(summary) = run.summary {
        samples.push(Sample::single(&MISMATCHES, number(summary.mismatches() as u64)));
        samples.extend(guests(summary));
    }
    if let Some(period) = run.oldest_unclosed {
        samples.push(Sample::single(&OLDEST_UNCLOSED, timestamp(period.end())));
        samples.push(Sample::single(&HISTORY_HORIZON, timestamp(history_horizon(period))));
    }
    samples
}

/// Counts the networks and their guests, each network by itself unless there are too many.
fn guests(summary: &RunSummary) -> Vec<Sample> {
    let networks: BTreeSet<_> = summary.tasks.iter().map(|task| task.network_id).collect();
    let dropped = networks.len() > MAX_LABELLED_NETWORKS;
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for task in &summary.tasks {
        let network = (!dropped).then_some(task.network_id);
        if let Some(guests) = task.guests {
            *counts.entry((task.billing_period, network)).or_default() += guests;
        }
    }
    let mut samples = vec![
        Sample::single(&NETWORKS, number(networks.len() as u64)),
        Sample::single(&NETWORK_LABELS_DROPPED, if dropped { 1.0 } else { 0.0 }),
    ];
    samples.extend(counts.into_iter().map(|((period, network), guests)| {
        let network = network.map(|network| (NETWORK_LABEL, network.to_string()));
        labelled(&GUESTS, network.into_iter().chain([(PERIOD_LABEL, period.to_string())]), number(guests))
    }));
    samples
}

fn labelled(
    metric: &'static Metric,
    labels: impl IntoIterator<Item = (&'static str, String)>,
    value: f64,
) -> Sample {
    Sample { metric, labels: labels.into_iter().collect(), value }
}

#[expect(clippy::cast_precision_loss, reason = "every metric is a float, and 53 bits are enough to count by")]
fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have 41 bits")]
fn timestamp(instant: DateTime<Utc>) -> f64 {
    instant.timestamp_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::period::PeriodState;
    use crate::report::{RunFacts, TaskSummary};
    use crate::telemetry::RunId;

    /// A run over so many networks, each of which has ten guests.
    fn summary(networks: u32) -> RunSummary {
        let task = |number: u32| TaskSummary {
            network_id: format!("{number:08}").parse().unwrap(),
            source: 1,
            network_name: None,
            billing_period: "2026-10".parse().unwrap(),
            period_state: PeriodState::Closed,
            status: TaskStatus::Kept,
            guests: Some(10),
            api_guests: None,
            reconciliation: None,
            confirmed_by: None,
            stable: None,
            pages: None,
            duplicates: None,
            walks: None,
            revision: None,
            added: None,
            removed: None,
            requests: 3,
            throttled: 0,
            retries: 0,
            exit_code: 0,
            message: None,
        };
        let now = DateTime::UNIX_EPOCH;
        let facts = RunFacts {
            run_id: RunId::random(),
            output: String::new(),
            as_of: now,
            started_at: now,
            finished_at: now,
            asked: RequestCount::default(),
            shard: None,
        };
        RunSummary::new(facts, (0..networks).map(task).collect(), Vec::new(), ExitStatus::Success)
    }

    #[test]
    fn two_hundred_networks_have_series_of_their_own_and_one_more_has_none() {
        let told = |networks: u32| {
            let samples = guests(&summary(networks));
            let of = |metric: &Metric| -> Vec<f64> {
                samples.iter().filter(|sample| sample.metric == metric).map(|sample| sample.value).collect()
            };
            (of(&NETWORKS), of(&NETWORK_LABELS_DROPPED), of(&GUESTS))
        };
        assert_eq!(told(200), (vec![200.0], vec![0.0], vec![10.0; 200]));
        assert_eq!(told(201), (vec![201.0], vec![1.0], vec![2010.0]));
        assert_eq!(told(0), (vec![0.0], vec![0.0], vec![]));
    }

    #[test]
    fn a_run_without_requests_was_not_throttled() {
        let run = EndedRun {
            exit: ExitStatus::Usage,
            ended_at: DateTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            asked: RequestCount::default(),
            summary: None,
            oldest_unclosed: None,
        };
        let samples = samples(&run);
        assert!(samples.contains(&Sample::single(&LAST_RUN_THROTTLED_RATIO, 0.0)));
        assert!(samples.iter().all(|sample| !sample.metric.stands));
    }
}
