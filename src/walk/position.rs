//! Where a walk stands, in a form that another process can go on from.
//!
//! It is complete: the next request, everything that the pages before it are held against, and the runs that hold
//! their rows. A row that is in no run yet is not counted in it, because a position is only ever written down
//! after the runs that it lists.

use serde::{Deserialize, Serialize};

use super::{Direction, PageGuard};
use crate::guest::PageToken;
use crate::period::PeriodSpelling;
use crate::roster::{FingerprintKey, RunRecord};

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
            next: Next::First,
            fingerprint_key: FingerprintKey::random(),
            guard: PageGuard::default(),
            runs: Vec::new(),
        }
    }

    /// Says whether the list has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.next == Next::End
    }
}
