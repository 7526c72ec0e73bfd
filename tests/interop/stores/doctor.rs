//! `doctor` of an output in a bucket: it tries what a run does there, and leaves nothing.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::exports::{Scene, list};
use super::server::StoreServer;
use crate::processes::{EXPORTER, assert_code};
use crate::python::Python;

/// Examines the job that a command would run.
fn examined(export: &Command, code: i32) -> Vec<(String, String, String)> {
    let mut doctor = Command::new(EXPORTER);
    let environment = export.get_envs().filter_map(|(name, value)| Some((name, value?)));
    doctor.arg("doctor").args(export.get_args().skip(1)).env_clear().envs(environment);
    let output = doctor.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("it runs");
    assert_code(&output, code);
    let diagnosis: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let checks = diagnosis["checks"].as_array().expect("checks").iter();
    checks.map(|check| (text(&check["name"]), text(&check["status"]), text(&check["message"]))).collect()
}

#[track_caller]
fn assert_told(checks: &[(String, String, String)], name: &str, status: &str, words: &str) {
    let found = checks.iter().find(|check| check.0 == name).expect(name);
    assert!(found.1 == status && found.2.contains(words), "{found:?}");
}

#[test]
fn a_bucket_with_a_key_is_tried_whole_and_left_as_it_was() {
    let Some(python) = Python::for_test("doctor against moto") else { return };
    let scene = Scene::new(StoreServer::s3(python), list(0..30, Vec::new()));
    let mut export = scene.export(&[]);
    // moto is STS as well.
    export.env("AWS_ENDPOINT_URL_STS", &scene.server.endpoint);
    let key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let job = scene.server.folder.path().join("job.toml");
    std::fs::write(&job, format!("[output]\nkms_key = \"{key}\"\n")).expect("a job");
    let checks = examined(&export, 0);
    assert_told(&checks, "stores: credentials", "passed", "arn:aws:sts::");
    assert_told(&checks, "credentials", "passed", "arn:aws:sts::");
    for place in ["output", "state"] {
        assert_told(&checks, place, "passed", "honours conditional puts");
        assert_told(&checks, &format!("{place}: files"), "passed", &format!("encrypted with {key}"));
        assert_told(&checks, &format!("{place}: lock"), "passed", "one process at a time");
    }
    assert_told(&checks, "temporary files: disk", "passed", "MiB are free");
    let left: Vec<String> = scene.objects("").into_keys().collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn what_keeps_a_run_from_a_bucket_is_found() {
    let Some(python) = Python::for_test("doctor against moto") else { return };
    let scene = Scene::new(StoreServer::s3(python), list(0..30, Vec::new()));
    let mut export = scene.export_to("s3://no-such-bucket/out", &[]);
    export.env("AWS_ENDPOINT_URL_STS", &scene.server.endpoint);
    let checks = examined(&export, 73);
    assert_told(&checks, "output", "failed", "create it first");
    assert_told(&checks, "output: lock", "not_tried", "");
    assert_told(&checks, "state", "passed", "can be written to");
    assert_told(&checks, "wickr:ListGuestUsers", "passed", "allowed");
}
