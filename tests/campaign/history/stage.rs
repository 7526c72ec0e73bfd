//! Where a history is played: an output, a state folder, a front before the simulator, and the runs themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::runtime::Handle;
use wickr_guest_export::simulator::{RunningSimulator, Simulator};

use super::History;
use super::disturbing::{DURABLE_STEPS, Step};
use super::front::Front;
use super::judging::{self, Contents, Damaged, Mixed, Publications};
use super::program::{self, Disturbance, Ended};
use super::tally::Events;
use super::world::{AS_OF, KEY};
use crate::scratch_folder;
use crate::trial::{Held, ensure};

/// What an undisturbed run makes of a generation.
struct Reference {
    publications: Publications,
    current: Contents,
}

pub(super) struct Stage<'a> {
    history: &'a History,
    runtime: &'a Handle,
    folder: TempDir,
    front: Front,
    simulator: Option<RunningSimulator>,
    generation: Option<usize>,
    references: BTreeMap<usize, Reference>,
    /// Tasks that may go on with a walk of a list that has changed since, and need not find out.
    may_mix: Mixed,
    /// The files of state that were damaged.
    damaged: Damaged,
    was_killed: bool,
    /// Whether a run went on with what a killed one had left.
    was_resumed: bool,
    pub(super) events: Events,
}

