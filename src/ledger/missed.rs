//! Which networks a month misses: the one rule, for the closing of a month, for `status` and for the page.
//!
//! Nobody tells this program which networks a month had, so it is taken from what is published: a network is expected
//! between its first and its last month, and in the first published month after its last. One that vanishes is missed
//! once and does not make every later month incomplete for ever; that a month before was skipped makes nobody stop
//! missing it. Whoever knows which networks there are can say so, and can say which are gone.
//!
//! That a network is gone is said once: whoever marked a month closed knew its networks, and the closing names them, so a
//! month that is marked closed misses no network that ended before it. What is learnt later outweighs that: a network
//! that is published for a month after it again, or that whoever asks says is there, is missed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::Ledger;
use crate::guest::NetworkId;
use crate::period::BillingPeriod;
use crate::publish::ClosedPeriod;
use crate::task::TaskKey;

/// Which networks there are, as far as anybody says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roll {
    /// Nobody says.
    #[default]
    Unknown,
    /// These, and perhaps others: whoever names some by hand says nothing of the rest.
    Some(BTreeSet<NetworkId>),
    /// These and no others: those of a job, or of the accounts that were asked.
    All(BTreeSet<NetworkId>),
}

impl Roll {
    fn has(&self, network: NetworkId) -> bool {
        match self {
            Self::Unknown => false,
            Self::Some(networks) | Self::All(networks) => networks.contains(&network),
        }
    }

    fn networks(&self) -> impl Iterator<Item = NetworkId> {
        let networks = match self {
            Self::Unknown => None,
            Self::Some(networks) | Self::All(networks) => Some(networks),
        };
        networks.into_iter().flatten().copied()
    }
}

/// What is said of networks beside what is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Which networks there are.
    pub roll: Roll,
    /// The month from which on those are expected that were never published: whoever says which networks there are
    /// now says nothing of earlier months. None without it.
    pub as_of: Option<BillingPeriod>,
    /// Networks that are missed no more after the last month that was published of them.
    pub gone: BTreeSet<NetworkId>,
}

/// Why a network is missed that is not published for a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// It is published for months before and after.
    Between,
    /// It was published for this month, and not since.
    Since {
        /// The last month that is published of it.
        last: BillingPeriod,
        /// Whether it is among the networks that there are; none if nobody says.
        is_there: Option<bool>,
    },
    /// It is there, and was never published.
    Never,
}

/// What is published by network and month, and what is said of networks beside it.
#[derive(Debug)]
pub struct Attendance<'a> {
    told: &'a Told,
    months: BTreeMap<NetworkId, BTreeSet<BillingPeriod>>,
    periods: BTreeSet<BillingPeriod>,
    /// When the months were marked closed that are, by closings that are to be believed.
    marked_closed: BTreeMap<BillingPeriod, DateTime<Utc>>,
    /// When what is published was exported, where its manifest is to be believed.
    exported: BTreeMap<TaskKey, DateTime<Utc>>,
}

impl<'a> Attendance<'a> {
    /// Takes it from a ledger, which has to be a whole one. What has a manifest is published here, to be believed or
    /// not.
    #[must_use]
    pub fn of(ledger: &Ledger, told: &'a Told) -> Self {
        let mut months: BTreeMap<NetworkId, BTreeSet<BillingPeriod>> = BTreeMap::new();
        for TaskKey { network, period } in ledger.tasks() {
            months.entry(network).or_default().insert(period);
        }
        let closed_at = |(period, closing): (&BillingPeriod, &Result<ClosedPeriod, String>)| {
            Some((*period, closing.as_ref().ok()?.closed_at))
        };
        let marked_closed = ledger.closings.iter().filter_map(closed_at).collect();
        let mut exported = ledger.exported.clone();
        exported.extend(ledger.publications.iter().map(|(task, manifest)| (*task, manifest.exported_at)));
        Self { told, months, periods: ledger.periods(), marked_closed, exported }
    }

    /// Lists the networks that a month misses, and why.
    #[must_use]
    pub fn missed(&self, period: BillingPeriod) -> BTreeMap<NetworkId, Absence> {
        let networks: BTreeSet<NetworkId> =
            self.months.keys().copied().chain(self.told.roll.networks()).collect();
        let missed = networks.into_iter().filter_map(|network| {
            let absence = self.absence(TaskKey::new(network, period))?;
            let is_excused =
                self.is_gone(network, absence) || self.closed_without(TaskKey::new(network, period), absence);
            (!is_excused).then_some((network, absence))
        });
        missed.collect()
    }

    /// Says whether that a network is gone makes any of some months not miss it.
    #[must_use]
    pub fn excuses(&self, network: NetworkId, periods: &BTreeSet<BillingPeriod>) -> bool {
        let absences = periods.iter().filter_map(|period| self.absence(TaskKey::new(network, *period)));
        absences.into_iter().any(|absence| self.is_gone(network, absence))
    }

