//! What must come of a case, reckoned in plain code from the plan alone.
//!
//! Processes export one after the other (`export.rs`), each by the rules of "What makes a roster complete" and of
//! "Resume", and ask the model's own service (`service.rs`) by calling it. What one leaves for the next is a copy of
//! what it knew. The model uses nothing of the program but periods.

mod export;
mod keeping;
mod known;
mod service;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use wickr_guest_export::simulator::FaultKind;

use self::export::Export;
use self::service::Service;
pub(crate) use self::service::is_transient;
use crate::schedule::{Case, Site, network, period};

/// What comes of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Published(Publication),
    Refused(Refusal),
    Killed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Where and why, such as `backward walk, page 3: GaveUp Internal 500`.
    pub(crate) reason: String,
    pub(crate) exit_code: u8,
}

impl Refusal {
    fn of(reason: String) -> Self {
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        let exit_code = if says(&["Internal", "Transport", "DeadlineReached", "Interrupted"]) {
            75
        } else if says(&["Unauthorized", "Forbidden", "ExpiredCredentials", "ClockSkewed"]) {
            77
        } else if says(&["NotFound"]) {
            78
        } else {
            65
        };
        Self { reason, exit_code }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    /// Every guest under the smaller username.
    pub(crate) guests: BTreeMap<String, String>,
    pub(crate) state: &'static str,
    pub(crate) confirmed_by: Option<&'static str>,
    pub(crate) reconciliation: &'static str,
    pub(crate) api_guests: Option<u64>,
    pub(crate) stable: bool,
    pub(crate) strategy: &'static str,
    pub(crate) walks: u32,
    pub(crate) username_conflicts: u64,
    pub(crate) empty_usernames: u64,
    pub(crate) pages: Pages,
}

/// What depends on how the list was cut into pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages {
    pub(crate) count: u64,
    pub(crate) rows: u64,
    pub(crate) duplicates: u64,
    pub(crate) edge_repeats: u64,
}

/// What was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) requests: u64,
    pub(crate) throttled: u64,
    pub(crate) retries: u64,
}

impl Asked {
    fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            throttled: self.throttled + other.throttled,
            retries: self.retries + other.retries,
        }
    }
}

/// One attempt at a request.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) site: Site,
    pub(crate) backward: bool,
    pub(crate) page: u64,
    /// How many requests this page had had before.
    pub(crate) met: u64,
    /// How many walks had ended.
    pub(crate) walks: usize,
    /// Whether the answer was the last page of a walk.
    pub(crate) ends_the_walk: bool,
}

impl Attempt {
    /// Says where in an export this is.
    pub(crate) fn label(&self) -> &'static str {
        match (self.site, self.walks) {
            (Site::Count, 0) => "while the count is read before the first walk",
            (Site::Count, _) => "while the count is read after a walk",
            _ if self.ends_the_walk => "at the end of a walk",
            (Site::FirstPage { .. }, 0) => "before the first walk",
            (Site::FirstPage { .. }, _) => "between two walks",
            (Site::Any | Site::LaterPage, 0) => "within the first walk",
            (Site::Any | Site::LaterPage, _) => "within a later walk",
        }
    }
}

/// What a process finds when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// Something that it goes on from.
    Usable,
    /// Something that it discards.
    Unusable,
}

/// What comes of one process.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    pub(crate) outcome: Outcome,
    /// Whether its interruption struck.
    pub(crate) interrupted: bool,
    pub(crate) found: Found,
    /// Whether an old token was refused, so that a walk began anew.
    pub(crate) walked_anew: bool,
    /// Whether it leaves something that fits another process like it.
    pub(crate) leaves: bool,
    pub(crate) asked: Asked,
    /// Its attempts and those of the processes that it goes on from.
    pub(crate) asked_for_the_roster: Asked,
    pub(crate) trace: Vec<Attempt>,
}

/// All that is foretold of a case.
#[derive(Clone, Debug)]
pub(crate) struct Prophecy {
    /// The processes, in their order.
    pub(crate) courses: Vec<Course>,
    /// Authentic requests of all processes, for pages and for the count.
    pub(crate) requests: (u64, u64),
    /// How often each fault strikes, in the order of the plan.
    pub(crate) struck: Vec<(FaultKind, u64)>,
    /// Every set of guests that the list was at some moment.
    pub(crate) moments: Vec<BTreeSet<String>>,
}

impl Prophecy {
    /// Returns what comes of the case in the end.
    pub(crate) fn outcome(&self) -> &Outcome {
        &self.courses.last().expect("one process at least").outcome
    }
}

/// Foretells what comes of a case.
pub(crate) fn foretell(case: &Case) -> Prophecy {
    let mut export = Export::new(case, Service::new(case));
    let mut courses: Vec<Course> = Vec::new();
    let mut reruns = case.reruns;
    loop {
        let course = export.run(courses.len());
        let published = matches!(course.outcome, Outcome::Published(_));
        let goes_on = !published && (course.interrupted || reruns > 0);
        reruns -= u32::from(goes_on && !course.interrupted);
        courses.push(course);
        if !goes_on {
            break;
        }
        if let Some(damage) = case.damage_after(courses.len() - 1) {
            export.state.suffer(damage);
        }
    }
    let service = &export.service;
    let struck = case.scripts.iter().zip(&service.met).flat_map(|(script, met)| {
        let strikes = script.strikes.iter().zip(script.spared..);
        let once = strikes.map(|(kind, turn)| (*kind, u64::from(turn < *met)));
        let rest = met.saturating_sub(script.spared + script.strikes.len() as u64);
        once.chain(script.for_ever.map(|kind| (kind, rest))).collect::<Vec<_>>()
    });
    Prophecy {
        requests: (service.list_requests, service.history_requests),
        struck: struck.collect(),
        moments: service.moments.clone(),
        courses,
    }
}

/// Returns each drawn guest once, under the smaller username.
pub(crate) fn drawn_guests(case: &Case) -> BTreeMap<String, String> {
    let mut guests: BTreeMap<String, String> = BTreeMap::new();
    for (hash, name) in &case.rows {
        let kept = guests.entry(hash.clone()).or_insert_with(|| name.clone());
        if name < kept {
            kept.clone_from(name);
        }
    }
    guests
}

/// Returns the task's name as rows carry it.
pub(crate) fn labels() -> (String, String) {
    (period().to_string(), network().to_string())
}
