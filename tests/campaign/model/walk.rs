//! A walk of the model: every row that it has met, and what the next page must not be; and two of them at once.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wickr_guest_export::period::PeriodSpelling;

use super::Pages;
use super::service::{Page, Token};
use crate::schedule::Mode;

/// A walk, on its way or at its end.
#[expect(clippy::struct_excessive_bools, reason = "a model says plainly what is")]
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) spelling: PeriodSpelling,
    pub(super) backward: bool,
    pub(super) names: BTreeMap<String, BTreeSet<String>>,
    pub(super) pages: Pages,
    pub(super) next: Option<Token>,
    pub(super) ended: bool,
    pub(super) tokens: HashSet<Token>,
    pub(super) page_before: BTreeSet<String>,
    pub(super) stale: u32,
    /// Usernames and hashes as they came, but for rows of the page before that came again.
    sequence: Vec<(String, String)>,
    rows_before: Vec<(String, String)>,
    /// Whether the sequence once turned round.
    turned_round: bool,
    /// Whether it is two that met.
    pub(super) converged: bool,
    /// Whether it was begun anew.
    pub(super) begun_anew: bool,
    /// Rows and bytes that are in memory only.
    pub(super) unwritten: (u64, usize),
    pub(super) has_runs: bool,
}

impl Walk {
    pub(super) fn begin(spelling: PeriodSpelling, backward: bool) -> Self {
        Self {
            spelling,
            backward,
            names: BTreeMap::new(),
            pages: Pages::default(),
            next: None,
            ended: false,
            tokens: HashSet::new(),
            page_before: BTreeSet::new(),
            stale: 0,
            unwritten: (0, 0),
            has_runs: false,
            sequence: Vec::new(),
            rows_before: Vec::new(),
            turned_round: false,
            converged: false,
            begun_anew: false,
        }
    }

    pub(super) fn guests(&self) -> BTreeSet<&String> {
        self.names.keys().collect()
    }

    /// Takes a page, unless there is a reason not to.
    pub(super) fn admit(&mut self, page: Page, mode: Mode) -> Result<(), String> {
        if let Some((row, defect)) = page.defect {
            return Err(format!("Shape {defect} row {row}"));
        }
        self.put_in_sequence(&page);
        if page.next.as_ref().is_some_and(|token| !self.tokens.insert(token.clone())) {
            return Err("RepeatedToken".to_owned());
        }
        let known = self.names.len();
        let of_page_before = page.rows.iter().filter(|(hash, _)| self.page_before.contains(hash)).count();
        self.pages.edge_repeats += of_page_before as u64;
        self.pages.rows += page.rows.len() as u64;
        self.pages.count += 1;
        if !page.rows.is_empty() {
            self.page_before = page.rows.iter().map(|(hash, _)| hash.clone()).collect();
        }
        for (hash, name) in page.rows {
            self.unwritten.0 += 1;
            // Each text takes four bytes more, to be told from the next.
            self.unwritten.1 += 8 + match mode {
                Mode::Full => hash.len() + name.len(),
                // Digests in their place: 64 digits stand for the guest, 32 for a name that is not empty.
                Mode::Pseudonymous | Mode::CountsOnly => 64 + if name.is_empty() { 0 } else { 32 },
            };
            self.names.entry(hash).or_default().insert(name);
        }
        self.stale = if self.names.len() > known { 0 } else { self.stale + 1 };
        if self.stale >= 1000 && page.next.is_some() {
            self.pages.count -= 1;
            return Err("NoProgress".to_owned());
        }
        self.ended = page.next.is_none();
        self.next = page.next;
        Ok(())
    }

    fn latest_rows(&self) -> BTreeSet<(String, String)> {
        self.rows_before.iter().cloned().collect()
    }

    fn put_in_sequence(&mut self, page: &Page) {
        let rows: Vec<_> = page.rows.iter().map(|(hash, name)| (name.clone(), hash.clone())).collect();
        for row in &rows {
            let steps_back = self
                .sequence
                .last()
                .is_some_and(|last| if self.backward { row.0 > last.0 } else { row.0 < last.0 });
            if !steps_back {
                self.sequence.push(row.clone());
            } else if !self.rows_before.contains(row) {
                self.turned_round = true;
            }
        }
        if !rows.is_empty() {
            self.rows_before = rows;
        }
    }
}

