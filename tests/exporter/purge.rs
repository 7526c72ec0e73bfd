//! `purge`: the guests of old months go and stay away, their counts and the evidence stay.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{
    CLOSED, Exporter, NETWORK, OLD, OPEN, Run, SETTLING, Scene, files_below, guests, population,
};

/// The first month that is kept.
const KEPT: &str = CLOSED;

/// Two months of one network, the older one in two revisions.
fn scene() -> Scene {
    let mut scene = Scene::new(months(0..90));
    scene.run(OLD).exits(0);
    scene.becomes(months(0..100));
    scene.export(OLD).args(["--period", CLOSED]).run().exits(0);
    scene
}

fn months(of_old: std::ops::Range<u32>) -> wickr_guest_export::simulator::SimulatorConfig {
    population(&[(OLD, guests(of_old)), (CLOSED, guests(0..50))])
}

fn purging(scene: &Scene, before: &str) -> Exporter {
    let output = scene.path("out").display().to_string();
    scene.exporter().args(["purge", &output, "--rosters-before", before])
}

fn json(purging: Exporter, code: i32) -> Value {
    let run = purging.args(["--summary", "json"]).run().exits(code);
    serde_json::from_str(&run.stdout).expect("JSON")
}

fn verify(scene: &Scene) -> Run {
    scene.exporter().verifying(&scene.path("out")).run()
}

fn rosters(root: &Path, period: &str) -> Vec<String> {
    let shown = files_below(root).into_iter().map(|path| path.display().to_string());
    shown
        .filter(|path| path.contains("/guest_roster.") && path.contains(&format!("period={period}")))
        .collect()
}

/// Every file with its content and the time of its last change.
fn everything(root: &Path) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let content = |path: &std::path::PathBuf| {
        let modified = fs::metadata(path).expect("a file").modified().expect("a time");
        (path.display().to_string(), fs::read(path).expect("a file"), modified)
    };
    files_below(root).iter().map(content).collect()
}

#[test]
fn guests_of_old_months_go_and_their_counts_and_evidence_stay() {
    let scene = scene();
    let out = scene.path("out");
    let (before, summary) =
        (scene.output().manifest(NETWORK, OLD), scene.output().bytes("summary/csv/guest_counts.csv"));
    let bytes: u64 = rosters(&out, OLD).iter().map(|path| fs::metadata(path).expect("a file").len()).sum();

    let untouched = everything(&out);
    let dry = json(purging(&scene, KEPT).args(["--dry-run"]), 0);
    assert_eq!(everything(&out), untouched, "a dry run touches nothing");
    assert_eq!((&dry["dry_run"], &dry["files"], &dry["bytes"]), (&true.into(), &6.into(), &bytes.into()));
    assert_eq!(dry["tasks"].as_array().map(Vec::len), Some(1), "only what is past its time: {dry:#}");
    assert_eq!(dry["tasks"][0]["status"], "due");

    let report = json(purging(&scene, KEPT), 0);
    assert_eq!((&report["files"], &report["bytes"]), (&6.into(), &bytes.into()));
    let task = &report["tasks"][0];
    assert_eq!((&task["billing_period"], &task["status"]), (&OLD.into(), &"purged".into()));
    assert_eq!((&task["guests"], &task["period_state"]), (&100.into(), &"closed".into()));

    assert_eq!(rosters(&out, OLD), Vec::<String>::new());
    assert_eq!(scene.output().roster(NETWORK, CLOSED).len(), 50, "the month that is kept is whole");
    let mut after = scene.output().manifest(NETWORK, OLD);
    assert!(after["rosters_purged_at"].is_string());
    for manifest in [&mut after, &mut before.clone()] {
        for field in ["rosters_purged_at", "manifest_sha256"] {
            manifest.as_object_mut().expect("an object").remove(field);
        }
    }
    assert_eq!(after["counts"], before["counts"]);
    assert_eq!(after["files"], before["files"]);
    assert_eq!(scene.output().bytes("summary/csv/guest_counts.csv"), summary);
    let verified = verify(&scene).exits(0);
    assert!(verified.stdout.contains("whole and unaltered"), "{}", verified.stdout);
    assert!(verified.stdout.trim_end().ends_with("; the rosters of 1 were purged"), "{}", verified.stdout);
    let summary = scene.exporter().verifying(&out).args(["--summary", "json"]).run().exits(0).summary();
    assert_eq!((&summary["totals"]["purged"], &summary["totals"]["without_rosters"]), (&1.into(), &0.into()));
    assert_eq!((&summary["exit_code"], &summary["findings"]), (&0.into(), &serde_json::json!([])));
    // Nothing tells a guest of the old month any more, wherever one looks.
    for (path, content, _) in everything(&out) {
        let tells = content.windows(10).any(|text| text == b"guest-0099");
        assert!(!tells, "{path} tells of a guest who was there in {OLD} alone");
    }

    let untouched = everything(&out);
    let again = json(purging(&scene, KEPT), 0);
    assert_eq!((&again["files"], &again["tasks"][0]["status"]), (&0.into(), &"before".into()));
    let published = |files: Vec<(String, Vec<u8>, std::time::SystemTime)>| -> Vec<_> {
        files.into_iter().filter(|(path, ..)| !path.contains("/.locks/")).collect()
    };
    assert_eq!(published(everything(&out)), published(untouched), "a second purge changes nothing");
}

