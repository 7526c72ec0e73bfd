//! The simulator read by boto3 and the AWS CLI, beside the exporter.
//!
//! The stock clients have only the environment that `simulate` prints, so what it prints is tested too.

use std::process::Command;

use chrono::Utc;
use serde_json::json;
use tempfile::TempDir;
use wickr_guest_export::period::BillingPeriod;

use crate::processes::{EXPORTER, Server, assert_code, export};
use crate::published::Expected;
use crate::python::Python;

#[test]
fn the_stock_clients_see_in_the_simulator_what_the_exporter_publishes() {
    let Some(python) = Python::for_test("boto3 and the AWS CLI against the simulator") else { return };
    let folder = TempDir::new().expect("a temporary folder");
    let home = folder.path();
    let output = home.join("output");
    // The simulator's count history goes by the real clock, so the months do too.
    let current = BillingPeriod::containing(Utc::now());
    let periods = [current.plus_months(-1).to_string(), current.to_string()];
    let networks = ["12345678", "01234567"];

    let mut command = Command::new(EXPORTER);
    command.args(["simulate", "--port", "0", "--guests", "730", "--seed", "7", "--quiet"]);
    command.args(["--networks", &networks.join(","), "--periods", &periods.join(",")]);
    command.env_clear().env("HOME", home);
    let simulator = Server::start(command);

    let mut expected = Expected::default();
    for network in networks {
        for period in periods.each_ref().map(String::as_str) {
            let read =
                |client| python.json("guests.py", home, [client, network, period], &simulator.environment);
            let seen = read("boto3");
            assert_eq!(seen, read("cli"), "boto3 and the CLI see different guests");
            let guests = seen["guests"].as_array().expect("a list of guests").len();
            assert!(guests > 100, "more than one page, or paging is not tested: {guests}");
            assert_eq!(seen["history"][period], guests.to_string(), "the count of {network} in {period}");
            expected.insert(network, period, &seen["guests"]);
        }
    }

    let [previous, current] = &periods;
    let selected =
        ["--network", networks[0], "--network", networks[1], "--period", previous, "--period", current];
    assert_code(&export(home, &output, &simulator.environment, selected), 0);
    expected.assert_published(python, home, &output);

    let refusals = python.json("guests.py", home, ["refusals", networks[0]], &simulator.environment);
    let invalid = |field| json!({"exception": "ValidationError", "status": 422, "fields": [field]});
    assert_eq!(
        refusals,
        json!({
            "unknown network": {"exception": "ResourceNotFoundError", "status": 404, "fields": []},
            "page of 0": invalid("maxResults"),
            "page of 101": invalid("maxResults"),
            "unknown direction": invalid("sortDirection"),
            "unknown token": {"exception": "BadRequestError", "status": 400, "fields": []},
            "unknown sort field": invalid("sortFields"),
        })
    );
}
