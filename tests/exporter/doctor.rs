//! `doctor`: it finds what a run will meet, ends as that run would, and leaves nothing behind.

use std::fs;
use std::io::Write as _;

use serde_json::Value;
use wickr_guest_export::simulator::{Fault, FaultKind, Operation, SimulatorConfig, When};

use crate::support::{
    CLOSED, Exporter, NETWORK, PlainAnswer, PlainServer, RawServer, Run, Scene, files_below, small,
    sts_refusal,
};

const ARN: &str = "arn:aws:sts::111122223333:assumed-role/wickr-guest-export/pod";

/// STS, which knows everybody.
fn sts() -> PlainServer {
    PlainServer::start(|_| {
        PlainAnswer::ok(&format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>{ARN}</Arn><UserId>AROAEXAMPLE:pod</UserId><Account>111122223333</Account>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>"
        ))
    })
}

fn always(kind: FaultKind, operation: Operation) -> Scene {
    let faults = vec![Fault::new(kind, When::always().of(operation))];
    Scene::new(SimulatorConfig { faults, ..small() })
}

/// The check of a name, which must be there once.
#[track_caller]
fn check(run: &Run, name: &str) -> (String, String) {
    let diagnosis: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let checks = diagnosis["checks"].as_array().expect("checks");
    let found: Vec<&Value> = checks.iter().filter(|check| check["name"] == name).collect();
    let [found] = found[..] else { panic!("{} of {name}: {}", found.len(), run.stdout) };
    let text = |key: &str| found[key].as_str().expect(key).to_owned();
    (text("status"), text("message"))
}

#[track_caller]
fn assert_check(run: &Run, name: &str, status: &str, words: &str) {
    let (found, message) = check(run, name);
    assert!(found == status && message.contains(words), "{name}: {found}: {message}");
}

#[test]
fn a_job_that_can_run_is_told_so_and_nothing_is_left() {
    let (scene, sts) = (Scene::new(small()), sts());
    let export = scene.export(CLOSED).env("AWS_ENDPOINT_URL_STS", &sts.url());
    let examined = export.examining().replacing("--summary", "text").run().exits(0);
    let (folder, endpoint) = (scene.path("").display().to_string(), scene.simulator.endpoint());
    let filters = vec![
        (folder.as_str(), "[folder]/"),
        (endpoint.as_str(), "[endpoint]"),
        (r"\d+ MiB", "[free] MiB"),
        (r"\d{4}-\d\d-\d\dT[0-9:]+Z", "[time]"),
    ];
    insta::with_settings!({filters => filters}, { insta::assert_snapshot!(examined.stdout); });
    let left = |place: &str| files_below(&scene.path(place));
    assert_eq!((left("out"), left(".local")), (vec![], vec![]));

    export.clone().run().exits(0);
    let again = export.examining().run().exits(0);
    assert_check(&again, "published: last success", "passed", "2025-09 of network 12345678 was checked at ");
    export.verifying(&scene.path("out")).run().exits(0);
}

/// Examines an export and runs it: both end with this code, and the check says why.
#[track_caller]
fn end_alike(export: &Exporter, code: i32, (name, status, words): (&str, &str, &str)) {
    let sts = sts();
    let export = export.clone().env("AWS_ENDPOINT_URL_STS", &sts.url());
    let examined = export.examining().run();
    let ran = export.run();
    assert_eq!((examined.code, ran.code), (code, code), "{name}: {}\n{}", examined.stdout, ran.stderr);
    let diagnosis: Value = serde_json::from_str(&examined.stdout).expect("JSON");
    assert_eq!(diagnosis["exit_code"], code);
    let checks = diagnosis["checks"].as_array().expect("checks");
    let is_told = checks.iter().any(|check| {
        let message = check["message"].as_str().expect("a message");
        check["name"] == name && check["status"] == status && message.contains(words)
    });
    assert!(is_told, "{name} {status} {words}: {}", examined.stdout);
}

