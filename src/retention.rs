//! Retention: which rosters of an output are past their time, and what became of each.
//!
//! Found by listing the output rather than by its manifests, so that what a dead run left, or what lies where it
//! should not, is found too. One network and period that fails stops none of the others.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::dataset::Dataset;
use crate::error_chain::error_chain;
use crate::exit::ExitStatus;
use crate::guest::NetworkId;
use crate::ledger::Ledger;
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::layout::{self, Place};
use crate::publish::{Publisher, PurgeError, PurgeTerms, Purged, RosterFiles, TaskKey};
use crate::storage::{Destination, DestinationError};

/// A period that is not closed cannot be purged (exit 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--rosters-before {before} takes in {latest}, which {standing}: a roster is needed until its period is closed, \
     on {closes}; give {earlier} or an earlier period",
    closes = .closes.format("%F")
)]
pub struct NotClosed {
    before: BillingPeriod,
    latest: BillingPeriod,
    standing: &'static str,
    closes: DateTime<Utc>,
    earlier: BillingPeriod,
}

/// Whose rosters are past their time: the billing periods before this one, all of them closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry(BillingPeriod);

impl Expiry {
    /// Takes in all periods before one.
    ///
    /// # Errors
    /// [`NotClosed`] if one of them is not closed.
    pub fn before(period: BillingPeriod, now: DateTime<Utc>, settle_days: u32) -> Result<Self, NotClosed> {
        let latest = period.plus_months(-1);
        let state = latest.state_at(now, settle_days);
        if state == PeriodState::Closed {
            return Ok(Self(period));
        }
        let mut earlier = BillingPeriod::containing(now);
        while earlier.plus_months(-1).state_at(now, settle_days) != PeriodState::Closed {
            earlier = earlier.plus_months(-1);
        }
        let closes = latest.end() + chrono::TimeDelta::days(i64::from(settle_days));
        let standing = match state {
            PeriodState::Open if latest.start() > now => "has not begun",
            PeriodState::Open => "is open",
            PeriodState::Settling | PeriodState::Closed => "is settling",
        };
        Err(NotClosed { before: period, latest, standing, closes, earlier })
    }

    fn takes_in(self, task: TaskKey) -> bool {
        task.period < self.0
    }
}

/// Rosters that are past their time, network by network.
#[derive(Debug)]
pub struct Expired {
    expiry: Expiry,
    output: Arc<dyn Destination>,
    terms: PurgeTerms,
    tasks: BTreeSet<TaskKey>,
    /// Set if the output holds anything of this program, of whichever period.
    holds_anything: bool,
    ledger: Ledger,
}

/// What becomes of the rosters of a network and period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeStatus {
    /// They would be removed, were it no dry run.
    Due,
    /// They are gone.
    Purged,
    /// They were purged before.
    Before,
    /// There are none.
    Nothing,
    /// They are there yet.
    Failed,
}

impl PurgeStatus {
    /// Returns the words used in tables.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Due => "to be purged",
            Self::Purged => "purged",
            Self::Before => "purged before",
            Self::Nothing => "no rosters",
            Self::Failed => "failed",
        }
    }
}

/// One network in one period. What is not known is null.
#[derive(Clone, Debug, Serialize)]
pub struct TaskPurge {
    /// The network.
    pub network_id: NetworkId,
    /// The period.
    pub billing_period: BillingPeriod,
    /// Its state when it was published last.
    pub period_state: Option<PeriodState>,
    /// Distinct guests, as published: what stays.
    pub guests: Option<u64>,
    /// Roster files, in all formats and revisions, current copies included.
    pub files: u64,
    /// Their lengths, added up.
    pub bytes: u64,
    /// What becomes of them.
    pub status: PurgeStatus,
    /// The exit code that it alone would have had.
    #[serde(rename = "exit_code")]
    pub exit: ExitStatus,
    /// Why it failed.
    pub message: Option<String>,
}

