//! Whether a month's numbers are all there, and the event that says so.
//!
//! A month that misses a network waits until somebody says that it is gone, and the first month of an output waits for
//! somebody who knows all its networks, as nothing that is published says which it had. And whoever waits for the event
//! reads the summary next, so it is not given before the summary says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, SubsecRound as _, Utc};

use super::Ledger;
use super::missed::{Attendance, Roll, Told};
use crate::guest::NetworkId;
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::closed::{CLOSED_VERSION, WriteClosedError};
use crate::publish::summary::{SummaryError, standing_rows};
use crate::publish::summary_row::SummaryRow;
use crate::publish::{ClosedNetwork, ClosedPeriod, Manifest, Program, read_closed, write_closed};
use crate::storage::{Destination, DestinationError};
use crate::task::TaskKey;

/// How many networks a reason names before it only counts them.
const NAMED: usize = 5;

/// What became of closing a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It was closed by this call.
    Closed(ClosedPeriod),
    /// Somebody else has closed it in the meantime.
    ClosedBefore,
    /// Something is still to come.
    Waits(Awaited),
}

/// Why a period was not closed, though it could be.
#[derive(Debug, thiserror::Error)]
pub enum ClosingError {
    /// The output does not answer.
    #[error(transparent)]
    Output(#[from] DestinationError),
    /// The summary cannot be read.
    #[error(transparent)]
    Summary(#[from] SummaryError),
    /// The closing cannot be written.
    #[error(transparent)]
    Write(#[from] WriteClosedError),
}

/// What a period waits for before it is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Nothing at all is published for it.
    pub is_empty: bool,
    /// Nothing is published before it, and whoever asks does not know all networks.
    pub is_roll_unknown: bool,
    /// Networks that are missed.
    pub unpublished: BTreeSet<NetworkId>,
    /// Networks whose published numbers are not those of the closed period.
    pub unclosed: BTreeSet<NetworkId>,
    /// Networks whose manifest is not to be believed.
    pub unreadable: BTreeSet<NetworkId>,
    /// Networks of which the summary does not say what their manifests say.
    pub unsummarised: BTreeSet<NetworkId>,
}

impl Awaited {
    /// Says whether nothing is awaited.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let Self { is_empty, is_roll_unknown, unpublished, unclosed, unreadable, unsummarised } = self;
        let networks = [unpublished, unclosed, unreadable, unsummarised];
        !is_empty && !is_roll_unknown && networks.into_iter().all(BTreeSet::is_empty)
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (&self.unpublished, "not published for it"),
            (&self.unclosed, "published before it had closed"),
            (&self.unreadable, "published with a damaged manifest"),
            (&self.unsummarised, "not in the summary as published, which the next run mends"),
        ];
        let reasons = reasons.into_iter().filter(|(networks, _)| !networks.is_empty());
        let mut texts: Vec<String> =
            reasons.map(|(networks, reason)| format!("{} {reason}", named(networks))).collect();
        if self.is_empty && self.unpublished.is_empty() {
            texts.push("nothing is published for it".to_owned());
        }
        if self.is_roll_unknown {
            texts.push(
                "it is the first month, and nobody says which networks it has: name them all in the job file, or with \
                 `status --networks … --mark-closed`"
                    .to_owned(),
            );
        }
        formatter.write_str(&texts.join("; "))
    }
}

/// Names networks in a sentence, the first few of many.
#[must_use]
pub fn named(networks: &BTreeSet<NetworkId>) -> String {
    let first: Vec<&str> = networks.iter().take(NAMED).map(NetworkId::as_str).collect();
    let (noun, verb) = if networks.len() == 1 { ("network", "is") } else { ("networks", "are") };
    match networks.len().saturating_sub(NAMED) {
        0 => format!("{noun} {} {verb}", first.join(", ")),
        others => format!("{noun} {} and {others} more {verb}", first.join(", ")),
    }
}

impl Ledger {
    /// Says what a period waits for, as far as manifests tell.
    #[must_use]
    pub fn awaited(&self, period: BillingPeriod, told: &Told) -> Awaited {
        let attendance = Attendance::of(self, told);
        let mut awaited = Awaited {
            is_empty: true,
            is_roll_unknown: attendance.is_unknown(period),
            unpublished: attendance.missed(period).into_keys().collect(),
            ..Awaited::default()
        };
        for network in self.networks_of(period) {
            awaited.is_empty = false;
            match self.publications.get(&TaskKey::new(network, period)) {
                Some(manifest) if manifest.period_state == PeriodState::Closed => {}
                Some(_) => drop(awaited.unclosed.insert(network)),
                None => drop(awaited.unreadable.insert(network)),
            }
        }
        awaited
    }

