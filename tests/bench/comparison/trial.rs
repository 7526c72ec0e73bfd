//! One contender on one task against a service of its own, and whether it did what was asked.
//!
//! A figure counts only if the run succeeded and found every guest; the exporter's number is taken from what it
//! published, a peer's from what it says.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use wickr_guest_export::period::BillingPeriod;

use crate::contenders::{Built, Contender};
use crate::lists::Lists;
use crate::process::{Taken, measured};
use crate::server::{Habits, Seen, Server};

/// What is to be exported, and how the exporter is told to.
pub(crate) struct Task {
    pub(crate) endpoint: String,
    pub(crate) folder: PathBuf,
    pub(crate) networks: Vec<String>,
    pub(crate) months: Vec<BillingPeriod>,
    pub(crate) manner: Manner,
}

/// What only the exporter has a choice of.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) requests_per_second: u32,
    pub(crate) concurrency: u32,
    /// The lines of `[walk]`.
    pub(crate) walk: &'static str,
}

/// As fast as a job may ask for, otherwise as by default.
pub(crate) const UNPACED: Manner = Manner { requests_per_second: 10_000, concurrency: 4, walk: "" };

impl Task {
    /// Returns the job file.
    pub(crate) fn job(&self) -> String {
        let Manner { requests_per_second, concurrency, walk } = self.manner;
        let mut job = format!(
            "periods = {:?}\nmax_requests_per_second = {requests_per_second}\nconcurrency = {concurrency}\n\n\
             [source]\nnetworks = {:?}\n\n[output]\nurl = {:?}\n",
            self.months.iter().map(ToString::to_string).collect::<Vec<_>>(),
            self.networks,
            self.output().display().to_string(),
        );
        if !walk.is_empty() {
            write!(job, "\n[walk]\n{walk}\n").expect("a string takes everything");
        }
        job
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.folder.join("out")
    }

    /// Returns what a peer, which knows one network and one period, is told.
    pub(crate) fn peer_arguments(&self) -> [String; 3] {
        [self.networks[0].clone(), self.months[0].to_string(), self.folder.display().to_string()]
    }
}

/// What a run took and did.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) taken: Taken,
    pub(crate) seen: Seen,
    /// The bytes of the Parquet roster of the first network and month.
    pub(crate) parquet_bytes: u64,
}

impl Figures {
    /// Returns how long it was from the start of the process to its first request.
    pub(crate) fn to_first_request(&self) -> Duration {
        let first = self.seen.first.map_or(SystemTime::now(), |(first, _)| first);
        first.duration_since(self.taken.started).unwrap_or_default()
    }
}

/// What became of a run.
pub(crate) enum Outcome {
    Did(Figures),
    /// It ended with a failure: its code, what was seen of it, and the last that it said.
    Failed {
        code: Option<i32>,
        seen: Seen,
        said: String,
    },
}

impl Outcome {
    /// Returns the figures of a run that had to succeed.
    pub(crate) fn expected(self, contender: Contender) -> Figures {
        match self {
            Self::Did(figures) => figures,
            Self::Failed { code, said, .. } => panic!("{} failed ({code:?}): {said}", contender.name()),
        }
    }
}

/// Where everything happens, and what it happens with.
pub(crate) struct Stage {
    pub(crate) built: Built,
    pub(crate) folder: PathBuf,
}

impl Stage {
    /// Lets a contender do a task once, in an empty folder.
    pub(crate) fn run(
        &self,
        contender: Contender,
        lists: &Arc<Lists>,
        habits: Habits,
        networks: &[String],
        months: &[BillingPeriod],
        manner: Manner,
    ) -> Outcome {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).expect("the last run's folder is removed");
        }
        fs::create_dir_all(&self.folder).expect("a folder");
        let server = Server::start(vec![Arc::clone(lists)], habits).expect("a server");
        let task = Task {
            endpoint: server.endpoint.clone(),
            folder: self.folder.clone(),
            networks: networks.to_vec(),
            months: months.to_vec(),
            manner,
        };
        let command = self.built.command(contender, &task);
        let log = self.folder.join("said.txt");
        let taken = measured(&command, &log, &self.folder).expect("a run to measure");
        let (seen, said) = (server.seen(), fs::read_to_string(&log).unwrap_or_default());
        if taken.code != Some(0) {
            return Outcome::Failed { code: taken.code, seen, said: shortened(&said) };
        }
        let last = said.lines().last().unwrap_or_default().to_owned();
        let parquet_bytes = if contender == Contender::Exporter {
            published(&task, lists.guests)
        } else {
            assert_eq!(last, lists.guests.to_string(), "{}: {said}", contender.name());
            file_bytes(&task.folder.join("guest_roster.parquet"))
        };
        Outcome::Did(Figures { taken, seen, parquet_bytes })
    }
}

/// Holds every publication to its number, and returns the bytes of the first one's Parquet roster.
fn published(task: &Task, guests: u64) -> u64 {
    let place = |network: &String, month: &BillingPeriod| format!("period={month}/network={network}");
    for network in &task.networks {
        for month in &task.months {
            let path = task.output().join("manifests").join(place(network, month)).join("manifest.json");
            let manifest = fs::read(&path).expect("a manifest");
            let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
            assert_eq!(manifest["counts"]["guests"].as_u64(), Some(guests), "{}", path.display());
            assert!(manifest["counts"]["confirmed_by"].is_string(), "{}", path.display());
        }
    }
    let first = place(&task.networks[0], &task.months[0]);
    file_bytes(&task.output().join("guest_roster/parquet").join(first).join("guest_roster.parquet"))
}

/// Returns the last line that says something, short enough for a table.
fn shortened(said: &str) -> String {
    let says_something = |line: &&str| line.contains(char::is_alphabetic);
    let line = said.lines().rev().find(says_something).unwrap_or_default();
    line.chars().filter(|letter| *letter != '|').take(160).collect::<String>().trim().to_owned()
}

fn file_bytes(path: &Path) -> u64 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).len()
}
