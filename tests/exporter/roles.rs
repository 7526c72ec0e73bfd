//! A role that is assumed to ask the API: what STS is asked, as whom, and what comes of its answers.

use std::fmt::Write as _;

use wickr_guest_export::simulator::{Credentials, SimulatorConfig};

use crate::support::{
    CLOSED, Exporter, FAR, KeyRing, PlainAnswer, PlainServer, RawServer, Scene, lent_role, small, soon,
    sts_refusal,
};

const ROLE: &str = "arn:aws:iam::222222222222:role/wickr-guest-reader";
const EXTERNAL_ID: &str = "finance:close/2025";
/// Whoever assumes the role: the simulator knows nothing of these keys.
const BASE_KEY: &str = "AKIDOFTHEFINANCEACCT";
const BASE_SECRET: &str = "base-secret/of=the+finance-account";

/// A service that lends the role with keys that the simulator issued.
fn lending(keys: Vec<Credentials>, expiration: &str) -> PlainServer {
    let (keys, expiration) = (KeyRing::new(keys), expiration.to_owned());
    PlainServer::start(move |_| lent_role("AssumeRole", &keys.next(), &expiration))
}

/// The exporter in the finance account, told to assume the role in the other.
fn assuming(scene: &Scene, sts: &str) -> Exporter {
    as_finance(scene.export(CLOSED), sts).args(["--role-arn", ROLE, "--external-id", EXTERNAL_ID])
}

fn as_finance(exporter: Exporter, sts: &str) -> Exporter {
    exporter
        .env("AWS_ACCESS_KEY_ID", BASE_KEY)
        .env("AWS_SECRET_ACCESS_KEY", BASE_SECRET)
        .env("AWS_ENDPOINT_URL_STS", sts)
        .secret(BASE_SECRET)
        .secret(EXTERNAL_ID)
}

/// Tells an export that keeps its promise never to print what lends the role from one that does not.
fn keeping_secret(exporter: Exporter, keys: &[Credentials]) -> Exporter {
    keys.iter().fold(exporter, |exporter, keys| {
        let token = keys.session_token.as_deref().expect("a session token");
        exporter.secret(&keys.secret_access_key).secret(token)
    })
}

#[test]
fn the_role_is_asked_for_once_where_the_region_is_with_its_external_id_and_signs_every_request() {
    let scene = Scene::new(small());
    let keys = vec![scene.simulator.issue_credentials(1000)];
    let sts = lending(keys.clone(), FAR);
    // The loudest log of every library, the SDK's own included.
    keeping_secret(assuming(&scene, &sts.url()), &keys).env("RUST_LOG", "trace").run().exits(0);
    scene.assert_published_whole(CLOSED);
    assert_eq!(scene.simulator.stats().unauthentic, 0, "nothing is asked as anybody else");

    let asked = sts.seen();
    assert_eq!(asked.len(), 1, "a role that is lent for a time is not asked for again");
    let (head, body) = asked[0].split_once("\r\n\r\n").expect("a body");
    let head = head.to_lowercase();
    let scope = format!("credential={BASE_KEY}/").to_lowercase();
    assert!(head.contains(&scope) && head.contains("/us-east-1/sts/aws4_request"), "{head}");
    for part in [
        "Action=AssumeRole",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A222222222222%3Arole%2Fwickr-guest-reader",
        "RoleSessionName=wickr-guest-export",
        "ExternalId=finance%3Aclose%2F2025",
    ] {
        assert!(body.split('&').any(|field| field == part), "{part} in {body}");
    }
}

