//! What must come of a case, reckoned in plain code from the plan alone.
//!
//! An export by the rules of "What makes a roster complete", which asks the model's own service (`service.rs`) by
//! calling it. It uses nothing of the program but periods.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wickr_guest_export::period::PeriodSpelling;
use wickr_guest_export::simulator::FaultKind;

use crate::plan::{ATTEMPTS, Case, network, period};
use crate::service::{Reply, Service, Token};

/// What comes of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Published(Publication),
    Refused(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Where and why, such as `backward walk, page 3: GaveUp Internal 500`.
    pub(crate) reason: String,
    pub(crate) exit_code: u8,
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
    pub(crate) direction: &'static str,
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

/// All that is foretold of a case.
#[derive(Clone, Debug)]
pub(crate) struct Prophecy {
    pub(crate) outcome: Outcome,
    pub(crate) asked: Asked,
    /// How often each fault strikes, in the order of the plan.
    pub(crate) struck: Vec<(FaultKind, u64)>,
    /// Every set of guests that the list was at some moment.
    pub(crate) moments: Vec<BTreeSet<String>>,
}

/// Foretells what comes of a case.
pub(crate) fn foretell(case: &Case) -> Prophecy {
    let mut export = Export { service: Service::new(case), asked: Asked::default(), case };
    let outcome = match export.confirm() {
        Ok(publication) => Outcome::Published(publication),
        Err(reason) => Outcome::Refused(Refusal { exit_code: exit_code(&reason), reason }),
    };
    let struck = case.scripts.iter().zip(&export.service.met).flat_map(|(script, met)| {
        let once = script.strikes.iter().zip(0..).map(|(kind, turn)| (*kind, u64::from(turn < *met)));
        let rest = met.saturating_sub(script.strikes.len() as u64);
        once.chain(script.for_ever.map(|kind| (kind, rest))).collect::<Vec<_>>()
    });
    Prophecy { outcome, asked: export.asked, struck: struck.collect(), moments: export.service.moments }
}

fn exit_code(reason: &str) -> u8 {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["Internal", "Transport", "DeadlineReached"]) {
        75
    } else if says(&["Unauthorized", "Forbidden", "ExpiredCredentials", "ClockSkewed"]) {
        77
    } else if says(&["NotFound"]) {
        78
    } else {
        65
    }
}

/// A walk that came to its end.
#[derive(Clone, Debug, Default)]
struct Walk {
    names: BTreeMap<String, BTreeSet<String>>,
    backward: bool,
    pages: Pages,
}

impl Walk {
    fn guests(&self) -> BTreeSet<&String> {
        self.names.keys().collect()
    }
}

/// Why a walk failed: its page and the reason.
type Failure = (u64, String);

/// One reading of the count history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Total {
    Listed(u64),
    NotListed,
    None,
}

struct Export<'a> {
    case: &'a Case,
    service: Service<'a>,
    asked: Asked,
}

