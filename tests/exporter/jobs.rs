//! Job files, flags and variables: what is wrong is said before anything is asked, and what stands before what.

use std::fmt::Write as _;

use wickr_guest_export::simulator::{Operation, SimulatorConfig};

use crate::support::{
    AS_OF, CLOSED, NETWORK, OLD, PlainAnswer, PlainServer, SETTLING, Scene, network, small,
};

/// Takes out of a text what differs from run to run.
fn settled(scene: &Scene, text: &str) -> String {
    text.replace(&scene.path("").display().to_string(), "[folder]/")
        .replace(&scene.simulator.endpoint(), "[endpoint]")
}

#[test]
fn a_wrong_job_ends_with_2_before_any_request_and_names_key_and_remedy() {
    let scene = Scene::new(small());
    let whole = format!("periods = [\"{CLOSED}\"]\nsource = {{ networks = [\"{NETWORK}\"] }}\n");
    let mut said = String::new();
    for (wrong, text) in [
        ("an unknown key", format!("{whole}retries = 3\n")),
        ("a bad network", format!("periods = [\"{CLOSED}\"]\nsource.networks = [\"1234567\"]\n")),
        ("a bad period", format!("periods = [\"2025-13\"]\nsource.networks = [\"{NETWORK}\"]\n")),
        ("a period to come", format!("periods = [\"2025-12\"]\nsource.networks = [\"{NETWORK}\"]\n")),
        ("no period", format!("source.networks = [\"{NETWORK}\"]\n")),
        ("no network", format!("periods = [\"{CLOSED}\"]\n")),
        ("no rate", format!("concurrency = 0\n{whole}")),
        ("no key", format!("{whole}[output]\nroster = \"pseudonymous\"\n")),
        ("a key for nothing", format!("{whole}[output]\npseudonym_key_env = \"HOME\"\n")),
        ("a simulator of AWS", format!("{whole}[simulator]\nseed = 1\n")),
        ("no formats", format!("{whole}[output]\nformats = []\n")),
        (
            "an empty region",
            format!("periods = [\"{CLOSED}\"]\nsource = {{ networks = [\"{NETWORK}\"], region = \"\" }}\n"),
        ),
        ("an empty region of the bucket", format!("{whole}[output]\nregion = \"\"\n")),
        ("an empty place of rosters", format!("{whole}[output]\nroster_url = \"\"\n")),
        ("an empty place of state", format!("{whole}[resume]\nstate = \"\"\n")),
        ("an empty file of metrics", format!("{whole}[metrics]\nfile = \"\"\n")),
        ("no TOML", "periods = [\n".to_owned()),
    ] {
        let run = scene.job(&text).run().exits(2);
        write!(said, "# {wrong}\n{}\n\n", settled(&scene, &run.error())).expect("a string");
        assert_eq!(run.stdout, "");
    }
    let absent = scene.exporter().args(["run", "no/such/job.toml"]).run().exits(2);
    write!(said, "# no file\n{}\n", absent.error()).expect("a string");
    insta::assert_snapshot!(said);
    assert_eq!(scene.simulator.stats().connections, 0);
    scene.output().assert_holds_no_data();
}

#[test]
fn a_wrong_setting_outside_the_job_ends_with_2_before_any_request() {
    let scene = Scene::new(small());
    let mut said = String::new();
    let mut wrong = |what: &str, exporter: crate::support::Exporter| {
        write!(said, "# {what}\n{}\n\n", settled(&scene, &exporter.run().exits(2).error()))
            .expect("a string");
    };
    let export = || scene.export(CLOSED);
    wrong("plain http", export().args(["--endpoint-url", "http://wickr.example.com"]));
    wrong("no URL", export().args(["--endpoint-url", "wickr.example.com"]));
    wrong("keys in the URL", export().args(["--endpoint-url", "https://key:word@wickr.example.com"]));
    wrong("no region", export().without_env("AWS_REGION"));
    wrong("an odd region", export().args(["--region", "useast1"]));
    wrong("FIPS and an endpoint", export().env("AWS_USE_FIPS_ENDPOINT", "true"));
    wrong("no certificates", export().env("AWS_CA_BUNDLE", "no/such/bundle.pem"));
    wrong("a log filter", export().env("RUST_LOG", "a=b=c"));
    wrong("a store", export().replacing("--output", "ftp://host/billing"));
    wrong("no store", export().replacing("--output", ""));
    wrong("a slash too few", export().replacing("--output", "s3:/bucket/billing"));
    wrong("a home", export().args(["--state", "~/state"]));
    wrong("a day to come", export().replacing("--as-of", "2999-01-01T00:00:00Z"));
    wrong("all and one", export().args(["--network", "all"]));
    wrong("no speed", export().replacing("--max-requests-per-second", "0"));
    wrong("no time", export().args(["--deadline", "0s"]));
    insta::assert_snapshot!(said);
    assert_eq!(scene.simulator.stats().connections, 0);
}

