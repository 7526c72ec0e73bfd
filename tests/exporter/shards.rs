//! One job done by several processes, each with its share of the networks.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;
use wickr_guest_export::simulator::{SimulatorConfig, ThrottleHint};

use crate::support::{CLOSED, Exporter, NETWORK, Scene, network, period, small};

/// The processes that one job is divided among.
const PROCESSES: usize = 8;

/// A job whose processes are the pods of an Indexed Job.
const INDEXED: &str = "shard = \"index/8\"\n";

fn pod(export: &Exporter, index: usize) -> Exporter {
    export.clone().env("JOB_COMPLETION_INDEX", &index.to_string())
}

#[test]
fn eight_processes_at_once_against_one_rate_limit_publish_every_network_together() {
    let ids: BTreeSet<String> =
        (1..=30).map(|number| format!("{:08}", number * 7_654_321 % 99_999_989)).collect();
    let scene = Scene::new(SimulatorConfig {
        networks: ids.iter().map(|id| network(id)).collect(),
        periods: [CLOSED].map(period).to_vec(),
        guests: 30,
        requests_per_second: Some(60),
        // Two at the same time are one too many, however slow the machine.
        burst: 1,
        throttle_hint: ThrottleHint::None,
        ..small()
    });
    let export = scene.job(INDEXED).args(["--network", "all", "--period", CLOSED]);
    let export = export.replacing("--max-requests-per-second", "2000");
    let running: Vec<_> = (0..PROCESSES).map(|index| pod(&export, index).spawn()).collect();
    // All of them are read from at once: one whose pipe is full would hold the others' locks.
    let export = &export;
    let ended: Vec<_> = std::thread::scope(|scope| {
        let reading: Vec<_> =
            running.into_iter().map(|child| scope.spawn(move || export.finish(child))).collect();
        reading.into_iter().map(|run| run.join().expect("no panic")).collect()
    });
    let mut published = BTreeSet::new();
    for (index, run) in ended.into_iter().enumerate() {
        let run = run.exits(0);
        assert!(run.stderr.contains("max_requests_per_second=250.0"), "an eighth: {}", run.stderr);
        let summary = run.summary();
        let own = summary["tasks"].as_array().expect("tasks");
        let share =
            json!({"index": index, "count": PROCESSES, "networks": own.len(), "of_networks": ids.len()});
        assert_eq!(summary["shard"], share);
        for task in own {
            assert_eq!(task["status"], "published");
            let id = task["network_id"].as_str().expect("an id").to_owned();
            assert!(published.insert(id.clone()), "{id} falls to two processes");
        }
    }
    assert_eq!(published, ids);
    assert!(scene.simulator.stats().throttled > 0, "the limit was met");
    let summarised: BTreeSet<String> = scene.output().summarised().into_iter().collect();
    assert_eq!(summarised, ids, "one summary with a row of each");
    scene.exporter().verifying(&scene.path("out")).run().exits(0);
}

#[test]
fn a_process_to_which_no_network_falls_has_nothing_to_do_and_says_so() {
    let scene = Scene::new(small());
    let export = scene.job("").args(["--network", NETWORK, "--period", CLOSED]);
    let text = export.clone().replacing("--summary", "text");
    // By the rule that is written down, the network's digest is 11 modulo 16.
    let idle = text.clone().args(["--shard", "3/16"]).run().exits(0);
    insta::with_settings!({filters => vec![(r"Files in \S+", "Files in [output]")]}, {
        insta::assert_snapshot!(idle.stdout);
    });
    assert_eq!(scene.simulator.stats().connections, 0, "nobody else's network is asked about");
    scene.output().assert_holds_no_data();

    let listed =
        scene.job("").args(["--network", "all", "--period", CLOSED, "--shard", "3/16"]).run().exits(0);
    assert_eq!(listed.summary()["shard"], json!({"index": 3, "count": 16, "networks": 0, "of_networks": 1}));
    scene.output().assert_holds_no_data();

    let busy = text.args(["--shard", "11/16"]).run().exits(0);
    assert!(busy.stdout.contains("\nShard 11/16 has 1 of the 1 networks.\n"), "{}", busy.stdout);
    scene.assert_published_whole(CLOSED);
    let whole = export.args(["--shard", "0/1"]).run().exits(0);
    assert_eq!(whole.summary()["shard"], json!(null), "the only share is no share");
}

#[test]
fn a_dry_run_shows_the_share() {
    let scene = Scene::new(SimulatorConfig {
        networks: ["01234567", "12345678", "87654321"].map(network).to_vec(),
        ..small()
    });
    let export = scene.job(INDEXED).args(["--network", "all", "--period", CLOSED, "--dry-run"]);
    let run = pod(&export, 4).run().exits(0);
    insta::with_settings!({filters => vec![
        (r"http://127\.0\.0\.1:\d+", "[endpoint]"),
        (r"files would go to \S+", "files would go to [output]"),
    ]}, { insta::assert_snapshot!(run.stdout) });
    let empty = pod(&export, 0).run().exits(0);
    assert!(empty.stdout.starts_with("Shard 0/8 has 0 of the 3 networks.\nDry run: "), "{}", empty.stdout);
}

#[test]
fn a_share_that_is_none_ends_with_2_before_any_request() {
    let scene = Scene::new(small());
    // One after the other: all have their job in the same file.
    let errors = [
        ("an index of no pod", INDEXED, None),
        ("too many completions", INDEXED, Some(PROCESSES)),
        ("no such share", "shard = \"8/8\"\n", None),
        ("too little of a rate", "shard = \"0/5000\"\n", None),
    ];
    let mut said = String::new();
    for (wrong, job, index) in errors {
        let export = scene.job(job).args(["--network", NETWORK, "--period", CLOSED]);
        let export = export.replacing("--max-requests-per-second", "10");
        let export = index.map_or(export.clone(), |index| pod(&export, index));
        writeln!(said, "# {wrong}\n{}\n", export.run().exits(2).error()).expect("a string");
    }
    let said = said.replace(&scene.path("").display().to_string(), "[folder]/");
    insta::assert_snapshot!(said);
    assert_eq!(scene.simulator.stats().connections, 0);
}
