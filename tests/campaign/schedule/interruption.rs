//! What befalls the process that exports, and what befalls its state before the next one begins.
//!
//! An interruption strikes at an attempt at a request, because that is where a process waits and where the model
//! can say to the row what has been read and what has been written down. What happens between two durable steps is
//! for the histories of the real program.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Case, Mode};

/// Which attempts an interruption counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    Any,
    /// Those at the count history.
    Count,
    /// Those at the first page of a walk.
    FirstPage {
        backward: bool,
    },
    /// Those at any other page; no interruption counts these alone.
    LaterPage,
}

impl Site {
    pub(crate) fn covers(self, other: Self) -> bool {
        self == Self::Any || self == other
    }
}

/// When an attempt is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before it leaves.
    Before,
    /// When the service has answered, and the answer is lost.
    After,
}

/// How a process ends before its work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Nothing more is done.
    Killed,
    /// It is told to stop.
    Stopped,
    /// The service asks it to come again when its deadline is long past.
    OutOfTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interruption {
    pub(crate) site: Site,
    /// The attempt of this number, of those at the site in this process, from 1.
    pub(crate) nth: u64,
    pub(crate) moment: Moment,
    pub(crate) manner: Manner,
    /// What happens to the state before the next process begins.
    pub(crate) damage: Option<Damage>,
}

/// What happens to what a process has left, or makes it unusable for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    CursorByteFlipped(u64),
    CursorCut(u64),
    CursorRemoved,
    CursorOfAnotherTask,
    CursorOfAnotherVersion,
    CursorContradictsItself,
    RunByteFlipped(u64),
    RunCut(u64),
    RunLengthened,
    RunRemoved(u64),
    RunExchanged(u64),
    /// What was there so many checkpoints ago is put back, but for one of its runs.
    OlderCursorWithoutRun(u64),
    /// What was there so many checkpoints ago is put back, whole: that is as good as what came after.
    OlderState(u64),
    /// A run that no cursor names: nobody minds.
    StrayRun,
    /// So many minutes pass, or the clock is set back by them.
    TimePasses(i64),
    /// What was left is of something else, in this respect.
    WasOf(Difference),
    /// Up to now it was another day, and perhaps the period in another state.
    WasAnotherDay(DateTime<Utc>),
}

/// In what respect a fingerprint differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    Endpoint,
    Region,
    Source,
    Account,
    PretendedDay,
    Strategy,
    PageSize,
    Spelling,
    Published,
    Mode(Mode),
    Key,
}

pub(crate) const DIFFERENCES: [Difference; 13] = [
    Difference::Endpoint,
    Difference::Region,
    Difference::Source,
    Difference::Account,
    Difference::PretendedDay,
    Difference::Strategy,
    Difference::PageSize,
    Difference::Spelling,
    Difference::Published,
    Difference::Mode(Mode::Full),
    Difference::Mode(Mode::Pseudonymous),
    Difference::Mode(Mode::CountsOnly),
    Difference::Key,
];

/// How old state may be.
pub(crate) const MAX_AGE: TimeDelta = TimeDelta::hours(6);

/// What one process is told, as far as it may differ from what another one is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guise {
    pub(crate) mode: Mode,
    /// Which of two keys makes the pseudonyms.
    pub(crate) other_key: bool,
    /// What else is different in the fingerprint.
    pub(crate) difference: Option<Difference>,
    pub(crate) as_of: DateTime<Utc>,
    /// How far the clock has moved since the first process.
    pub(crate) clock: TimeDelta,
}

impl Guise {
    /// Says whether two processes have the same fingerprint.
    pub(crate) fn is_of_the_same(&self, other: &Self) -> bool {
        let same_key = self.other_key == other.other_key || self.mode != Mode::Pseudonymous;
        self.mode == other.mode && same_key && self.difference == other.difference
    }
}

impl Case {
    /// Returns what happens to the state after the process of a number, if it is followed by another one.
    pub(crate) fn damage_after(&self, process: usize) -> Option<Damage> {
        self.interruptions.get(process).and_then(|interruption| interruption.damage)
    }

    /// Returns what the process of a number is told: the last one what the case says, those before it otherwise if
    /// the state that they leave is to be of something else.
    pub(crate) fn guise(&self, process: usize) -> Guise {
        let passed: i64 = self.interruptions[..process.min(self.interruptions.len())]
            .iter()
            .filter_map(|interruption| match interruption.damage {
                Some(Damage::TimePasses(minutes)) => Some(minutes),
                _ => None,
            })
            .sum();
        let mut guise = Guise {
            mode: self.mode,
            other_key: false,
            difference: None,
            as_of: self.as_of,
            clock: TimeDelta::minutes(passed),
        };
        let to_come = self.interruptions.iter().skip(process).find_map(|interruption| {
            interruption.damage.filter(|damage| matches!(damage, Damage::WasOf(_) | Damage::WasAnotherDay(_)))
        });
        match to_come {
            Some(Damage::WasOf(Difference::Mode(mode))) => guise.mode = mode,
            Some(Damage::WasOf(Difference::Key)) => guise.other_key = true,
            Some(Damage::WasOf(difference)) => guise.difference = Some(difference),
            Some(Damage::WasAnotherDay(as_of)) => guise.as_of = as_of,
            _ => {}
        }
        guise
    }
}
