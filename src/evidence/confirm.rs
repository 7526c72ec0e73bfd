//! Walks until the number is confirmed, or refused.
//!
//! Which spelling of the period the service understands is found out here, on the first walk: a spelling that
//! it does not know may look like a period without guests.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::control_total::{ControlTotal, read_control_total};
use super::verdict::{Confirmation, Facts, Refusal, Verdict, WalkFacts, judge};
use crate::clock::Clock;
use crate::guest::NetworkId;
use crate::period::{BillingPeriod, PeriodSpelling, PeriodState};
use crate::roster::{Roster, RosterMode};
use crate::telemetry::Progress;
use crate::walk::{Direction, WalkError, WalkPlan, Walked, walk};
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
    /// The direction of the walk that is published.
    pub direction: Direction,
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
}

/// Walks a network's guests of a period until their number is confirmed.
///
/// # Errors
/// [`ConfirmError`] with the walk, page and row that failed, or why the number cannot be confirmed.
pub async fn confirm(
    api: &dyn WickrAdmin,
    settings: &ConfirmSettings,
    clock: &Arc<dyn Clock>,
    progress: &dyn Progress,
) -> Result<ConfirmedRoster, ConfirmError> {
    let now = || settings.pretended_now.unwrap_or_else(|| clock.now());
    let total = async || {
        read_control_total(api, settings.network, settings.period, now()).await.map_err(ConfirmError::History)
    };
    let mut totals: Vec<ControlTotal> = vec![total().await?];
    progress.expect(totals[0].count());

    let state = settings.period.state_at(now(), settings.settle_days);
    let started_at = clock.now();
    let (first, spelling) = first_walk(api, settings, progress).await?;
    let mut made = vec![WalkFacts { guests: first.roster.guests(), same_as_before: false }];
    // Only the last two walks are ever compared or published, so only they are kept.
    let (mut before, mut latest): (Option<Walked>, Walked) = (None, first);
    loop {
        totals.push(total().await?);
        let verdict = judge(&Facts {
            has_ended: state.has_ended(),
            zero_accepted: settings.zero_accepted,
            walks: &made,
            totals: &totals,
            max_walks: 2 * settings.attempts as usize,
        });
        match verdict {
            Verdict::Publish(confirmation) => {
                let times = WalkTimes { started_at, finished_at: clock.now() };
                let published = published_of(before, latest);
                let walk = WalkRecord {
                    direction: published.direction,
                    walks: u32::try_from(made.len()).unwrap_or(u32::MAX),
                    pages: published.pages,
                    rows: published.rows,
                    edge_repeats: published.edge_repeats,
                    times,
                };
                return Ok(ConfirmedRoster { roster: published.roster, state, confirmation, walk });
            }
            Verdict::Refuse(refusal) => return Err(refusal.into()),
            Verdict::WalkAgain => {
                progress.expect(totals[0].count());
                let direction =
                    if made.len().is_multiple_of(2) { Direction::Forward } else { Direction::Backward };
                tracing::info!(
                    walk = made.len() + 1,
                    direction = direction.as_str(),
                    "walking again to confirm"
                );
                drop(before.take());
                let walked = walk(api, &plan(settings, spelling, direction), progress).await?;
                made.push(WalkFacts {
                    guests: walked.roster.guests(),
                    same_as_before: walked.roster.same_guests(&latest.roster),
                });
                before = Some(std::mem::replace(&mut latest, walked));
            }
        }
    }
}

fn plan(settings: &ConfirmSettings, spelling: PeriodSpelling, direction: Direction) -> WalkPlan {
    WalkPlan {
        network: settings.network,
        period: settings.period,
        spelling,
        direction,
        page_size: settings.page_size,
        mode: settings.mode.clone(),
    }
}

/// Walks forward in the spelling that the service understands.
///
/// An empty answer is asked again in the other spelling, and so is one that is refused as invalid: only if the
/// other spelling has nothing to say either is the first answer the answer.
async fn first_walk(
    api: &dyn WickrAdmin,
    settings: &ConfirmSettings,
    progress: &dyn Progress,
) -> Result<(Walked, PeriodSpelling), WalkError> {
    let in_spelling =
        async |spelling| walk(api, &plan(settings, spelling, Direction::Forward), progress).await;
    let (asked, other) = (settings.spelling, settings.spelling.other());
    let first = in_spelling(asked).await;
    match &first {
        Ok(walked) if walked.roster.guests() > 0 => return first.map(|walked| (walked, asked)),
        Err(error) if !error.refuses_the_question() => return first.map(|walked| (walked, asked)),
        Ok(_) | Err(_) => {}
    }
    tracing::info!(
        spelling = settings.period.spelled(other),
        "asking again in the other spelling of the period"
    );
    match (first, in_spelling(other).await) {
        (Ok(empty), Ok(walked)) if walked.roster.guests() == 0 => Ok((empty, asked)),
        (_, Ok(walked)) => Ok((walked, other)),
        (Ok(empty), Err(error)) if error.refuses_the_question() => Ok((empty, asked)),
        (Err(refused), Err(error)) if error.refuses_the_question() => Err(refused),
        (_, Err(error)) => Err(error),
    }
}

/// Picks the forward walk of the two that agree: which of them is kept must not depend on how many were needed.
fn published_of(before: Option<Walked>, latest: Walked) -> Walked {
    match before {
        Some(before)
            if before.direction == Direction::Forward && before.roster.same_guests(&latest.roster) =>
        {
            before
        }
        Some(_) | None => latest,
    }
}
