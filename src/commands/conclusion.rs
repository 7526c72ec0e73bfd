//! What `run` tells when it ends, however it ends: the last line of the log.
//!
//! It is filled while the run goes on and told after everything else is over, the runtime included, so that nothing
//! is logged behind it. A run that failed as a whole tells its error there in a log of JSON, and nowhere else: a line
//! of text would stop whoever reads the log line by line.

use std::sync::Arc;
use std::time::Instant;

use super::is_told_in_json;
use crate::exit::ExitStatus;
use crate::pacing::{Paced, RequestCount};
use crate::report::{RunSummary, TaskStatus};
use crate::telemetry::{LogFormat, RunId};

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
    /// What asks outside of tasks, once there is somebody to ask.
    pub(super) asking: Option<Arc<Paced>>,
    /// What became of the tasks, once they have ended.
    pub(super) summary: Option<RunSummary>,
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
        Self { log_format, began: Instant::now(), run_id, asking: None, summary: None }
    }

    /// Counts what was asked, outside of tasks and within.
    fn asked(&self) -> RequestCount {
        match &self.summary {
            Some(RunSummary { requests, throttled, retries, .. }) => {
                RequestCount { requests: *requests, throttled: *throttled, retries: *retries }
            }
            None => self.asking.as_ref().map(|asking| asking.count()).unwrap_or_default(),
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
