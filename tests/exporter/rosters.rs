//! Rosters in a place of their own: whose it is, and what is moved there.

use crate::support::{CLOSED, Exporter, NETWORK, Scene, guests, population};

fn divided(scene: &Scene, rosters: &str) -> Exporter {
    scene.export(CLOSED).args(["--roster-url", rosters])
}

fn scene() -> (Scene, String) {
    let scene = Scene::new(population(&[(CLOSED, guests(0..30))]));
    let rosters = scene.path("rosters").display().to_string();
    (scene, rosters)
}

#[test]
fn two_outputs_never_share_a_place_of_rosters() {
    let (scene, rosters) = scene();
    divided(&scene, &rosters).run().exits(0);
    let other = divided(&scene, &rosters).replacing("--output", &scene.path("try").display().to_string());
    let refused = other.run().exits(73);
    let error = refused.error();
    assert!(error.contains("holds the rosters of another output") && error.contains("/out,"), "{error}");
    let verified = scene.exporter().verifying(&scene.path("out")).args(["--roster-url", &rosters]);
    verified.run().exits(0);
}

#[test]
fn one_place_spelled_in_two_ways_is_one() {
    let (scene, _) = scene();
    let folder = scene.path("").display().to_string();
    for rosters in [format!("{folder}./out"), format!("{folder}out/private"), folder.clone()] {
        let refused = divided(&scene, &rosters).run().exits(2);
        assert!(refused.error().contains("one within the other"), "{}", refused.error());
    }
    let (output, state) = (scene.path("rosters").display().to_string(), scene.path("rosters/state"));
    let state = state.display().to_string();
    let refused = divided(&scene, &output).args(["--state", &state]).run().exits(2);
    assert!(refused.error().contains("within the output"), "{}", refused.error());
    assert_eq!(scene.pages_asked(), 0);
}

#[test]
fn a_roster_that_was_published_before_its_place_was_named_is_published_there_however_fresh_it_is() {
    let (scene, rosters) = scene();
    scene.export(CLOSED).run().exits(0);
    let moved = divided(&scene, &rosters).args(["--fresh-for", "1h"]);
    let first = moved.clone().run().exits(0);
    assert!(first.stderr.contains("nowhere but beside the counts"), "{}", first.stderr);
    assert_eq!(first.task()["status"], "restated");
    let second = moved.run().exits(0);
    assert_eq!(second.task()["status"], "kept");
    let verified = scene.exporter().verifying(&scene.path("out")).args(["--roster-url", &rosters]).run();
    // The first revision's roster is where it was published.
    assert!(
        verified.stdout.lines().all(|line| line.contains("/r000001-") || line.contains("findings")),
        "{}",
        verified.stdout
    );
    assert!(scene.output().is_published(NETWORK, CLOSED));
}
