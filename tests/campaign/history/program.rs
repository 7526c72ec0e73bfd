//! The real program as a process that may be killed, torn, starved or told to stop.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::front::Front;
use crate::schedule::Moment;
use crate::trial::Held;

/// A process that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// What befalls a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disturbance {
    None,
    /// `FAILPOINTS`, as `src/storage/failpoint.rs` reads it.
    FailPoint(String),
    /// A signal when the request of a number is under way.
    Signal {
        signal: Told,
        nth: u64,
        moment: Moment,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Kill,
    Terminate,
}

/// How a process ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The exit code; none if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// Whether the request was reached at which it was signalled.
    pub(super) was_signalled: bool,
}

impl Ended {
    /// Returns the kinds of the durable steps of a run that nobody disturbed.
    pub(super) fn traced(&self) -> impl Iterator<Item = (&str, &str)> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("durable step: ")).map(kind_of)
    }

    /// Returns the durable steps that a fail point did something at, such as `before rename manifests/…`, and what.
    pub(super) fn steps(&self) -> Vec<(&str, &str)> {
        let step = |line: &'_ str| line.split_once(" at durable step: ").is_some();
        self.stderr
            .lines()
            .filter(|line| step(line))
            .filter_map(|line| line.split_once(" at durable step: "))
            .collect()
    }
}

/// Returns the operation of a step such as `before rename manifests/…`, and the folder of the root.
pub(super) fn kind_of(step: &str) -> (&str, &str) {
    let mut words = step.splitn(3, ' ').skip(1);
    let (operation, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let folder = path.split('/').next().filter(|folder| ![".", ".."].contains(folder));
    (operation, folder.unwrap_or("root"))
}

/// Runs the program with these arguments and this environment, in a folder.
pub(super) fn run(
    arguments: &[String],
    environment: &[(String, String)],
    folder: &Path,
    disturbance: &Disturbance,
    front: &Front,
) -> Held<Ended> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wickr-guest-export"));
    command.args(arguments).env_clear().current_dir(folder);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (reached, at_the_gate) = mpsc::channel();
    let signal = match disturbance {
        Disturbance::None => {
            command.env("FAILPOINTS", "durable-step.before=return(trace)");
            None
        }
        Disturbance::FailPoint(actions) => {
            command.env("FAILPOINTS", actions);
            None
        }
        Disturbance::Signal { signal, nth, moment } => {
            front.hold(*nth, *moment, reached.clone());
            Some(*signal)
        }
    };
    drop(reached);
    let child = command.spawn().map_err(|error| format!("starting the program: {error}"))?;
    let id = child.id();
    let (ended, at_the_end) = mpsc::channel();
    let waiting = thread::spawn(move || {
        let output = child.wait_with_output();
        // Whoever asked may have given up waiting.
        let _unread = ended.send(());
        output
    });
    let was_signalled = signal.is_some_and(|signal| wait_at_the_gate(&at_the_gate, &at_the_end, id, signal));
    if let Err(RecvTimeoutError::Timeout) = at_the_end.recv_timeout(PATIENCE) {
        tell(id, Signal::KILL);
        let output = waiting.join().expect("no panic").map_err(|error| format!("waiting: {error}"))?;
        return Err(format!("the program hangs: {:?}", end_of(output, was_signalled)));
    }
    front.open();
    let output = waiting.join().expect("no panic").map_err(|error| format!("waiting: {error}"))?;
    Ok(end_of(output, was_signalled))
}

/// Waits until the process is at the gate, and signals it; it may also end before it gets there.
fn wait_at_the_gate(
    at_the_gate: &mpsc::Receiver<()>,
    at_the_end: &mpsc::Receiver<()>,
    id: u32,
    signal: Told,
) -> bool {
    loop {
        match at_the_gate.recv_timeout(Duration::from_millis(20)) {
            Ok(()) => {
                // It cannot have ended: it waits for an answer that never comes.
                tell(id, if signal == Told::Kill { Signal::KILL } else { Signal::TERM });
                return true;
            }
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => match at_the_end.try_recv() {
                Ok(()) | Err(mpsc::TryRecvError::Disconnected) => return false,
                Err(mpsc::TryRecvError::Empty) => {}
            },
        }
    }
}

fn tell(id: u32, signal: Signal) {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
    // A process that has just ended is none of our concern.
    let _gone = kill_process(pid, signal);
}

fn end_of(output: Output, was_signalled: bool) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program prints UTF-8");
    Ended {
        code: output.status.code(),
        signal: output.status.signal(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        was_signalled,
    }
}
