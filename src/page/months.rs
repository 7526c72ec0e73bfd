//! What is published, month by month, and which networks a month should have and has not.
//!
//! Nobody says which networks there ought to be, so it is taken from the output itself: a network that is published
//! before a month and after it belongs into it, and so does one that was there the last time. One that has been gone
//! for longer has ended, and does not make every later month incomplete for ever.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::evidence::Reconciliation;
use crate::guest::NetworkId;
use crate::ledger::Ledger;
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::Manifest;
use crate::task::TaskKey;

/// One billing period of which something is published, or should be readable.
#[derive(Debug)]
pub(super) struct Month<'a> {
    pub(super) period: BillingPeriod,
    /// The state that the calendar gives it.
    pub(super) calendar: PeriodState,
    /// What is published, by network.
    pub(super) publications: BTreeMap<NetworkId, &'a Manifest>,
    /// Networks whose manifest is not to be believed.
    pub(super) damaged: BTreeSet<NetworkId>,
    /// Networks that belong into it and are not published.
    pub(super) absent: BTreeSet<NetworkId>,
}

impl Month<'_> {
    /// Returns the guests of all networks that are published; one guest of two networks counts in both.
    pub(super) fn guests(&self) -> u128 {
        self.publications.values().map(|manifest| u128::from(manifest.counts.guests)).sum()
    }

    /// Says whether something is published, all of it as closed.
    pub(super) fn is_closed(&self) -> bool {
        let closed = |manifest: &&Manifest| manifest.period_state == PeriodState::Closed;
        !self.publications.is_empty() && self.publications.values().all(closed)
    }

    /// Returns how many networks belong into it and have no number.
    pub(super) fn lacking(&self) -> usize {
        self.damaged.union(&self.absent).count()
    }

    /// Says whether its number is final: every network has one, and all are closed.
    pub(super) fn is_final(&self) -> bool {
        self.is_closed() && self.lacking() == 0
    }
}

/// All months of an output, the earliest first.
#[derive(Debug)]
pub(super) struct Months<'a> {
    pub(super) months: Vec<Month<'a>>,
}

impl<'a> Months<'a> {
    /// Sorts a ledger into months as they stand at an instant.
    pub(super) fn of(ledger: &'a Ledger, as_of: DateTime<Utc>, settle_days: u32) -> Self {
        let mut months: BTreeMap<BillingPeriod, Month<'a>> = BTreeMap::new();
        let mut of_networks: BTreeMap<NetworkId, BTreeSet<BillingPeriod>> = BTreeMap::new();
        for TaskKey { network, period } in ledger.publications.keys().chain(ledger.unreadable.keys()) {
            of_networks.entry(*network).or_default().insert(*period);
            months.entry(*period).or_insert_with(|| Month {
                period: *period,
                calendar: period.state_at(as_of, settle_days),
                publications: BTreeMap::new(),
                damaged: BTreeSet::new(),
                absent: BTreeSet::new(),
            });
        }
        for (task, manifest) in &ledger.publications {
            let month = months.get_mut(&task.period).expect("a month of every task");
            month.publications.insert(task.network, manifest);
        }
        for task in ledger.unreadable.keys() {
            months.get_mut(&task.period).expect("a month of every task").damaged.insert(task.network);
        }
        let mut months: Vec<Month<'a>> = months.into_values().collect();
        for (network, periods) in of_networks {
            miss(&mut months, network, &periods);
        }
        Self { months }
    }

    /// Returns the latest month that is published as closed; if none is, the latest one.
    pub(super) fn headline(&self) -> Option<&Month<'a>> {
        let published = || self.months.iter().rev().filter(|month| !month.publications.is_empty());
        published().find(|month| month.is_closed()).or_else(|| published().next())
    }

    /// Returns a month, if something of it is published or should be readable.
    pub(super) fn month(&self, period: BillingPeriod) -> Option<&Month<'a>> {
        let at = self.months.binary_search_by_key(&period, |month| month.period).ok()?;
        Some(&self.months[at])
    }

    /// Counts the networks of all months.
    pub(super) fn networks(&self) -> BTreeSet<NetworkId> {
        let of =
            |month: &Month<'a>| month.publications.keys().chain(&month.damaged).copied().collect::<Vec<_>>();
        self.months.iter().flat_map(of).collect()
    }

    /// Returns the latest manifest of each network: what it is called now.
    pub(super) fn latest(&self) -> BTreeMap<NetworkId, &'a Manifest> {
        self.months
            .iter()
            .flat_map(|month| month.publications.iter().map(|(id, manifest)| (*id, *manifest)))
            .collect()
    }
}

/// Notes a network as absent where it belongs: within its span, and in the first month after it.
fn miss(months: &mut [Month<'_>], network: NetworkId, periods: &BTreeSet<BillingPeriod>) {
    let (Some(first), Some(last)) = (periods.first(), periods.last()) else { return };
    let mut has_ended = false;
    for month in months.iter_mut().filter(|month| month.period > *first) {
        if has_ended {
            break;
        }
        if !periods.contains(&month.period) {
            month.absent.insert(network);
            has_ended = month.period > *last;
        }
    }
}

/// Says whether the service's own count contradicts the number of a month that has ended.
pub(super) fn is_contradicted(manifest: &Manifest) -> bool {
    manifest.counts.reconciliation == Reconciliation::Mismatch && manifest.period_state.has_ended()
}

/// Joins months that follow each other into spans, such as `2026-03 to 2026-05, 2026-07`.
pub(super) fn spans(periods: impl IntoIterator<Item = BillingPeriod>) -> String {
    let mut spans: Vec<(BillingPeriod, BillingPeriod)> = Vec::new();
    for period in periods {
        match spans.last_mut() {
            Some((_, end)) if end.plus_months(1) == period => *end = period,
            _ => spans.push((period, period)),
        }
    }
    let text = |(start, end): &(BillingPeriod, BillingPeriod)| {
        if start == end { start.to_string() } else { format!("{start} to {end}") }
    };
    spans.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::sample::{ledger, manifest};

    fn of(published: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
        let manifests = published.iter().map(|(network, period)| manifest(network, period, 10));
        let ledger = ledger(manifests);
        let months = Months::of(&ledger, "2026-12-15T00:00:00Z".parse().unwrap(), 3);
        let absent = |month: &Month<'_>| month.absent.iter().map(ToString::to_string).collect();
        months.months.iter().map(|month| (month.period.to_string(), absent(month))).collect()
    }

    #[test]
    fn a_network_is_missed_between_its_months_and_once_after_them() {
        let (one, two) = ("11111111", "22222222");
        let periods = ["2026-05", "2026-06", "2026-07", "2026-08", "2026-09"];
        let mut published: Vec<(&str, &str)> = periods.iter().map(|period| (one, *period)).collect();
        published.extend([(two, "2026-05"), (two, "2026-07")]);
        let absent: Vec<Vec<String>> = of(&published).into_iter().map(|(_, absent)| absent).collect();
        let gone = vec![two.to_owned()];
        assert_eq!(absent, [vec![], gone.clone(), vec![], gone, vec![]]);
        let new = of(&[(one, "2026-05"), (one, "2026-06"), (two, "2026-06")]);
        assert!(
            new.iter().all(|(_, absent)| absent.is_empty()),
            "a network that begins is missed nowhere: {new:?}"
        );
    }

    #[test]
    fn months_that_follow_each_other_are_one_span() {
        let periods = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        assert_eq!(spans(periods(&[])), "");
        assert_eq!(
            spans(periods(&["2025-11", "2025-12", "2026-01", "2026-03"])),
            "2025-11 to 2026-01, 2026-03"
        );
    }
}
