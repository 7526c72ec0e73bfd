//! One job in one process or several, against a service of its own: what is expected of it, and what it took.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::Value;
use wickr_guest_export::period::BillingPeriod;

use crate::lists::{Lists, networks};
use crate::model::{Networks, Predicted, Run, Task, share_of, whole};
use crate::process::{Taken, measured};
use crate::server::{Habits, Seen, Server};

/// The guests of each of twenty networks in a row.
const GUESTS: [u64; 20] = {
    let mut guests = [50; 20];
    guests[0] = 3000;
    (guests[4], guests[8], guests[12], guests[16]) = (400, 400, 400, 400);
    // More than a page and less than two.
    (guests[2], guests[10]) = (150, 150);
    guests
};
/// How far back the service counts.
const COUNTED_DAYS: i64 = 90;
/// How long after its end a month closes.
const SETTLE_DAYS: i64 = 3;
/// What publishing a task takes on a disk of this machine, in seconds.
const PUBLISHING: f64 = 0.010;

/// Whom a job asks.
#[derive(Clone, Copy)]
pub(crate) struct Service {
    pub(crate) networks: u32,
    /// The present month, and those before it.
    pub(crate) months: u32,
    pub(crate) latency: Duration,
}

/// A job, and in how many processes it is done.
#[derive(Clone, Copy)]
pub(crate) struct Trial {
    pub(crate) service: Service,
    /// Requests a second, of all processes together.
    pub(crate) rate: u32,
    /// Of each process.
    pub(crate) concurrency: u32,
    pub(crate) shards: u32,
}

/// What is said of a trial before or after it.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) described: u64,
    pub(crate) counts: u64,
    pub(crate) pages: u64,
    /// Networks of the share that has most of them; each asks for its own.
    pub(crate) largest_share: u64,
    /// Of the process that takes longest.
    pub(crate) seconds: f64,
    pub(crate) peak_mib: f64,
}

/// What nobody foretells.
#[derive(Default)]
pub(crate) struct Aside {
    pub(crate) to_first_request: f64,
    pub(crate) after_last_answer: f64,
    /// Of all processes together, in seconds.
    pub(crate) cpu: f64,
    pub(crate) tasks: u64,
}

/// Removes what an earlier trial has left.
pub(crate) fn remove(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("the last trial's folder is removed");
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Service { networks, months, latency } = self.service;
        let noun = if months == 1 { "month" } else { "months" };
        write!(
            formatter,
            "{networks} networks × {months} {noun}, {} requests a second, {} ms, concurrency {}, ",
            self.rate,
            latency.as_millis(),
            self.concurrency
        )?;
        match self.shards {
            1 => formatter.write_str("one process"),
            shards => write!(formatter, "{shards} shards"),
        }
    }
}

impl Trial {
    fn months(&self) -> Vec<BillingPeriod> {
        let present = BillingPeriod::containing(Utc::now());
        (0..i64::from(self.service.months)).map(|ago| present.plus_months(-ago)).collect()
    }

    fn counted(month: BillingPeriod) -> bool {
        month.start() >= Utc::now() - TimeDelta::days(COUNTED_DAYS)
    }

    fn has_closed(month: BillingPeriod) -> bool {
        month.plus_months(1).start() + TimeDelta::days(SETTLE_DAYS) <= Utc::now()
    }

    /// Returns what each process is expected to do.
    fn runs(&self) -> Vec<(u64, Predicted)> {
        let (ids, months) = (networks(self.service.networks), self.months());
        let of_share = |share: u64| {
            let mut run = Run {
                networks: Networks::All(u64::from(self.service.networks)),
                tasks: Vec::new(),
                rate: f64::from(self.rate) / f64::from(self.shards),
                concurrency: f64::from(self.concurrency),
                latency: self.service.latency.as_secs_f64(),
                publishing: PUBLISHING,
                published: u64::from(self.service.networks) * u64::from(self.service.months),
                shares: u64::from(self.shards),
                closed: if self.shards > 1 {
                    0
                } else {
                    let closed = months.iter().filter(|month| Self::has_closed(**month)).count() as u64;
                    closed * u64::from(self.service.networks)
                },
            };
            let mut own = 0;
            for (id, guests) in ids.iter().zip(GUESTS.into_iter().cycle()) {
                if share_of(id, u64::from(self.shards)) == share {
                    own += 1;
                    run.tasks
                        .extend(months.iter().map(|month| Task { guests, counted: Self::counted(*month) }));
                }
            }
            if self.shards > 1 {
                run.networks = Networks::Named(own);
            }
            (own, run.predicted())
        };
        (0..u64::from(self.shards)).map(of_share).collect()
    }

    /// Returns what the model says.
    pub(crate) fn predicted(&self) -> Figures {
        let mut figures = Figures::default();
        for (own, run) in self.runs() {
            figures.described += run.described;
            figures.counts += run.counts;
            figures.pages += run.pages;
            figures.largest_share = figures.largest_share.max(own);
            figures.seconds = figures.seconds.max(run.seconds());
            figures.peak_mib = figures.peak_mib.max(run.peak_mib);
        }
        figures
    }