#[test]
fn a_purge_and_its_dry_run_say_what_goes() {
    let scene = scene();
    let shown = |exporter: Exporter| {
        let run = exporter.args(["--quiet"]).run().exits(0);
        run.stdout.replace(&scene.path("out").display().to_string(), "out")
    };
    let said = [
        shown(purging(&scene, KEPT).args(["--dry-run"])),
        shown(purging(&scene, KEPT)),
        shown(purging(&scene, KEPT)),
        shown(purging(&scene, OLD)),
    ];
    let filters = vec![(r"\d+(  to be|  purged)", "[bytes]$1"), (r"\d+ bytes", "[bytes] bytes")];
    insta::with_settings!({filters => filters}, {
        insta::assert_snapshot!(said.join("\n"));
    });
}

#[test]
fn a_later_run_does_not_bring_guests_back() {
    let mut scene = scene();
    let out = scene.path("out");
    purging(&scene, KEPT).run().exits(0);

    // What is published as closed is not missing.
    let pages = scene.pages_asked();
    let kept = scene.job("").args(["--network", NETWORK, "--period", "missing:2"]).run().exits(0).summary();
    assert!(kept["tasks"].as_array().expect("tasks").iter().all(|task| task["status"] == "kept"), "{kept:#}");
    assert_eq!(scene.pages_asked(), pages, "nothing was walked again");

    // Walked again, the same guests are the same, and only checked.
    let unchanged = scene.run(OLD).exits(0).task();
    assert_eq!((&unchanged["status"], &unchanged["guests"]), (&"unchanged".into(), &100.into()));
    let message = unchanged["message"].as_str().expect("a message");
    assert!(message.contains("the rosters were purged on 20"), "{message}");
    assert_eq!(rosters(&out, OLD), Vec::<String>::new());
    verify(&scene).exits(0);

    // Too many guests are gone.
    scene.becomes(months(0..60));
    let refused = scene.run(OLD).exits(3);
    assert!(refused.message().contains("40 of the 100 guests"), "{}", refused.message());
    verify(&scene).exits(0);

    // Restated, the count is the new one, and no guest is published.
    scene.becomes(months(0..103));
    let restated = scene.run(OLD).exits(0).task();
    assert_eq!((&restated["status"], &restated["guests"]), (&"restated".into(), &103.into()));
    assert_eq!(scene.output().manifest(NETWORK, OLD)["counts"]["guests"], 103);
    assert_eq!(rosters(&out, OLD), Vec::<String>::new());
    verify(&scene).exits(0);
    assert_eq!(json(purging(&scene, KEPT), 0)["tasks"][0]["status"], "before");
}