/// What two walks towards each other amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Apart,
    Met,
    Refuted,
}

/// One walk, or a forward and a backward one at the same time.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) walks: Vec<Walk>,
    /// Whether two of them go towards each other.
    pub(super) converges: bool,
    /// The first rows of a forward walk, which those of a backward one must not be.
    pub(super) opening: Option<BTreeSet<(String, String)>>,
}

impl Round {
    pub(super) fn of(walk: Walk) -> Self {
        Self { walks: vec![walk], converges: false, opening: None }
    }

    pub(super) fn accompanied(mut self, converges: bool) -> Self {
        let opening = (!converges).then(|| self.walks[0].latest_rows());
        self.walks.push(Walk::begin(self.walks[0].spelling, true));
        Self { converges, opening, ..self }
    }

    pub(super) fn unwritten(&self) -> (u64, usize) {
        self.walks.iter().fold((0, 0), |sum, walk| (sum.0 + walk.unwritten.0, sum.1 + walk.unwritten.1))
    }

    pub(super) fn has_rows(&self) -> bool {
        self.walks.iter().any(|walk| walk.pages.rows > 0)
    }

    pub(super) fn standing(&self) -> Standing {
        let [forward, backward] = self.walks.as_slice() else { return Standing::Apart };
        if forward.turned_round || backward.turned_round {
            return Standing::Refuted;
        }
        let (Some((high, _)), Some((low, _))) = (forward.sequence.last(), backward.sequence.last()) else {
            return Standing::Apart;
        };
        if high <= low {
            return Standing::Apart;
        }
        let between = |walk: &Walk| -> BTreeSet<(String, String)> {
            walk.sequence.iter().filter(|(name, _)| low < name && name < high).cloned().collect()
        };
        let names = |rows: &BTreeSet<(String, String)>| {
            rows.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>().len()
        };
        let (seen, seen_too) = (between(forward), between(backward));
        if seen != seen_too {
            Standing::Refuted
        } else if names(&seen) >= 100 {
            Standing::Met
        } else {
            Standing::Apart
        }
    }

    /// Goes on with the forward walk alone, where two are of no further use to each other.
    pub(super) fn part(&mut self) -> bool {
        let parts = if self.converges {
            let apart = self.standing() == Standing::Apart && self.walks[0].ended;
            self.standing() == Standing::Refuted || apart
        } else {
            let begun = self.walks.get(1).filter(|backward| backward.pages.rows > 0);
            let first = begun.map(Walk::latest_rows);
            let opening = first.is_some().then(|| self.opening.take()).flatten();
            opening
                .zip(first)
                .is_some_and(|(opening, first)| opening.is_empty() || !opening.is_disjoint(&first))
        };
        if parts {
            self.walks.truncate(1);
            self.converges = false;
        }
        parts
    }

    pub(super) fn has_ended(&self) -> bool {
        (self.converges && self.standing() == Standing::Met) || self.walks.iter().all(|walk| walk.ended)
    }

    /// Makes one walk of two that have met.
    pub(super) fn finished(mut self) -> Vec<Walk> {
        if self.converges
            && let [forward, backward] = self.walks.as_slice()
        {
            let mut joined = forward.clone();
            for (hash, names) in &backward.names {
                joined.names.entry(hash.clone()).or_default().extend(names.iter().cloned());
            }
            joined.pages.count += backward.pages.count;
            joined.pages.rows += backward.pages.rows;
            joined.pages.edge_repeats += backward.pages.edge_repeats;
            joined.unwritten.0 += backward.unwritten.0;
            joined.unwritten.1 += backward.unwritten.1;
            joined.converged = true;
            let high = forward.sequence.last().map(|(name, _)| name).expect("they have met");
            let short_of_it = backward.sequence.iter().filter(|(name, _)| name < high).count();
            let at_it = forward.sequence.iter().filter(|(name, _)| name == high).count();
            joined.pages.rows -= (short_of_it + at_it) as u64;
            self.walks = vec![joined];
        }
        for walk in &mut self.walks {
            walk.pages.duplicates = walk.pages.rows - walk.names.len() as u64;
        }
        self.walks
    }
}
