//! `diff`: exactly who came, went and stayed, and no more than can be known.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use wickr_guest_export::dataset::{Dataset, csv, parquet};
use wickr_guest_export::simulator::{Population, SimulatorConfig};

use crate::support::{
    AS_OF, CLOSED, Exporter, NETWORK, OLD, OPEN, Scene, files_below, guests, network, period,
};

const OTHER: &str = "01234567";

/// Which guests a network has in a month.
type Guests = (&'static str, &'static str, Vec<(String, String)>);

fn serving(lists: &[Guests]) -> SimulatorConfig {
    let lists = lists.iter().map(|(id, month, rows)| (network(id), period(month), rows.clone()));
    SimulatorConfig {
        population: Population::explicit(lists),
        edge_repeats_per_thousand: 0,
        now: Some(AS_OF.parse().expect("an instant")),
        ..SimulatorConfig::default()
    }
}

fn two_networks() -> [Guests; 4] {
    // A guest whose name a spreadsheet would run came; one moved from one network to the other.
    let hostile = ("hash-of-guest-hostile".to_owned(), "=cmd|' /C calc'!A0 \"\n".to_owned());
    let mut newer = guests(20..130);
    newer.push(hostile);
    [
        (NETWORK, OLD, guests(0..120)),
        (NETWORK, CLOSED, newer),
        (OTHER, OLD, guests(100..110)),
        (OTHER, CLOSED, guests((0..1).chain(105..110))),
    ]
}

fn export(scene: &Scene, job: &str, periods: &[&str]) -> Exporter {
    let periods = periods.join(",");
    scene.job(job).args(["--network", NETWORK, "--network", OTHER, "--period", &periods])
}

fn published() -> Scene {
    let scene = Scene::new(serving(&two_networks()));
    export(&scene, "", &[OLD, CLOSED]).run().exits(0);
    scene
}

fn diff(scene: &Scene, from: &str, to: &str) -> Exporter {
    let output = scene.path("out").display().to_string();
    scene.exporter().args(["diff", &output, "--from", from, "--to", to])
}

fn json_of(diff: Exporter, code: i32) -> Value {
    let run = diff.args(["--summary", "json"]).run().exits(code);
    serde_json::from_str(&run.stdout).expect("JSON")
}

fn hashes(rows: &[(String, String)]) -> BTreeSet<String> {
    rows.iter().map(|(hash, _)| hash.clone()).collect()
}

/// Reads a list in both formats, which must be of the same rows: network, hash, username.
fn list(scene: &Scene, name: &str) -> Vec<[String; 4]> {
    let path = |format: &str| scene.path("lists").join(format!("{name}.{format}"));
    let schema = Dataset::GuestRoster.schema();
    let of_parquet = parquet::read(File::open(path("parquet")).expect("a list"), &schema).expect("Parquet");
    let of_csv = fs::read(path("csv")).expect("a list");
    let of_csv = csv::read(&of_csv[..], &schema, true).expect("CSV");
    let of_parquet: Vec<_> = of_parquet.flat_map(|batch| texts(&batch.expect("rows"))).collect();
    let of_csv: Vec<_> = of_csv.flat_map(|batch| texts(&batch.expect("rows"))).collect();
    assert_eq!(of_parquet, of_csv, "{name}");
    of_parquet
}

fn texts(batch: &arrow::array::RecordBatch) -> Vec<[String; 4]> {
    use arrow::array::AsArray;
    let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
    (0..batch.num_rows()).map(|row| std::array::from_fn(|column| text(column, row))).collect()
}

