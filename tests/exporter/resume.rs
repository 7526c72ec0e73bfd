//! A run goes on where another stopped: what is read again, what is trusted, and what is left behind.
//!
//! Lists have 1,050 guests on eleven pages, and what was read is written down every three pages.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::process::Signal;
use serde_json::Value;
use wickr_guest_export::simulator::{Fault, FaultKind, History, SimulatorConfig, When};
use wickr_guest_export::storage::seal;

use crate::support::{
    CLOSED, Exporter, NETWORK, OLD, Run, SETTLING, Scene, files_below, guests, population, tell,
};

const JOB: &str = "[request]\nattempts = 2\ntimeout = \"20s\"\n[resume]\nrows = 300\n";

/// The closed month is confirmed by the count, the old one by two walks at the same time.
fn long_lists(faults: Vec<Fault>) -> SimulatorConfig {
    let months = [CLOSED, OLD, SETTLING].map(|month| (month, guests(1..=1050)));
    SimulatorConfig { faults, ..population(&months) }
}

/// The count of the closed month is wrong, so that a second walk follows the first.
fn miscounted(faults: Vec<Fault>) -> Scene {
    let history = History { delta: 7, ..History::default() };
    Scene::new(SimulatorConfig { history, ..long_lists(faults) })
}

fn stalled_at(page: u64) -> Scene {
    Scene::new(long_lists(vec![Fault::new(FaultKind::Stall, When::nth(page))]))
}

fn export(scene: &Scene, month: &str) -> Exporter {
    scene.job(JOB).args(["--network", NETWORK, "--period", month])
}