    /// Says whether anything is known of a network.
    #[must_use]
    pub fn knows(&self, network: NetworkId) -> bool {
        self.months.contains_key(&network) || self.told.roll.has(network)
    }

    /// Says whether a network was ever published.
    #[must_use]
    pub fn has_published(&self, network: NetworkId) -> bool {
        self.months.contains_key(&network)
    }

    /// Says whether nobody can know which networks a month should have: nothing is published before it, and whoever
    /// speaks does not name all.
    #[must_use]
    pub fn is_unknown(&self, period: BillingPeriod) -> bool {
        self.periods.range(..period).next().is_none() && !matches!(self.told.roll, Roll::All(_))
    }

    /// Says whether whoever asks excuses it.
    fn is_gone(&self, network: NetworkId, absence: Absence) -> bool {
        absence != Absence::Between && self.told.gone.contains(&network)
    }

    /// Says whether whoever marked the month closed has excused it, having known the network's last month: one that was
    /// exported later tells of a network that nobody missed then. A network that its closing names is published, or its
    /// manifest is lost: neither is absent.
    fn closed_without(&self, TaskKey { network, period }: TaskKey, absence: Absence) -> bool {
        let Absence::Since { last, is_there: None | Some(false) } = absence else { return false };
        let exported = self.exported.get(&TaskKey::new(network, last));
        exported.zip(self.marked_closed.get(&period)).is_some_and(|(exported, closed)| exported <= closed)
    }

