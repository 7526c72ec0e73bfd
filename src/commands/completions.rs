//! `completions`: a script that completes commands and flags in a shell.

use clap::CommandFactory;

use super::print;
use crate::cli::Cli;
use crate::exit::ExitStatus;

pub(super) fn completions(shell: clap_complete::Shell) -> anyhow::Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wickr-guest-export", &mut script);
    let script = String::from_utf8_lossy(&script);
    // For bash, clap_complete marks every hyphen of the program's name as a subcommand in the branches, but not
    // where it selects one, so that no branch would ever match.
    let script = script.replace("wickr__subcmd__guest__subcmd__export", "wickr__guest__export");
    print(script.trim_end())?;
    Ok(ExitStatus::Success)
}
