//! One process after the other, each exporting by the rules, and what each leaves for the next.

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use wickr_guest_export::period::PeriodSpelling;

use super::keeping::{Kept, State};
use super::known::{Known, Total};
use super::service::{Page, Reply, Service};
use super::walk::{Round, Walk};
use super::{Asked, Attempt, Course, Found, Outcome, Publication, Refusal};
use crate::schedule::{ATTEMPTS, Case, Guise, Interruption, Manner, Mode, Moment, Place, Site, period};

/// Why a process ends.
#[derive(Debug)]
enum Halt {
    Killed,
    Refused(String),
}

/// Why a walk failed, whether it was a backward one, and at which page.
type Failure = (bool, u64, Halt);

pub(super) struct Export<'a> {
    pub(super) service: Service<'a>,
    case: &'a Case,
    pub(super) state: State,
    guise: Guise,
    interruption: Option<Interruption>,
    attempts_at_its_site: u64,
    earlier: Asked,
    known: Known,
    is_there: bool,
    /// How far the clock had moved when the latest was found out.
    news_at: TimeDelta,
    course: Course,
}

impl<'a> Export<'a> {
    pub(super) fn new(case: &'a Case, service: Service<'a>) -> Self {
        Self {
            service,
            case,
            state: State::new(case.goes_back()),
            guise: case.guise(0),
            interruption: None,
            attempts_at_its_site: 0,
            earlier: Asked::default(),
            known: Known::default(),
            is_there: false,
            news_at: TimeDelta::zero(),
            course: begun(),
        }
    }

    /// Runs the process of a number to its end.
    pub(super) fn run(&mut self, number: usize) -> Course {
        self.guise = self.case.guise(number);
        self.interruption = self.case.interruptions.get(number).copied();
        self.attempts_at_its_site = 0;
        self.service.meet_a_new_process();
        self.course = begun();
        let current = self.load();
        self.course.outcome = match self.confirm(current) {
            Ok(publication) => {
                self.state.clear();
                Outcome::Published(publication)
            }
            Err(Halt::Killed) => Outcome::Killed,
            Err(Halt::Refused(reason)) => {
                if !leaves_a_checkpoint(&reason) {
                    // A wrong answer spoils the walk that it was given to, not those that had ended.
                    if reason.contains(" walk, page ") && !self.known.walks.is_empty() {
                        self.news_at = self.known.ended_at;
                        self.save(None);
                    } else {
                        self.state.clear();
                    }
                }
                Outcome::Refused(Refusal::of(reason))
            }
        };
        self.state.look();
        self.course.leaves = self.state.is_there();
        self.course.asked_for_the_roster = self.earlier.and(self.course.asked);
        self.course.clone()
    }

    /// Goes on from what is kept, if it fits, else begins.
    fn load(&mut self) -> Option<Round> {
        let period_state = state_at(self.guise.as_of);
        let (found, kept) = self.state.found_by(self.guise, period_state);
        self.course.found = found;
        self.is_there = kept.is_some();
        self.news_at = kept.as_ref().map_or(self.guise.clock, |kept| kept.as_of);
        let Some(kept) = kept else {
            self.known = Known { state: period_state, ..Known::default() };
            self.earlier = Asked::default();
            return None;
        };
        (self.known, self.earlier) = (kept.known, kept.asked);
        let mut round = kept.current?;
        for walk in &mut round.walks {
            walk.begun_anew = false;
        }
        // Usernames, by which walks meet, are not for everybody to keep.
        let unproved =
            round.walks.get(1).is_some_and(|backward| !round.converges && backward.pages.rows == 0);
        let goes_on_alone = unproved || (round.converges && self.guise.mode != Mode::Full);
        round.opening = None;
        Some(if goes_on_alone { Round::of(round.walks.swap_remove(0)) } else { round })
    }

    fn bound(&self) -> (u64, usize) {
        (self.case.bound.rows.into(), self.case.bound.bytes)
    }

    /// Counts rows and bytes of ended walks that are in memory only; those before the last two are forgotten.
    fn in_memory(&self) -> (u64, usize) {
        let last_two = self.known.walks.iter().rev().take(2);
        last_two.fold((0, 0), |(rows, bytes), walk| (rows + walk.unwritten.0, bytes + walk.unwritten.1))
    }

