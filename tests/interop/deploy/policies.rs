//! The policies: well formed to an IAM and an S3, the README's own words, and no wider than they say.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::deploy;
use crate::python::Python;

const README: &str = include_str!("../../../README.md");

fn policy(name: &str) -> Value {
    let text = fs::read_to_string(deploy("iam").join(name)).expect(name);
    serde_json::from_str(&text).expect(name)
}

#[test]
fn iam_and_s3_take_every_policy() {
    let Some(python) = Python::for_test("the policies against moto") else { return };
    let home = TempDir::new().expect("a folder");
    let taken = python.json("policies.py", home.path(), [deploy("")], &[]);
    let files = ["iam", "storage"].map(|folder| fs::read_dir(deploy(folder)).expect("a folder").count());
    assert_eq!(taken.as_object().expect("names").len(), files.iter().sum::<usize>(), "{taken}");
}

#[test]
fn the_policy_of_the_api_is_the_one_of_the_readme() {
    let (_, shown) = README.split_once("```json\n").expect("a policy");
    let mut shown: Value = serde_json::from_str(shown.split_once("```").expect("its end").0).expect("JSON");
    let statements = shown["Statement"].as_array_mut().expect("statements");
    for (statement, id) in statements.iter_mut().zip(["ReadGuests", "FindNetworks"]) {
        statement["Sid"] = json!(id);
    }
    assert_eq!(policy("api.json"), shown);
}

#[test]
fn no_policy_allows_more_than_its_purpose() {
    let finance = policy("finance-reader.json").to_string();
    for personal in ["guest_roster", "revisions", "manifests", "wickr/*", "wickr-state", "Put", "Delete"] {
        assert!(!finance.contains(personal), "{personal}: {finance}");
    }
    for name in ["api.json", "bucket.json", "kms.json", "finance-reader.json", "assume-cross-account.json"] {
        for statement in policy(name)["Statement"].as_array().expect("statements") {
            assert!(!statement["Action"].to_string().contains('*'), "{name}: {statement}");
            let all = statement["Resource"] == "*";
            assert!(!all || statement["Action"] == "wickr:ListNetworks", "{name}: {statement}");
        }
    }
}
