//! The nine rules of what makes a roster complete, each judged by what is published when it matters.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use wickr_guest_export::simulator::{
    Answers, Change, Direction, Fault, FaultKind, History, LastToken, Mutation, Operation, PeriodAnswer,
    SimulatorConfig, When,
};

use crate::support::{
    CLOSED, NETWORK, OLD, OPEN, PlainAnswer, PlainServer, SETTLING, Scene, guests, network, old_list, period,
    population, small,
};

fn faulty(config: SimulatorConfig, kind: FaultKind, when: When) -> SimulatorConfig {
    SimulatorConfig { faults: vec![Fault::new(kind, when)], ..config }
}

fn change(before_request: u64, change: Change) -> Mutation {
    Mutation { network: network(NETWORK), period: period(OLD), before_request, change }
}

fn leaves(before_request: u64, number: u32) -> Mutation {
    let (username_hash, _) = guests([number]).remove(0);
    change(before_request, Change::Leave { username_hash })
}

fn arrives(before_request: u64, number: u32) -> Mutation {
    let (username_hash, username) = guests([number]).remove(0);
    change(before_request, Change::Arrive { username_hash, username })
}

/// The queries of the pages that were asked for, as their parameters.
fn pages_asked(scene: &Scene) -> Vec<BTreeSet<String>> {
    let targets = scene.simulator.stats().targets;
    let lists = targets.iter().filter_map(|target| target.split_once("/guest-users?"));
    lists.map(|(_, query)| query.split('&').map(str::to_owned).collect()).collect()
}

// Rule 1

#[test]
fn every_page_is_asked_with_a_hundred_guests_by_username_in_a_direction() {
    let scene = Scene::new(small());
    scene.run(OLD).exits(0);
    let pages = pages_asked(&scene);
    assert!(pages.len() >= 6, "two walks over three pages: {pages:?}");
    for page in &pages {
        let has = |parameter: &str| page.contains(parameter);
        assert!(has("maxResults=100") && has("sortFields=username"), "{page:?}");
        assert!(has("billingPeriod=2025-08"), "{page:?}");
        assert!(has("sortDirection=ASC") != has("sortDirection=DESC"), "{page:?}");
        assert!(!page.iter().any(|parameter| parameter.starts_with("username=")), "never filtered: {page:?}");
    }
}

#[test]
fn a_walk_ends_where_no_token_is_given_however_that_is_said() {
    for last_token in [LastToken::Omitted, LastToken::Null, LastToken::Empty] {
        for trailing_empty_page in [false, true] {
            let answers = Answers { last_token, trailing_empty_page, ..Answers::default() };
            let scene = Scene::new(SimulatorConfig { answers, ..old_list(0..200) });
            scene.run(OLD).exits(0);
            scene.assert_published_whole(OLD);
        }
    }
}

#[test]
fn an_empty_page_with_a_token_does_not_end_a_walk() {
    let when = When::first(3).on_page(2).towards(Direction::Ascending);
    let scene = Scene::new(faulty(small(), FaultKind::EmptyPage, when));
    scene.run(CLOSED).exits(0);
    scene.assert_published_whole(CLOSED);
    assert_eq!(scene.simulator.stats().struck_by(FaultKind::EmptyPage), 3);
}

// Rule 2

#[test]
fn a_token_that_comes_again_is_an_error_and_never_an_end() {
    for length in [1, 2, 5] {
        let scene = Scene::new(faulty(small(), FaultKind::TokenLoop(length), When::first(1).on_page(2)));
        let run = scene.run(CLOSED).exits(65);
        assert!(run.message().contains("a page token for the second time"), "{}", run.message());
        scene.output().assert_holds_no_data();
    }
}

#[test]
fn a_thousand_pages_without_a_new_guest_are_an_error() {
    let scene = Scene::new(faulty(small(), FaultKind::EmptyPage, When::always().on_page(2)));
    let run = scene.export(CLOSED).replacing("--max-requests-per-second", "10000").run();
    let run = run.exits(65);
    assert!(run.message().contains("1000 pages in a row brought nothing new"), "{}", run.message());
    scene.output().assert_holds_no_data();
}

// Rule 3

