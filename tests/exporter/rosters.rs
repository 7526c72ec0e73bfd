//! Rosters in a place of their own: whose it is, and what is moved there.

use crate::support::{CLOSED, Exporter, NETWORK, SETTLING, Scene, files_below, guests, population};

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

#[test]
fn a_run_that_is_not_told_where_the_rosters_are_puts_none_beside_the_counts() {
    let (scene, rosters) = scene();
    let elsewhere = scene.path("elsewhere").display().to_string();
    divided(&scene, &rosters).run().exits(0);
    let before = files_below(&scene.path(""));
    let pages = scene.pages_asked();
    let counts_only =
        scene.job("[output]\nroster = \"none\"\n").args(["--network", NETWORK, "--period", CLOSED]);
    for export in [
        scene.export(CLOSED),
        counts_only.clone(),
        counts_only.args(["--dry-run"]),
        scene.export(CLOSED).args(["--dry-run"]),
        scene.export(CLOSED).args(["--roster-url", &elsewhere]),
    ] {
        let error = export.run().exits(2).error();
        assert!(
            error.contains(&format!("its rosters are in {rosters}; give that as output.roster_url")),
            "{error}"
        );
        assert!(error.contains("and remove .rosters-in.json"), "{error}");
    }
    assert_eq!(scene.pages_asked(), pages);
    let doctor = scene.export(CLOSED).examining().run().exits(2);
    assert!(doctor.stdout.contains("its rosters are in"), "{}", doctor.stdout);
    assert_eq!(files_below(&scene.path("")), before);

    // Whoever wants them beside the counts moves them there.
    for folder in ["revisions", "guest_roster"] {
        let from = scene.path("rosters").join(folder);
        for file in files_below(&from) {
            let to = scene.path("out").join(folder).join(file.strip_prefix(&from).expect("a file within"));
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            std::fs::rename(file, to).expect("moved");
        }
    }
    std::fs::remove_file(scene.path("out/.rosters-in.json")).expect("a file");
    assert_eq!(scene.export(CLOSED).run().exits(0).task()["status"], "unchanged");
    scene.exporter().verifying(&scene.path("out")).run().exits(0);
}

#[test]
fn counts_alone_leave_no_roster_that_a_purge_does_not_find() {
    let (scene, rosters) = scene();
    divided(&scene, &rosters).run().exits(0);
    let job = format!("[output]\nroster = \"none\"\nroster_url = \"{rosters}\"\n");
    let counts_only = || scene.job(&job).args(["--network", NETWORK, "--period", CLOSED]);
    counts_only().examining().run().exits(0);
    assert_eq!(counts_only().run().exits(0).task()["status"], "restated");
    let left = || -> Vec<String> {
        let names = files_below(&scene.path("")).into_iter().map(|path| path.display().to_string());
        names.filter(|name| name.contains("/guest_roster.")).collect()
    };
    assert_eq!(left().len(), 2, "those of the first revision, as beside the counts: {:#?}", left());
    assert!(left().iter().all(|name| name.contains("/r000001-")), "{:#?}", left());
    let verified = scene.exporter().verifying(&scene.path("out")).args(["--roster-url", &rosters]);
    verified.run().exits(0);

    let out = scene.path("out").display().to_string();
    let purge = ["purge", &out, "--roster-url", &rosters, "--rosters-before", SETTLING];
    scene.exporter().args(purge).run().exits(0);
    assert_eq!(left(), Vec::<String>::new());
    assert_eq!(counts_only().run().exits(0).task()["status"], "unchanged");
}
