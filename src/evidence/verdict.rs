//! The judgement: from what was walked and what the service counts, may the number be published?
//!
//! A page boundary can shift while pages are read: an arrival repeats a row, a departure skips one without a
//! trace. So the number of a period that has ended is confirmed twice, by the service's own count before and
//! after the walk or by a second full walk in the other direction. The count alone, without having stood still,
//! confirms nothing.

use serde::{Deserialize, Serialize};

use super::control_total::ControlTotal;

/// What the service's own count says of the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reconciliation {
    /// It is the same number.
    Match,
    /// It is another number.
    Mismatch,
    /// There is none for the period.
    Unavailable,
}

impl Reconciliation {
    /// Returns the word used in manifests, tables and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Mismatch => "mismatch",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What confirmed the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmedBy {
    /// The service's own count, before and after the walk.
    ControlTotal,
    /// A second full walk in the other direction.
    SecondWalk,
    /// The user, who said that zero is right.
    AcceptedZero,
}

impl ConfirmedBy {
    /// Returns the word used in manifests, tables and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ControlTotal => "control_total",
            Self::SecondWalk => "second_walk",
            Self::AcceptedZero => "accepted_zero",
        }
    }
}

/// What one full walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkFacts {
    /// Distinct guests.
    pub guests: u64,
    /// Whether they are the guests that the walk before it found, in the other direction.
    pub same_as_before: bool,
    /// Whether it was two walks that met.
    pub converged: bool,
}

/// All that is known when a walk has ended.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Whether the period had ended when the first page was asked.
    pub has_ended: bool,
    /// Whether the user vouches for an empty roster.
    pub zero_accepted: bool,
    /// The walks so far, each in the other direction than the one before.
    pub walks: &'a [WalkFacts],
    /// The count before the first walk and after each.
    pub totals: &'a [ControlTotal],
    /// The most walks that may be made.
    pub max_walks: usize,
}

/// Why a number was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No two walks in a row found the same guests.
    #[error(
        "{} walks found different guests ({}), and no control total agrees; run again when the list stands still",
        .guests.len(), listed(.guests)
    )]
    WalksDiffer {
        /// What each walk found.
        guests: Vec<u64>,
    },
    /// An ended period without guests, which nothing confirms.
    #[error(
        "the list is empty and the count history does not confirm that; if there were no guests, say so with \
         --accept-zero NETWORK/PERIOD"
    )]
    UnconfirmedZero,
}

fn listed(guests: &[u64]) -> String {
    guests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What the published number rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// What confirmed it; none for an open period that nothing confirmed.
    pub confirmed_by: Option<ConfirmedBy>,
    /// How the service's own count compares.
    pub reconciliation: Reconciliation,
    /// The service's own count, where there is one.
    pub api_guests: Option<u64>,
    /// Whether something showed that the list stood still while it was read.
    pub stable: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Publish the last walk.
    Publish(Confirmation),
    /// Walk again, in the other direction.
    WalkAgain,
    /// Publish nothing.
    Refuse(Refusal),
}

/// Judges the walks so far.
///
/// # Panics
/// If there is no walk yet, or not one reading of the count more than there are walks.
#[must_use]
pub fn judge(facts: &Facts<'_>) -> Verdict {
    assert_eq!(facts.totals.len(), facts.walks.len() + 1, "the count is read before and after every walk");
    let (before, after) = match facts.totals {
        [.., before, after] => (*before, *after),
        _ => unreachable!("one walk has two readings"),
    };
    let walk = facts.walks.last().expect("a walk to judge");
    let number = |total: ControlTotal| if walk.guests == 0 { total.count_or_absent() } else { total.count() };
    let stood_still = (number(before) == number(after)).then(|| number(after)).flatten();
    let moved = number(before).is_some() && number(before) != number(after);
    let same_twice = facts.walks.len() > 1 && walk.same_as_before;

    let api_guests = number(after);
    let reconciliation = match api_guests {
        None => Reconciliation::Unavailable,
        Some(count) if count == walk.guests => Reconciliation::Match,
        Some(_) => Reconciliation::Mismatch,
    };
    let publish = |confirmed_by, stable| {
        Verdict::Publish(Confirmation { confirmed_by, reconciliation, api_guests, stable })
    };
    if stood_still == Some(walk.guests) {
        return publish(Some(ConfirmedBy::ControlTotal), true);
    }
    if !facts.has_ended {
        return publish(None, stood_still.is_some());
    }
    if !same_twice {
        if facts.walks.len() < facts.max_walks {
            return Verdict::WalkAgain;
        }
        let guests = facts.walks.iter().map(|walk| walk.guests).collect();
        return Verdict::Refuse(Refusal::WalksDiffer { guests });
    }
    if walk.guests > 0 {
        publish(Some(ConfirmedBy::SecondWalk), !moved)
    } else if facts.zero_accepted {
        publish(Some(ConfirmedBy::AcceptedZero), !moved)
    } else {
        Verdict::Refuse(Refusal::UnconfirmedZero)
    }
}

#[cfg(test)]
mod tests {
    use super::ControlTotal::{Listed, NotCovered, NotListed, Unavailable};
    use super::*;

    const fn walk(guests: u64) -> WalkFacts {
        WalkFacts { guests, same_as_before: false, converged: false }
    }