#[test]
fn a_row_that_breaks_the_contract_is_named_by_page_and_row_and_nothing_is_published() {
    let defects = [
        FaultKind::ForeignPeriodRow,
        FaultKind::UnreadablePeriodRow,
        FaultKind::MissingUsernameHash,
        FaultKind::NullUsernameHash,
        FaultKind::EmptyUsernameHash,
        FaultKind::MissingUsername,
        FaultKind::MissingBillingPeriod,
    ];
    let mut messages = String::new();
    for kind in defects {
        let scene = Scene::new(faulty(population(&[(CLOSED, guests(0..150))]), kind, When::nth(2)));
        let run = scene.export(CLOSED).secret("defective").run().exits(65);
        scene.output().assert_holds_no_data();
        writeln!(messages, "{kind:?}: {}", run.message()).expect("a string");
        let count = scene.simulator.stats().requests_of(Operation::ListGuestUsers);
        assert_eq!(count, 2, "an answer that breaks the contract is not asked again");
    }
    insta::assert_snapshot!(messages);
}

#[test]
fn an_answer_of_another_shape_is_described_without_its_values() {
    let scene = Scene::new(faulty(small(), FaultKind::WrongShape, When::nth(2)));
    let run = scene.run(CLOSED).exits(65);
    insta::assert_snapshot!(run.message());
    scene.output().assert_holds_no_data();
}

#[test]
fn an_empty_username_is_kept_and_counted() {
    let mut rows = guests(0..20);
    rows.push(("hash-without-a-name".to_owned(), String::new()));
    let scene = Scene::new(population(&[(CLOSED, rows)]));
    scene.run(CLOSED).exits(0);
    scene.assert_published_whole(CLOSED);
    assert_eq!(scene.output().manifest(NETWORK, CLOSED)["walk"]["empty_usernames"], 1);
}

// Rule 4

#[test]
fn of_two_usernames_the_smaller_is_kept_and_the_hash_is_one_conflict() {
    let mut rows = guests(0..120);
    for other in ["zoe@private.example", "ada@private.example", "mia@private.example"] {
        rows.push((rows[7].0.clone(), other.to_owned()));
    }
    let scene = Scene::new(population(&[(CLOSED, rows)]));
    scene.run(CLOSED).exits(0);
    let kept = ("hash-of-guest-0007".to_owned(), "ada@private.example".to_owned());
    assert!(scene.output().roster(NETWORK, CLOSED).contains(&kept), "the smaller name");
    let manifest = scene.output().manifest(NETWORK, CLOSED);
    assert_eq!(manifest["counts"]["guests"], 120);
    assert_eq!(manifest["walk"]["username_conflicts"], 1);
    assert_eq!(manifest["walk"]["duplicates"], 3);
}

// Rule 5

#[test]
fn duplicates_and_rows_repeated_at_page_edges_are_dropped_and_counted() {
    let config = SimulatorConfig { edge_repeats_per_thousand: 1000, ..small() };
    let scene = Scene::new(config);
    scene.run(CLOSED).exits(0);
    scene.assert_published_whole(CLOSED);
    let walk = scene.output().manifest(NETWORK, CLOSED)["walk"].clone();
    let number = |name: &str| walk[name].as_u64().expect("a number");
    assert_eq!(number("rows") - number("duplicates"), 250);
    assert!(number("edge_repeats") > 0 && number("edge_repeats") <= number("duplicates"), "{walk}");
}

#[test]
fn a_count_that_stood_still_and_agrees_confirms_a_single_walk() {
    let scene = Scene::new(small());
    let task = scene.run(CLOSED).exits(0).task();
    assert_eq!((&task["confirmed_by"], &task["walks"]), (&json!("control_total"), &json!(1)));
    assert_eq!((&task["reconciliation"], &task["api_guests"]), (&json!("match"), &json!(250)));
    let reads = scene.simulator.stats().requests_of(Operation::GetGuestUserHistoryCount);
    assert_eq!(reads, 2, "before the walk and after it");
    scene.assert_published_whole(CLOSED);
}

#[test]
fn a_count_that_moved_confirms_nothing() {
    let history = History { delta: -1, delta_per_read: 1, ..History::default() };
    let scene = Scene::new(SimulatorConfig { history, ..small() });
    let task = scene.run(CLOSED).exits(0).task();
    assert_eq!((&task["confirmed_by"], &task["walks"]), (&json!("second_walk"), &json!(2)));
    assert_eq!(task["stable"], false);
}

#[test]
fn without_a_count_a_second_walk_in_the_other_direction_confirms() {
    let unavailable = When::always().of(Operation::GetGuestUserHistoryCount);
    for (month, config) in [
        (OLD, small()),
        (CLOSED, faulty(small(), FaultKind::Forbidden, unavailable.clone())),
        (CLOSED, faulty(small(), FaultKind::InternalServerError, unavailable)),
    ] {
        let scene = Scene::new(config);
        let task = scene.run(month).exits(0).task();
        assert_eq!((&task["confirmed_by"], &task["walks"]), (&json!("second_walk"), &json!(2)));
        assert_eq!((&task["reconciliation"], &task["api_guests"]), (&json!("unavailable"), &Value::Null));
        for direction in ["sortDirection=ASC", "sortDirection=DESC"] {
            let pages = pages_asked(&scene);
            let pages = pages.iter().filter(|page| page.contains(direction)).count();
            assert!(pages >= 3, "{direction}: a full walk, not {pages} pages");
        }
        scene.assert_published_whole(month);
    }
}

