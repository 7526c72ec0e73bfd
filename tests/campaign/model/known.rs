//! What is known of a number, and what it amounts to.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::Publication;
use super::walk::Walk;
use crate::schedule::Case;

/// One reading of the count history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Total {
    Listed(u64),
    NotListed,
    None,
}

/// What is known of the number so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) state: &'static str,
    pub(super) totals: Vec<Total>,
    pub(super) walks: Vec<Walk>,
    /// How far the clock had moved when the last of them ended.
    pub(super) ended_at: TimeDelta,
}

impl Known {
    /// Judges the walks so far, if there are any: publishes, refuses, or wants another one.
    pub(super) fn judge(&self, case: &Case) -> Result<Option<Publication>, String> {
        let Self { state, totals, walks, .. } = self;
        let Some(last) = walks.last() else { return Ok(None) };
        let guests = last.names.len() as u64;
        let number = |total| match total {
            Total::Listed(count) => Some(count),
            Total::NotListed if guests == 0 => Some(0),
            Total::NotListed | Total::None => None,
        };
        let (told_before, told_after) = (number(totals[walks.len() - 1]), number(totals[walks.len()]));
        let converged = walks.iter().filter(|walk| walk.converged).count();
        let agreed_twice = walks.len() > 1 && {
            let before = &walks[walks.len() - 2];
            before.guests() == last.guests() && !before.converged && !last.converged
        };
        let confirmed_by = if told_before == told_after && told_after == Some(guests) {
            Some("control_total")
        } else if *state == "open" {
            None
        } else if agreed_twice && guests > 0 {
            Some("second_walk")
        } else if agreed_twice && case.zero_accepted {
            Some("accepted_zero")
        } else if agreed_twice {
            return Err("UnconfirmedZero".to_owned());
        } else if walks.len() == 2 * case.walk_attempts as usize + converged {
            let found: Vec<usize> = walks.iter().map(|walk| walk.names.len()).collect();
            return Err(format!("WalksDiffer {found:?}"));
        } else {
            return Ok(None);
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
        Ok(Some(publication(self, evidence)))
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

/// Publishes the forward one of two walks that agree, so that it does not matter how many were needed.
fn publication(known: &Known, evidence: Evidence) -> Publication {
    let walks = &known.walks;
    let last = walks.last().expect("one at least");
    let before_last = walks.len().checked_sub(2).map(|index| &walks[index]);
    let kept = before_last
        .filter(|walk| last.backward && !walk.backward && walk.guests() == last.guests())
        .unwrap_or(last);
    let smaller = |names: &BTreeSet<String>| names.first().expect("one at least").clone();
    let guests: BTreeMap<String, String> =
        kept.names.iter().map(|(hash, names)| (hash.clone(), smaller(names))).collect();
    Publication {
        state: known.state,
        confirmed_by: evidence.confirmed_by,
        reconciliation: evidence.reconciliation,
        api_guests: evidence.api_guests,
        stable: evidence.stable,
        strategy: match (kept.converged, kept.backward) {
            (true, _) => "converge",
            (false, true) => "backward",
            (false, false) => "forward",
        },
        walks: u32::try_from(walks.len()).expect("few"),
        username_conflicts: kept.names.values().filter(|names| names.len() > 1).count() as u64,
        empty_usernames: guests.values().filter(|name| name.is_empty()).count() as u64,
        pages: kept.pages,
        guests,
    }
}