#[test]
fn a_job_file_and_variables_name_the_role_as_flags_do() {
    let scene = Scene::new(small());
    let keys = vec![scene.simulator.issue_credentials(1000); 2];
    let sts = lending(keys.clone(), FAR);
    let variables = keeping_secret(as_finance(scene.export(CLOSED), &sts.url()), &keys)
        .env("WICKR_GUEST_EXPORT_ROLE_ARN", ROLE)
        .env("WICKR_GUEST_EXPORT_EXTERNAL_ID", EXTERNAL_ID);
    variables.clone().run().exits(0);
    let help = variables.clone().args(["--help"]).run().exits(0).stdout;
    assert!(help.contains("WICKR_GUEST_EXPORT_EXTERNAL_ID]"), "named, and its value is not shown: {help}");

    let job = format!(
        "[source]\nnetworks = \"all\"\nrole_arn = \"{ROLE}\"\nexternal_id = \"{EXTERNAL_ID}\"\n\
         role_session_name = \"close@finance\"\n"
    );
    let job = as_finance(scene.job(&job).args(["--period", CLOSED]), &sts.url());
    keeping_secret(job, &keys).run().exits(0);
    let asked = sts.seen();
    assert!(asked[0].contains("RoleSessionName=wickr-guest-export&"), "{}", asked[0]);
    assert!(asked[1].contains("RoleSessionName=close%40finance"), "{}", asked[1]);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn a_role_that_is_about_to_end_is_renewed_in_the_middle_of_the_walk() {
    let scene = Scene::new(small());
    let keys: Vec<_> = (0..50).map(|_| scene.simulator.issue_credentials(1)).collect();
    let sts = lending(keys.clone(), &soon());
    keeping_secret(assuming(&scene, &sts.url()), &keys).run().exits(0);
    scene.assert_published_whole(CLOSED);
    let stats = scene.simulator.stats();
    assert_eq!(
        sts.seen().len() as u64,
        stats.requests.values().sum::<u64>(),
        "each request has keys of its own"
    );
    assert_eq!(stats.unauthentic, 0, "none is used beyond its end");
}

#[test]
fn a_role_that_the_service_finds_expired_is_asked_for_again_and_the_exact_roster_is_published() {
    let scene = Scene::new(small());
    let keys: Vec<_> = (0..10).map(|_| scene.simulator.issue_credentials(3)).collect();
    let sts = lending(keys.clone(), FAR);
    keeping_secret(assuming(&scene, &sts.url()), &keys).run().exits(0);
    scene.assert_published_whole(CLOSED);
    let (asked, stats) = (sts.seen().len() as u64, scene.simulator.stats());
    assert!(asked >= 2, "the walk takes more requests than one loan is good for");
    assert!(stats.unauthentic >= asked - 1, "each loan but the last was used until it was refused");
}

#[test]
fn what_sts_answers_instead_ends_with_its_code_and_names_the_role_and_the_remedy() {
    let denied = format!(
        "User: arn:aws:iam::111111111111:user/finance is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
    );
    let quoting = format!(
        "The request signature we calculated does not match the signature you provided. The Canonical String was \
         x-amz-security-token:{BASE_SECRET}"
    );
    let mut said = String::new();
    for (status, code, message, exit) in [
        (403, "AccessDenied", denied.as_str(), 77),
        (403, "ExpiredToken", "The security token included in the request is expired", 77),
        (403, "InvalidClientTokenId", "The security token included in the request is invalid.", 77),
        (403, "SignatureDoesNotMatch", quoting.as_str(), 77),
        (403, "RegionDisabledException", "STS is not activated in this region for account:111111111111.", 77),
        (400, "ValidationError", "ExternalId finance:close/2025 is not wanted", 77),
        (400, "Throttling", "Rate exceeded", 75),
        (503, "ServiceUnavailable", "Service is unavailable", 75),
    ] {
        let scene = Scene::new(small());
        let message = message.to_owned();
        let sts = PlainServer::start(move |_| sts_refusal(status, code, &message));
        let run = assuming(&scene, &sts.url()).run().exits(exit);
        write!(said, "# {status} {code}: exit {exit}\n{}\n\n", run.message()).expect("a string");
        assert_eq!(scene.simulator.stats().connections, 0, "nothing is asked as whoever asks for the role");
    }
    insta::assert_snapshot!(said);
}

#[test]
fn a_token_service_that_cannot_be_reached_or_answers_nonsense_is_worth_another_try() {
    let scene = Scene::new(small());
    let nobody = "http://127.0.0.1:9";
    let message = assuming(&scene, nobody).run().exits(75).message();
    assert!(message.contains(&format!("STS was asked for the role {ROLE}")), "{message}");
    let nonsense = PlainServer::start(|_| PlainAnswer { status: 200, body: "<html>".to_owned() });
    assuming(&scene, &nonsense.url()).run().exits(75);
    let cut_off = RawServer::start(|_, _| Ok(()));
    assuming(&scene, &cut_off.url()).run().exits(75);
}

#[test]
fn a_token_service_that_hangs_holds_the_run_no_longer_than_its_deadline() {
    let scene = Scene::new(small());
    let hanging = RawServer::start(|_, _| {
        loop {
            std::thread::park();
        }
    });
    let run = assuming(&scene, &hanging.url()).args(["--deadline", "1s"]).run().exits(75);
    assert!(run.message().contains("the deadline comes first"), "{}", run.message());
    assert_eq!(hanging.requests(), 1);
}

#[test]
fn a_role_needs_whoever_asks_for_it_to_have_credentials() {
    let scene = Scene::new(small());
    let sts = PlainServer::start(|_| unreachable!("nothing is sent unsigned"));
    let run = assuming(&scene, &sts.url()).without_env("AWS_ACCESS_KEY_ID").run().exits(77);
    assert!(run.message().contains("no AWS credentials could be had"), "{}", run.message());
}

#[test]
fn a_token_service_in_the_clear_is_asked_on_this_machine_only() {
    let scene = Scene::new(small());
    let run = assuming(&scene, "http://sts.example.com").run().exits(77);
    assert!(run.message().contains("http://sts.example.com is not https"), "{}", run.message());
}

#[test]
fn a_role_of_the_configuration_file_is_assumed_with_its_source_profile() {
    let scene = Scene::new(small());
    let keys = vec![scene.simulator.issue_credentials(1000)];
    let sts = lending(keys.clone(), FAR);
    scene.write(
        ".aws/config",
        &format!(
            "[profile finance]\naws_access_key_id = {BASE_KEY}\naws_secret_access_key = {BASE_SECRET}\n\
             [profile reader]\nsource_profile = finance\nrole_arn = {ROLE}\nexternal_id = {EXTERNAL_ID}\n"
        ),
    );
    let export = as_finance(scene.export(CLOSED), &sts.url()).without_env("AWS_ACCESS_KEY_ID");
    let export = keeping_secret(export, &keys).env("RUST_LOG", "trace");
    export.clone().args(["--profile", "reader"]).run().exits(0);
    assert!(sts.seen()[0].contains("ExternalId=finance%3Aclose%2F2025"), "{}", sts.seen()[0]);
    scene.assert_published_whole(CLOSED);

    let refusing = PlainServer::start(|_| sts_refusal(403, "AccessDenied", "Not authorized"));
    let refused = export.env("AWS_ENDPOINT_URL_STS", &refusing.url()).args(["--profile", "reader"]);
    let message = refused.run().exits(77).message();
    assert!(
        message.contains("AccessDenied: Not authorized; check the trust policy of the role"),
        "{message}"
    );
}

#[test]
fn a_bucket_is_reached_as_whoever_assumes_the_role_and_not_as_the_role() {
    let scene = Scene::new(small());
    let keys = vec![scene.simulator.issue_credentials(1000)];
    let sts = lending(keys.clone(), FAR);
    let store = PlainServer::start(|_| PlainAnswer { status: 403, body: String::new() });
    let bucket = |exporter: Exporter| {
        let exporter = exporter.replacing("--output", "s3://billing/out");
        exporter.env("AWS_ENDPOINT_URL_S3", &store.url()).run().exits(73);
        store.seen().last().expect("a request").clone()
    };
    let asked = bucket(assuming(&scene, &sts.url()));
    assert!(asked.contains(&format!("Credential={BASE_KEY}/")), "{asked}");
    assert_eq!(sts.seen().len(), 0, "the role is no business of the bucket");

    scene.write(
        ".aws/credentials",
        "[other]\naws_access_key_id = AKIDOFTHEWRITER00000\naws_secret_access_key = its-own-secret\n",
    );
    let job = format!("[source]\nnetworks = \"all\"\nrole_arn = \"{ROLE}\"\n[output]\nprofile = \"other\"\n");
    let asked = bucket(as_finance(scene.job(&job).args(["--period", CLOSED]), &sts.url()));
    assert!(asked.contains("Credential=AKIDOFTHEWRITER00000/"), "{asked}");
}

#[test]
fn a_role_that_is_none_ends_with_2_before_any_request() {
    let scene = Scene::new(SimulatorConfig::default());
    let mut said = String::new();
    for words in [
        &["--role-arn", "wickr-guest-reader"][..],
        &["--role-arn", "arn:aws:sts::222222222222:assumed-role/reader/session"],
        &["--external-id", EXTERNAL_ID],
        &["--role-arn", ROLE, "--external-id", "an id?"],
    ] {
        let run = scene.export(CLOSED).secret("an id?").secret(EXTERNAL_ID).args(words.iter().copied()).run();
        let error = run.exits(2).error().replace(&scene.path("").display().to_string(), "[folder]/");
        write!(said, "{error}\n\n").expect("a string");
    }
    insta::assert_snapshot!(said);
    assert_eq!(scene.simulator.stats().connections, 0);
}