/// A purge, by network and period.
#[derive(Clone, Debug, Serialize)]
pub struct PurgeReport {
    /// The output.
    pub output: String,
    /// The period before which rosters are past their time.
    pub rosters_before: BillingPeriod,
    /// Whether nothing was touched.
    pub dry_run: bool,
    /// The exit code.
    #[serde(rename = "exit_code")]
    pub exit: ExitStatus,
    /// Files that are gone, or would be.
    pub files: u64,
    /// Their lengths, added up.
    pub bytes: u64,
    /// Each network and period that is past its time, earliest first.
    pub tasks: Vec<TaskPurge>,
}

impl Expired {
    /// Looks through an output.
    ///
    /// # Errors
    /// [`DestinationError`] if a place cannot be listed or does not answer.
    pub async fn find(
        output: Arc<dyn Destination>,
        terms: PurgeTerms,
        expiry: Expiry,
    ) -> Result<Self, DestinationError> {
        let mut tasks = BTreeSet::new();
        for place in terms.beside.iter().chain([&output]) {
            tasks.extend(tasks_with_files(&**place).await?);
        }
        let holds_anything = !tasks.is_empty();
        tasks.retain(|task| expiry.takes_in(*task));
        let ledger = Ledger::read(&*output, |task| expiry.takes_in(task)).await?;
        Ok(Self { expiry, output, terms, tasks, holds_anything, ledger })
    }

    /// Says whether the output holds manifests or rosters at all, of whichever period: what a run that died has left
    /// is purged too.
    #[must_use]
    pub const fn holds_anything(&self) -> bool {
        self.holds_anything
    }

    /// Says what a purge would do, and touches nothing.
    pub async fn looked_at(&self, publisher: &Publisher) -> PurgeReport {
        let mut purges = Vec::with_capacity(self.tasks.len());
        for task in self.tasks.iter().copied() {
            let foreseen = publisher.foresee_purge(task, &self.terms).await;
            purges.push(self.summed_up(task, PurgeStatus::Due, foreseen.map_err(|error| failure(&error))));
        }
        self.report(purges, true)
    }

    /// Purges one network and period after the other, until it is told to stop.
    pub async fn purge(&self, publisher: &Publisher, stop: &CancellationToken) -> PurgeReport {
        let mut purges = Vec::with_capacity(self.tasks.len());
        for task in self.tasks.iter().copied() {
            let result = if stop.is_cancelled() {
                Err((ExitStatus::Temporary, "interrupted before it was purged; purge again".to_owned()))
            } else {
                self.purge_one(publisher, task).await.map_err(|error| failure(&error))
            };
            let (network, period) = (task.network, task.period);
            match &result {
                Ok(Purged::Now(removed)) => {
                    tracing::info!(%network, %period, files = removed.files, "rosters purged");
                }
                Ok(Purged::Before | Purged::Nothing) => {}
                Err((exit, error)) => {
                    tracing::error!(%network, %period, exit_code = exit.code(), error, "rosters not purged");
                }
            }
            purges.push(self.summed_up(task, PurgeStatus::Purged, result));
        }
        self.report(purges, false)
    }

    async fn purge_one(&self, publisher: &Publisher, task: TaskKey) -> Result<Purged, PurgeError> {
        let lock = publisher.lock(task).await?;
        publisher.purge(&lock, &self.terms).await
    }

    fn summed_up(
        &self,
        task: TaskKey,
        now: PurgeStatus,
        result: Result<Purged, (ExitStatus, String)>,
    ) -> TaskPurge {
        let manifest = self.ledger.publications.get(&task);
        let none = RosterFiles::default();
        let (status, RosterFiles { files, bytes }, exit, message) = match result {
            Ok(Purged::Now(files)) => (now, files, ExitStatus::Success, None),
            Ok(Purged::Before) => (PurgeStatus::Before, none, ExitStatus::Success, None),
            Ok(Purged::Nothing) => (PurgeStatus::Nothing, none, ExitStatus::Success, None),
            Err((exit, message)) => (PurgeStatus::Failed, none, exit, Some(message)),
        };
        TaskPurge {
            network_id: task.network,
            billing_period: task.period,
            period_state: manifest.map(|manifest| manifest.period_state),
            guests: manifest.map(|manifest| manifest.counts.guests),
            files,
            bytes,
            status,
            exit,
            message,
        }
    }

