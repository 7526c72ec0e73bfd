//! Guests that a test spells out, and their coming and going while they are listed.
//!
//! Rows are never forgotten: one that has left keeps its number, so that a keyset token that names it still says
//! where to go on, and tokens stay short however long a username is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Deserialize;

use super::Row;
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// The rows of each network and period, as `(username_hash, username)` in any order. Rows may repeat, hashes may
/// stand under several usernames, and both may be empty. Networks have names of the simulator's unless named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplicitPopulation {
    pub(super) lists: BTreeMap<NetworkId, BTreeMap<BillingPeriod, Vec<(String, String)>>>,
    names: BTreeMap<NetworkId, String>,
    pub(super) collation: Collation,
}

/// How usernames are compared where a list is sorted by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collation {
    /// By their bytes.
    #[default]
    Bytewise,
    /// By their lower-case letters first, as many databases do.
    CaseInsensitive,
}

impl Collation {
    fn key(self, username: &str) -> String {
        match self {
            Self::Bytewise => username.to_owned(),
            Self::CaseInsensitive => username.to_lowercase(),
        }
    }
}

impl ExplicitPopulation {
    /// Has its lists sorted by another collation.
    #[must_use]
    pub fn with_collation(mut self, collation: Collation) -> Self {
        self.collation = collation;
        self
    }

    /// Adds a network that nobody has talked to yet.
    #[must_use]
    pub fn with_network(mut self, network: NetworkId) -> Self {
        self.lists.entry(network).or_default();
        self
    }

    /// Adds a network, if it is not there, and calls it what its administrator might have typed.
    #[must_use]
    pub fn with_name(mut self, network: NetworkId, name: impl Into<String>) -> Self {
        self.names.insert(network, name.into());
        self.with_network(network)
    }

    /// Adds rows to a network and period, which may stay empty.
    #[must_use]
    pub fn with_rows(
        mut self,
        network: NetworkId,
        period: BillingPeriod,
        rows: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        self.lists.entry(network).or_default().entry(period).or_default().extend(rows);
        self
    }

    /// Returns what a network is called, if that is spelled out.
    pub(in crate::simulator) fn name(&self, network: NetworkId) -> Option<&str> {
        self.names.get(&network).map(String::as_str)
    }
}

/// A guest who comes or goes while the list is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// The network that changes.
    pub network: NetworkId,
    /// The period that changes.
    pub period: BillingPeriod,
    /// Comes into force just before this `ListGuestUsers` request for that network and period is answered,
    /// counted from 1 over both directions.
    pub before_request: u64,
    /// What changes.
    pub change: Change,
}

/// What happens to a list of guests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Change {
    /// One more row.
    Arrive {
        /// The guest's hash.
        username_hash: String,
        /// The guest's username.
        username: String,
    },
    /// All rows of a hash disappear.
    Leave {
        /// The guest's hash.
        username_hash: String,
    },
}

/// The rows of one network and period as they stand now.
#[derive(Debug, Default)]
pub(in crate::simulator) struct LiveList {
    rows: Vec<Row>,
    collation: Collation,
    /// What each row's username is compared by first.
    keys: Vec<String>,
    /// The numbers of the rows that are present, ordered by key, username, hash and number.
    order: Vec<usize>,
    pending: VecDeque<(u64, Change)>,
    requests: u64,
}

impl LiveList {
    pub(super) fn new(rows: Vec<(String, String)>, collation: Collation) -> Self {
        let keys = rows.iter().map(|(_, username)| collation.key(username)).collect();
        let rows: Vec<Row> =
            rows.into_iter().map(|(username_hash, username)| Row { username_hash, username }).collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let mut list = Self { rows, collation, keys, ..Self::default() };
        order.sort_by(|left, right| list.key(*left).cmp(&list.key(*right)));
        list.order = order;
        list
    }

    fn key(&self, number: usize) -> (&str, &str, &str, usize) {
        let Row { username_hash, username } = &self.rows[number];
        (&self.keys[number], username, username_hash, number)
    }

    /// Plans a change; changes of the same moment happen in the order in which they were planned.
    pub(super) fn plan(&mut self, before_request: u64, change: Change) {
        let at = self.pending.partition_point(|(moment, _)| *moment <= before_request);
        self.pending.insert(at, (before_request, change));
    }

