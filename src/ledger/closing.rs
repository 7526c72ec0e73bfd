//! Whether a month's numbers are all there, and the event that says so.
//!
//! Nobody tells this program which networks a month had. So every one is expected that whoever closes it names, every
//! one that is published for the month, and every one that was published for the month before: a network that vanishes
//! holds up the event until somebody says that it is gone. And whoever waits for the event reads the summary next, so
//! it is not given before the summary says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, SubsecRound as _, Utc};

use super::Ledger;
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
    /// Networks that are expected and not published for it.
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
        let Self { unpublished, unclosed, unreadable, unsummarised } = self;
        [unpublished, unclosed, unreadable, unsummarised].into_iter().all(BTreeSet::is_empty)
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
        let texts: Vec<String> =
            reasons.map(|(networks, reason)| format!("{} {reason}", named(networks))).collect();
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
    /// Says what a period waits for, as far as manifests tell. `networks` are those that whoever asks expects; `gone`
    /// are expected no more after the last month that was published of them.
    ///
    /// A network is expected between its first and its last month, and in the first published month after its last:
    /// that a month before was skipped makes nobody stop missing it. One that is known is expected from its first
    /// month on, and if it was never published, in the latest month.
    #[must_use]
    pub fn awaited(
        &self,
        period: BillingPeriod,
        networks: &BTreeSet<NetworkId>,
        gone: &BTreeSet<NetworkId>,
    ) -> Awaited {
        let mut awaited = Awaited::default();
        let mut lives: BTreeMap<NetworkId, (BillingPeriod, BillingPeriod)> = BTreeMap::new();
        for TaskKey { network, period } in self.tasks() {
            let (first, last) = lives.entry(network).or_insert((period, period));
            (*first, *last) = ((*first).min(period), (*last).max(period));
        }
        let periods = self.periods();
        let before = periods.range(..period).next_back();
        let is_latest = periods.range(period..).all(|later| *later == period);
        let is_expected = |network: &NetworkId| match lives.get(network) {
            Some((first, last)) if (*first..=*last).contains(&period) => true,
            Some((first, _)) if period < *first => false,
            Some((_, last)) => {
                !gone.contains(network) && (before == Some(last) || networks.contains(network))
            }
            None => is_latest && !gone.contains(network),
        };
        let expected: BTreeSet<NetworkId> =
            networks.iter().chain(lives.keys()).copied().filter(is_expected).collect();
        for network in expected {
            let task = TaskKey::new(network, period);
            let found = match self.publications.get(&task) {
                Some(manifest) if manifest.period_state == PeriodState::Closed => continue,
                Some(_) => &mut awaited.unclosed,
                None if self.unreadable.contains_key(&task) => &mut awaited.unreadable,
                None => &mut awaited.unpublished,
            };
            found.insert(network);
        }
        awaited
    }

    /// Lists everything that has a manifest, to be believed or not.
    pub fn tasks(&self) -> impl Iterator<Item = TaskKey> {
        self.publications.keys().chain(self.unreadable.keys()).copied()
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

    /// Closes a period, unless that was done, after a run that has exported all that it knows of.
    ///
    /// # Errors
    /// [`ClosingError`], and it is not closed.
    pub async fn close_exported(
        output: &dyn Destination,
        period: BillingPeriod,
        networks: &BTreeSet<NetworkId>,
        now: DateTime<Utc>,
    ) -> Result<Closing, ClosingError> {
        if read_closed(output, period).await?.is_some() {
            return Ok(Closing::ClosedBefore);
        }
        let recent = period.plus_months(-1)..=period;
        let ledger = Self::read(output, |task| recent.contains(&task.period)).await?;
        ledger.close(output, period, networks, &BTreeSet::new(), now).await
    }

    /// Closes a period that waits for nothing. The ledger holds it and the month before whole.
    ///
    /// # Errors
    /// [`ClosingError`], and it is not closed.
    pub async fn close(
        &self,
        output: &dyn Destination,
        period: BillingPeriod,
        networks: &BTreeSet<NetworkId>,
        gone: &BTreeSet<NetworkId>,
        now: DateTime<Utc>,
    ) -> Result<Closing, ClosingError> {
        let mut awaited = self.awaited(period, networks, gone);
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
        let awaited = async |networks: &[&str], gone: &[&str]| {
            let ledger = Ledger::read(&*output, |_| true).await.unwrap();
            ledger.awaited(october, &set(networks), &set(gone)).to_string()
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
            let (none, gone, now) = (set(&[]), set(&["11111111"]), "2026-11-05T00:00:00.5Z".parse().unwrap());
            ledger.close(&*output, october, &none, &gone, now).await.unwrap()
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

    #[tokio::test]
    async fn a_month_that_was_skipped_makes_nobody_stop_missing_a_network() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, new) = ("11111111", "22222222", "33333333");
        for (network, period) in [
            (one, "2026-06"),
            (two, "2026-06"),
            // Nothing for July.
            (one, "2026-08"),
            (one, "2026-09"),
            (two, "2026-10"),
            (one, "2026-10"),
        ] {
            Sample::new(0..20).of(task(network, period)).run(local(folder.path())).await.unwrap();
        }
        let ledger = Ledger::read(&*local(folder.path()), |_| true).await.unwrap();
        let awaited = |period: &str, networks: &[&str], gone: &[&str]| {
            let awaited = ledger.awaited(period.parse().unwrap(), &set(networks), &set(gone));
            let Awaited { unpublished, .. } = awaited;
            unpublished.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(awaited("2026-08", &[], &[]), [two], "it was there in the month before the gap");
        assert_eq!(awaited("2026-09", &[], &[two]), [two], "it is not gone between two of its months");
        assert_eq!(awaited("2026-11", &[], &[two]), [one]);
        assert_eq!(
            awaited("2026-09", &[new], &[two]),
            [two],
            "a network that came later is not expected before"
        );
        assert_eq!(awaited("2026-10", &[new], &[]), [new]);
    }
}
