//! What a case is made of: the list, the habits of the service, the faults, what is asked for, and what befalls the
//! processes that ask.
//!
//! Faults are scripts of a place (an operation, a direction, a page): the first request there meets the first
//! fault, the second the next, and so on; what comes last may stay for ever. So no two faults contend for a
//! request, and each one that is reached strikes.

mod drawing;
mod interrupting;
mod interruption;

use chrono::{DateTime, TimeDelta, Utc};
use wickr_guest_export::guest::NetworkId;
use wickr_guest_export::period::{BillingPeriod, PeriodSpelling};
use wickr_guest_export::roster::RunBound;
use wickr_guest_export::simulator::{
    Answers, Change, Collation, Direction, ExplicitPopulation, Fault, FaultKind, History, Mutation,
    OldestMonth, Operation, PagingMode, PeriodAnswer, Population, SimulatorConfig, When,
};

pub(crate) use self::interruption::{
    DIFFERENCES, Damage, Difference, Guise, Interruption, MAX_AGE, Manner, Moment, Site,
};

use crate::model::is_transient;

/// How many failures end a request.
pub(crate) const ATTEMPTS: u32 = 4;
/// A hint that lies past any deadline.
pub(crate) const FAR_TOO_LATE: u64 = 3600;

/// What a campaign is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Campaign {
    /// The list stands still; requests and answers go wrong.
    Standing,
    /// Guests come and go while they are listed.
    Moving,
}

/// How often pages begin with rows of the page before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    Never,
    /// Each page begins with the last row of the page before.
    OneRow,
    /// Some pages repeat some rows: which ones is the simulator's secret, so pages cannot be predicted.
    Some {
        per_thousand: u32,
        rows: u64,
    },
}

/// How much of a roster is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Full,
    Pseudonymous,
    CountsOnly,
}

/// Where requests meet a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    History,
    Forward(u64),
    Backward(u64),
}

/// What the requests at one place meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) place: Place,
    /// How many requests are spared first.
    pub(crate) spared: u64,
    /// One fault a request.
    pub(crate) strikes: Vec<FaultKind>,
    /// What every request after those meets.
    pub(crate) for_ever: Option<FaultKind>,
}

/// Everything that decides what comes of an export.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) rows: Vec<(String, String)>,
    /// Whether the service knows the period at all.
    pub(crate) period_known: bool,
    pub(crate) as_of: DateTime<Utc>,
    pub(crate) page_size: u8,
    pub(crate) mode: Mode,
    pub(crate) walk_attempts: u32,
    /// Whether lists whose number is counted are walked from both ends.
    pub(crate) converges: bool,
    pub(crate) collation: Collation,
    /// How much of a walk is held in memory: from a page, so that every page is a run, to all of it.
    pub(crate) bound: RunBound,
    pub(crate) zero_accepted: bool,
    pub(crate) asked: PeriodSpelling,
    pub(crate) answers: Answers,
    pub(crate) history: History,
    pub(crate) paging: PagingMode,
    pub(crate) overlap: Overlap,
    /// Changes, each just before the `ListGuestUsers` request of its number.
    pub(crate) changes: Vec<(u64, Change)>,
    pub(crate) scripts: Vec<Script>,
    pub(crate) server_clock_ahead: i64,
    /// What befalls the processes, one after the other.
    pub(crate) interruptions: Vec<Interruption>,
    /// How often a process that was refused is followed by another one.
    pub(crate) reruns: u32,
    /// Drawn once more for whatever must not depend on it: row order, page size and format options.
    pub(crate) variation: u64,
}

pub(crate) fn network() -> NetworkId {
    "01234567".parse().expect("eight digits")
}

pub(crate) fn period() -> BillingPeriod {
    "2026-10".parse().expect("a period")
}

impl Case {
    /// Returns how many pages a walk has, repeated and empty ones aside.
    pub(crate) fn pages(&self) -> u64 {
        let (rows, size) = (self.rows.len() as u64, u64::from(self.page_size));
        let step = if self.overlap == Overlap::OneRow { (size - 1).max(1) } else { size };
        1 + rows.saturating_sub(size).div_ceil(step)
    }

    /// Says whether the service's own count reaches back to the period on the day of the case.
    pub(crate) fn history_covers_the_period(&self) -> bool {
        period().start() >= self.as_of - TimeDelta::days(90)
    }

    /// Says whether some request is never answered, which is told from a slow machine by the clock alone.
    pub(crate) fn stalls(&self) -> bool {
        let stall = |kind: &FaultKind| matches!(kind, FaultKind::Stall | FaultKind::StallMidBody);
        self.scripts.iter().any(|script| script.strikes.iter().chain(&script.for_ever).any(stall))
    }

    /// Says whether nothing was drawn that could keep the list from being published as it is.
    pub(crate) fn must_be_published(&self) -> bool {
        let served = [self.answers.hyphen, self.answers.underscore].contains(&PeriodAnswer::Served);
        let too_much = self.scripts.iter().any(|script| script.for_ever.is_some() || script.is_an_outage());
        let rejected = |script: &Script| script.strikes.contains(&FaultKind::RejectedToken);
        // A process that begins at another request may find its clock wrong there, and mends one thing a request.
        let mends = [FaultKind::ClockSkew, FaultKind::ExpiredToken, FaultKind::Unauthorized];
        let mended_twice = |script: &Script| {
            let is_interrupted = self.server_clock_ahead != 0 && !self.interruptions.is_empty();
            is_interrupted && script.strikes.iter().any(|kind| mends.contains(kind))
        };
        let too_much = too_much || self.scripts.iter().any(|script| rejected(script) || mended_twice(script));
        served && !too_much && self.changes.is_empty() && !self.rows.is_empty()
    }

