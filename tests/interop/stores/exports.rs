//! The real program, publishing to a bucket, with its state in another place of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wickr_guest_export::simulator::{
    Fault, FaultKind, Operation, Population, RunningSimulator, Simulator, SimulatorConfig, When,
};

use super::google::GoogleServer;
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

    /// Holds an invoice of so many guests against the output, and returns what it prints.
    fn reconcile(&self, invoiced: u32, code: i32) -> String {
        let invoice = self.server.folder.path().join("invoice.csv");
        std::fs::write(&invoice, format!("period,network,quantity\n{MONTH},{NETWORK},{invoiced}\n"))
            .expect("a file");
        let (out, invoice) = (self.server.url("out"), invoice.display().to_string());
        let compared = self.command(&["reconcile", &out, "--invoice", &invoice]).output().expect("it runs");
        assert_code(&compared, code);
        String::from_utf8(compared.stdout).expect("UTF-8")
    }

    /// Returns what `status` says of the only period.
    fn status(&self) -> Value {
        let output = self.server.url("out");
        let asked = ["--networks", NETWORK, "--period", MONTH, "--mark-closed", "--summary", "json"];
        let told = self.command(&[&["status", &output][..], &asked].concat()).output().expect("it runs");
        assert_code(&told, 0);
        let status: Value = serde_json::from_slice(&told.stdout).expect("JSON");
        status["periods"].as_array().and_then(|periods| periods.last()).expect("a period").clone()
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
    assert_eq!(scene.status()["closed"]["guests"], 500);

    scene.becomes(list(3..510, Vec::new()));
    let restated = scene.run(&[], 0);
    assert_eq!(
        (&restated["status"], &restated["added"], &restated["removed"]),
        (&"restated".into(), &10.into(), &3.into())
    );
    scene.verify();
    scene.assert_as_in_a_folder();
    let stale = scene.reconcile(500, 3);
    assert!(
        stale.contains("7 fewer than the 507 guests published; that is what was published before"),
        "{stale}"
    );
    scene.reconcile(507, 0);
    let told = scene.status();
    assert_eq!((&told["guests"], &told["closed"]["guests"]), (&507.into(), &500.into()), "closed once");

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
    compare_and_purge(&scene);
}

/// Revisions are compared and purged where they lie.
fn compare_and_purge(scene: &Scene) {
    let (out, lists) = (scene.server.url("out"), scene.server.url("lists"));
    let json = |arguments: &[&str]| -> Value {
        let ended = scene.command(&[arguments, &["--summary", "json"]].concat()).output().expect("it runs");
        assert_code(&ended, 0);
        serde_json::from_slice(&ended.stdout).expect("JSON")
    };
    let (first, second) = (format!("{MONTH}@1"), format!("{MONTH}@2"));
    let revisions = ["--from", &first, "--to", &second, "--network", NETWORK];
    let moved = json(&[&["diff", &out, "--lists", &lists], &revisions[..]].concat());
    assert_eq!(moved["sum"], serde_json::json!({"added": 10, "gone": 3, "kept": 497}));
    let listed: Vec<String> = scene.objects("lists/").into_keys().filter(|key| key.contains("r1_")).collect();
    assert_eq!(listed.len(), 4, "{listed:?}");

    let purged = json(&["purge", &out, "--rosters-before", "2025-10"]);
    assert_eq!((&purged["tasks"][0]["status"], &purged["files"]), (&"purged".into(), &8.into()));
    let rosters = |prefix: &str| scene.objects(prefix).keys().any(|key| key.contains("roster."));
    assert!(!rosters("out/guest_roster/") && !rosters("out/revisions/"));
    scene.verify();
    assert_eq!(scene.run(&[], 0)["status"], "unchanged");
    assert!(!rosters("out/"), "no later run brings them back");
    scene.verify();
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

    // Locks of the dead run end by themselves, which takes their term: a shorter one than users have.
    let mut next = scene.export(&["--lock-wait", "5m"]);
    next.env("FAILPOINTS", "lease-term=return(6)");
    let next = next.output().expect("it runs");
    let said = String::from_utf8_lossy(&next.stderr).into_owned();
    assert!(said.contains("lock of a run that renews it no longer is taken over"), "{said}");
    let task = task(&next, 0);
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
    let mut rosters = scene.objects("private/");
    assert!(rosters.remove(".rosters-of.json").is_some(), "whose they are stands there");
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

/// Side by side, as most of it is waiting.
#[test]
fn a_bucket_of_google_is_published_to_resumed_from_and_locked_as_a_folder_is() {
    let stories =
        [publish_restate_and_refuse, resume_after_a_kill, wait_for_each_other, find_silence_to_be_temporary];
    thread::scope(|scope| {
        for story in stories {
            scope.spawn(move || story(StoreServer::google()));
        }
    });
}

fn find_silence_to_be_temporary(server: StoreServer) {
    let scene = Scene::new(server, list(0..30, Vec::new()));
    let mut without_store = scene.export(&[]);
    let mut without_metadata = scene.export(&[]);
    without_store.env("GOOGLE_BASE_URL", "http://127.0.0.1:9");
    without_metadata.env_remove(GOOGLE_KEY).env("GCE_METADATA_HOST", "127.0.0.1:9");
    let begun = [without_store, without_metadata].map(|mut command| command.spawn().expect("it starts"));
    for (child, told) in begun.into_iter().zip(["at the moment", "the metadata server gives no token"]) {
        let output = child.wait_with_output().expect("it ends");
        assert_code(&output, 75);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(told) && said.contains("run again"), "{said}");
    }
    assert_eq!(scene.pages(), 0, "no page is asked for");
}

