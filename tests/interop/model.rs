//! The exporter against a server made of botocore's service model, which lets botocore's signer decide on every
//! signature and records every request.
//!
//! The rosters that must be published come from the population itself and never through that server, so that a
//! defect of the server cannot hide one of the exporter.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use wickr_guest_export::period::PeriodSpelling;

use crate::processes::{Server, assert_code, export};
use crate::published::Expected;
use crate::python::{Python, months_ago};

/// The model server, the record that it writes, and the folders of one test.
pub(crate) struct ModelServer {
    pub(crate) server: Server,
    folder: TempDir,
}

impl ModelServer {
    pub(crate) fn start(python: &Python, arguments: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = python.script("model_server.py", folder.path());
        command.arg("--record").arg(folder.path().join("record.jsonl")).args(arguments);
        Self { server: Server::start(command), folder }
    }

    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// Returns what was asked of the server so far, in the order of the answers.
    pub(crate) fn record(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("record.jsonl")).expect("the record is there");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    fn recorded(&self, field: &str) -> BTreeSet<String> {
        let values = self.record().into_iter().map(|entry| entry[field].as_str().map(str::to_owned));
        values.map(Option::unwrap_or_default).collect()
    }
}

fn set<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
    values.map(str::to_owned).into()
}

#[test]
fn the_exporter_publishes_what_a_server_made_of_botocores_model_lists() {
    let Some(python) = Python::for_test("the exporter against botocore's model") else { return };
    let model = ModelServer::start(
        python,
        &[
            "--session-token",
            "temporary+credentials/have=a&token",
            "--fault",
            "ListNetworks:1:InternalServerError",
            "--fault",
            "ListGuestUsers:2:RateLimitError",
            "--fault",
            "ListGuestUsers:5:InternalServerError",
            "--fault",
            "GetGuestUserHistoryCount:1:RateLimitError",
        ],
    );
    let (home, output) = (model.home(), model.output());

    let mut expected = Expected::default();
    let truth = python.json("population.py", home, [""; 0], &[]);
    for roster in truth.as_array().expect("a list of rosters") {
        let text = |field: &str| roster[field].as_str().expect("a string");
        expected.insert(text("network_id"), text("billing_period"), &roster["guests"]);
    }

    let [current, previous, older, old] = [0, 1, 2, 4].map(|months| months_ago(months).to_string());
    let run = |arguments: &[&str]| export(home, &output, &model.server.environment, arguments);
    assert_code(&run(&["--network", "all", "--period", &previous]), 0);
    let others = ["--period", &old, "--period", &older, "--period", &current];
    assert_code(&run(&[&["--network", "12345678"], &others[..]].concat()), 0);
    expected.assert_published(python, home, &output);

    let manifest = |period: &str, network: &str| -> Value {
        let path = format!("manifests/period={period}/network={network}/manifest.json");
        serde_json::from_slice(&fs::read(output.join(path)).expect("a manifest")).expect("JSON")
    };
    for (period, confirmed_by) in [(&old, "second_walk"), (&previous, "control_total")] {
        assert_eq!(manifest(period, "12345678")["counts"]["confirmed_by"], confirmed_by, "{period}");
    }
    let source = &manifest(&previous, "12345678")["source"];
    assert_eq!(source["kind"], "wickr", "a server that does not call itself a simulator");
    assert_eq!(source["network_name"], "Acme, \"Süd\" & Söhne");

    assert_eq!(model.recorded("signature"), set(["valid"]));
    let record = model.record();
    assert_every_request_keeps_to_the_model(&record, &old);
    assert_every_injected_error_was_met_and_tried_again(&record);
}

