//! The processes under test: a server that runs until it is dropped, and the exporter run to its end.
//!
//! Nothing is inherited but `PATH`: a developer's own AWS profile must not make a test pass, or be used.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// The built binary.
pub(crate) const EXPORTER: &str = env!("CARGO_BIN_EXE_wickr-guest-export");
/// A server that is killed when it goes out of scope.
pub(crate) struct Server {
    process: Child,
    /// Kept open, so that the server may go on printing.
    _stdout: BufReader<ChildStdout>,
    /// The variables that the server told its clients to set.
    pub(crate) environment: Vec<(String, String)>,
}

impl Server {
    /// Starts a server and reads the `export NAME=value` lines that it prints once it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut environment = Vec::new();
        let wanted =
            ["AWS_ENDPOINT_URL_WICKR", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"];
        while !wanted.iter().all(|name| environment.iter().any(|(known, _)| known == name)) {
            let mut line = String::new();
            let length = stdout.read_line(&mut line).expect("the server prints text");
            assert!(length > 0, "{command:?} ended before it had printed all of {wanted:?}");
            if let Some((name, value)) =
                line.trim().strip_prefix("export ").and_then(|line| line.split_once('='))
            {
                environment.push((name.to_owned(), value.trim_matches(['\'', '"']).to_owned()));
            }
        }
        Self { process, _stdout: stdout, environment }
    }

    /// Returns the environment with one variable replaced.
    pub(crate) fn environment_with(&self, name: &str, value: &str) -> Vec<(String, String)> {
        let others = self.environment.iter().filter(|(known, _)| known != name).cloned();
        others.chain([(name.to_owned(), value.to_owned())]).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for, so that none is left behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs `wickr-guest-export run` into `output`, both formats, as of an instant, with the given variables only.
pub(crate) fn export<I, S>(
    home: &Path,
    output: &Path,
    environment: &[(String, String)],
    arguments: I,
) -> Output
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    Command::new(EXPORTER)
        .args(["run", "--format", "parquet,csv", "--output"])
        .arg(output)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().cloned())
        .output()
        .expect("the exporter starts")
}

/// Demands an exit code; shows what the program said if it was another.
pub(crate) fn assert_code(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "stdout: {}\nstderr: {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
