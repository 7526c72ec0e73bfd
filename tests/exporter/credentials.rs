//! Who signs and where to: the AWS conventions, followed by the real binary.

use wickr_guest_export::simulator::{Fault, FaultKind, SimulatorConfig, When};

use crate::support::{CLOSED, Exporter, NETWORK, PlainAnswer, PlainServer, Scene, small};

/// The exporter with the endpoint and the region, and nobody to sign.
fn anonymous(scene: &Scene) -> Exporter {
    scene.export(CLOSED).without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY")
}

fn keys(scene: &Scene) -> (String, String) {
    let keys = scene.simulator.credentials();
    (keys.access_key_id.clone(), keys.secret_access_key.clone())
}

/// A program that prints keys as `credential_process` wants them, and how often it was asked.
fn key_process(scene: &Scene, session_tokens: [&str; 2]) -> String {
    let (id, secret) = keys(scene);
    let [first, later] = session_tokens;
    let count = scene.path("asked").display().to_string();
    let script = format!(
        "#!/bin/sh\n\
         if [ -e '{count}' ]; then token='{later}'; else token='{first}'; fi\n\
         echo asked >> '{count}'\n\
         printf '{{\"Version\":1,\"AccessKeyId\":\"{id}\",\"SecretAccessKey\":\"{secret}\",\"SessionToken\":\"%s\"}}' \"$token\"\n"
    );
    format!("/bin/sh {}", scene.write("keys.sh", &script))
}

fn times_asked(scene: &Scene) -> usize {
    std::fs::read_to_string(scene.path("asked")).expect("the process was asked").lines().count()
}

#[test]
fn without_credentials_the_remedies_are_named() {
    let scene = Scene::new(small());
    let run = anonymous(&scene).run().exits(77);
    insta::assert_snapshot!(run.message());
    assert_eq!(scene.simulator.stats().connections, 0, "nothing is sent unsigned");
}

#[test]
fn wrong_keys_are_refused_and_said() {
    let scene = Scene::new(small());
    let run = scene.export(CLOSED).env("AWS_SECRET_ACCESS_KEY", "not-the-secret-key").run().exits(77);
    insta::assert_snapshot!(run.message());
}

