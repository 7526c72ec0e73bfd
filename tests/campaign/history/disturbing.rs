//! How disturbances are drawn: each kind of durable step in turn, and any other moment by chance.

use super::program::{Disturbance, Told};
use crate::draw::Draw;
use crate::schedule::Moment;

/// One run of a history.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The lists that it meets.
    pub(super) generation: usize,
    pub(super) disturbance: Disturbance,
    /// Whether the state that it leaves is damaged before the next one, and where.
    pub(super) damage: Option<u64>,
}

/// The durable steps that a run takes: operation and folder. `root` is the output or the state location itself.
pub(super) const DURABLE_STEPS: [(&str, &str); 43] = [
    ("create-folder", "root"),
    ("create-folder", ".staging"),
    ("create-folder", ".locks"),
    ("create-folder", "walks"),
    ("create-folder", "revisions"),
    ("create-folder", "manifests"),
    ("create-folder", "guest_roster"),
    ("create-folder", "guest_counts"),
    ("create-folder", "summary"),
    ("lock", ".locks"),
    ("stage", ".staging"),
    ("write", ".staging"),
    ("link", ".staging"),
    ("sync", ".staging"),
    ("sync", "walks"),
    ("sync", "revisions"),
    ("sync", "manifests"),
    ("sync", "guest_roster"),
    ("sync", "guest_counts"),
    ("sync", "summary"),
    ("rename", "walks"),
    ("rename", "revisions"),
    ("rename", "manifests"),
    ("rename", "guest_roster"),
    ("rename", "guest_counts"),
    ("rename", "summary"),
    ("sync-folder", "root"),
    ("sync-folder", ".locks"),
    ("sync-folder", "walks"),
    ("sync-folder", "revisions"),
    ("sync-folder", "manifests"),
    ("sync-folder", "guest_roster"),
    ("sync-folder", "guest_counts"),
    ("sync-folder", "summary"),
    ("remove", ".staging"),
    ("remove", "walks"),
    ("remove", "revisions"),
    ("remove", "guest_roster"),
    ("remove", "guest_counts"),
    ("remove-folder", "walks"),
    ("remove-folder", "revisions"),
    ("remove-folder", "guest_roster"),
    ("remove-folder", "guest_counts"),
];

/// What only comes to pass after a run that died when its revision was complete and not yet published.
const CLEARING_UP: [(&str, &str); 3] =
    [("remove", ".staging"), ("remove", "revisions"), ("remove-folder", "revisions")];

/// What a history is drawn for: one kind of durable step, which it is killed at or which fails.
#[derive(Clone, Copy)]
pub(super) struct Aim {
    operation: &'static str,
    folder: &'static str,
    is_a_kill: bool,
    /// Whether it is the first thing that happens, and so surely does.
    comes_first: bool,
}

impl Aim {
    /// Takes each kind in turn, first to be killed there, then to fail.
    pub(super) fn of(number: u64) -> Self {
        let steps = DURABLE_STEPS.len() as u64;
        let (operation, folder) = DURABLE_STEPS[usize::try_from(number % steps).expect("few")];
        Self { operation, folder, is_a_kill: (number / steps).is_multiple_of(2), comes_first: number < steps }
    }