#[test]
fn a_purge_that_dies_at_any_step_is_finished_by_the_next() {
    let scene = scene();
    let home = tempfile::tempdir().expect("a folder");
    let mut steps = Vec::new();
    for number in 0.. {
        let out = home.path().join(number.to_string());
        let copied = Command::new("cp").arg("-a").args([&scene.path("out"), &out]).status();
        assert!(copied.expect("cp runs").success());
        let output = out.display().to_string();
        let purge = scene.exporter().args(["purge", &output, "--rosters-before", KEPT]);
        let fatal = format!("durable-step.before={number}*off->return(kill)");
        let died = purge.clone().fail_points(&fatal).run_to_death();
        let is_marked =
            fs::read_to_string(out.join(format!("manifests/period={OLD}/network={NETWORK}/manifest.json")))
                .expect("a manifest")
                .contains("rosters_purged_at");
        let left = rosters(&out, OLD).len();
        let found = scene.exporter().verifying(&out).run();
        let Err(step) = died else {
            assert_eq!((found.code, left, is_marked), (0, 0, true));
            break;
        };
        // Before the manifest says so nothing is gone; then whatever is left of guests is told.
        assert!(is_marked || (left == 6 && found.code == 0), "{step}: {}", found.stdout);
        assert_eq!(
            found.stdout.matches("was purged, and is still there").count(),
            left * usize::from(is_marked)
        );
        purge.run().exits(0);
        assert_eq!(rosters(&out, OLD), Vec::<String>::new(), "{step}");
        scene.exporter().verifying(&out).run().exits(0);
        steps.push(step);
    }
    for step in ["rename manifests", "rename revisions", "remove revisions", "remove guest_roster"] {
        assert!(steps.iter().any(|met| met.contains(step)), "{step}: {steps:#?}");
    }
}

#[test]
fn pseudonyms_go_and_counts_that_never_had_guests_are_left_alone() {
    let key = ("WICKR_TEST_KEY", "0123456789abcdef0123456789abcdef");
    for (job, files) in [
        ("[output]\nroster = \"pseudonymous\"\npseudonym_key_env = \"WICKR_TEST_KEY\"\n", 4),
        ("[output]\nroster = \"none\"\n", 0),
    ] {
        let scene = Scene::new(months(0..40));
        let export = || scene.job(job).env(key.0, key.1).args(["--network", NETWORK, "--period", OLD]);
        export().run().exits(0);
        let before = scene.output().manifest(NETWORK, OLD);
        assert_eq!(json(purging(&scene, KEPT), 0)["files"], files, "{job}");
        assert_eq!(scene.output().manifest(NETWORK, OLD) == before, files == 0, "{job}");
        assert_eq!(rosters(&scene.path("out"), OLD), Vec::<String>::new());
        assert_eq!(export().run().exits(0).task()["status"], "unchanged");
        assert_eq!(rosters(&scene.path("out"), OLD), Vec::<String>::new());
        verify(&scene).exits(0);
    }
}

#[test]
fn rosters_in_another_place_are_purged_there_and_those_left_beside_the_counts_too() {
    let scene = Scene::new(months(0..40));
    // The first month was published before the output was divided.
    scene.run(OLD).exits(0);
    let elsewhere = scene.path("rosters");
    let place = elsewhere.display().to_string();
    let divided = format!("[output]\nroster_url = \"{place}\"\n");
    scene.job(&divided).args(["--network", NETWORK, "--period", CLOSED]).run().exits(0);

    // What was published beside the counts was copied to where the rosters are, and is still where it was.
    for folder in ["revisions", "guest_roster"] {
        let copied = ["-a", "-n"].map(OsString::from).into_iter();
        let copied = copied.chain([scene.path("out").join(folder).into(), elsewhere.clone().into()]);
        assert!(Command::new("cp").args(copied).status().expect("cp runs").success());
    }

    let untouched = everything(&scene.path(""));
    let other = scene.path("other").display().to_string();
    for arguments in [&[][..], &["--roster-url", &other]] {
        for dry_run in [&[][..], &["--dry-run"]] {
            let purge = purging(&scene, SETTLING).args(arguments.iter().chain(dry_run).copied());
            let error = purge.run().exits(2).error();
            assert!(error.contains(&format!("its rosters are in {place}; give that as")), "{error}");
            assert_eq!(everything(&scene.path("")), untouched, "what may miss a roster removes none");
        }
    }

    let report = foreseen_and_done(&scene, SETTLING, &["--roster-url", &place], 0);
    assert_eq!((&report["files"], &report["tasks"][0]["status"]), (&12.into(), &"purged".into()));
    for (root, period) in [("out", OLD), ("rosters", OLD), ("rosters", CLOSED)] {
        assert_eq!(rosters(&scene.path(root), period), Vec::<String>::new());
    }
    let out = scene.path("out").display().to_string();
    scene.exporter().args(["verify", &out, "--roster-url", &place]).run().exits(0);

    // Again, with the rosters of the first month left where the output was divided.
    let scene = Scene::new(months(0..40));
    scene.run(OLD).exits(0);
    let place = scene.path("rosters").display().to_string();
    let report = foreseen_and_done(&scene, KEPT, &["--roster-url", &place], 0);
    assert_eq!((&report["files"], &report["tasks"][0]["status"]), (&4.into(), &"purged".into()));
    assert_eq!(rosters(&scene.path("out"), OLD), Vec::<String>::new());
    verify(&scene).exits(0);
}

