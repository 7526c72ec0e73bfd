//! Roles that moto's STS lends: which of its keys sign a request, and whether they sign it well, is decided by moto
//! and botocore alone.
//!
//! The API behind it is the server made of botocore's model, which serves nobody but whoever has assumed a role.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use arrow::array::AsArray as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use wickr_guest_export::dataset::{Dataset, parquet};

use crate::model::ModelServer;
use crate::processes::{assert_code, export};
use crate::python::{Python, months_ago};

/// What `token_service.py` sets up.
const ROLE: &str = "arn:aws:iam::123456789012:role/wickr-guest-reader";
const OTHER_ROLE: &str = "arn:aws:iam::123456789012:role/somebody-elses";
const EXTERNAL_ID: &str = "finance:close/2025";
const NETWORK: &str = "12345678";

type Variables = Vec<(String, String)>;

fn without(variables: &Variables, names: &[&str]) -> Variables {
    variables.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect()
}

fn value(variables: &Variables, name: &str) -> String {
    let found = variables.iter().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("{name} is set")).1.clone()
}

/// The roster that the population has of the network last month, as the scripts print it.
fn truth(python: &Python, home: &Path) -> BTreeSet<(String, String)> {
    let period = months_ago(1).to_string();
    let rosters = python.json("population.py", home, [""; 0], &[]);
    let mut of_network = rosters.as_array().expect("a list of rosters").iter();
    let roster = of_network.find(|it| it["network_id"] == NETWORK && it["billing_period"] == period.as_str());
    let text = |guest: &Value, field: &str| guest[field].as_str().expect("a string").to_owned();
    let guests = roster.expect("a roster")["guests"].as_array().expect("a list of guests").iter();
    guests.map(|guest| (text(guest, "username_hash"), text(guest, "username"))).collect()
}

/// Exports last month of a network into an output of its own, and holds it against the population.
fn assert_exported(
    model: &ModelServer,
    truth: &BTreeSet<(String, String)>,
    variables: &Variables,
    flags: &[&str],
) {
    let output = TempDir::new_in(model.home()).expect("a folder");
    let period = months_ago(1).to_string();
    let selected = ["--network", NETWORK, "--period", &period];
    assert_code(&export(model.home(), output.path(), variables, [&selected, flags].concat()), 0);
    let roster = format!("guest_roster/parquet/period={period}/network={NETWORK}/guest_roster.parquet");
    let file = File::open(output.path().join(roster)).expect("a roster");
    let mut published = BTreeSet::new();
    for batch in parquet::read(file, &Dataset::GuestRoster.schema()).expect("Parquet") {
        let batch = batch.expect("rows");
        let column = |name: &str| batch.column_by_name(name).expect("a column").as_string::<i32>().clone();
        let (hashes, usernames) = (column("username_hash"), column("username"));
        let rows =
            (0..batch.num_rows()).map(|row| (hashes.value(row).to_owned(), usernames.value(row).to_owned()));
        published.extend(rows);
    }
    assert!(published == *truth, "{} guests, and {} are published", truth.len(), published.len());
}

/// What is recorded since then was signed with the keys of one loan, and well.
fn assert_signed_by(model: &ModelServer, already: usize, caller: &Value) {
    let record = model.record();
    assert!(record.len() > already, "something was asked");
    for entry in &record[already..] {
        assert_eq!((&entry["signature"], &entry["caller"]), (&json!("valid"), caller), "{entry}");
    }
}

/// The loan of a role whose signed request named the region of the job.
fn loan(session: &str) -> Value {
    json!({"role": ROLE, "session": session, "external_id": EXTERNAL_ID, "region": "eu-central-1"})
}

fn failed(home: &Path, variables: &Variables, arguments: &[&str]) -> String {
    let output = home.join("refused");
    let selected = ["--network", NETWORK, "--period", "previous", "--deadline", "20s"];
    let run = export(home, &output, variables, [&selected, arguments].concat());
    assert_code(&run, 77);
    assert!(!output.join("manifests").exists(), "a manifest is a publication");
    String::from_utf8(run.stderr).expect("text")
}

#[test]
fn a_role_is_assumed_of_the_job_or_of_a_profile_as_its_trust_policy_wants_it() {
    let Some(python) = Python::for_test("assumed roles against moto") else { return };
    let model = ModelServer::start(python, &["--roles", "checked"]);
    let (variables, truth) = (&model.server.environment, truth(python, model.home()));

    let flags = ["--role-arn", ROLE, "--external-id", EXTERNAL_ID];
    assert_exported(&model, &truth, variables, &flags);
    assert_signed_by(&model, 0, &loan("wickr-guest-export"));

    let config = format!(
        "[profile finance]\naws_access_key_id = {}\naws_secret_access_key = {}\nregion = eu-central-1\n\
         [profile reader]\nsource_profile = finance\nrole_arn = {ROLE}\nexternal_id = {EXTERNAL_ID}\n\
         role_session_name = of-the-profile\nregion = eu-central-1\n",
        value(variables, "AWS_ACCESS_KEY_ID"),
        value(variables, "AWS_SECRET_ACCESS_KEY")
    );
    fs::create_dir_all(model.home().join(".aws")).expect("a folder");
    fs::write(model.home().join(".aws/config"), config).expect("a configuration");
    let bare = without(variables, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    let already = model.record().len();
    assert_exported(&model, &truth, &bare, &["--profile", "reader"]);
    assert_signed_by(&model, already, &loan("of-the-profile"));

    let already = model.record().len();
    // moto wraps these refusals otherwise than AWS does, so that there are no words of theirs to read.
    for (role, external_id) in [(ROLE, "finance:close/2024"), (OTHER_ROLE, EXTERNAL_ID)] {
        let arguments = ["--role-arn", role, "--external-id", external_id];
        let said = failed(model.home(), variables, &arguments);
        let named = format!("the role {role} cannot be assumed (status 403); allow");
        assert!(said.contains(&named) && said.contains("source.external_id"), "{said}");
    }
    for (name, wrong) in [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000")] {
        failed(model.home(), &model.server.environment_with(name, wrong), &flags);
    }
    assert_eq!(model.record().len(), already, "nobody asks the API who has no role");
}

#[test]
fn a_web_identity_is_changed_for_a_role() {
    let Some(python) = Python::for_test("a web identity against moto") else { return };
    let model = ModelServer::start(python, &["--roles", "open"]);
    let truth = truth(python, model.home());
    let token = model.home().join("token");
    fs::write(&token, "e30.e30.signature").expect("a token");
    let mut variables = without(&model.server.environment, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    for (name, value) in [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().expect("text")),
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_ROLE_SESSION_NAME", "pod"),
    ] {
        variables.push((name.to_owned(), value.to_owned()));
    }
    assert_exported(&model, &truth, &variables, &[]);
    // A web identity signs nothing, so that moto knows no region of it but its own.
    let of_the_pod = json!({"role": ROLE, "session": "pod", "external_id": null, "region": "us-east-1"});
    assert_signed_by(&model, 0, &of_the_pod);

    // The role of a pod may assume another one.
    let already = model.record().len();
    assert_exported(&model, &truth, &variables, &["--role-arn", ROLE, "--external-id", EXTERNAL_ID]);
    assert_signed_by(&model, already, &loan("wickr-guest-export"));
}
