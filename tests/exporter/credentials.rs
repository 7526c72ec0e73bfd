//! Who signs and where to: the AWS conventions, followed by the real binary.

use std::fs;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use wickr_guest_export::simulator::{Credentials, Fault, FaultKind, SimulatorConfig, When};

use crate::support::{
    CLOSED, Exporter, FAR, KeyRing, NETWORK, PlainAnswer, PlainServer, RawServer, Scene, keys_document,
    lent_role, small, soon, sts_refusal,
};

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
fn a_pods_keys_are_renewed_before_they_end_each_time_with_the_token_that_its_file_holds_then() {
    let scene = Scene::new(small());
    let keys: Vec<_> = (0..50).map(|_| scene.simulator.issue_credentials(1)).collect();
    let token_file = scene.write("pod-token", "token-of-the-pod-0");
    let (ring, file, asked) = (KeyRing::new(keys), token_file.clone(), AtomicUsize::new(0));
    let agent = PlainServer::start(move |request| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        // The kubelet replaces the token before it ends; whoever still comes with the old one is sent away.
        if !request.to_lowercase().contains(&format!("authorization: token-of-the-pod-{number}\r\n")) {
            return PlainAnswer { status: 401, body: "{}".to_owned() };
        }
        fs::write(&file, format!("token-of-the-pod-{}", number + 1)).expect("a token");
        keys_document(&ring.next(), &soon())
    });
    let run = anonymous(&scene)
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/v1/credentials", agent.url()))
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token_file)
        .env("RUST_LOG", "trace")
        .secret("token-of-the-pod")
        .secret("issued-session-token");
    run.run().exits(0);
    let stats = scene.simulator.stats();
    assert_eq!(
        agent.seen().len() as u64,
        stats.requests.values().sum::<u64>(),
        "each request has its own keys"
    );
    assert_eq!(stats.unauthentic, 0, "none is used beyond its end");
    scene.assert_published_whole(CLOSED);
}

#[test]
fn keys_of_a_container_that_are_refused_as_expired_in_the_middle_of_a_walk_are_replaced() {
    let scene = Scene::new(small());
    let ring = KeyRing::new((0..10).map(|_| scene.simulator.issue_credentials(3)).collect());
    let server = PlainServer::start(move |_| keys_document(&ring.next(), FAR));
    anonymous(&scene).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &server.url()).run().exits(0);
    let (asked, stats) = (server.seen().len() as u64, scene.simulator.stats());
    assert!(asked >= 2, "the walk takes more requests than one pair of keys is good for");
    assert!(stats.unauthentic >= asked - 1, "each pair but the last was used until it was refused");
    scene.assert_published_whole(CLOSED);
}

#[test]
fn an_agent_that_is_out_of_order_is_worth_another_try() {
    let scene = Scene::new(small());
    let job = || {
        let job = scene.job("[request]\nattempts = 1\n").args(["--network", NETWORK, "--period", CLOSED]);
        job.without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY")
    };
    let failing = PlainServer::start(|_| PlainAnswer { status: 503, body: "{}".to_owned() });
    let run = job().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &failing.url()).run().exits(75);
    assert!(run.message().contains("the AWS credentials could not be fetched"), "{}", run.message());
    job().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/keys").run().exits(75);
}

