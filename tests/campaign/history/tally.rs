//! What histories have met: each kind of durable step, each signal, each way in which something is kept.

use std::collections::BTreeMap;
use std::fmt;

use super::disturbing::DURABLE_STEPS;
use super::judging::KeptWalks;
use super::program::{Disturbance, Ended, Told, kind_of};
use super::world::SERVICE_FAULTS;

/// Counts by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    histories: u64,
    runs: u64,
    counts: BTreeMap<String, u64>,
}

impl Events {
    pub(super) fn count(&mut self, name: &str) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    /// Counts a run and what befell it.
    pub(super) fn add(&mut self, disturbance: &Disturbance, ended: &Ended) {
        self.runs += 1;
        let steps = ended.steps();
        for (what, step) in &steps {
            let (operation, folder) = kind_of(step);
            self.count(&format!("{what} at {operation} {folder}"));
            self.count(what);
            if step.contains(" .locks/walks/") {
                self.count(&format!("{what} at {operation} of the state's locks"));
            }
        }
        match disturbance {
            Disturbance::FailPoint(_) if steps.is_empty() => self.count("never came to its fail point"),
            Disturbance::FailPoint(actions) => {
                for errno in ["enospc", "eacces", "erofs"] {
                    if actions.contains(errno) {
                        self.count(errno);
                    }
                }
            }
            Disturbance::Signal { signal, moment, .. } if ended.was_signalled => {
                let name = if *signal == Told::Kill { "SIGKILL" } else { "SIGTERM" };
                self.count(&format!("{name} {moment:?} a request was answered"));
            }
            Disturbance::Signal { .. } => self.count("never came to its signal"),
            Disturbance::None => self.count("undisturbed"),
        }
        match (ended.code, ended.signal) {
            (Some(code), _) => self.count(&format!("exit {code}")),
            (None, _) => self.count("ended by a signal"),
        }
    }

    pub(super) fn add_kept(&mut self, kept: KeptWalks) {
        for (name, times) in [
            ("a walk gone on with by the run after all", kept.usable),
            ("a walk discarded by the run after all", kept.unusable),
        ] {
            for _ in 0..times {
                self.count(name);
            }
        }
    }

    /// Adds what another history has met.
    pub(crate) fn add_history(&mut self, other: Self) {
        self.histories += 1;
        self.runs += other.runs;
        for (name, times) in other.counts {
            *self.counts.entry(name).or_default() += times;
        }
    }

    /// Lists what should have been met and was not.
    pub(crate) fn missing(&self) -> Vec<String> {
        let kills = DURABLE_STEPS.map(|(operation, folder)| format!("killed at {operation} {folder}"));
        let others = [
            "torn",
            "failed",
            "enospc",
            "eacces",
            "erofs",
            "SIGKILL Before a request was answered",
            "SIGKILL After a request was answered",
            "SIGTERM Before a request was answered",
            "SIGTERM After a request was answered",
            "exit 0",
            "exit 73",
            "exit 75",
            "a walk gone on with by the run after all",
            "a walk discarded by the run after all",
            "a file of state damaged",
            "killed, and gone on with by a later run",
            "several tasks at once",
        ];
        let faults = SERVICE_FAULTS.map(|kind| format!("{kind:?} struck"));
        let wanted = kills.into_iter().chain(others.map(str::to_owned)).chain(faults);
        wanted.filter(|name| !self.counts.contains_key(name)).collect()
    }
}

impl fmt::Display for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "Histories: {} held, {} disturbed runs", self.histories, self.runs)?;
        for (name, times) in &self.counts {
            writeln!(formatter, "    {times:>7}  {name}")?;
        }
        Ok(())
    }
}