/// The record holds no request that the model does not know, and every list was asked for as DESIGN.md says.
fn assert_every_request_keeps_to_the_model(record: &[Value], uncounted: &str) {
    let asked = ["GetGuestUserHistoryCount", "GetNetwork", "ListGuestUsers", "ListNetworks"];
    for entry in record {
        assert_eq!(entry["problems"], json!([]), "{entry}");
        assert!(asked.iter().any(|operation| entry["operation"] == *operation), "{entry}");
    }
    let lists = record.iter().filter(|entry| entry["operation"] == "ListGuestUsers");
    for entry in lists.clone() {
        let parameters = &entry["parameters"];
        assert_eq!(parameters["maxResults"], 100, "{entry}");
        assert_eq!(parameters["sortFields"], "username", "{entry}");
        assert!(parameters["sortDirection"].is_string(), "a direction, and no default: {entry}");
        assert!(parameters["billingPeriod"].is_string(), "{entry}");
        assert!(parameters["username"].is_null(), "a filtered walk is never published: {entry}");
    }
    let uncounted = lists.filter(|entry| entry["parameters"]["billingPeriod"] == uncounted);
    let directions = uncounted.filter_map(|entry| entry["parameters"]["sortDirection"].as_str());
    assert_eq!(
        directions.collect::<BTreeSet<_>>(),
        ["ASC", "DESC"].into(),
        "a month without a count is walked both ways"
    );
    let underscored = months_ago(1).spelled(PeriodSpelling::Underscore);
    assert!(
        record.iter().any(|entry| entry["parameters"]["billingPeriod"] == underscored),
        "an empty month is asked for in its other spelling before it is believed"
    );
}

/// The record holds each injected error once, and the same request answered later.
fn assert_every_injected_error_was_met_and_tried_again(record: &[Value]) {
    let mut met = Vec::new();
    for (position, entry) in record.iter().enumerate().filter(|(_, entry)| !entry["error"].is_null()) {
        met.push((entry["operation"].as_str().expect("a name"), entry["error"].as_str().expect("a code")));
        let answered_later = record[position..]
            .iter()
            .any(|later| later["target"] == entry["target"] && later["status"] == 200);
        assert!(answered_later, "never tried again: {entry}");
    }
    met.sort_unstable();
    assert_eq!(
        met,
        [
            ("GetGuestUserHistoryCount", "RateLimitError"),
            ("ListGuestUsers", "InternalServerError"),
            ("ListGuestUsers", "RateLimitError"),
            ("ListNetworks", "InternalServerError"),
        ]
    );
}

#[test]
fn botocores_signer_finds_a_wrong_secret_and_nothing_is_published() {
    let Some(python) = Python::for_test("a wrong secret against botocore's signer") else { return };
    let model = ModelServer::start(python, &[]);
    let environment = model.server.environment_with("AWS_SECRET_ACCESS_KEY", "wrong");
    let run = export(
        model.home(),
        &model.output(),
        &environment,
        ["--network", "12345678", "--period", "previous"],
    );
    assert_code(&run, 77);
    assert_eq!(model.recorded("signature"), set(["botocore computes another signature"]));
    assert!(!model.output().join("manifests").exists(), "a manifest is a publication");
}

#[test]
fn every_error_that_the_model_declares_ends_with_its_exit_code() {
    let Some(python) = Python::for_test("the errors of botocore's model") else { return };
    let model = ModelServer::start(python, &[]);
    for (network, error, code) in [
        ("99999999", "ResourceNotFoundError", 78),
        ("40000000", "BadRequestError", 65),
        ("40100000", "UnauthorizedError", 77),
        ("40300000", "ForbiddenError", 77),
        ("42200000", "ValidationError", 65),
        ("42900000", "RateLimitError", 75),
        ("50000000", "InternalServerError", 75),
    ] {
        let already = model.record().len();
        let run = export(
            model.home(),
            &model.output(),
            &model.server.environment,
            ["--network", network, "--period", "previous", "--deadline", "3s"],
        );
        assert_code(&run, code);
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(said.contains(network), "the message names the network {network}: {said}");
        for entry in &model.record()[already..] {
            assert_eq!((&entry["error"], &entry["signature"]), (&json!(error), &json!("valid")), "{entry}");
        }
        assert!(model.record().len() > already, "{error} was never asked for");
        if error == "ValidationError" {
            assert!(said.contains("billingPeriod"), "the reasons are shown: {said}");
        }
    }
    assert!(!model.output().join("manifests").exists(), "a manifest is a publication");
}

#[test]
fn the_model_server_lists_its_population_to_boto3() {
    let Some(python) = Python::for_test("boto3 against the model server") else { return };
    let model = ModelServer::start(python, &[]);
    let truth = python.json("population.py", model.home(), [""; 0], &[]);
    for roster in truth.as_array().expect("a list of rosters") {
        let [network, period] =
            ["network_id", "billing_period"].map(|field| roster[field].as_str().expect("text"));
        let seen =
            python.json("guests.py", model.home(), ["boto3", network, period], &model.server.environment);
        assert_eq!(seen["guests"], roster["guests"], "{network} in {period}");
    }
    assert_eq!(model.recorded("signature"), set(["valid"]));
}
