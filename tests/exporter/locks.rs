//! Several runs at the same time: each waits its turn, and what one has published the others find.
//!
//! Nothing is left to chance: a run is stopped by a signal at the very step that a test is about, or the test holds
//! the lock itself, and the others say that they wait before anything goes on.

use std::process::Child;

use rustix::process::{Signal, WaitOptions, waitpid};
use serde_json::json;
use tokio::runtime::Builder;
use wickr_guest_export::publish::{TaskKey, layout};
use wickr_guest_export::simulator::SimulatorConfig;
use wickr_guest_export::storage::{Destination, HeldLock, LocalDestination, LockWait, RelativePath};

use crate::support::{
    CLOSED, Exporter, NETWORK, Scene, guests, network, period, pid, population, small, tell,
};

const NETWORKS: [&str; 4] = ["11111111", "22222222", "33333333", "44444444"];

/// Starts a run and waits until it has stopped itself at a fail point.
fn stopped_at(exporter: &Exporter, point: &str) -> Child {
    let child = exporter.clone().fail_points(&format!("{point}=1*return(stop)")).spawn();
    let (_pid, status) =
        waitpid(Some(pid(&child)), WaitOptions::UNTRACED).expect("a child").expect("a status");
    assert!(status.stopped(), "it stops before it ends: {status:?}");
    child
}

/// Starts a run and waits until it says that it waits for a lock of this name.
fn waiting_for(exporter: &Exporter, lock: &RelativePath) -> Child {
    let mut child = exporter.spawn();
    exporter.wait_until_logged(&mut child, &["waiting for a lock", lock.as_str()]);
    child
}

/// Takes a lock of the output as another run would.
fn hold(scene: &Scene, lock: &RelativePath) -> HeldLock {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let output = LocalDestination::new(scene.path("out"));
    runtime.block_on(output.lock(lock, &LockWait::none())).expect("nobody holds it")
}

fn task_lock() -> RelativePath {
    layout::task_lock(TaskKey::new(network(NETWORK), period(CLOSED)))
}

#[track_caller]
fn verify(scene: &Scene) {
    scene.exporter().verifying(&scene.path("out")).run().exits(0);
}

/// Counts the revisions of the one task.
fn revisions(scene: &Scene) -> usize {
    let is_revision = |file: &&String| file.starts_with("revisions/") && file.ends_with("/manifest.json");
    scene.output().files().iter().filter(is_revision).count()
}

/// An output whose roster has been published and has changed since.
fn changed() -> Scene {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    scene.run(CLOSED).exits(0);
    scene.becomes(population(&[(CLOSED, guests(3..105))]));
    scene
}

#[test]
fn a_run_that_waits_for_another_finds_what_that_has_published_and_makes_no_second_revision() {
    // Before and after the manifest, and between the current copies.
    for point in [
        "durable-step.before.rename.manifests",
        "durable-step.after.rename.manifests",
        "durable-step.after.rename.guest_roster",
    ] {
        let scene = changed();
        let export = scene.export(CLOSED).args(["--lock-wait", "1h"]);
        let holder = stopped_at(&export, point);
        let waiter = waiting_for(&export, &task_lock());
        tell(&holder, Signal::CONT);
        assert_eq!(export.finish(holder).exits(0).task()["status"], "restated", "{point}");
        assert_eq!(export.finish(waiter).exits(0).task()["status"], "unchanged", "{point}");
        assert_eq!(revisions(&scene), 2, "{point}");
        scene.assert_published_whole(CLOSED);
        verify(&scene);
    }
}

#[test]
fn a_run_that_may_not_wait_long_enough_names_the_holder_and_touches_nothing() {
    let scene = changed();
    let export = scene.export(CLOSED);
    let holder = stopped_at(&export, "durable-step.before.rename.manifests");
    let before = scene.output().files();
    let message = export.clone().args(["--lock-wait", "300ms"]).run().exits(75).message();
    let named = format!("is locked by process {} on ", holder.id());
    assert!(message.contains(&named), "{message}");
    assert!(message.contains("for longer than the 300ms that were waited"), "{message}");
    assert_eq!(scene.output().files(), before, "what the holder has staged and written is still there");
    tell(&holder, Signal::CONT);
    export.finish(holder).exits(0);
    assert_eq!(revisions(&scene), 2);
    scene.assert_published_whole(CLOSED);
    verify(&scene);
}

