//! Death at every durable step, one after the other: what was published stays whole, and the next run makes good.
//!
//! A run is killed before each of its changes in turn, in a copy of the same output, until one survives. What is on
//! the disk after a change is what is there before the next, so nothing that a kill can leave is left out.

use crate::support::{Story, assert_hit};

/// The fail point of every durable step before it takes effect.
const EACH_STEP: &str = "durable-step.before";

#[test]
fn a_first_publication_that_dies_at_any_step_is_nothing_or_whole_and_the_next_run_makes_good() {
    let steps = Story::first_publication().history.die_at_each(EACH_STEP, "kill");
    for operation in ["create-folder", "sync", "rename", "sync-folder"] {
        for folder in ["revisions", "manifests", "guest_roster", "guest_counts", "summary"] {
            assert_hit(&steps, &[&format!("{operation} {folder}")]);
        }
    }
    let others = ["create-folder .", "stage .staging", "write .staging", "link .staging", "lock .locks"];
    assert_hit(&steps, &others);
}

#[test]
fn a_long_walk_that_dies_at_any_step_of_its_checkpoints_publishes_nothing_and_the_next_run_makes_good() {
    let story = Story::first_publication_of_a_long_list();
    for operation in ["create-folder", "sync", "rename", "sync-folder", "remove", "remove-folder"] {
        let steps = story.history.die_at_each(&format!("{EACH_STEP}.{operation}.walks"), "kill");
        assert_hit(&steps, &[&format!("{operation} walks")]);
    }
    let torn = story.history.die_at_each("durable-step.before.sync.walks", "tear");
    assert_hit(&torn, &["sync walks"]);
}

#[test]
fn a_restatement_that_dies_at_any_step_leaves_the_old_roster_or_the_new_and_the_next_run_makes_good() {
    let steps = Story::restatement().history.die_at_each(EACH_STEP, "kill");
    assert_hit(
        &steps,
        &["create-folder revisions", "rename revisions", "rename manifests", "rename summary"],
    );
    assert_hit(&steps, &["link .staging", "rename guest_roster", "rename guest_counts"]);
}

#[test]
fn a_run_that_dies_while_it_sweeps_what_another_left_loses_nothing_and_the_next_run_makes_good() {
    let story = Story::restatement_after_a_death();
    // What follows the sweep is an undisturbed restatement.
    for (point, hit) in [
        ("durable-step.before.remove", ["remove .staging", "remove revisions"].as_slice()),
        ("durable-step.before.remove-folder", &["remove-folder revisions"]),
        ("durable-step.after.remove-folder", &["remove-folder revisions"]),
    ] {
        assert_hit(&story.history.die_at_each(point, "kill"), hit);
    }
}

#[test]
fn content_that_a_loss_of_power_tears_before_it_is_synced_is_never_taken_for_whole() {
    let story = Story::restatement();
    for (point, hit) in [
        ("durable-step.after.write", "write .staging"),
        ("durable-step.before.sync.revisions", "sync revisions"),
        ("durable-step.before.sync.manifests", "sync manifests"),
        ("durable-step.before.sync.summary", "sync summary"),
    ] {
        assert_hit(&story.history.die_at_each(point, "tear"), &[hit]);
    }
}