#[test]
fn who_came_went_and_stayed_is_exact_network_by_network_and_over_all() {
    let scene = published();
    let lists = scene.path("lists").display().to_string();
    let report = json_of(diff(&scene, OLD, CLOSED).args(["--lists", &lists, "--kept"]), 0);

    let (mut expected, mut seen) = ([0, 0, 0], ["added", "gone", "kept"].map(|_| BTreeSet::new()));
    let (mut all_before, mut all_after) = (BTreeSet::new(), BTreeSet::new());
    for (id, month, _) in two_networks().iter().filter(|(_, month, _)| *month == OLD) {
        let rows = |month: &str| -> Vec<_> { scene.simulator.expected(network(id), period(month)).collect() };
        let (before, after) = (hashes(&rows(month)), hashes(&rows(CLOSED)));
        let sets = [&after - &before, &before - &after, &before & &after];
        let of = report["networks"].as_array().expect("networks").iter().find(|of| of["network_id"] == *id);
        let of = of.expect("the network");
        let counts = json!({"added": sets[0].len(), "gone": sets[1].len(), "kept": sets[2].len()});
        assert_eq!((&of["guests"], &of["status"]), (&counts, &json!("compared")), "{id}");
        assert_eq!(of["before"], json!({"revision": 1, "guests": before.len()}));
        for (place, set) in sets.into_iter().enumerate() {
            expected[place] += set.len();
            seen[place].extend(set.into_iter().map(|hash| ((*id).to_owned(), hash)));
        }
        all_before.extend(before);
        all_after.extend(after);
    }
    let counts = |[added, gone, kept]: [usize; 3]| json!({"added": added, "gone": gone, "kept": kept});
    assert_eq!(report["sum"], counts(expected));
    let unique = [&all_after - &all_before, &all_before - &all_after, &all_before & &all_after];
    let unique = counts(unique.map(|set| set.len()));
    assert_eq!(report["unique"], unique);
    assert_ne!(report["unique"], report["sum"], "some guests are in both networks");

    for (name, (month, set)) in
        ["added", "gone", "kept"].into_iter().zip([CLOSED, OLD, CLOSED].into_iter().zip(&seen))
    {
        let rows = list(&scene, &format!("{name}_{OLD}_{CLOSED}"));
        assert!(rows.is_sorted_by(|one, next| one[1..3] < next[1..3]), "{name} is sorted and distinct");
        assert!(rows.iter().all(|row| row[0] == month), "{name}");
        let listed: BTreeSet<_> = rows.iter().map(|row| (row[1].clone(), row[2].clone())).collect();
        assert_eq!(listed, *set, "{name}");
    }
    // A name comes back exactly, and is no formula in the CSV.
    let added = list(&scene, &format!("added_{OLD}_{CLOSED}"));
    assert!(added.iter().any(|row| row[3].starts_with("=cmd")));
    let text =
        fs::read_to_string(scene.path("lists").join(format!("added_{OLD}_{CLOSED}.csv"))).expect("text");
    assert!(text.contains("\"'=cmd") && !text.contains("\"=cmd"), "guarded");
    for file in files_below(&scene.path("lists")) {
        let mode = fs::metadata(&file).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}", file.display());
    }
    assert_eq!(report["lists"].as_array().map(Vec::len), Some(6));
}

#[test]
fn the_table_says_what_it_counts() {
    let scene = published();
    let lists = scene.path("lists").display().to_string();
    let run =
        diff(&scene, OLD, CLOSED).args(["--lists", &lists, "--format", "csv", "--quiet"]).run().exits(0);
    insta::assert_snapshot!(run.stdout.replace(&scene.path("out").display().to_string(), "out"));
    let written: Vec<_> = files_below(&scene.path("lists"));
    assert_eq!(written.len(), 2, "{written:?}");
}

#[test]
fn two_revisions_of_a_month_are_compared_as_they_were_published() {
    let mut scene = published();
    let restated = |range: Range<u32>| [(NETWORK, OLD, guests(range)), (OTHER, OLD, guests(100..110))];
    scene.becomes(serving(&restated(5..121)));
    export(&scene, "", &[OLD]).run().exits(0);
    let (one, two) = (format!("{OLD}@1"), format!("{OLD}@2"));
    let lists = scene.path("lists").display().to_string();
    let revisions = |from: &str, to: &str| diff(&scene, from, to).args(["--network", NETWORK]);
    let report = json_of(revisions(&one, &two).args(["--lists", &lists]), 0);
    assert_eq!(report["sum"], json!({"added": 1, "gone": 5, "kept": 115}));
    assert_eq!(list(&scene, &format!("gone_{OLD}-r1_{OLD}-r2")).len(), 5);
    // The latest is the one that is published; the other way round, those who came went.
    let back = json_of(revisions(OLD, &one), 0);
    assert_eq!(back["sum"], json!({"added": 5, "gone": 1, "kept": 115}));

    let without_network = diff(&scene, &one, &two).run().exits(2).error();
    assert!(without_network.contains("name the one network with --network"), "{without_network}");
    let unknown = revisions(&one, &format!("{OLD}@3")).run().exits(2).error();
    assert!(unknown.contains("has no revision 3 that is kept; the latest is 2"), "{unknown}");
}

