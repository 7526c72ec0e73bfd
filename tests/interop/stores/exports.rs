//! The real program, publishing to a bucket, with its state in another place of it.

use std::collections::BTreeMap;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use serde_json::Value;
use tokio::runtime::Runtime;
use wickr_guest_export::simulator::{
    Fault, FaultKind, Operation, Population, RunningSimulator, Simulator, SimulatorConfig, When,
};

use super::runtime;
use super::server::{BUCKET, StoreServer};
use crate::processes::{EXPORTER, assert_code};
use crate::python::Python;

const NETWORK: &str = "01234567";
/// Closed, and within what the count history covers.
const MONTH: &str = "2025-09";
const AS_OF: &str = "2025-11-02T09:00:00Z";

/// A bucket, a list of guests, and whoever exports the one to the other.
pub(super) struct Scene {
    runtime: Runtime,
    pub(super) server: StoreServer,
    simulator: RunningSimulator,
}

fn guests(numbers: std::ops::Range<u32>) -> Vec<(String, String)> {
    numbers.map(|number| (format!("{number:08x}"), format!("guest{number}@example.com"))).collect()
}

pub(super) fn list(numbers: std::ops::Range<u32>, faults: Vec<Fault>) -> SimulatorConfig {
    let (network, month) = (NETWORK.parse().expect("an id"), MONTH.parse().expect("a month"));
    SimulatorConfig {
        population: Population::explicit([(network, month, guests(numbers))]),
        now: Some(AS_OF.parse().expect("an instant")),
        faults,
        ..SimulatorConfig::default()
    }
}

impl Scene {
    pub(super) fn new(server: StoreServer, config: SimulatorConfig) -> Self {
        let runtime = runtime();
        let simulator = runtime.block_on(Simulator::start(config)).expect("a simulator");
        Self { runtime, server, simulator }
    }

