//! Several accounts and regions in one job: each source for itself, one summary and one output for all of them.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use wickr_guest_export::simulator::{Fault, FaultKind, Operation, SimulatorConfig, When};

use crate::support::{
    AS_OF, CLOSED, Exporter, KeyRing, NETWORK, Output, PlainAnswer, PlainServer, Run, Scene, guests,
    lent_role, network, period, population, small, sts_refusal, tell,
};

const HERE: &str = "11111111";
const THERE: &str = "22222222";

/// An account whose only network has 250 guests, in a region and behind a session token of its own.
fn account(id: &str, region: &str) -> SimulatorConfig {
    SimulatorConfig {
        networks: vec![network(id)],
        region: region.to_owned(),
        session_token: Some(format!("session-token-of-{region}")),
        seed: u64::from(id.as_bytes()[0]),
        ..small()
    }
}

/// Two accounts, one output. Each account's keys are in a profile that is called like its region.
struct Organization {
    /// Has the output, the home and the job, and answers for the first account.
    first: Scene,
    second: Scene,
}

impl Organization {
    fn new(first: SimulatorConfig, second: SimulatorConfig) -> Self {
        let organization = Self { first: Scene::new(first), second: Scene::new(second) };
        let profiles = organization.scenes().map(|scene| {
            let (keys, region) = (scene.simulator.credentials(), scene.simulator.region());
            format!(
                "[{region}]\nregion = {region}\naws_access_key_id = {}\naws_secret_access_key = {}\n\
                 aws_session_token = {}\n",
                keys.access_key_id,
                keys.secret_access_key,
                keys.session_token.as_deref().expect("a token")
            )
        });
        organization.first.write(".aws/credentials", &profiles.concat());
        organization
    }

    fn of_two_regions() -> Self {
        Self::new(account(HERE, "us-east-1"), account(THERE, "eu-central-1"))
    }

    fn scenes(&self) -> [&Scene; 2] {
        [&self.first, &self.second]
    }

    /// The `[[source]]` of an account, asked through its profile.
    fn source(scene: &Scene, networks: &str, more: &str) -> String {
        let (endpoint, region) = (scene.simulator.endpoint(), scene.simulator.region());
        format!(
            "[[source]]\nnetworks = {networks}\nprofile = \"{region}\"\nendpoint_url = \"{endpoint}\"\n{more}\n"
        )
    }

