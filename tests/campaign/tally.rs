//! How often each fault struck and each outcome came about; a campaign that misses one proves less than it says.

use std::collections::BTreeMap;
use std::fmt;

use wickr_guest_export::simulator::{Change, FaultKind, PagingMode};

use crate::model::{Found, Outcome};
use crate::schedule::{Campaign, Case, DIFFERENCES, Damage, FAR_TOO_LATE, Manner, Mode, Overlap};
use crate::trial::Trial;

/// What a campaign has met.
pub(crate) struct Tally {
    campaign: Campaign,
    cases: u64,
    faults: BTreeMap<String, u64>,
    outcomes: BTreeMap<String, u64>,
    circumstances: BTreeMap<String, u64>,
    courses: BTreeMap<String, u64>,
    damage: BTreeMap<String, u64>,
    never_was: BTreeMap<String, u64>,
}

/// The kinds that must strike at least once: all that there are.
const FAULTS: [&str; 41] = [
    "Throttled",
    "ThrottledForSeconds",
    "ThrottledForSeconds past the deadline",
    "ThrottledUntilDate",
    "ThrottledForMilliseconds",
    "InternalServerError",
    "BadGateway",
    "ServiceUnavailable",
    "GatewayTimeout",
    "ConnectionReset",
    "TruncatedBody",
    "Stall",
    "StallMidBody",
    "Garbage",
    "HtmlPage",
    "WrongShape",
    "Padded",
    "Padded too large",
    "Redirect",
    "EmptyPage",
    "RepeatedPage",
    "TokenLoop of 1",
    "TokenLoop of 2",
    "TokenLoop of 3",
    "ForeignPeriodRow",
    "UnreadablePeriodRow",
    "MissingUsernameHash",
    "NullUsernameHash",
    "EmptyUsernameHash",
    "MissingUsername",
    "MissingBillingPeriod",
    "RejectedToken",
    "BadRequest",
    "Unauthorized",
    "PaymentRequired",
    "Forbidden",
    "AccessDenied",
    "ExpiredToken",
    "ClockSkew",
    "NotFound",
    "ValidationError",
];

/// What a standing list must come to at least once, where the reason names neither page nor row.
const STANDING: [&str; 34] = [
    "published from the converge walk",
    "published open, confirmed by control_total",
    "published open, confirmed by nothing",
    "published settling, confirmed by control_total",
    "published settling, confirmed by second_walk",
    "published closed, confirmed by control_total",
    "published closed, confirmed by second_walk",
    "published closed, confirmed by accepted_zero",
    "reconciliation match",
    "reconciliation mismatch",
    "reconciliation unavailable",
    "refused 65 forward RepeatedToken",
    "refused 65 forward NoProgress",
    "refused 65 forward Shape ForeignPeriod",
    "refused 65 forward Shape MissingField usernameHash",
    "refused 65 forward Shape BadText usernameHash",
    "refused 65 forward Shape MissingField username",
    "refused 65 forward Shape MissingField billingPeriod",
    "refused 65 forward Shape Answer",
    "refused 65 forward TooLarge",
    "refused 65 forward BadRequest",
    "refused 65 forward Validation",
    "refused 65 forward Unexpected 302",
    "refused 65 forward Unexpected 402",
    "refused 65 forward GaveUp Unreadable",
    "refused 75 forward GaveUp Internal 500",
    "refused 75 forward GaveUp Transport Broken",
    "refused 75 forward DeadlineReached",
    "refused 77 forward Unauthorized",
    "refused 77 forward Forbidden",
    "refused 77 forward ExpiredCredentials",
    "refused 77 forward ClockSkewed",
    "refused 78 forward NotFound",
    "refused 65 UnconfirmedZero",
];

/// What a moving list must come to at least once.
const MOVING: [&str; 10] = [
    "published from the converge walk",
    "published open, confirmed by nothing",
    "published open, confirmed by control_total",
    "published closed, confirmed by control_total",
    "published closed, confirmed by second_walk",
    "published after 3 walks",
    "published after 4 walks",
    "published from the backward walk",
    "refused 65 WalksDiffer",
    "refused 65 UnconfirmedZero",
];

/// Where each manner of interruption must have struck.
const PLACES: [&str; 6] = [
    "while the count is read before the first walk",
    "while the count is read after a walk",
    "before the first walk",
    "between two walks",
    "within the first walk",
    "within a later walk",
];

/// What else must have become of processes.
const PROCESSES: [&str; 8] = [
    "killed at the end of a walk",
    "told to stop at the end of a walk",
    "killed, something kept",
    "killed, nothing kept",
    "told to stop, something kept",
    "out of time, something kept",
    "resumed and published",
    "refused, and something kept",
];

