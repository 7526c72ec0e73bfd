//! One file a command. Commands wire parts together and hold no logic of their own.

mod clients;
mod completions;
mod conclusion;
mod diff;
mod doctor;
mod job;
mod metrics;
mod places;
mod purge;
mod reconcile;
mod report;
mod run;
#[cfg(feature = "simulator")]
mod simulate;
mod source;
mod state;
mod status;
mod stop;
mod verify;

use std::io::{self, IsTerminal, Write};

use self::conclusion::Conclusion;
use crate::cli::{Cli, Command, LogArguments};
use crate::exit::ExitStatus;
use crate::report::PrintError;
use crate::telemetry::{LogFormat, LoggingError, ProgressBars, RunId, init_logging};

/// Runs a command to its end.
///
/// # Errors
/// Whatever ends the command as a whole; [`ExitStatus::of`] knows the code. Tasks that fail one by one are part
/// of an `Ok`.
pub fn run(cli: Cli) -> anyhow::Result<ExitStatus> {
    let run_id = RunId::random();
    match cli.command {
        Command::Run(arguments) => {
            let bars = start_logging(run_id, arguments.log)?;
            let mut conclusion = Conclusion::begin(run_id, arguments.log.log_format);
            let result = runtime()?.block_on(run::run(*arguments, bars, &mut conclusion));
            conclusion.tell(result)
        }
        Command::Verify(arguments) => {
            start_logging(run_id, arguments.log)?;
            told(arguments.log, runtime()?.block_on(verify::verify(arguments)))
        }
        Command::Reconcile(arguments) => {
            start_logging(run_id, arguments.log)?;
            told(arguments.log, runtime()?.block_on(reconcile::reconcile(*arguments)))
        }
        Command::Status(arguments) => {
            start_logging(run_id, arguments.log)?;
            told(arguments.log, runtime()?.block_on(status::status(*arguments)))
        }
        Command::Report(arguments) => {
            start_logging(run_id, arguments.log)?;
            told(arguments.log, runtime()?.block_on(report::report(*arguments)))
        }
        Command::Doctor(arguments) => {
            start_logging(run_id, arguments.log)?;
            told(arguments.log, runtime()?.block_on(doctor::doctor(*arguments)))
        }
        Command::Diff(arguments) => {
            start_logging(run_id, arguments.log)?;
            told(arguments.log, runtime()?.block_on(diff::diff(arguments)))
        }
        Command::Purge(arguments) => {
            start_logging(run_id, arguments.log)?;
            told(arguments.log, runtime()?.block_on(purge::purge(arguments)))
        }
        Command::State(arguments) => {
            start_logging(run_id, arguments.log)?;
            told(arguments.log, runtime()?.block_on(state::state(arguments)))
        }
        #[cfg(feature = "simulator")]
        Command::Simulate(arguments) => {
            start_logging(run_id, arguments.log)?;
            told(arguments.log, runtime()?.block_on(simulate::simulate(arguments)))
        }
        Command::Completions { shell } => completions::completions(shell),
    }
}

/// Says in a log of JSON what ended a command; elsewhere that is still to be printed.
fn told(log: LogArguments, result: anyhow::Result<ExitStatus>) -> anyhow::Result<ExitStatus> {
    match result {
        Err(error) if is_told_in_json(log.log_format) => {
            let exit = ExitStatus::of(&error);
            tracing::error!(exit_code = exit.code(), error = format!("{error:#}"), "command failed");
            Ok(exit)
        }
        result => result,
    }
}

/// Says whether errors are lines of JSON: not where `RUST_LOG` shows no errors, as they must not get lost.
fn is_told_in_json(log_format: LogFormat) -> bool {
    log_format == LogFormat::Json && tracing::enabled!(tracing::Level::ERROR)
}

/// Starts what commands run on. One thread beside the main one talks to services: a second one would be woken with each
/// answer to find that there is nothing to do, which took a tenth of the processor's time. What computes or waits for files
/// has threads of its own.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

/// Starts logging, and drawing progress if somebody watches.
fn start_logging(run_id: RunId, arguments: LogArguments) -> Result<Option<ProgressBars>, LoggingError> {
    let watched = io::stderr().is_terminal();
    let bars = (watched && !arguments.quiet).then(ProgressBars::default);
    let colour = watched && std::env::var_os("NO_COLOR").is_none();
    let filter = std::env::var("RUST_LOG").ok();
    init_logging(run_id, arguments.log_format, arguments.quiet, colour, filter.as_deref(), bars.clone())?;
    Ok(bars)
}

/// Prints a result on stdout; a reader who has gone away is no failure.
fn print(text: &str) -> Result<(), PrintError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(PrintError(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
