//! Runs that are disturbed at a durable step, each in a copy of the same output, and what must be true of each.
//!
//! After a disturbance the old publication or the new one is there and whole; after the next run there is nothing
//! but what an undisturbed run leaves, byte for byte where no clock decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tempfile::TempDir;

use super::{CLOSED, Exporter, NETWORK, Output, Run, Scene, files_below, guests, population};

pub(crate) type Rows = Vec<(String, String)>;

/// What a run is to publish, and what was published before.
pub(crate) struct History {
    export: Exporter,
    before: PathBuf,
    old: Option<Rows>,
    new: Rows,
    /// The files that were there before, and their bytes.
    published_before: BTreeMap<String, Vec<u8>>,
    /// The files of a run that nobody disturbed, their bytes, and its output.
    undisturbed: BTreeMap<String, Vec<u8>>,
}

/// One disturbed run and those after it.
struct Trial {
    export: Exporter,
    output: Output,
    home: TempDir,
}

impl History {
    /// Takes an export, the output before it, and the roster before and after; runs it undisturbed.
    pub(crate) fn new(export: Exporter, before: PathBuf, old: Option<Rows>, new: Rows) -> Self {
        let (published_before, undisturbed) = (BTreeMap::new(), BTreeMap::new());
        let mut history = Self { export, before, old, new, published_before, undisturbed };
        let trial = history.trial();
        history.published_before = contents(&trial.output);
        trial.export.run().exits(0);
        history.undisturbed = contents(&trial.output);
        history
    }

    /// Prepares the export in a home of its own, with a copy of the output, hard links and all.
    fn trial(&self) -> Trial {
        let home = tempfile::tempdir().expect("a folder");
        let out = home.path().join("out");
        if self.before.exists() {
            let copied = Command::new("cp").arg("-a").args([&self.before, &out]).status().expect("cp runs");
            assert!(copied.success(), "{copied}");
        }
        let (at, own) = (out.display().to_string(), home.path().display().to_string());
        let export = self.export.clone().replacing("--output", &at).env("HOME", &own);
        Trial { export, output: Output::new(out), home }
    }

    /// Returns the system calls of an undisturbed run that succeeded and change what folders hold or make it
    /// durable, each on a line as strace writes it, and the output.
    pub(crate) fn system_calls(&self) -> (Vec<String>, String) {
        const CALLS: &str =
            "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir";
        let trial = self.trial();
        let log = trial.home.path().join("calls").display().to_string();
        let strace = ["strace", "-f", "-y", "-qq", "-z", "-e", "signal=none", "-e", CALLS, "-o", &log];
        trial.export.under(&strace).run().exits(0);
        let calls = fs::read_to_string(&log).expect("a log").lines().map(str::to_owned).collect();
        (calls, trial.home.path().join("out").display().to_string())
    }

    /// Returns the durable steps of an undisturbed run, before and after each took effect.
    pub(crate) fn trace(&self) -> Vec<String> {
        let run = self.trial().export.fail_points("durable-step=return(trace)").run().exits(0);
        let lines = run.stderr.lines().filter_map(|line| line.strip_prefix("durable step: "));
        lines.map(str::to_owned).collect()
    }

    /// Lets the export fail at every step of a fail point, and judges what is left and what the next run makes of
    /// it. Returns the run, and what `verify` found before the next one.
    pub(crate) fn fail_at(&self, point: &str, fault: &str) -> (Run, Vec<String>) {
        let trial = self.trial();
        let run = trial.export.clone().fail_points(&format!("{point}=return({fault})")).run();
        assert!(run.stderr.contains("failed at durable step: "), "{point} is met:\n{}", run.stderr);
        let found = self.judge(&trial, &format!("with {fault} at {point}"));
        (run, found)
    }