    /// Returns why a network is missed in a month, whether or not somebody says that it is gone.
    fn absence(&self, TaskKey { network, period }: TaskKey) -> Option<Absence> {
        let Some(months) = self.months.get(&network) else {
            let is_recent = self.told.as_of.is_some_and(|as_of| period >= as_of);
            return (is_recent && self.told.roll.has(network)).then_some(Absence::Never);
        };
        let (first, last) = (*months.first()?, *months.last()?);
        if period < first || months.contains(&period) {
            return None;
        }
        if period < last {
            return Some(Absence::Between);
        }
        let is_there = match &self.told.roll {
            Roll::All(networks) => Some(networks.contains(&network)),
            roll => roll.has(network).then_some(true),
        };
        let was_there_before = self.periods.range(..period).next_back() == Some(&last);
        (was_there_before || is_there == Some(true)).then_some(Absence::Since { last, is_there })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "11111111";
    const TWO: &str = "22222222";

    fn set(networks: &[&str]) -> BTreeSet<NetworkId> {
        networks.iter().map(|network| network.parse().unwrap()).collect()
    }

    fn period(text: &str) -> BillingPeriod {
        text.parse().unwrap()
    }

    fn gone(networks: &[&str]) -> Told {
        Told { gone: set(networks), ..Told::default() }
    }

    /// Networks that there are since a month.
    fn there(networks: &[&str], as_of: &str) -> Told {
        Told { roll: Roll::All(set(networks)), as_of: Some(period(as_of)), ..Told::default() }
    }

    /// The networks that a month misses, if each of these is published for its months.
    fn missed(published: &[(&str, &[&str])], told: &Told, month: &str) -> Vec<String> {
        let attendance = attendance(published, told);
        let absent = |(network, absence)| match absence {
            Absence::Between => format!("{network} between"),
            Absence::Since { last, .. } => format!("{network} since {last}"),
            Absence::Never => format!("{network} never"),
        };
        attendance.missed(period(month)).into_iter().map(absent).collect()
    }

    fn attendance<'a>(published: &[(&str, &[&str])], told: &'a Told) -> Attendance<'a> {
        let tasks = published.iter().flat_map(|(network, months)| {
            months.iter().map(|month| TaskKey::new(network.parse().unwrap(), period(month)))
        });
        // That there is a manifest decides, not what it says.
        let unreadable = tasks.map(|task| (task, String::new())).collect();
        let ledger = Ledger { unreadable, ..Ledger::default() };
        Attendance::of(&ledger, told)
    }

    #[test]
    fn the_first_month_misses_nobody_whom_nobody_names() {
        let first: &[(&str, &[&str])] = &[(ONE, &["2026-06"])];
        assert!(missed(first, &Told::default(), "2026-06").is_empty());
        assert!(missed(first, &Told::default(), "2026-05").is_empty(), "nor does any month before it");
        let is_unknown = |told: &Told, month| attendance(first, told).is_unknown(period(month));
        assert!(is_unknown(&Told::default(), "2026-06"), "others may have been there");
        assert!(is_unknown(&Told { roll: Roll::Some(set(&[ONE])), ..Told::default() }, "2026-06"));
        assert!(!is_unknown(&there(&[ONE], "2026-06"), "2026-06"));
        assert!(!is_unknown(&Told::default(), "2026-07"), "the month before says who was there");
    }

    #[test]
    fn a_network_is_missed_between_its_months_and_once_after_them() {
        let published: &[(&str, &[&str])] = &[
            (ONE, &["2026-05", "2026-06", "2026-07", "2026-08", "2026-09"]),
            (TWO, &["2026-05", "2026-07"]),
        ];
        let by_month = ["2026-05", "2026-06", "2026-07", "2026-08", "2026-09"]
            .map(|month| missed(published, &Told::default(), month).join(", "));
        assert_eq!(by_month, ["", "22222222 between", "", "22222222 since 2026-07", ""]);
    }

    #[test]
    fn a_skipped_month_makes_nobody_stop_missing_a_network() {
        let published: &[(&str, &[&str])] = &[(ONE, &["2026-06", "2026-08"]), (TWO, &["2026-06"])];
        assert_eq!(missed(published, &Told::default(), "2026-08"), ["22222222 since 2026-06"]);
        let skipped = ["11111111 between", "22222222 since 2026-06"];
        assert_eq!(missed(published, &Told::default(), "2026-07"), skipped);
        assert!(missed(published, &gone(&[TWO]), "2026-08").is_empty());
    }

    #[test]
    fn a_network_is_not_missed_in_months_before_its_first() {
        let published: &[(&str, &[&str])] = &[(ONE, &["2026-08", "2026-09", "2026-10"]), (TWO, &["2026-10"])];
        for told in [Told::default(), there(&[ONE, TWO], "2026-10")] {
            for month in ["2026-08", "2026-09", "2026-10"] {
                assert!(missed(published, &told, month).is_empty(), "{month}");
            }
        }
    }

    #[test]
    fn one_that_is_there_and_was_never_published_is_missed_from_then_on() {
        // September is the last month that is published, and October the latest that has closed.
        let published: &[(&str, &[&str])] = &[(ONE, &["2026-08", "2026-09"])];
        let told = there(&[ONE, TWO], "2026-10");
        assert!(missed(published, &told, "2026-09").is_empty(), "it may be newer");
        assert_eq!(missed(published, &told, "2026-10"), ["11111111 since 2026-09", "22222222 never"]);
        let told = Told { gone: set(&[TWO]), ..told };
        assert_eq!(missed(published, &told, "2026-10"), ["11111111 since 2026-09"]);
    }

    #[test]
    fn a_network_that_is_there_is_missed_for_as_long_as_it_is_not_published() {
        let published: &[(&str, &[&str])] = &[(ONE, &["2026-08", "2026-09", "2026-10"]), (TWO, &["2026-08"])];
        assert!(missed(published, &Told::default(), "2026-10").is_empty(), "missed once, in September");
        let told = there(&[ONE, TWO], "2026-10");
        assert_eq!(missed(published, &told, "2026-10"), ["22222222 since 2026-08"]);
        assert!(missed(published, &there(&[ONE], "2026-10"), "2026-10").is_empty());
        assert_eq!(missed(published, &there(&[ONE], "2026-10"), "2026-09"), ["22222222 since 2026-08"]);
    }

    #[test]
    fn a_month_that_is_marked_closed_misses_nobody_who_was_gone_by_then() {
        let published: &[(&str, &[&str])] = &[(ONE, &["2026-08", "2026-09"]), (TWO, &["2026-08"])];
        let two: NetworkId = TWO.parse().unwrap();
        let closed_at = |closed_at, published, told: &Told| {
            let mut attendance = attendance(published, told);
            attendance.marked_closed.insert(period("2026-09"), closed_at);
            attendance.exported.insert(TaskKey::new(two, period("2026-08")), DateTime::UNIX_EPOCH);
            attendance.missed(period("2026-09")).into_keys().collect::<Vec<_>>()
        };
        let september = |published, told: &Told| closed_at(DateTime::<Utc>::MAX_UTC, published, told);
        assert!(september(published, &Told::default()).is_empty());
        assert!(september(published, &there(&[ONE], "2026-10")).is_empty());
        assert_eq!(september(published, &there(&[ONE, TWO], "2026-10")), [two], "whoever asks knows better");
        let returned: &[(&str, &[&str])] = &[(ONE, &["2026-08", "2026-09"]), (TWO, &["2026-08", "2026-10"])];
        assert_eq!(september(returned, &Told::default()), [two], "it was not gone");
        let early = closed_at(DateTime::<Utc>::MIN_UTC, published, &Told::default());
        assert_eq!(early, [two], "nobody knew of its last month");
    }

    #[test]
    fn that_a_network_is_gone_excuses_what_comes_after_its_last_month_alone() {
        let published: &[(&str, &[&str])] =
            &[(ONE, &["2026-06", "2026-07", "2026-08", "2026-09"]), (TWO, &["2026-06", "2026-08"])];
        let told = gone(&[ONE, TWO]);
        assert_eq!(missed(published, &told, "2026-07"), ["22222222 between"]);
        assert!(missed(published, &told, "2026-09").is_empty());
        let attendance = attendance(published, &told);
        let periods: BTreeSet<_> = ["2026-07", "2026-08", "2026-09"].map(period).into();
        let excuses = |network: &str| attendance.excuses(network.parse().unwrap(), &periods);
        assert!(excuses(TWO));
        assert!(!excuses(ONE), "it is there in the last month");
    }
}
