//! `status`: what is published and what is missed, and the event that a month's numbers are all there.

use std::fs;

use serde_json::{Value, json};
use wickr_guest_export::publish::closed::ClosedPeriod;
use wickr_guest_export::simulator::{Fault, FaultKind, Operation, SimulatorConfig, When};

use crate::support::{
    AS_OF, CLOSED, Exporter, NETWORK, OLD, OPEN, SETTLING, Scene, guests, network, period, population, small,
};

const FIRST: &str = "11111111";
const SECOND: &str = "22222222";
const THIRD: &str = "33333333";
/// A day on which October is closed as well.
const LATER: &str = "2025-11-20T09:00:00Z";

fn networks(ids: &[&str]) -> SimulatorConfig {
    SimulatorConfig { networks: ids.iter().copied().map(network).collect(), guests: 30, ..small() }
}

/// A run of all networks of the account.
fn export_all(scene: &Scene, selector: &str) -> Exporter {
    scene.job("").args(["--network", "all", "--period", selector])
}

/// A status in JSON, as of the day of all tests.
fn status(scene: &Scene, arguments: &[&str]) -> Exporter {
    let output = scene.path("out").display().to_string();
    let own = ["status", &output, "--as-of", AS_OF, "--summary", "json"];
    scene.exporter().args(own).args(arguments.iter().copied())
}

fn closing(scene: &Scene, month: &str) -> Option<ClosedPeriod> {
    let bytes = fs::read(scene.path(&format!("out/manifests/period={month}/_CLOSED.json"))).ok()?;
    Some(ClosedPeriod::parse(&bytes, period(month)).expect("whole"))
}

fn closed_networks(scene: &Scene, month: &str) -> Vec<String> {
    let networks = closing(scene, month).expect("a closing").networks;
    networks.iter().map(|network| network.network_id.to_string()).collect()
}

/// Returns one network in one period of a status, null if it is not there.
fn row(status: &Value, network: &str, month: &str) -> Value {
    let find = |list: &Value, key: &str, value: &str| {
        let found = list.as_array().into_iter().flatten().find(|item| item[key] == value);
        found.cloned().unwrap_or_default()
    };
    find(&find(&status["periods"], "billing_period", month)["networks"], "network_id", network)
}

fn message(status: &Value, network: &str, month: &str) -> String {
    row(status, network, month)["message"].as_str().unwrap_or_default().to_owned()
}

/// Networks and months in every state that there is.
fn everything() -> Scene {
    let scene = Scene::new(networks(&[FIRST, SECOND, THIRD]));
    export_all(&scene, "last:4").run().exits(0);
    let output = scene.output();
    output.edit_manifest(FIRST, OLD, |manifest| {
        manifest["counts"] = json!({
            "guests": 30, "api_guests": 31, "reconciliation": "mismatch", "confirmed_by": "second_walk"
        });
    });
    output.edit_manifest(SECOND, CLOSED, |manifest| manifest["period_state"] = "settling".into());
    scene.output().unpublish(THIRD, CLOSED);
    scene.output().unpublish(THIRD, OPEN);
    let damaged = output.manifest_path(FIRST, SETTLING);
    let text = fs::read_to_string(&damaged).expect("a manifest").replace("\"retries\": 0", "\"retries\": 1");
    fs::write(damaged, text).expect("a manifest");
    scene
}

