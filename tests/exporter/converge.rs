//! A list that is walked from both ends at the same time.

use std::fs;

use serde_json::{Value, json};
use wickr_guest_export::simulator::{
    Change, Collation, Direction, ExplicitPopulation, Fault, FaultKind, Mutation, PagingMode, Population,
    SimulatorConfig, When,
};

use crate::support::{CLOSED, NETWORK, OLD, Scene, files_below, guests, network, period, population};

const CONVERGING: &str = "[request]\nattempts = 2\n[resume]\nrows = 300\n[walk]\nstrategy = \"converge\"\n";

/// Lists of 2,050 guests on 21 pages; only the number of the closed month is counted.
fn long_lists() -> SimulatorConfig {
    population(&[CLOSED, OLD].map(|month| (month, guests(1..=2050))))
}

/// Exports a month and returns what its manifest says of the walk.
fn walked(scene: &Scene, job: &str, month: &str) -> Value {
    scene.job(job).args(["--network", NETWORK, "--period", month]).run().exits(0);
    scene.assert_published_whole(month);
    scene.output().manifest(NETWORK, month)
}

fn digests(manifest: &Value) -> Vec<&Value> {
    manifest["files"].as_array().expect("files").iter().map(|file| &file["sha256"]).collect()
}

#[test]
fn a_counted_list_is_read_from_both_ends_once_and_gives_the_same_files() {
    let forward = walked(&Scene::new(long_lists()), "", CLOSED);
    let scene = Scene::new(long_lists());
    let converged = walked(&scene, CONVERGING, CLOSED);
    let walk = &converged["walk"];
    assert_eq!((&walk["strategy"], &walk["walks"]), (&json!("converge"), &json!(1)));
    assert_eq!(converged["counts"]["confirmed_by"], "control_total");
    assert_eq!(digests(&converged), digests(&forward), "byte for byte");
    assert_eq!(
        (&walk["rows"], &walk["duplicates"]),
        (&json!(2050), &json!(0)),
        "what both read is no duplicate"
    );
    assert!(scene.pages_asked() <= 21 + 6, "{} pages", scene.pages_asked());
}

#[test]
fn a_list_that_nobody_counts_is_walked_twice_whatever_the_job_says() {
    let scene = Scene::new(long_lists());
    let manifest = walked(&scene, CONVERGING, OLD);
    assert_eq!(manifest["walk"]["strategy"], "forward");
    assert_eq!(manifest["counts"]["confirmed_by"], "second_walk");
    assert_eq!(scene.pages_asked(), 42);
}

#[test]
fn small_lists_are_whole_however_little_there_is_to_meet_at() {
    for (count, strategies) in [
        (0, &["forward"][..]),
        (1, &["forward"]),
        (100, &["forward"]),
        // Of few pages either walk may end before a hundred usernames were seen by both.
        (101, &["forward", "converge"]),
        (200, &["forward", "converge"]),
        (399, &["forward", "converge"]),
    ] {
        let scene = Scene::new(population(&[(CLOSED, guests(0..count))]));
        let manifest = walked(&scene, CONVERGING, CLOSED);
        assert_eq!(manifest["counts"]["guests"], count);
        let strategy = manifest["walk"]["strategy"].as_str().expect("a word");
        assert!(strategies.contains(&strategy), "{count}: {strategy}");
        let pages = u64::from(count.div_ceil(100));
        // A month that nobody talked in is asked for in the other spelling too.
        assert!(scene.pages_asked() <= pages + 6, "{count}: {} pages", scene.pages_asked());
    }
}

#[test]
fn a_killed_run_is_gone_on_with_from_both_ends() {
    let stalled = vec![Fault::new(FaultKind::Stall, When::nth(14))];
    let scene = Scene::new(SimulatorConfig { faults: stalled, ..long_lists() });
    let export = scene.job(CONVERGING).args(["--network", NETWORK, "--period", CLOSED]);
    let mut child = export.spawn();
    scene.wait_for_pages(14);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let manifest = walked(&scene, CONVERGING, CLOSED);
    assert_eq!(manifest["walk"]["strategy"], "converge");
    assert_eq!(manifest["walk"]["resumed"], true);
    assert!(scene.pages_asked() <= 14 + (21 + 6 - 9), "{} pages", scene.pages_asked());
}

