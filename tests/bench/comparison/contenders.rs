//! Who is compared: how each is built, and how it is started on the same task.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::machine::{cargo_build, exporter, said};
use crate::python::Python;
use crate::trial::Task;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Contender {
    Exporter,
    AwsSdk,
    Boto3,
    FloorSocket,
    FloorClient,
}

impl Contender {
    pub(crate) const ALL: [Self; 5] =
        [Self::Exporter, Self::AwsSdk, Self::Boto3, Self::FloorSocket, Self::FloorClient];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exporter => "wickr-guest-export",
            Self::AwsSdk => "aws-sdk-wickr, arrow, csv",
            Self::Boto3 => "boto3, pyarrow",
            Self::FloorSocket => "floor: socket, serde_json, sort, Parquet",
            Self::FloorClient => "floor: the same with reqwest and SigV4",
        }
    }
}

/// The programs, built.
pub(crate) struct Built {
    exporter: PathBuf,
    peers: PathBuf,
    python: &'static Python,
}

impl Built {
    /// Builds or installs all of them, as whoever uses them would: this program's own copy of the exporter has what only
    /// tests ask for. An exporter that is there already is taken instead.
    pub(crate) fn new(exporter: Option<PathBuf>) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder within target");
        let manifest = |folder: &str| Path::new(PACKAGE).join(folder).join("Cargo.toml");
        let peers = target.join("peers");
        let exporter = self::exporter(exporter);
        for peer in ["aws-sdk", "floor"] {
            cargo_build(&manifest(&format!("tests/bench/peers/{peer}")), &peers);
        }
        let python = Python::for_test("the comparison with boto3").expect("boto3 and pyarrow");
        Self { exporter, peers: peers.join("release"), python }
    }

    /// Prepares a contender for a task.
    pub(crate) fn command(&self, contender: Contender, task: &Task) -> Command {
        let mut command = match contender {
            Contender::Exporter => {
                let job = task.folder.join("job.toml");
                fs::write(&job, task.job()).expect("a job file");
                let mut command = Command::new(&self.exporter);
                command.env_clear().arg("run").arg(job).arg("--quiet").env("HOME", &task.folder);
                command
            }
            Contender::AwsSdk => self.peer("peer-aws-sdk", task),
            Contender::FloorSocket => self.peer("floor-socket", task),
            Contender::FloorClient => self.peer("floor-client", task),
            Contender::Boto3 => {
                let mut command = self.python.script("../bench/peers/boto3_pyarrow.py", &task.folder);
                command.args(task.peer_arguments());
                command
            }
        };
        command
            .env("AWS_ENDPOINT_URL_WICKR", &task.endpoint)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1");
        command
    }

    fn peer(&self, program: &str, task: &Task) -> Command {
        let mut command = Command::new(self.peers.join(program));
        command.env_clear().env("HOME", &task.folder).args(task.peer_arguments());
        command
    }

    /// Returns what the contenders were made with: a name and a version each.
    pub(crate) fn versions(&self) -> Vec<(String, String)> {
        let mut versions =
            vec![("wickr-guest-export".to_owned(), said(Command::new(&self.exporter).arg("--version")))];
        versions.push(("rustc".to_owned(), said(Command::new("rustc").arg("--version"))));
        for (peer, package) in [
            ("aws-sdk", "aws-sdk-wickr"),
            ("aws-sdk", "arrow"),
            ("floor", "serde_json"),
            ("floor", "parquet"),
            ("floor", "reqwest"),
        ] {
            versions.push((package.to_owned(), locked(peer, package)));
        }
        let script = "import boto3, json, platform, pyarrow; \
                      print(json.dumps([platform.python_version(), boto3.__version__, pyarrow.__version__]))";
        let mut python = Command::new(self.python.script("", Path::new("/")).get_program());
        let told: Vec<Value> =
            serde_json::from_str(&said(python.args(["-c", script]))).expect("three versions");
        for (name, version) in ["python", "boto3", "pyarrow"].into_iter().zip(told) {
            versions.push((name.to_owned(), version.as_str().unwrap_or_default().to_owned()));
        }
        versions
    }
}

fn locked(peer: &str, package: &str) -> String {
    let path = Path::new(PACKAGE).join("tests/bench/peers").join(peer).join("Cargo.lock");
    let lock = fs::read_to_string(path).expect("a lock file");
    let lock: toml::Table = lock.parse().expect("TOML");
    let packages = lock["package"].as_array().expect("packages");
    let found = packages.iter().find(|found| found["name"].as_str() == Some(package));
    found.expect("a package that is depended on")["version"].as_str().expect("a version").to_owned()
}
