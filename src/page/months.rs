//! What is published, month by month, and what two months can be held against each other by.
//!
//! Which networks a month misses is the ledger's rule, [`crate::ledger::missed`]. A month that nothing is published of is
//! a month all the same, up to the latest that has closed, so that no table and no chart passes over it. A total says nothing of a change if a network has a number on one side only, so months are compared by the
//! networks that have one for both.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::number::Change;
use crate::evidence::Reconciliation;
use crate::guest::NetworkId;
use crate::ledger::Ledger;
use crate::ledger::missed::{Absence, Attendance, Told};
use crate::period::{BillingPeriod, MAX_SELECTED_PERIODS, PeriodState, latest_closed};
use crate::publish::Manifest;

/// One billing period.
#[derive(Debug)]
pub(super) struct Month<'a> {
    pub(super) period: BillingPeriod,
    /// The state that the calendar gives it.
    pub(super) calendar: PeriodState,
    /// What is published, by network.
    pub(super) publications: BTreeMap<NetworkId, &'a Manifest>,
    /// Networks whose manifest is not to be believed.
    pub(super) damaged: BTreeSet<NetworkId>,
    /// Networks that it misses, and why.
    pub(super) absent: BTreeMap<NetworkId, Absence>,
}

/// Two months, held against each other by the networks that have a number for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// The months.
    pub(super) before: BillingPeriod,
    pub(super) after: BillingPeriod,
    /// The guests of these networks.
    pub(super) change: Change,
    /// How many they are.
    pub(super) networks: usize,
    /// How many networks have a number for each month.
    pub(super) of_before: usize,
    pub(super) of_after: usize,
}

impl Comparison {
    /// Says which networks were left out, if any were.
    pub(super) fn left_out(&self) -> Option<String> {
        let lacking = |all: usize, month: BillingPeriod| {
            let lacking = all - self.networks;
            let have = if lacking == 1 { "has" } else { "have" };
            let networks = if all == 1 { "network" } else { "networks" };
            (lacking > 0).then(|| format!("{lacking} of {all} {networks} {have} no number for {month}"))
        };
        let left_out = [lacking(self.of_after, self.before), lacking(self.of_before, self.after)];
        let left_out: Vec<String> = left_out.into_iter().flatten().collect();
        (!left_out.is_empty()).then(|| format!("not comparable: {}", left_out.join(", ")))
    }
}

impl Month<'_> {
    /// Returns the guests of all networks that are published; one guest of two networks counts in both.
    pub(super) fn guests(&self) -> u128 {
        self.publications.values().map(|manifest| u128::from(manifest.counts.guests)).sum()
    }

    /// Says whether something is published, all of it as closed.
    pub(super) fn is_published_as_closed(&self) -> bool {
        let closed = |manifest: &&Manifest| manifest.period_state == PeriodState::Closed;
        !self.publications.is_empty() && self.publications.values().all(closed)
    }

    /// Says whether something is published, all of it since it ended.
    pub(super) fn has_ended_in_all(&self) -> bool {
        let has_ended = |manifest: &&Manifest| manifest.period_state.has_ended();
        !self.publications.is_empty() && self.publications.values().all(has_ended)
    }

    /// Returns how many networks belong into it and have no number.
    pub(super) fn lacking(&self) -> usize {
        self.damaged.len() + self.absent.len()
    }

    /// Holds it against the month before.
    pub(super) fn since(&self, before: &Month<'_>) -> Comparison {
        let guests = |manifest: &Manifest| u128::from(manifest.counts.guests);
        let shared = self
            .publications
            .iter()
            .filter_map(|(network, now)| Some((guests(before.publications.get(network)?), guests(now))));
        let (networks, then, now) = shared.fold((0, 0, 0), |(networks, then, now), (before, after)| {
            (networks + 1, then + before, now + after)
        });
        Comparison {
            before: before.period,
            after: self.period,
            change: Change::between(then, now),
            networks,
            of_before: before.publications.len(),
            of_after: self.publications.len(),
        }
    }

    /// Says whether nothing is published of it, to be believed or not.
    pub(super) fn is_gap(&self) -> bool {
        self.publications.is_empty() && self.damaged.is_empty()
    }

    /// Says whether its number is final: every network has one, and all are closed.
    pub(super) fn is_final(&self) -> bool {
        self.is_published_as_closed() && self.lacking() == 0
    }
}

/// All months of an output, the earliest first.
#[derive(Debug)]
pub(super) struct Months<'a> {
    pub(super) months: Vec<Month<'a>>,
}

