//! How often each fault struck and each outcome came about; a campaign that misses one proves less than it says.

use std::collections::BTreeMap;
use std::fmt;

use wickr_guest_export::simulator::{Change, FaultKind, PagingMode};

use crate::model::Outcome;
use crate::plan::{Campaign, Case, FAR_TOO_LATE, Mode, Overlap};
use crate::trial::Trial;

/// What a campaign has met.
pub(crate) struct Tally {
    campaign: Campaign,
    cases: u64,
    faults: BTreeMap<String, u64>,
    outcomes: BTreeMap<String, u64>,
    circumstances: BTreeMap<String, u64>,
    never_was: BTreeMap<String, u64>,
}

/// The kinds that must strike at least once: all that there are.
const FAULTS: [&str; 40] = [
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
];

/// What a standing list must come to at least once, where the reason names neither page nor row.
const STANDING: [&str; 33] = [
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
const MOVING: [&str; 9] = [
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

const EVERYWHERE: [&str; 9] = [
    "full",
    "pseudonymous",
    "none",
    "offset paging",
    "keyset paging",
    "one-row overlap",
    "clock skewed",
    "username conflicts",
    "empty usernames",
];

impl Tally {
    pub(crate) fn new(campaign: Campaign) -> Self {
        Self {
            campaign,
            cases: 0,
            faults: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            circumstances: BTreeMap::new(),
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
        self.add_circumstances(case);
        match &trial.outcome {
            Outcome::Published(it) => {
                let by = it.confirmed_by.unwrap_or("nothing");
                count(&mut self.outcomes, &format!("published {}, confirmed by {by}", it.state));
                count(&mut self.outcomes, &format!("published after {} walks", it.walks));
                count(&mut self.outcomes, &format!("published from the {} walk", it.direction));
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

    fn add_circumstances(&mut self, case: &Case) {
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
        for name in [mode, paging, overlap] {
            count(&mut self.circumstances, name);
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
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let met =
            |counts: &BTreeMap<String, u64>, name: &str| counts.get(name).is_some_and(|times| *times > 0);
        let lacks = |counts: &BTreeMap<String, u64>, names: &[&'static str]| {
            names.iter().copied().filter(|name| !met(counts, name)).collect::<Vec<_>>()
        };
        let mut missing = lacks(&self.circumstances, &EVERYWHERE);
        match self.campaign {
            Campaign::Standing => {
                missing.extend(lacks(&self.faults, &FAULTS));
                missing.extend(lacks(&self.faults, &["ValidationError"]));
                missing.extend(lacks(&self.outcomes, &STANDING));
                missing.extend(lacks(
                    &self.circumstances,
                    &["random overlap", "refused in the history", "refused in the backward walk"],
                ));
            }
            Campaign::Moving => {
                missing.extend(lacks(&self.outcomes, &MOVING));
                missing.extend(lacks(&self.circumstances, &["arrivals planned", "departures planned"]));
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