    pub(super) const fn folder(&self) -> &'static str {
        self.folder
    }

    pub(super) const fn is_a_kill(&self) -> bool {
        self.is_a_kill
    }

    /// Says whether it is a step that a format takes which is no longer wanted.
    pub(super) fn drops_a_format(&self) -> bool {
        ["remove", "remove-folder"].contains(&self.operation)
            && ["guest_roster", "guest_counts"].contains(&self.folder)
    }

    /// Says whether a run that finds an output already no longer takes this step.
    pub(super) fn is_met_by_the_first_run_alone(&self) -> bool {
        let root = ["root", ".locks"].contains(&self.folder) && self.operation == "sync-folder";
        root || (self.operation == "create-folder" && !["revisions", "walks"].contains(&self.folder))
    }

    /// Draws the runs of a history, from this generation on; with a change, from some run on it is the next one.
    pub(super) fn draw_steps(&self, draw: &mut Draw, generation: usize, change: bool) -> Vec<Step> {
        let mut disturbances = Vec::new();
        for _ in 0..draw.within(0, 2) {
            disturbances.push(match draw.within(0, 6) {
                0 | 1 => signal(draw),
                2 | 3 => anywhere(draw),
                4 => tear(draw),
                _ => {
                    let (operation, folder) = draw.pick(&DURABLE_STEPS);
                    at(draw, operation, folder)
                }
            });
        }
        let comes_first = self.comes_first || self.is_met_by_the_first_run_alone();
        let place = if comes_first { 0 } else { draw.index(disturbances.len() + 1) };
        disturbances.insert(place, self.disturbance(draw));
        if CLEARING_UP.contains(&(self.operation, self.folder)) {
            let fatal = "durable-step.before.rename.manifests=return(kill)";
            disturbances.insert(place, Disturbance::FailPoint(fatal.to_owned()));
        }
        let changed_from = if change { draw.index(disturbances.len() + 1) } else { usize::MAX };
        let step = |(index, disturbance)| Step {
            generation: generation + usize::from(index >= changed_from),
            disturbance,
            damage: draw.chance(12).then(|| draw.within(0, 1_000_000)),
        };
        disturbances.into_iter().enumerate().map(step).collect()
    }

    fn disturbance(&self, draw: &mut Draw) -> Disturbance {
        if !self.is_a_kill {
            return at(draw, self.operation, self.folder);
        }
        let moment = draw.pick(&["before", "before", "after"]);
        let spared = if self.comes_first { 0 } else { draw.pick(&[0, 0, 0, 0, 1, 2, 4]) };
        fail_point(moment, self.operation, self.folder, spared, "return(kill)")
    }
}

fn signal(draw: &mut Draw) -> Disturbance {
    Disturbance::Signal {
        signal: draw.pick(&[Told::Kill, Told::Terminate]),
        nth: draw.pick(&[1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30]),
        moment: draw.pick(&[Moment::Before, Moment::After]),
    }
}

/// Tears content that is not durable yet.
fn tear(draw: &mut Draw) -> Disturbance {
    let spared = draw.pick(&[0, 0, 0, 1, 2, 4]);
    match draw.pick(&[".staging", "walks", "revisions", "manifests", "summary"]) {
        ".staging" => fail_point("after", "write", ".staging", spared, "return(tear)"),
        folder => fail_point("before", "sync", folder, spared, "return(tear)"),
    }
}

/// Strikes at any durable step: the n-th.
fn anywhere(draw: &mut Draw) -> Disturbance {
    let spared = draw.within(0, 120);
    let action = draw.pick(&["kill", "kill", "enospc", "eacces", "erofs"]);
    let times = draw.pick(&["", "1*"]);
    Disturbance::FailPoint(format!("durable-step.before={spared}*off->{times}return({action})"))
}

/// Strikes at a durable step of one kind: the first of them, or one soon after.
fn at(draw: &mut Draw, operation: &str, folder: &str) -> Disturbance {
    let spared = draw.pick(&[0, 0, 0, 1, 2, 4, 8]);
    let moment = draw.pick(&["before", "before", "after"]);
    let action = if draw.chance(60) {
        "return(kill)".to_owned()
    } else {
        let times = draw.pick(&["", "1*"]);
        format!("{times}return({})", draw.pick(&["enospc", "eacces", "erofs"]))
    };
    fail_point(moment, operation, folder, spared, &action)
}

fn fail_point(moment: &str, operation: &str, folder: &str, spared: u64, action: &str) -> Disturbance {
    Disturbance::FailPoint(format!("durable-step.{moment}.{operation}.{folder}={spared}*off->{action}"))
}