#[test]
fn every_state_is_told_by_period_and_network() {
    let scene = everything();
    let settled = vec![
        (r"/\S*/\.tmp\w+/out", "[output]"),
        (r#""(checked|closed)_at": "[^"]+""#, r#""${1}_at": "[time]""#),
        (r" \d{4}-\d\d-\d\dT[0-9:]+Z", " [a second of this run]"),
        (r"that of \d{4}-\d\d-\d\d,", "that of [day],"),
    ];
    let settings = |format: &str| status(&scene, &["--networks", "all"]).replacing("--summary", format);
    let (text, json) = (settings("text").run().exits(65).stdout, settings("json").run().exits(65).stdout);
    insta::with_settings!({filters => settled}, {
        insta::assert_snapshot!("every_state_in_text", text);
        insta::assert_snapshot!("every_state_in_json", json);
    });
}

#[test]
fn the_exit_code_says_whether_finance_has_to_look() {
    let scene = Scene::new(networks(&[FIRST, SECOND]));
    export_all(&scene, "closed:1").run().exits(0);
    let well = status(&scene, &[]).run().exits(0).summary();
    assert_eq!(well["periods"].as_array().expect("periods").len(), 1);
    assert!(well["conclusion"].as_str().expect("text").contains("has all its numbers"));
    // October has closed by then, and nobody has exported it.
    let later = status(&scene, &[]).replacing("--as-of", LATER).run().exits(3).summary();
    assert!(
        message(&later, FIRST, SETTLING).starts_with("the network was published for 2025-09, and not since")
    );
    let hint = later["conclusion"].as_str().expect("text");
    assert!(hint.contains("2 numbers of closed months are missing; `run --period missing:1 --as-of 2025-11-20T09:00:00Z` exports"), "{hint}");
    status(&scene, &["--settle-days", "60"]).replacing("--as-of", LATER).run().exits(0);
    status(&scene, &["--period", "2025-07"]).run().exits(3);

    scene.output().unpublish(SECOND, CLOSED);
    fs::write(scene.output().manifest_path(FIRST, CLOSED), "{}").expect("a manifest");
    status(&scene, &[]).run().exits(65);
}

#[test]
fn real_months_end_with_the_real_day() {
    let scene = Scene::new(networks(&[FIRST]));
    export_all(&scene, "2025-10").run().exits(0);
    scene.output().edit_manifest(FIRST, SETTLING, |manifest| manifest["source"]["kind"] = "wickr".into());
    let refused = status(&scene, &[]).run().exits(2);
    assert!(refused.error().contains("leave out --as-of"), "{}", refused.error());
    let output = scene.path("out").display().to_string();
    let stale = scene.exporter().args(["status", &output, "--period", SETTLING, "--summary", "json"]).run();
    assert_eq!(row(&stale.exits(3).summary(), FIRST, SETTLING)["problems"], json!(["stale"]));
}

#[test]
fn the_days_of_the_count_history_are_told() {
    let scene = Scene::new(networks(&[FIRST]));
    export_all(&scene, "last:4").run().exits(0);
    let told = status(&scene, &[]).run().exits(0).summary();
    let days: Vec<&Value> = told["periods"].as_array().expect("periods").iter().rev().collect();
    let days: Vec<_> = days.iter().map(|period| period["history_days_left"].clone()).collect();
    // August's 90 days ended on October 30; October's end on December 30.
    assert_eq!(days, [json!(-3), json!(27), json!(57), json!(88)]);
    assert_eq!(told["periods"][3]["history_ends_at"], "2025-10-30T00:00:00Z");
    let text = status(&scene, &[]).replacing("--summary", "text").run().exits(0).stdout;
    assert!(text.lines().any(|line| line.contains("2025-08") && line.contains(" over ")), "{text}");
}

#[test]
fn a_network_that_disappears_is_missed_until_somebody_says_that_it_is_gone() {
    let mut scene = Scene::new(networks(&[FIRST, SECOND]));
    export_all(&scene, OLD).run().exits(0);
    assert_eq!(closed_networks(&scene, OLD), [FIRST, SECOND]);
    scene.becomes(networks(&[FIRST]));
    let export = export_all(&scene, "2025-09..2025-10").replacing("--as-of", LATER).run().exits(0);
    let awaited = "network 22222222 is not published for it";
    assert!(export.stderr.contains("period not marked closed yet") && export.stderr.contains(awaited));
    assert_eq!(closing(&scene, CLOSED), None);
    assert_eq!(closed_networks(&scene, SETTLING), [FIRST], "for September it is not missed any more");

    let told = status(&scene, &[]).replacing("--as-of", LATER).run().exits(3).summary();
    let said = message(&told, SECOND, CLOSED);
    assert_eq!(
        said,
        "the network was published for 2025-08, and not since; if it is no more, say so with --gone 22222222"
    );
    assert_eq!(row(&told, SECOND, SETTLING), Value::Null);
    let asked = status(&scene, &["--networks", "all"]).replacing("--as-of", LATER).run().exits(3).summary();
    assert!(message(&asked, SECOND, CLOSED).contains("not among those that are known now"));

    let mark = ["--networks", "all", "--mark-closed"];
    let waits =
        status(&scene, &mark).replacing("--as-of", LATER).replacing("--summary", "text").run().exits(3);
    assert!(waits.stdout.contains(&format!("not marked closed: {CLOSED}: {awaited}")), "{}", waits.stdout);
    let gone = status(&scene, &mark).args(["--gone", SECOND]).replacing("--as-of", LATER).run().exits(0);
    let gone = gone.summary();
    assert_eq!(gone["periods"][1]["closed"]["networks"], 1);
    assert_eq!(gone["gone_without_effect"], json!([]));
    assert_eq!(closed_networks(&scene, CLOSED), [FIRST]);
    let later = status(&scene, &[]).replacing("--as-of", LATER).run().exits(0).summary();
    assert_eq!(row(&later, SECOND, CLOSED), Value::Null, "said once, when the month was marked closed");
    status(&scene, &["--networks", "11111111,22222222"]).replacing("--as-of", LATER).run().exits(3);
    scene.exporter().verifying(&scene.path("out")).run().exits(0);
}

#[test]
fn a_lost_manifest_is_damage_for_whoever_reads_and_nothing_that_is_missing() {
    let scene = Scene::new(networks(&[FIRST, SECOND]));
    export_all(&scene, CLOSED).run().exits(0);
    fs::remove_file(scene.output().manifest_path(SECOND, CLOSED)).expect("a manifest");
    let told = status(&scene, &[]).run().exits(65).summary();
    assert_eq!(row(&told, SECOND, CLOSED)["problems"], json!(["damaged"]));
    let said = message(&told, SECOND, CLOSED);
    assert!(said.contains("shows that it was published; restore the manifest from"), "{said}");
    let conclusion = told["conclusion"].as_str().expect("text");
    assert_eq!(conclusion, "1 document is damaged; `verify` says what to restore");

    let invoice = scene.path("invoice.csv");
    fs::write(&invoice, format!("period,network,quantity\n{CLOSED},{SECOND},30\n")).expect("an invoice");
    let (output, invoice) = (scene.path("out").display().to_string(), invoice.display().to_string());
    let own = ["reconcile", &output, "--invoice", &invoice, "--summary", "json"];
    let compared = scene.exporter().args(own).run().exits(65).summary();
    let of_second = compared["lines"].as_array().expect("lines").iter();
    let verdicts: Vec<_> = of_second.filter(|line| line["network_id"] == SECOND).collect();
    assert_eq!(verdicts[0]["verdict"], "damaged");
    assert_eq!(verdicts[0]["difference"], Value::Null);

    // All copies and revisions lost too: the closing still names it.
    scene.exporter().verifying(&scene.path("out")).run().exits(65);
    for folder in ["guest_counts", "guest_roster", "revisions"] {
        fs::remove_dir_all(scene.path("out").join(folder)).expect("a folder");
    }
    let told = status(&scene, &[]).run().exits(65).summary();
    assert!(message(&told, SECOND, CLOSED).contains("_CLOSED.json shows that it was published"));
}

#[test]
fn a_network_that_is_known_and_never_published_and_a_month_left_out_are_found() {
    let scene = Scene::new(networks(&[FIRST]));
    export_all(&scene, OLD).run().exits(0);
    export_all(&scene, SETTLING).run().exits(0);
    let told = status(&scene, &["--networks", "11111111,99999999"]).run().exits(3).summary();
    assert_eq!(told["never_published"], json!(["99999999"]));
    assert_eq!(message(&told, "99999999", CLOSED), "the network is known, and was never published");
    assert_eq!(row(&told, "99999999", OLD), Value::Null, "it may be newer than that");
    let gaps: Vec<&Value> = told["periods"].as_array().expect("periods").iter().collect();
    let gaps: Vec<_> = gaps.iter().map(|period| period["is_gap"].clone()).collect();
    assert_eq!(gaps, [json!(false), json!(true), json!(false)]);
    assert_eq!(message(&told, FIRST, CLOSED), "the network is published for months before and after");
    let text = status(&scene, &[]).replacing("--summary", "text").run().exits(3).stdout;
    assert!(text.contains("gap: 2025-09: nothing is published for it"), "{text}");
}

#[test]
fn a_run_closes_a_month_once_and_a_restatement_leaves_it_as_it_is() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100)), (SETTLING, guests(0..100))]));
    scene.run(SETTLING).exits(0);
    assert_eq!(closing(&scene, SETTLING), None, "it settles");
    let run = scene.run(CLOSED).exits(0);
    assert!(run.stderr.contains("period marked closed"), "{}", run.stderr);
    let closed = closing(&scene, CLOSED).expect("a closing");
    assert_eq!((closed.networks[0].revision, closed.networks[0].guests), (1, 100));

    scene.becomes(population(&[(CLOSED, guests(3..105))]));
    assert_eq!(scene.run(CLOSED).exits(0).task()["status"], "restated");
    assert_eq!(closing(&scene, CLOSED), Some(closed));
    let told = status(&scene, &["--networks", NETWORK, "--mark-closed"]).run().exits(0).summary();
    let period = &told["periods"][1];
    assert_eq!(period["closed"]["restated_since"], json!([NETWORK]));
    assert_eq!((&period["closed"]["guests"], &period["guests"]), (&json!(100), &json!(102)));
    scene.exporter().verifying(&scene.path("out")).run().exits(0);

    fs::write(scene.path("out/manifests/period=2025-09/_CLOSED.json"), "{}").expect("a file");
    let damaged = status(&scene, &[]).run().exits(65).summary();
    assert!(damaged["periods"][1]["closed_problem"].as_str().expect("text").contains("was altered"));
    scene.exporter().verifying(&scene.path("out")).run().exits(65);
}