#[test]
fn what_the_service_answers_ends_it_as_the_run() {
    use FaultKind::{
        AccessDenied, ClockSkew, ExpiredToken, Forbidden, Garbage, InternalServerError, NotFound,
    };
    use Operation::{GetGuestUserHistoryCount, GetNetwork, ListGuestUsers, ListNetworks};
    let (list, history) = ("wickr:ListNetworks", "wickr:GetGuestUserHistoryCount");
    let guests = "wickr:ListGuestUsers";
    for (kind, operation, code, check) in [
        (AccessDenied, ListGuestUsers, 77, (guests, "failed", "allow the IAM action wickr:ListGuestUsers")),
        (Garbage, ListGuestUsers, 65, (guests, "failed", "unreadable")),
        (Forbidden, GetGuestUserHistoryCount, 0, (history, "warning", "confirmed by a second walk")),
        (AccessDenied, GetNetwork, 0, ("wickr:GetNetwork 12345678", "warning", "without their names")),
        (NotFound, GetNetwork, 78, ("wickr:GetNetwork 12345678", "failed", "no such network")),
        (ExpiredToken, GetNetwork, 77, (guests, "not_tried", "")),
        (AccessDenied, ListNetworks, 0, (list, "warning", "the job names its networks")),
    ] {
        end_alike(&always(kind, operation).export(CLOSED), code, check);
    }
    for (kind, code, check) in [
        (AccessDenied, 77, (list, "failed", "wickr:ListNetworks")),
        (InternalServerError, 75, (list, "failed", "status 500")),
        (ClockSkew, 77, (list, "failed", "set it by NTP")),
    ] {
        let scene = always(kind, ListNetworks);
        end_alike(&scene.export(CLOSED).replacing("--network", "all"), code, check);
    }
}

#[test]
fn what_is_not_where_the_job_says_ends_it_as_the_run() {
    let scene = Scene::new(small());
    let export = scene.export(CLOSED);
    let nobody = export.clone().without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY");
    end_alike(&nobody, 77, ("credentials", "failed", "aws sso login"));
    let nowhere = export.clone().env("AWS_ENDPOINT_URL_WICKR", "http://127.0.0.1:9");
    end_alike(&nowhere, 75, ("endpoint", "failed", "refused"));
    let file = export.clone().replacing("--output", &scene.write("a-file", ""));
    end_alike(&file, 73, ("output", "failed", "a-file"));
    let within = export.args(["--state", &scene.path("out/state").display().to_string()]);
    end_alike(&within, 2, ("state", "failed", "within the output"));
}

#[test]
fn simulated_numbers_beside_real_ones_are_found_before_a_run() {
    let (scene, sts) = (Scene::new(small()), sts());
    let export = scene.export(CLOSED).env("AWS_ENDPOINT_URL_STS", &sts.url());
    export.clone().run().exits(0);
    scene.output().edit_manifest(NETWORK, CLOSED, |manifest| manifest["source"]["kind"] = "wickr".into());
    let examined = export.examining().run().exits(73);
    assert_check(&examined, "published: source", "failed", "simulator");
    export.run().exits(73);
}

#[test]
fn it_says_whose_the_credentials_are_or_why_that_is_not_known() {
    let scene = Scene::new(small());
    let silent = PlainServer::start(|_| PlainAnswer { status: 500, body: String::new() });
    let ignorant = PlainServer::start(|_| sts_refusal(403, "InvalidClientTokenId", "The token is invalid."));
    for (sts, status, words) in [
        (&sts(), "passed", ARN),
        (&ignorant, "warning", "STS does not accept them (InvalidClientTokenId)"),
        (&silent, "warning", "STS did not say whose they are"),
    ] {
        let examined =
            scene.export(CLOSED).env("AWS_ENDPOINT_URL_STS", &sts.url()).examining().run().exits(0);
        assert_check(&examined, "credentials", status, words);
        assert!(sts.seen()[0].contains("Action=GetCallerIdentity"), "{:?}", sts.seen());
    }
}