#[test]
fn keys_and_region_come_from_a_profile_by_flag_by_variable_and_by_default() {
    let scene = Scene::new(small());
    let (id, secret) = keys(&scene);
    let profile = |name: &str| {
        format!("[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\nregion = us-east-1\n")
    };
    let file = format!(
        "[broken]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = wrong\n\n{}",
        profile("billing")
    );
    scene.write(".aws/credentials", &file);
    let anonymous = || anonymous(&scene).without_env("AWS_REGION");

    anonymous().args(["--profile", "billing"]).run().exits(0);
    anonymous().env("AWS_PROFILE", "billing").run().exits(0);
    anonymous().env("AWS_PROFILE", "broken").args(["--profile", "billing"]).run().exits(0);
    anonymous().env("AWS_PROFILE", "broken").run().exits(2);
    scene.write(".aws/credentials", &profile("default"));
    anonymous().run().exits(0);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn a_credential_process_is_asked_for_keys() {
    let scene =
        Scene::new(SimulatorConfig { session_token: Some("good-session-token".to_owned()), ..small() });
    let process = key_process(&scene, ["good-session-token"; 2]);
    scene.write(".aws/config", &format!("[profile billing]\ncredential_process = {process}\n"));
    anonymous(&scene).args(["--profile", "billing"]).secret("good-session-token").run().exits(0);
    assert_eq!(times_asked(&scene), 1, "the keys are kept for the whole run");
    scene.assert_published_whole(CLOSED);
}

#[test]
fn keys_that_are_refused_are_fetched_anew_and_signed_with() {
    let scene =
        Scene::new(SimulatorConfig { session_token: Some("good-session-token".to_owned()), ..small() });
    let process = key_process(&scene, ["stale-session-token", "good-session-token"]);
    scene.write(".aws/config", &format!("[default]\ncredential_process = {process}\n"));
    let run = anonymous(&scene).secret("good-session-token").secret("stale-session-token").run().exits(0);
    assert_eq!((times_asked(&scene), scene.simulator.stats().unauthentic), (2, 1), "{}", run.stderr);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn keys_that_expire_in_the_middle_of_a_walk_are_fetched_anew() {
    let faults = vec![Fault::new(FaultKind::ExpiredToken, When::nth(2))];
    let session_token = Some("good-session-token".to_owned());
    let scene = Scene::new(SimulatorConfig { faults, session_token, ..small() });
    let process = key_process(&scene, ["good-session-token"; 2]);
    scene.write(".aws/config", &format!("[default]\ncredential_process = {process}\n"));
    anonymous(&scene).run().exits(0);
    assert_eq!(times_asked(&scene), 2);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn keys_come_from_a_container_over_the_programs_own_http_client() {
    let session_token = Some("good-session-token".to_owned());
    let scene = Scene::new(SimulatorConfig { session_token, ..small() });
    let (id, secret) = keys(&scene);
    let server = PlainServer::start(move |_| {
        PlainAnswer::ok(&serde_json::json!({
            "AccessKeyId": id, "SecretAccessKey": secret, "Token": "good-session-token", "Expiration": "2999-01-01T00:00:00Z",
        }))
    });
    let run = anonymous(&scene)
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/keys", server.url()))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-identity-token")
        .secret("pod-identity-token")
        .secret("good-session-token")
        .run();
    run.exits(0);
    let seen = server.seen();
    assert_eq!(seen.len(), 1, "keys that hold are asked for once");
    assert!(seen[0].starts_with("GET /keys HTTP/1.1"), "{}", seen[0]);
    assert!(seen[0].to_lowercase().contains("authorization: pod-identity-token"), "{}", seen[0]);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn a_container_that_gives_no_keys_is_a_matter_of_credentials() {
    let scene = Scene::new(small());
    let server = PlainServer::start(|_| PlainAnswer { status: 404, body: "{}".to_owned() });
    let uri = format!("{}/keys", server.url());
    anonymous(&scene).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri).run().exits(77);
    assert!(!server.seen().is_empty());
}

#[test]
fn the_services_own_endpoint_variable_stands_before_the_general_one_and_the_flag_before_both() {
    let scene = Scene::new(small());
    let (here, nowhere) = (scene.simulator.endpoint(), "http://127.0.0.1:9");
    let export = || scene.export(CLOSED).without_env("AWS_ENDPOINT_URL_WICKR");
    export().env("AWS_ENDPOINT_URL", &here).run().exits(0);
    export().env("AWS_ENDPOINT_URL", nowhere).env("AWS_ENDPOINT_URL_WICKR", &here).run().exits(0);
    let flagged = export().env("AWS_ENDPOINT_URL_WICKR", nowhere).args(["--endpoint-url", &here]);
    flagged.run().exits(0);
    let wrong = export().env("AWS_ENDPOINT_URL", &here).env("AWS_ENDPOINT_URL_WICKR", nowhere).run();
    assert!(wrong.exits(75).message().contains("no connection to the endpoint"));
}

#[test]
fn the_region_of_the_flag_signs_and_stands_before_the_environment() {
    let scene = Scene::new(small());
    scene.export(CLOSED).env("AWS_REGION", "eu-west-1").args(["--region", "us-east-1"]).run().exits(0);
    let run = scene.export(CLOSED).args(["--region", "eu-west-1"]).run().exits(77);
    assert!(run.message().contains("not 'eu-west-1'; this is 'us-east-1'"), "{}", run.message());
    let default = scene.export(CLOSED).without_env("AWS_REGION").env("AWS_DEFAULT_REGION", "us-east-1");
    default.run().exits(0);
}

#[test]
fn an_endpoint_that_does_not_resolve_is_said_to_be_a_matter_of_the_region() {
    let scene = Scene::new(small());
    let job = scene.job("[request]\nattempts = 1\n").without_env("AWS_ENDPOINT_URL_WICKR");
    let run = job.args(["--network", NETWORK, "--period", CLOSED, "--region", "us-east-99"]).run().exits(75);
    let message = run.message();
    assert!(message.contains("does not resolve; a mistyped region"), "{message}");
}

#[test]
fn what_goes_to_this_machine_goes_through_no_proxy() {
    let scene = Scene::new(small());
    let nowhere = "http://127.0.0.1:1";
    let run =
        scene.export(CLOSED).env("HTTP_PROXY", nowhere).env("http_proxy", nowhere).env("ALL_PROXY", nowhere);
    run.run().exits(0);
}

#[test]
fn a_profile_that_is_named_stands_before_keys_in_the_environment() {
    let scene = Scene::new(small());
    scene.write(
        ".aws/config",
        "[profile other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = other\n",
    );
    scene.export(CLOSED).args(["--profile", "other"]).run().exits(77);
    scene.export(CLOSED).args(["--profile", "nobody"]).run().exits(77);
    scene.export(CLOSED).run().exits(0);
}