#[test]
fn a_list_that_moves_and_then_stands_still_is_published_as_it_stands() {
    // The first guest leaves between the first two pages: the row at the edge slips by unseen.
    let mutations = vec![leaves(2, 0)];
    let scene = Scene::new(SimulatorConfig { mutations, ..old_list(0..200) });
    let task = scene.run(OLD).exits(0).task();
    assert_eq!((&task["guests"], &task["confirmed_by"]), (&json!(199), &json!("second_walk")));
    assert_eq!(task["walks"], 3, "the first walk lost a guest, and the other two agree");
    scene.assert_published_whole(OLD);
}

#[test]
fn walks_that_keep_differing_are_refused() {
    let mutations: Vec<Mutation> = (1..=40).map(|moment| arrives(u64::from(moment), 1000 + moment)).collect();
    let scene = Scene::new(SimulatorConfig { mutations, ..old_list(0..150) });
    let run = scene.run(OLD).exits(65);
    let message = run.message();
    assert!(message.starts_with("6 walks found different guests ("), "{message}");
    let pages = scene.simulator.stats().requests_of(Operation::ListGuestUsers);
    assert_eq!(pages, 12 + 1, "three pairs of walks, and one page of a walk that was too like the first");
    scene.output().assert_holds_no_data();
}

#[test]
fn how_many_pairs_of_walks_may_differ_is_a_setting() {
    let mutations = vec![leaves(2, 0)];
    let scene = Scene::new(SimulatorConfig { mutations, ..old_list(0..200) });
    let job = "[walk]\nattempts = 1\n";
    scene.job(job).args(["--network", NETWORK, "--period", OLD]).run().exits(65);
    scene.output().assert_holds_no_data();
}

#[test]
fn an_open_period_is_published_as_it_was_walked() {
    let history = History { delta: 4, ..History::default() };
    let scene = Scene::new(SimulatorConfig { history, ..small() });
    let run = scene.export(OPEN).args(["--on-mismatch", "fail"]).run().exits(0);
    let task = run.task();
    assert_eq!((&task["walks"], &task["confirmed_by"]), (&json!(1), &Value::Null));
    assert_eq!((&task["reconciliation"], &task["api_guests"]), (&json!("mismatch"), &json!(254)));
    assert_eq!(task["period_state"], "open");
    scene.assert_published_whole(OPEN);
}

// Rule 6

#[test]
fn a_mismatch_after_two_equal_walks_is_published_and_exits_as_the_user_chose() {
    let history = History { delta: 5, ..History::default() };
    let scene = Scene::new(SimulatorConfig { history, ..small() });
    let warned = scene.run(CLOSED).exits(0);
    assert_eq!(warned.task()["reconciliation"], "mismatch");
    assert_eq!(warned.message(), "the service counts 255, and 2 walks found 250");
    scene.assert_published_whole(CLOSED);

    for (period, status) in [(CLOSED, "unchanged"), (SETTLING, "published")] {
        let failed = scene.export(period).args(["--on-mismatch", "fail"]).run().exits(3);
        assert_eq!((&failed.task()["status"], &failed.task()["exit_code"]), (&json!(status), &json!(3)));
        scene.assert_published_whole(period);
    }
}

#[test]
fn the_count_of_a_month_that_began_before_the_90_days_is_no_control_total() {
    // The history lists the month, with what would be a match; it began on 1 August, and 90 days reach to the 4th.
    let history =
        History { oldest_month: wickr_guest_export::simulator::OldestMonth::Whole, ..History::default() };
    let scene = Scene::new(SimulatorConfig { history, ..small() });
    let task = scene.run(OLD).exits(0).task();
    assert_eq!(
        (&task["confirmed_by"], &task["reconciliation"]),
        (&json!("second_walk"), &json!("unavailable"))
    );
    assert_eq!(task["api_guests"], Value::Null);
    assert_eq!(scene.simulator.stats().requests_of(Operation::GetGuestUserHistoryCount), 0);
}

// Rule 7

