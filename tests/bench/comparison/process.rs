//! One run of a program, measured as the kernel counts it.
//!
//! The program is started by this one anew, in a process that does nothing else: the kernel tells what all children of a
//! process together took, and the peak memory of a child is at least what its parent held as it was started.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// What makes this program measure another one: `MARK FILE PROGRAM ARGUMENTS…`.
pub(crate) const MARK: &str = "--measured-into";

/// What a run took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// The exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// When it was started.
    pub(crate) started: SystemTime,
    pub(crate) wall: Duration,
    /// In user and in system mode, of all its threads and children.
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
}

/// Runs a command to its end. What it says goes to a file.
pub(crate) fn measured(command: &Command, log: &Path, folder: &Path) -> io::Result<Taken> {
    let into = folder.join("taken.json");
    let mut measuring = Command::new(std::env::current_exe()?);
    measuring.arg(MARK).arg(&into).arg(command.get_program()).args(command.get_args()).env_clear();
    measuring.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = File::create(log)?;
    measuring.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let status = measuring.status()?;
    if !status.success() {
        return Err(io::Error::other(format!("{command:?} could not be measured: {status}")));
    }
    Ok(serde_json::from_slice(&fs::read(into)?)?)
}

/// Is the process that measures, if that is what this one was started for.
pub(crate) fn measure_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    let (into, program) = (arguments.next()?, arguments.next()?);
    let mut command = Command::new(program);
    command.args(arguments);
    let (started, begun) = (SystemTime::now(), Instant::now());
    let status: ExitStatus = command.status().expect("the program starts");
    let wall = begun.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("what children took");
    let duration = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs())
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    let taken = Taken {
        code: status.code(),
        started,
        wall,
        cpu: duration(usage.user_time()) + duration(usage.system_time()),
        peak_kib: usage.max_rss().unsigned_abs(),
    };
    fs::write(into, serde_json::to_vec(&taken).expect("numbers")).expect("a file for what was measured");
    Some(ExitCode::SUCCESS)
}
