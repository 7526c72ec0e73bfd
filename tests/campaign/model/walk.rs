//! A walk of the model: every row that it has met, and what the next page must not be.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use wickr_guest_export::period::PeriodSpelling;

use super::Pages;
use super::service::{Page, Token};
use crate::schedule::Mode;

/// A walk, on its way or at its end.
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
    /// How many rows and bytes may be in memory only.
    pub(super) bound: (u64, usize),
    /// Rows and bytes that are in memory only.
    pub(super) unwritten: (u64, usize),
    pub(super) has_runs: bool,
}

impl Walk {
    pub(super) fn begin(spelling: PeriodSpelling, backward: bool, bound: (u64, usize)) -> Self {
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
            bound,
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
}