    /// Kills the export at each step of a fail point in turn, each time in a copy of the output, and judges what is
    /// left and what the next run makes of it. Returns the steps, in their order.
    pub(crate) fn die_at_each(&self, point: &str, death: &str) -> Vec<String> {
        let (next, survived) = (AtomicU64::new(0), AtomicBool::new(false));
        let steps = Mutex::new(BTreeMap::new());
        let work = || {
            while !survived.load(Ordering::SeqCst) {
                let number = next.fetch_add(1, Ordering::SeqCst);
                let trial = self.trial();
                let fatal = format!("{point}={number}*off->return({death})");
                match trial.export.clone().fail_points(&fatal).run_to_death() {
                    Ok(run) => {
                        run.exits(0);
                        survived.store(true, Ordering::SeqCst);
                    }
                    Err(step) => {
                        self.judge(&trial, &format!("after a death {step}"));
                        steps.lock().expect("no panic").insert(number, step);
                    }
                }
            }
        };
        let workers = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
        steps.into_inner().expect("no panic").into_values().collect()
    }

    fn judge(&self, trial: &Trial, disturbance: &str) -> Vec<String> {
        let found = self.judge_what_was_left(trial, disturbance);
        trial.export.clone().run().exits(0);
        assert_eq!(trial.findings(), Vec::<String>::new(), "the next run makes good, {disturbance}");
        assert_eq!(trial.state(), Vec::<PathBuf>::new(), "the state goes away, {disturbance}");
        assert!(trial.output.roster(NETWORK, CLOSED) == self.new, "the roster is the new one, {disturbance}");
        let (left, expected) = (contents(&trial.output), &self.undisturbed);
        assert!(left.keys().eq(expected.keys()), "{disturbance}: {:?}", left.keys());
        for (path, bytes) in left.iter().filter(|(path, _)| path.starts_with("guest_")) {
            assert!(*bytes == expected[path], "{path} has the bytes of an undisturbed run, {disturbance}");
        }
        found
    }

    /// The old publication or the new one is there and whole: `verify` complains of nothing but what is derived
    /// from the new one, and what was never published.
    fn judge_what_was_left(&self, trial: &Trial, disturbance: &str) -> Vec<String> {
        let (findings, output) = (trial.findings(), &trial.output);
        let manifest = output.is_published(NETWORK, CLOSED).then(|| output.manifest(NETWORK, CLOSED));
        let revision = manifest.as_ref().and_then(|manifest| manifest["revision"].as_u64()).unwrap_or(0);
        let old_revision = u64::from(self.old.is_some());
        let (is_new, rows) = match &self.old {
            Some(old) if revision == old_revision => (false, Some(old)),
            None if revision == 0 => (false, None),
            _ => {
                assert_eq!(revision, old_revision + 1, "{disturbance}");
                (true, Some(&self.new))
            }
        };
        if let (Some(manifest), Some(rows)) = (manifest, rows) {
            let files = manifest["files"].as_array().expect("files");
            let mut paths = files.iter().filter_map(|file| file["path"].as_str());
            let roster = paths.find(|path| path.ends_with("guest_roster.parquet")).expect("a roster");
            assert!(output.rows(roster) == *rows, "the published roster is whole, {disturbance}");
        }
        for (path, bytes) in contents(output).iter().filter(|(path, _)| path.starts_with("guest_")) {
            let is_whole = bytes == &self.undisturbed[path] || Some(bytes) == self.published_before.get(path);
            assert!(is_whole, "the current copy {path} is the old file or the new one, {disturbance}");
        }
        for finding in &findings {
            let expected = if finding.contains("cannot be") {
                false
            } else if is_new {
                finding.starts_with("guest_roster/")
                    || finding.starts_with("guest_counts/")
                    || finding.starts_with("summary/")
            } else {
                let nothing_published = rows.is_none() && finding.contains("holds no publication");
                nothing_published || finding.contains("was never published: a run died")
            };
            assert!(expected, "{disturbance}: {finding}");
        }
        findings
    }
}

