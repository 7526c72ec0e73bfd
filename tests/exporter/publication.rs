//! What a run leaves behind: files, manifest, revisions, and how little of the guests they need to tell.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wickr_guest_export::simulator::{Fault, FaultKind, SimulatorConfig, When};

use crate::support::{CLOSED, NETWORK, OLD, SETTLING, Scene, guests, network, period, population, small};

/// Asks the program itself whether everything that is published is whole.
fn verify(scene: &Scene) {
    let output = scene.path("out").display().to_string();
    scene.exporter().args(["verify", &output]).run().exits(0);
}

/// Settings that take out of a text what differs from run to run.
fn settled() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    for (pattern, replacement) in [
        (r"http://127\.0\.0\.1:\d+", "http://127.0.0.1:[port]"),
        (r"r(\d{6})-[0-9a-f]{8}", "r$1-[nonce]"),
        (r#""(exported_at|checked_at|started_at|finished_at)": "[^"]*""#, r#""$1": "[time]""#),
        (r#""version": "[^"]*""#, r#""version": "[version]""#),
        (r#""output": "[^"]*""#, r#""output": "[output]""#),
        (r#""((?:manifest_)?sha256)": "[0-9a-f]{64}""#, r#""$1": "[sha256]""#),
        (r#""bytes": \d+"#, r#""bytes": "[bytes]""#),
        (r"Files in \S+", "Files in [output]"),
        (r#""run_id": "[0-9a-f]{16}""#, r#""run_id": "[id]""#),
    ] {
        settings.add_filter(pattern, replacement);
    }
    settings
}

#[test]
fn the_files_of_an_export_are_those_of_the_design_and_nothing_else() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let files = scene.output().files().join("\n");
    settled().bind(|| insta::assert_snapshot!(files));
    verify(&scene);
}

#[test]
fn a_manifest_tells_what_is_published_and_why_it_can_be_trusted() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let manifest =
        scene.output().bytes(&format!("manifests/period={CLOSED}/network={NETWORK}/manifest.json"));
    settled().bind(|| insta::assert_snapshot!(String::from_utf8(manifest).expect("text")));
}

#[test]
fn the_summary_in_json_tells_of_every_task() {
    let config = SimulatorConfig { networks: ["11111111", "22222222"].map(network).to_vec(), ..small() };
    let scene = Scene::new(config);
    let job = scene.job("concurrency = 1\n").args(["--network", "all", "--network", "all"]);
    let run = job.args(["--period", "2025-08..2025-09"]).run().exits(0);
    settled().bind(|| insta::assert_snapshot!(run.stdout));
}

#[test]
fn the_table_tells_what_was_published_what_changed_and_what_failed() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100)), (OLD, guests(0..50))]));
    scene.run("2025-08..2025-09").exits(0);
    let history = wickr_guest_export::simulator::History { delta: 2, ..Default::default() };
    let changed = population(&[(CLOSED, guests(3..105)), (OLD, guests(0..10)), (SETTLING, guests(0..7))]);
    let faults = vec![Fault::new(FaultKind::Forbidden, When::always().in_period(period(OLD)))];
    scene.becomes(SimulatorConfig { history, faults, ..changed });
    let export = scene.export("2025-08..2025-10").replacing("--summary", "text");
    let run = export.args(["--concurrency", "1"]).run().exits(77);
    settled().bind(|| insta::assert_snapshot!(run.stdout));
}

#[test]
fn a_second_run_over_the_same_guests_touches_no_data_file() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let (files, first) = (scene.output().files(), scene.output().manifest(NETWORK, CLOSED));
    assert_eq!(scene.run(CLOSED).exits(0).task()["status"], "unchanged");
    let second = scene.output().manifest(NETWORK, CLOSED);
    assert_eq!(scene.output().files(), files);
    assert_eq!((&first["files"], &first["exported_at"]), (&second["files"], &second["exported_at"]));
    verify(&scene);
}

