//! What is known of a number so far: every walk that ended, every reading of the count, and the walk on its way.
//!
//! It is what a checkpoint holds, so it can be written down between any two requests, and what is read again is
//! checked like any other input.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::control_total::ControlTotal;
use super::verdict::WalkFacts;
use crate::checkpoint::Resumable;
use crate::pacing::RequestCount;
use crate::period::PeriodState;
use crate::roster::RunRecord;
use crate::walk::{Direction, RoundPosition, WalkPosition};

/// What the number will be judged by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// The state that the period had when the first page was asked.
    pub state: PeriodState,
    /// When that was.
    pub started_at: DateTime<Utc>,
    /// When the last page of the last walk that ended was read.
    pub finished_at: DateTime<Utc>,
    /// The count before the first walk and after each; of two walks at the same time, the first one's is the one
    /// before both.
    pub totals: Vec<ControlTotal>,
    /// The walks that ended.
    pub walks: Vec<WalkFacts>,
}

/// What was found out so far, and where it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inquiry {
    /// What it has brought.
    pub findings: Findings,
    /// What was asked for the task so far.
    pub asked: RequestCount,
    /// Where the last of them are written down, two at most: only they are ever compared or published.
    pub ended: Vec<WalkPosition>,
    /// The walks on their way.
    pub current: Option<RoundPosition>,
}

impl Inquiry {
    /// Returns the direction of the walk of a number, counted from 0.
    #[must_use]
    pub const fn direction_of(walk: usize) -> Direction {
        if walk.is_multiple_of(2) { Direction::Forward } else { Direction::Backward }
    }

    /// Counts the rows that are written down, of all walks that are kept.
    #[must_use]
    pub fn kept_rows(&self) -> u64 {
        self.kept().map(|walk| walk.rows).sum()
    }

    /// Lists the walks that are written down, as far as they came.
    pub fn kept(&self) -> impl Iterator<Item = &WalkPosition> {
        self.ended.iter().chain(self.current.iter().flat_map(RoundPosition::walks))
    }
}

impl Resumable for Inquiry {
    fn runs(&self) -> Vec<RunRecord> {
        self.kept().flat_map(|walk| walk.runs.iter().copied()).collect()
    }

    fn check(&self) -> Result<(), String> {
        let meaningless = || Err("its cursor contradicts itself".to_owned());
        let Findings { totals, walks, .. } = &self.findings;
        let made = walks.len();
        let kept_enough = self.ended.len() == made.min(2);
        let counted = totals.len() == made || totals.len() == made + 1;
        let on_its_way = self.current.is_some();
        if !kept_enough || !counted || (on_its_way && totals.len() == made) || (made == 0 && !on_its_way) {
            return meaningless();
        }
        let first_kept = made - self.ended.len();
        let in_turn =
            |(at, walk): (usize, &WalkPosition)| walk.direction == Self::direction_of(first_kept + at);
        if !self.kept().enumerate().all(in_turn) || !self.ended.iter().all(WalkPosition::has_ended) {
            return meaningless();
        }
        let possible = self.ended.iter().all(WalkPosition::is_possible)
            && self.current.iter().all(RoundPosition::is_possible);
        if !possible {
            return meaningless();
        }
        Ok(())
    }
}