#[test]
fn a_run_that_cannot_know_closes_no_month() {
    let scene = Scene::new(networks(&[FIRST, SECOND]));
    let failing = scene.job("").args(["--network", "11111111,99999999", "--period", CLOSED]);
    failing.run().exits(78);
    assert_eq!(closing(&scene, CLOSED), None, "a network failed");

    let names_both = format!("[source]\nnetworks = [\"{FIRST}\", \"{SECOND}\"]\n");
    scene.job(&names_both).args(["--network", FIRST, "--period", CLOSED]).run().exits(0);
    assert_eq!(closing(&scene, CLOSED), None, "it exported some of the job's networks");

    for shard in ["0/2", "1/2"] {
        export_all(&scene, CLOSED).args(["--shard", shard]).run().exits(0);
    }
    assert_eq!(closing(&scene, CLOSED), None, "each exported a share");

    // Whoever looks needs neither the pod's index nor the key of its pseudonyms.
    let job = format!(
        "shard = \"index/2\"\nperiods = [\"closed:1\"]\n{names_both}[output]\nroster = \"pseudonymous\"\n\
         pseudonym_key_env = \"NOWHERE\"\n"
    );
    let job = scene.write("shards.toml", &job);
    status(&scene, &["--job", &job, "--mark-closed"]).run().exits(0);
    assert_eq!(closed_networks(&scene, CLOSED), [FIRST, SECOND]);
}

