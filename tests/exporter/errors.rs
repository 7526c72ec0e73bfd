//! Everything that the service can answer: what is tried again, what is not, the exit code, and the words.

use std::fmt::Write as _;

use serde_json::json;
use wickr_guest_export::simulator::{Fault, FaultKind, Operation, SimulatorConfig, When};

use crate::support::{CLOSED, NETWORK, PlainAnswer, PlainServer, Scene, network, period, small};

fn struck_by(kind: FaultKind, when: When) -> Scene {
    Scene::new(SimulatorConfig { faults: vec![Fault::new(kind, when)], ..small() })
}

const QUICK: &str = "[request]\nattempts = 2\ntimeout = \"400ms\"\n";

/// Exports under a fault that strikes every page, and returns its line for the snapshot.
fn refusal(kind: FaultKind, code: i32, requests: u64) -> String {
    let scene = struck_by(kind, When::always());
    let run = scene.job(QUICK).args(["--network", NETWORK, "--period", CLOSED]).run().exits(code);
    scene.output().assert_holds_no_data();
    let sent = scene.simulator.stats().requests_of(Operation::ListGuestUsers);
    assert_eq!(sent, requests, "{kind:?}: requests");
    assert_eq!(scene.simulator.stats().unrecognised, 0, "nothing else was asked");
    let mut line = String::new();
    writeln!(line, "{kind:?}\n    exit {code}: {}", run.message()).expect("a string");
    line
}

#[test]
fn what_the_service_refuses_for_good_is_asked_once_and_said_with_a_remedy() {
    use FaultKind::{
        AccessDenied, BadRequest, ClockSkew, Forbidden, NotFound, PaymentRequired, Redirect, ValidationError,
    };
    // A request that is refused as invalid is put once more, in the other spelling of the period.
    let refusals = [
        refusal(ValidationError, 65, 2),
        refusal(BadRequest, 65, 2),
        refusal(Forbidden, 77, 1),
        refusal(AccessDenied, 77, 1),
        refusal(NotFound, 78, 1),
        refusal(PaymentRequired, 65, 1),
        refusal(Redirect, 65, 1),
        refusal(ClockSkew, 77, 1),
    ];
    insta::with_settings!({filters => vec![(r"\d{8}T\d{6}Z", "[time]")]}, {
        insta::assert_snapshot!(refusals.concat());
    });
}

#[test]
fn credentials_that_stay_refused_are_renewed_once_and_then_given_up() {
    let refusals = [refusal(FaultKind::Unauthorized, 77, 2), refusal(FaultKind::ExpiredToken, 77, 2)];
    insta::assert_snapshot!(refusals.concat());
}

#[test]
fn a_failing_service_is_asked_again_and_then_given_up() {
    use FaultKind::{BadGateway, ConnectionReset, GatewayTimeout, InternalServerError, ServiceUnavailable};
    let refusals = [
        refusal(InternalServerError, 75, 2),
        refusal(BadGateway, 75, 2),
        refusal(ServiceUnavailable, 75, 2),
        refusal(GatewayTimeout, 75, 2),
        refusal(ConnectionReset, 75, 2),
    ];
    insta::assert_snapshot!(refusals.concat());
}

#[test]
fn answers_that_do_not_arrive_whole_are_asked_again_and_then_given_up() {
    use FaultKind::{Stall, StallMidBody, TruncatedBody};
    let refusals = [refusal(TruncatedBody, 75, 2), refusal(Stall, 75, 2), refusal(StallMidBody, 75, 2)];
    insta::assert_snapshot!(refusals.concat());
}

#[test]
fn answers_that_stay_unreadable_break_the_contract() {
    let refusals = [refusal(FaultKind::Garbage, 65, 2), refusal(FaultKind::HtmlPage, 65, 2)];
    insta::assert_snapshot!(refusals.concat());
}

#[test]
fn an_endless_answer_is_cut_off() {
    let scene = struck_by(FaultKind::Padded(1 << 40), When::nth(2));
    let run = scene.export(CLOSED).run().exits(65);
    assert!(run.message().contains("larger than 2097152 bytes"), "{}", run.message());
    scene.output().assert_holds_no_data();
}

/// Exports while the second page fails once, and holds the roster and the counters against that.
fn survives(kind: FaultKind) {
    let scene = struck_by(kind, When::nth(2));
    let run = scene.job(QUICK).args(["--network", NETWORK, "--period", CLOSED]).run().exits(0);
    assert_eq!(scene.simulator.stats().struck_by(kind), 1, "{kind:?}");
    scene.assert_published_whole(CLOSED);
    let task = run.task();
    assert_eq!(task["retries"], 1, "{kind:?}");
    let throttled = u64::from(format!("{kind:?}").starts_with("Throttled"));
    assert_eq!(task["throttled"], throttled, "{kind:?}");
    assert_eq!(scene.output().manifest(NETWORK, CLOSED)["walk"]["retries"], 1);
}