#[test]
fn a_spelling_that_finds_nobody_or_is_refused_is_followed_by_the_other() {
    use PeriodAnswer::{Empty, Refused, Served};
    for habit in [Empty, Refused] {
        for (hyphen, underscore, written) in [(habit, Served, "hyphen"), (Served, habit, "underscore")] {
            let answers = Answers { hyphen, underscore, ..Answers::default() };
            let scene = Scene::new(SimulatorConfig { answers, ..small() });
            let job = format!("[source]\nperiod_spelling = \"{written}\"\n");
            for month in [CLOSED, OLD] {
                scene.job(&job).args(["--network", NETWORK, "--period", month]).run().exits(0);
                scene.assert_published_whole(month);
            }
        }
    }
}

#[test]
fn a_period_refused_in_both_spellings_is_an_error_with_the_services_reasons() {
    let answers =
        Answers { hyphen: PeriodAnswer::Refused, underscore: PeriodAnswer::Refused, ..Answers::default() };
    let scene = Scene::new(SimulatorConfig { answers, ..small() });
    let run = scene.run(CLOSED).exits(65);
    assert!(run.message().contains("billingPeriod: is not a billing period"), "{}", run.message());
    assert_eq!(pages_asked(&scene).len(), 2);
    scene.output().assert_holds_no_data();
}

#[test]
fn zero_is_believed_where_the_history_covers_the_period_and_does_not_contradict() {
    let listed = population(&[(CLOSED, Vec::new())]);
    let history = History { unlisted: vec![period(CLOSED)], ..History::default() };
    let unlisted = SimulatorConfig { history, ..listed.clone() };
    for config in [listed, unlisted] {
        let scene = Scene::new(config);
        let task = scene.run(CLOSED).exits(0).task();
        assert_eq!((&task["guests"], &task["confirmed_by"]), (&json!(0), &json!("control_total")));
        scene.assert_published_whole(CLOSED);
        let spellings = pages_asked(&scene);
        assert!(spellings.iter().any(|page| page.contains("billingPeriod=2025_09")), "{spellings:?}");
    }
}

#[test]
fn zero_that_nothing_confirms_needs_the_users_word() {
    let contradicted = History { delta: 3, ..History::default() };
    let unreadable = When::always().of(Operation::GetGuestUserHistoryCount);
    let empty = |month| population(&[(month, Vec::new())]);
    for (month, config) in [
        (OLD, empty(OLD)),
        (CLOSED, SimulatorConfig { history: contradicted, ..empty(CLOSED) }),
        (CLOSED, faulty(empty(CLOSED), FaultKind::Forbidden, unreadable)),
    ] {
        let scene = Scene::new(config);
        let run = scene.run(month).exits(65);
        assert!(run.message().contains("--accept-zero NETWORK/PERIOD"), "{}", run.message());
        scene.output().assert_holds_no_data();

        let another = format!("{NETWORK}/2025-01");
        scene.export(month).args(["--accept-zero", &another]).run().exits(65);
        let accepted = format!("{NETWORK}/{month}");
        let task = scene.export(month).args(["--accept-zero", &accepted]).run().exits(0).task();
        assert_eq!((&task["guests"], &task["confirmed_by"]), (&json!(0), &json!("accepted_zero")));
        scene.assert_published_whole(month);
    }
}

#[test]
fn a_period_that_the_user_calls_empty_is_published_with_the_guests_it_has() {
    let scene = Scene::new(small());
    let accepted = format!("{NETWORK}/{CLOSED}");
    scene.export(CLOSED).args(["--accept-zero", &accepted]).run().exits(0);
    scene.assert_published_whole(CLOSED);
}

// Rule 8

#[test]
fn a_roster_that_lost_too_many_guests_does_not_replace_the_old_one() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    scene.run(CLOSED).exits(0);
    let files = scene.output().files();
    let published = scene.output().manifest(NETWORK, CLOSED);

    scene.becomes(population(&[(CLOSED, guests(11..100))]));
    let run = scene.run(CLOSED).exits(3);
    let said = "11 of the 100 guests published for 12345678/2025-09 are gone, and the new roster has 89, so the \
                published roster stays; if that is right, run again with --allow-shrink 12345678/2025-09";
    assert!(run.message().starts_with(said), "{}", run.message());
    assert_eq!(scene.output().manifest(NETWORK, CLOSED), published, "the old one stays");
    let data =
        |files: Vec<String>| files.into_iter().filter(|file| file.contains("guest_")).collect::<Vec<_>>();
    assert_eq!(data(scene.output().files()), data(files));

    let other = format!("{NETWORK}/{OPEN}");
    scene.export(CLOSED).args(["--allow-shrink", &other]).run().exits(3);
    let allowed = format!("{NETWORK}/{CLOSED}");
    let task = scene.export(CLOSED).args(["--allow-shrink", &allowed]).run().exits(0).task();
    assert_eq!((&task["status"], &task["removed"]), (&json!("restated"), &json!(11)));
    scene.assert_published_whole(CLOSED);
}

