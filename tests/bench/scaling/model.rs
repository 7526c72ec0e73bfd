//! What `deploy/SCALING.md` says a run takes, as it stands there: the same letters, and nothing measured but constants.
//!
//! It shares no code with the program, the deal of networks to shards included: a rule that both took from one place
//! would always agree with itself.

use sha2::{Digest, Sha256};

/// The guests or networks of a page.
const PAGE: u64 = 100;
/// What a process holds whatever it does, in MiB.
const MEMORY_OF_PROCESS: f64 = 20.0;
/// What a task takes while it is worked on, with lists of some thousand guests, in MiB.
const MEMORY_AT_ONCE: f64 = 3.0;
/// What is kept of each task until the end of the run, in MiB.
const MEMORY_OF_TASK: f64 = 2.0 / 1024.0;
/// What is kept of each manifest of the months that are closed meanwhile, in MiB.
const MEMORY_OF_MANIFEST: f64 = 5.0 / 1024.0;
/// How long a manifest takes to be read again from a disk, in seconds.
const READING: f64 = 0.0002;

/// One network in one month.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    /// `g`
    pub(crate) guests: u64,
    /// Whether the month is open, or began no more than 90 days ago.
    pub(crate) counted: bool,
}

/// What one task asks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asked {
    pub(crate) pages: u64,
    pub(crate) counts: u64,
    /// Of them, those that wait for the one before.
    pub(crate) chain: u64,
}

impl Task {
    pub(crate) fn asks(self) -> Asked {
        let pages = self.guests.div_ceil(PAGE).max(1);
        if self.counted {
            return Asked { pages, counts: 2, chain: pages + 2 };
        }
        // The first pages of both directions share guests, so the second walk waits for the first.
        let overlaps = PAGE < self.guests && self.guests < 2 * PAGE;
        if overlaps {
            return Asked { pages: 5, counts: 0, chain: 4 };
        }
        Asked { pages: 2 * pages, counts: 0, chain: pages + 1 }
    }
}

/// How a process finds out which networks there are.
#[derive(Clone, Copy)]
pub(crate) enum Networks {
    /// It lists so many.
    All(u64),
    /// It asks for each of its own.
    Named(u64),
}

/// What one process does.
pub(crate) struct Run {
    pub(crate) networks: Networks,
    pub(crate) tasks: Vec<Task>,
    /// `r`, requests a second.
    pub(crate) rate: f64,
    /// `c`
    pub(crate) concurrency: f64,
    /// `l`, in seconds.
    pub(crate) latency: f64,
    /// `w`, in seconds.
    pub(crate) publishing: f64,
    /// Manifests in the output when it ends.
    pub(crate) published: u64,
    /// Processes that share the job, and make the summary one after the other at its end.
    pub(crate) shares: u64,
    /// Of the manifests, those of months that it closes: a share closes none.
    pub(crate) closed: u64,
}

/// What that takes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Predicted {
    pub(crate) described: u64,
    pub(crate) pages: u64,
    pub(crate) counts: u64,
    /// What the rate makes of it.
    pub(crate) by_rate: f64,
    /// What latency makes of it, with all turns taken.
    pub(crate) by_turns: f64,
    /// What the longest list makes of it.
    pub(crate) by_chain: f64,
    /// What comes after the last answer.
    pub(crate) ending: f64,
    pub(crate) peak_mib: f64,
}

impl Predicted {
    pub(crate) const fn requests(&self) -> u64 {
        self.described + self.pages + self.counts
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.by_rate.max(self.by_turns).max(self.by_chain) + self.ending
    }
}

impl Run {
    pub(crate) fn predicted(&self) -> Predicted {
        // Lists are walked once all networks are known.
        let (described, describing) = match self.networks {
            Networks::All(networks) => {
                (networks.div_ceil(PAGE).max(1), whole(networks.div_ceil(PAGE).max(1)))
            }
            Networks::Named(networks) => (networks, whole(networks) / self.concurrency),
        };
        let describing = describing * self.latency;
        let mut predicted = Predicted { described, ..Predicted::default() };
        let (mut chains, mut longest) = (0, 0);
        for task in &self.tasks {
            let asked = task.asks();
            predicted.pages += asked.pages;
            predicted.counts += asked.counts;
            chains += asked.chain;
            longest = longest.max(asked.chain);
        }
        let tasks = whole(self.tasks.len() as u64);
        predicted.by_rate = whole(predicted.requests()) / self.rate;
        let worked = (whole(chains) * self.latency + tasks * self.publishing) / self.concurrency;
        predicted.by_turns = describing + worked;
        predicted.by_chain = describing + whole(longest) * self.latency + self.publishing;
        // The summary is made of all manifests, and closing months reads them once more.
        let times = if self.closed > 0 { 2.0 } else { 1.0 };
        predicted.ending = whole(self.shares) * times * whole(self.published) * READING;
        predicted.peak_mib = MEMORY_OF_PROCESS
            + self.concurrency * MEMORY_AT_ONCE
            + tasks * MEMORY_OF_TASK
            + whole(self.closed) * MEMORY_OF_MANIFEST;
        predicted
    }
}

/// Says which of so many shares a network falls to.
pub(crate) fn share_of(network: &str, shares: u64) -> u64 {
    let digest = Sha256::digest(network.as_bytes());
    let first = digest[..8].try_into().expect("a digest has 32 bytes");
    u64::from_be_bytes(first) % shares
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run, far below 2^52")]
pub(crate) const fn whole(count: u64) -> f64 {
    count as f64
}
