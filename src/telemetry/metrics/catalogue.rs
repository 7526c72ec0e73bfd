//! Every metric: its name, its labels, its unit and what it means. Rules and dashboards are written against these.
//!
//! All of them are gauges, numbers of the last run: a counter that begins again with each run, as a batch job's would,
//! cannot be told from one that stood still. Instants are seconds since 1970 rather than ages, so that they stay true
//! until the next run; so the days that are left are for the query to work out.

/// What a value counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, since 1970 where the name says `timestamp`.
    Seconds,
    /// A share from 0 to 1.
    Ratio,
    /// What the name says, in whole numbers.
    Things,
    /// The exit code of a process.
    ExitCode,
    /// 1 for yes, 0 for no.
    Flag,
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// What it is called.
    pub name: &'static str,
    /// The labels that it may have beside [`JOB_LABEL`], in their order.
    pub labels: &'static [&'static str],
    /// What its value counts in.
    pub unit: Unit,
    /// What it means, in a clause.
    pub help: &'static str,
    /// Set if the value of an earlier run stands until a run knows better; otherwise every run states it anew.
    pub stands: bool,
}

/// The label of every series that names the job. Not `job`, which Prometheus gives to what it scrapes.
pub const JOB_LABEL: &str = "job_name";
/// The label of a network.
pub const NETWORK_LABEL: &str = "network";
/// The label of a billing period.
pub const PERIOD_LABEL: &str = "period";

/// When the last run ended.
pub const LAST_RUN: Metric = Metric {
    name: "wickr_guest_export_last_run_timestamp_seconds",
    labels: &[],
    unit: Unit::Seconds,
    help: "When the last run ended",
    stands: false,
};

/// When the last run that exited 0 ended.
pub const LAST_SUCCESS: Metric = Metric {
    name: "wickr_guest_export_last_success_timestamp_seconds",
    labels: &[],
    unit: Unit::Seconds,
    help: "When the last run that exited 0 ended",
    stands: true,
};

/// How long the last run took.
pub const LAST_RUN_DURATION: Metric = Metric {
    name: "wickr_guest_export_last_run_duration_seconds",
    labels: &[],
    unit: Unit::Seconds,
    help: "How long the last run took",
    stands: false,
};

/// What the last run exited with.
pub const LAST_RUN_EXIT_CODE: Metric = Metric {
    name: "wickr_guest_export_last_run_exit_code",
    labels: &[],
    unit: Unit::ExitCode,
    help: "What the last run exited with, 0 if all went well",
    stands: false,
};

/// What became of the tasks of the last run.
pub const LAST_RUN_TASKS: Metric = Metric {
    name: "wickr_guest_export_last_run_tasks",
    labels: &["status"],
    unit: Unit::Things,
    help: "Networks and periods of the last run, by what became of them",
    stands: false,
};

/// Requests of the last run.
pub const LAST_RUN_REQUESTS: Metric = Metric {
    name: "wickr_guest_export_last_run_requests",
    labels: &[],
    unit: Unit::Things,
    help: "Requests that the last run sent to the Wickr API, repeated ones included",
    stands: false,
};

/// Throttled requests of the last run.
pub const LAST_RUN_THROTTLED: Metric = Metric {
    name: "wickr_guest_export_last_run_throttled_requests",
    labels: &[],
    unit: Unit::Things,
    help: "Requests of the last run that were answered with 429",
    stands: false,
};

/// Repeated requests of the last run.
pub const LAST_RUN_REPEATED: Metric = Metric {
    name: "wickr_guest_export_last_run_repeated_requests",
    labels: &[],
    unit: Unit::Things,
    help: "Requests of the last run that repeated a failed one, throttled or not",
    stands: false,
};

/// The share of throttled requests of the last run.
pub const LAST_RUN_THROTTLED_RATIO: Metric = Metric {
    name: "wickr_guest_export_last_run_throttled_ratio",
    labels: &[],
    unit: Unit::Ratio,
    help: "Share of the requests of the last run that were answered with 429",
    stands: false,
};

/// How many networks there are.
pub const NETWORKS: Metric = Metric {
    name: "wickr_guest_export_networks",
    labels: &[],
    unit: Unit::Things,
    help: "Networks of the last run that got as far as its tasks",
    stands: true,
};

/// Whether guests are told by period alone.
pub const NETWORK_LABELS_DROPPED: Metric = Metric {
    name: "wickr_guest_export_network_labels_dropped",
    labels: &[],
    unit: Unit::Flag,
    help: "1 if guests are summed up by period alone, because there are more than 200 networks",
    stands: true,
};

/// Published guests.
pub const GUESTS: Metric = Metric {
    name: "wickr_guest_export_guests",
    labels: &[NETWORK_LABEL, PERIOD_LABEL],
    unit: Unit::Things,
    help: "Distinct guests as published, by network and period",
    stands: true,
};

/// Contradicted numbers.
pub const MISMATCHES: Metric = Metric {
    name: "wickr_guest_export_mismatches",
    labels: &[],
    unit: Unit::Things,
    help: "Published numbers of ended periods that the count of AWS contradicts",
    stands: true,
};

/// The end of the oldest period that is not published as closed.
pub const OLDEST_UNCLOSED: Metric = Metric {
    name: "wickr_guest_export_oldest_unclosed_period_end_timestamp_seconds",
    labels: &[],
    unit: Unit::Seconds,
    help: "End of the oldest period of the job that is not published as closed for all its networks; \
           if all are, of the next period to close",
    stands: true,
};

/// When the count history no longer covers that period.
pub const HISTORY_HORIZON: Metric = Metric {
    name: "wickr_guest_export_history_horizon_timestamp_seconds",
    labels: &[],
    unit: Unit::Seconds,
    help: "When the count history of AWS, 90 days, no longer covers that period",
    stands: true,
};

/// Which program ran.
pub const BUILD: Metric = Metric {
    name: "wickr_guest_export_build_info",
    labels: &["version"],
    unit: Unit::Flag,
    help: "Always 1; the version of the program that ran last",
    stands: false,
};

/// All of them, in the order in which they are written.
pub const METRICS: [&Metric; 16] = [
    &LAST_RUN,
    &LAST_SUCCESS,
    &LAST_RUN_DURATION,
    &LAST_RUN_EXIT_CODE,
    &LAST_RUN_TASKS,
    &LAST_RUN_REQUESTS,
    &LAST_RUN_THROTTLED,
    &LAST_RUN_REPEATED,
    &LAST_RUN_THROTTLED_RATIO,
    &NETWORKS,
    &NETWORK_LABELS_DROPPED,
    &GUESTS,
    &MISMATCHES,
    &OLDEST_UNCLOSED,
    &HISTORY_HORIZON,
    &BUILD,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_end_with_their_unit() {
        let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for Metric { name, unit, help, .. } in METRICS {
            assert!(name.starts_with("wickr_guest_export_"), "{name}");
            assert_eq!(name.ends_with("_seconds"), *unit == Unit::Seconds, "{name}");
            assert_eq!(name.ends_with("_ratio"), *unit == Unit::Ratio, "{name}");
            assert!(!name.ends_with("_total"), "{name} is no counter");
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}: {help}");
        }
    }
}
