//! The virtual environments that hold the independent clients, readers and engines, each made once under `target/`.
//!
//! A machine without Python, or without a way to install, still runs the rest of the suite: the interop tests
//! then say on stderr, past the test harness's capture, what was not run. Under CI (`CI` set) that is a failure.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use chrono::{NaiveDate, Utc};
use serde_json::Value;
use wickr_guest_export::period::BillingPeriod;

/// Where the scripts and `requirements.txt` are.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop");

/// What an environment holds, and where.
struct Environment {
    folder: &'static str,
    /// Below [`SCRIPTS`].
    requirements: &'static str,
    /// What stands there.
    packages: &'static str,
}

const CLIENTS: Environment = Environment {
    folder: "interop-venv",
    requirements: "requirements.txt",
    packages: include_str!("requirements.txt"),
};
#[cfg(feature = "simulator")]
const ENGINES: Environment = Environment {
    folder: "warehouse-venv",
    requirements: "warehouse/requirements.txt",
    packages: include_str!("warehouse/requirements.txt"),
};

/// A Python interpreter that has everything that its environment holds.
pub(crate) struct Python {
    interpreter: PathBuf,
}

/// The day that every script and every test of this process takes for today: a real service's months end with
/// the real day, so the populations move with it, and all of them must mean the same one.
pub(crate) fn today() -> NaiveDate {
    static TODAY: LazyLock<NaiveDate> = LazyLock::new(|| Utc::now().date_naive());
    *TODAY
}

/// Returns the month so many months before today's.
pub(crate) fn months_ago(months: i64) -> BillingPeriod {
    let midnight = today().and_hms_opt(0, 0, 0).expect("midnight").and_utc();
    BillingPeriod::containing(midnight).plus_months(-months)
}

impl Python {
    /// Returns the installed environment, or says loudly that `test` does not run.
    pub(crate) fn for_test(test: &str) -> Option<&'static Self> {
        static INSTALLED: LazyLock<Result<Python, String>> = LazyLock::new(|| Python::install(&CLIENTS));
        match &*INSTALLED {
            Ok(python) => Some(python),
            Err(reason) => {
                let message = format!("interop test NOT RUN: {test}: {reason}");
                let under_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
                assert!(!under_ci, "{message}");
                // `eprintln!` would be captured, and shown only for tests that fail.
                writeln!(io::stderr(), "\n*** {message}\n").expect("stderr is open");
                None
            }
        }
    }

    /// Returns the environment of the second tier's engines, which whoever asks for those tests has to have.
    #[cfg(feature = "simulator")]
    pub(crate) fn with_engines() -> &'static Self {
        static INSTALLED: LazyLock<Python> =
            LazyLock::new(|| Python::install(&ENGINES).unwrap_or_else(|reason| panic!("{reason}")));
        &INSTALLED
    }

    /// Prepares a script of this folder, with nothing of this process's environment but what finds programs.
    pub(crate) fn script(&self, name: &str, home: &Path) -> Command {
        let mut command = Command::new(&self.interpreter);
        command
            .arg(Path::new(SCRIPTS).join(name))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("INTEROP_TODAY", today().to_string())
            .env("PYTHONUTF8", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_PAGER", "");
        command
    }

    /// Runs a script to its end and reads the JSON that it prints.
    pub(crate) fn json<I, S>(
        &self,
        name: &str,
        home: &Path,
        arguments: I,
        variables: &[(String, String)],
    ) -> Value
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = self.script(name, home);
        command.args(arguments).envs(variables.iter().cloned());
        let output = command.output().expect("the script starts");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the script prints JSON")
    }

    fn install(environment: &Environment) -> Result<Self, String> {
        let system = find_interpreter()?;
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder within target");
        let home = target.join(environment.folder);
        let failed = |what: &str, error: io::Error| format!("cannot {what} {}: {error}", home.display());

        // Other test processes wait here until the first one has installed. The system drops the lock of one
        // that dies, and the stamp, written last, tells a whole environment from half of one.
        let lock = File::create(home.with_extension("lock")).map_err(|e| failed("lock", e))?;
        lock.lock().map_err(|e| failed("lock", e))?;
        let interpreter = home.join("bin").join("python");
        let stamp_path = home.join("installed.txt");
        let stamp = format!("{}\n{}", system.version, environment.packages);
        if fs::read_to_string(&stamp_path).is_ok_and(|found| found == stamp) {
            return Ok(Self { interpreter });
        }

        if home.exists() {
            fs::remove_dir_all(&home).map_err(|e| failed("replace", e))?;
        }
        run("create a virtual environment", Command::new(system.program).args(["-m", "venv"]).arg(&home))?;
        let requirements = Path::new(SCRIPTS).join(environment.requirements);
        let mut pip = Command::new(&interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        run(&format!("install tests/interop/{}", environment.requirements), pip.arg(requirements))?;
        fs::write(stamp_path, stamp).map_err(|e| failed("complete", e))?;
        Ok(Self { interpreter })
    }
}

struct Interpreter {
    program: &'static str,
    version: String,
}

/// Finds a Python that the pinned packages support.
fn find_interpreter() -> Result<Interpreter, String> {
    let mut reason = "there is no Python 3 on PATH".to_owned();
    for program in ["python3", "python"] {
        let asked = "import sys; print(sys.version); sys.exit(sys.version_info < (3, 10))";
        match Command::new(program).args(["-c", asked]).output() {
            Ok(Output { status, stdout, .. }) => {
                let version = String::from_utf8_lossy(&stdout).into_owned();
                if status.success() {
                    return Ok(Interpreter { program, version });
                }
                reason = format!("{program} is older than 3.10, or broken: {version}");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => reason = format!("{program} does not start: {error}"),
        }
    }
    Err(reason)
}

fn run(what: &str, command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("cannot {what}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("cannot {what} ({}): {}", output.status, String::from_utf8_lossy(&said).trim()))
}
