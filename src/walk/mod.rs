//! Walks over the pages of a network's guests in a period.
//!
//! A walk is sorted by username and has a direction; it ends only where an answer carries no token. It never
//! filters by username: a filtered list is no roster, and there is no way to ask a walk for one.
//!
//! Walks are read piece by piece, one or two at a time: [`Round::read`] goes on until there is a run to write down or
//! the round has ended, and between two pieces it can be written down as a [`RoundPosition`], from which another
//! process goes on. When that is done, and what else belongs to it, is for whoever makes the walks. Where it is certain
//! that a walk goes on, its next page is on its way while the rows of the one before it are taken in.

mod asked;
mod guard;
mod meeting;
mod position;
mod round;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use guard::{GuardError, ListGuard, MAX_PAGES, MAX_STALE_PAGES, PageGuard};
pub use meeting::{MIN_SHARED_USERNAMES, Meeting, Standing};
use position::Next;
pub use position::{RoundPosition, WalkPosition};
pub use round::{Reached, Round};

use crate::guest::{NetworkId, PageToken};
use crate::period::{BillingPeriod, PeriodSpelling};
use crate::roster::{
    MERGE_FAN_IN, Roster, RosterBuilder, RosterError, RosterMode, RosterOf, RosterRows, RunStore,
    RunStoreError,
};
use crate::wickr::{ApiError, GuestPage, ListGuestUsers, SortDirection, SortField};

/// Which end of the list a walk begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the smallest username up.
    Forward,
    /// From the largest username down.
    Backward,
}

impl Direction {
    /// Returns the word used in manifests and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }
}

/// What to walk.
#[derive(Clone)]
pub struct WalkPlan {
    /// The network.
    pub network: NetworkId,
    /// The period.
    pub period: BillingPeriod,
    /// How the period is written in the requests.
    pub spelling: PeriodSpelling,
    /// Where to begin.
    pub direction: Direction,
    /// How many guests a page is asked to hold, 1 to 100.
    pub page_size: u8,
    /// How much of a roster is kept.
    pub mode: RosterMode,
}

impl WalkPlan {
    fn of(&self) -> RosterOf {
        RosterOf { network: self.network, period: self.period, mode: self.mode.clone() }
    }
}

/// A walk that came to its end.
#[derive(Debug)]
pub struct Walked {
    /// What it found.
    pub roster: Roster,
    /// Where it is written down, as far as it is, and what it counted.
    pub position: WalkPosition,
}

impl Walked {
    /// Puts together again what a walk found that is written down.
    ///
    /// # Errors
    /// [`RunStoreError`] if anything of it is missing or not as it was written.
    pub async fn restore(
        plan: WalkPlan,
        position: WalkPosition,
        store: &RunStore,
    ) -> Result<Self, RunStoreError> {
        let rows = RosterRows::Runs(store.open(&position.runs).await?);
        let (of, pushed) = (plan.of(), position.rows_of_the_list());
        let roster = blocking(move || Roster::of(of, pushed, rows)).await?;
        Ok(Self { roster, position })
    }

    /// Writes down what is only in memory, and holds it there no longer.
    ///
    /// # Errors
    /// [`WalkError`] if that cannot be done.
    pub async fn write_down(&mut self, store: &RunStore) -> Result<(), WalkError> {
        let Some(rows) = self.roster.in_memory().filter(|_| self.roster.guests() > 0) else { return Ok(()) };
        let failed = |error: RunStoreError| WalkError {
            direction: self.position.direction,
            page: self.position.pages,
            reason: error.into(),
        };
        let run = store.write(rows).await.map_err(failed)?;
        let opened = store.open(&[run]).await.map_err(failed)?;
        self.position.runs.push(run);
        let roster = self.roster.clone();
        self.roster = blocking(move || roster.held_in(opened)).await;
        Ok(())
    }
}

/// A walk that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{direction} walk, page {page}", direction = .direction.as_str())]
pub struct WalkError {
    /// Where it began.
    pub direction: Direction,
    /// The page that failed, from 1.
    pub page: u64,
    /// Why.
    #[source]
    pub reason: WalkFailure,
}