#[test]
fn an_equal_roster_never_loses_the_evidence_that_it_had() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..20))]));
    scene.run(CLOSED).exits(0);
    let history = wickr_guest_export::simulator::History { delta: 1, ..Default::default() };
    scene.becomes(SimulatorConfig { history, ..population(&[(CLOSED, guests(0..20))]) });
    assert_eq!(scene.run(CLOSED).exits(0).task()["status"], "unchanged");
    let counts = scene.output().manifest(NETWORK, CLOSED)["counts"].clone();
    assert_eq!(counts["guests"], 20);
    assert_ne!(counts["confirmed_by"], Value::Null, "{counts}");
}

#[test]
fn guests_who_came_and_went_make_a_new_revision_that_counts_them() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    scene.run(CLOSED).exits(0);
    scene.becomes(population(&[(CLOSED, guests(4..110))]));
    let task = scene.run(CLOSED).exits(0).task();
    assert_eq!((&task["status"], &task["revision"]), (&json!("restated"), &json!(2)));
    assert_eq!((&task["added"], &task["removed"]), (&json!(10), &json!(4)));
    let changes = json!({"against_revision": 1, "added": 10, "removed": 4});
    assert_eq!(scene.output().manifest(NETWORK, CLOSED)["changes"], changes);
    scene.assert_published_whole(CLOSED);
    verify(&scene);
}

#[test]
fn formats_follow_the_job_and_no_stale_format_stays_after_a_restatement() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..30))]));
    let formats = |scene: &Scene| -> BTreeSet<String> {
        let files = scene.output().files();
        let current = files.iter().filter(|file| file.starts_with("guest_"));
        current.filter_map(|file| file.split('/').nth(1)).map(str::to_owned).collect()
    };
    scene.export(CLOSED).args(["--format", "csv"]).run().exits(0);
    assert_eq!(formats(&scene), BTreeSet::from(["csv".to_owned()]));
    scene.export(CLOSED).args(["--format", "csv,parquet"]).run().exits(0);
    assert_eq!(formats(&scene), BTreeSet::from(["csv".to_owned(), "parquet".to_owned()]));
    verify(&scene);

    scene.becomes(population(&[(CLOSED, guests(0..31))]));
    scene.export(CLOSED).args(["--format", "parquet"]).run().exits(0);
    let manifest = scene.output().manifest(NETWORK, CLOSED);
    let listed: BTreeSet<String> = manifest["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| file["format"].as_str().expect("a format").to_owned())
        .collect();
    assert_eq!(formats(&scene), listed, "what stands there is what the manifest names");
    scene.assert_published_whole(CLOSED);
    verify(&scene);
}

#[test]
fn the_same_guests_make_the_same_bytes() {
    let bytes = |config: SimulatorConfig| {
        let scene = Scene::new(config);
        scene.run(CLOSED).exits(0);
        ["parquet", "csv"].map(|format| {
            let place = format!("period={CLOSED}/network={NETWORK}/guest_roster.{format}");
            scene.output().bytes(&format!("guest_roster/{format}/{place}"))
        })
    };
    let keyset = wickr_guest_export::simulator::PagingMode::Keyset;
    let tidy = SimulatorConfig { edge_repeats_per_thousand: 0, paging: keyset, ..small() };
    assert!(bytes(small()) == bytes(tidy), "whatever the pages repeated");
}

#[test]
fn a_pseudonymous_export_names_nobody_in_any_file() {
    let scene = Scene::new(population(&[(CLOSED, guests(0..20))]));
    let job = "[output]\nroster = \"pseudonymous\"\npseudonym_key_env = \"ROSTER_KEY\"\n";
    let key = "a key that is long enough to be one";
    let export = || scene.job(job).args(["--network", NETWORK, "--period", CLOSED]);
    let named = export().run().exits(2);
    assert!(named.error().contains("ROSTER_KEY"), "{}", named.error());
    export().env("ROSTER_KEY", key).secret(key).run().exits(0);

    for file in scene.output().files() {
        let text = String::from_utf8_lossy(&scene.output().bytes(&file)).into_owned();
        assert!(!text.contains("hash-of-guest") && !text.contains("private.example"), "{file}");
    }
    let roster = scene.output().roster(NETWORK, CLOSED);
    assert_eq!(roster.len(), 20);
    let hexadecimal = |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(roster.iter().all(|(hash, username)| hexadecimal(hash) && username.is_empty()));
    let record = scene.output().manifest(NETWORK, CLOSED)["roster"].clone();
    assert_eq!((&record["mode"], record["key_id"].is_string()), (&json!("pseudonymous"), true));
    verify(&scene);
}