    /// Lists everything that has a manifest, to be believed or not.
    pub fn tasks(&self) -> impl Iterator<Item = TaskKey> {
        let published = self.publications.keys().chain(self.exported.keys());
        published.chain(self.unreadable.keys()).copied()
    }

    /// Lists the periods of which anything has a manifest, to be believed or not.
    #[must_use]
    pub fn periods(&self) -> BTreeSet<BillingPeriod> {
        self.tasks().map(|task| task.period).collect()
    }

    /// Lists the networks that have a manifest of a period, to be believed or not.
    pub fn networks_of(&self, period: BillingPeriod) -> impl Iterator<Item = NetworkId> {
        self.tasks().filter(move |task| task.period == period).map(|task| task.network)
    }

    /// Closes the periods that a run has exported whole, with the networks of each, unless that was done. `all` says
    /// whether those are all that there are, as far as the run can know.
    ///
    /// # Errors
    /// [`ClosingError`], and the period is not closed.
    pub async fn close_exported(
        output: &dyn Destination,
        exported: BTreeMap<BillingPeriod, BTreeSet<NetworkId>>,
        all: bool,
        now: DateTime<Utc>,
    ) -> Vec<(BillingPeriod, Result<Closing, ClosingError>)> {
        // Which networks a month misses is in the months around it, however far away.
        let mut whole: Option<Self> = None;
        let (mut closings, mut unclosed) = (Vec::new(), BTreeMap::new());
        for (period, networks) in exported {
            match read_closed(output, period).await {
                Ok(None) => drop(unclosed.insert(period, networks)),
                Ok(Some(_)) => closings.push((period, Ok(Closing::ClosedBefore))),
                Err(error) => closings.push((period, Err(error.into()))),
            }
        }
        let periods: BTreeSet<BillingPeriod> = unclosed.keys().copied().collect();
        for (period, networks) in unclosed {
            let closing = async {
                let ledger = match whole.take() {
                    Some(ledger) => ledger,
                    None => Self::read_to_close(output, &periods).await?,
                };
                let roll = if all { Roll::All(networks) } else { Roll::Some(networks) };
                let told = Told { roll, ..Told::default() };
                whole.insert(ledger).close(output, period, &told, now).await
            };
            closings.push((period, closing.await));
        }
        closings
    }

