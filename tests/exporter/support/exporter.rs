//! The exporter as a process, in an environment that holds nothing but what a test puts there.
//!
//! Every run is searched for what must never be told: it logs everything it can, and the texts it knows to be
//! secret must not be in what it prints. A test cannot forget this, because there is no other way to run.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output as Exit, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A run that takes longer than this hangs, and fails its test.
const PATIENCE: Duration = Duration::from_mins(2);

/// The command line and the environment of a run to come.
#[derive(Clone)]
pub(crate) struct Exporter {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    secrets: Vec<String>,
    home: PathBuf,
    /// The program that starts the exporter, and its arguments.
    starter: Vec<String>,
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Exporter {
    /// Prepares a run with an empty environment, at home in `home`.
    pub(crate) fn new(home: &Path) -> Self {
        let exporter = Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            secrets: Vec::new(),
            home: home.to_owned(),
            starter: Vec::new(),
        };
        exporter
            .env("HOME", &home.display().to_string())
            .env("PATH", "/usr/bin:/bin")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("RUST_LOG", "info,wickr_guest_export=trace")
    }

    pub(crate) fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.into_iter().map(str::to_owned));
        self
    }

    /// Gives a flag that was given before another value; clap takes a flag once.
    pub(crate) fn replacing(mut self, flag: &str, value: &str) -> Self {
        let given = self.arguments.iter().position(|argument| argument == flag).expect("the flag was given");
        value.clone_into(&mut self.arguments[given + 1]);
        self
    }

    /// Sets a variable, in place of what it was set to before.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(set, _)| set != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.environment.retain(|(set, _)| set != name);
        self
    }

    /// Adds a text that the run must not print.
    pub(crate) fn secret(mut self, text: &str) -> Self {
        self.secrets.push(text.to_owned());
        self
    }

    /// Lets the program have this much memory, its threads' stacks included; it dies of wanting more. A limit of
    /// the kernel (`RLIMIT_DATA`) rather than a measurement, which a peak between two readings would escape.
    pub(crate) fn within_memory(self, kib: u32) -> Self {
        let limited = self.under(&["/bin/sh", "-c", r#"ulimit -d "$0" && exec "$@""#, &kib.to_string()]);
        // As many threads, and so as many stacks, on every machine.
        limited.env("TOKIO_WORKER_THREADS", "2")
    }

    /// Prepares `verify` of an output in place of this command, in the same environment.
    pub(crate) fn verifying(&self, output: &Path) -> Self {
        let arguments = vec!["verify".to_owned(), output.display().to_string()];
        Self { arguments, ..self.clone() }
    }

    /// Prepares `doctor` of the job that this command would run.
    pub(crate) fn examining(&self) -> Self {
        let mut examining = self.clone();
        assert_eq!(examining.arguments[0], "run");
        "doctor".clone_into(&mut examining.arguments[0]);
        examining
    }

    /// Starts the exporter through another program.
    pub(crate) fn under(mut self, starter: &[&str]) -> Self {
        self.starter = starter.iter().map(|&word| word.to_owned()).collect();
        self
    }

    fn command(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_wickr-guest-export").to_owned();
        let mut words = self.starter.iter().chain([&program]).chain(&self.arguments);
        let mut command = Command::new(words.next().expect("the program"));
        command.args(words).env_clear().current_dir(&self.home);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs to the end.
    pub(crate) fn run(self) -> Run {
        let exit = assert_cmd::Command::from_std(self.command()).timeout(PATIENCE).output();
        self.judge(&exit.expect("the program runs"))
    }

    /// Sets what the fail points of the program do: `src/storage/failpoint.rs` says what they can.
    pub(crate) fn fail_points(self, actions: &str) -> Self {
        self.env("FAILPOINTS", actions)
    }

    /// Runs to the end, or to the durable step that a fail point ends it at, which is the error.
    pub(crate) fn run_to_death(&self) -> Result<Run, String> {
        let exit = assert_cmd::Command::from_std(self.command()).timeout(PATIENCE).output();
        let exit = exit.expect("the program runs");
        let stderr = String::from_utf8_lossy(&exit.stderr);
        let step = stderr.lines().find_map(|line| line.split_once(" at durable step: "));
        match step {
            Some(("killed" | "torn", step)) => {
                assert_eq!(exit.status.signal(), Some(Signal::KILL.as_raw()), "{stderr}");
                Err(step.to_owned())
            }
            Some(_) | None => Ok(self.judge(&exit)),
        }
    }

    /// Starts the program; its output waits in pipes.
    pub(crate) fn spawn(&self) -> Child {
        self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Waits for a program that [`Exporter::spawn`] started.
    pub(crate) fn finish(&self, child: Child) -> Run {
        self.judge(&child.wait_with_output().expect("the program ends"))
    }

    /// Waits until a program that [`Exporter::spawn`] started has logged a line with these words; what it logs
    /// until then is read here and is no more in what [`Exporter::finish`] returns.
    pub(crate) fn wait_until_logged(&self, child: &mut Child, words: &[&str]) {
        let stderr = child.stderr.as_mut().expect("a pipe");
        // The rest of what is there is for whoever reads next.
        let mut lines = BufReader::with_capacity(1, stderr).lines();
        let mut logged = String::new();
        loop {
            let line = lines.next().unwrap_or_else(|| panic!("{words:?} are not logged:\n{logged}"));
            let line = line.expect("the program prints UTF-8");
            self.assert_tells_no_secret(&line);
            if words.iter().all(|word| line.contains(word)) {
                return;
            }
            logged = logged + &line + "\n";
        }
    }

    fn assert_tells_no_secret(&self, printed: &str) {
        for secret in &self.secrets {
            assert!(!printed.contains(secret.as_str()), "`{secret}` is printed:\n{printed}");
        }
    }

    fn judge(&self, exit: &Exit) -> Run {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("the program prints UTF-8");
        let (stdout, stderr) = (text(&exit.stdout), text(&exit.stderr));
        self.assert_tells_no_secret(&stdout);
        self.assert_tells_no_secret(&stderr);
        let code = exit.status.code().unwrap_or_else(|| panic!("{}:\n{stderr}", exit.status));
        Run { code, stdout, stderr }
    }
}

impl Run {
    /// Holds the exit code against what it should be.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Reads the summary; a run that printed none fails its test.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let summary: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no summary ({error}):\n{}\n{}", self.stdout, self.stderr));
        assert_eq!(summary["exit_code"], self.code, "the summary's exit code is the program's");
        summary
    }

    /// Returns what the summary says of its only task.
    #[track_caller]
    pub(crate) fn task(&self) -> Value {
        let summary = self.summary();
        let tasks = summary["tasks"].as_array().expect("a list of tasks");
        assert_eq!(tasks.len(), 1, "one task: {summary:#}");
        tasks[0].clone()
    }

    /// Returns why the only task failed.
    #[track_caller]
    pub(crate) fn message(&self) -> String {
        self.task()["message"].as_str().expect("a message").to_owned()
    }

    /// Returns the one error that ended the run as a whole.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        match self.stderr.split_once("error: ") {
            Some((_logged, error)) => error.trim_end().to_owned(),
            None => panic!("no error:\n{}", self.stderr),
        }
    }
}

pub(crate) fn pid(child: &Child) -> Pid {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id")
}

/// Sends a signal to a run that has not ended.
pub(crate) fn tell(child: &Child, signal: Signal) {
    kill_process(pid(child), signal).expect("the program still runs");
}
