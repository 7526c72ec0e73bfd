//! What processes of the model leave for each other, and what happens to it.

use chrono::TimeDelta;

use super::known::Known;
use super::walk::Round;
use super::{Asked, Found};
use crate::schedule::{Damage, Guise, MAX_AGE};

/// What a process leaves for the next.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) known: Known,
    pub(super) current: Option<Round>,
    pub(super) asked: Asked,
    pub(super) guise: Guise,
    /// How far the clock had moved when the latest of it was found out.
    pub(super) as_of: TimeDelta,
}

impl Kept {
    fn has_runs(&self) -> bool {
        let last_two = self.known.walks.iter().rev().take(2);
        let current = self.current.iter().flat_map(|round| &round.walks);
        last_two.chain(current).any(|walk| !walk.names.is_empty())
    }
}

/// Where it is left.
pub(super) struct State {
    kept: Option<Kept>,
    /// Whether something is there that cannot be read.
    spoiled: bool,
    /// What was kept at earlier attempts, if anybody wants to go back to it.
    older: Option<Vec<Kept>>,
    /// How many checkpoints were written, and how many by the latest attempt.
    checkpoints: u64,
    looked_at: u64,
}

impl State {
    pub(super) fn new(goes_back: bool) -> Self {
        let older = goes_back.then(Vec::new);
        Self { kept: None, spoiled: false, older, checkpoints: 0, looked_at: 0 }
    }

    pub(super) fn is_there(&self) -> bool {
        self.kept.is_some()
    }

    pub(super) fn put(&mut self, kept: Kept) {
        self.kept = Some(kept);
        self.checkpoints += 1;
    }

    pub(super) fn clear(&mut self) {
        self.kept = None;
    }

    /// Returns what a process finds that it can use; what it cannot use is gone then.
    pub(super) fn found_by(&mut self, guise: Guise, period_state: &str) -> (Found, Option<Kept>) {
        let fits = |kept: &Kept| {
            kept.guise.is_of_the_same(&guise)
                && (kept.as_of - guise.clock).abs() <= MAX_AGE
                && kept.known.state == period_state
        };
        let spoiled = std::mem::take(&mut self.spoiled);
        let found = match &self.kept {
            Some(kept) if fits(kept) => Found::Usable,
            None if !spoiled => Found::Nothing,
            Some(_) | None => Found::Unusable,
        };
        self.kept = self.kept.take().filter(fits);
        (found, self.kept.clone())
    }

    /// Remembers what is kept, as whoever watches the files from request to request does.
    pub(super) fn look(&mut self) {
        if self.looked_at < self.checkpoints {
            self.looked_at = self.checkpoints;
            if let Some(older) = &mut self.older {
                older.extend(self.kept.clone());
            }
        }
    }

    /// Lets something happen to what is kept.
    pub(super) fn suffer(&mut self, damage: Damage) {
        let has_runs = self.kept.as_ref().is_some_and(Kept::has_runs);
        let spoiled = match damage {
            Damage::CursorByteFlipped(_)
            | Damage::CursorCut(_)
            | Damage::CursorRemoved
            | Damage::CursorOfAnotherTask
            | Damage::CursorOfAnotherVersion
            | Damage::CursorContradictsItself => true,
            Damage::RunByteFlipped(_)
            | Damage::RunCut(_)
            | Damage::RunLengthened
            | Damage::RunRemoved(_)
            | Damage::RunExchanged(_) => has_runs,
            Damage::OlderCursorWithoutRun(back) => match self.some_back(back) {
                Some(older) => {
                    let spoiled = older.has_runs();
                    self.put(older);
                    spoiled
                }
                None => false,
            },
            Damage::OlderState(back) => {
                if let Some(older) = self.some_back(back) {
                    self.put(older);
                }
                false
            }
            Damage::StrayRun | Damage::TimePasses(_) | Damage::WasOf(_) | Damage::WasAnotherDay(_) => false,
        };
        if spoiled && self.kept.take().is_some() {
            self.spoiled = true;
        }
    }

    fn some_back(&self, back: u64) -> Option<Kept> {
        self.kept.as_ref()?;
        let back = usize::try_from(back).expect("small");
        let older = self.older.as_ref()?;
        older.len().checked_sub(1 + back).map(|index| older[index].clone())
    }
}