#[test]
fn what_is_another_outputs_is_purged_from_no_place_not_even_in_a_dry_run() {
    let scene = Scene::new(months(0..40));
    scene.run(OLD).exits(0);
    let rosters = scene.path("rosters").display().to_string();
    let other = scene.export(OLD).replacing("--output", &scene.path("other").display().to_string());
    other.args(["--roster-url", &rosters]).run().exits(0);
    let untouched = everything(&scene.path(""));
    for dry_run in [&[][..], &["--dry-run"]] {
        let purge = purging(&scene, KEPT).args(["--roster-url", &rosters]).args(dry_run.iter().copied());
        let error = purge.run().exits(73).error();
        assert!(error.contains("holds the rosters of another output"), "{error}");
        assert_eq!(everything(&scene.path("")), untouched);
    }
}

/// Looks at what a purge would do and then purges: both say the same, and as many files are gone.
#[track_caller]
fn foreseen_and_done(scene: &Scene, before: &str, arguments: &[&str], code: i32) -> Value {
    let rosters_there = || {
        let is_roster = |path: &&PathBuf| path.file_stem().is_some_and(|stem| stem == "guest_roster");
        files_below(&scene.path("")).iter().filter(is_roster).count()
    };
    let there = rosters_there();
    let mut foreseen = json(purging(scene, before).args(arguments.iter().copied()).args(["--dry-run"]), code);
    assert_eq!(rosters_there(), there, "a dry run touches nothing");
    let done = json(purging(scene, before).args(arguments.iter().copied()), code);
    assert_eq!(done["files"], there - rosters_there());
    foreseen["dry_run"] = false.into();
    for task in foreseen["tasks"].as_array_mut().expect("tasks") {
        if task["status"] == "due" {
            task["status"] = "purged".into();
        }
    }
    assert_eq!(foreseen, done, "what is foreseen is what is done");
    done
}

#[test]
fn a_dry_run_says_what_a_purge_does_in_odd_cases_too() {
    let first = || {
        let scene = Scene::new(months(0..90));
        scene.run(OLD).exits(0);
        scene
    };
    let lose = |scene: &Scene, paths: &dyn Fn(&str) -> bool| {
        for path in files_below(&scene.path("out")) {
            let name = path.display().to_string();
            if name.contains(OLD) && paths(&name) {
                fs::remove_file(path).expect("a file");
            }
        }
    };
    let is_roster = |name: &str| name.contains("/guest_roster.");
    let expect = |report: &Value, status: &str, files: u64, message: &str| {
        let task = &report["tasks"][0];
        assert_eq!((&task["status"], &task["files"]), (&status.into(), &files.into()), "{report:#}");
        assert!(task["message"].as_str().unwrap_or_default().contains(message), "{report:#}");
    };

    // The rosters of the published revision are gone, those of the one before are not.
    let scene = scene();
    lose(&scene, &|name| is_roster(name) && !name.contains("/r000001-"));
    expect(&foreseen_and_done(&scene, KEPT, &[], 2), "failed", 0, "--already-removed");
    expect(&foreseen_and_done(&scene, KEPT, &["--already-removed"], 0), "purged", 2, "");
    expect(&foreseen_and_done(&scene, KEPT, &[], 0), "before", 0, "");

    // All of them are.
    let scene = first();
    lose(&scene, &is_roster);
    expect(&foreseen_and_done(&scene, KEPT, &[], 2), "failed", 0, "--already-removed");
    expect(&foreseen_and_done(&scene, KEPT, &["--already-removed"], 0), "purged", 0, "");

    // The manifest is lost; or it never was.
    let scene = first();
    lose(&scene, &|name| name.contains("/manifests/"));
    expect(
        &foreseen_and_done(&scene, KEPT, &[], 73),
        "failed",
        0,
        "the manifest of 12345678/2025-08 is gone",
    );
    lose(&scene, &|name| !name.contains("/revisions/"));
    expect(&foreseen_and_done(&scene, KEPT, &[], 0), "purged", 2, "");
}