#[test]
fn where_rosters_were_purged_or_never_published_only_counts_are_compared() {
    let scene = published();
    let output = scene.path("out").display().to_string();
    scene.exporter().args(["purge", &output, "--rosters-before", CLOSED]).run().exits(0);
    let lists = scene.path("lists").display().to_string();
    let run = diff(&scene, OLD, CLOSED).args(["--lists", &lists, "--quiet"]).run().exits(0);
    insta::with_settings!({filters => vec![(r"purged on \d{4}-\d\d-\d\d", "purged on [date]")]}, {
        insta::assert_snapshot!(run.stdout.replace(&output, "out"));
    });
    assert_eq!(
        files_below(&scene.path("lists")),
        Vec::<std::path::PathBuf>::new(),
        "nobody is said to have gone"
    );

    let scene = Scene::new(serving(&two_networks()));
    export(&scene, "", &[OLD]).run().exits(0);
    export(&scene, "[output]\nroster = \"none\"\n", &[CLOSED]).run().exits(0);
    let report = json_of(diff(&scene, OLD, CLOSED), 0);
    let network = &report["networks"][0];
    assert_eq!((&network["status"], &network["guests"]), (&json!("counts_only"), &Value::Null));
    assert_eq!((&report["sum"], &report["unique"]), (&Value::Null, &Value::Null));
    assert!(network["message"].as_str().expect("a message").contains("without a roster"), "{report:#}");
}

#[test]
fn pseudonyms_are_compared_with_those_of_the_same_key_and_with_nothing_else() {
    let scene = Scene::new(serving(&two_networks()));
    let pseudonymous = "[output]\nroster = \"pseudonymous\"\npseudonym_key_env = \"WICKR_TEST_KEY\"\n";
    let with_key = |periods: &[&str], key: &str| {
        export(&scene, pseudonymous, periods).env("WICKR_TEST_KEY", key).run().exits(0);
    };
    let (one, other) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    with_key(&[OLD, CLOSED], one);
    let same = json_of(diff(&scene, OLD, CLOSED), 0);
    assert_eq!(same["sum"], json!({"added": 12, "gone": 25, "kept": 105}));
    with_key(&[CLOSED], other);
    let differing = json_of(diff(&scene, OLD, CLOSED), 0);
    assert_eq!(differing["sum"], Value::Null);
    assert!(
        differing["networks"][1]["message"].as_str().expect("a message").contains("two keys"),
        "{differing:#}"
    );
}

#[test]
fn a_network_on_one_side_only_has_nobody_come_or_go() {
    let scene = Scene::new(serving(&two_networks()));
    export(&scene, "", &[OLD]).run().exits(0);
    scene.run(CLOSED).exits(0);
    let report = json_of(diff(&scene, OLD, CLOSED), 0);
    let other = &report["networks"][0];
    assert_eq!((&other["network_id"], &other["status"]), (&json!(OTHER), &json!("only_before")));
    assert_eq!((&other["guests"], &other["after"]), (&Value::Null, &Value::Null));
    assert_eq!(report["sum"], report["networks"][1]["guests"]);
    let nothing = diff(&scene, OLD, "2025-07").run().exits(2).error();
    assert!(nothing.contains("holds no publication of 2025-07"), "{nothing}");
}