#[test]
fn a_failure_that_passes_is_survived_with_the_exact_roster() {
    use FaultKind::{BadGateway, ConnectionReset, GatewayTimeout, InternalServerError, ServiceUnavailable};
    let kinds = [InternalServerError, BadGateway, ServiceUnavailable, GatewayTimeout, ConnectionReset];
    kinds.into_iter().for_each(survives);
}

#[test]
fn an_answer_that_arrives_whole_the_second_time_is_survived_with_the_exact_roster() {
    use FaultKind::{Garbage, HtmlPage, Stall, StallMidBody, TruncatedBody};
    [Garbage, HtmlPage, Stall, StallMidBody, TruncatedBody].into_iter().for_each(survives);
}

#[test]
fn credentials_that_are_refused_once_are_survived_with_the_exact_roster() {
    [FaultKind::Unauthorized, FaultKind::ExpiredToken].into_iter().for_each(survives);
}

#[test]
fn throttling_with_and_without_each_hint_is_survived_with_the_exact_roster() {
    use FaultKind::{Throttled, ThrottledForMilliseconds, ThrottledForSeconds, ThrottledUntilDate};
    let hints = [ThrottledForSeconds(0), ThrottledUntilDate(1), ThrottledForMilliseconds(30)];
    hints.into_iter().chain([Throttled]).for_each(survives);
}