#[test]
fn networks_that_are_named_by_hand_close_no_first_month() {
    let scene = Scene::new(networks(&[FIRST, SECOND]));
    let by_hand = |month: &str| scene.job("").args(["--network", FIRST, "--period", month]).run().exits(0);
    let first = by_hand(OLD);
    assert!(
        first.stderr.contains("it is the first month, and nobody says which networks it has"),
        "{first:?}"
    );
    assert_eq!(closing(&scene, OLD), None, "the second network may be exported later");
    let waits = status(&scene, &[]).run().summary();
    let awaited = waits["periods"][1]["awaited"].as_str().expect("text").to_owned();
    assert!(awaited.contains("nobody says which networks it has"), "{awaited}");

    // The month before says which networks there are.
    by_hand(CLOSED);
    assert_eq!(closed_networks(&scene, CLOSED), [FIRST]);
    let names_it = format!("[source]\nnetworks = [\"{FIRST}\"]\n");
    scene.job(&names_it).args(["--network", FIRST, "--period", OLD]).run().exits(0);
    assert_eq!(
        closed_networks(&scene, OLD),
        [FIRST],
        "a flag that names what the job file names picks nothing"
    );
}

#[test]
fn a_network_that_came_later_is_not_awaited_in_the_months_before() {
    let mut scene = Scene::new(networks(&[FIRST]));
    scene.job("").args(["--network", FIRST, "--period", CLOSED]).run().exits(0);
    assert_eq!(closing(&scene, CLOSED), None);
    scene.becomes(networks(&[FIRST, SECOND]));
    let mark = ["--networks", "all", "--mark-closed"];
    let mark = || status(&scene, &mark).replacing("--as-of", LATER).run();
    // The new network was never published; that it is there now says nothing of September.
    let waits = mark().exits(3).summary();
    assert_eq!(closed_networks(&scene, CLOSED), [FIRST]);
    let awaited = waits["periods"][0]["awaited"].as_str().expect("text").to_owned();
    assert_eq!(awaited, "networks 11111111, 22222222 are not published for it");
    assert_eq!(row(&waits, SECOND, CLOSED), Value::Null);

    fs::remove_file(scene.path("out/manifests/period=2025-09/_CLOSED.json")).expect("a closing");
    export_all(&scene, SETTLING).replacing("--as-of", LATER).run().exits(0);
    mark().exits(0);
    assert_eq!(closed_networks(&scene, CLOSED), [FIRST]);
    assert_eq!(closed_networks(&scene, SETTLING), [FIRST, SECOND]);
}