#[test]
fn an_output_that_cannot_be_written_ends_with_73_before_any_request() {
    let scene = Scene::new(small());
    let file = scene.write("a-file", "");
    let run = scene.export(CLOSED).replacing("--output", &format!("{file}/out")).run().exits(73);
    insta::assert_snapshot!(settled(&scene, &run.error()));
    // It says of each folder that is created there that what it is in does not exist.
    let run = scene.export(CLOSED).replacing("--output", "/proc/wickr-guest-export").run().exits(73);
    assert!(run.error().contains("/proc/wickr-guest-export cannot be created"), "{}", run.error());
    assert_eq!(scene.simulator.stats().connections, 0);
}

#[test]
fn a_job_file_says_all_and_flags_stand_before_it() {
    let networks = ["11111111", NETWORK].map(network).to_vec();
    let scene = Scene::new(SimulatorConfig { networks, ..small() });
    let here = scene.simulator.endpoint();
    let output = scene.path("out").display().to_string();
    let job = format!(
        "periods = [\"{CLOSED}\"]\nas_of = \"{AS_OF}\"\nmax_requests_per_second = 1000\n\
         [source]\nnetworks = [\"11111111\"]\nregion = \"us-east-1\"\nendpoint_url = \"{here}\"\n\
         [output]\nurl = \"{output}\"\nformats = [\"csv\"]\n"
    );
    let job = scene.write("whole.toml", &job);
    let export = || {
        let bare = scene.exporter().without_env("AWS_ENDPOINT_URL_WICKR").without_env("AWS_REGION");
        bare.args(["run", &job, "--summary", "json"])
    };
    let task = export().run().exits(0).task();
    assert_eq!(
        (task["network_id"].as_str(), task["billing_period"].as_str()),
        (Some("11111111"), Some(CLOSED))
    );
    assert!(
        scene.output().files().iter().all(|file| !file.contains("parquet") || file.starts_with("summary"))
    );

    let flags = ["--network", NETWORK, "--period", OLD, "--format", "parquet", "--concurrency", "1"];
    let task = export().args(flags).run().exits(0).task();
    assert_eq!((task["network_id"].as_str(), task["billing_period"].as_str()), (Some(NETWORK), Some(OLD)));
    scene.assert_published_whole(OLD);
    let unreachable = export().args(["--endpoint-url", "http://127.0.0.1:9", "--deadline", "1s"]);
    unreachable.run().exits(75);
}