#[test]
fn an_export_of_counts_writes_no_roster() {
    let scene = Scene::new(population(&[(CLOSED, guests(0..20))]));
    let job = "[output]\nroster = \"none\"\n";
    scene.job(job).args(["--network", NETWORK, "--period", CLOSED]).run().exits(0);
    let files = scene.output().files();
    assert!(files.iter().all(|file| !file.contains("guest_roster")), "{files:?}");
    let manifest = scene.output().manifest(NETWORK, CLOSED);
    assert_eq!((&manifest["counts"]["guests"], &manifest["roster"]["mode"]), (&json!(20), &json!("none")));
    verify(&scene);
}

#[test]
fn names_that_a_spreadsheet_would_run_are_guarded_in_csv_and_exact_in_parquet() {
    let rows = vec![("hash-one".to_owned(), "=cmd|' /C calc'!A0".to_owned())];
    let place = format!("guest_roster/csv/period={CLOSED}/network={NETWORK}/guest_roster.csv");
    let csv = |job: &str| {
        let scene = Scene::new(population(&[(CLOSED, rows.clone())]));
        scene.job(job).args(["--network", NETWORK, "--period", CLOSED]).run().exits(0);
        assert_eq!(scene.output().roster(NETWORK, CLOSED), rows);
        verify(&scene);
        let guarded = scene.output().manifest(NETWORK, CLOSED)["walk"]["guarded_cells"].clone();
        (String::from_utf8(scene.output().bytes(&place)).expect("text"), guarded)
    };
    let (text, guarded) = csv("");
    assert!(text.contains("\"'=cmd|") && guarded == 1, "{text}");
    let (text, guarded) = csv("[csv]\nformula_guard = false\nbom = true\n");
    assert!(text.starts_with('\u{feff}') && text.contains("\"=cmd|") && guarded == 0, "{text}");
}

#[test]
fn what_was_altered_after_publication_is_found() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let output = scene.path("out").display().to_string();
    let counts = format!("guest_counts/csv/period={CLOSED}/network={NETWORK}/guest_counts.csv");
    let path = scene.path("out").join(&counts);
    let text = std::fs::read_to_string(&path).expect("text").replace("250", "205");
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, text).expect("written");
    let run = scene.exporter().args(["verify", &output]).run().exits(65);
    assert!(run.stdout.contains(&counts), "{}", run.stdout);
}

#[test]
fn published_files_are_the_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    for file in scene.output().files() {
        let mode = std::fs::metadata(scene.path("out").join(&file)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
}

#[test]
fn a_file_that_was_altered_in_place_is_replaced_by_the_next_run() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let counts = format!("guest_counts/csv/period={CLOSED}/network={NETWORK}/guest_counts.csv");
    let path = scene.path("out").join(&counts);
    let whole = std::fs::read_to_string(&path).expect("text");
    // Written through the link, so that the revision holds the same other digits in the same length.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    std::fs::write(&path, whole.replace("250", "205")).expect("written");
    assert_ne!(std::fs::read_to_string(&path).expect("text"), whole);

    assert_eq!(scene.run(CLOSED).exits(0).task()["status"], "restated");
    assert_eq!(std::fs::read_to_string(&path).expect("text"), whole);
    assert_eq!(scene.run(CLOSED).exits(0).task()["status"], "unchanged");
}