const GOOGLE_KEY: &str = "GOOGLE_APPLICATION_CREDENTIALS";

#[test]
fn google_is_asked_by_whoever_its_own_tools_would_be() {
    let scene = Scene::new(StoreServer::google(), list(0..30, Vec::new()));
    let (double, home) = (scene.server.double(), scene.server.folder.path());
    let key = std::fs::read_to_string(double.key_file(home)).expect("the key");
    let folders = ["login", "user", "workload", "acting"].map(|name| home.join(name));
    for folder in &folders {
        std::fs::create_dir(folder).expect("a folder");
    }
    let [login, user, workload, acting] = &folders;
    double.user_file(login, "1//refresh");
    let user = double.user_file(user, "1//refresh");
    let workload = double.federation_file(workload, GoogleServer::subject_token(), false);
    let acting = double.federation_file(acting, GoogleServer::subject_token(), true);
    let shown = |path: &Path| path.display().to_string();
    for (name, variables) in [
        ("key", vec![("GOOGLE_SERVICE_ACCOUNT_KEY", key)]),
        ("metadata", vec![("GCE_METADATA_HOST", double.host())]),
        ("login", vec![("CLOUDSDK_CONFIG", shown(login))]),
        ("user", vec![(GOOGLE_KEY, shown(&user))]),
        ("workload", vec![(GOOGLE_KEY, shown(&workload))]),
        ("acting", vec![(GOOGLE_KEY, shown(&acting))]),
        ("token", vec![("GOOGLE_BEARER_TOKEN", double.token())]),
    ] {
        let mut command = scene.export_to(&scene.server.url(name), &[]);
        // A proxy would have the metadata server's tokens, and reach nothing.
        command.env_remove(GOOGLE_KEY).env("HTTP_PROXY", "http://127.0.0.1:9").envs(variables);
        let task = task(&command.output().expect("it runs"), 0);
        assert_eq!(task["status"], "published", "{name}: {task}");
    }

    let before = double.tokens();
    double.shorten_tokens();
    let mut command = scene.export_to(&scene.server.url("renewed"), &[]);
    command.env_remove(GOOGLE_KEY).env("GCE_METADATA_HOST", double.host());
    assert_eq!(task(&command.output().expect("it runs"), 0)["status"], "published");
    assert!(double.tokens() > before + 5, "a token that nearly ends is used for nothing more");
}