#[test]
fn throttling_is_no_failure_that_attempts_could_run_out_of() {
    let scene = struck_by(FaultKind::ThrottledForMilliseconds(20), When::first(9));
    let run = scene.export(CLOSED).run().exits(0);
    assert_eq!(run.task()["throttled"], 9);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn a_hint_past_the_deadline_ends_the_run_at_once_and_names_the_time() {
    for kind in [
        FaultKind::ThrottledForSeconds(7200),
        FaultKind::ThrottledUntilDate(7200),
        FaultKind::ThrottledForMilliseconds(7_200_000),
    ] {
        let scene = struck_by(kind, When::nth(2));
        let run = scene.run(CLOSED).exits(75);
        let message = run.message();
        let (_, rest) = message.split_once("the deadline comes first; try again after ").expect(&message);
        let (time, last) = rest.split_once(": ").expect("the last failure");
        assert_eq!(last, "the service limits the rate of requests");
        let named: chrono::DateTime<chrono::Utc> = time.parse().expect("an instant");
        let finished: chrono::DateTime<chrono::Utc> =
            run.summary()["finished_at"].as_str().expect("text").parse().expect("an instant");
        let ahead = (named - finished).num_seconds();
        assert!((7100..=7202).contains(&ahead), "{kind:?}: {ahead} s ahead");
        scene.output().assert_holds_no_data();
    }
}

#[test]
fn a_deadline_that_passes_while_throttled_is_temporary() {
    let scene = struck_by(FaultKind::Throttled, When::always());
    let run = scene.export(CLOSED).args(["--deadline", "1s"]).run().exits(75);
    assert!(run.message().contains("the deadline comes first; try again "), "{}", run.message());
    scene.output().assert_holds_no_data();
}

#[test]
fn a_deadline_that_passes_while_an_answer_is_awaited_is_temporary() {
    let scene = struck_by(FaultKind::Stall, When::nth(2));
    let run = scene.export(CLOSED).args(["--deadline", "1s"]).run().exits(75);
    let message = run.message();
    assert!(message.contains("later, with a longer --deadline if it keeps happening"), "{message}");
    scene.output().assert_holds_no_data();
}

#[test]
fn a_wrong_clock_is_set_by_the_servers_once_and_the_export_goes_on() {
    for offset in [3600, -3600] {
        let scene = Scene::new(SimulatorConfig { clock_offset_seconds: offset, ..small() });
        let run = scene.run(CLOSED).exits(0);
        assert_eq!(scene.simulator.stats().unauthentic, 1, "one refusal tells the offset");
        assert!(run.stderr.contains("clock corrected by the server's"), "{}", run.stderr);
        scene.assert_published_whole(CLOSED);
    }
}

#[test]
fn a_network_that_does_not_exist_is_said_once_and_not_walked() {
    let scene = Scene::new(small());
    let job = scene.job(QUICK).args(["--network", "99999999", "--period", CLOSED]);
    let run = job.run().exits(78);
    insta::assert_snapshot!(run.message());
    assert_eq!(scene.simulator.stats().requests_of(Operation::ListGuestUsers), 0);
}

#[test]
fn a_name_that_may_not_be_asked_for_does_not_stop_the_export() {
    for kind in [FaultKind::AccessDenied, FaultKind::InternalServerError, FaultKind::PaymentRequired] {
        let scene = struck_by(kind, When::always().of(Operation::GetNetwork));
        let run = scene.run(CLOSED).exits(0);
        assert_eq!(run.task()["network_name"], serde_json::Value::Null);
        assert_eq!(scene.output().manifest(NETWORK, CLOSED)["source"]["network_name"], json!(null));
        scene.assert_published_whole(CLOSED);
    }
}

#[test]
fn a_refused_list_of_networks_ends_the_run_and_names_the_permission() {
    for (kind, code) in [
        (FaultKind::AccessDenied, 77),
        (FaultKind::InternalServerError, 75),
        (FaultKind::BadRequest, 65),
        (FaultKind::ThrottledForSeconds(7200), 75),
    ] {
        let scene = struck_by(kind, When::always().of(Operation::ListNetworks));
        let run = scene.job(QUICK).args(["--network", "all", "--period", CLOSED]).run().exits(code);
        let error = run.error();
        assert!(error.starts_with("listing the account's networks: "), "{error}");
        assert!(code != 77 || error.contains("the IAM action wickr:ListNetworks"), "{error}");
        assert_eq!(run.stdout, "", "no summary of a run that did not begin");
    }
}

#[test]
fn one_failing_task_does_not_stop_the_others_and_the_first_code_in_order_is_the_runs() {
    let networks = ["11111111", "22222222", "33333333", "44444444", "55555555"];
    let kinds = [
        (FaultKind::InternalServerError, 75),
        (FaultKind::Forbidden, 77),
        (FaultKind::NotFound, 78),
        (FaultKind::MissingUsername, 65),
    ];
    // Each round one failure fewer: what remains decides.
    for round in 0..kinds.len() {
        let faults = kinds.iter().zip(networks).skip(round);
        let faults = faults.map(|((kind, _), id)| Fault::new(*kind, When::always().in_network(network(id))));
        let config = SimulatorConfig {
            networks: networks.map(network).to_vec(),
            periods: vec![period(CLOSED)],
            faults: faults.collect(),
            ..small()
        };
        let scene = Scene::new(config);
        let run = scene.job(QUICK).args(["--network", "all", "--period", CLOSED]).run();
        let run = run.exits(kinds[round].1);
        let summary = run.summary();
        for (index, id) in networks.iter().enumerate() {
            let task = &summary["tasks"][index];
            let fails = (round..kinds.len()).contains(&index);
            let code = if fails { kinds[index].1 } else { 0 };
            assert_eq!((&task["network_id"], &task["exit_code"]), (&json!(id), &json!(code)));
            assert_eq!(scene.output().is_published(id, CLOSED), !fails, "{id}");
        }
    }
}

#[test]
fn a_mismatch_yields_to_a_failure_that_needs_somebody() {
    let history = wickr_guest_export::simulator::History { delta: 1, ..Default::default() };
    let faults = vec![Fault::new(FaultKind::Forbidden, When::always().in_period(period("2025-08")))];
    let scene = Scene::new(SimulatorConfig { history, faults, ..small() });
    let run = scene.export("2025-08..2025-09").args(["--on-mismatch", "fail"]).run().exits(77);
    let summary = run.summary();
    assert_eq!(
        (&summary["tasks"][0]["exit_code"], &summary["tasks"][1]["exit_code"]),
        (&json!(3), &json!(77))
    );
}

#[test]
fn a_refusal_that_quotes_the_request_is_told_without_its_secrets() {
    let (token, encoded) = ("page+token/of=the service", "page%2Btoken%2Fof%3Dthe%20service");
    let session_token = "session+token/of=somebody";
    let scene = Scene::new(small());
    let server = PlainServer::start(move |head| {
        if !head.contains(encoded) {
            return PlainAnswer::ok(&json!({"guestlist": [], "nextToken": token, "networkId": NETWORK,
                "networkName": "Acme", "awsAccountId": "111122223333", "history": []}));
        }
        let message = format!("denied: nextToken={encoded}, x-amz-security-token:{session_token}");
        PlainAnswer { status: 403, body: json!({"code": "ForbiddenError", "message": message}).to_string() }
    });
    let export = scene.export(CLOSED).env("AWS_ENDPOINT_URL_WICKR", &server.url());
    let export = export.env("AWS_SESSION_TOKEN", session_token);
    let run = export.secret(token).secret(encoded).secret(session_token).run().exits(77);
    let told = "denied: nextToken=[redacted], x-amz-security-token:[redacted]";
    assert!(run.message().contains(told), "{}", run.message());
}
