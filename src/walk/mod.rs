//! One full walk over the pages of a network's guests in a period.
//!
//! A walk is sorted by username and has a direction; it ends only where an answer carries no token. It never
//! filters by username: a filtered list is no roster, and there is no way to ask a walk for one.

mod guard;

pub use guard::{GuardError, ListGuard, MAX_STALE_PAGES, PageGuard};

use crate::guest::{NetworkId, PageToken};
use crate::period::{BillingPeriod, PeriodSpelling};
use crate::roster::{Roster, RosterBuilder, RosterError, RosterMode};
use crate::telemetry::Progress;
use crate::wickr::{ApiError, ListGuestUsers, SortDirection, SortField, WickrAdmin};

/// Which end of the list a walk begins at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A walk that came to its end.
#[derive(Debug)]
pub struct Walked {
    /// What it found.
    pub roster: Roster,
    /// Where it began.
    pub direction: Direction,
    /// Pages read.
    pub pages: u64,
    /// Rows read.
    pub rows: u64,
    /// Rows that repeated a row of the page before.
    pub edge_repeats: u64,
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
}

/// Walks to the end.
///
/// # Errors
/// [`WalkError`], which names the page.
pub async fn walk(
    api: &dyn WickrAdmin,
    plan: &WalkPlan,
    progress: &dyn Progress,
) -> Result<Walked, WalkError> {
    let mut page_number = 1;
    let failed = |page, reason| WalkError { direction: plan.direction, page, reason };
    let mut guard = PageGuard::default();
    let mut builder = RosterBuilder::new(plan.network, plan.period, plan.mode.clone());
    let (mut rows, mut edge_repeats) = (0, 0);
    let mut next_token: Option<PageToken> = None;
    loop {
        let request = ListGuestUsers {
            network: plan.network,
            max_results: plan.page_size,
            sort_direction: match plan.direction {
                Direction::Forward => SortDirection::Ascending,
                Direction::Backward => SortDirection::Descending,
            },
            sort_field: SortField::Username,
            username: None,
            billing_period: plan.period,
            spelling: plan.spelling,
            next_token,
        };
        let page = api.list_guest_users(&request).await.map_err(|error| failed(page_number, error.into()))?;
        edge_repeats += guard.admit(&page).map_err(|error| failed(page_number, error.into()))?;
        for guest in &page.guests {
            builder
                .push(guest.username_hash.as_str(), guest.username.as_str())
                .map_err(|error| failed(page_number, error.into()))?;
        }
        rows += page.guests.len() as u64;
        progress.advance(page.guests.len() as u64);
        next_token = page.next;
        if next_token.is_none() {
            break;
        }
        page_number += 1;
    }
    // Sorting millions of rows takes seconds, which other walks would have to wait for.
    let roster = tokio::task::spawn_blocking(move || builder.finish())
        .await
        .expect("sorting a roster does not panic")
        .map_err(|error| failed(page_number, error.into()))?;
    Ok(Walked { roster, direction: plan.direction, pages: page_number, rows, edge_repeats })
}
