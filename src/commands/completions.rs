//! `completions`: a script that completes commands and flags in a shell.

use clap::CommandFactory;

use super::print;
use crate::cli::Cli;
use crate::exit::ExitStatus;

pub(super) fn completions(shell: clap_complete::Shell) -> anyhow::Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wickr-guest-export", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitStatus::Success)
}
