//! What a manifest takes from a check that found the same roster again.
//!
//! An equal roster never loses evidence that it had: the count history reaches back 90 days, so a roster that
//! was confirmed by it would otherwise be downgraded by every later run. Evidence is taken or kept as a whole,
//! since a control total means nothing beside another walk's confirmation. One thing always replaces what is
//! known at the same state of the period: another answer of the service's own count, for better or worse; a
//! mismatch is news, and hiding it would make a wrong number look right.

use std::cmp::Ordering;

use chrono::SubsecRound;

use super::manifest::{Counts, Manifest};
use super::publication::Publication;
use crate::evidence::{ConfirmedBy, Reconciliation};
use crate::period::PeriodState;

/// Returns the manifest that a new check of an unchanged roster leaves.
pub(super) fn rechecked(published: &Manifest, found: &Publication) -> Manifest {
    let mut manifest = published.clone();
    manifest.checked_at = manifest.checked_at.max(found.checked_at.trunc_subsecs(0));
    let source = &mut manifest.source;
    source.aws_account_id = found.source.aws_account_id.clone().or(source.aws_account_id.take());
    source.network_name = found.source.network_name.clone().or(source.network_name.take());
    let supersedes =
        supersedes((found.period_state, &found.counts), (published.period_state, &published.counts));
    if supersedes {
        manifest.period_state = found.period_state;
        manifest.counts = found.counts.clone();
        // What the guard changed is a fact of the files, which stay.
        manifest.walk = found.walk.clone();
        manifest.walk.guarded_cells = published.walk.guarded_cells;
        manifest.source.endpoint.clone_from(&found.source.endpoint);
        manifest.source.region.clone_from(&found.source.region);
    }
    manifest
}

fn supersedes(found: (PeriodState, &Counts), known: (PeriodState, &Counts)) -> bool {
    match strength(found).cmp(&strength(known)) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => {
            found.1.reconciliation != known.1.reconciliation
                || confirmation(found.1.confirmed_by) >= confirmation(known.1.confirmed_by)
        }
    }
}

/// Returns what an equal roster's evidence never falls below.
pub(super) fn strength((state, counts): (PeriodState, &Counts)) -> (PeriodState, bool, bool) {
    (state, counts.confirmed_by.is_some(), counts.reconciliation != Reconciliation::Unavailable)
}

const fn confirmation(confirmed_by: Option<ConfirmedBy>) -> u8 {
    match confirmed_by {
        None => 0,
        Some(ConfirmedBy::AcceptedZero) => 1,
        Some(ConfirmedBy::SecondWalk) => 2,
        Some(ConfirmedBy::ControlTotal) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(
        api_guests: Option<u64>,
        reconciliation: Reconciliation,
        confirmed_by: Option<ConfirmedBy>,
    ) -> Counts {
        Counts { guests: 10, api_guests, reconciliation, confirmed_by }
    }

    #[test]
    fn evidence_is_replaced_only_by_evidence_that_is_as_good() {
        let control = || counts(Some(10), Reconciliation::Match, Some(ConfirmedBy::ControlTotal));
        let second = || counts(None, Reconciliation::Unavailable, Some(ConfirmedBy::SecondWalk));
        let mismatch = || counts(Some(11), Reconciliation::Mismatch, Some(ConfirmedBy::SecondWalk));
        let walked = || counts(None, Reconciliation::Unavailable, None);
        let matched_twice = || counts(Some(10), Reconciliation::Match, Some(ConfirmedBy::SecondWalk));
        let (open, settling, closed) = (PeriodState::Open, PeriodState::Settling, PeriodState::Closed);
        for (found, known, taken) in [
            ((closed, control()), (closed, control()), true),
            ((closed, second()), (closed, control()), false),
            ((closed, second()), (closed, mismatch()), false),
            ((closed, control()), (closed, second()), true),
            ((closed, mismatch()), (closed, second()), true),
            ((closed, control()), (closed, mismatch()), true),
            ((closed, mismatch()), (closed, control()), true),
            ((closed, matched_twice()), (closed, control()), false),
            ((closed, second()), (settling, control()), true),
            ((settling, second()), (open, control()), true),
            ((open, control()), (closed, second()), false),
            ((open, walked()), (open, control()), false),
            ((open, walked()), (open, walked()), true),
            ((open, second()), (open, walked()), true),
        ] {
            let text = format!("{found:?} after {known:?}");
            assert_eq!(supersedes((found.0, &found.1), (known.0, &known.1)), taken, "{text}");
        }
    }
}