#[test]
fn a_month_of_which_nothing_is_published_is_not_marked_closed() {
    let scene = Scene::new(networks(&[FIRST]));
    export_all(&scene, CLOSED).run().exits(0);
    let mark = ["--networks", FIRST, "--mark-closed", "--period", "2025-07"];
    let waits = status(&scene, &mark).run().exits(3).summary();
    assert_eq!(waits["periods"][0]["awaited"], "nothing is published for it");
    assert_eq!(closing(&scene, "2025-07"), None);
}

#[test]
fn a_month_is_not_closed_before_the_summary_says_the_same() {
    let scene = Scene::new(networks(&[FIRST]));
    let fault = "durable-step.before.rename.summary=return(eacces)";
    let run = export_all(&scene, CLOSED).fail_points(fault).run().exits(0);
    assert!(run.stderr.contains("summary not updated"), "{}", run.stderr);
    assert_eq!(closing(&scene, CLOSED), None);
    export_all(&scene, CLOSED).run().exits(0);
    assert_eq!(closed_networks(&scene, CLOSED), [FIRST]);
}

#[test]
fn a_service_that_does_not_say_which_networks_it_has_ends_it() {
    let faults = vec![Fault::new(FaultKind::AccessDenied, When::always().of(Operation::ListNetworks))];
    let scene = Scene::new(SimulatorConfig { faults, ..networks(&[FIRST]) });
    scene.job("").args(["--network", FIRST, "--period", CLOSED]).run().exits(0);
    let refused = status(&scene, &["--networks", "all"]).run().exits(77);
    assert!(refused.error().contains("wickr:ListNetworks"), "{}", refused.error());
    status(&scene, &["--networks", FIRST]).run().exits(0);
}

