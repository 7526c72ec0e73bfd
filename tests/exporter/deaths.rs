//! Death at every durable step, one after the other: what was published stays whole, and the next run makes good.
//!
//! A run is killed before each of its changes in turn, in a copy of the same output, until one survives. What is on
//! the disk after a change is what is there before the next, so nothing that a kill can leave is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::support::{CLOSED, Exporter, NETWORK, Output, Scene, guests, population};

/// The fail point of every durable step before it takes effect.
const EACH_STEP: &str = "durable-step.before";

type Rows = Vec<(String, String)>;

/// What a run is to publish, and what was published before.
struct History<'a> {
    export: &'a Exporter,
    old: Option<Rows>,
    new: Rows,
    /// The files of a run that nobody disturbed, their bytes, and its output.
    undisturbed: BTreeMap<String, Vec<u8>>,
}

impl<'a> History<'a> {
    /// Runs the export undisturbed in a copy of `before`.
    fn new(export: &'a Exporter, before: &Path, old: Option<Rows>, new: Rows) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let output = copy_of(before, folder.path());
        exporting(export, folder.path()).run().exits(0);
        Self { export, old, new, undisturbed: contents(&output) }
    }

    /// Kills the export at each step of a fail point in turn, each time in a copy of `before`, and judges what is
    /// left and what the next run makes of it. Returns the steps, in their order.
    fn die_at_each(&self, point: &str, death: &str, before: &Path) -> Vec<String> {
        let (next, survived) = (AtomicU64::new(0), AtomicBool::new(false));
        let steps = Mutex::new(BTreeMap::new());
        let work = || {
            while !survived.load(Ordering::SeqCst) {
                let number = next.fetch_add(1, Ordering::SeqCst);
                let folder = tempfile::tempdir().expect("a folder");
                let output = copy_of(before, folder.path());
                let fatal = format!("{point}={number}*off->return({death})");
                match exporting(self.export, folder.path()).fail_points(&fatal).run_to_death() {
                    Ok(run) => {
                        run.exits(0);
                        survived.store(true, Ordering::SeqCst);
                    }
                    Err(step) => {
                        self.judge(&output, folder.path(), &step);
                        steps.lock().expect("no panic").insert(number, step);
                    }
                }
            }
        };
        let workers = thread::available_parallelism().map_or(2, usize::from);
        thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
        steps.into_inner().expect("no panic").into_values().collect()
    }

    fn judge(&self, output: &Output, home: &Path, step: &str) {
        self.judge_what_a_death_left(output, home, step);
        exporting(self.export, home).run().exits(0);
        let whole = verified(self.export, home);
        assert_eq!(whole, Vec::<String>::new(), "the next run makes good after a death {step}");
        let rows = output.roster(NETWORK, CLOSED);
        assert!(rows == self.new, "the next run publishes the new roster after a death {step}");
        let (left, expected) = (contents(output), &self.undisturbed);
        assert!(left.keys().eq(expected.keys()), "after a death {step}: {:?}", left.keys());
        for (path, bytes) in left.iter().filter(|(path, _)| path.starts_with("guest_")) {
            assert!(
                *bytes == expected[path],
                "{path} has the bytes of an undisturbed run after a death {step}"
            );
        }
    }

    /// The old publication or the new one is there and whole: `verify` complains of nothing but what is derived
    /// from the new one, and what was never published.
    fn judge_what_a_death_left(&self, output: &Output, home: &Path, step: &str) {
        let findings = verified(self.export, home);
        let manifest = output.is_published(NETWORK, CLOSED).then(|| output.manifest(NETWORK, CLOSED));
        let revision = manifest.as_ref().and_then(|manifest| manifest["revision"].as_u64()).unwrap_or(0);
        let old_revision = u64::from(self.old.is_some());
        let (is_new, rows) = match &self.old {
            Some(old) if revision == old_revision => (false, Some(old)),
            None if revision == 0 => (false, None),
            _ => {
                assert_eq!(revision, old_revision + 1, "after a death {step}");
                (true, Some(&self.new))
            }
        };
        if let (Some(manifest), Some(rows)) = (manifest, rows) {
            let files = manifest["files"].as_array().expect("files");
            let mut paths = files.iter().filter_map(|file| file["path"].as_str());
            let roster = paths.find(|path| path.ends_with("guest_roster.parquet")).expect("a roster");
            assert!(output.rows(roster) == *rows, "the published roster is whole after a death {step}");
        }
        for finding in findings {
            let expected = if is_new {
                finding.starts_with("guest_roster/")
                    || finding.starts_with("guest_counts/")
                    || finding.starts_with("summary/")
            } else {
                let nothing_published = rows.is_none() && finding.contains("holds no publication");
                nothing_published || finding.contains("was never published: a run died")
            };
            assert!(expected, "after a death {step}: {finding}");
        }
    }
}

fn exporting(export: &Exporter, home: &Path) -> Exporter {
    let (out, home) = (home.join("out").display().to_string(), home.display().to_string());
    export.clone().replacing("--output", &out).env("HOME", &home)
}