    fn report(&self, tasks: Vec<TaskPurge>, dry_run: bool) -> PurgeReport {
        let exit = ExitStatus::of_all(tasks.iter().map(|task| task.exit));
        PurgeReport {
            output: self.output.describe(),
            rosters_before: self.expiry.0,
            dry_run,
            exit,
            files: tasks.iter().map(|task| task.files).sum(),
            bytes: tasks.iter().map(|task| task.bytes).sum(),
            tasks,
        }
    }
}

fn failure(error: &PurgeError) -> (ExitStatus, String) {
    (ExitStatus::of_purge(error), error_chain(error))
}

/// Lists whose manifests and rosters lie in a place.
async fn tasks_with_files(place: &dyn Destination) -> Result<BTreeSet<TaskKey>, DestinationError> {
    let rosters = layout::current_copies(Dataset::GuestRoster);
    let mut tasks = BTreeSet::new();
    for folder in [layout::manifests(), layout::revisions(), rosters] {
        let files = place.list(&folder).await?.files;
        tasks.extend(files.iter().filter_map(|file| Place::of(&file.path)?.task()));
    }
    Ok(tasks)
}

impl fmt::Display for PurgeReport {
    /// Writes what there is to say when each network and period has been named.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, bytes, rosters_before, output, .. } = self;
        let count = |status| self.tasks.iter().filter(|task| task.status == status).count();
        if *files == 0 && count(PurgeStatus::Purged) + count(PurgeStatus::Due) == 0 {
            write!(formatter, "{output}: no roster before {rosters_before} is there to be purged")?;
        } else if self.dry_run {
            write!(
                formatter,
                "{output}: {files} files of rosters before {rosters_before}, {bytes} bytes, would be removed; \
                 nothing was touched"
            )?;
        } else {
            write!(
                formatter,
                "{output}: {files} files of rosters before {rosters_before}, {bytes} bytes, are removed; counts and \
                 evidence stay"
            )?;
        }
        let (before, failed) = (count(PurgeStatus::Before), count(PurgeStatus::Failed));
        if before > 0 {
            write!(formatter, "; {before} purged before")?;
        }
        if failed > 0 {
            write!(formatter, "; {failed} FAILED, and their rosters may still be there")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_closed_periods_are_past_their_time_and_the_reason_says_which_are() {
        let before = |period: &str, now: &str| {
            Expiry::before(period.parse().unwrap(), now.parse().unwrap(), 3)
                .map_err(|error| error.to_string())
        };
        assert!(before("2026-10", "2026-10-04T00:00:00Z").is_ok());
        for (period, now, reason) in [
            (
                "2026-10",
                "2026-10-03T23:59:59Z",
                "--rosters-before 2026-10 takes in 2026-09, which is settling: a roster is needed until its period is \
                 closed, on 2026-10-04; give 2026-09 or an earlier period",
            ),
            (
                "2026-12",
                "2026-10-20T00:00:00Z",
                "--rosters-before 2026-12 takes in 2026-11, which has not begun: a roster is needed until its period is \
                 closed, on 2026-12-04; give 2026-10 or an earlier period",
            ),
            (
                "2026-12",
                "2026-11-01T00:00:00Z",
                "--rosters-before 2026-12 takes in 2026-11, which is open: a roster is needed until its period is \
                 closed, on 2026-12-04; give 2026-10 or an earlier period",
            ),
        ] {
            assert_eq!(before(period, now), Err(reason.to_owned()));
        }
    }
}