    /// Writes down all that is known.
    fn save(&mut self, current: Option<&mut Round>) {
        for walk in &mut self.known.walks {
            walk.unwritten = (0, 0);
        }
        let current = current.map(|round| {
            for walk in &mut round.walks {
                walk.has_runs |= walk.unwritten.0 > 0;
                walk.unwritten = (0, 0);
            }
            round.clone()
        });
        let asked = self.earlier.and(self.course.asked);
        let as_of = self.news_at;
        self.state.put(Kept { known: self.known.clone(), current, asked, guise: self.guise, as_of });
        self.is_there = true;
    }

    /// Writes down what is known because something stops the work, if there is anything.
    fn keep(&mut self, round: Option<&mut Round>) {
        let round = round.filter(|round| round.has_rows());
        if round.is_some() || !self.known.walks.is_empty() {
            self.save(round);
        }
    }

    /// Sends a request until it is answered or there is a reason to stop.
    fn request<T>(
        &mut self,
        attempt: &Attempt,
        mut send: impl FnMut(&mut Service<'a>) -> Reply<T>,
    ) -> Result<T, Halt> {
        let refused = |reason: &str| Err(Halt::Refused(reason.to_owned()));
        let (mut failures, mut mended, mut again) = (0, false, false);
        loop {
            self.state.look();
            let asked = &mut self.course.asked;
            asked.requests += 1;
            asked.retries += u64::from(std::mem::replace(&mut again, true));
            self.course.trace.push(attempt.clone());
            if let Some(Interruption { moment, manner, .. }) = self.strikes(attempt.site) {
                if moment == Moment::After {
                    send(&mut self.service);
                }
                self.course.interrupted = true;
                return match manner {
                    Manner::Killed => Err(Halt::Killed),
                    Manner::Stopped => refused("Interrupted"),
                    Manner::OutOfTime => {
                        self.course.asked.throttled += 1;
                        refused("DeadlineReached")
                    }
                };
            }
            match send(&mut self.service) {
                Reply::Answer(answer) => return Ok(answer),
                Reply::Throttled => self.course.asked.throttled += 1,
                Reply::TooLate => {
                    self.course.asked.throttled += 1;
                    return refused("DeadlineReached");
                }
                Reply::Transient(name) => {
                    failures += 1;
                    if failures == ATTEMPTS {
                        return refused(&format!("GaveUp {name}"));
                    }
                }
                Reply::Mendable { mends, .. } if mends && !mended => mended = true,
                Reply::Mendable { name, .. } | Reply::Permanent(name) => return refused(name),
            }
        }
    }

    /// Counts an attempt, and says whether it is the one that is interrupted.
    fn strikes(&mut self, site: Site) -> Option<Interruption> {
        let interruption = self.interruption.filter(|interruption| interruption.site.covers(site))?;
        self.attempts_at_its_site += 1;
        (self.attempts_at_its_site == interruption.nth).then_some(interruption)
    }

    fn total(&mut self) -> Result<Total, Halt> {
        if period().start() < self.guise.as_of - TimeDelta::days(90) {
            return Ok(Total::None);
        }
        let attempt = Attempt {
            site: Site::Count,
            backward: false,
            page: 1,
            met: 0,
            walks: self.known.walks.len(),
            ends_the_walk: false,
        };
        match self.request(&attempt, Service::history) {
            Ok(Some(count)) => Ok(Total::Listed(count)),
            Ok(None) => Ok(Total::NotListed),
            Err(Halt::Killed) => Err(Halt::Killed),
            // Only what would stop a walk as well, or cannot be believed, stops here.
            Err(Halt::Refused(reason)) if reason == "Interrupted" => Err(Halt::Refused(reason)),
            Err(Halt::Refused(reason)) => {
                let stops = [
                    "DeadlineReached",
                    "Unauthorized",
                    "ExpiredCredentials",
                    "ClockSkewed",
                    "Shape",
                    "TooLarge",
                ];
                if stops.iter().any(|name| reason.starts_with(name)) {
                    Err(Halt::Refused(format!("history: {reason}")))
                } else {
                    Ok(Total::None)
                }
            }
        }
    }

    fn page(&mut self, walk: &Walk) -> Result<Page, Halt> {
        let (spelling, backward, token) = (walk.spelling, walk.backward, walk.next.as_ref());
        let page = token.map_or(1, |token| token.page);
        let place = if backward { Place::Backward(page) } else { Place::Forward(page) };
        let attempt = Attempt {
            site: if token.is_none() { Site::FirstPage { backward } } else { Site::LaterPage },
            backward,
            page,
            met: self.service.asked_at(place),
            walks: self.known.walks.len(),
            ends_the_walk: false,
        };
        let mut ends_the_walk = false;
        let page = self.request(&attempt, |service| {
            let reply = service.page(spelling, backward, token);
            ends_the_walk = matches!(&reply, Reply::Answer(page) if page.next.is_none());
            reply
        });
        let attempt = self.course.trace.last_mut().expect("the one that was just made");
        attempt.ends_the_walk = ends_the_walk;
        page
    }

    /// Reads until so much is held or the round has ended, each walk a page in its turn.
    fn read(&mut self, round: &mut Round, bound: (u64, usize)) -> Result<(), Failure> {
        let mut asked: VecDeque<usize> = VecDeque::new();
        while !round.has_ended() {
            let held = round.unwritten();
            if held.0 < bound.0 && held.1 < bound.1 {
                for at in 0..round.walks.len() {
                    if !round.walks[at].ended && !asked.contains(&at) {
                        asked.push_back(at);
                    }
                }
            }
            let Some(at) = asked.pop_front() else { return Ok(()) };
            let (backward, number) = (round.walks[at].backward, round.walks[at].pages.count + 1);
            let page = self.page(&round.walks[at]);
            let mode = self.guise.mode;
            match page.and_then(|page| round.walks[at].admit(page, mode).map_err(Halt::Refused)) {
                Ok(()) => self.news_at = self.guise.clock,
                Err(Halt::Refused(reason))
                    if number > 1 && is_refused_question(&reason) && !round.walks[at].begun_anew =>
                {
                    // A token may have grown too old.
                    self.course.walked_anew = true;
                    let anew = Walk::begin(round.walks[at].spelling, backward);
                    round.walks[at] = anew;
                    round.walks[at].begun_anew = true;
                    if at == 0 {
                        round.opening = round.opening.take().map(|_| BTreeSet::new());
                    }
                    asked.clear();
                }
                Err(Halt::Refused(reason)) if leaves_a_checkpoint(&reason) => {
                    self.keep(Some(round));
                    return Err((backward, number, Halt::Refused(reason)));
                }
                Err(Halt::Refused(_)) if round.converges && backward => {
                    // The forward walk reads what this one was to read.
                    round.walks.truncate(1);
                    round.converges = false;
                    asked.clear();
                }
                Err(halt) => return Err((backward, number, halt)),
            }
            if round.part() {
                asked.retain(|at| *at == 0);
            }
        }
        Ok(())
    }

    /// Walks on to the end of the list. Walks that were too small for a run of their own count towards the first run.
    fn walk_on(&mut self, mut round: Round) -> Result<Vec<Walk>, Failure> {
        let (most, held) = (self.bound(), self.in_memory());
        if held.0 > most.0 / 2 || held.1 > most.1 / 2 {
            self.save(None);
        }
        let held = self.in_memory();
        loop {
            // What was written down holds nothing in memory any more.
            let held =
                if self.known.walks.iter().all(|walk| walk.unwritten == (0, 0)) { (0, 0) } else { held };
            let read = self.read(&mut round, (most.0 - held.0, most.1 - held.1));
            if let Err((_, _, Halt::Refused(reason))) = &read
                && !leaves_a_checkpoint(reason)
                && round.walks.len() == 2
                && !round.converges
                && round.walks[0].ended
            {
                // A wrong answer to one of two walks does not cost the other one, if that has ended.
                round.walks.truncate(1);
                let ended = self.finish(round);
                self.add(ended);
                return read.map(|()| Vec::new());
            }
            read?;
            if round.has_ended() {
                break;
            }
            self.save(Some(&mut round));
        }
        Ok(self.finish(round))
    }

    fn finish(&mut self, mut round: Round) -> Vec<Walk> {
        if round.walks.iter().any(|walk| walk.has_runs) {
            self.save(Some(&mut round));
        }
        round.finished()
    }

    /// Adds walks that have ended to what is known.
    fn add(&mut self, walks: Vec<Walk>) {
        for walk in walks {
            if self.known.totals.len() == self.known.walks.len() {
                self.known.totals.extend(self.known.totals.last().copied());
            }
            self.known.walks.push(walk);
        }
        self.known.ended_at = self.guise.clock;
        if self.is_there {
            self.save(None);
        }
    }

    /// Begins a forward walk, and reads it until somebody came.
    fn opened(&mut self, spelling: PeriodSpelling) -> Result<Round, Failure> {
        let mut round = Round::of(Walk::begin(spelling, false));
        self.read(&mut round, (1, usize::MAX))?;
        Ok(round)
    }

    /// A number that nobody else counts takes a walk in each direction, and another may be walked from both ends.
    fn accompanied(&self, round: Round) -> Round {
        let counted = matches!(self.known.totals.last(), Some(Total::Listed(_)));
        if self.known.state != "open" && !counted {
            round.accompanied(false)
        } else if self.case.converges && counted {
            round.accompanied(true)
        } else {
            round
        }
    }

    /// Walks in the spelling that is understood: an empty answer and a refused question are asked once more.
    fn first_walks(&mut self, current: Option<Round>) -> Result<Vec<Walk>, Failure> {
        let refused = |failure: &Failure| match failure {
            (_, 1, Halt::Refused(reason)) => is_refused_question(reason),
            _ => false,
        };
        if let Some(round) = current {
            match self.walk_on(round) {
                Ok(walks) if walks.iter().all(|walk| walk.names.is_empty()) => {}
                Err(failure) if self.known.walks.is_empty() && refused(&failure) => {}
                ended => return ended,
            }
        }
        let other = match self.case.asked {
            PeriodSpelling::Hyphen => PeriodSpelling::Underscore,
            PeriodSpelling::Underscore => PeriodSpelling::Hyphen,
        };
        let first = self.opened(self.case.asked);
        let in_doubt = match &first {
            Ok(round) => !round.has_rows(),
            Err(failure) => refused(failure),
        };
        let round = if in_doubt {
            match self.opened(other) {
                Ok(round) if round.has_rows() || first.is_err() => round,
                Ok(_) => first?,
                Err(failure) if refused(&failure) => first?,
                Err(failure) => return Err(failure),
            }
        } else {
            first?
        };
        let round = if round.has_ended() { round } else { self.accompanied(round) };
        self.walk_on(round)
    }

    fn confirm(&mut self, mut current: Option<Round>) -> Result<Publication, Halt> {
        loop {
            if self.known.totals.len() == self.known.walks.len() {
                match self.total() {
                    Ok(total) => {
                        self.known.totals.push(total);
                        self.news_at = self.guise.clock;
                    }
                    Err(halt) => {
                        if matches!(halt, Halt::Refused(_)) && !self.known.walks.is_empty() {
                            self.keep(None);
                        }
                        return Err(halt);
                    }
                }
            }
            if let Some(publication) = self.known.judge(self.case).map_err(Halt::Refused)? {
                return Ok(publication);
            }
            let backward = self.known.walks.len() % 2 == 1;
            let walked = match (current.take(), self.known.walks.last()) {
                (current, None) => self.first_walks(current),
                (Some(round), Some(_)) => self.walk_on(round),
                (None, Some(last)) => {
                    let round = Round::of(Walk::begin(last.spelling, backward));
                    self.walk_on(round)
                }
            };
            let walked = walked.map_err(|(backward, page, halt)| match halt {
                Halt::Killed => Halt::Killed,
                Halt::Refused(reason) => {
                    let direction = if backward { "backward" } else { "forward" };
                    Halt::Refused(format!("{direction} walk, page {page}: {reason}"))
                }
            })?;
            self.add(walked);
        }
    }
}

fn begun() -> Course {
    Course {
        outcome: Outcome::Killed,
        interrupted: false,
        found: Found::Nothing,
        walked_anew: false,
        leaves: false,
        asked: Asked::default(),
        asked_for_the_roster: Asked::default(),
        trace: Vec::new(),
    }
}

fn state_at(as_of: DateTime<Utc>) -> &'static str {
    if as_of < period().end() {
        "open"
    } else if as_of < period().end() + TimeDelta::days(3) {
        "settling"
    } else {
        "closed"
    }
}

fn is_refused_question(reason: &str) -> bool {
    ["Validation", "BadRequest"].contains(&reason)
}

/// Says whether another process may go on after this: the service failed or time ran out, but no answer was wrong.
fn leaves_a_checkpoint(reason: &str) -> bool {
    let mends = [
        "history: ",
        "Internal",
        "Transport",
        "DeadlineReached",
        "Unauthorized",
        "Forbidden",
        "ExpiredCredentials",
        "ClockSkewed",
        "Interrupted",
    ];
    mends.iter().any(|word| reason.contains(word))
}