impl<'a> Stage<'a> {
    pub(super) fn new(history: &'a History, runtime: &'a Handle) -> Held<Self> {
        let folder = scratch_folder().map_err(|error| format!("a folder: {error}"))?;
        Ok(Self {
            history,
            runtime,
            folder,
            front: Front::start(runtime),
            simulator: None,
            generation: None,
            references: BTreeMap::new(),
            may_mix: Mixed::new(),
            damaged: Damaged::new(),
            was_killed: false,
            was_resumed: false,
            events: Events::default(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Publishes the first generation before anything happens.
    pub(super) fn publish_undisturbed(&mut self, formats: &[&'static str]) -> Held<()> {
        self.become_generation(0)?;
        let ended = self.run("out", "state", formats, &Disturbance::None)?;
        exits(&ended, 0)?;
        judging::hold_whole(&self.path("out"), self.runtime)
    }

    /// Lives through one run, and judges what it leaves.
    pub(super) fn live_through(&mut self, step: &Step) -> Held<()> {
        self.become_generation(step.generation)?;
        let ended = self.run_and_judge(&step.disturbance)?;
        judging::hold_end(&step.disturbance, &ended)?;
        self.events.add(&step.disturbance, &ended);
        if let Some(any) = step.damage {
            self.damage(any)?;
        }
        Ok(())
    }

    /// Leaves the program alone until everything must be as if it always had been.
    pub(super) fn make_good(&mut self) -> Held<()> {
        let generation = match (self.history.steps.last(), self.generation) {
            (Some(step), _) => step.generation,
            (None, generation) => generation.unwrap_or(0),
        };
        self.become_generation(generation)?;
        for round in ["the run after all", "the run after that"] {
            self.make_good_once(round).map_err(|error| format!("{round}: {error}"))?;
            if std::mem::take(&mut self.may_mix).is_empty() {
                break;
            }
            self.events.count("a walk of a list that changed, walked again");
        }
        let History { world, job, .. } = self.history;
        if world.tasks().count() > 1 && job.concurrency > 1 {
            self.events.count("several tasks at once");
        }
        if self.was_resumed {
            self.events.count("killed, and gone on with by a later run");
        }
        for fault in &self.simulator.as_ref().expect("a simulator").stats().faults {
            if fault.struck > 0 {
                self.events.count(&format!("{:?} struck", fault.kind));
            }
        }
        Ok(())
    }

    fn make_good_once(&mut self, round: &str) -> Held<()> {
        let kept = judging::kept_walks(&self.path("state"), &self.path("out"), &self.damaged)?;
        let ended = self.run_and_judge(&Disturbance::None)?;
        exits(&ended, 0)?;
        let said = |text: &str| ended.stderr.matches(text).count();
        ensure("walks that were gone on with", &said("going on where an earlier run stopped"), &kept.usable)?;
        ensure("walks that were discarded", &said("unfinished walk discarded"), &kept.unusable)?;
        self.events.add_kept(kept);

        judging::hold_whole(&self.path("out"), self.runtime)?;
        let verified = self.verify()?;
        exits(&verified, 0)?;
        for place in ["state/walks", "state/.staging", "out/.staging"] {
            ensure(&format!("files in {place}"), &judging::files_below(&self.path(place)), &Vec::new())?;
        }
        if self.may_mix.is_empty() {
            let generation = self.generation.expect("a generation");
            let reference = &self.references[&generation];
            let current = judging::current_copies(&self.path("out"));
            ensure(
                "current copies",
                &current.keys().collect::<Vec<_>>(),
                &reference.current.keys().collect(),
            )?;
            for (path, bytes) in &current {
                if *bytes != reference.current[path] {
                    return Err(format!("{path} has not the bytes of an undisturbed run"));
                }
            }
            self.events.count(round);
        }
        Ok(())
    }

    fn run_and_judge(&mut self, disturbance: &Disturbance) -> Held<Ended> {
        let before = judging::publications(&self.path("out"))?;
        let ended = self.run("out", "state", &self.history.job.formats, disturbance)?;
        let judged = judging::hold_publications(
            &self.path("out"),
            self.runtime,
            &before,
            &self.references[&self.generation.expect("a generation")].publications,
            &self.may_mix,
            ended.code == Some(0),
        );
        judged.map_err(|error| format!("{error}\nafter {disturbance:?}, which said:\n{}", ended.stderr))?;
        if let Some(unknown) = ended.traced().find(|kind| !DURABLE_STEPS.contains(kind)) {
            return Err(format!("a durable step of a kind that no history is drawn for: {unknown:?}"));
        }
        if ended.stderr.contains("going on where an earlier run stopped") && self.was_killed {
            self.was_resumed = true;
        }
        self.was_killed |= ended.signal.is_some();
        Ok(ended)
    }

    /// Makes the lists those of a generation, and finds out what an undisturbed run makes of them.
    fn become_generation(&mut self, generation: usize) -> Held<()> {
        if self.generation == Some(generation) {
            return Ok(());
        }
        let world = &self.history.world;
        let config = world.simulator(generation);
        let simulator = self.runtime.block_on(Simulator::start(config)).map_err(|error| error.to_string())?;
        self.front.lead_to(&simulator.endpoint());
        self.simulator = Some(simulator);
        for task in world.tasks() {
            let (network, period) = task;
            let kept = judging::files_below(&self.path("state/walks"));
            let place = format!("period={period}/network={network}/");
            let is_kept = kept.iter().any(|path| path.contains(&place));
            if is_kept && !(0..generation).all(|before| world.a_change_is_found_out(task, before, generation))
            {
                self.may_mix.insert(task, world.everybody(task, generation));
            }
        }
        self.generation = Some(generation);
        if !self.references.contains_key(&generation) {
            let (out, state) = (format!("reference-{generation}"), format!("reference-state-{generation}"));
            let ended = self.run(&out, &state, &self.history.job.formats, &Disturbance::None)?;
            exits(&ended, 0)?;
            let out = self.path(&out);
            let lists = &world.generations[generation];
            judging::hold_reference(&out, self.history.job.mode, world.tasks(), lists)?;
            let publications = judging::publications(&out)?;
            self.references
                .insert(generation, Reference { publications, current: judging::current_copies(&out) });
        }
        Ok(())
    }

    /// Damages a file of state, if there is one.
    fn damage(&mut self, any: u64) -> Held<()> {
        let state = self.path("state");
        let files = judging::files_below(&state.join("walks"));
        let any = usize::try_from(any).expect("small");
        let Some(file) = files.get(any % files.len().max(1)) else { return Ok(()) };
        let path = state.join("walks").join(file);
        let mut bytes = fs::read(&path).map_err(|error| error.to_string())?;
        let at = any % bytes.len();
        bytes[at] ^= 1;
        fs::remove_file(&path).and_then(|()| fs::write(&path, &bytes)).map_err(|error| error.to_string())?;
        self.damaged.insert(path, bytes);
        self.events.count("a file of state damaged");
        Ok(())
    }

    fn run(
        &self,
        out: &str,
        state: &str,
        formats: &[&'static str],
        disturbance: &Disturbance,
    ) -> Held<Ended> {
        let job = super::world::Job { formats: formats.to_vec(), ..self.history.job.clone() };
        let file = self.path("job.toml");
        fs::write(&file, job.to_toml(&self.history.world)).map_err(|error| error.to_string())?;
        let shown = |path: &Path| path.display().to_string();
        let arguments = [
            "run".to_owned(),
            shown(&file),
            "--output".to_owned(),
            shown(&self.path(out)),
            "--state".to_owned(),
            shown(&self.path(state)),
            "--as-of".to_owned(),
            AS_OF.to_owned(),
        ];
        program::run(&arguments, &self.environment(), self.folder.path(), disturbance, &self.front)
    }

    fn verify(&self) -> Held<Ended> {
        let arguments = ["verify".to_owned(), self.path("out").display().to_string()];
        program::run(&arguments, &self.environment(), self.folder.path(), &Disturbance::None, &self.front)
    }

    fn environment(&self) -> Vec<(String, String)> {
        let simulator = self.simulator.as_ref().expect("a simulator");
        let keys = simulator.credentials();
        [
            ("HOME", self.folder.path().display().to_string()),
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_ENDPOINT_URL_WICKR", self.front.url()),
            ("AWS_ACCESS_KEY_ID", keys.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.clone()),
            ("AWS_REGION", simulator.region().to_owned()),
            ("CAMPAIGN_PSEUDONYM_KEY", KEY.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

fn exits(ended: &Ended, code: i32) -> Held<()> {
    if ended.code == Some(code) {
        return Ok(());
    }
    Err(format!("ended with {:?} and not with {code}:\n{}\n{}", ended.code, ended.stdout, ended.stderr))
}