#[test]
fn every_flag_of_run_has_a_variable() {
    let scene = Scene::new(small());
    let job = scene.write("variables.toml", "periods = [\"2025-01\"]\n");
    let output = scene.path("out").display().to_string();
    let gateway = PlainServer::start(|_| PlainAnswer::ok(&""));
    let exporter =
        scene.exporter().without_env("AWS_ENDPOINT_URL_WICKR").without_env("AWS_REGION").args(["run"]);
    let all_but_keys = [
        ("JOB", job.as_str()),
        ("NETWORK", NETWORK),
        // Both are counted, so that each is one walk and one request at a time.
        ("PERIOD", "2025-09,2025-10"),
        ("OUTPUT", &output),
        ("FORMAT", "parquet"),
        ("ENDPOINT_URL", &scene.simulator.endpoint()),
        ("REGION", "us-east-1"),
        ("DEADLINE", "10m"),
        ("AS_OF", AS_OF),
        ("MAX_REQUESTS_PER_SECOND", "1000"),
        ("CONCURRENCY", "1"),
        ("SHARD", "0/1"),
        ("FRESH_FOR", "0s"),
        ("LOCK_WAIT", "1s"),
        ("ALLOW_SHRINK", "12345678/2025-09,12345678/2025-10"),
        ("ACCEPT_ZERO", "12345678/2025-09"),
        ("ON_MISMATCH", "fail"),
        ("SUMMARY", "json"),
        ("LOG_FORMAT", "json"),
        ("QUIET", "true"),
        ("DRY_RUN", "false"),
        ("METRICS_FILE", "variables.prom"),
        ("PUSHGATEWAY_URL", &gateway.url()),
    ];
    let set = |exporter: crate::support::Exporter, (name, value): &(&str, &str)| {
        exporter.env(&format!("WICKR_GUEST_EXPORT_{name}"), value)
    };
    let run = all_but_keys.iter().fold(exporter, set).without_env("RUST_LOG").run().exits(0);
    assert_eq!(run.summary()["tasks"].as_array().map(Vec::len), Some(2));
    assert_eq!(run.stderr, "", "quiet");
    assert!(scene.path("variables.prom").exists());
    assert!(gateway.seen()[0].starts_with("POST /metrics/job/variables "), "{:?}", gateway.seen());
    assert_eq!(scene.simulator.stats().max_concurrent, 1);
    scene.assert_published_whole(CLOSED);
    scene.assert_published_whole(SETTLING);

    // And each of them is read: a value that makes no sense is refused.
    for (name, _) in all_but_keys.iter().filter(|(name, _)| *name != "METRICS_FILE") {
        let nonsense = if *name == "OUTPUT" || *name == "ENDPOINT_URL" { "ftp://x" } else { "no sense" };
        let variable = format!("WICKR_GUEST_EXPORT_{name}");
        let export = scene.export(CLOSED);
        let export = match *name {
            // What the scene says by flags stands before variables; what it says by flags is left out here.
            "JOB" | "OUTPUT" | "AS_OF" | "MAX_REQUESTS_PER_SECOND" | "SUMMARY" | "NETWORK" | "PERIOD" => {
                let bare = scene.exporter().args(["run"]);
                let rest = all_but_keys.iter().filter(|(other, _)| other != name);
                rest.fold(bare, set)
            }
            _ => export,
        };
        let code = export.env(&variable, nonsense).run().code;
        assert_eq!(code, 2, "{variable}={nonsense}");
    }
    let profile = scene.export(CLOSED).without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY");
    let keys = scene.simulator.credentials();
    scene.write(
        ".aws/credentials",
        &format!(
            "[billing]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            keys.access_key_id, keys.secret_access_key
        ),
    );
    profile.env("WICKR_GUEST_EXPORT_PROFILE", "billing").run().exits(0);
}

#[test]
fn the_simulator_of_a_job_needs_neither_aws_nor_keys() {
    let scene = Scene::new(small());
    let job = "[source]\nkind = \"simulator\"\nnetworks = [\"12345678\"]\n[simulator]\nguests = 120\n";
    let bare = scene.job(job).without_env("AWS_ENDPOINT_URL_WICKR").without_env("AWS_REGION");
    let bare = bare.without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY");
    bare.args(["--period", "last:3"]).run().exits(0);
    assert_eq!(scene.simulator.stats().requests_of(Operation::ListGuestUsers), 0);
    let kind = scene.output().manifest(NETWORK, CLOSED)["source"]["kind"].clone();
    assert_eq!(kind, "simulator");
}

#[test]
fn a_period_to_come_can_be_exported_of_the_simulator_alone() {
    let scene = Scene::new(small());
    let job = "[source]\nkind = \"simulator\"\nnetworks = [\"12345678\"]\n[simulator]\nguests = 20\n";
    let run = scene.job(job).args(["--period", "current"]).replacing("--as-of", "2999-05-05T00:00:00Z").run();
    assert_eq!(run.exits(0).task()["billing_period"], "2999-05");
}

#[test]
fn a_switch_is_thrown_by_a_variable_as_people_write_it() {
    let scene = Scene::new(small());
    for value in ["1", "true", "yes", "on"] {
        let run = scene.export(CLOSED).env("WICKR_GUEST_EXPORT_DRY_RUN", value).run().exits(0);
        assert!(run.stdout.contains("Dry run"), "{value}: {}", run.stdout);
    }
    scene.export(CLOSED).env("WICKR_GUEST_EXPORT_DRY_RUN", "0").run().exits(0);
    assert!(scene.output().is_published(NETWORK, CLOSED));
}
