//! What `run` tells when it ends, however it ends: metrics, and the last line of the log.
//!
//! It is filled while the run goes on. The last line is logged after everything else is over, the runtime included,
//! so that nothing comes behind it. A run that failed as a whole tells its error there in a log of JSON, and nowhere
//! else: a line of text would stop whoever reads the log line by line.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::is_told_in_json;
use super::metrics::{deliver, last_words};
use crate::clock::{Clock as _, SystemClock};
use crate::error_chain::error_chain;
use crate::exit::ExitStatus;
use crate::export::ExportContext;
use crate::job::MetricsSettings;
use crate::pacing::RequestCount;
use crate::period::BillingPeriod;
use crate::report::closing::{history_horizon, oldest_unclosed};
use crate::report::metrics::EndedRun;
use crate::report::{RunSummary, TaskStatus, TaskSummary};
use crate::telemetry::{LogFormat, RunId};

/// How long may be looked for what failed tasks have left published.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// The run panicked outside of its tasks.
#[derive(Debug, thiserror::Error)]
#[error("the run panicked; this is a bug, please report it")]
pub(super) struct Panicked;

/// What is known of a run when it ends.
pub(super) struct Conclusion {
    log_format: LogFormat,
    began: Instant,
    /// The run's id.
    pub(super) run_id: RunId,
    /// What was asked before there were tasks.
    pub(super) asked_first: RequestCount,
    /// What became of the tasks, once they have ended.
    pub(super) summary: Option<RunSummary>,
    /// Where metrics go, once that is known and if they go anywhere.
    pub(super) metrics: Option<MetricsSettings>,
    /// Set when the program is told to stop, once it can be told.
    pub(super) stop: CancellationToken,
    /// What is still to be closed, and how many days of the count history it has left.
    unclosed: Option<(BillingPeriod, i64)>,
}

/// Logs the last line on one of the levels, which tracing wants to know when it is compiled.
macro_rules! run_finished {
    ($level:ident, $ended:expr, $exit:expr, $error:expr) => {{
        let (asked, summary) = ($ended.asked(), $ended.summary.as_ref());
        let tasks_of = |status| summary.map(|summary| summary.tasks_of(status));
        tracing::$level!(
            exit_code = $exit.code(),
            duration_seconds = ($ended.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            tasks = summary.map(|summary| summary.tasks.len()),
            published = tasks_of(TaskStatus::Published),
            restated = tasks_of(TaskStatus::Restated),
            unchanged = tasks_of(TaskStatus::Unchanged),
            kept = tasks_of(TaskStatus::Kept),
            failed = tasks_of(TaskStatus::Failed),
            mismatches = summary.map(RunSummary::mismatches),
            requests = asked.requests,
            throttled = asked.throttled,
            retries = asked.retries,
            oldest_unclosed_period = $ended.unclosed.map(|(period, _)| period.to_string()),
            history_days_left = $ended.unclosed.map(|(_, days)| days),
            error = $error,
            "run finished"
        );
    }};
}

impl Conclusion {
    /// Begins a run, and says in a log for people what it is called; in one of JSON every line says it.
    pub(super) fn begin(run_id: RunId, log_format: LogFormat) -> Self {
        match log_format {
            LogFormat::Text => tracing::info!(%run_id, "run started"),
            LogFormat::Json => tracing::info!("run started"),
        }
        Self {
            log_format,
            began: Instant::now(),
            run_id,
            asked_first: RequestCount::default(),
            summary: None,
            metrics: None,
            stop: CancellationToken::new(),
            unclosed: None,
        }
    }

    /// Finds out what is still to be closed. If that cannot be known, what an earlier run has told of it stands.
    pub(super) async fn find_unclosed(&mut self, context: &ExportContext, tasks: &[TaskSummary]) {
        let (destination, today) = (context.publisher.destination(), context.today());
        let finding = oldest_unclosed(destination.as_ref(), tasks, today, context.job.settle_days);
        match tokio::time::timeout(LONGEST_LOOK, last_words(&self.stop, finding)).await {
            Ok(Some(Ok(period))) => {
                self.unclosed = Some((period, (history_horizon(period) - today).num_days()));
            }
            Ok(Some(Err(error))) => {
                tracing::warn!(error = %error_chain(&error), "oldest unclosed period not found out");
            }
            Ok(None) | Err(_) => tracing::warn!("oldest unclosed period not found out in time"),
        }
    }

    /// Writes and pushes metrics, if they are wanted.
    pub(super) async fn tell_metrics(&self, result: &anyhow::Result<ExitStatus>) {
        let Some(settings) = &self.metrics else { return };
        let run = EndedRun {
            exit: result.as_ref().map_or_else(ExitStatus::of, |exit| *exit),
            ended_at: SystemClock.now(),
            duration: self.began.elapsed(),
            asked: self.asked(),
            summary: self.summary.as_ref(),
            oldest_unclosed: self.unclosed.map(|(period, _)| period),
        };
        deliver(settings, &run, &self.stop).await;
    }

    /// Counts what was asked, outside of tasks and within.
    fn asked(&self) -> RequestCount {
        match &self.summary {
            Some(RunSummary { requests, throttled, retries, .. }) => {
                RequestCount { requests: *requests, throttled: *throttled, retries: *retries }
            }
            None => self.asked_first,
        }
    }

    /// Logs the last line.
    ///
    /// # Errors
    /// The error that ended the run as a whole, where it is still to be printed.
    pub(super) fn tell(self, result: anyhow::Result<ExitStatus>) -> anyhow::Result<ExitStatus> {
        let exit = result.as_ref().map_or_else(ExitStatus::of, |exit| *exit);
        match (self.log_format, result) {
            (LogFormat::Json, Err(error)) if is_told_in_json(self.log_format) => {
                run_finished!(error, self, exit, Some(format!("{error:#}")));
                Ok(exit)
            }
            (LogFormat::Json, result) if exit != ExitStatus::Success => {
                run_finished!(error, self, exit, None::<String>);
                result
            }
            // For people the table stands on stdout, and an error is printed when all else is said.
            (LogFormat::Json | LogFormat::Text, result) => {
                run_finished!(info, self, exit, None::<String>);
                result
            }
        }
    }
}
