//! Being told to stop, and not being alone: what is published stays whole, and the next run makes good.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use wickr_guest_export::simulator::{Fault, FaultKind, Operation, SimulatorConfig, When};

use crate::support::{CLOSED, NETWORK, RawServer, Scene, small, tell};

#[test]
fn told_to_stop_it_ends_at_once_as_temporary_and_publishes_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let faults = vec![Fault::new(FaultKind::Stall, When::nth(2))];
        let mut scene = Scene::new(SimulatorConfig { faults, ..small() });
        let exporter = scene.export(CLOSED);
        let child = exporter.spawn();
        scene.wait_for_pages(2);
        tell(&child, signal);
        let run = exporter.finish(child).exits(75);
        assert!(run.message().contains("page 2: interrupted; run again"), "{}", run.message());
        assert_eq!(scene.simulator.stats().requests_of(Operation::ListGuestUsers), 2, "no page more");
        scene.output().assert_holds_no_data();

        scene.becomes(small());
        scene.run(CLOSED).exits(0);
        scene.assert_published_whole(CLOSED);
    }
}

#[test]
fn told_to_stop_while_it_lists_networks_it_ends_as_temporary() {
    let faults = vec![Fault::new(FaultKind::Stall, When::always().of(Operation::ListNetworks))];
    let scene = Scene::new(SimulatorConfig { faults, ..small() });
    let exporter = scene.job("").args(["--network", "all", "--period", CLOSED]);
    let child = exporter.spawn();
    while scene.simulator.stats().requests_of(Operation::ListNetworks) == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    tell(&child, Signal::TERM);
    exporter.finish(child).exits(75);
}

#[test]
fn told_to_stop_while_a_store_does_not_answer_it_ends_after_the_time_that_the_job_allows() {
    let silent = RawServer::start(|_, _| {
        loop {
            thread::park();
        }
    });
    let scene = Scene::new(small());
    let export = scene
        .job("shutdown_grace = \"1s\"\n[resume]\nrows = 100\n")
        .args(["--network", NETWORK, "--period", CLOSED, "--state", "s3://state/walks"])
        .env("AWS_ENDPOINT_URL_S3", &silent.url());
    let child = export.spawn();
    while silent.requests() == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    tell(&child, Signal::TERM);
    let run = export.finish(child).exits(75);
    assert!(run.error().contains("did not end within 1s (shutdown_grace)"), "{}", run.error());
    scene.output().assert_holds_no_data();
}

#[test]
fn a_run_killed_in_the_middle_leaves_nothing_that_stops_the_next() {
    let faults = vec![Fault::new(FaultKind::Stall, When::nth(2))];
    let mut scene = Scene::new(SimulatorConfig { faults, ..small() });
    let mut child = scene.export(CLOSED).spawn();
    scene.wait_for_pages(2);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    scene.output().assert_holds_no_data();

    scene.becomes(small());
    scene.run(CLOSED).exits(0);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn a_task_that_another_run_holds_is_temporary_and_named() {
    let faults = vec![Fault::new(FaultKind::Stall, When::nth(2))];
    let scene = Scene::new(SimulatorConfig { faults, ..small() });
    let mut holder = scene.export(CLOSED).spawn();
    scene.wait_for_pages(2);
    let run = scene.export(CLOSED).args(["--lock-wait", "0s"]).run().exits(75);
    let message = run.message();
    assert!(message.contains("is locked"), "{message}");
    assert!(message.ends_with("; run again when that run has ended"), "{message}");
    assert!(message.contains(&holder.id().to_string()), "names the holder: {message}");
    holder.kill().expect("it runs");
    holder.wait().expect("it ends");
    assert!(!scene.output().is_published(NETWORK, CLOSED));
}

#[test]
fn a_lock_that_is_given_back_in_time_is_waited_for() {
    let faults = vec![Fault::new(FaultKind::Stall, When::nth(2))];
    let scene = Scene::new(SimulatorConfig { faults, ..small() });
    let mut holder = scene.export(CLOSED).spawn();
    scene.wait_for_pages(2);
    let waiting = scene.export(CLOSED).args(["--lock-wait", "1m"]);
    let waiter = waiting.spawn();
    holder.kill().expect("it runs");
    holder.wait().expect("it ends");
    waiting.finish(waiter).exits(0);
    scene.assert_published_whole(CLOSED);
}