    /// Prepares an export with these sources, and nothing of AWS in the environment.
    fn job(&self, sources: &[String]) -> Exporter {
        let text = format!("[request]\nattempts = 2\n{}", sources.concat());
        let job = self.first.job(&text).args(["--period", CLOSED]);
        ["AWS_ENDPOINT_URL_WICKR", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
            .into_iter()
            .fold(job, Exporter::without_env)
            .secret("session-token-of")
    }

    /// Prepares an export of all that both accounts have.
    fn whole(&self) -> Exporter {
        self.job(&self.scenes().map(|scene| Self::source(scene, "\"all\"", "")))
    }

    fn output(&self) -> Output {
        self.first.output()
    }

    /// Holds what is published of an account's network against the guests that it has.
    #[track_caller]
    fn assert_published(&self, scene: &Scene, id: &str) {
        let mut expected: Vec<_> = scene.simulator.expected(network(id), period(CLOSED)).collect();
        expected.sort();
        assert!(self.output().roster(id, CLOSED) == expected, "the roster of {id} is exactly the guests");
    }
}

fn pages(scene: &Scene) -> u64 {
    scene.simulator.stats().requests_of(Operation::ListGuestUsers)
}

/// What the summary says of each task: its source, its network, its status and its code.
fn tasks(run: &Run) -> Vec<Value> {
    let summary = run.summary();
    let tasks = summary["tasks"].as_array().expect("a list").iter();
    tasks.map(|task| json!([task["source"], task["network_id"], task["status"], task["exit_code"]])).collect()
}

/// The sources that were left out: the number, the code, and why.
fn left_out(run: &Run) -> Vec<(u64, i64, String)> {
    let summary = run.summary();
    let failed = summary["failed_sources"].as_array().expect("a list").iter();
    failed
        .map(|failed| {
            let message = failed["message"].as_str().expect("a message").to_owned();
            (
                failed["source"].as_u64().expect("a number"),
                failed["exit_code"].as_i64().expect("a code"),
                message,
            )
        })
        .collect()
}

#[test]
fn two_accounts_in_two_regions_are_published_under_one_summary() {
    let both = Organization::of_two_regions();
    let spelled = "period_spelling = \"underscore\"";
    let sources = [
        Organization::source(&both.first, "\"all\"", ""),
        Organization::source(&both.second, &format!("[\"{THERE}\"]"), spelled),
    ];
    let run = both.job(&sources).run().exits(0);
    assert_eq!(tasks(&run), [json!([1, HERE, "published", 0]), json!([2, THERE, "published", 0])]);
    assert_eq!(run.summary()["failed_sources"], json!([]));
    for (scene, id) in both.scenes().into_iter().zip([HERE, THERE]) {
        both.assert_published(scene, id);
        let source = both.output().manifest(id, CLOSED)["source"].clone();
        assert_eq!(source["endpoint"], scene.simulator.endpoint());
        assert_eq!(source["region"], scene.simulator.region());
        assert_eq!(scene.simulator.stats().unauthentic, 0, "each is asked as itself");
    }
    let asked = |scene: &Scene, spelling: &str| {
        let targets = scene.simulator.stats().targets;
        targets.iter().filter(|target| target.contains(spelling)).count()
    };
    assert_eq!(
        (asked(&both.first, "2025_09"), asked(&both.second, "2025-09")),
        (0, 0),
        "each in its spelling"
    );

    let summary = String::from_utf8(both.output().bytes("summary/csv/guest_counts.csv")).expect("text");
    for (region, id) in [("us-east-1", HERE), ("eu-central-1", THERE)] {
        let row = summary.lines().find(|row| row.contains(id)).expect("a row");
        assert!(row.contains(&format!("\"{region}\"")), "{row}");
    }
    let again = both.job(&sources).run().exits(0);
    assert_eq!(tasks(&again), [json!([1, HERE, "unchanged", 0]), json!([2, THERE, "unchanged", 0])]);
}

#[test]
fn an_account_without_credentials_fails_alone() {
    let both = Organization::of_two_regions();
    let two_networks = format!("[\"{THERE}\", \"33333333\"]");
    let nobody = |networks: &str| {
        let source = Organization::source(&both.second, networks, "");
        source.replace("profile = \"eu-central-1\"", "profile = \"nobody\"\nregion = \"eu-central-1\"")
    };
    let sources = [nobody(&two_networks), Organization::source(&both.first, "\"all\"", "")];
    let run = both.job(&sources).run().exits(77);
    assert_eq!(
        tasks(&run),
        [
            json!([2, HERE, "published", 0]),
            json!([1, THERE, "failed", 77]),
            json!([1, "33333333", "failed", 77])
        ]
    );
    both.assert_published(&both.first, HERE);

    let sources = [nobody("\"all\""), Organization::source(&both.first, "\"all\"", "")];
    let metrics = both.first.path("run.prom");
    let telling = both.job(&sources).args(["--metrics-file", metrics.to_str().expect("a path")]);
    let run = telling.run().exits(77);
    assert_eq!(tasks(&run), [json!([2, HERE, "unchanged", 0])]);
    let metrics = fs::read_to_string(metrics).expect("metrics");
    assert!(metrics.contains("wickr_guest_export_guests{"), "{metrics}");
    let unclosed = "wickr_guest_export_oldest_unclosed_period_end_timestamp_seconds{";
    assert!(!metrics.contains(unclosed), "the month may be open in the account that is left out: {metrics}");
    let [(1, 77, message)] = &left_out(&run)[..] else { panic!("one source is left out: {}", run.stdout) };
    assert!(
        message.starts_with("listing the account's networks: no AWS credentials could be had"),
        "{message}"
    );
    assert_eq!(both.second.simulator.stats().connections, 0);
}

#[test]
fn sources_that_cannot_be_listed_are_a_line_each_and_the_first_code_in_order_is_the_runs() {
    let forbidden = vec![Fault::new(FaultKind::Forbidden, When::always().of(Operation::ListNetworks))];
    let empty = SimulatorConfig { networks: Vec::new(), ..account(HERE, "us-east-1") };
    let both =
        Organization::new(empty, SimulatorConfig { faults: forbidden, ..account(THERE, "eu-central-1") });
    let third = Scene::new(SimulatorConfig { session_token: None, ..account("33333333", "us-west-2") });
    let keys = third.simulator.credentials();
    let sources = both.scenes().map(|scene| Organization::source(scene, "\"all\"", ""));
    let own = format!(
        "[[source]]\nnetworks = [\"33333333\"]\nregion = \"us-west-2\"\nendpoint_url = \"{}\"\n",
        third.simulator.endpoint()
    );
    let job = |format: &str| {
        both.job(&[&sources[..], std::slice::from_ref(&own)].concat())
            .env("AWS_ACCESS_KEY_ID", &keys.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key)
            .replacing("--summary", format)
            .run()
            .exits(77)
    };
    let run = job("json");
    assert_eq!(tasks(&run), [json!([3, "33333333", "published", 0])]);
    let codes: Vec<_> = left_out(&run).into_iter().map(|(source, code, _)| (source, code)).collect();
    assert_eq!(codes, [(1, 78), (2, 77)]);
    let table = job("text").stdout;
    let output = both.first.path("").display().to_string();
    insta::assert_snapshot!(table.replace(&output, "[folder]/"));
}

#[test]
fn a_role_that_is_refused_in_one_account_costs_the_other_nothing() {
    let both = Organization::of_two_regions();
    let ring = KeyRing::new(vec![both.first.simulator.issue_credentials(1000)]);
    let sts = PlainServer::start(move |request| {
        assert!(request.contains("Credential=AKIDOFTHEFINANCEACCT/"), "as whoever runs the job: {request}");
        if request.contains("111111111111") && request.contains("ExternalId=first") {
            lent_role("AssumeRole", &ring.next(), crate::support::FAR)
        } else {
            sts_refusal(403, "AccessDenied", "Not authorized")
        }
    });
    let role = |scene: &Scene, account: &str, id: &str| {
        let source = Organization::source(scene, "\"all\"", &format!("external_id = \"{id}\""));
        let region = scene.simulator.region();
        source.replace(
            &format!("profile = \"{region}\""),
            &format!("region = \"{region}\"\nrole_arn = \"arn:aws:iam::{account}:role/reader\""),
        )
    };
    let sources = [role(&both.first, "111111111111", "first"), role(&both.second, "222222222222", "second")];
    let run = both
        .job(&sources)
        .env("AWS_ACCESS_KEY_ID", "AKIDOFTHEFINANCEACCT")
        .env("AWS_SECRET_ACCESS_KEY", "secret-of-the-finance-account")
        .env("AWS_ENDPOINT_URL_STS", &sts.url())
        .run()
        .exits(77);
    both.assert_published(&both.first, HERE);
    assert_eq!(tasks(&run), [json!([1, HERE, "published", 0])]);
    let [(2, 77, message)] = &left_out(&run)[..] else { panic!("one source is left out: {}", run.stdout) };
    assert!(message.contains("arn:aws:iam::222222222222:role/reader cannot be assumed"), "{message}");
    assert_eq!(run.summary()["failed_sources"][0]["role_arn"], "arn:aws:iam::222222222222:role/reader");
    let regions = sts.seen().into_iter().map(|request| request.contains("/eu-central-1/sts/aws4_request"));
    assert!(
        regions.clone().any(|second| second) && regions.clone().any(|second| !second),
        "each in its region"
    );
}

#[test]
fn a_network_of_two_sources_is_refused_before_any_walk_and_both_are_named() {
    let twice = || account(HERE, "us-east-1");
    let both = Organization::new(twice(), SimulatorConfig { region: "eu-central-1".to_owned(), ..twice() });
    for networks in [format!("[\"{HERE}\"]"), "\"all\"".to_owned()] {
        let sources = [
            Organization::source(&both.first, &networks, ""),
            Organization::source(&both.second, "\"all\"", ""),
        ];
        let error = both.job(&sources).run().exits(2).error();
        let named = "network 11111111 is one of source 1 (us-east-1, profile us-east-1) and of source 2 (eu-central-1, \
                     profile eu-central-1)";
        assert!(error.starts_with(named), "{error}");
    }
    assert_eq!(both.scenes().map(pages), [0, 0]);
    both.output().assert_holds_no_data();
}

#[test]
fn networks_are_picked_among_all_sources_and_one_that_none_has_is_said() {
    let both = Organization::of_two_regions();
    let run = both.whole().args(["--network", THERE]).run().exits(0);
    assert_eq!(tasks(&run), [json!([2, THERE, "published", 0])]);
    assert_eq!(pages(&both.first), 0);

    let run = both.whole().args(["--network", THERE, "--network", "44444444"]).run().exits(78);
    assert_eq!(tasks(&run), [json!([2, THERE, "unchanged", 0]), json!([1, "44444444", "failed", 78])]);
    assert!(run.stdout.contains("no source of the job has it"), "{}", run.stdout);

    let lists = [
        Organization::source(&both.first, &format!("[\"{HERE}\"]"), ""),
        Organization::source(&both.second, &format!("[\"{THERE}\"]"), ""),
    ];
    let asked = both.first.simulator.stats().connections;
    let run = both.job(&lists).args(["--network", THERE]).run().exits(0);
    assert_eq!(tasks(&run), [json!([2, THERE, "unchanged", 0])], "its number is that of the job file");
    assert_eq!(both.first.simulator.stats().connections, asked, "the other source is not even connected to");
}

#[test]
fn flags_and_variables_that_would_make_all_sources_the_same_end_with_2() {
    let both = Organization::of_two_regions();
    let flag = both.whole().args(["--region", "us-east-1"]).run().exits(2).error();
    assert!(
        flag.contains("--region would make all sources of the job the same; set `region` in each"),
        "{flag}"
    );
    let variable = both.whole().env("WICKR_GUEST_EXPORT_NETWORK", "all").run().exits(2).error();
    assert!(variable.contains("--network all would make all sources of the job the same"), "{variable}");
    let region = Organization::source(&both.first, "\"all\"", "").replace("us-east-1", "nowhere");
    let sources = [region, Organization::source(&both.second, "\"all\"", "")];
    let error = both.job(&sources).run().exits(2).error();
    assert!(error.starts_with("source 1: no AWS region is configured"), "{error}");
    assert_eq!(both.scenes().map(|scene| scene.simulator.stats().connections), [0, 0]);
}

/// Two accounts, of which the first refuses an operation for its rate, however often it is asked.
fn throttled(operation: Operation) -> Organization {
    let faults = vec![Fault::new(FaultKind::Throttled, When::always().of(operation))];
    Organization::new(
        SimulatorConfig { faults, ..account(HERE, "us-east-1") },
        account(THERE, "eu-central-1"),
    )
}

#[test]
fn a_source_that_is_throttled_takes_neither_turns_nor_rate_from_another() {
    let both = throttled(Operation::ListGuestUsers);
    // One turn, which the throttled source never gives back.
    let run = both.whole().args(["--deadline", "4s", "--concurrency", "1"]).run().exits(75);
    assert_eq!(tasks(&run), [json!([1, HERE, "failed", 75]), json!([2, THERE, "published", 0])]);
    assert_eq!(both.second.simulator.stats().throttled, 0);
    both.assert_published(&both.second, THERE);
}

#[test]
fn a_source_whose_networks_are_not_known_in_a_part_of_the_time_is_gone_on_without() {
    let both = throttled(Operation::ListNetworks);
    let run = both.whole().args(["--deadline", "8s"]).run().exits(75);
    assert_eq!(tasks(&run), [json!([2, THERE, "published", 0])]);
    let codes: Vec<_> = left_out(&run).into_iter().map(|(source, code, _)| (source, code)).collect();
    assert_eq!(codes, [(1, 75)]);
}

#[test]
fn a_network_whose_name_is_not_known_in_a_part_of_the_time_is_exported_without_it() {
    let both = throttled(Operation::GetNetwork);
    let sources = [
        Organization::source(&both.first, &format!("[\"{HERE}\"]"), ""),
        Organization::source(&both.second, "\"all\"", ""),
    ];
    let run = both.job(&sources).args(["--deadline", "12s"]).run().exits(0);
    assert_eq!(tasks(&run), [json!([1, HERE, "published", 0]), json!([2, THERE, "published", 0])]);
    both.assert_published(&both.first, HERE);
}

#[test]
fn simulated_and_real_sources_are_never_mixed() {
    let both = Organization::of_two_regions();
    let real = PlainServer::start(|_| {
        PlainAnswer::ok(&json!({ "networks": [{
            "networkId": "33333333", "networkName": "Real", "awsAccountId": "333333333333",
            "networkArn": "arn:aws:wickr:us-east-1:333333333333:network/33333333",
            "standing": 1, "accessLevel": "STANDARD",
        }]}))
    });
    let own = Organization::source(&both.second, "\"all\"", "")
        .replace(&both.second.simulator.endpoint(), &real.url());
    let error = both.job(&[Organization::source(&both.first, "\"all\"", ""), own]).run().exits(2).error();
    assert!(
        error.contains(
            "is of the kind simulator, and source 2 (eu-central-1, profile eu-central-1) of the kind wickr"
        ),
        "{error}"
    );
    assert_eq!(pages(&both.first), 0);
    both.output().assert_holds_no_data();
}

#[test]
fn an_interrupted_walk_is_gone_on_with_by_its_own_source_alone() {
    let long = |id: &str, region: &str, faults: Vec<Fault>| {
        let config = population(&[]);
        let lists = [(network(id), period(CLOSED), guests(1..=1050))];
        SimulatorConfig {
            population: wickr_guest_export::simulator::Population::explicit(lists),
            region: region.to_owned(),
            session_token: Some(format!("session-token-of-{region}")),
            faults,
            ..config
        }
    };
    let stalls = || vec![Fault::new(FaultKind::Stall, When::nth(8))];
    let interrupted = || {
        let both = Organization::new(account(HERE, "us-east-1"), long(THERE, "eu-central-1", stalls()));
        let exporter = both.whole();
        let child = exporter.spawn();
        both.second.wait_for_pages(8);
        while !both.output().is_published(HERE, CLOSED) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        tell(&child, Signal::TERM);
        exporter.finish(child).exits(75);
        both
    };

    // Its place in the job file is no part of what it is.
    let both = interrupted();
    let mut sources = both.scenes().map(|scene| Organization::source(scene, "\"all\"", ""));
    sources.reverse();
    let run = both.job(&sources).run().exits(0);
    assert_eq!(tasks(&run), [json!([2, HERE, "unchanged", 0]), json!([1, THERE, "published", 0])]);
    assert_eq!(both.output().manifest(THERE, CLOSED)["walk"]["resumed"], true);
    both.assert_published(&both.second, THERE);

    // The same network, elsewhere: what was read there is not believed here.
    let mut both = interrupted();
    both.second.becomes(long(THERE, "eu-central-1", Vec::new()));
    let run = both.whole().run().exits(0);
    assert!(run.stderr.contains("the endpoint"), "{}", run.stderr);
    assert_eq!(both.output().manifest(THERE, CLOSED)["walk"]["resumed"], false);
    both.assert_published(&both.second, THERE);
}

#[test]
fn a_dry_run_names_every_endpoint_and_every_source_that_would_be_left_out() {
    let forbidden = vec![Fault::new(FaultKind::Forbidden, When::always().of(Operation::ListNetworks))];
    let both = Organization::new(
        account(HERE, "us-east-1"),
        SimulatorConfig { faults: forbidden, ..account(THERE, "eu-central-1") },
    );
    let run = both.whole().args(["--dry-run"]).run().exits(77);
    assert!(run.stdout.contains(&format!("{HERE} {CLOSED} closed: walk and publish")), "{}", run.stdout);
    assert!(
        run.stdout.contains("failed: source 2 (eu-central-1, profile eu-central-1): listing"),
        "{}",
        run.stdout
    );
    for scene in both.scenes() {
        assert!(run.stdout.contains(&scene.simulator.endpoint()), "{}", run.stdout);
    }
    both.output().assert_holds_no_data();
}

#[test]
fn the_simulator_of_a_job_may_be_written_as_its_only_source() {
    let scene = Scene::new(small());
    let job = format!(
        "periods = [\"{CLOSED}\"]\nas_of = \"{AS_OF}\"\n[[source]]\nkind = \"simulator\"\n\
         networks = [\"{NETWORK}\"]\n[simulator]\nguests = 120\n"
    );
    scene.job(&job).run().exits(0);
    assert!(fs::exists(scene.output().manifest_path(NETWORK, CLOSED)).expect("a folder"));
}