#[test]
fn a_month_that_was_published_last_before_it_was_closed_is_exported_once_more_first() {
    let scene = Scene::new(population(&[(SETTLING, guests(0..40))]));
    scene.run(SETTLING).exits(0);
    let refused = foreseen_and_done(&scene, OPEN, &[], 3);
    let message = refused["tasks"][0]["message"].as_str().expect("a message");
    assert!(message.contains("while its month was settling"), "{message}");
    assert!(message.contains("run once more with --network 12345678 --period 2025-10"), "{message}");
    assert_eq!(refused["tasks"][0]["period_state"], "settling");

    let out = scene.path("out").display().to_string();
    let later = ["run", "--network", NETWORK, "--period", SETTLING, "--output", &out];
    scene.exporter().args(later).run().exits(0);
    let purged = foreseen_and_done(&scene, OPEN, &[], 0);
    assert_eq!((&purged["files"], &purged["tasks"][0]["period_state"]), (&4.into(), &"closed".into()));

    // Where no run can be, somebody has to say so.
    let scene = Scene::new(population(&[(SETTLING, guests(0..40))]));
    scene.run(SETTLING).exits(0);
    assert_eq!(foreseen_and_done(&scene, OPEN, &["--accept-not-final"], 0)["files"], 4);
    verify(&scene).exits(0);
}

#[test]
fn a_purged_month_whose_manifest_is_lost_is_not_published_anew() {
    let scene = Scene::new(months(0..40));
    scene.run(OLD).exits(0);
    purging(&scene, KEPT).run().exits(0);
    let manifest = scene.output().manifest_path(NETWORK, OLD);
    let kept = fs::read(&manifest).expect("a manifest");
    fs::remove_file(&manifest).expect("a manifest");
    fs::remove_dir_all(scene.path("out/guest_counts")).expect("copies");

    let refused = scene.run(OLD).exits(73);
    let message = refused.message();
    assert!(message.contains("its rosters were purged"), "{message}");
    assert_eq!(rosters(&scene.path("out"), OLD), Vec::<String>::new());
    let found = verify(&scene).exits(65);
    assert!(found.stdout.contains("is missing, though its task was published"), "{}", found.stdout);

    fs::write(&manifest, kept).expect("a manifest");
    assert_eq!(scene.run(OLD).exits(0).task()["status"], "unchanged");
    assert_eq!(rosters(&scene.path("out"), OLD), Vec::<String>::new());
    verify(&scene).exits(0);
}

#[test]
fn a_purge_is_known_from_any_revision_whatever_has_become_of_the_others() {
    let scene = scene();
    purging(&scene, KEPT).run().exits(0);
    fs::remove_file(scene.output().manifest_path(NETWORK, OLD)).expect("a manifest");
    let first =
        |path: &PathBuf| path.ends_with("manifest.json") && path.display().to_string().contains("/r000001-");
    let kept = files_below(&scene.path("out"))
        .into_iter()
        .find(|path| first(path) && path.display().to_string().contains(OLD));
    fs::write(kept.expect("a first revision"), "{}").expect("a manifest");
    let message = scene.run(OLD).exits(73).message();
    assert!(message.contains("its rosters were purged"), "{message}");
}

#[test]
fn what_cannot_be_purged_is_said_with_the_reason_and_stops_nothing_else() {
    let scene = scene();
    let run = purging(&scene, "9000-01").run().exits(2);
    assert!(run.error().contains("takes in 8999-12, which has not begun"), "{}", run.error());
    let nowhere = scene.path("nowhere").display().to_string();
    let run = scene.exporter().args(["purge", &nowhere, "--rosters-before", KEPT]).run().exits(65);
    assert!(run.error().contains("nothing is published at"), "{}", run.error());
    assert!(!scene.path("nowhere").exists());

    fs::write(scene.output().manifest_path(NETWORK, OLD), "{}").expect("a manifest");
    let report = foreseen_and_done(&scene, SETTLING, &[], 73);
    let status = |number: usize| report["tasks"][number]["status"].clone();
    assert_eq!((status(0), status(1)), ("failed".into(), "purged".into()), "{report:#}");
    assert_eq!(rosters(&scene.path("out"), OLD).len(), 6, "nothing is removed that nobody vouches for");
}