/// Copies an output, hard links and all, if there is one.
fn copy_of(before: &Path, home: &Path) -> Output {
    let out = home.join("out");
    if before.exists() {
        let copied = Command::new("cp").arg("-a").args([before, &out]).status().expect("cp runs");
        assert!(copied.success(), "{copied}");
    }
    Output::new(out)
}

/// Returns what `verify` finds.
fn verified(export: &Exporter, home: &Path) -> Vec<String> {
    let run = export.verifying(&home.join("out")).run();
    let mut lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
    let verdict = lines.pop().expect("a verdict");
    assert_eq!(
        (run.code == 0, lines.is_empty()),
        (lines.is_empty(), verdict.contains("whole and unaltered"))
    );
    lines
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
fn kinds(steps: &[String]) -> BTreeSet<String> {
    let kind = |step: &String| {
        let mut words = step.split(' ').skip(1);
        let (operation, path) = (words.next().expect("an operation"), words.next().expect("a path"));
        format!("{operation} {}", path.split('/').next().expect("a first segment"))
    };
    steps.iter().map(kind).collect()
}

#[track_caller]
fn assert_hit(steps: &[String], expected: &[&str]) {
    let hit = kinds(steps);
    let missed: Vec<&&str> = expected.iter().filter(|kind| !hit.contains(**kind)).collect();
    assert!(missed.is_empty(), "{missed:?} among {hit:?}");
}

#[test]
fn a_first_publication_that_dies_at_any_step_is_nothing_or_whole_and_the_next_run_makes_good() {
    let scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    let (export, nothing) = (scene.export(CLOSED), scene.path("nothing"));
    let steps =
        History::new(&export, &nothing, None, guests(0..100)).die_at_each(EACH_STEP, "kill", &nothing);
    let folders = ["revisions", "manifests", "guest_roster", "guest_counts", "summary"];
    for operation in ["create-folder", "sync", "rename", "sync-folder"] {
        assert_hit(
            &steps,
            &folders.map(|folder| format!("{operation} {folder}")).each_ref().map(|kind| &**kind),
        );
    }
    let others = ["create-folder .", "stage .staging", "write .staging", "link .staging", "lock .locks"];
    assert_hit(&steps, &others);
}

#[test]
fn a_restatement_that_dies_at_any_step_leaves_the_old_roster_or_the_new_and_the_next_run_makes_good() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    scene.run(CLOSED).exits(0);
    scene.becomes(population(&[(CLOSED, guests(3..105))]));
    let (export, before) = (scene.export(CLOSED), scene.path("out"));
    let history = History::new(&export, &before, Some(guests(0..100)), guests(3..105));
    let steps = history.die_at_each(EACH_STEP, "kill", &before);
    assert_hit(
        &steps,
        &["create-folder revisions", "rename revisions", "rename manifests", "rename summary"],
    );
    assert_hit(&steps, &["link .staging", "rename guest_roster", "rename guest_counts"]);
}

#[test]
fn a_run_that_dies_while_it_sweeps_what_another_left_loses_nothing_and_the_next_run_makes_good() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    scene.run(CLOSED).exits(0);
    scene.becomes(population(&[(CLOSED, guests(3..105))]));
    let (export, before) = (scene.export(CLOSED), scene.path("out"));
    let history = History::new(&export, &before, Some(guests(0..100)), guests(3..105));
    // A revision that is complete but for its name in the manifest, and a staged file.
    let fatal = "durable-step.before.rename.manifests=return(kill)";
    let died = export.clone().fail_points(fatal).run_to_death();
    assert!(died.is_err_and(|step| step.starts_with("before rename manifests/")));
    assert_eq!(fs::read_dir(before.join(".staging")).expect("a folder").count(), 1);
    // What follows the sweep is an undisturbed restatement.
    for (point, hit) in [
        ("durable-step.before.remove", ["remove .staging", "remove revisions"].as_slice()),
        ("durable-step.before.remove-folder", &["remove-folder revisions"]),
        ("durable-step.after.remove-folder", &["remove-folder revisions"]),
    ] {
        assert_hit(&history.die_at_each(point, "kill", &before), hit);
    }
}

#[test]
fn content_that_a_loss_of_power_tears_before_it_is_synced_is_never_taken_for_whole() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    scene.run(CLOSED).exits(0);
    scene.becomes(population(&[(CLOSED, guests(3..105))]));
    let (export, before) = (scene.export(CLOSED), scene.path("out"));
    let history = History::new(&export, &before, Some(guests(0..100)), guests(3..105));
    for (point, hit) in [
        ("durable-step.after.write", "write .staging"),
        ("durable-step.before.sync.revisions", "sync revisions"),
        ("durable-step.before.sync.manifests", "sync manifests"),
        ("durable-step.before.sync.summary", "sync summary"),
    ] {
        assert_hit(&history.die_at_each(point, "tear", &before), &[hit]);
    }
}