/// The metadata of an instance, version 2: nothing is told to anybody without a token, which is given to a PUT.
fn instance(role: Option<Credentials>) -> RawServer {
    const LIFETIME: &str = "x-aws-ec2-metadata-token-ttl-seconds";
    RawServer::start(move |request, wire| {
        let (line, headers) = request.split_once("\r\n").expect("a request line");
        let headers = headers.to_lowercase();
        let has_token = headers.contains("x-aws-ec2-metadata-token: token-of-the-instance\r\n");
        let (status, body) = match line.rsplit_once(' ').expect("a version").0 {
            "PUT /latest/api/token" if headers.contains(LIFETIME) => {
                (200, "token-of-the-instance".to_owned())
            }
            _ if !has_token => (401, String::new()),
            "GET /latest/meta-data/placement/region" => (200, "us-east-1".to_owned()),
            "GET /latest/meta-data/iam/security-credentials/" if role.is_some() => {
                (200, "exporter".to_owned())
            }
            "GET /latest/meta-data/iam/security-credentials/exporter" => {
                (200, keys_document(role.as_ref().expect("a role"), FAR).body)
            }
            _ => (404, String::new()),
        };
        let length = body.len();
        write!(
            wire,
            "HTTP/1.1 {status} -\r\n{LIFETIME}: 21600\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    })
}

#[test]
fn an_instance_gives_keys_and_region_to_whoever_has_its_token_and_no_proxy_is_asked() {
    let scene = Scene::new(small());
    let server = instance(Some(scene.simulator.issue_credentials(1000)));
    let nowhere = "http://127.0.0.1:1";
    let run = anonymous(&scene)
        .without_env("AWS_EC2_METADATA_DISABLED")
        .without_env("AWS_REGION")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url())
        .env("HTTP_PROXY", nowhere)
        .env("http_proxy", nowhere)
        .env("RUST_LOG", "trace")
        .secret("token-of-the-instance")
        .secret("issued-session-token");
    run.run().exits(0);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn an_instance_without_a_role_is_a_matter_of_credentials() {
    let scene = Scene::new(small());
    let server = instance(None);
    let export = anonymous(&scene).without_env("AWS_EC2_METADATA_DISABLED");
    let run = export.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url()).run().exits(77);
    assert!(run.message().contains("no AWS credentials could be had"), "{}", run.message());
    assert!(server.requests() >= 2, "its token and its roles were asked for");
}

/// The profile of somebody who has logged in, until then.
fn logged_in(scene: &Scene, until: &str) -> Exporter {
    scene.write(
        ".aws/config",
        "[sso-session finance]\nsso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1\n\
         sso_registration_scopes = sso:account:access\n[profile billing]\nsso_session = finance\n\
         sso_account_id = 222222222222\nsso_role_name = Reader\n",
    );
    let login = serde_json::json!({
        "startUrl": "https://example.awsapps.com/start", "region": "us-east-1",
        "accessToken": "token-of-the-login", "expiresAt": until,
    });
    // Named by the SHA-1 of the session's name, as `aws sso login` does.
    scene.write(".aws/sso/cache/a1cf62af599e2c2403cd6542a3bbe8f828511be8.json", &login.to_string());
    anonymous(scene).args(["--profile", "billing"]).secret("token-of-the-login")
}

#[test]
fn a_login_gives_keys_while_it_lasts_and_then_says_how_to_log_in_again() {
    let scene = Scene::new(small());
    let keys = scene.simulator.issue_credentials(1000);
    let portal = PlainServer::start(move |request| {
        let wanted = "GET /federation/credentials?role_name=Reader&account_id=222222222222 ";
        let has_token = request.to_lowercase().contains("x-amz-sso_bearer_token: token-of-the-login\r\n");
        if !request.starts_with(wanted) || !has_token {
            return PlainAnswer { status: 401, body: "{}".to_owned() };
        }
        PlainAnswer::ok(&serde_json::json!({ "roleCredentials": {
            "accessKeyId": keys.access_key_id, "secretAccessKey": keys.secret_access_key,
            "sessionToken": keys.session_token, "expiration": 32_472_144_000_000_i64,
        }}))
    });
    let billing = |until| logged_in(&scene, until).env("AWS_ENDPOINT_URL_SSO", &portal.url());
    billing(FAR).env("RUST_LOG", "trace").secret("issued-session-token").run().exits(0);
    assert_eq!(portal.seen().len(), 1);
    scene.assert_published_whole(CLOSED);
    let ended = billing("2025-01-01T00:00:00Z").run().exits(77);
    assert!(ended.message().contains("`aws sso login`"), "{}", ended.message());
    assert_eq!(portal.seen().len(), 1, "a login that ended is not tried");

    let refusing = PlainServer::start(|_| PlainAnswer {
        status: 403,
        body: r#"{"__type": "ForbiddenException", "message": "No access"}"#.to_owned(),
    });
    let refused = logged_in(&scene, FAR).env("AWS_ENDPOINT_URL_SSO", &refusing.url()).run().exits(77);
    assert!(refused.message().contains("ForbiddenException: No access; "), "{}", refused.message());
}

#[test]
fn a_web_identity_is_told_to_the_token_service_and_what_that_answers_is_told_to_the_user() {
    let scene = Scene::new(small());
    let keys = scene.simulator.issue_credentials(1000);
    let token_file = scene.write("web-identity-token", "token-of-the-service-account");
    let export = |sts: &str| {
        anonymous(&scene)
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token_file)
            .env("AWS_ROLE_ARN", "arn:aws:iam::222222222222:role/exporter")
            .env("AWS_ENDPOINT_URL_STS", sts)
            .env("AWS_MAX_ATTEMPTS", "1")
            .secret("token-of-the-service-account")
            .secret("issued-session-token")
    };
    let sts = PlainServer::start(move |_| lent_role("AssumeRoleWithWebIdentity", &keys, FAR));
    export(&sts.url()).env("RUST_LOG", "trace").run().exits(0);
    assert!(sts.seen()[0].contains("WebIdentityToken=token-of-the-service-account"), "{}", sts.seen()[0]);
    scene.assert_published_whole(CLOSED);

    let words = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
    let refusing = PlainServer::start(move |_| sts_refusal(403, "AccessDenied", words));
    let message = export(&refusing.url()).run().exits(77).message();
    assert!(
        message.contains(&format!("AccessDenied: {words}; check the trust policy of the role")),
        "{message}"
    );
    let failing = PlainServer::start(|_| sts_refusal(500, "InternalFailure", "It broke"));
    export(&failing.url()).run().exits(75);
}

#[test]
fn a_provider_that_hangs_holds_the_run_no_longer_than_its_deadline() {
    let scene = Scene::new(small());
    let hanging = RawServer::start(|_, _| {
        loop {
            std::thread::park();
        }
    });
    let export = anonymous(&scene).args(["--deadline", "1s"]);
    export.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &hanging.url()).run().exits(75);
    assert_eq!(scene.simulator.stats().connections, 0);
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
    for run in [
        scene.export(CLOSED).args(["--profile", "nobody"]),
        anonymous(&scene).env("AWS_PROFILE", "nobody"),
        anonymous(&scene).env("AWS_SHARED_CREDENTIALS_FILE", "nowhere").args(["--profile", "nobody"]),
    ] {
        let refused = run.run().exits(77);
        assert!(refused.stderr.contains("there is no profile `nobody`"), "{}", refused.stderr);
    }
    scene.export(CLOSED).run().exits(0);
}
