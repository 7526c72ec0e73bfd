//! Histories of the real program: disturbed several times in a row, then left alone.
//!
//! Each draws tasks, lists that may change in between, and what befalls each run: a fail point that kills, tears or
//! starves it at a durable step, or a signal while a request is under way. However it goes, what is published after
//! each run is what was published before or the list as it is now; and a run that nobody disturbs makes everything
//! as if nobody ever had.

mod disturbing;
mod front;
mod judging;
mod program;
mod stage;
pub(crate) mod tally;
mod world;

use tokio::runtime::Handle;

use self::disturbing::{Aim, Step};
use self::stage::Stage;
use self::tally::Events;
use self::world::{Job, World};
use crate::draw::Draw;
use crate::schedule::Mode;
use crate::trial::Held;

/// Everything that is drawn.
#[derive(Clone, Debug)]
pub(crate) struct History {
    world: World,
    job: Job,
    /// The formats of a publication that stood before, if there was one.
    first: Option<Vec<&'static str>>,
    steps: Vec<Step>,
}

impl History {
    pub(crate) fn draw(seed: u64, number: u64) -> Self {
        let mut draw = Draw::new(u64::from_be_bytes(*b"history "), seed, number);
        let aim = Aim::of(number);
        let first = match aim.folder() {
            _ if aim.is_met_by_the_first_run_alone() => None,
            _ if aim.drops_a_format() => Some(vec!["parquet", "csv"]),
            _ => draw.chance(60).then(|| world::formats(&mut draw)),
        };
        let mut job = Job::draw(&mut draw);
        if aim.drops_a_format() {
            job.formats = vec![draw.pick(&["parquet", "csv"])];
        }
        // Long lists, of which something is written down that a later run may go on with.
        let long = aim.folder() == "walks" || draw.chance(60);
        if long {
            job.rows = 100;
        }
        if aim.folder() == "guest_roster" && job.mode == Mode::CountsOnly {
            job.mode = Mode::Full;
        }
        let restates = first.is_some() && (aim.is_a_kill() || !draw.chance(15));
        let generation = usize::from(restates);
        let change = draw.chance(25);
        let steps = aim.draw_steps(&mut draw, generation, change);
        let generations = generation + 1 + usize::from(change);
        let world = World::draw(&mut draw, generations, long);
        Self { world, job, first, steps }
    }

    /// Lives through the history, and says what was met.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub(crate) fn hold(&self, runtime: &Handle) -> Held<Events> {
        let mut stage = Stage::new(self, runtime)?;
        if let Some(formats) = &self.first {
            stage.publish_undisturbed(formats)?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            stage.live_through(step).map_err(|error| format!("run {}: {error}", number + 1))?;
        }
        stage.make_good()?;
        Ok(stage.events)
    }

    /// Returns histories with a little less in them, the smallest first.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut history = self.clone();
            change(&mut history);
            smaller.push(history);
        };
        for index in 0..self.steps.len() {
            add(&|history| drop(history.steps.remove(index)));
        }
        if self.world.networks.len() > 1 {
            add(&|history| history.world.networks.truncate(1));
        }
        if self.world.periods.len() > 1 {
            add(&|history| history.world.periods.truncate(1));
            add(&|history| {
                history.world.periods.remove(0);
            });
        }
        if self.job.concurrency > 1 {
            add(&|history| history.job.concurrency = 1);
        }
        smaller
    }
}