#[test]
fn a_loss_of_a_tenth_or_of_ten_guests_is_let_through() {
    for (before, after) in [(0..100, 10..100), (0..20, 10..20), (0..300, 30..300)] {
        let mut scene = Scene::new(population(&[(CLOSED, guests(before))]));
        scene.run(CLOSED).exits(0);
        scene.becomes(population(&[(CLOSED, guests(after))]));
        assert_eq!(scene.run(CLOSED).exits(0).task()["status"], "restated");
        scene.assert_published_whole(CLOSED);
    }
}

#[test]
fn how_much_a_roster_may_lose_is_a_setting() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    scene.run(CLOSED).exits(0);
    scene.becomes(population(&[(CLOSED, guests(2..100))]));
    let strict = "max_shrink = 0.01\nmax_shrink_rows = 1\n";
    scene.job(strict).args(["--network", NETWORK, "--period", CLOSED]).run().exits(3);
    assert_eq!(scene.output().manifest(NETWORK, CLOSED)["counts"]["guests"], 100);
}

#[test]
fn guests_who_were_all_replaced_are_lost_guests_whatever_their_number() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..100))]));
    scene.run(CLOSED).exits(0);
    scene.becomes(population(&[(CLOSED, guests(500..600))]));
    assert!(scene.run(CLOSED).exits(3).message().contains("100 of the 100"));
}

// Rule 9

#[test]
fn simulated_guests_never_go_where_real_ones_stand() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    scene.output().edit_manifest(NETWORK, CLOSED, |manifest| {
        manifest["source"]["kind"] = "wickr".into();
    });
    let real = scene.output().manifest(NETWORK, CLOSED);

    let run = scene.run(CLOSED).exits(73);
    insta::assert_snapshot!(run.error(), @"data of the simulator source cannot go where data of the wickr source stands (manifests/period=2025-09/network=12345678/manifest.json); choose another output");
    scene.run(OLD).exits(73);
    assert_eq!(scene.output().manifest(NETWORK, CLOSED), real);
    assert!(!scene.output().is_published(NETWORK, OLD), "another period of the same output");

    let asked = scene.simulator.stats().requests.len();
    let job = "[source]\nkind = \"simulator\"\nnetworks = \"all\"\n";
    scene.job(job).args(["--period", CLOSED]).run().exits(73);
    assert_eq!(scene.simulator.stats().requests.len(), asked);
    assert_eq!(scene.output().manifest(NETWORK, CLOSED), real);
}

#[test]
fn real_guests_never_go_where_simulated_ones_stand() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let simulated = scene.output().manifest(NETWORK, CLOSED);
    assert_eq!(simulated["source"]["kind"], "simulator", "even though it was reached as an endpoint");

    let server = real_service();
    let run = scene.export(CLOSED).env("AWS_ENDPOINT_URL_WICKR", &server.url()).run().exits(73);
    assert!(run.stderr.contains("data of the wickr source cannot go"), "{}", run.stderr);
    assert_eq!(scene.output().manifest(NETWORK, CLOSED), simulated);
}

#[test]
fn guests_of_a_service_that_is_no_simulator_are_real() {
    let scene = Scene::new(small());
    let server = real_service();
    scene.export(CLOSED).env("AWS_ENDPOINT_URL_WICKR", &server.url()).run().exits(0);
    let manifest = scene.output().manifest(NETWORK, CLOSED);
    assert_eq!((&manifest["source"]["kind"], &manifest["counts"]["guests"]), (&json!("wickr"), &json!(1)));
}

/// A service that does not say that it is simulated, with one guest.
fn real_service() -> PlainServer {
    PlainServer::start(|head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        PlainAnswer::ok(&match path.split('?').next() {
            Some(path) if path.ends_with("/count") => {
                json!({"history": [{"month": "2025_09", "count": "1"}]})
            }
            Some(path) if path.ends_with("/guest-users") => json!({"guestlist": [
                {"billingPeriod": CLOSED, "username": "ada@private.example", "usernameHash": "hash-of-ada"},
            ]}),
            _ => json!({
                "networkId": NETWORK, "networkName": "Acme", "accessLevel": "PREMIUM",
                "awsAccountId": "111122223333", "networkArn": "arn:aws:wickr:us-east-1:111122223333:network/1",
            }),
        })
    })
}
