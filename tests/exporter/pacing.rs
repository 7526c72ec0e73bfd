//! The rate over real HTTP, against a server that tells its limit only by refusing.

use wickr_guest_export::simulator::{SimulatorConfig, ThrottleHint};

use crate::support::{CLOSED, NETWORK, OLD, Scene, network, period, small};

/// Six lists, walked at once, against a limit far below the rate allowed.
fn limited(guests: u64, requests_per_second: u32, throttle_hint: ThrottleHint) -> Scene {
    let networks = ["11111111", "22222222", NETWORK];
    Scene::new(SimulatorConfig {
        networks: networks.map(network).to_vec(),
        periods: ["2025-09", "2025-10"].map(period).to_vec(),
        guests,
        requests_per_second: Some(requests_per_second),
        throttle_hint,
        ..small()
    })
}

#[test]
fn a_limit_that_shows_only_in_refusals_is_found_and_no_page_is_lost() {
    let scene = limited(1600, 80, ThrottleHint::None);
    let job = scene.job("").replacing("--max-requests-per-second", "200");
    let job = job.args(["--network", "all", "--period", "2025-09..2025-10"]);
    let summary = job.run().exits(0).summary();
    scene.assert_published_whole(CLOSED);
    let stats = scene.simulator.stats();
    let number = |name: &str| summary[name].as_u64().expect("a number");
    assert_eq!(number("requests"), stats.requests.values().sum::<u64>(), "every request is accounted for");
    assert_eq!(number("throttled"), stats.throttled, "and every refusal");
    assert_eq!(number("retries"), stats.throttled, "each refused request was put again, once");
    assert!(stats.throttled > 0, "the limit was met");
    let share = summary["throttled_share"].as_f64().expect("a share");
    assert!(share < 0.25, "it settles under the limit instead of running into it: {share}");
}

#[test]
fn every_form_of_hint_is_kept_to() {
    for hint in [ThrottleHint::Seconds, ThrottleHint::HttpDate, ThrottleHint::Milliseconds] {
        let scene = limited(400, 100, hint);
        let job = scene.job("").args(["--network", NETWORK, "--period", CLOSED, "--concurrency", "1"]);
        let summary = job.run().exits(0).summary();
        scene.assert_published_whole(CLOSED);
        assert_eq!(summary["throttled"], scene.simulator.stats().throttled);
        let share = summary["throttled_share"].as_f64().expect("a share");
        assert!(share < 0.5, "{hint:?}: {share}");
    }
}

#[test]
fn no_more_tasks_are_walked_at_once_than_allowed() {
    for (concurrency, most) in [("1", 1), ("2", 2)] {
        let config = SimulatorConfig { latency_ms: 20, ..small() };
        let scene = Scene::new(config);
        let job = scene.job("").args(["--network", NETWORK, "--period", "2025-09..2025-11"]);
        job.args(["--concurrency", concurrency]).run().exits(0);
        assert_eq!(scene.simulator.stats().max_concurrent, most);
    }
}

#[test]
fn the_two_walks_of_a_month_that_aws_no_longer_counts_are_made_at_the_same_time() {
    let scene = Scene::new(SimulatorConfig { latency_ms: 20, ..small() });
    scene.run(OLD).exits(0);
    scene.assert_published_whole(OLD);
    assert_eq!(scene.simulator.stats().max_concurrent, 2);
}