    /// Counts a request and lets happen what was planned for it.
    pub(super) fn advance(&mut self) {
        self.requests += 1;
        while self.pending.front().is_some_and(|(moment, _)| *moment <= self.requests) {
            if let Some((_, change)) = self.pending.pop_front() {
                self.apply(change);
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Arrive { username_hash, username } => {
                let number = self.rows.len();
                self.keys.push(self.collation.key(&username));
                self.rows.push(Row { username_hash, username });
                let at = self.rank_after(number);
                self.order.insert(at, number);
            }
            Change::Leave { username_hash } => {
                let rows = &self.rows;
                self.order.retain(|number| rows[*number].username_hash != username_hash);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn row(&self, rank: usize) -> Row {
        self.rows[self.order[rank]].clone()
    }

    /// Returns the number of the row at a rank: its name for as long as the simulator runs.
    pub(super) fn number(&self, rank: usize) -> usize {
        self.order[rank]
    }

    /// Returns how many rows sort before the row of a number, which need not be present any more.
    pub(super) fn rank_before(&self, number: usize) -> Option<usize> {
        (number < self.rows.len())
            .then(|| self.order.partition_point(|present| self.key(*present) < self.key(number)))
    }

    /// Returns how many rows sort up to and including the row of a number.
    pub(super) fn rank_after(&self, number: usize) -> usize {
        self.order.partition_point(|present| self.key(*present) <= self.key(number))
    }

    /// Returns each guest once, under the smaller username.
    pub(super) fn distinct(&self) -> BTreeMap<String, String> {
        let mut guests: BTreeMap<String, String> = BTreeMap::new();
        for number in &self.order {
            let row = &self.rows[*number];
            let kept = guests.entry(row.username_hash.clone()).or_insert_with(|| row.username.clone());
            if row.username < *kept {
                kept.clone_from(&row.username);
            }
        }
        guests
    }

    /// Returns the distinct pairs of hash and username.
    pub(super) fn pairs(&self) -> BTreeSet<&Row> {
        self.order.iter().map(|number| &self.rows[*number]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> LiveList {
        let pair = |(hash, name): (&str, &str)| (hash.to_owned(), name.to_owned());
        LiveList::new(
            [("h3", "c"), ("h1", "a"), ("h2", "b"), ("h1", "a"), ("h1", "z")].map(pair).to_vec(),
            Collation::Bytewise,
        )
    }

    fn names(list: &LiveList) -> String {
        (0..list.len()).map(|rank| list.row(rank).username).collect()
    }

    #[test]
    fn rows_are_ordered_by_username_and_guests_keep_the_smaller_one() {
        let list = list();
        assert_eq!(names(&list), "aabcz");
        assert_eq!(list.distinct()["h1"], "a");
        assert_eq!((list.distinct().len(), list.pairs().len()), (3, 4));
    }

    #[test]
    fn a_collation_may_take_small_and_capital_letters_for_the_same() {
        let rows = ["B", "a", "b", "C"].map(|name| (format!("h{name}"), name.to_owned())).to_vec();
        assert_eq!(names(&LiveList::new(rows.clone(), Collation::Bytewise)), "BCab");
        let mut list = LiveList::new(rows, Collation::CaseInsensitive);
        assert_eq!(names(&list), "aBbC");
        list.apply(Change::Arrive { username_hash: "hA".to_owned(), username: "A".to_owned() });
        assert_eq!(names(&list), "AaBbC");
    }

    #[test]
    fn changes_happen_before_their_request_and_in_order() {
        let mut list = list();
        list.plan(3, Change::Leave { username_hash: "h1".to_owned() });
        list.plan(2, Change::Arrive { username_hash: "h4".to_owned(), username: "aa".to_owned() });
        list.advance();
        assert_eq!(names(&list), "aabcz");
        list.advance();
        assert_eq!(names(&list), "aaaabcz");
        list.advance();
        assert_eq!(names(&list), "aabc");
    }

    #[test]
    fn a_row_that_left_still_marks_its_place() {
        let mut list = list();
        let b = list.number(2);
        list.apply(Change::Leave { username_hash: "h2".to_owned() });
        assert_eq!((list.rank_before(b), list.rank_after(b)), (Some(2), 2));
        assert_eq!(list.row(2).username, "c");
        assert_eq!(list.rank_before(99), None);
    }
}