#[test]
fn a_roster_without_usernames_keeps_none_and_goes_on_from_one_end() {
    let job = format!("{CONVERGING}[output]\nroster = \"none\"\n");
    let stalled = vec![Fault::new(FaultKind::Stall, When::nth(14))];
    let scene = Scene::new(SimulatorConfig { faults: stalled, ..long_lists() });
    let export = scene.job(&job).args(["--network", NETWORK, "--period", CLOSED]);
    let mut child = export.spawn();
    scene.wait_for_pages(14);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    for file in files_below(&scene.path(".local/state")) {
        let bytes = fs::read(&file).expect("a file");
        let names = bytes.windows(6).filter(|window| *window == b"guest-").count();
        assert_eq!(names, 0, "a username in {}", file.display());
    }
    export.run().exits(0);
    let manifest = scene.output().manifest(NETWORK, CLOSED);
    assert_eq!(
        (&manifest["walk"]["strategy"], &manifest["counts"]["guests"]),
        (&json!("forward"), &json!(2050))
    );
}

#[test]
fn a_list_in_another_order_than_that_of_bytes_is_walked_from_one_end() {
    let mut rows = guests(1..=950);
    for (_, username) in rows.iter_mut().step_by(3) {
        *username = username.to_uppercase();
    }
    let population = ExplicitPopulation::default()
        .with_rows(network(NETWORK), period(CLOSED), rows)
        .with_collation(Collation::CaseInsensitive);
    let scene = Scene::new(SimulatorConfig { population: Population::Explicit(population), ..long_lists() });
    let manifest = walked(&scene, CONVERGING, CLOSED);
    assert_eq!(manifest["walk"]["strategy"], "forward");
    assert_eq!(manifest["counts"]["confirmed_by"], "control_total");
}

/// One who leaves behind a walk shifts its pages, one whom both have read leaves nothing to see, and one whom neither
/// has read yet is not missed: wherever it is, the count has the last word.
#[test]
fn a_guest_who_leaves_in_the_middle_is_told_by_the_count_and_walked_again() {
    // At the tenth request each walk has read about five of the twenty-one pages, at the twenty-second both have met.
    for (leaver, moment, paging, again) in [
        (5, 10, PagingMode::Offset, true),
        (2045, 10, PagingMode::Offset, true),
        (5, 10, PagingMode::Keyset, true),
        (1025, 22, PagingMode::Offset, true),
        (1025, 22, PagingMode::Keyset, true),
        (1025, 5, PagingMode::Keyset, false),
    ] {
        let (username_hash, _) = guests([leaver]).remove(0);
        let leaves = Mutation {
            network: network(NETWORK),
            period: period(CLOSED),
            before_request: moment,
            change: Change::Leave { username_hash },
        };
        let scene = Scene::new(SimulatorConfig { mutations: vec![leaves], paging, ..long_lists() });
        let manifest = walked(&scene, CONVERGING, CLOSED);
        assert_eq!(manifest["counts"]["guests"], 2049, "exactly those who are there");
        let walks = manifest["walk"]["walks"].as_u64().expect("a number");
        assert!(!again || walks > 1, "{leaver} at {moment}, {paging:?}: one walk alone is not believed");
    }
}

#[test]
fn a_list_whose_first_page_alone_is_in_another_order_is_walked_from_one_end() {
    let mut rows = guests(1..=950);
    rows.push(("hash-of-another".to_owned(), "GUEST-0050@private.example".to_owned()));
    let population = ExplicitPopulation::default()
        .with_rows(network(NETWORK), period(CLOSED), rows)
        .with_collation(Collation::CaseInsensitive);
    let scene = Scene::new(SimulatorConfig { population: Population::Explicit(population), ..long_lists() });
    assert_eq!(walked(&scene, CONVERGING, CLOSED)["walk"]["strategy"], "forward");
}

#[test]
fn what_goes_wrong_with_the_walk_from_the_other_end_does_not_cost_the_list() {
    for kind in [FaultKind::ValidationError, FaultKind::MissingUsernameHash, FaultKind::TokenLoop(1)] {
        let faults = vec![Fault::new(kind, When::always().towards(Direction::Descending))];
        let scene = Scene::new(SimulatorConfig { faults, ..long_lists() });
        let manifest = walked(&scene, CONVERGING, CLOSED);
        assert_eq!(manifest["walk"]["strategy"], "forward", "{kind:?}");
    }
}

#[test]
fn another_strategy_is_refused_with_those_that_there_are() {
    let scene = Scene::new(long_lists());
    let job = "[walk]\nstrategy = \"sideways\"\n";
    let error = scene.job(job).args(["--network", NETWORK, "--period", CLOSED]).run().exits(2).error();
    assert!(error.contains("`sideways`") && error.contains("`forward` or `converge`"), "{error}");
}
