//! Which periods of which networks a job means, told by dry runs and by what is walked.

use std::fs;

use serde_json::json;
use wickr_guest_export::simulator::{ExplicitPopulation, Operation, Population, SimulatorConfig};

use crate::support::{AS_OF, CLOSED, NETWORK, OLD, Scene, network, small};

/// Says what a selector means, one line a task.
fn plan(scene: &Scene, selectors: &[&str], as_of: &str) -> String {
    let job = "[source]\nkind = \"simulator\"\n";
    let exporter = scene.job(job).args(["--network", NETWORK, "--dry-run"]).replacing("--as-of", as_of);
    let run = exporter.args(selectors.iter().flat_map(|selector| ["--period", selector])).run().exits(0);
    let lines: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with(NETWORK)).collect();
    let words = lines.iter().map(|line| line.split(':').next().expect("a part").to_owned());
    words.map(|line| line.replace(&format!("{NETWORK} "), "")).collect::<Vec<_>>().join(", ")
}

#[test]
fn every_selector_means_its_periods() {
    let scene = Scene::new(small());
    for (selectors, periods) in [
        (&["2025-10"][..], "2025-10 settling"),
        (&["2025-08..2025-10"], "2025-08 closed, 2025-09 closed, 2025-10 settling"),
        (&["current"], "2025-11 open"),
        (&["previous"], "2025-10 settling"),
        (&["last:3"], "2025-09 closed, 2025-10 settling, 2025-11 open"),
        (&["closed:2"], "2025-08 closed, 2025-09 closed"),
        (&["missing:3"], "2025-07 closed, 2025-08 closed, 2025-09 closed"),
        (&["current", "previous", "closed:1", "2025-10"], "2025-09 closed, 2025-10 settling, 2025-11 open"),
        (&["2024-12..2025-01"], "2024-12 closed, 2025-01 closed"),
    ] {
        assert_eq!(plan(&scene, selectors, AS_OF), periods, "{selectors:?}");
    }
}

#[test]
fn a_month_settles_for_three_days_after_its_last_instant() {
    let scene = Scene::new(small());
    for (as_of, state) in [
        ("2025-10-31T23:59:59Z", "2025-10 open"),
        ("2025-11-01T00:00:00Z", "2025-10 settling"),
        ("2025-11-03T23:59:59Z", "2025-10 settling"),
        ("2025-11-04T00:00:00Z", "2025-10 closed"),
    ] {
        assert_eq!(plan(&scene, &["2025-10"], as_of), state, "{as_of}");
    }
    assert_eq!(plan(&scene, &["closed:1"], "2025-11-03T23:59:59Z"), "2025-09 closed");
    assert_eq!(plan(&scene, &["closed:1"], "2025-11-04T00:00:00Z"), "2025-10 closed");
}

#[test]
fn an_earlier_day_does_not_reopen_a_month_of_real_guests() {
    let scene = Scene::new(small());
    let dry_run = scene.job("").args(["--network", NETWORK, "--dry-run", "--period", "current"]);
    let run = dry_run.replacing("--as-of", "2025-10-20T00:00:00Z").run().exits(0);
    assert!(run.stdout.starts_with(&format!("{NETWORK} 2025-10 closed: ")), "{}", run.stdout);
    assert_eq!(scene.simulator.stats().connections, 0, "a dry run over named networks asks nothing");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_where_it_would_go_and_does_nothing() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let (files, asked) = (scene.output().files(), scene.simulator.stats().requests);
    let run = scene.export(CLOSED).args(["--period", "missing:2", "--dry-run"]).run().exits(0);
    insta::with_settings!({filters => vec![
        (r"http://127\.0\.0\.1:\d+", "[endpoint]"),
        (r"files would go to \S+", "files would go to [output]"),
    ]}, { insta::assert_snapshot!(run.stdout) });
    assert_eq!(scene.output().files(), files);
    assert_eq!(scene.simulator.stats().requests, asked);
}

