//! A simulator with guests, a home and an output: what most tests begin with.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use wickr_guest_export::guest::NetworkId;
use wickr_guest_export::period::BillingPeriod;
use wickr_guest_export::simulator::{Operation, Population, RunningSimulator, Simulator, SimulatorConfig};

use super::{Exporter, Output, Run};

/// The day of all tests: the current month is open, the one before is settling.
pub(crate) const AS_OF: &str = "2025-11-02T09:00:00Z";
/// A month that has not ended.
pub(crate) const OPEN: &str = "2025-11";
/// A month that ended less than three days ago.
pub(crate) const SETTLING: &str = "2025-10";
/// A month that is closed and within the 90 days of the count history.
pub(crate) const CLOSED: &str = "2025-09";
/// A month that began before the 90 days.
pub(crate) const OLD: &str = "2025-08";
/// The network of most tests.
pub(crate) const NETWORK: &str = "12345678";

/// A job of the network that gives up early: the tests wait for nobody.
const IMPATIENT: &str = "[source]\nnetworks = [\"12345678\"]\n[request]\nattempts = 2\ntimeout = \"10s\"\n";

pub(crate) fn network(digits: &str) -> NetworkId {
    digits.parse().expect("eight digits")
}

pub(crate) fn period(text: &str) -> BillingPeriod {
    text.parse().expect("a month")
}

/// Spelled-out guests, numbered; their names and hashes stand out wherever they should not be.
pub(crate) fn guests(numbers: impl IntoIterator<Item = u32>) -> Vec<(String, String)> {
    numbers
        .into_iter()
        .map(|number| (format!("hash-of-guest-{number:04}"), format!("guest-{number:04}@private.example")))
        .collect()
}

/// One network whose months are spelled out.
pub(crate) fn population(months: &[(&str, Vec<(String, String)>)]) -> SimulatorConfig {
    let lists = months.iter().map(|(month, rows)| (network(NETWORK), period(month), rows.clone()));
    SimulatorConfig {
        population: Population::explicit(lists),
        edge_repeats_per_thousand: 0,
        now: Some(AS_OF.parse().expect("an instant")),
        ..SimulatorConfig::default()
    }
}

/// One network whose months hold 250 guests each, on three pages, with all that makes a list untidy.
pub(crate) fn small() -> SimulatorConfig {
    SimulatorConfig {
        networks: vec![network(NETWORK)],
        periods: [OLD, CLOSED, SETTLING, OPEN].map(period).to_vec(),
        guests: 250,
        guests_vary_percent: 0,
        duplicates_per_thousand: 20,
        conflicts_per_thousand: 20,
        edge_repeats_per_thousand: 500,
        now: Some(AS_OF.parse().expect("an instant")),
        ..SimulatorConfig::default()
    }
}

/// The month that only two walks can confirm, with spelled-out guests.
pub(crate) fn old_list(numbers: impl IntoIterator<Item = u32>) -> SimulatorConfig {
    population(&[(OLD, guests(numbers))])
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// Starts a simulator that answers until it is dropped.
fn start(config: SimulatorConfig) -> RunningSimulator {
    runtime().block_on(Simulator::start(config)).expect("a simulator")
}

pub(crate) struct Scene {
    pub(crate) simulator: RunningSimulator,
    folder: TempDir,
}

impl Scene {
    pub(crate) fn new(config: SimulatorConfig) -> Self {
        // In memory, where the system has a place for that: hundreds of runs would wait for the disk at each of their syncs.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { simulator: start(config), folder: folder.expect("a folder") }
    }

    /// Replaces the simulator; the output stays.
    pub(crate) fn becomes(&mut self, config: SimulatorConfig) {
        self.simulator = start(config);
    }

    /// Counts the pages of guests that were asked for so far.
    pub(crate) fn pages_asked(&self) -> u64 {
        self.simulator.stats().requests_of(Operation::ListGuestUsers)
    }

    /// Waits until so many pages were asked for; a program that never asks hangs the test, which its own time limit
    /// ends.
    pub(crate) fn wait_for_pages(&self, pages: u64) {
        while self.pages_asked() < pages {
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file beside the output and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    pub(crate) fn output(&self) -> Output {
        Output::new(self.path("out"))
    }

    /// Prepares any command, with the simulator and its keys in the environment.
    pub(crate) fn exporter(&self) -> Exporter {
        let keys = self.simulator.credentials();
        let mut exporter = Exporter::new(self.folder.path())
            .env("AWS_ENDPOINT_URL_WICKR", &self.simulator.endpoint())
            .env("AWS_ACCESS_KEY_ID", &keys.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key)
            .env("AWS_REGION", self.simulator.region())
            .secret(&keys.secret_access_key);
        for network in self.simulator.networks() {
            for period in self.simulator.periods() {
                for (hash, username) in self.simulator.expected(network, *period) {
                    // Among the strange usernames are some that any text may contain.
                    for text in [hash, username].into_iter().filter(|text| text.len() >= 8) {
                        exporter = exporter.secret(&text);
                    }
                }
            }
        }
        exporter
    }

    /// Prepares `run` with a job of this text, a fast pace, the day of all tests and a summary in JSON.
    pub(crate) fn job(&self, text: &str) -> Exporter {
        let job = self.write("job.toml", text);
        let output = self.path("out").display().to_string();
        let pace = ["--as-of", AS_OF, "--max-requests-per-second", "1000", "--summary", "json"];
        self.exporter().args(["run", &job, "--output", &output]).args(pace)
    }

    /// Prepares `run` for a period of the network, giving up early.
    pub(crate) fn export(&self, period: &str) -> Exporter {
        self.job(IMPATIENT).args(["--network", NETWORK, "--period", period])
    }

    /// Exports a period of the network, giving up early.
    pub(crate) fn run(&self, period: &str) -> Run {
        let run = self.export(period).run();
        self.assert_no_token_in(&run);
        run
    }

    /// Page tokens are known only once they were given out.
    pub(crate) fn assert_no_token_in(&self, run: &Run) {
        for target in self.simulator.stats().targets {
            let Some((_, token)) = target.split_once("nextToken=") else { continue };
            let token = token.split(['&', '%']).next().expect("a first part");
            assert!(token.len() >= 8, "a token worth searching for: {token}");
            for printed in [&run.stdout, &run.stderr] {
                assert!(!printed.contains(token), "a page token is printed:\n{printed}");
            }
        }
    }

    /// Holds the published roster of a period against the guests that the simulator has now.
    #[track_caller]
    pub(crate) fn assert_published_whole(&self, month: &str) {
        let mut expected: Vec<_> = self.simulator.expected(network(NETWORK), period(month)).collect();
        expected.sort();
        assert!(self.output().roster(NETWORK, month) == expected, "the roster is exactly the guests");
        let count = self.output().manifest(NETWORK, month)["counts"]["guests"].clone();
        assert_eq!(count, expected.len());
    }
}