#[test]
fn a_roster_that_is_not_what_was_published_is_never_compared() {
    let scene = published();
    let revisions = scene.path("out/revisions").join(format!("period={CLOSED}/network={NETWORK}"));
    let roster = files_below(&revisions).into_iter().find(|path| path.ends_with("guest_roster.parquet"));
    let roster = roster.expect("a roster");
    let lists = scene.path("lists").display().to_string();
    let whole = fs::read(&roster).expect("a roster");
    fs::remove_file(&roster).expect("a roster");
    let missing = json_of(diff(&scene, OLD, CLOSED).args(["--lists", &lists]), 65);
    let message = missing["networks"][1]["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("give it as --roster-url"), "{message}");
    let mut altered = whole;
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    fs::write(&roster, altered).expect("a roster");
    let altered = json_of(diff(&scene, OLD, CLOSED).args(["--lists", &lists]), 65);
    let message = altered["networks"][1]["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("has other bytes than were published"), "{message}");
    assert_eq!((&altered["unique"], &altered["lists"]), (&Value::Null, &json!([])));
    assert_eq!(files_below(&scene.path("lists")).len(), 0);
}

#[test]
fn a_list_that_cannot_be_written_ends_with_73_and_no_list_is_there() {
    let scene = published();
    let lists = scene.path("lists").display().to_string();
    let diff = || diff(&scene, OLD, CLOSED).args(["--lists", &lists, "--kept"]);
    // The first write is that of the probe, which leaves nothing.
    for (point, lists_left) in
        [("before.write=1*off->return(enospc)", 0), ("before.rename=2*off->return(enospc)", 2)]
    {
        let run = diff().fail_points(&format!("durable-step.{point}")).run().exits(73);
        assert!(run.error().contains("free some space and run again"), "{}", run.error());
        let left = files_below(&scene.path("lists"));
        assert_eq!(left.len(), lists_left, "{point}: {left:?}");
    }
    diff().run().exits(0);
    assert_eq!(files_below(&scene.path("lists")).len(), 6);
}

#[test]
fn csv_alone_and_rosters_elsewhere_are_compared_too() {
    let scene = Scene::new(serving(&two_networks()));
    let place = scene.path("rosters").display().to_string();
    let job = format!("[output]\nroster_url = \"{place}\"\nformats = [\"csv\"]\n");
    export(&scene, &job, &[OLD, CLOSED]).run().exits(0);
    let report = json_of(diff(&scene, OLD, CLOSED).args(["--roster-url", &place]), 0);
    assert_eq!(report["sum"], json!({"added": 12, "gone": 25, "kept": 105}));
}

#[test]
fn lists_within_the_output_are_refused_and_earlier_ones_of_the_same_comparison_replaced() {
    let scene = published();
    for within in ["out", "out/lists", "out/guest_roster"] {
        let place = scene.path(within).display().to_string();
        let refused = diff(&scene, OLD, CLOSED).args(["--lists", &place]).run().exits(2).error();
        assert!(refused.contains("is within the output"), "{refused}");
    }
    assert!(!scene.path("out/lists").exists());
    let lists = scene.path("lists").display().to_string();
    let names = || {
        let files = files_below(&scene.path("lists"));
        let name =
            |file: &std::path::PathBuf| file.file_name().expect("a name").to_string_lossy().into_owned();
        files.iter().map(name).collect::<BTreeSet<_>>()
    };
    diff(&scene, OLD, CLOSED).args(["--lists", &lists, "--kept"]).run().exits(0);
    fs::write(scene.path("lists/notes.txt"), "mine").expect("a file");
    diff(&scene, CLOSED, OLD).args(["--lists", &lists, "--format", "csv"]).run().exits(0);
    assert_eq!(names().len(), 6 + 1 + 2);
    diff(&scene, OLD, CLOSED).args(["--lists", &lists, "--format", "csv"]).run().exits(0);
    let name = |fate: &str, from: &str, to: &str| format!("{fate}_{from}_{to}.csv");
    let expected = [name("added", OLD, CLOSED), name("gone", OLD, CLOSED), name("added", CLOSED, OLD)];
    let expected: BTreeSet<_> =
        expected.into_iter().chain([name("gone", CLOSED, OLD), "notes.txt".to_owned()]).collect();
    assert_eq!(names(), expected);
    assert!(!scene.path("lists/.staging").exists(), "nothing is left behind");
}

#[test]
fn an_open_month_is_said_to_be_one_before_anybody_is_said_to_have_gone() {
    let scene = Scene::new(serving(&[(NETWORK, CLOSED, guests(0..3)), (NETWORK, OPEN, guests(1..4))]));
    scene.job("").args(["--network", NETWORK, "--period", &format!("{CLOSED},{OPEN}")]).run().exits(0);
    let run = diff(&scene, CLOSED, OPEN).run().exits(0).stdout;
    let first: Vec<&str> = run.lines().take(3).collect();
    let said = format!("{OPEN} is open, or was when it was published: who is gone is not known yet");
    assert!(first.contains(&said.as_str()), "{run}");
    assert!(run.contains(" 1 guest came, 1 went and 2 stayed"), "{run}");
    let report = json_of(diff(&scene, CLOSED, OPEN), 0);
    assert_eq!(
        (&report["from_published_as"], &report["to_published_as"]),
        (&json!("closed"), &json!("open"))
    );
}
