//! Where a walk stands, in a form that another process can go on from.
//!
//! It is complete: the next request, everything that the pages before it are held against, and the runs that hold
//! their rows. A row that is in no run yet is not counted in it, because a position is only ever written down
//! after the runs that it lists.

use serde::{Deserialize, Serialize};

use super::{Direction, MAX_PAGES, Meeting, PageGuard};
use crate::guest::PageToken;
use crate::period::PeriodSpelling;
use crate::roster::{FingerprintKey, MERGE_FAN_IN, RunRecord};
use crate::wickr::MAX_PAGE_ROWS;

/// The page that a walk asks for next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Next {
    /// The first.
    First,
    /// The one that this leads to.
    Token(PageToken),
    /// None: the list has ended.
    End,
}

/// Where a walk stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkPosition {
    /// Where the walk began.
    pub direction: Direction,
    /// How the period is written in its requests.
    pub spelling: PeriodSpelling,
    /// Pages read.
    pub pages: u64,
    /// Rows read.
    pub rows: u64,
    /// Rows that repeated a row of the page before.
    pub edge_repeats: u64,
    /// Of two walks that met, and are one now: how many of the rows both have read.
    pub overlap: Option<u64>,
    pub(super) next: Next,
    pub(super) fingerprint_key: FingerprintKey,
    pub(super) guard: PageGuard,
    /// The runs that hold what was read.
    pub runs: Vec<RunRecord>,
}

impl WalkPosition {
    pub(super) fn before_the_first_page(direction: Direction, spelling: PeriodSpelling) -> Self {
        Self {
            direction,
            spelling,
            pages: 0,
            rows: 0,
            edge_repeats: 0,
            overlap: None,
            next: Next::First,
            fingerprint_key: FingerprintKey::random(),
            guard: PageGuard::default(),
            runs: Vec::new(),
        }
    }

    /// Says whether a walk could stand there. What a cursor says is added up and counted on from, so it is bounded.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let kept = self.runs.iter().try_fold(0_u64, |sum, run| sum.checked_add(run.rows));
        (self.next == Next::First) == (self.pages == 0)
            && self.pages <= MAX_PAGES as u64
            && self.rows <= self.pages * MAX_PAGE_ROWS as u64
            && (self.rows > 0) != self.runs.is_empty()
            && self.edge_repeats <= self.rows
            && self.overlap.is_none_or(|overlap| overlap <= self.rows)
            && self.runs.len() <= 2 * MERGE_FAN_IN + 1
            && kept.is_some_and(|kept| kept <= self.rows)
    }

    /// Says whether the list has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.next == Next::End
    }

    /// Counts the rows of the list that were read, those that two walks have both read once.
    #[must_use]
    pub const fn rows_of_the_list(&self) -> u64 {
        match self.overlap {
            Some(overlap) => self.rows.saturating_sub(overlap),
            None => self.rows,
        }
    }

    /// Returns the word that manifests use for the way of walking.
    #[must_use]
    pub const fn strategy(&self) -> &'static str {
        if self.overlap.is_some() { "converge" } else { self.direction.as_str() }
    }
}

/// Where the walks of a round stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoundPosition {
    /// One walk.
    Alone(WalkPosition),
    /// Two that confirm each other, forward and backward.
    Both(WalkPosition, WalkPosition),
    /// Two that go towards each other, forward and backward. Where they stand towards each other is told by usernames;
    /// those of a roster that keeps none are not written down, and from there the forward one goes on alone.
    Converging(WalkPosition, WalkPosition, Option<Meeting>),
}

impl RoundPosition {
    /// Lists the walks, the forward one first.
    pub fn walks(&self) -> impl Iterator<Item = &WalkPosition> {
        let (first, second) = match self {
            Self::Alone(walk) => (walk, None),
            Self::Both(forward, backward) | Self::Converging(forward, backward, _) => {
                (forward, Some(backward))
            }
        };
        std::iter::once(first).chain(second)
    }

    /// Says whether a round could stand there.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let directed = match self {
            Self::Alone(_) => true,
            Self::Both(forward, backward) | Self::Converging(forward, backward, _) => {
                forward.direction == Direction::Forward && backward.direction == Direction::Backward
            }
        };
        let met = match self {
            Self::Alone(_) | Self::Both(..) => true,
            Self::Converging(_, _, meeting) => meeting.as_ref().is_none_or(Meeting::is_possible),
        };
        directed && met && self.walks().all(|walk| walk.is_possible() && walk.overlap.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FileDigest;

    #[test]
    fn a_position_where_no_walk_could_stand_is_told() {
        let run = |rows| RunRecord { sha256: FileDigest::of(b""), rows, bytes: 1 };
        let first = WalkPosition::before_the_first_page(Direction::Forward, PeriodSpelling::Hyphen);
        let ended =
            WalkPosition { pages: 2, rows: 150, next: Next::End, runs: vec![run(150)], ..first.clone() };
        assert!(first.is_possible() && ended.is_possible());
        for impossible in [
            WalkPosition { pages: 1, ..first.clone() },
            WalkPosition { next: Next::End, ..first },
            WalkPosition { pages: u64::MAX, ..ended.clone() },
            WalkPosition { rows: 201, ..ended.clone() },
            WalkPosition { edge_repeats: 151, ..ended.clone() },
            WalkPosition { runs: vec![run(151)], ..ended.clone() },
            WalkPosition { runs: Vec::new(), ..ended.clone() },
            WalkPosition { runs: vec![run(u64::MAX), run(1)], ..ended.clone() },
            WalkPosition { runs: vec![run(1); 2 * MERGE_FAN_IN + 2], ..ended.clone() },
        ] {
            assert!(!impossible.is_possible(), "{impossible:?}");
        }
    }
}
