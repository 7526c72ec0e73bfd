//! Metrics of a run, in the text format that Prometheus, its node exporter and its Pushgateway read.
//!
//! What they are called stands in [`catalogue`], where they go in [`textfile`] and [`pushgateway`]; which values a run
//! has is `report`'s to say. Both places keep what a run does not state: a run that fails before it knows anything of
//! its networks takes back nothing that an earlier one has found out, least of all when the last success was.

pub mod catalogue;
pub mod pushgateway;
pub mod textfile;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use self::catalogue::{JOB_LABEL, METRICS, Metric};

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric.
    pub metric: &'static Metric,
    /// Labels beside the job's, by name.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// Makes the only series of a metric.
    #[must_use]
    pub const fn single(metric: &'static Metric, value: f64) -> Self {
        Self { metric, labels: Vec::new(), value }
    }
}

/// Writes samples as text, metric by metric in the order of the catalogue, each series with the name of the job.
#[must_use]
pub fn encode(job: &str, samples: &[Sample]) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(JobSamples { job: job.to_owned(), samples: samples.to_vec() }));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).expect("a string takes any text");
    text
}

/// Samples in the shape that the encoder wants. Not its own families, whose series come in no order.
#[derive(Debug)]
struct JobSamples {
    job: String,
    samples: Vec<Sample>,
}

impl Collector for JobSamples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in METRICS {
            let mut samples = self.samples.iter().filter(|sample| sample.metric == metric).peekable();
            if samples.peek().is_none() {
                continue;
            }
            let mut family = encoder.encode_descriptor(metric.name, metric.help, None, MetricType::Gauge)?;
            for sample in samples {
                let mut labels = vec![(JOB_LABEL, self.job.as_str())];
                labels.extend(sample.labels.iter().map(|(name, value)| (*name, value.as_str())));
                family.encode_family(&labels)?.encode_gauge(&sample.value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::catalogue::{LAST_RUN, LAST_RUN_TASKS, MISMATCHES};
    use super::*;

    #[test]
    fn samples_are_written_by_metric_and_whatever_a_label_holds_is_escaped() {
        let status = |status: &str| vec![("status", status.to_owned())];
        let samples = [
            Sample::single(&MISMATCHES, 0.0),
            Sample { metric: &LAST_RUN_TASKS, labels: status("published"), value: 3.0 },
            Sample::single(&LAST_RUN, 1_762_073_000.25),
            Sample { metric: &LAST_RUN_TASKS, labels: status("failed"), value: 1.0 },
        ];
        insta::assert_snapshot!(encode("a \"job\"\\\nof Zoë", &samples), @r#"
        # HELP wickr_guest_export_last_run_timestamp_seconds When the last run ended
        # TYPE wickr_guest_export_last_run_timestamp_seconds gauge
        wickr_guest_export_last_run_timestamp_seconds{job_name="a \"job\"\\\nof Zoë"} 1762073000.25
        # HELP wickr_guest_export_last_run_tasks Networks and periods of the last run, by what became of them
        # TYPE wickr_guest_export_last_run_tasks gauge
        wickr_guest_export_last_run_tasks{job_name="a \"job\"\\\nof Zoë",status="published"} 3.0
        wickr_guest_export_last_run_tasks{job_name="a \"job\"\\\nof Zoë",status="failed"} 1.0
        # HELP wickr_guest_export_mismatches Published numbers of ended periods that the count of AWS contradicts
        # TYPE wickr_guest_export_mismatches gauge
        wickr_guest_export_mismatches{job_name="a \"job\"\\\nof Zoë"} 0.0
        "#);
    }
}