/// Why a walk did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum WalkFailure {
    /// The request failed, or its answer broke the contract.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The pages lead nowhere.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The rows cannot be kept.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// What was read cannot be written down, or read again.
    #[error(transparent)]
    Runs(#[from] RunStoreError),
    /// The program was told to stop; the page in hand is dropped (exit 75).
    #[error("interrupted; run again")]
    Interrupted,
}

impl WalkError {
    /// Says whether the service refused the question itself, as it may for a spelling that it does not know.
    #[must_use]
    pub const fn refuses_the_question(&self) -> bool {
        self.page == 1
            && matches!(
                self.reason,
                WalkFailure::Api(ApiError::Validation { .. } | ApiError::BadRequest { .. })
            )
    }

    /// Says whether the service does not take the token that it gave, as it may when the token has grown old.
    #[must_use]
    pub const fn refuses_the_token(&self) -> bool {
        self.page > 1
            && matches!(
                self.reason,
                WalkFailure::Api(ApiError::Validation { .. } | ApiError::BadRequest { .. })
            )
    }

    /// Says whether the walk can go on where it stopped, in another process and at another time.
    ///
    /// What the service answered wrongly is not gone on from: the next walk begins anew.
    #[must_use]
    pub fn can_be_resumed(&self) -> bool {
        match &self.reason {
            WalkFailure::Api(error) => leaves_the_walk_whole(error),
            // What could not be written now does not spoil what was written before.
            WalkFailure::Interrupted | WalkFailure::Runs(RunStoreError::Storage(_)) => true,
            WalkFailure::Roster(error) | WalkFailure::Runs(RunStoreError::Rows(error)) => match error {
                RosterError::Interrupted => true,
                RosterError::Damaged(run) => !run.is_damage(),
                RosterError::EmptyHash | RosterError::Batch(_) => false,
            },
            WalkFailure::Guard(_) => false,
        }
    }
}

fn leaves_the_walk_whole(error: &ApiError) -> bool {
    match error {
        ApiError::Unauthorized { .. }
        | ApiError::Forbidden { .. }
        | ApiError::ExpiredCredentials { .. }
        | ApiError::ClockSkewed { .. }
        | ApiError::NoCredentials(_)
        | ApiError::RoleRefused { .. }
        | ApiError::CredentialsUnavailable(_)
        | ApiError::RateLimited { .. }
        | ApiError::Internal { .. }
        | ApiError::Transport { .. }
        | ApiError::DeadlineReached { .. } => true,
        ApiError::Validation { .. }
        | ApiError::BadRequest { .. }
        | ApiError::NotFound { .. }
        | ApiError::Unexpected { .. }
        | ApiError::Unreadable(_)
        | ApiError::Shape(_)
        | ApiError::TooLarge { .. }
        | ApiError::Unsendable(_) => false,
        ApiError::GaveUp { last, .. } => leaves_the_walk_whole(last),
    }
}

/// A walk on its way.
pub struct Walk {
    plan: WalkPlan,
    position: WalkPosition,
    builder: RosterBuilder,
    began_anew: bool,
}

impl Walk {
    /// Begins before the first page.
    #[must_use]
    pub fn begin(plan: WalkPlan) -> Self {
        let position = WalkPosition::before_the_first_page(plan.direction, plan.spelling);
        let builder = RosterBuilder::new(plan.mode.clone(), position.fingerprint_key);
        Self { plan, position, builder, began_anew: false }
    }

    /// Goes on from where another process stopped, after reading everything that it has written down.
    ///
    /// # Errors
    /// [`RunStoreError`] if anything of it is missing or not as it was written.
    pub async fn resume(
        plan: WalkPlan,
        position: WalkPosition,
        store: &RunStore,
    ) -> Result<Self, RunStoreError> {
        let mut builder = RosterBuilder::new(plan.mode.clone(), position.fingerprint_key);
        // One after the other: their order does not matter here, and open files are not many.
        for run in &position.runs {
            let run = store.open(&[*run]).await?;
            builder = blocking(move || builder.remember_all(&run).map(|()| builder)).await?;
        }
        Ok(Self { plan, position, builder, began_anew: false })
    }

    /// Returns the direction and the spelling of the walk, and what it counted so far.
    #[must_use]
    pub const fn position(&self) -> &WalkPosition {
        &self.position
    }

    /// Returns the next request, unless the list has ended.
    fn request(&self) -> Option<ListGuestUsers> {
        match &self.position.next {
            Next::First => Some(self.request_for(None)),
            Next::Token(token) => Some(self.request_for(Some(token.clone()))),
            Next::End => None,
        }
    }