impl Trial {
    /// Lists the files of all checkpoints.
    fn state(&self) -> Vec<PathBuf> {
        files_below(&self.home.path().join(".local/state/wickr-guest-export/walks"))
    }

    /// Returns what `verify` finds.
    fn findings(&self) -> Vec<String> {
        let run = self.export.verifying(&self.home.path().join("out")).run();
        let mut lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
        let verdict = lines.pop().expect("a verdict");
        let is_clean = verdict.contains("whole and unaltered");
        assert_eq!((run.code == 0, lines.is_empty()), (is_clean, is_clean), "{}", run.stdout);
        lines
    }
}

/// Returns every file and its bytes, each revision by its number alone.
fn contents(output: &Output) -> BTreeMap<String, Vec<u8>> {
    let without_nonce = |path: &str| {
        let segments = path.split('/').map(|segment| match segment.split_once('-') {
            Some((number, _nonce)) if path.starts_with("revisions/") && number.starts_with("r0") => number,
            _ => segment,
        });
        segments.collect::<Vec<_>>().join("/")
    };
    output.files().iter().map(|path| (without_nonce(path), output.bytes(path))).collect()
}

/// Returns which operations on which folders there were, of steps such as `before rename manifests/…`.
pub(crate) fn kinds(steps: &[String]) -> BTreeSet<String> {
    let kind = |step: &String| {
        let mut words = step.split(' ').skip(1);
        let (operation, path) = (words.next().expect("an operation"), words.next().expect("a path"));
        format!("{operation} {}", path.split('/').next().expect("a first segment"))
    };
    steps.iter().map(kind).collect()
}

#[track_caller]
pub(crate) fn assert_hit(steps: &[String], expected: &[&str]) {
    let hit = kinds(steps);
    let missed: Vec<&&str> = expected.iter().filter(|kind| !hit.contains(**kind)).collect();
    assert!(missed.is_empty(), "{missed:?} among {hit:?}");
}

/// A history and the service that it happens to.
pub(crate) struct Story {
    pub(crate) history: History,
    _scene: Scene,
}

impl Story {
    /// A task is published for the first time, into a folder that does not exist.
    pub(crate) fn first_publication() -> Self {
        let scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
        let (export, nothing) = (scene.export(CLOSED), scene.path("nothing"));
        Self { history: History::new(export, nothing, None, guests(0..100)), _scene: scene }
    }

    /// A list of four pages is published for the first time, and written down page by page on the way.
    pub(crate) fn first_publication_of_a_long_list() -> Self {
        let scene = Scene::new(population(&[(CLOSED, guests(0..350))]));
        let export = scene.job("[resume]\nrows = 100\n").args(["--network", NETWORK, "--period", CLOSED]);
        let nothing = scene.path("nothing");
        Self { history: History::new(export, nothing, None, guests(0..350)), _scene: scene }
    }

    /// A roster replaces one that was published.
    pub(crate) fn restatement() -> Self {
        let scene = restated();
        let (export, before) = (scene.export(CLOSED), scene.path("out"));
        Self { history: History::new(export, before, Some(guests(0..100)), guests(3..105)), _scene: scene }
    }

    /// The same, after a run that died when it had written all but the manifest.
    pub(crate) fn restatement_after_a_death() -> Self {
        let scene = restated();
        let (export, before) = (scene.export(CLOSED), scene.path("out"));
        let fatal = "durable-step.before.rename.manifests=return(kill)";
        let died = export.clone().fail_points(fatal).run_to_death();
        assert!(died.is_err_and(|step| step.starts_with("before rename manifests/")));
        assert_eq!(fs::read_dir(before.join(".staging")).expect("a folder").count(), 1);
        Self { history: History::new(export, before, Some(guests(0..100)), guests(3..105)), _scene: scene }
    }
}

fn restated() -> Scene {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    scene.run(CLOSED).exits(0);
    scene.becomes(population(&[(CLOSED, guests(3..105))]));
    scene
}
