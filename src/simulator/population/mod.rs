//! Who the guests are, and the oracle that tells tests what an export of them must contain.
//!
//! Generated guests are never stored: any row of a list of millions is computed from the seed and its rank.
//! Explicit ones are held in memory, and only they can come and go. Both are lists ordered by username, which is
//! all that paging needs to know.

mod explicit;
mod generated;
mod interleave;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use explicit::LiveList;
pub use explicit::{Change, Collation, ExplicitPopulation, Mutation};
use generated::GeneratedList;

use super::config::{SimulatorConfig, SimulatorError};
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// Where the guests come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Population {
    /// Computed from the seed and the rates of the configuration.
    #[default]
    Generated,
    /// Spelled out, with their networks and periods; the configuration's own are then not used.
    Explicit(ExplicitPopulation),
}

impl Population {
    /// Spells out the rows, as `(username_hash, username)`, of each network and period.
    pub fn explicit(
        lists: impl IntoIterator<Item = (NetworkId, BillingPeriod, Vec<(String, String)>)>,
    ) -> Self {
        let add = |population: ExplicitPopulation, (network, period, rows)| {
            population.with_rows(network, period, rows)
        };
        Self::Explicit(lists.into_iter().fold(ExplicitPopulation::default(), add))
    }
}

/// What the list of one network and period truly contains, repeats at the edges of pages aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Distinct hashes.
    pub guests: u64,
    /// Rows in the list.
    pub rows: u64,
    /// Rows that say again what another row says, hash and username.
    pub duplicates: u64,
    /// Hashes that stand under more than one username.
    pub username_conflicts: u64,
    /// Guests whose smaller username is empty.
    pub empty_usernames: u64,
}

/// One row of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) username_hash: String,
    pub(super) username: String,
}

/// The rows of one network and period, in the bytewise order of usernames.
#[derive(Debug)]
pub(super) enum List {
    Generated(GeneratedList),
    Live(LiveList),
}

/// The lists of a network.
pub(super) type Lists = BTreeMap<BillingPeriod, List>;