#[test]
fn missing_walks_what_a_missed_schedule_left_behind_and_nothing_else() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let asked = scene.simulator.stats().requests_of(Operation::ListGuestUsers);
    let summary = scene.export("missing:2").run().exits(0).summary();
    let statuses = |index: usize| {
        let task = &summary["tasks"][index];
        (task["billing_period"].clone(), task["status"].clone())
    };
    assert_eq!(statuses(0), (json!(CLOSED), json!("kept")));
    assert_eq!(statuses(1), (json!(OLD), json!("published")));
    let targets = scene.simulator.stats().targets;
    let lists: Vec<_> = targets.iter().filter(|target| target.contains("/guest-users?")).collect();
    let again = lists.iter().skip(usize::try_from(asked).expect("few"));
    assert!(again.clone().count() > 0 && again.clone().all(|target| target.contains("2025-08")));
}

#[test]
fn what_was_published_while_it_settled_is_missing_once_it_is_closed() {
    let scene = Scene::new(small());
    let settling = scene.export("2025-10").run().exits(0);
    assert_eq!(settling.task()["period_state"], "settling");
    let later = scene.export("missing:1").replacing("--as-of", "2025-11-20T00:00:00Z").run().exits(0);
    assert_eq!(later.task()["status"], "unchanged");
    assert_eq!(scene.output().manifest(NETWORK, "2025-10")["period_state"], "closed");
    let kept = scene.export("missing:1").replacing("--as-of", "2025-11-20T00:00:00Z").run().exits(0);
    assert_eq!(kept.task()["status"], "kept");
}

#[test]
fn what_was_checked_a_moment_ago_is_left_alone() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let asked = scene.simulator.stats().requests_of(Operation::ListGuestUsers);
    let kept = scene.export(CLOSED).args(["--fresh-for", "6h"]).run().exits(0);
    assert_eq!((&kept.task()["status"], &kept.task()["guests"]), (&json!("kept"), &json!(250)));
    assert_eq!(scene.simulator.stats().requests_of(Operation::ListGuestUsers), asked);

    scene.output().edit_manifest(NETWORK, CLOSED, |manifest| {
        manifest["exported_at"] = "2025-11-02T08:00:00Z".into();
        manifest["checked_at"] = "2025-11-02T08:00:00Z".into();
    });
    let walked = scene.export(CLOSED).args(["--fresh-for", "6h"]).run().exits(0);
    assert_eq!(walked.task()["status"], "unchanged");
    assert!(scene.simulator.stats().requests_of(Operation::ListGuestUsers) > asked);
}

#[test]
fn all_networks_are_found_page_by_page() {
    let ids: Vec<String> = (1..=150).map(|number| format!("{number:08}")).collect();
    let networks = ids.iter().map(|id| network(id)).collect();
    let scene = Scene::new(SimulatorConfig { networks, guests: 0, ..small() });
    let run = scene.job("").args(["--network", "all", "--period", CLOSED, "--dry-run"]).run().exits(0);
    let listed: Vec<&str> = run.stdout.lines().filter_map(|line| line.split(" 2025").next()).collect();
    assert_eq!(listed[..150], ids.iter().map(String::as_str).collect::<Vec<_>>()[..]);
    assert_eq!(scene.simulator.stats().requests_of(Operation::ListNetworks), 2);
}

#[test]
fn an_account_without_networks_is_said_to_have_none() {
    let population = Population::Explicit(ExplicitPopulation::default());
    let scene = Scene::new(SimulatorConfig { population, ..small() });
    let run = scene.job("").args(["--network", "all", "--period", CLOSED]).run().exits(78);
    insta::assert_snapshot!(run.error());
}

#[test]
fn a_network_id_keeps_its_leading_zero() {
    let scene = Scene::new(SimulatorConfig { networks: vec![network("01234567")], ..small() });
    scene.job("").args(["--network", "01234567", "--period", CLOSED]).run().exits(0);
    let counts = "guest_counts/csv/period=2025-09/network=01234567/guest_counts.csv";
    let text = String::from_utf8(scene.output().bytes(counts)).expect("text");
    assert!(text.contains("\"2025-09\",\"01234567\",250\n"), "{text}");
    assert!(fs::exists(scene.output().manifest_path("01234567", CLOSED)).expect("readable"));
}