#[test]
fn what_keeps_a_run_from_a_bucket_of_google_decides_its_exit_code_too() {
    let scene = Scene::new(StoreServer::google(), list(0..30, Vec::new()));
    let (double, home) = (scene.server.double(), scene.server.folder.path());
    let refused = |output: &str, variables: &[(&str, &str)], code: i32, told: &[&str]| {
        let mut command = scene.export_to(output, &[]);
        if variables.iter().any(|(name, _)| *name != "GOOGLE_BASE_URL") {
            command.env_remove(GOOGLE_KEY);
        }
        let output = command.envs(variables.iter().copied()).output().expect("it runs");
        assert_code(&output, code);
        let said = String::from_utf8_lossy(&output.stderr);
        for part in told {
            assert!(said.contains(part), "`{part}` in {said}");
        }
        assert!(!said.contains("refresh") && !said.contains("cluster's secret"), "{said}");
        assert_eq!(scene.pages(), 0, "no page is asked for");
    };
    let out = "gs://billing-exports/out";
    refused("gs://no-such-bucket/out", &[], 73, &["404 NoSuchBucket", "create it first"]);
    refused("gs://billing-exports/a#b", &[], 2, &["has a prefix with a character"]);
    refused(out, &[("NO_GCE_CHECK", "true")], 77, &["no credentials of Google", "see to the credentials"]);
    refused(
        out,
        &[("GOOGLE_BEARER_TOKEN", "ended")],
        77,
        &["401 AuthenticationRequired", "see to the credentials"],
    );
    refused(out, &[("GOOGLE_BASE_URL", "http://gcs.example.com")], 2, &["plain http to another machine"]);
    refused(out, &[("GCE_METADATA_HOST", "tokens.example.com")], 2, &["correct it"]);
    let nowhere = format!("{}/nothing", double.host());
    refused(out, &[("GCE_METADATA_HOST", &nowhere)], 77, &["the metadata server refuses a token: 40"]);

    let with = |path: PathBuf| path.display().to_string();
    let user = with(double.user_file(home, "1//refresh-of-yesterday"));
    let relogin = ["400 invalid_grant", "gcloud auth application-default login"];
    refused(out, &[(GOOGLE_KEY, &user)], 77, &relogin);
    let workload = with(double.federation_file(home, "cluster's secret", true));
    let pool = ["Security Token Service refuses a token: 400 invalid_grant", "workload identity pool"];
    refused(out, &[(GOOGLE_KEY, &workload)], 77, &pool);
    let absent = with(home.join("absent.json"));
    refused(out, &[(GOOGLE_KEY, &absent)], 2, &["cannot be read"]);
    for (file, told) in [
        (json!({ "type": "external_account_authorized_user" }), "only `service_account`"),
        (json!({ "no": "credentials" }), "only `service_account`"),
        (json!({ "type": "service_account", "private_key": "secret" }), "cannot be used; make a new one"),
        (json!({ "type": "authorized_user" }), "no file of Google's credentials"),
        (of_federation(&json!({ "environment_id": "aws1" })), "AWS's own signature"),
        (of_federation(&json!({ "executable": { "command": "x" } })), "neither a file nor a URL"),
        (of_federation(&json!({ "url": "http://idp.example.com" })), "plain http to another machine"),
    ] {
        let file = with(GoogleServer::credentials(home, "odd.json", &file));
        refused(out, &[(GOOGLE_KEY, &file)], 2, &[told]);
    }

    let mut export = scene.export(&[]);
    std::fs::write(home.join("job.toml"), "[output]\nkms_key = \"a\"\n").expect("a job");
    let output = export.output().expect("it runs");
    assert_code(&output, 2);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("set these things for the bucket"), "{said}");
}

fn of_federation(source: &Value) -> Value {
    json!({
        "type": "external_account", "audience": "a", "subject_token_type": "t",
        "token_url": "https://sts.googleapis.com/v1/token", "credential_source": source,
    })
}