#[test]
fn of_many_runs_of_one_task_one_restates_it_and_the_others_find_it_unchanged() {
    let scene = changed();
    let export = scene.export(CLOSED).args(["--lock-wait", "1h"]);
    let held = hold(&scene, &task_lock());
    let waiting = [(); 4].map(|()| waiting_for(&export, &task_lock()));
    drop(held);
    let mut statuses = waiting.map(|run| export.finish(run).exits(0).task()["status"].clone());
    statuses.sort_by_key(ToString::to_string);
    assert_eq!(json!(statuses), json!(["restated", "unchanged", "unchanged", "unchanged"]));
    assert_eq!(revisions(&scene), 2);
    scene.assert_published_whole(CLOSED);
    verify(&scene);
}

/// Exports one of several networks into the same output.
fn export_of(scene: &Scene, network: &str) -> Exporter {
    scene.job("").args(["--network", network, "--period", CLOSED])
}

fn several_networks() -> Scene {
    Scene::new(SimulatorConfig { networks: NETWORKS.map(network).to_vec(), ..small() })
}

#[test]
fn of_runs_of_different_networks_at_the_same_time_none_loses_its_row_of_the_summary() {
    let scene = several_networks();
    let held = hold(&scene, &layout::summary_lock());
    let exports = NETWORKS.map(|network| export_of(&scene, network).args(["--lock-wait", "1h"]));
    let waiting = exports.each_ref().map(Exporter::spawn);
    let mut waiting = exports.iter().zip(waiting).collect::<Vec<_>>();
    for (export, run) in &mut waiting {
        export.wait_until_logged(run, &["waiting for a lock", layout::summary_lock().as_str()]);
    }
    drop(held);
    for (export, run) in waiting {
        export.finish(run).exits(0);
    }
    assert_eq!(scene.output().summarised(), NETWORKS);
    verify(&scene);
}

#[test]
fn a_row_that_comes_while_another_run_writes_the_summary_is_not_lost() {
    let scene = several_networks();
    let [first, second, third, _] = NETWORKS.map(|network| export_of(&scene, network));
    // It has read the manifests and is about to replace the summary.
    let writer = stopped_at(&first, "durable-step.before.rename.summary");
    let second = second.args(["--lock-wait", "1h"]);
    let waiter = waiting_for(&second, &layout::summary_lock());
    // Whoever may not wait long enough says so; its row is written by whoever comes after.
    let hasty = third.args(["--lock-wait", "100ms"]).run().exits(0);
    assert!(hasty.stderr.contains("summary not updated"), "{}", hasty.stderr);
    tell(&writer, Signal::CONT);
    first.finish(writer).exits(0);
    second.finish(waiter).exits(0);
    assert_eq!(scene.output().summarised(), NETWORKS[..3]);
    verify(&scene);
}

#[test]
fn told_to_stop_while_it_waits_for_any_lock_it_ends_at_once() {
    for (lock, code, expected) in [
        (task_lock(), 75, "interrupted "),
        (layout::first_publication_lock(), 75, "interrupted while "),
        (layout::summary_lock(), 0, "summary not updated error=interrupted while "),
    ] {
        let scene = Scene::new(small());
        let held = hold(&scene, &lock);
        let export = scene.export(CLOSED).args(["--lock-wait", "1h"]);
        let waiter = waiting_for(&export, &lock);
        tell(&waiter, Signal::TERM);
        let run = export.finish(waiter).exits(code);
        let words = if code == 0 { run.stderr } else { run.message() };
        assert!(words.contains(expected), "{lock}: {words}");
        if code != 0 {
            scene.output().assert_holds_no_data();
        }
        drop(held);
        scene.run(CLOSED).exits(0);
        scene.assert_published_whole(CLOSED);
        verify(&scene);
    }
}

#[test]
fn no_task_waits_for_a_lock_past_the_deadline_of_the_run() {
    let scene = several_networks();
    let locks = NETWORKS.map(|id| layout::task_lock(TaskKey::new(network(id), period(CLOSED))));
    let held = locks.each_ref().map(|lock| hold(&scene, lock));
    let export = scene.job("concurrency = 1\n").args(["--network", "all", "--period", CLOSED]);
    let run = export.args(["--deadline", "1s", "--lock-wait", "1h"]).run().exits(75);
    let summary = run.summary();
    let messages: Vec<&str> = summary["tasks"]
        .as_array()
        .expect("tasks")
        .iter()
        .map(|task| task["message"].as_str().expect("a message"))
        .collect();
    let said = |text: &str| messages.iter().filter(|message| message.contains(text)).count();
    assert_eq!(said("is locked by process"), NETWORKS.len(), "{messages:?}");
    assert_eq!(said("the 1s that were waited"), 0, "some of the second was gone: {messages:?}");
    assert!(said("that were waited") <= 1, "nothing was left: {messages:?}");
    drop(held);
}