/// What must have become of damage.
const DAMAGE: [&str; 20] = [
    "CursorByteFlipped, discarded",
    "CursorCut, discarded",
    "CursorRemoved, discarded",
    "CursorOfAnotherTask, discarded",
    "CursorOfAnotherVersion, discarded",
    "CursorContradictsItself, discarded",
    "RunByteFlipped, discarded",
    "RunCut, discarded",
    "RunLengthened, discarded",
    "RunRemoved, discarded",
    "RunExchanged, discarded",
    "OlderCursorWithoutRun, discarded",
    "OlderState, gone on from all the same",
    "StrayRun, gone on from all the same",
    "TimePasses, discarded",
    "TimePasses, gone on from all the same",
    "WasOf, discarded",
    "WasAnotherDay, discarded",
    "WasAnotherDay, gone on from all the same",
    "an old token refused, walked anew",
];

const EVERYWHERE: [&str; 15] = [
    "full",
    "pseudonymous",
    "none",
    "offset paging",
    "keyset paging",
    "one-row overlap",
    "clock skewed",
    "username conflicts",
    "empty usernames",
    "pages of a few rows",
    "pages of some rows",
    "full pages",
    "a run of every page",
    "a run of several pages",
    "all in memory",
];

impl Tally {
    pub(crate) fn new(campaign: Campaign) -> Self {
        Self {
            campaign,
            cases: 0,
            faults: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            circumstances: BTreeMap::new(),
            courses: BTreeMap::new(),
            damage: BTreeMap::new(),
            never_was: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, case: &Case, trial: &Trial) {
        self.cases += 1;
        for (kind, times) in &trial.struck {
            *self.faults.entry(fault_name(*kind)).or_default() += times;
        }
        for (_, change) in &case.changes {
            let name = match change {
                Change::Arrive { .. } => "arrivals planned",
                Change::Leave { .. } => "departures planned",
            };
            count(&mut self.circumstances, name);
        }
        self.add_circumstances(case, trial);
        self.add_courses(case, trial);
        match trial.prophecy.outcome() {
            Outcome::Published(it) => {
                let by = it.confirmed_by.unwrap_or("nothing");
                count(&mut self.outcomes, &format!("published {}, confirmed by {by}", it.state));
                count(&mut self.outcomes, &format!("published after {} walks", it.walks));
                count(&mut self.outcomes, &format!("published from the {} walk", it.strategy));
                count(&mut self.outcomes, &format!("reconciliation {}", it.reconciliation));
                if trial.never_was {
                    let zero = if it.guests.is_empty() { "empty, " } else { "" };
                    count(&mut self.never_was, &format!("{zero}{}, confirmed by {by}", it.state));
                }
                if it.username_conflicts > 0 {
                    count(&mut self.circumstances, "username conflicts");
                }
                if it.empty_usernames > 0 {
                    count(&mut self.circumstances, "empty usernames");
                }
            }
            Outcome::Killed => unreachable!("another process follows"),
            Outcome::Refused(refusal) => {
                let code = refusal.exit_code;
                count(&mut self.outcomes, &format!("refused {code} {}", placeless(&refusal.reason)));
                for place in ["history", "backward walk"] {
                    if refusal.reason.starts_with(place) {
                        count(&mut self.circumstances, &format!("refused in the {place}"));
                    }
                }
            }
        }
    }

    /// Counts what befell each process.
    fn add_courses(&mut self, case: &Case, trial: &Trial) {
        let courses = &trial.prophecy.courses;
        count(&mut self.courses, &format!("{} processes", courses.len().min(6)));
        for (number, course) in courses.iter().enumerate() {
            if course.interrupted {
                let interruption = case.interruptions[number];
                let manner = match interruption.manner {
                    Manner::Killed => "killed",
                    Manner::Stopped => "told to stop",
                    Manner::OutOfTime => "out of time",
                };
                let place = course.trace.last().expect("an attempt that was interrupted").label();
                count(&mut self.courses, &format!("{manner} {place}"));
                let kept = if course.leaves { "something" } else { "nothing" };
                count(&mut self.courses, &format!("{manner}, {kept} kept"));
            } else if course.leaves {
                count(&mut self.courses, "refused, and something kept");
            }
            let followed = number + 1 < courses.len();
            if let Some(damage) = case.damage_after(number).filter(|_| followed && course.leaves) {
                let next = &courses[number + 1];
                let effect = match next.found {
                    Found::Unusable => "discarded",
                    Found::Usable => "gone on from all the same",
                    Found::Nothing => "left alone",
                };
                let name = format!("{damage:?}");
                let name = name.split('(').next().unwrap_or(&name).to_owned();
                count(&mut self.damage, &format!("{name}, {effect}"));
                if let Damage::WasOf(difference) = damage {
                    count(&mut self.damage, &format!("another {difference:?}"));
                }
            }
            if course.found == Found::Usable && matches!(course.outcome, Outcome::Published(_)) {
                count(&mut self.courses, "resumed and published");
            }
            if course.walked_anew {
                count(&mut self.damage, "an old token refused, walked anew");
            }
        }
    }

    fn add_circumstances(&mut self, case: &Case, trial: &Trial) {
        let mode = match case.mode {
            Mode::Full => "full",
            Mode::Pseudonymous => "pseudonymous",
            Mode::CountsOnly => "none",
        };
        let paging = match case.paging {
            PagingMode::Offset => "offset paging",
            PagingMode::Keyset => "keyset paging",
        };
        let overlap = match case.overlap {
            Overlap::Never => "no overlap",
            Overlap::OneRow => "one-row overlap",
            Overlap::Some { .. } => "random overlap",
        };
        let page_size = match case.page_size {
            1..5 => "pages of a few rows",
            100 => "full pages",
            _ => "pages of some rows",
        };
        let bound = match case.bound.rows.min(u32::try_from(case.bound.bytes / 64).unwrap_or(u32::MAX)) {
            bound if bound <= case.page_size.into() => "a run of every page",
            u32::MAX => "all in memory",
            _ => "a run of several pages",
        };
        for name in [mode, paging, overlap, page_size, bound] {
            count(&mut self.circumstances, name);
        }
        if trial.prophecy.moments.len() > 1 {
            count(&mut self.circumstances, "changes while the list was walked");
        }
        if case.must_be_published() {
            count(&mut self.circumstances, "recoverable plans, all published");
        }
        if case.must_be_refused() {
            count(&mut self.circumstances, "plans without a way out, all refused");
        }
        if case.server_clock_ahead != 0 {
            count(&mut self.circumstances, "clock skewed");
        }
    }

    /// Lists what should have been met and was not.
    pub(crate) fn missing(&self) -> Vec<String> {
        let met =
            |counts: &BTreeMap<String, u64>, name: &str| counts.get(name).is_some_and(|times| *times > 0);
        let lacks = |counts: &BTreeMap<String, u64>, names: &[&'static str]| {
            names.iter().filter(|name| !met(counts, name)).map(|name| (*name).to_owned()).collect::<Vec<_>>()
        };
        let mut missing = lacks(&self.circumstances, &EVERYWHERE);
        missing.extend(lacks(&self.courses, &PROCESSES));
        missing.extend(lacks(&self.damage, &DAMAGE));
        for manner in ["killed", "told to stop", "out of time"] {
            let places = PLACES.map(|place| format!("{manner} {place}"));
            missing.extend(places.into_iter().filter(|place| !met(&self.courses, place)));
        }
        for difference in DIFFERENCES {
            let name = format!("another {difference:?}");
            missing.extend((!met(&self.damage, &name)).then_some(name));
        }
        match self.campaign {
            Campaign::Standing => {
                missing.extend(lacks(&self.faults, &FAULTS));
                missing.extend(lacks(&self.outcomes, &STANDING));
                missing.extend(lacks(
                    &self.circumstances,
                    &["random overlap", "refused in the history", "refused in the backward walk"],
                ));
            }
            Campaign::Moving => {
                missing.extend(lacks(&self.outcomes, &MOVING));
                missing.extend(lacks(
                    &self.circumstances,
                    &["arrivals planned", "departures planned", "changes while the list was walked"],
                ));
            }
        }
        missing
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    *counts.entry(name.to_owned()).or_default() += 1;
}

fn fault_name(kind: FaultKind) -> String {
    match kind {
        FaultKind::ThrottledForSeconds(FAR_TOO_LATE) => "ThrottledForSeconds past the deadline".to_owned(),
        FaultKind::TokenLoop(length) => format!("TokenLoop of {length}"),
        FaultKind::Padded(bytes) if bytes > 1_000_000 => "Padded too large".to_owned(),
        other => {
            let name = format!("{other:?}");
            name.split('(').next().unwrap_or(&name).to_owned()
        }
    }
}

/// Takes page and row out of a reason, and the numbers of walks that differ.
fn placeless(reason: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut parts = reason.split([' ', ':', ',']).filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        match part {
            "walk" => {}
            "page" | "row" => drop(parts.next()),
            _ if part.starts_with('[') => break,
            _ => words.push(part),
        }
    }
    words.join(" ")
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:?}: {} cases held", self.campaign, self.cases)?;
        let groups = [
            ("faults that struck", &self.faults),
            ("outcomes", &self.outcomes),
            ("circumstances", &self.circumstances),
            ("processes", &self.courses),
            ("damage to what was kept", &self.damage),
            ("published as foretold, though the list as a whole never was that", &self.never_was),
        ];
        for (title, counts) in groups.into_iter().filter(|(_, counts)| !counts.is_empty()) {
            writeln!(formatter, "  {title}")?;
            for (name, times) in counts {
                writeln!(formatter, "    {times:>7}  {name}")?;
            }
        }
        Ok(())
    }
}