#[test]
fn a_clock_that_is_off_is_said() {
    let body = r#"{"networks": []}"#;
    let late = RawServer::start(move |_, wire| {
        let length = body.len();
        write!(
            wire,
            "HTTP/1.1 200 OK\r\ndate: Sat, 01 Nov 2025 00:00:00 GMT\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
    });
    let (scene, sts) = (Scene::new(small()), sts());
    let export = scene.export(CLOSED).replacing("--network", "all");
    let examined = export
        .env("AWS_ENDPOINT_URL_WICKR", &late.url())
        .env("AWS_ENDPOINT_URL_STS", &sts.url())
        .examining()
        .run()
        .exits(78);
    assert_check(&examined, "clock", "warning", "seconds ahead of the service's; set it by NTP");
}

#[test]
fn each_source_is_told_by_its_number_and_one_that_fails_costs_the_others_nothing() {
    let (scene, sts) = (Scene::new(small()), sts());
    fs::create_dir(scene.path(".aws")).expect("a folder");
    let keys = scene.simulator.credentials();
    let profile = format!(
        "[profile good]\nregion = us-east-1\naws_access_key_id = {}\naws_secret_access_key = {}\n\
         [profile bad]\nregion = us-east-1\naws_access_key_id = AKIDNOBODYKNOWSATALL\naws_secret_access_key = none\n",
        keys.access_key_id, keys.secret_access_key
    );
    scene.write(".aws/config", &profile);
    let job = "[[source]]\nprofile = \"bad\"\nnetworks = [\"87654321\"]\n\
               [[source]]\nprofile = \"good\"\nnetworks = [\"12345678\"]\n";
    let examined = scene
        .job(job)
        .args(["--period", CLOSED])
        .env("AWS_ENDPOINT_URL_STS", &sts.url())
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .examining()
        .run()
        .exits(77);
    assert_check(&examined, "source 1: wickr:ListNetworks", "failed", "does not accept the credentials");
    assert_check(&examined, "source 1: wickr:ListGuestUsers", "not_tried", "");
    assert_check(&examined, "source 2: wickr:ListGuestUsers", "passed", "allowed for 12345678 in 2025-09");
}

#[test]
fn metrics_that_could_not_be_delivered_are_a_warning() {
    let (scene, sts) = (Scene::new(small()), sts());
    let gateway = PlainServer::start(|_| PlainAnswer { status: 200, body: String::new() });
    let export = scene.export(CLOSED).env("AWS_ENDPOINT_URL_STS", &sts.url());
    let file = |name: &str| scene.path(name).display().to_string();
    let good = export.clone().args(["--metrics-file", &file("x.prom"), "--pushgateway-url", &gateway.url()]);
    let examined = good.examining().run().exits(0);
    assert_check(&examined, "metrics: file", "passed", "x.prom can be replaced");
    assert_check(&examined, "metrics: Pushgateway", "passed", "is ready");
    assert!(gateway.seen()[0].starts_with("GET /-/ready "), "{:?}", gateway.seen());
    assert!(!scene.path("x.prom").exists(), "nothing is written there");

    let bad = ["--metrics-file", &file("nowhere/x.prom"), "--pushgateway-url", "http://127.0.0.1:9"];
    let examined = export.args(bad).examining().run().exits(0);
    assert_check(&examined, "metrics: file", "warning", "create its folder");
    assert_check(&examined, "metrics: Pushgateway", "warning", "refused");
}

#[test]
fn a_wrong_job_is_refused_as_by_a_run() {
    let scene = Scene::new(small());
    let export = scene.job("nonsense = 1\n");
    let (examined, ran) = (export.examining().run().exits(2), export.run().exits(2));
    assert_eq!(examined.error(), ran.error());
    assert_eq!(scene.pages_asked(), 0);
}