    /// Does it, all processes at the same time.
    pub(crate) fn run(&self, exporter: &Path, folder: &Path) -> (Figures, Aside) {
        remove(folder);
        fs::create_dir_all(folder).expect("a folder");
        let months = self.months();
        let mut by_size: BTreeMap<u64, Arc<Lists>> = BTreeMap::new();
        let lists = GUESTS.map(|guests| {
            let make = || Arc::new(Lists::new(guests, months.iter().copied()));
            Arc::clone(by_size.entry(guests).or_insert_with(make))
        });
        let habits = Habits {
            latency: self.service.latency,
            limit: None,
            counted_months: months.iter().filter(|month| Self::counted(**month)).count(),
            networks: self.service.networks,
        };
        let servers: Vec<Server> =
            (0..self.shards).map(|_| Server::start(lists.to_vec(), habits).expect("a server")).collect();
        let taken: Vec<Taken> = thread::scope(|scope| {
            let runs: Vec<_> = servers
                .iter()
                .enumerate()
                .map(|(shard, server)| scope.spawn(move || self.process(exporter, folder, shard, server)))
                .collect();
            runs.into_iter().map(|run| run.join().expect("a run to measure")).collect()
        });
        self.hold_to_numbers(folder);
        self.figures(&taken, &servers)
    }

    fn process(&self, exporter: &Path, folder: &Path, shard: usize, server: &Server) -> Taken {
        let own = folder.join(format!("process-{shard}"));
        fs::create_dir_all(&own).expect("a folder");
        let job = own.join("job.toml");
        fs::write(&job, self.job(folder)).expect("a job file");
        let mut command = Command::new(exporter);
        command
            .env_clear()
            .arg("run")
            .args(["--quiet", "--summary", "json", "--shard", &format!("{shard}/{}", self.shards)])
            .arg(&job)
            .env("HOME", &own)
            .env("AWS_ENDPOINT_URL_WICKR", &server.endpoint)
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
            .env("AWS_REGION", "us-east-1");
        let log = own.join("said.txt");
        let taken = measured(&command, &log, &own).expect("a run to measure");
        let said = fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(taken.code, Some(0), "share {shard} failed: {said}");
        taken
    }

    /// Returns the job file. Shares are told which networks there are, and one process finds out.
    fn job(&self, folder: &Path) -> String {
        let months: Vec<String> = self.months().iter().map(ToString::to_string).collect();
        let wanted = match self.shards {
            1 => "\"all\"".to_owned(),
            _ => format!("{:?}", networks(self.service.networks)),
        };
        format!(
            "periods = {months:?}\nmax_requests_per_second = {}\nconcurrency = {}\ndeadline = \"6h\"\n\n\
             [source]\nnetworks = {wanted}\n\n[output]\nurl = {:?}\n",
            self.rate,
            self.concurrency,
            folder.join("out").display().to_string()
        )
    }

    fn hold_to_numbers(&self, folder: &Path) {
        let months = self.months();
        for (network, guests) in networks(self.service.networks).iter().zip(GUESTS.into_iter().cycle()) {
            for month in &months {
                let place = format!("out/manifests/period={month}/network={network}/manifest.json");
                let manifest = fs::read(folder.join(&place)).expect("every task is published");
                let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
                assert_eq!(manifest["counts"]["guests"].as_u64(), Some(guests), "{place}");
                assert!(manifest["counts"]["confirmed_by"].is_string(), "{place}");
            }
        }
    }

    fn figures(&self, taken: &[Taken], servers: &[Server]) -> (Figures, Aside) {
        let (mut figures, mut aside) = (Figures::default(), Aside::default());
        for (taken, server) in taken.iter().zip(servers) {
            let Seen { answered, pages, counts, first, last, .. } = server.seen();
            let described = answered - pages - counts;
            figures.described += described;
            figures.largest_share = figures.largest_share.max(described);
            figures.counts += counts;
            figures.pages += pages;
            figures.seconds = figures.seconds.max(taken.wall.as_secs_f64());
            figures.peak_mib = figures.peak_mib.max(whole(taken.peak_kib) / 1024.0);
            let (first_time, first) = first.expect("a request");
            let begun = first_time.duration_since(taken.started).unwrap_or_default();
            let asked = last.expect("an answer").duration_since(first);
            aside.to_first_request = aside.to_first_request.max(begun.as_secs_f64());
            let after = taken.wall.saturating_sub(begun + asked);
            aside.after_last_answer = aside.after_last_answer.max(after.as_secs_f64());
            aside.cpu += taken.cpu.as_secs_f64();
        }
        aside.tasks = u64::from(self.service.networks) * u64::from(self.service.months);
        (figures, aside)
    }
}