impl List {
    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Generated(list) => list.rows(),
            Self::Live(list) => list.len() as u64,
        }
    }

    pub(super) fn row(&self, rank: u64) -> Row {
        match self {
            Self::Generated(list) => list.row(rank),
            Self::Live(list) => list.row(index(rank)),
        }
    }

    fn username(&self, rank: u64) -> String {
        match self {
            Self::Generated(list) => list.username(rank),
            Self::Live(list) => list.row(index(rank)).username,
        }
    }

    pub(super) fn guests(&self) -> u64 {
        match self {
            Self::Generated(list) => list.guests(),
            Self::Live(list) => list.distinct().len() as u64,
        }
    }

    /// Returns the lasting number of the row at a rank, by which a keyset token names it.
    pub(super) fn number(&self, rank: u64) -> u64 {
        match self {
            Self::Generated(_) => rank,
            Self::Live(list) => list.number(index(rank)) as u64,
        }
    }

    /// Returns the ranks between which the row of a number stands or stood; none if there never was such a row.
    pub(super) fn ranks_around(&self, number: u64) -> Option<Range<u64>> {
        match self {
            Self::Generated(list) => (number < list.rows()).then(|| number..number + 1),
            Self::Live(list) => {
                let number = usize::try_from(number).ok()?;
                let before = list.rank_before(number)?;
                Some(before as u64..list.rank_after(number) as u64)
            }
        }
    }

    /// Returns the ranks of the rows whose username is exactly this one.
    pub(super) fn ranks_named(&self, username: &str) -> Range<u64> {
        let first = self.first_rank(|name| name >= username);
        first..self.first_rank(|name| name > username).max(first)
    }

    /// Finds the first row whose username satisfies a condition that no earlier one does.
    fn first_rank(&self, condition: impl Fn(&str) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.rows());
        while low < high {
            let middle = low + (high - low) / 2;
            if condition(&self.username(middle)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

fn index(rank: u64) -> usize {
    usize::try_from(rank).expect("a rank within a list that is held in memory")
}

/// All networks of a simulator.
#[derive(Debug)]
pub(super) struct World {
    networks: RwLock<BTreeMap<NetworkId, Lists>>,
    changes: bool,
}

impl World {
    /// Builds the networks that a configuration describes, for the periods named.
    pub(super) fn new(config: &SimulatorConfig, periods: &[BillingPeriod]) -> Result<Self, SimulatorError> {
        let mut networks = match &config.population {
            Population::Generated => generate(config, periods),
            Population::Explicit(population) => live(population),
        };
        for mutation in &config.mutations {
            let list = networks.get_mut(&mutation.network).and_then(|lists| lists.get_mut(&mutation.period));
            match list {
                Some(List::Live(list)) => list.plan(mutation.before_request, mutation.change.clone()),
                _ => return Err(SimulatorError::NothingToChange(mutation.network, mutation.period)),
            }
        }
        Ok(Self { networks: RwLock::new(networks), changes: !config.mutations.is_empty() })
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<NetworkId, Lists>> {
        self.networks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<NetworkId, Lists>> {
        self.networks.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the periods for which any network has a list, earliest first.
    pub(super) fn periods(&self) -> Vec<BillingPeriod> {
        let periods: BTreeSet<BillingPeriod> =
            self.read().values().flat_map(|lists| lists.keys().copied()).collect();
        periods.into_iter().collect()
    }

    /// Counts a request for a network and period, and lets happen what was planned for it.
    pub(super) fn advance(&self, network: NetworkId, period: BillingPeriod) {
        if !self.changes {
            return;
        }
        let mut networks = self.write();
        if let Some(List::Live(list)) = networks.get_mut(&network).and_then(|lists| lists.get_mut(&period)) {
            list.advance();
        }
    }

    /// Returns what an export must contain as the list stands now: each guest once, `(username_hash, username)`,
    /// under the smaller username.
    pub(super) fn expected(
        &self,
        network: NetworkId,
        period: BillingPeriod,
    ) -> Box<dyn Iterator<Item = (String, String)> + Send> {
        match self.read().get(&network).and_then(|lists| lists.get(&period)) {
            None => Box::new(std::iter::empty()),
            Some(List::Live(list)) => Box::new(list.distinct().into_iter()),
            Some(List::Generated(list)) => {
                let list = list.clone();
                Box::new((0..list.guests()).map(move |guest| {
                    let row = list.guest(guest);
                    (row.username_hash, row.username)
                }))
            }
        }
    }

    pub(super) fn census(&self, network: NetworkId, period: BillingPeriod) -> Option<Census> {
        let networks = self.read();
        let census = match networks.get(&network)?.get(&period)? {
            List::Generated(list) => Census {
                guests: list.guests(),
                rows: list.rows(),
                duplicates: list.duplicates(),
                username_conflicts: list.conflicts(),
                empty_usernames: u64::from(list.rows() > 0 && list.username(0).is_empty()),
            },
            List::Live(list) => {
                let (guests, pairs) = (list.distinct(), list.pairs());
                let mut names: BTreeMap<&str, u64> = BTreeMap::new();
                for pair in &pairs {
                    *names.entry(&pair.username_hash).or_default() += 1;
                }
                Census {
                    guests: guests.len() as u64,
                    rows: list.len() as u64,
                    duplicates: (list.len() - pairs.len()) as u64,
                    username_conflicts: names.values().filter(|names| **names > 1).count() as u64,
                    empty_usernames: guests.values().filter(|name| name.is_empty()).count() as u64,
                }
            }
        };
        Some(census)
    }
}

fn generate(config: &SimulatorConfig, periods: &[BillingPeriod]) -> BTreeMap<NetworkId, Lists> {
    let names: Vec<String> = periods.iter().map(ToString::to_string).collect();
    let network = |network: &NetworkId| {
        let lists = GeneratedList::network(config, network.as_str(), &names);
        (*network, periods.iter().copied().zip(lists.into_iter().map(List::Generated)).collect())
    };
    config.networks.iter().map(network).collect()
}

fn live(population: &ExplicitPopulation) -> BTreeMap<NetworkId, Lists> {
    let lists = |lists: &BTreeMap<BillingPeriod, Vec<(String, String)>>| {
        lists
            .iter()
            .map(|(period, rows)| (*period, List::Live(LiveList::new(rows.clone(), population.collation))))
            .collect()
    };
    population.lists.iter().map(|(network, of)| (*network, lists(of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> BillingPeriod {
        text.parse().unwrap()
    }

    fn world(config: &SimulatorConfig) -> World {
        World::new(config, &[period("2026-09"), period("2026-10")]).unwrap()
    }

    fn first_network(config: &SimulatorConfig) -> NetworkId {
        config.networks[0]
    }

    fn rows(world: &World, network: NetworkId, period: BillingPeriod) -> Vec<Row> {
        let networks = world.read();
        let list = &networks[&network][&period];
        (0..list.rows()).map(|rank| list.row(rank)).collect()
    }

    #[test]
    fn generated_rows_are_ordered_and_the_oracle_counts_them_right() {
        for (duplicates, conflicts, hostile, guests) in
            [(0, 0, 0, 500), (7, 5, 100, 2500), (1000, 500, 1000, 400), (30, 20, 60, 1), (30, 20, 60, 0)]
        {
            let config = SimulatorConfig {
                guests,
                duplicates_per_thousand: duplicates,
                conflicts_per_thousand: conflicts,
                hostile_per_thousand: hostile,
                ..SimulatorConfig::default()
            };
            let (world, network, period) = (world(&config), first_network(&config), period("2026-10"));
            let rows = rows(&world, network, period);
            assert!(rows.is_sorted_by(|left, right| left.username <= right.username));
            let census = world.census(network, period).unwrap();
            assert_eq!(census.rows, rows.len() as u64);
            let pairs: BTreeSet<&Row> = rows.iter().collect();
            assert_eq!(census.duplicates, (rows.len() - pairs.len()) as u64);
            let mut guests: BTreeMap<String, String> = BTreeMap::new();
            let mut conflicts = BTreeSet::new();
            for row in &pairs {
                if guests.contains_key(&row.username_hash) {
                    conflicts.insert(&row.username_hash);
                }
                let name = guests.entry(row.username_hash.clone()).or_insert_with(|| row.username.clone());
                *name = name.clone().min(row.username.clone());
            }
            assert_eq!(census.username_conflicts, conflicts.len() as u64);
            assert_eq!(census.guests, guests.len() as u64);
            assert_eq!(census.empty_usernames, guests.values().filter(|name| name.is_empty()).count() as u64);
            assert_eq!(world.expected(network, period).collect::<BTreeMap<_, _>>(), guests);
        }
    }

    #[test]
    fn the_default_rates_produce_duplicates_conflicts_and_an_empty_name() {
        let config = SimulatorConfig::default();
        let census = world(&config).census(first_network(&config), period("2026-10")).unwrap();
        assert!(census.duplicates > 0 && census.username_conflicts > 0, "{census:?}");
        assert_eq!(census.empty_usernames, 1);
    }

    #[test]
    fn the_same_seed_gives_the_same_guests_and_another_seed_others() {
        let config = SimulatorConfig { guests: 300, ..SimulatorConfig::default() };
        let other = SimulatorConfig { seed: config.seed + 1, ..config.clone() };
        let (network, period) = (first_network(&config), period("2026-10"));
        let expected = |config| world(config).expected(network, period).collect::<Vec<_>>();
        assert_eq!(expected(&config), expected(&config));
        assert_ne!(expected(&config), expected(&other));
    }

    #[test]
    fn months_share_most_guests_but_not_all_and_networks_share_none() {
        let config = SimulatorConfig { guests: 2000, ..SimulatorConfig::default() };
        let world = world(&config);
        let hashes = |network, month| -> BTreeSet<String> {
            world.expected(network, period(month)).map(|(hash, _)| hash).collect()
        };
        let (september, october) =
            (hashes(config.networks[0], "2026-09"), hashes(config.networks[0], "2026-10"));
        let shared = september.intersection(&october).count();
        assert!(shared > 1000 && shared < september.len().min(october.len()), "{shared}");
        assert!(october.is_disjoint(&hashes(config.networks[1], "2026-10")));
    }

    #[test]
    fn any_row_of_ten_million_is_found_without_the_rows_before_it() {
        let config = SimulatorConfig { guests: 10_000_000, ..SimulatorConfig::default() };
        let (world, network, period) = (world(&config), first_network(&config), period("2026-10"));
        let networks = world.read();
        let list = &networks[&network][&period];
        // Only arithmetic is involved: a list of millions is the same few numbers as a list of one.
        let List::Generated(generated) = list else { panic!("generated by default") };
        assert!(std::mem::size_of_val(generated) < 256);
        let highest = list.rows() - 1;
        assert!(highest > 8_000_000);
        let sample: Vec<String> = (0..1000).map(|step| list.row(highest / 999 * step).username).collect();
        assert!(sample.is_sorted());
        let wanted = list.row(highest / 2);
        let found = list.ranks_named(&wanted.username);
        assert!(found.contains(&(highest / 2)), "{found:?}");
        let expected = world.expected(network, period).take(3).collect::<Vec<_>>();
        assert_eq!(expected.len(), 3);
    }

    #[test]
    fn a_username_finds_exactly_its_rows() {
        let network: NetworkId = "01234567".parse().unwrap();
        let pair = |(hash, name): (&str, &str)| (hash.to_owned(), name.to_owned());
        let pairs = [("h1", "a"), ("h2", "b"), ("h3", "b"), ("h4", "c")].map(pair).to_vec();
        let config = SimulatorConfig {
            population: Population::explicit([(network, period("2026-10"), pairs)]),
            ..SimulatorConfig::default()
        };
        let world = world(&config);
        let networks = world.read();
        let list = &networks[&network][&period("2026-10")];
        assert_eq!(list.ranks_named("b"), 1..3);
        assert_eq!(list.ranks_named("bb"), 3..3);
        assert_eq!(list.ranks_named(""), 0..0);
    }

    #[test]
    fn generated_guests_cannot_come_and_go() {
        let change = Change::Leave { username_hash: "h".to_owned() };
        let config = SimulatorConfig::default();
        let mutation =
            Mutation { network: config.networks[0], period: period("2026-10"), before_request: 1, change };
        let config = SimulatorConfig { mutations: vec![mutation], ..config };
        assert!(matches!(
            World::new(&config, &[period("2026-10")]),
            Err(SimulatorError::NothingToChange(..))
        ));
    }
}
