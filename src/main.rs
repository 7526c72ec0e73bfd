//! The command-line program: it parses, runs, prints the error chain once, and ends with the right code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use wickr_guest_export::cli::Cli;
use wickr_guest_export::commands;
use wickr_guest_export::exit::ExitStatus;
use wickr_guest_export::limits;

fn main() -> ExitCode {
    // Whatever is written holds personal data: it is the user's alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    #[cfg(feature = "failpoints")]
    let _armed = fail::FailScenario::setup();
    limits::return_freed_memory();
    limits::allow_many_files();
    let cli = Cli::parse();
    let status = match std::panic::catch_unwind(|| commands::run(cli)) {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            // Nobody may be reading, which is no reason to panic.
            let _unread = writeln!(std::io::stderr(), "error: {error:#}");
            ExitStatus::of(&error)
        }
        Err(_panic) => ExitStatus::Bug,
    };
    ExitCode::from(status.code())
}