    fn becomes(&mut self, config: SimulatorConfig) {
        self.simulator = self.runtime.block_on(Simulator::start(config)).expect("a simulator");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let keys = self.simulator.credentials();
        let mut command = Command::new(EXPORTER);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.server.folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL_WICKR", self.simulator.endpoint())
            .env("AWS_ACCESS_KEY_ID", &keys.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key)
            .env("AWS_REGION", self.simulator.region())
            .envs(self.server.environment())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(super) fn export_to(&self, output: &str, more: &[&str]) -> Command {
        let job = self.server.folder.path().join("job.toml");
        std::fs::write(&job, "[resume]\nrows = 300\n[request]\nattempts = 2\n").expect("a job");
        let job = job.display().to_string();
        let state = self.server.url("state");
        let mut arguments = vec!["run", &job, "--network", NETWORK, "--period", MONTH, "--as-of", AS_OF];
        arguments.extend(["--output", output, "--state", &state, "--summary", "json"]);
        arguments.extend(["--max-requests-per-second", "1000"]);
        arguments.extend(more);
        self.command(&arguments)
    }

    pub(super) fn export(&self, more: &[&str]) -> Command {
        self.export_to(&self.server.url("out"), more)
    }

    /// Exports, and returns what the summary says of the task.
    fn run(&self, more: &[&str], code: i32) -> Value {
        task(&self.export(more).output().expect("it runs"), code)
    }

    fn verify(&self) {
        let verified = self.command(&["verify", &self.server.url("out")]).output().expect("it runs");
        assert_code(&verified, 0);
    }

    fn wait_for_pages(&self, pages: u64) {
        while self.pages() < pages {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn pages(&self) -> u64 {
        self.simulator.stats().requests_of(Operation::ListGuestUsers)
    }

    /// Reads every object whose key begins so, by the rest of it.
    pub(super) fn objects(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        self.runtime.block_on(async {
            let store = self.server.store();
            let listed: Vec<_> = store.list(None).try_collect().await.expect("a listing");
            let mut objects = BTreeMap::new();
            for object in listed {
                if let Some(rest) = object.location.as_ref().strip_prefix(prefix) {
                    let bytes = store.get(&object.location).await.expect("an object").bytes().await;
                    objects.insert(rest.to_owned(), bytes.expect("its bytes").to_vec());
                }
            }
            objects
        })
    }

    /// The bucket holds what a folder would, byte for byte where no clock decides.
    fn assert_as_in_a_folder(&self) {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        assert_code(&self.export_to(&out.display().to_string(), &[]).output().expect("it runs"), 0);
        let objects = self.objects("out/guest_");
        assert_eq!(objects.len(), 4, "{:?}", objects.keys());
        for (key, bytes) in objects {
            assert!(std::fs::read(out.join(format!("guest_{key}"))).expect("a file") == bytes, "{key}");
        }
    }
}

fn task(output: &Output, code: i32) -> Value {
    assert_code(output, code);
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    summary["tasks"][0].clone()
}

fn finish(child: Child, code: i32) -> Value {
    task(&child.wait_with_output().expect("it ends"), code)
}

#[test]
fn a_bucket_is_published_to_as_a_folder_is() {
    let Some(python) = Python::for_test("publishing to S3 against moto") else { return };
    publish_restate_and_refuse(StoreServer::s3(python));
}

#[test]
fn a_bucket_that_checks_signatures_is_published_to_as_a_folder_is() {
    publish_restate_and_refuse(StoreServer::signed_s3());
}

fn publish_restate_and_refuse(server: StoreServer) {
    let mut scene = Scene::new(server, list(0..500, Vec::new()));
    assert_eq!(scene.run(&[], 0)["status"], "published");
    scene.verify();
    scene.assert_as_in_a_folder();
    assert_eq!(scene.run(&[], 0)["status"], "unchanged");

    scene.becomes(list(3..510, Vec::new()));
    let restated = scene.run(&[], 0);
    assert_eq!(
        (&restated["status"], &restated["added"], &restated["removed"]),
        (&"restated".into(), &10.into(), &3.into())
    );
    scene.verify();
    scene.assert_as_in_a_folder();

    scene.becomes(list(0..100, Vec::new()));
    let refused = scene.run(&[], 3);
    assert!(
        refused["message"].as_str().is_some_and(|message| message.contains("--allow-shrink")),
        "{refused}"
    );
    scene.verify();
    scene.run(&["--allow-shrink", &format!("{NETWORK}/{MONTH}")], 0);
    scene.verify();
    scene.assert_as_in_a_folder();
    assert_eq!(scene.objects("state/walks"), BTreeMap::new(), "state goes away");
}

#[test]
fn the_page_of_a_bucket_is_that_of_a_folder_and_its_summary_is_made_anew_there() {
    let months = [("2025-08", 0..300), (MONTH, 100..450)].map(|(month, numbers)| {
        (NETWORK.parse().expect("an id"), month.parse().expect("a month"), guests(numbers))
    });
    let population = Population::explicit(months);
    let scene =
        Scene::new(StoreServer::signed_s3(), SimulatorConfig { population, ..list(0..1, Vec::new()) });
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html").display().to_string();
    let (bucket, out) = (scene.server.url("out"), folder.path().join("out").display().to_string());
    let [of_bucket, of_folder] = [&bucket, &out].map(|output| {
        let export = scene.export_to(output, &["--period", "2025-08"]).output().expect("it runs");
        assert_code(&export, 0);
        let arguments = ["report", output, "--html", &page, "--rebuild-summary", "--as-of", AS_OF];
        assert_code(&scene.command(&arguments).output().expect("it runs"), 0);
        std::fs::read_to_string(&page).expect("a page").replace(output.as_str(), "[output]")
    });
    assert_eq!(of_bucket, of_folder);
    assert!(of_bucket.contains("<data value=\"150\">150</data>"), "new guests: {of_bucket}");
    scene.verify();
}

#[test]
fn a_run_that_was_killed_is_gone_on_with_from_the_bucket() {
    let Some(python) = Python::for_test("resuming from S3 against moto") else { return };
    resume_after_a_kill(StoreServer::s3(python));
}

#[test]
fn a_run_that_was_killed_is_gone_on_with_from_the_bucket_that_checks_signatures() {
    resume_after_a_kill(StoreServer::signed_s3());
}

fn resume_after_a_kill(server: StoreServer) {
    let stall = Fault::new(FaultKind::Stall, When::nth(8));
    let scene = Scene::new(server, list(0..1050, vec![stall]));
    let mut child = scene.export(&[]).spawn().expect("it starts");
    scene.wait_for_pages(8);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(scene.objects("state/walks").len(), 3, "two runs and a cursor");

    // Locks of the dead run end by themselves, which takes their term.
    let task = scene.run(&["--lock-wait", "5m"], 0);
    assert_eq!(scene.pages(), 8 + 5, "pages 7 to 11");
    assert_eq!(task["guests"], 1050);
    scene.verify();
    scene.assert_as_in_a_folder();
    assert_eq!(scene.objects("state/walks"), BTreeMap::new());
}

#[test]
fn of_two_runs_at_the_same_time_one_waits_and_finds_what_the_other_published() {
    let Some(python) = Python::for_test("locks in S3 against moto") else { return };
    wait_for_each_other(StoreServer::s3(python));
}

#[test]
fn of_two_runs_at_the_same_time_one_waits_in_the_bucket_that_checks_signatures_too() {
    wait_for_each_other(StoreServer::signed_s3());
}

fn wait_for_each_other(server: StoreServer) {
    let slow = Fault::new(FaultKind::ThrottledForSeconds(8), When::nth(2));
    let scene = Scene::new(server, list(0..300, vec![slow]));
    let first = scene.export(&[]).spawn().expect("it starts");
    scene.wait_for_pages(1);
    let hasty = scene.run(&["--lock-wait", "200ms"], 75);
    assert!(
        hasty["message"].as_str().is_some_and(|message| message.contains("is locked by process")),
        "{hasty}"
    );
    let second = scene.export(&["--lock-wait", "5m"]).spawn().expect("it starts");
    assert_eq!(finish(first, 0)["status"], "published");
    assert_eq!(finish(second, 0)["status"], "unchanged");
    let revisions: Vec<String> = scene.objects("out/revisions/").into_keys().collect();
    assert_eq!(revisions.iter().filter(|key| key.ends_with("/manifest.json")).count(), 1, "{revisions:?}");
    scene.verify();
}

#[test]
fn what_keeps_a_run_from_a_bucket_decides_its_exit_code_and_is_told_with_its_remedy() {
    let Some(python) = Python::for_test("refusals of S3 against moto") else { return };
    let scene = Scene::new(StoreServer::s3(python), list(0..30, Vec::new()));
    let refused = |change: &dyn Fn(&mut Command), output: &str, code: i32, told: &[&str]| {
        let mut command = scene.export_to(output, &[]);
        change(&mut command);
        let output = command.output().expect("it runs");
        assert_code(&output, code);
        let said = String::from_utf8_lossy(&output.stderr);
        for part in told {
            assert!(said.contains(part), "`{part}` in {said}");
        }
        assert_eq!(scene.pages(), 0, "no page is asked for");
    };
    let unchanged = |_: &mut Command| {};
    refused(&unchanged, "s3://no-such-bucket/out", 73, &["NoSuchBucket", "create it first"]);
    refused(&unchanged, "s3://billing-exports/a#b", 2, &["has a prefix with a character"]);
    let without_keys = |command: &mut Command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    };
    refused(&without_keys, "s3://billing-exports/out", 77, &["see to the credentials"]);
    let without_region = |command: &mut Command| {
        command.env_remove("AWS_REGION");
    };
    refused(
        &without_region,
        "s3://billing-exports/out",
        2,
        &["the region of the bucket is not known; set AWS_REGION, output.region"],
    );
    let nobody_listens = |command: &mut Command| {
        command.env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9");
    };
    refused(&nobody_listens, "s3://billing-exports/out", 75, &["at the moment", "run again"]);
    let in_the_clear = |command: &mut Command| {
        command.env("AWS_ENDPOINT_URL_S3", "http://s3.example.com");
    };
    refused(&in_the_clear, "s3://billing-exports/out", 2, &["plain http to another machine"]);
}

#[test]
fn a_key_that_the_bucket_does_not_believe_is_told_with_what_it_answered() {
    let scene = Scene::new(StoreServer::signed_s3(), list(0..30, Vec::new()));
    assert_eq!(scene.run(&[], 0)["status"], "published");
    let url = scene.server.url("out");
    for command in [&mut scene.command(&["verify", &url]), &mut scene.export(&[])] {
        let pages = scene.pages();
        let refused = command.env("AWS_SECRET_ACCESS_KEY", "another").output().expect("it runs");
        assert_code(&refused, 77);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(&url) && said.contains("SignatureDoesNotMatch"), "{said}");
        assert_eq!(scene.pages(), pages, "no page is asked for");
    }
}

#[test]
fn rosters_may_lie_where_whoever_reads_the_counts_cannot_read() {
    let Some(python) = Python::for_test("rosters in a place of their own against moto") else { return };
    let scene = Scene::new(StoreServer::s3(python), list(0..500, Vec::new()));
    let private = scene.server.url("private");
    let mut export = scene.export(&[]);
    let job = scene.server.folder.path().join("job.toml");
    std::fs::write(&job, format!("[output]\nroster_url = \"{private}\"\n")).expect("a job");
    assert_eq!(task(&export.output().expect("it runs"), 0)["status"], "published");
    let holds_guests = |key: &String| key.contains("guest_roster");
    assert!(!scene.objects("out/").keys().any(holds_guests), "{:?}", scene.objects("out/").keys());
    let rosters = scene.objects("private/");
    assert!(rosters.len() == 4 && rosters.keys().all(holds_guests), "{:?}", rosters.keys());

    let verify = |more: &[&str], code: i32| {
        let mut command = scene.command(&["verify", &scene.server.url("out")]);
        let verified = command.args(more).output().expect("it runs");
        assert_code(&verified, code);
        String::from_utf8(verified.stderr).expect("text")
    };
    assert!(!verify(&["--roster-url", &private], 0).contains("--roster-url"));
    let found = verify(&[], 65);
    assert!(found.contains("give it as --roster-url"), "{found}");
}

#[test]
fn revisions_are_kept_in_the_storage_class_of_the_job() {
    let Some(python) = Python::for_test("storage classes of S3 against moto") else { return };
    let scene = Scene::new(StoreServer::s3(python), list(0..5000, Vec::new()));
    let mut export = scene.export(&["--format", "csv"]);
    let job = scene.server.folder.path().join("job.toml");
    std::fs::write(&job, "[output]\nstorage_class = \"STANDARD_IA\"\n").expect("a job");
    assert_eq!(task(&export.output().expect("it runs"), 0)["status"], "published");
    let classes = scene.runtime.block_on(scene.server.storage_classes());
    for (key, class) in &classes {
        let is_classed = key.starts_with("out/revisions/") && key.ends_with("guest_roster.csv");
        assert_eq!(class == "STANDARD_IA", is_classed, "{key}: {class}");
    }
    assert!(classes.values().any(|class| class == "STANDARD_IA"), "{classes:?}");
}

#[test]
fn whatever_is_written_is_encrypted_with_the_key_of_the_job() {
    const KMS_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000000";
    let Some(python) = Python::for_test("KMS keys of S3 against moto") else { return };
    // As CSV more than is put at once.
    let named = |number: u32| (format!("{number:08x}"), format!("{number:01000}@example.com"));
    let (network, month) = (NETWORK.parse().expect("an id"), MONTH.parse().expect("a month"));
    let population = Population::explicit([(network, month, (0..5400).map(named).collect())]);
    let config = SimulatorConfig { population, ..list(0..1, Vec::new()) };
    let scene = Scene::new(StoreServer::s3(python), config);
    scene.runtime.block_on(scene.server.keep_versions());

    let mut export = scene.export(&["--format", "csv,parquet"]);
    let job = scene.server.folder.path().join("job.toml");
    let roster_url = scene.server.url("private");
    let written =
        format!("[resume]\nrows = 300\n[output]\nroster_url = \"{roster_url}\"\nkms_key = \"{KMS_KEY}\"\n");
    std::fs::write(&job, written).expect("a job");
    assert_eq!(task(&export.output().expect("it runs"), 0)["status"], "published");

    let asked = [scene.server.endpoint.as_str(), BUCKET];
    let told = python.json("encryption.py", scene.server.folder.path(), asked, &[]);
    let written = told.as_array().expect("an array");
    for object in written {
        assert_eq!((&object["method"], &object["kms_key"]), (&"aws:kms".into(), &KMS_KEY.into()), "{object}");
    }
    let kinds = [
        ("a revision in parts", "private/revisions/", "guest_roster.csv"),
        ("a current copy of it", "private/guest_roster/", ".csv"),
        ("a manifest", "out/manifests/", ".json"),
        ("a current copy", "out/guest_counts/", ".csv"),
        ("a lock of the output", "out/.locks/", ""),
        ("a lock of the state", "state/.locks/", ""),
        ("guests of a walk", "state/walks/", ".run"),
        ("a cursor", "state/walks/", ".json"),
        ("a trial", "out/.probe/", ""),
    ];
    let is_in_parts = |object: &Value| object["parts"].is_u64();
    for (kind, beginning, end) in kinds {
        let mut of_kind = written.iter().filter(|object| {
            object["key"].as_str().is_some_and(|key| key.starts_with(beginning) && key.ends_with(end))
        });
        let found =
            if kind.contains("in parts") { of_kind.any(is_in_parts) } else { of_kind.next().is_some() };
        assert!(found, "{kind} among {told:#}");
    }
}

#[test]
#[ignore = "takes Node.js and a hundred megabytes of packages"]
fn a_container_of_azure_is_published_to_as_a_folder_is() {
    publish_restate_and_refuse(StoreServer::azure());
}

#[test]
#[ignore = "takes Node.js and a hundred megabytes of packages"]
fn a_run_that_was_killed_is_gone_on_with_from_the_container_of_azure() {
    resume_after_a_kill(StoreServer::azure());
}

#[test]
#[ignore = "takes Node.js and a hundred megabytes of packages"]
fn of_two_runs_at_the_same_time_one_waits_in_azure_too() {
    wait_for_each_other(StoreServer::azure());
}
