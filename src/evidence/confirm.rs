//! A number, and what it rests on: what confirming takes, what it gives, and how it fails.
//!
//! The work itself is the investigation's, which can be left and gone on with; here is what others see of it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::investigation::Investigation;
use super::verdict::{Confirmation, Refusal};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::clock::Clock;
use crate::guest::NetworkId;
use crate::pacing::RequestCount;
use crate::period::{BillingPeriod, PeriodSpelling, PeriodState};
use crate::roster::{Roster, RosterMode, RunBound};
use crate::telemetry::Progress;
use crate::walk::WalkError;
use crate::wickr::{ApiError, WickrAdmin};

/// What is to be confirmed, and how hard to try.
#[derive(Clone)]
pub struct ConfirmSettings {
    /// The network.
    pub network: NetworkId,
    /// The period.
    pub period: BillingPeriod,
    /// The spelling to ask in first.
    pub spelling: PeriodSpelling,
    /// How many guests a page is asked to hold.
    pub page_size: u8,
    /// How much of a roster is kept.
    pub mode: RosterMode,
    /// How much is read before it is written down.
    pub bound: RunBound,
    /// How a list is walked.
    pub strategy: Strategy,
    /// How many days a period settles after its end.
    pub settle_days: u32,
    /// The instant to take for now, where it is not the clock's. Only for a simulator, whose guests and history
    /// move with the day that is pretended: a real month is not open again because somebody says so.
    pub pretended_now: Option<DateTime<Utc>>,
    /// How many pairs of walks may differ before the number is refused.
    pub attempts: u32,
    /// Whether the user vouches for an empty roster.
    pub zero_accepted: bool,
}

impl ConfirmSettings {
    /// Returns the instant that is taken for now.
    pub(super) fn now(&self, clock: &Arc<dyn Clock>) -> DateTime<Utc> {
        self.pretended_now.unwrap_or_else(|| clock.now())
    }
}

/// How a list is walked whose number the service counts too. Where it does not, an ended period takes two full walks,
/// which are made at the same time, and one that goes on a forward walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// From the smallest username to the largest.
    #[default]
    Forward,
    /// From both ends until the walks have met, in about half the time.
    Converge,
}

impl Strategy {
    /// Returns the word used in job files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Converge => "converge",
        }
    }
}

/// What confirming needs from the process that it runs in.
pub struct Surroundings<'a> {
    /// The service, paced.
    pub api: &'a dyn WickrAdmin,
    /// Counts what this process has asked of it.
    pub asked: &'a (dyn Fn() -> RequestCount + Sync),
    /// Wall time.
    pub clock: &'a Arc<dyn Clock>,
    /// Set when the program is told to stop.
    pub stop: &'a CancellationToken,
    /// Who watches.
    pub progress: &'a dyn Progress,
}

/// When a walk began and ended.
#[derive(Clone, Copy, Debug)]
pub struct WalkTimes {
    /// When its first page was asked.
    pub started_at: DateTime<Utc>,
    /// When its last page was read.
    pub finished_at: DateTime<Utc>,
}

/// How the published roster was read.
#[derive(Clone, Copy, Debug)]
pub struct WalkRecord {
    /// How the walk went that is published: `forward`, `backward` or `converge`.
    pub strategy: &'static str,
    /// Full walks made, that one included.
    pub walks: u32,
    /// Its pages.
    pub pages: u64,
    /// Its rows.
    pub rows: u64,
    /// Its rows that repeated a row of the page before.
    pub edge_repeats: u64,
    /// From the first page of the first walk to the last page of the last.
    pub times: WalkTimes,
    /// What was asked for all walks, by earlier processes too.
    pub asked: RequestCount,
    /// Whether an earlier process began them.
    pub resumed: bool,
}

/// A roster with what it rests on. Made by [`confirm`] alone.
#[derive(Debug)]
pub struct ConfirmedRoster {
    roster: Roster,
    state: PeriodState,
    confirmation: Confirmation,
    walk: WalkRecord,
}

impl ConfirmedRoster {
    /// Returns the roster.
    #[must_use]
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Returns the state that the period had when the first page was asked.
    #[must_use]
    pub const fn state(&self) -> PeriodState {
        self.state
    }

    /// Returns what the number rests on.
    #[must_use]
    pub const fn confirmation(&self) -> Confirmation {
        self.confirmation
    }

    /// Returns how the roster was read.
    #[must_use]
    pub const fn walk(&self) -> WalkRecord {
        self.walk
    }
}

/// Why there is no confirmed roster.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// A walk did not come to its end.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The count history could not be read, for a reason that stops the walk too.
    #[error("reading the count history")]
    History(#[source] ApiError),
    /// The walks ended, and their number is not confirmed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What was found out cannot be written down.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The program was told to stop (exit 75).
    #[error("interrupted between two walks; run again")]
    Interrupted,
}

/// Walks a network's guests of a period until their number is confirmed.
///
/// # Errors
/// [`ConfirmError`] with the walk, page and row that failed, or why the number cannot be confirmed. What can be
/// gone on with is in the checkpoint then, and nothing else.
pub async fn confirm(
    surroundings: &Surroundings<'_>,
    settings: &ConfirmSettings,
    checkpoint: &mut Checkpoint,
) -> Result<ConfirmedRoster, ConfirmError> {
    let (mut investigation, current) = Investigation::open(surroundings, settings, checkpoint).await?;
    let concluded = investigation.conclude(current).await;
    if let Err(error) = &concluded {
        investigation.leave(error).await;
    }
    let (published, confirmation) = concluded?;
    let findings = investigation.findings();
    let walk = WalkRecord {
        strategy: published.position.strategy(),
        walks: u32::try_from(findings.walks.len()).unwrap_or(u32::MAX),
        pages: published.position.pages,
        rows: published.position.rows_of_the_list(),
        edge_repeats: published.position.edge_repeats,
        times: WalkTimes { started_at: findings.started_at, finished_at: findings.finished_at },
        asked: investigation.asked(),
        resumed: investigation.was_resumed(),
    };
    Ok(ConfirmedRoster { roster: published.roster, state: findings.state, confirmation, walk })
}