    /// Returns the request for the page that a token leads to, or for the first.
    fn request_for(&self, next_token: Option<PageToken>) -> ListGuestUsers {
        ListGuestUsers {
            network: self.plan.network,
            max_results: self.plan.page_size,
            sort_direction: match self.plan.direction {
                Direction::Forward => SortDirection::Ascending,
                Direction::Backward => SortDirection::Descending,
            },
            sort_field: SortField::Username,
            username: None,
            billing_period: self.plan.period,
            spelling: self.plan.spelling,
            next_token,
        }
    }

    /// Takes in the answer to the next request.
    fn admit(&mut self, page: GuestPage) -> Result<(), WalkFailure> {
        let pushed = self.builder.push_all(&page.guests)?;
        self.position.edge_repeats += self.position.guard.admit(&pushed, page.next.as_ref())?;
        self.position.rows += pushed.len() as u64;
        self.position.pages += 1;
        self.position.next = page.next.map_or(Next::End, Next::Token);
        Ok(())
    }

    fn failed(&self, reason: WalkFailure) -> WalkError {
        WalkError { direction: self.plan.direction, page: self.position.pages + 1, reason }
    }

    /// Writes down what was read since the last run. Only then does the position stand for all of it.
    async fn write_down(&mut self, store: &RunStore) -> Result<(), WalkError> {
        if !self.builder.is_empty() {
            let rows = self.builder.take_rows();
            let run = blocking(move || rows.sorted()).await;
            let record = store.write(Arc::new(run)).await.map_err(|error| self.failed(error.into()))?;
            self.position.runs.push(record);
        }
        Ok(())
    }

    fn has_many_runs(&self) -> bool {
        self.position.runs.len() >= 2 * MERGE_FAN_IN
    }

    /// Makes one run of the smallest ones, so that a row is merged a number of times that grows like a logarithm.
    async fn merge_smallest(&mut self, count: usize, store: &RunStore) -> Result<(), WalkError> {
        let mut runs = self.position.runs.clone();
        runs.sort_by_key(|run| std::cmp::Reverse(run.rows));
        let smallest = runs.split_off(runs.len() - count);
        runs.push(store.merge(&smallest).await.map_err(|error| self.failed(error.into()))?);
        self.position.runs = runs;
        Ok(())
    }

    /// Makes one walk of two that have met, and have both read so many rows.
    fn joined_by(mut self, other: Self, overlap: u64) -> Self {
        let (own, others) = (&mut self.position, other.position);
        own.pages += others.pages;
        own.rows += others.rows;
        own.edge_repeats += others.edge_repeats;
        own.runs.extend(others.runs);
        own.next = Next::End;
        own.overlap = Some(overlap);
        self.builder.take_over(&other.builder);
        self
    }

    /// Ends a walk whose list has ended. What it found stays in memory if nothing of it was written down.
    async fn finish(mut self, store: Option<&RunStore>) -> Result<Walked, WalkError> {
        let rows = match store {
            Some(store) if !self.position.runs.is_empty() => {
                self.write_down(store).await?;
                while let Some(surplus) =
                    self.position.runs.len().checked_sub(MERGE_FAN_IN).filter(|surplus| *surplus > 0)
                {
                    self.merge_smallest(MERGE_FAN_IN.min(surplus + 1), store).await?;
                }
                let opened = store.open(&self.position.runs).await;
                RosterRows::Runs(opened.map_err(|error| self.failed(error.into()))?)
            }
            Some(_) | None => {
                let rows = self.builder.take_rows();
                RosterRows::Memory(Arc::new(blocking(move || rows.sorted()).await))
            }
        };
        let (of, pushed) = (self.plan.of(), self.position.rows_of_the_list());
        let roster = blocking(move || Roster::of(of, pushed, rows)).await;
        let roster = roster.map_err(|error| self.failed(error.into()))?;
        // No page of this list is ever asked for again.
        self.position.guard = PageGuard::default();
        Ok(Walked { roster, position: self.position })
    }
}

/// Sorts, merges and compares on a thread that may take seconds, which other walks would have to wait for.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("sorting and merging do not panic")
}

#[cfg(test)]
mod tests;