/// Starts an export and kills it while it waits for a page.
fn kill_at(scene: &Scene, exporter: &Exporter, page: u64) {
    let mut child = exporter.spawn();
    scene.wait_for_pages(page);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

fn state(scene: &Scene) -> PathBuf {
    scene.path(".local/state/wickr-guest-export")
}

/// Lists the files of all checkpoints.
fn kept(scene: &Scene) -> Vec<PathBuf> {
    files_below(&state(scene).join("walks"))
}

fn runs(scene: &Scene) -> Vec<PathBuf> {
    kept(scene).into_iter().filter(|path| path.extension().is_some_and(|end| end == "run")).collect()
}

fn cursor(scene: &Scene) -> PathBuf {
    kept(scene).into_iter().find(|path| path.ends_with("cursor.json")).expect("a cursor")
}

/// Returns what the manifest says of the walk, and the digests of all files.
fn published(scene: &Scene, month: &str) -> (Value, Vec<(String, String)>) {
    let manifest = scene.output().manifest(NETWORK, month);
    let files = manifest["files"].as_array().expect("files").iter().map(|file| {
        let text = |key: &str| file[key].as_str().expect("a text").to_owned();
        (format!("{}.{}", text("dataset"), text("format")), text("sha256"))
    });
    (manifest["walk"].clone(), files.collect())
}

/// Holds what a run published after others were interrupted against a run that nobody disturbed.
#[track_caller]
fn assert_same_as_undisturbed(scene: &Scene, run: Run, month: &str) -> Value {
    let run = run.exits(0);
    scene.assert_no_token_in(&run);
    scene.assert_published_whole(month);
    let (walk, files) = published(scene, month);
    // Where the count is wrong two walks agree, as they do where there is none.
    let walks = walk["walks"].as_u64().expect("a number");
    let undisturbed =
        if walks == 1 || month == OLD { Scene::new(long_lists(Vec::new())) } else { miscounted(Vec::new()) };
    export(&undisturbed, month).run().exits(0);
    let (expected_walk, expected_files) = published(&undisturbed, month);
    assert_eq!(files, expected_files, "byte for byte");
    for counter in ["walks", "pages", "rows", "duplicates", "edge_repeats", "stable"] {
        assert_eq!(walk[counter], expected_walk[counter], "{counter}");
    }
    assert_eq!(kept(scene), Vec::<PathBuf>::new(), "the state goes away once its roster is published");
    walk
}

#[test]
fn after_a_kill_at_most_one_runs_pages_are_read_again() {
    let scene = stalled_at(8);
    let exporter = export(&scene, CLOSED);
    kill_at(&scene, &exporter, 8);
    assert_eq!(runs(&scene).len(), 2, "of the seven pages, six are written down");
    let walk = assert_same_as_undisturbed(&scene, exporter.run(), CLOSED);
    assert_eq!(scene.pages_asked(), 8 + 5, "pages 7 to 11");
    assert_eq!(walk["resumed"], true);
    assert_eq!(walk["requests"], 1 + 6 + 5 + 1, "as written down, and what was asked since");
}

#[test]
fn after_a_kill_walks_that_are_too_small_for_a_run_are_not_all_read_again() {
    // Each of the two walks has three pages and 250 rows, and a run 300.
    let faults = vec![Fault::new(FaultKind::Stall, When::nth(6))];
    let history = History { delta: 7, ..History::default() };
    let scene = Scene::new(SimulatorConfig { faults, history, ..population(&[(CLOSED, guests(1..=250))]) });
    let exporter = export(&scene, CLOSED);
    kill_at(&scene, &exporter, 6);
    exporter.run().exits(0);
    scene.assert_published_whole(CLOSED);
    assert_eq!(scene.pages_asked(), 6 + 3, "the second walk's pages alone");
}

#[test]
fn told_to_stop_it_keeps_every_page_that_was_read() {
    for signal in [Signal::TERM, Signal::INT] {
        let scene = stalled_at(8);
        let exporter = export(&scene, CLOSED);
        let child = exporter.spawn();
        scene.wait_for_pages(8);
        // As a terminal and whoever passes signals on do.
        tell(&child, signal);
        tell(&child, signal);
        let run = exporter.finish(child).exits(75);
        assert!(run.message().contains("page 8: interrupted; run again"), "{}", run.message());
        assert!(run.stderr.contains("what was read so far is kept"), "{}", run.stderr);
        scene.output().assert_holds_no_data();
        let walk = assert_same_as_undisturbed(&scene, export(&scene, CLOSED).run(), CLOSED);
        assert_eq!(scene.pages_asked(), 8 + 4, "pages 8 to 11");
        assert_eq!(walk["resumed"], true);
    }
}

#[test]
fn a_walk_that_a_run_would_hold_whole_is_kept_too_when_it_is_told_to_stop() {
    let scene = stalled_at(3);
    let exporter = export(&scene, CLOSED);
    let child = exporter.spawn();
    scene.wait_for_pages(3);
    assert_eq!(kept(&scene), Vec::<PathBuf>::new(), "nothing is written before there is a run of it");
    tell(&child, Signal::TERM);
    exporter.finish(child).exits(75);
    assert_same_as_undisturbed(&scene, export(&scene, CLOSED).run(), CLOSED);
    assert_eq!(scene.pages_asked(), 3 + 9, "pages 3 to 11");
}

#[test]
fn at_the_deadline_what_was_read_is_kept_and_the_earliest_time_named() {
    let hint = FaultKind::ThrottledForSeconds(7200);
    let scene = Scene::new(long_lists(vec![Fault::new(hint, When::nth(8))]));
    let run = export(&scene, CLOSED).args(["--deadline", "1h"]).run().exits(75);
    let message = run.message();
    assert!(
        message.starts_with("not finished, the next run goes on from what was read so far: "),
        "{message}"
    );
    assert!(message.contains("page 8: the deadline comes first; try again after "), "{message}");
    assert!(message.contains("Z: the service limits the rate"), "the last failure: {message}");
    assert_same_as_undisturbed(&scene, export(&scene, CLOSED).run(), CLOSED);
    assert_eq!(scene.pages_asked(), 8 + 4);
}

#[test]
fn what_ended_before_a_kill_in_the_second_walk_is_not_walked_again() {
    let scene = miscounted(vec![Fault::new(FaultKind::Stall, When::nth(11 + 5))]);
    let exporter = export(&scene, CLOSED);
    kill_at(&scene, &exporter, 11 + 5);
    let walk = assert_same_as_undisturbed(&scene, exporter.run(), CLOSED);
    assert_eq!(scene.pages_asked(), 16 + 8, "pages 4 to 11 of the second walk");
    assert_eq!(walk["walks"], 2);
}

#[test]
fn two_walks_at_the_same_time_are_both_gone_on_with() {
    // Ten pages of both together are read, nine of them in runs.
    let scene = stalled_at(11);
    let exporter = export(&scene, OLD);
    kill_at(&scene, &exporter, 11);
    let walk = assert_same_as_undisturbed(&scene, exporter.run(), OLD);
    assert!(
        scene.pages_asked() <= 11 + 22 - 6,
        "at least two runs were gone on with: {}",
        scene.pages_asked()
    );
    assert_eq!((&walk["walks"], &walk["resumed"]), (&Value::from(2), &Value::from(true)));
}

#[test]
fn a_run_may_be_killed_again_and_again_and_still_comes_to_its_end() {
    // Each run reads three pages and waits for a fourth.
    let stalls = [4, 8, 12].map(|page| Fault::new(FaultKind::Stall, When::nth(page)));
    let scene = Scene::new(long_lists(stalls.to_vec()));
    let exporter = export(&scene, CLOSED);
    for run in 1..=3 {
        kill_at(&scene, &exporter, 4 * run);
        assert_eq!(runs(&scene).len() as u64, run);
    }
    assert_same_as_undisturbed(&scene, exporter.run(), CLOSED);
    assert_eq!(scene.pages_asked(), 4 + 4 + 4 + 2);
}

#[test]
fn a_token_that_grew_old_starts_the_walk_over_once() {
    let rejected = |when| Fault::new(FaultKind::RejectedToken, when);
    // Between two processes. Only requests with a token can be refused for it, so the first page does not count.
    let stall = Fault::new(FaultKind::Stall, When::nth(8));
    let scene = Scene::new(long_lists(vec![stall, rejected(When::nth(8))]));
    let exporter = export(&scene, CLOSED);
    kill_at(&scene, &exporter, 8);
    let run = exporter.run();
    assert!(run.stderr.contains("no longer takes the token, walking anew"), "{}", run.stderr);
    assert_same_as_undisturbed(&scene, run, CLOSED);
    assert_eq!(scene.pages_asked(), 8 + 1 + 11);

    // Within one.
    let scene = Scene::new(long_lists(vec![rejected(When::nth(8))]));
    let run = export(&scene, CLOSED).run();
    assert!(run.stderr.contains("no longer takes the token, walking anew"), "{}", run.stderr);
    assert_same_as_undisturbed(&scene, run, CLOSED);
    assert_eq!(scene.pages_asked(), 9 + 11);

    // For another reason than age.
    let scene = Scene::new(long_lists(vec![rejected(When::always())]));
    let run = export(&scene, CLOSED).run().exits(65);
    assert!(run.message().contains("forward walk, page 2"), "{}", run.message());
    assert_eq!(scene.pages_asked(), 2 + 2);
    assert_eq!(kept(&scene), Vec::<PathBuf>::new(), "nothing to go on from");
}

#[test]
fn a_wrong_answer_to_the_second_walk_does_not_cost_the_first() {
    let wrong = Fault::new(FaultKind::MissingUsernameHash, When::nth(11 + 5));
    let scene = miscounted(vec![wrong]);
    let message = export(&scene, CLOSED).run().exits(65).message();
    assert!(
        message.starts_with("not finished, the next run goes on from what was read so far: "),
        "{message}"
    );
    assert!(message.contains("backward walk, page 5"), "{message}");
    let walk = assert_same_as_undisturbed(&scene, export(&scene, CLOSED).run(), CLOSED);
    assert_eq!(scene.pages_asked(), 11 + 5 + 11, "the second walk's pages alone");
    assert_eq!(walk["resumed"], true);
}

#[test]
fn state_that_is_not_what_was_written_is_dropped_and_said() {
    type Damage = fn(&Scene);
    let damages: [(&str, Damage); 6] = [
        ("a changed byte of a run", |scene| {
            let run = runs(scene).remove(0);
            let mut bytes = fs::read(&run).expect("a run");
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            replace(&run, &bytes);
        }),
        ("a run that is cut off", |scene| {
            let run = runs(scene).remove(1);
            let bytes = fs::read(&run).expect("a run");
            replace(&run, &bytes[..bytes.len() / 2]);
        }),
        ("a run that is gone", |scene| fs::remove_file(runs(scene).remove(0)).expect("a run")),
        ("a run in place of another", |scene| {
            let other = fs::read(runs(scene).remove(1)).expect("a run");
            replace(&runs(scene).remove(0), &other);
        }),
        ("a changed byte of the cursor", |scene| {
            let cursor = cursor(scene);
            let text = fs::read_to_string(&cursor).expect("a cursor");
            replace(&cursor, text.replace("\"pages\": 6", "\"pages\": 5").as_bytes());
        }),
        ("no cursor", |scene| {
            fs::remove_file(cursor(scene)).expect("a cursor");
        }),
    ];
    for (name, damage) in damages {
        let scene = stalled_at(8);
        let exporter = export(&scene, CLOSED);
        kill_at(&scene, &exporter, 8);
        damage(&scene);
        let run = exporter.clone().args(["--quiet"]).run();
        let warning = run.stderr.lines().find(|line| line.contains("unfinished walk discarded"));
        let warning = warning.unwrap_or_else(|| panic!("{name}: {}", run.stderr));
        assert!(warning.contains(NETWORK) && warning.contains(CLOSED), "{name}: {warning}");
        let walk = assert_same_as_undisturbed(&scene, run, CLOSED);
        assert_eq!(walk["resumed"], false, "{name}");
        assert_eq!(scene.pages_asked(), 8 + 11, "{name}");
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).expect("a file");
    fs::write(path, bytes).expect("a file");
}

#[test]
fn state_of_another_question_is_dropped_with_its_reason() {
    let key = "0123456789abcdef0123456789abcdef";
    let pseudonymous = format!("{JOB}[output]\nroster = \"pseudonymous\"\npseudonym_key_env = \"KEY\"\n");
    let no_age = JOB.replace("[resume]", "[resume]\nmax_age = \"0s\"");
    let spelled = format!("{JOB}[source]\nperiod_spelling = \"underscore\"\n");
    for (job, reason) in [
        (pseudonymous, "the roster mode is another one now"),
        (no_age, "older than resume.max_age"),
        (spelled, "the spelling of the period is another one now"),
    ] {
        let scene = stalled_at(8);
        kill_at(&scene, &export(&scene, CLOSED), 8);
        let exporter = scene.job(&job).args(["--network", NETWORK, "--period", CLOSED]).env("KEY", key);
        let run = exporter.run().exits(0);
        assert!(run.stderr.contains(reason), "{reason}: {}", run.stderr);
        assert_eq!(scene.pages_asked(), 8 + 11, "{reason}");
        assert_eq!(kept(&scene), Vec::<PathBuf>::new(), "{reason}");
    }
}

#[test]
fn two_outputs_keep_their_state_apart() {
    let scene = stalled_at(8);
    let exporter = export(&scene, CLOSED);
    kill_at(&scene, &exporter, 8);
    let elsewhere = scene.path("elsewhere").display().to_string();
    let run = export(&scene, CLOSED).replacing("--output", &elsewhere).run().exits(0);
    assert!(!run.stderr.contains("going on where"), "{}", run.stderr);
    assert_eq!(runs(&scene).len(), 2, "the other output's state is left alone");
    assert_same_as_undisturbed(&scene, exporter.run(), CLOSED);
}

#[test]
fn a_roster_that_was_published_meanwhile_answers_for_itself() {
    let scene = stalled_at(8);
    let exporter = export(&scene, CLOSED);
    kill_at(&scene, &exporter, 8);
    let other_state = scene.path("other-state").display().to_string();
    export(&scene, CLOSED).args(["--state", &other_state]).run().exits(0);
    let run = exporter.run().exits(0);
    assert!(run.stderr.contains("the published roster is another one now"), "{}", run.stderr);
    assert_eq!(scene.output().manifest(NETWORK, CLOSED)["walk"]["resumed"], false);
}

#[test]
fn a_refusal_leaves_no_state() {
    let loops = FaultKind::TokenLoop(2);
    let scene = Scene::new(long_lists(vec![Fault::new(loops, When { skip: 8, ..When::always() })]));
    export(&scene, CLOSED).run().exits(65);
    assert_eq!(kept(&scene), Vec::<PathBuf>::new());
}

#[test]
fn without_a_place_for_state_only_what_needs_one_fails() {
    let scene = stalled_at(1000);
    let homeless = export(&scene, CLOSED).without_env("HOME");
    let run = homeless.run().exits(73);
    assert!(run.message().contains("give --state DIR"), "{}", run.message());
    scene.output().assert_holds_no_data();

    let in_memory = scene.job("").args(["--network", NETWORK, "--period", CLOSED]).without_env("HOME");
    in_memory.run().exits(0);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn a_place_for_state_that_refuses_is_named_and_nothing_is_published() {
    let scene = stalled_at(1000);
    let file = scene.write("a-file", "");
    let run = export(&scene, CLOSED).args(["--state", &format!("{file}/state")]).run().exits(73);
    assert!(run.message().contains("a-file"), "{}", run.message());
    assert!(run.message().contains("--state"), "{}", run.message());
    scene.output().assert_holds_no_data();
}

#[test]
fn state_is_listed_and_cleared() {
    let scene = stalled_at(8);
    kill_at(&scene, &export(&scene, CLOSED), 8);
    let listed = scene.exporter().args(["state"]).run().exits(0).stdout;
    for told in [NETWORK, CLOSED, " 6 ", " 600 ", &scene.path("out").display().to_string()] {
        assert!(listed.contains(told), "{told}: {listed}");
    }
    let planned = export(&scene, CLOSED).args(["--dry-run"]).run().exits(0).stdout;
    assert!(
        planned.contains(
            "walk and publish (an interrupted run has left 600 rows, to go on from if they still fit) -> "
        ),
        "{planned}"
    );
    let other = scene.exporter().args(["state", "clear", "--period", OLD]).run().exits(0).stdout;
    assert!(other.starts_with("No interrupted run has left anything of what was asked for in "), "{other}");
    let cleared = scene.exporter().args(["state", "clear"]).run().exits(0).stdout;
    assert!(cleared.starts_with("Removed 1 unfinished walk, "), "{cleared}");
    assert_eq!(kept(&scene), Vec::<PathBuf>::new());
    for command in ["list", "clear"] {
        let none = scene.exporter().args(["state", command]).run().exits(0).stdout;
        assert!(none.starts_with("No interrupted run has left anything in "), "{none}");
    }
}

#[test]
fn what_no_job_may_go_on_with_any_more_is_removed_by_a_run_of_another() {
    let scene = stalled_at(8);
    kill_at(&scene, &export(&scene, CLOSED), 8);
    saved(&scene, TimeDelta::days(6));
    export(&scene, OLD).run().exits(0);
    assert_eq!(runs(&scene).len(), 2, "a job may say resume.max_age = \"7days\"");

    saved(&scene, TimeDelta::days(8));
    let listed = scene.exporter().args(["state"]).run().exits(0).stdout;
    assert!(listed.contains(" 8d "), "{listed}");
    let run = export(&scene, OLD).args(["--quiet"]).run().exits(0);
    assert!(run.stderr.contains("unfinished walk removed, it is too old"), "{}", run.stderr);
    assert_eq!(kept(&scene), Vec::<PathBuf>::new());
}

#[test]
fn a_walk_that_is_spoiled_again_and_again_does_not_keep_the_one_before_it_young() {
    // The second walk reads four pages each time, and writes three of them down.
    let wrong = [11 + 5, 11 + 5 + 5].map(|page| Fault::new(FaultKind::MissingUsernameHash, When::nth(page)));
    let scene = miscounted(wrong.to_vec());
    export(&scene, CLOSED).run().exits(65);
    saved(&scene, TimeDelta::hours(5));
    let saved_at = || said(&scene)["saved_at"].as_str().expect("a text").parse::<DateTime<Utc>>();
    let before = saved_at();
    export(&scene, CLOSED).run().exits(65);
    assert_eq!(saved_at(), before, "as old as the walk that ended");
    saved(&scene, TimeDelta::hours(7));
    let run = export(&scene, CLOSED).run();
    assert!(run.stderr.contains("older than resume.max_age"), "{}", run.stderr);
    assert_same_as_undisturbed(&scene, run, CLOSED);
}

/// Returns what the cursor says.
fn said(scene: &Scene) -> Value {
    serde_json::from_slice(&fs::read(cursor(scene)).expect("a cursor")).expect("JSON")
}

/// Makes the cursor so old, and the walks that had ended.
fn saved(scene: &Scene, age: TimeDelta) {
    let path = cursor(scene);
    let mut cursor = said(scene);
    let then = (Utc::now() - age).to_rfc3339();
    cursor["saved_at"] = then.clone().into();
    cursor["document"]["findings"]["finished_at"] = then.into();
    let fields = cursor.as_object_mut().expect("an object");
    fields.remove("cursor_sha256").expect("a seal");
    let unsealed = serde_json::to_string_pretty(&cursor).expect("JSON");
    replace(&path, &seal::sealed("cursor_sha256", &unsealed));
}

#[test]
fn runs_without_a_cursor_are_removed_as_well_once_nobody_can_want_them() {
    let scene = stalled_at(8);
    kill_at(&scene, &export(&scene, CLOSED), 8);
    fs::remove_file(cursor(&scene)).expect("a cursor");
    export(&scene, OLD).run().exits(0);
    assert_eq!(runs(&scene).len(), 2, "they may be those of a run that is about to write one");
    for run in runs(&scene) {
        let file = fs::File::open(run).expect("a run");
        file.set_modified(SystemTime::now() - Duration::from_hours(8 * 24)).expect("its owner may");
    }
    export(&scene, OLD).run().exits(0);
    assert_eq!(kept(&scene), Vec::<PathBuf>::new());
}

#[test]
fn garbage_that_does_not_go_away_keeps_nobody_from_going_on() {
    let scene = stalled_at(8);
    let exporter = export(&scene, CLOSED);
    kill_at(&scene, &exporter, 8);
    let stray = cursor(&scene).with_file_name(format!("{}.run", "0".repeat(64)));
    fs::write(stray, "what a dead run left").expect("a file");
    let run = exporter.fail_points("durable-step.before.remove.walks=return(erofs)").run().exits(0);
    assert!(run.stderr.contains("outdated runs could not be removed"), "{}", run.stderr);
    scene.assert_published_whole(CLOSED);
    assert_eq!(scene.pages_asked(), 8 + 5, "pages 7 to 11");
}

#[test]
fn state_and_output_are_kept_apart() {
    let scene = Scene::new(long_lists(Vec::new()));
    let out = scene.path("out").display().to_string();
    for within in ["/", "/walks"] {
        let error =
            export(&scene, CLOSED).args(["--state", &format!("{out}{within}")]).run().exits(2).error();
        assert!(error.contains("the state location is within the output"), "{error}");
    }
    assert!(!scene.path("out").exists(), "nothing was touched");
}

#[test]
fn state_that_a_run_is_using_is_not_cleared() {
    let scene = stalled_at(8);
    let exporter = export(&scene, CLOSED);
    let mut child = exporter.spawn();
    scene.wait_for_pages(8);
    let run = scene.exporter().args(["state", "clear"]).run().exits(75);
    assert!(run.stderr.contains("is locked by process"), "{}", run.stderr);
    assert_eq!(runs(&scene).len(), 2);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn state_of_several_tasks_is_kept_and_gone_on_with_task_by_task() {
    let stall =
        |month: &str| Fault::new(FaultKind::Stall, When::nth(5).in_period(month.parse().expect("a month")));
    let scene = Scene::new(long_lists(vec![stall(CLOSED), stall(SETTLING)]));
    let exporter = export(&scene, CLOSED).args(["--period", SETTLING]);
    let child = exporter.spawn();
    scene.wait_for_pages(10);
    tell(&child, Signal::TERM);
    exporter.finish(child).exits(75);
    assert_eq!(runs(&scene).len(), 4);
    export(&scene, CLOSED).args(["--period", SETTLING]).run().exits(0);
    scene.assert_published_whole(CLOSED);
    scene.assert_published_whole(SETTLING);
    assert_eq!(scene.pages_asked(), 10 + 7 + 7, "pages 5 to 11 of both");
}

#[test]
fn what_a_killed_run_was_writing_is_swept_from_the_state_folder() {
    let scene = Scene::new(long_lists(Vec::new()));
    let exporter = export(&scene, CLOSED);
    let fatal = "durable-step.before.rename.walks=1*off->return(kill)";
    let child = export(&scene, CLOSED).env("FAILPOINTS", fatal).spawn();
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), None, "killed: {}", String::from_utf8_lossy(&ended.stderr));
    let staging = state(&scene).join(".staging");
    assert!(fs::read_dir(&staging).expect("a folder").count() > 0, "something was being written");
    assert_same_as_undisturbed(&scene, exporter.run(), CLOSED);
    assert_eq!(fs::read_dir(&staging).expect("a folder").count(), 0);
}

#[test]
fn a_run_that_dies_after_it_has_published_leaves_state_that_the_next_one_removes() {
    let scene = Scene::new(long_lists(Vec::new()));
    let fatal = "durable-step.before.remove.walks=return(kill)";
    let child = export(&scene, CLOSED).env("FAILPOINTS", fatal).spawn();
    child.wait_with_output().expect("it ends");
    scene.assert_published_whole(CLOSED);
    assert_ne!(kept(&scene), Vec::<PathBuf>::new());
    export(&scene, CLOSED).args(["--fresh-for", "1h"]).run().exits(0);
    assert_eq!(kept(&scene), Vec::<PathBuf>::new(), "also by one that walks nothing");
}