#[test]
fn a_network_that_is_gone_without_effect_is_said_and_one_that_never_was_there_refused() {
    let scene = Scene::new(networks(&[FIRST]));
    export_all(&scene, CLOSED).run().exits(0);
    let refused = status(&scene, &["--gone", "99999999"]).run().exits(2).error();
    assert!(refused.contains("--gone 99999999: nothing is published of this network"), "{refused}");
    assert!(refused.contains("check the id, or leave it out"), "{refused}");

    let gone =
        |format: &str| status(&scene, &["--gone", FIRST]).replacing("--summary", format).run().exits(0);
    assert_eq!(gone("json").summary()["gone_without_effect"], json!([FIRST]));
    let told = gone("text").stdout;
    assert!(told.contains("--gone without effect: network 11111111 is missed in no month"), "{told}");
    // In November it would be missed.
    let later = status(&scene, &["--gone", FIRST]).replacing("--as-of", LATER).run().exits(3).summary();
    assert_eq!(later["gone_without_effect"], json!([]));
}

#[test]
fn nothing_published_is_one_error_for_whatever_reads_an_output() {
    let scene = Scene::new(networks(&[FIRST]));
    let invoice = scene.write("invoice.csv", "period,network,quantity\n2025-09,11111111,1\n");
    fs::create_dir(scene.path("empty")).expect("a folder");
    for place in ["empty", "nowhere"] {
        let place = scene.path(place).display().to_string();
        for command in [
            &["status"][..],
            &["status", "--networks", FIRST],
            &["report", "--html", "page.html"],
            &["report", "--rebuild-summary"],
            &["diff", "--from", OLD, "--to", CLOSED],
            &["diff", "--from", "2025-09@1", "--to", "2025-09@2", "--network", FIRST],
            &["reconcile", "--invoice", &invoice],
            &["purge", "--rosters-before", OLD],
            &["purge", "--rosters-before", OLD, "--dry-run"],
        ] {
            let run = scene.exporter().args([command, &[place.as_str()]].concat()).run().exits(65);
            let said = format!("nothing is published at {place}; check the path or url");
            assert_eq!(run.error(), said, "{command:?}");
            assert_eq!(run.stdout, "", "{command:?}");
        }
    }
    assert!(!scene.path("nowhere").exists(), "nothing is made of nothing");
}

#[test]
fn numbers_of_the_simulator_are_called_so_first() {
    let scene = Scene::new(networks(&[FIRST]));
    export_all(&scene, CLOSED).run().exits(0);
    let simulated = || status(&scene, &[]).run().exits(0).summary()["source_kind"].clone();
    let text = || status(&scene, &[]).replacing("--summary", "text").run().exits(0).stdout;
    let output = scene.path("out").display().to_string();
    let report = |format: &str| {
        scene
            .exporter()
            .args(["report", &output, "--rebuild-summary", "--summary", format])
            .run()
            .exits(0)
            .stdout
    };
    assert_eq!(simulated(), "simulator");
    assert!(text().starts_with("SIMULATED: "), "{}", text());
    assert!(report("text").starts_with("SIMULATED: "));
    assert!(report("json").contains("\"source_kind\": \"simulator\""));
    scene.output().edit_manifest(FIRST, CLOSED, |manifest| manifest["source"]["kind"] = "wickr".into());
    let real = scene.exporter().args(["status", &output, "--summary", "json"]).run().summary();
    assert_eq!(real["source_kind"], "wickr");
    assert!(!report("text").contains("SIMULATED"));
}