    /// Closes a period that waits for nothing. The ledger knows of every month, and of this one everything.
    ///
    /// # Errors
    /// [`ClosingError`], and it is not closed.
    pub async fn close(
        &self,
        output: &dyn Destination,
        period: BillingPeriod,
        told: &Told,
        now: DateTime<Utc>,
    ) -> Result<Closing, ClosingError> {
        let mut awaited = self.awaited(period, told);
        if !awaited.is_nothing() {
            return Ok(Closing::Waits(awaited));
        }
        let published: Vec<&Manifest> = self
            .networks_of(period)
            .map(|network| &self.publications[&TaskKey::new(network, period)])
            .collect();
        let summary = standing_rows(output).await?;
        let summary: BTreeMap<TaskKey, SummaryRow> = summary.into_iter().map(|row| (row.task, row)).collect();
        let says_otherwise =
            |manifest: &&&Manifest| summary.get(&manifest.task()) != Some(&SummaryRow::published(manifest));
        awaited
            .unsummarised
            .extend(published.iter().filter(says_otherwise).map(|manifest| manifest.network_id));
        if !awaited.is_nothing() {
            return Ok(Closing::Waits(awaited));
        }
        let closed = ClosedPeriod {
            closed_version: CLOSED_VERSION,
            program: Program::this(),
            billing_period: period,
            closed_at: now.trunc_subsecs(0),
            networks: published.into_iter().map(ClosedNetwork::of).collect(),
        };
        let is_first = write_closed(output, &closed).await?;
        Ok(if is_first { Closing::Closed(closed) } else { Closing::ClosedBefore })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::fixture::{Sample, local, summary, task};

    fn set(networks: &[&str]) -> BTreeSet<NetworkId> {
        networks.iter().map(|network| network.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_month_is_closed_once_nothing_of_it_is_awaited() {
        let folder = tempfile::tempdir().unwrap();
        let output = local(folder.path());
        let october: BillingPeriod = "2026-10".parse().unwrap();
        let run = async |network: &str, period: &str, state| {
            let sample = Sample { state, ..Sample::new(0..20).of(task(network, period)) };
            sample.run(local(folder.path())).await.unwrap();
        };
        let told = |networks: &[&str], gone: &[&str]| Told {
            roll: Roll::All(set(networks)),
            as_of: Some(october),
            gone: set(gone),
        };
        let awaited = async |networks: &[&str], gone: &[&str]| {
            let ledger = Ledger::read(&*output, |_| true).await.unwrap();
            ledger.awaited(october, &told(networks, gone)).to_string()
        };
        run("11111111", "2026-09", PeriodState::Closed).await;
        run("22222222", "2026-10", PeriodState::Settling).await;
        assert_eq!(
            awaited(&["33333333"], &[]).await,
            "networks 11111111, 33333333 are not published for it; network 22222222 is published before it had \
             closed"
        );
        run("22222222", "2026-10", PeriodState::Closed).await;
        assert_eq!(awaited(&[], &[]).await, "network 11111111 is not published for it");
        assert_eq!(awaited(&[], &["11111111"]).await, "");
        let many: Vec<String> = (1..=7).map(|number| format!("{number:08}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(awaited(&many, &["11111111"]).await.contains("00000005 and 2 more are not published"));

        let close = async || {
            let ledger = Ledger::read(&*output, |_| true).await.unwrap();
            let (told, now) = (told(&[], &["11111111"]), "2026-11-05T00:00:00.5Z".parse().unwrap());
            ledger.close(&*output, october, &told, now).await.unwrap()
        };
        let stale = std::fs::read(folder.path().join("summary/parquet/guest_counts.parquet")).unwrap();
        Sample::new(0..21).of(task("22222222", "2026-10")).run(local(folder.path())).await.unwrap();
        std::fs::write(folder.path().join("summary/parquet/guest_counts.parquet"), stale).unwrap();
        let Closing::Waits(behind) = close().await else { panic!("the summary is behind") };
        assert_eq!(behind.unsummarised, set(&["22222222"]));
        assert!(read_closed(&*output, october).await.unwrap().is_none());
        summary(local(folder.path())).merge(&[]).await.unwrap();
        let Closing::Closed(closed) = close().await else { panic!("nothing is awaited") };
        assert_eq!(read_closed(&*output, october).await.unwrap(), Some(Ok(closed)));
        assert_eq!(close().await, Closing::ClosedBefore);

        let place = folder.path().join("manifests/period=2026-10/network=22222222/manifest.json");
        std::fs::write(place, "{}").unwrap();
        let damaged = awaited(&[], &["11111111"]).await;
        assert_eq!(damaged, "network 22222222 is published with a damaged manifest");
    }

    /// What a run that has exported these networks of a month makes of it.
    async fn exported(folder: &std::path::Path, month: &str, networks: &[&str], all: bool) -> Closing {
        let exported = BTreeMap::from([(month.parse().unwrap(), set(networks))]);
        let now = "2026-11-05T00:00:00Z".parse().unwrap();
        let mut closings = Ledger::close_exported(&*local(folder), exported, all, now).await;
        closings.pop().unwrap().1.unwrap()
    }

    #[tokio::test]
    async fn the_first_month_is_closed_by_whoever_knows_all_its_networks() {
        let folder = tempfile::tempdir().unwrap();
        let (one, september, october) = ("11111111", "2026-09", "2026-10");
        for month in [september, october] {
            Sample::new(0..20).of(task(one, month)).run(local(folder.path())).await.unwrap();
        }
        let Closing::Waits(awaited) = exported(folder.path(), september, &[one], false).await else {
            panic!("others may be exported later")
        };
        assert!(awaited.is_roll_unknown && awaited.unpublished.is_empty());
        assert!(awaited.to_string().starts_with("it is the first month, and nobody says"), "{awaited}");
        assert!(matches!(exported(folder.path(), october, &[one], false).await, Closing::Closed(_)));
        assert!(matches!(exported(folder.path(), september, &[one], true).await, Closing::Closed(_)));
    }

    #[tokio::test]
    async fn a_run_misses_what_is_published_before_a_gap_and_after_its_month() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, three) = ("11111111", "22222222", "33333333");
        for (network, month) in [
            (one, "2026-06"),
            (two, "2026-06"),
            (three, "2026-06"),
            // Nothing for July.
            (one, "2026-08"),
            (one, "2026-09"),
            (three, "2026-10"),
        ] {
            Sample::new(0..20).of(task(network, month)).run(local(folder.path())).await.unwrap();
        }
        for (month, missed) in [("2026-08", &[two, three][..]), ("2026-09", &[three])] {
            let Closing::Waits(awaited) = exported(folder.path(), month, &[one], true).await else {
                panic!("{month} misses a network")
            };
            assert_eq!(awaited.unpublished, set(missed), "{month}");
        }
    }

    #[tokio::test]
    async fn a_month_of_which_nothing_is_published_is_not_closed() {
        let folder = tempfile::tempdir().unwrap();
        let one = "11111111";
        Sample::new(0..20).of(task(one, "2026-09")).run(local(folder.path())).await.unwrap();
        let Closing::Waits(awaited) = exported(folder.path(), "2026-08", &[one], true).await else {
            panic!("there is nothing to close")
        };
        assert_eq!(awaited.to_string(), "nothing is published for it");
    }
}