impl<'a> Months<'a> {
    /// Sorts a ledger into months as they stand at an instant.
    pub(super) fn of(ledger: &'a Ledger, told: &Told, as_of: DateTime<Utc>, settle_days: u32) -> Self {
        let mut months: BTreeMap<BillingPeriod, Month<'a>> = BTreeMap::new();
        let attendance = Attendance::of(ledger, told);
        for period in with_gaps(&ledger.periods(), latest_closed(as_of, settle_days)) {
            let month = Month {
                period,
                calendar: period.state_at(as_of, settle_days),
                publications: BTreeMap::new(),
                damaged: BTreeSet::new(),
                absent: attendance.missed(period),
            };
            months.insert(period, month);
        }
        for (task, manifest) in &ledger.publications {
            let month = months.get_mut(&task.period).expect("a month of every task");
            month.publications.insert(task.network, manifest);
        }
        for task in ledger.unreadable.keys() {
            months.get_mut(&task.period).expect("a month of every task").damaged.insert(task.network);
        }
        Self { months: months.into_values().collect() }
    }

    /// Returns the latest month that is published as closed; if none is, the latest one.
    pub(super) fn headline(&self) -> Option<&Month<'a>> {
        let published = || self.months.iter().rev().filter(|month| !month.publications.is_empty());
        published().find(|month| month.is_published_as_closed()).or_else(|| published().next())
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

/// Adds the months between some, and those after them up to another; not more in a row than can be selected, since an
/// instant may lie in any year.
fn with_gaps(published: &BTreeSet<BillingPeriod>, latest: BillingPeriod) -> BTreeSet<BillingPeriod> {
    let mut periods = published.clone();
    let until = published.iter().skip(1).copied().chain([latest.plus_months(1)]);
    for (from, until) in published.iter().zip(until) {
        let gap = (1..=i64::from(MAX_SELECTED_PERIODS)).map(|months| from.plus_months(months));
        periods.extend(gap.take_while(|period| *period < until));
    }
    periods
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

    #[test]
    fn months_are_compared_by_the_networks_that_have_a_number_for_both() {
        let (one, two, new) = ("11111111", "22222222", "33333333");
        let numbers = [
            (one, "2026-08", 100),
            (two, "2026-08", 50),
            (one, "2026-09", 110),
            (new, "2026-09", 500),
            (new, "2026-10", 400),
        ];
        let ledger = ledger(numbers.map(|(network, period, guests)| manifest(network, period, guests)));
        let months = Months::of(&ledger, &Told::default(), "2026-11-15T00:00:00Z".parse().unwrap(), 3);
        let since = |month: usize| months.months[month].since(&months.months[month - 1]);
        let september = since(1);
        assert_eq!((september.networks, september.change), (1, Change::between(100, 110)));
        let left_out = "not comparable: 1 of 2 networks has no number for 2026-08, 1 of 2 networks has no number for 2026-09";
        assert_eq!(september.left_out().unwrap(), left_out);
        let october = since(2);
        assert_eq!(october.change, Change::between(500, 400));
        assert_eq!(october.left_out().unwrap(), "not comparable: 1 of 2 networks has no number for 2026-10");
        let whole = months.months[0].since(&months.months[0]);
        assert_eq!(whole.left_out(), None);
        let absent: Vec<_> = months.months[1].absent.keys().map(ToString::to_string).collect();
        assert_eq!(absent, [two], "as the ledger's rule has it");
    }

    #[test]
    fn months_without_a_number_are_months_up_to_the_latest_closed_one() {
        let ledger =
            ledger([("2026-06", 1), ("2026-08", 1)].map(|(period, n)| manifest("11111111", period, n)));
        let as_of = |day: &str| {
            let months = Months::of(&ledger, &Told::default(), day.parse().unwrap(), 3);
            let gaps = months.months.iter().filter(|month| month.is_gap()).map(|month| month.period);
            (months.months.len(), spans(gaps))
        };
        assert_eq!(as_of("2026-11-15T00:00:00Z"), (5, "2026-07, 2026-09 to 2026-10".to_owned()));
        assert_eq!(as_of("2026-11-02T00:00:00Z"), (4, "2026-07, 2026-09".to_owned()), "October settles");
        assert_eq!(as_of("2026-08-15T00:00:00Z"), (3, "2026-07".to_owned()));
        assert_eq!(as_of("9000-01-01T00:00:00Z").0, 3 + usize::try_from(MAX_SELECTED_PERIODS).unwrap());
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
