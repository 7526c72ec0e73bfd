//! One file a command. Commands wire parts together and hold no logic of their own.

mod completions;
mod places;
mod run;
#[cfg(feature = "simulator")]
mod simulate;
mod source;
mod state;
mod stop;
mod verify;

use std::io::{self, IsTerminal, Write};

use crate::cli::{Cli, Command, LogArguments};
use crate::exit::ExitStatus;
use crate::report::PrintError;
use crate::telemetry::{LoggingError, ProgressBars, init_logging};

/// Runs a command to its end.
///
/// # Errors
/// Whatever ends the command as a whole; [`ExitStatus::of`] knows the code. Tasks that fail one by one are part
/// of an `Ok`.
pub fn run(cli: Cli) -> anyhow::Result<ExitStatus> {
    match cli.command {
        Command::Run(arguments) => {
            let bars = start_logging(arguments.log)?;
            runtime()?.block_on(run::run(*arguments, bars))
        }
        Command::Verify(arguments) => {
            start_logging(arguments.log)?;
            runtime()?.block_on(verify::verify(arguments))
        }
        Command::State(arguments) => {
            start_logging(arguments.log)?;
            runtime()?.block_on(state::state(arguments))
        }
        #[cfg(feature = "simulator")]
        Command::Simulate(arguments) => {
            start_logging(arguments.log)?;
            runtime()?.block_on(simulate::simulate(arguments))
        }
        Command::Completions { shell } => completions::completions(shell),
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Starts logging, and drawing progress if somebody watches.
fn start_logging(arguments: LogArguments) -> Result<Option<ProgressBars>, LoggingError> {
    let watched = io::stderr().is_terminal();
    let bars = (watched && !arguments.quiet).then(ProgressBars::default);
    let colour = watched && std::env::var_os("NO_COLOR").is_none();
    let filter = std::env::var("RUST_LOG").ok();
    init_logging(arguments.log_format, arguments.quiet, colour, filter.as_deref(), bars.clone())?;
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