    const fn again(guests: u64) -> WalkFacts {
        WalkFacts { guests, same_as_before: true, converged: false }
    }

    fn facts<'a>(walks: &'a [WalkFacts], totals: &'a [ControlTotal]) -> Facts<'a> {
        Facts { has_ended: true, zero_accepted: false, walks, totals, max_walks: 4 }
    }

    fn published(facts: &Facts<'_>) -> (Option<ConfirmedBy>, Reconciliation, Option<u64>, bool) {
        match judge(facts) {
            Verdict::Publish(it) => (it.confirmed_by, it.reconciliation, it.api_guests, it.stable),
            other => panic!("not published: {other:?}"),
        }
    }

    #[test]
    fn a_count_that_stood_still_and_agrees_confirms_one_walk() {
        let (walks, totals) = ([walk(5)], [Listed(5), Listed(5)]);
        let expected = (Some(ConfirmedBy::ControlTotal), Reconciliation::Match, Some(5), true);
        assert_eq!(published(&facts(&walks, &totals)), expected);
    }

    #[test]
    fn an_ended_period_is_never_published_on_one_walk_alone() {
        for totals in [
            [Listed(5), Listed(6)],
            [Listed(6), Listed(5)],
            [Listed(6), Listed(6)],
            [NotListed, NotListed],
            [NotCovered, NotCovered],
            [Unavailable, Listed(5)],
            [Listed(5), Unavailable],
        ] {
            assert_eq!(judge(&facts(&[walk(5)], &totals)), Verdict::WalkAgain, "{totals:?}");
        }
    }

    #[test]
    fn two_equal_walks_confirm_and_the_count_is_reported() {
        let walks = [walk(5), again(5)];
        let second = Some(ConfirmedBy::SecondWalk);
        for (totals, reconciliation, count, stable) in [
            ([NotCovered; 3], Reconciliation::Unavailable, None, true),
            ([Listed(7); 3], Reconciliation::Mismatch, Some(7), true),
            ([Listed(4), Listed(4), Listed(6)], Reconciliation::Mismatch, Some(6), false),
            ([Listed(4), Listed(4), Listed(5)], Reconciliation::Match, Some(5), false),
            ([NotListed; 3], Reconciliation::Unavailable, None, true),
        ] {
            assert_eq!(
                published(&facts(&walks, &totals)),
                (second, reconciliation, count, stable),
                "{totals:?}"
            );
        }
    }

    #[test]
    fn walks_that_differ_are_repeated_and_then_refused() {
        let walks = [walk(5), walk(6), walk(5), walk(5)];
        for made in 1..4 {
            let totals = vec![NotCovered; made + 1];
            assert_eq!(judge(&facts(&walks[..made], &totals)), Verdict::WalkAgain);
        }
        let refusal = Refusal::WalksDiffer { guests: vec![5, 6, 5, 5] };
        assert_eq!(judge(&facts(&walks, &[NotCovered; 5])), Verdict::Refuse(refusal));
    }

    #[test]
    fn the_first_walk_cannot_be_its_own_second() {
        assert_eq!(judge(&facts(&[again(5)], &[NotCovered; 2])), Verdict::WalkAgain);
    }

    #[test]
    fn a_later_walk_is_confirmed_by_the_count_around_it() {
        let (walks, totals) = ([walk(5), walk(6)], [Listed(5), Listed(6), Listed(6)]);
        assert_eq!(published(&facts(&walks, &totals)).0, Some(ConfirmedBy::ControlTotal));
    }

    #[test]
    fn zero_is_believed_only_with_the_history_or_the_user() {
        let empty = [walk(0), again(0)];
        for total in [Listed(0), NotListed] {
            let by_history = published(&facts(&empty[..1], &[total; 2]));
            assert_eq!(by_history, (Some(ConfirmedBy::ControlTotal), Reconciliation::Match, Some(0), true));
        }
        for total in [NotCovered, Unavailable, Listed(3)] {
            assert_eq!(judge(&facts(&empty[..1], &[total; 2])), Verdict::WalkAgain);
            assert_eq!(judge(&facts(&empty, &[total; 3])), Verdict::Refuse(Refusal::UnconfirmedZero));
            let totals = [total; 3];
            let accepted = Facts { zero_accepted: true, ..facts(&empty, &totals) };
            assert_eq!(published(&accepted).0, Some(ConfirmedBy::AcceptedZero), "{total:?}");
        }
    }

    #[test]
    fn an_open_period_is_published_as_walked_with_what_is_known() {
        for (totals, expected) in [
            ([Listed(5); 2], (Some(ConfirmedBy::ControlTotal), Reconciliation::Match, Some(5), true)),
            ([Listed(4); 2], (None, Reconciliation::Mismatch, Some(4), true)),
            ([Listed(4), Listed(5)], (None, Reconciliation::Match, Some(5), false)),
            ([Unavailable; 2], (None, Reconciliation::Unavailable, None, false)),
            ([NotListed; 2], (None, Reconciliation::Unavailable, None, false)),
        ] {
            let walks = [walk(5)];
            let open = Facts { has_ended: false, ..facts(&walks, &totals) };
            assert_eq!(published(&open), expected, "{totals:?}");
        }
    }
}
