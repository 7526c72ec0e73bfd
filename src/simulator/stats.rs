//! What a simulator has seen, for tests to judge a client by.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::faults::FaultKind;
use super::wire::Operation;

/// How many targets are remembered: enough for a test, and nothing next to a long demonstration.
const MAX_TARGETS: usize = 2000;

/// A count of everything that happened up to a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Authentic requests of each operation, refused for rate or struck by a fault or not.
    pub requests: BTreeMap<Operation, u64>,
    /// Requests for anything else.
    pub unrecognised: u64,
    /// Requests whose signature was refused.
    pub unauthentic: u64,
    /// Requests refused for their rate; those that a fault throttled are not among them.
    pub throttled: u64,
    /// Each fault of the plan, in its order, and how often it struck.
    pub faults: Vec<FaultCount>,
    /// The most requests that were ever waiting for an answer at once.
    pub max_concurrent: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Path and query of the first authentic requests, in the order of their arrival.
    pub targets: Vec<String>,
}

/// How often a fault struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultCount {
    /// The fault.
    pub kind: FaultKind,
    /// How many requests it struck.
    pub struck: u64,
}

impl Stats {
    /// Returns how many authentic requests there were of an operation.
    #[must_use]
    pub fn requests_of(&self, operation: Operation) -> u64 {
        self.requests.get(&operation).copied().unwrap_or(0)
    }

    /// Counts an authentic request.
    pub(super) fn note(&mut self, operation: Operation, target: &str) {
        *self.requests.entry(operation).or_default() += 1;
        if self.targets.len() < MAX_TARGETS {
            self.targets.push(target.to_owned());
        }
    }

    /// Returns how often faults of a kind struck.
    #[must_use]
    pub fn struck_by(&self, kind: FaultKind) -> u64 {
        self.faults.iter().filter(|count| count.kind == kind).map(|count| count.struck).sum()
    }
}

/// Keeps the count.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Mutex<(Stats, u64)>,
}

/// A request that waits for its answer, until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a Tally);

impl Tally {
    pub(super) fn new(kinds: impl Iterator<Item = FaultKind>) -> Self {
        let faults = kinds.map(|kind| FaultCount { kind, struck: 0 }).collect();
        Self { counts: Mutex::new((Stats { faults, ..Stats::default() }, 0)) }
    }

    fn lock(&self) -> MutexGuard<'_, (Stats, u64)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something.
    pub(super) fn count(&self, what: impl FnOnce(&mut Stats)) {
        what(&mut self.lock().0);
    }

    /// Counts a request as waiting for as long as the value returned lives.
    pub(super) fn enter(&self) -> InFlight<'_> {
        let (stats, waiting) = &mut *self.lock();
        *waiting += 1;
        stats.max_concurrent = stats.max_concurrent.max(*waiting);
        InFlight(self)
    }

    pub(super) fn snapshot(&self) -> Stats {
        self.lock().0.clone()
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().1 -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_requests_at_once_are_remembered() {
        let tally = Tally::new([FaultKind::Stall].into_iter());
        let first = tally.enter();
        drop(tally.enter());
        drop(first);
        drop(tally.enter());
        assert_eq!(tally.snapshot().max_concurrent, 2);
    }

    #[test]
    fn the_first_targets_are_remembered_and_all_requests_are_counted() {
        let mut stats = Stats::default();
        for number in 0..=MAX_TARGETS {
            stats.note(Operation::GetNetwork, &format!("/networks/{number:08}"));
        }
        assert_eq!(stats.requests_of(Operation::GetNetwork), MAX_TARGETS as u64 + 1);
        assert_eq!((stats.targets.len(), stats.targets[0].as_str()), (MAX_TARGETS, "/networks/00000000"));
    }

    #[test]
    fn faults_are_counted_by_kind() {
        let tally = Tally::new([FaultKind::Stall, FaultKind::Garbage, FaultKind::Stall].into_iter());
        tally.count(|stats| stats.faults[2].struck += 1);
        assert_eq!(tally.snapshot().struck_by(FaultKind::Stall), 1);
        assert_eq!(tally.snapshot().struck_by(FaultKind::Garbage), 0);
    }
}