impl<'a> Export<'a> {
    /// Sends a request until it is answered or there is a reason to stop.
    fn request<T>(&mut self, mut attempt: impl FnMut(&mut Service<'a>) -> Reply<T>) -> Result<T, String> {
        let (mut failures, mut mended, mut again) = (0, false, false);
        loop {
            self.asked.requests += 1;
            self.asked.retries += u64::from(std::mem::replace(&mut again, true));
            match attempt(&mut self.service) {
                Reply::Answer(answer) => return Ok(answer),
                Reply::Throttled => self.asked.throttled += 1,
                Reply::TooLate => {
                    self.asked.throttled += 1;
                    return Err("DeadlineReached".to_owned());
                }
                Reply::Transient(name) => {
                    failures += 1;
                    if failures == ATTEMPTS {
                        return Err(format!("GaveUp {name}"));
                    }
                }
                Reply::Mendable { mends, .. } if mends && !mended => mended = true,
                Reply::Mendable { name, .. } | Reply::Permanent(name) => return Err(name.to_owned()),
            }
        }
    }

    fn total(&mut self) -> Result<Total, String> {
        if period().start() < self.case.as_of - chrono::TimeDelta::days(90) {
            return Ok(Total::None);
        }
        match self.request(Service::history) {
            Ok(Some(count)) => Ok(Total::Listed(count)),
            Ok(None) => Ok(Total::NotListed),
            // Only what would stop a walk as well, or cannot be believed, stops here.
            Err(reason) => {
                let stops = [
                    "DeadlineReached",
                    "Unauthorized",
                    "ExpiredCredentials",
                    "ClockSkewed",
                    "Shape",
                    "TooLarge",
                ];
                if stops.iter().any(|name| reason.starts_with(name)) {
                    Err(format!("history: {reason}"))
                } else {
                    Ok(Total::None)
                }
            }
        }
    }

    fn walk(&mut self, spelling: PeriodSpelling, backward: bool) -> Result<Walk, Failure> {
        let mut walk = Walk { backward, ..Walk::default() };
        let mut tokens: HashSet<Token> = HashSet::new();
        let mut next: Option<Token> = None;
        let mut page_before: BTreeSet<String> = BTreeSet::new();
        let mut stale = 0;
        for number in 1.. {
            let failed = |reason: &str| (number, reason.to_owned());
            let token = next.take();
            let page = self
                .request(|service| service.page(spelling, backward, token.as_ref()))
                .map_err(|reason| (number, reason))?;
            if let Some((row, defect)) = page.defect {
                return Err((number, format!("Shape {defect} row {row}")));
            }
            if page.next.as_ref().is_some_and(|token| !tokens.insert(token.clone())) {
                return Err(failed("RepeatedToken"));
            }
            let known = walk.names.len();
            let of_page_before = page.rows.iter().filter(|(hash, _)| page_before.contains(hash)).count();
            walk.pages.edge_repeats += of_page_before as u64;
            walk.pages.rows += page.rows.len() as u64;
            walk.pages.count = number;
            if !page.rows.is_empty() {
                page_before = page.rows.iter().map(|(hash, _)| hash.clone()).collect();
            }
            for (hash, name) in page.rows {
                walk.names.entry(hash).or_default().insert(name);
            }
            stale = if walk.names.len() > known { 0 } else { stale + 1 };
            if stale >= 1000 && page.next.is_some() {
                return Err(failed("NoProgress"));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        walk.pages.duplicates = walk.pages.rows - walk.names.len() as u64;
        Ok(walk)
    }

    /// Walks in the spelling that is understood: an empty answer and a refused question are asked once more.
    fn first_walk(&mut self) -> Result<(Walk, PeriodSpelling), Failure> {
        let other = match self.case.asked {
            PeriodSpelling::Hyphen => PeriodSpelling::Underscore,
            PeriodSpelling::Underscore => PeriodSpelling::Hyphen,
        };
        let refused =
            |failure: &Failure| failure.0 == 1 && ["Validation", "BadRequest"].contains(&&*failure.1);
        let first = self.walk(self.case.asked, false);
        let in_doubt = match &first {
            Ok(walk) => walk.names.is_empty(),
            Err(failure) => refused(failure),
        };
        if !in_doubt {
            return first.map(|walk| (walk, self.case.asked));
        }
        match self.walk(other, false) {
            Ok(walk) if !walk.names.is_empty() || first.is_err() => Ok((walk, other)),
            Ok(_) => first.map(|walk| (walk, self.case.asked)),
            Err(failure) if refused(&failure) => first.map(|walk| (walk, self.case.asked)),
            Err(failure) => Err(failure),
        }
    }

    fn confirm(&mut self) -> Result<Publication, String> {
        let located = |backward: bool| {
            let direction = if backward { "backward" } else { "forward" };
            move |(page, reason): Failure| format!("{direction} walk, page {page}: {reason}")
        };
        let ended = self.case.as_of >= period().end();
        let mut before = self.total()?;
        let (first, spelling) = self.first_walk().map_err(located(false))?;
        let mut walks = vec![first];
        loop {
            let after = self.total()?;
            let last = walks.last().expect("one at least");
            let guests = last.names.len() as u64;
            let number = |total| match total {
                Total::Listed(count) => Some(count),
                Total::NotListed if guests == 0 => Some(0),
                Total::NotListed | Total::None => None,
            };
            let (told_before, told_after) = (number(before), number(after));
            let agreed_twice = walks.len() > 1 && walks[walks.len() - 2].guests() == last.guests();
            let confirmed_by = if told_before == told_after && told_after == Some(guests) {
                Some("control_total")
            } else if !ended {
                None
            } else if agreed_twice && guests > 0 {
                Some("second_walk")
            } else if agreed_twice && self.case.zero_accepted {
                Some("accepted_zero")
            } else if agreed_twice {
                return Err("UnconfirmedZero".to_owned());
            } else if walks.len() == 2 * self.case.walk_attempts as usize {
                let found: Vec<usize> = walks.iter().map(|walk| walk.names.len()).collect();
                return Err(format!("WalksDiffer {found:?}"));
            } else {
                let backward = walks.len() % 2 == 1;
                before = after;
                walks.push(self.walk(spelling, backward).map_err(located(backward))?);
                continue;
            };
            let stable = match confirmed_by {
                None => told_before.is_some() && told_before == told_after,
                Some("control_total") => true,
                Some(_) => told_before.is_none() || told_before == told_after,
            };
            let reconciliation = match told_after {
                None => "unavailable",
                Some(count) if count == guests => "match",
                Some(_) => "mismatch",
            };
            let evidence = Evidence { confirmed_by, reconciliation, api_guests: told_after, stable };
            return Ok(self.publication(&walks, evidence));
        }
    }

    /// Publishes the forward one of two walks that agree, so that it does not matter how many were needed.
    fn publication(&self, walks: &[Walk], evidence: Evidence) -> Publication {
        let last = walks.last().expect("one at least");
        let before_last = walks.len().checked_sub(2).map(|index| &walks[index]);
        let kept = before_last
            .filter(|walk| last.backward && !walk.backward && walk.guests() == last.guests())
            .unwrap_or(last);
        let smaller = |names: &BTreeSet<String>| names.first().expect("one at least").clone();
        let guests: BTreeMap<String, String> =
            kept.names.iter().map(|(hash, names)| (hash.clone(), smaller(names))).collect();
        let as_of = self.case.as_of;
        Publication {
            state: if as_of < period().end() {
                "open"
            } else if as_of < period().end() + chrono::TimeDelta::days(3) {
                "settling"
            } else {
                "closed"
            },
            confirmed_by: evidence.confirmed_by,
            reconciliation: evidence.reconciliation,
            api_guests: evidence.api_guests,
            stable: evidence.stable,
            direction: if kept.backward { "backward" } else { "forward" },
            walks: u32::try_from(walks.len()).expect("few"),
            username_conflicts: kept.names.values().filter(|names| names.len() > 1).count() as u64,
            empty_usernames: guests.values().filter(|name| name.is_empty()).count() as u64,
            pages: kept.pages,
            guests,
        }
    }
}

/// What a number rests on.
#[derive(Clone, Copy)]
struct Evidence {
    confirmed_by: Option<&'static str>,
    reconciliation: &'static str,
    api_guests: Option<u64>,
    stable: bool,
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
