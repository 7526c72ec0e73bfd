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

/// Says whether a text is of a pattern, in which a star stands for anything, slashes too (IAM's `StringLike`).
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len()).any(|skipped| text.is_char_boundary(skipped) && matches(rest, &text[skipped..]))
        }),
    }
}

#[test]
fn no_policy_allows_more_than_its_purpose() {
    let finance = policy("finance-reader.json");
    let reads = |key: &str| {
        let arn = format!("arn:aws:s3:::CHANGE-ME-billing-exports/{key}");
        let resources = finance["Statement"][0]["Resource"].as_array().expect("resources");
        resources.iter().any(|resource| matches(resource.as_str().expect("an ARN"), &arn))
    };
    let task = "period=2026-10/network=12345678";
    for (key, may) in [
        ("wickr/summary/csv/guest_counts.csv".to_owned(), true),
        (format!("wickr/manifests/{task}/manifest.json"), true),
        (format!("wickr/revisions/{task}/r000001-1a2b3c4d/manifest.json"), true),
        (format!("wickr/revisions/{task}/r000001-1a2b3c4d/guest_roster.csv"), false),
        (format!("wickr/guest_roster/parquet/{task}/guest_roster.parquet"), false),
        (format!("wickr-state/walks/0123456789abcdef/{task}/cursor.json"), false),
    ] {
        assert_eq!(reads(&key), may, "{key}");
    }
    for statement in finance["Statement"].as_array().expect("statements") {
        assert!(
            ["s3:GetObject", "s3:ListBucket"].iter().any(|action| statement["Action"] == *action),
            "{statement}"
        );
    }
    let (counts, rosters) = (policy("bucket.json"), policy("roster-bucket.json"));
    for (counts, rosters) in counts["Statement"]
        .as_array()
        .expect("statements")
        .iter()
        .zip(rosters["Statement"].as_array().expect("statements"))
    {
        assert_eq!(counts["Action"], rosters["Action"], "both are published to alike");
        assert!(
            rosters["Resource"]
                .as_str()
                .expect("one ARN")
                .starts_with("arn:aws:s3:::CHANGE-ME-billing-rosters")
        );
    }
    for name in [
        "api.json",
        "bucket.json",
        "roster-bucket.json",
        "kms.json",
        "finance-reader.json",
        "assume-cross-account.json",
    ] {
        for statement in policy(name)["Statement"].as_array().expect("statements") {
            assert!(!statement["Action"].to_string().contains('*'), "{name}: {statement}");
            let all = statement["Resource"] == "*";
            assert!(!all || statement["Action"] == "wickr:ListNetworks", "{name}: {statement}");
        }
    }
}