    /// Says whether something was drawn that every export must run into.
    pub(crate) fn must_be_refused(&self) -> bool {
        let answers = |kind: &FaultKind| matches!(kind, FaultKind::Padded(_));
        self.scripts.iter().any(|script| {
            script.place == Place::Forward(1)
                && script.for_ever.is_some()
                && !script.strikes.iter().any(answers)
        })
    }

    /// Says whether nothing can come of interruptions and damage but that the same pages are read again: no answer
    /// depends on when it is asked for, or how often.
    pub(crate) fn interruptions_change_no_answer(&self) -> bool {
        let changes_the_state =
            |interruption: &Interruption| matches!(interruption.damage, Some(Damage::WasAnotherDay(_)));
        self.changes.is_empty()
            && self.scripts.is_empty()
            && self.history.delta_per_read == 0
            && !self.interruptions.iter().any(changes_the_state)
    }

    /// Says whether something that was kept earlier is put back.
    pub(crate) fn goes_back(&self) -> bool {
        let goes_back = |interruption: &Interruption| {
            matches!(interruption.damage, Some(Damage::OlderState(_) | Damage::OlderCursorWithoutRun(_)))
        };
        self.interruptions.iter().any(goes_back)
    }

    /// Says whether every process can go on with what the one before it has left.
    pub(crate) fn state_stays_usable(&self) -> bool {
        let usable =
            |interruption: &Interruption| matches!(interruption.damage, None | Some(Damage::StrayRun));
        self.interruptions.iter().all(usable)
    }

    /// Returns the simulator that behaves as planned.
    pub(crate) fn simulator(&self) -> SimulatorConfig {
        let elsewhere = |name: &str| (format!("elsewhere-{name}"), name.to_owned());
        let mut population = ExplicitPopulation::default()
            .with_rows(network(), period().plus_months(-1), [elsewhere("month")])
            .with_rows("12345678".parse().expect("eight digits"), period(), [elsewhere("network")]);
        if self.period_known {
            population = population.with_rows(network(), period(), self.rows.clone());
        }
        let population = population.with_collation(self.collation);
        let (edge_repeats_per_thousand, edge_repeat_rows) = match self.overlap {
            Overlap::Never => (0, 0),
            Overlap::OneRow => (1000, 1),
            Overlap::Some { per_thousand, rows } => (per_thousand, rows),
        };
        let mutation = |(before_request, change): &(u64, Change)| Mutation {
            network: network(),
            period: period(),
            before_request: *before_request,
            change: change.clone(),
        };
        SimulatorConfig {
            seed: self.variation,
            now: Some(self.as_of),
            clock_offset_seconds: self.server_clock_ahead,
            population: Population::Explicit(population),
            mutations: self.changes.iter().map(mutation).collect(),
            paging: self.paging,
            edge_repeats_per_thousand,
            edge_repeat_rows,
            answers: self.answers.clone(),
            history: self.history.clone(),
            faults: self.scripts.iter().flat_map(Script::faults).collect(),
            ..SimulatorConfig::default()
        }
    }

    /// Returns cases with a little less in them, the smallest first.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut case = self.clone();
            change(&mut case);
            if case != *self {
                smaller.push(case);
            }
        };
        for part in [self.rows.len() / 2, self.rows.len() / 4, 1] {
            let part = part.min(self.rows.len());
            add(&|case| drop(case.rows.drain(..part)));
            add(&|case| case.rows.truncate(self.rows.len() - part));
        }
        for index in 0..self.scripts.len() {
            add(&|case| drop(case.scripts.remove(index)));
            for strike in 0..self.scripts[index].strikes.len() {
                add(&|case| {
                    case.scripts[index].strikes.remove(strike);
                });
            }
        }
        for index in 0..self.changes.len() {
            add(&|case| drop(case.changes.remove(index)));
        }
        for index in 0..self.interruptions.len() {
            add(&|case| {
                case.interruptions.remove(index);
            });
            add(&|case| case.interruptions[index].damage = None);
        }
        add(&|case| case.reruns = 0);
        add(&|case| case.overlap = Overlap::Never);
        add(&|case| case.server_clock_ahead = 0);
        add(&|case| case.answers = Answers::default());
        add(&|case| case.asked = PeriodSpelling::Hyphen);
        add(&|case| case.mode = Mode::Full);
        add(&|case| case.walk_attempts = 1);
        add(&|case| case.converges = false);
        add(&|case| case.collation = Collation::Bytewise);
        add(&|case| case.history = History { oldest_month: OldestMonth::Whole, ..History::default() });
        smaller
    }
}

impl Script {
    /// Says whether a request that meets this gives up, though a later one may be answered.
    pub(crate) fn is_an_outage(&self) -> bool {
        let transient = self.strikes.iter().filter(|kind| is_transient(**kind)).count();
        transient >= ATTEMPTS as usize
    }

    fn faults(&self) -> Vec<Fault> {
        let here = || {
            let when = When::always().in_network(network());
            let list = |when: When, page| when.in_period(period()).on_page(page);
            match self.place {
                Place::History => when.of(Operation::GetGuestUserHistoryCount),
                Place::Forward(page) => list(when, page).towards(Direction::Ascending),
                Place::Backward(page) => list(when, page).towards(Direction::Descending),
            }
        };
        let once = self
            .strikes
            .iter()
            .zip(self.spared..)
            .map(|(kind, skip)| Fault::new(*kind, When { skip, times: Some(1), ..here() }));
        let skip = self.spared + self.strikes.len() as u64;
        let for_ever = self.for_ever.map(|kind| Fault::new(kind, When { skip, ..here() }));
        once.chain(for_ever).collect()
    }
}
