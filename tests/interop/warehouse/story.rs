//! The story that each engine has to get right: loaded twice, closed, restated, damaged, lost, mended, purged, and
//! published anew from the start.
//!
//! A roster that is not there is never taken for a purged one: that is refused wherever it is tried, whether a file was
//! lost or the loader looks in the wrong place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wickr_guest_export::simulator::{Population, RunningSimulator, Simulator, SimulatorConfig};

use crate::processes::{EXPORTER, assert_code, export};
use crate::python::Python;
use crate::stores::server::{KEY_ID, SECRET_KEY, StoreServer};

/// One that an engine takes for a number, and loses its zero, unless it is told that it is none.
const ZERO: &str = "01234567";
const OTHER: &str = "12345678";
/// Nobody has it: what is tried and never published.
const UNKNOWN: &str = "87654321";
const OLDEST: &str = "2025-08";
const OLDER: &str = "2025-09";
const LATEST: &str = "2025-10";
/// The revisions after the restatement that the stories have in common.
const RESTATED: [((&str, &str), u32); 2] = [((LATEST, ZERO), 2), ((LATEST, OTHER), 2)];
/// The revisions after the two that are damaged and mended.
const MENDED: [((&str, &str), u32); 4] = [RESTATED[0], RESTATED[1], ((OLDER, ZERO), 2), ((OLDER, OTHER), 2)];

/// Names that break a loader: of lines, of quotes, of escapes, of formulas, of formats.
const NAMES: [&str; 14] = [
    "two\nlines",
    "return\r\nand tab\t",
    "a \"quoted\" one",
    "it's, with a comma",
    "back\\slash \\n \\\\",
    "\\N",
    "NULL",
    "",
    " blanks ",
    "=HYPERLINK(\"http://example.com\")",
    "Zoë 日本語 🦀",
    "\u{202e}right to left",
    "nothing\0within",
    "$$; DROP TABLE guest_roster; --",
];

/// Username by hash.
type Guests = BTreeMap<String, String>;
/// Guests by period and network.
type Lists = BTreeMap<(&'static str, &'static str), Guests>;

fn guests(numbers: impl IntoIterator<Item = usize>) -> Guests {
    let guest = |number: usize| {
        let name = NAMES[number % NAMES.len()];
        // The name of the first ones is the hostile one alone.
        let name = if number < NAMES.len() { name.to_owned() } else { format!("{name}{number}") };
        (format!("+/{number:08x}=é'"), name)
    };
    numbers.into_iter().map(guest).collect()
}

/// Whoever publishes, and whoever loads what is published.
struct Story {
    /// Before the folder that it keeps its warehouse in, so that it ends before that goes away.
    loader: Loader,
    runtime: Runtime,
    folder: TempDir,
    /// Where it publishes to, if not to a folder.
    bucket: Option<StoreServer>,
    lists: Lists,
    /// How the engine writes a NUL, if it cannot hold one.
    nul: &'static str,
}

/// A process that loads when told to.
struct Loader {
    process: Child,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Loader {
    fn drop(&mut self) {
        // At the end of its stdin it closes its warehouse; some have processes of their own to end.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// What a reader sees after a load.
struct Seen(Value);

impl Seen {
    fn rows(&self, table: &str) -> &[Value] {
        self.0[table].as_array().expect("rows")
    }

    /// The columns of each row of `guest_counts_current` that the story decides.
    fn counts(&self) -> Vec<[Value; 6]> {
        let columns = ["billing_period", "network_id", "status", "period_state", "guest_count", "revision"];
        let mut rows: Vec<_> = self.rows("guest_counts_current").iter().collect();
        rows.sort_by_key(|row| (row["billing_period"].to_string(), row["network_id"].to_string()));
        rows.into_iter().map(|row| columns.map(|column| row[column].clone())).collect()
    }

    fn assert_same_tables(&self, other: &Self) {
        for table in ["guest_roster", "guest_counts", "guest_counts_current", "load_state"] {
            assert_eq!(self.rows(table), other.rows(table), "{table}");
        }
    }
}

impl Story {
    fn new(python: &Python, engine: &str, nul: &'static str, bucket: Option<StoreServer>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let warehouse = folder.path().join("warehouse");
        fs::create_dir(&warehouse).expect("a folder");
        let mut command = python.script("warehouse/loads.py", folder.path());
        command.arg(engine).arg(output_of(&folder, bucket.as_ref())).arg(warehouse);
        command.envs(store_environment(bucket.as_ref()));
        // Some engines talk a lot, most of all of the load that is to fail.
        let log = File::create(folder.path().join("log")).expect("a file");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut process = command.spawn().expect("the loader starts");
        let stdout = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut lists = Lists::new();
        for (position, period) in [OLDEST, OLDER, LATEST].into_iter().enumerate() {
            lists.insert((period, ZERO), guests(position..40 + position));
            lists.insert((period, OTHER), guests(0..20 - position));
        }
        let runtime = Runtime::new().expect("a runtime");
        Self { loader: Loader { process, stdout }, runtime, folder, bucket, lists, nul }
    }

    /// Returns the folder that is published to.
    fn out(&self) -> PathBuf {
        assert!(self.bucket.is_none(), "it is a bucket");
        self.output()
    }

    fn output(&self) -> PathBuf {
        output_of(&self.folder, self.bucket.as_ref())
    }

    fn simulator(&self, now: &str) -> RunningSimulator {
        let list = |(&(period, network), guests): (&(&str, &str), &Guests)| {
            let rows = guests.iter().map(|(hash, name)| (hash.clone(), name.clone())).collect();
            (network.parse().expect("an id"), period.parse().expect("a month"), rows)
        };
        let config = SimulatorConfig {
            population: Population::explicit(self.lists.iter().map(list)),
            now: Some(now.parse().expect("an instant")),
            ..SimulatorConfig::default()
        };
        self.runtime.block_on(Simulator::start(config)).expect("a simulator")
    }

    /// Exports all lists.
    fn publish(&self, now: &str, networks: &[&str], code: i32) {
        let simulator = self.simulator(now);
        let keys = simulator.credentials();
        let api = [
            ("AWS_ENDPOINT_URL_WICKR", simulator.endpoint()),
            ("AWS_ACCESS_KEY_ID", keys.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.clone()),
            ("AWS_REGION", simulator.region().to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let environment = [&store_environment(self.bucket.as_ref())[..], &api].concat();
        let mut arguments = vec!["--period", "2025-08..2025-10", "--as-of", now];
        arguments.extend(["--max-requests-per-second", "1000"]);
        arguments.extend(networks.iter().flat_map(|network| ["--network", *network]));
        assert_code(&export(self.folder.path(), &self.output(), &environment, arguments), code);
    }

    /// Some came, some went, one has another name, and one network has as many guests as before, others.
    fn restate(&mut self, now: &str) {
        let zero = self.lists.get_mut(&(LATEST, ZERO)).expect("a list");
        *zero = guests((5..40).chain(50..60));
        zero.insert("+/00000007=é'".to_owned(), "another \"name\"\n".to_owned());
        *self.lists.get_mut(&(LATEST, OTHER)).expect("a list") = guests(1..19);
        self.publish(now, &[ZERO, OTHER], 0);
    }

    /// Loads, with rosters from another place if there is one.
    fn load_from(&mut self, rosters: &str) -> Seen {
        let stdin = self.loader.process.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{rosters}").expect("the loader listens");
        let mut line = String::new();
        self.loader.stdout.read_line(&mut line).expect("the loader prints text");
        let log = || fs::read_to_string(self.folder.path().join("log")).expect("a log");
        let seen = serde_json::from_str(&line);
        Seen(seen.unwrap_or_else(|error| panic!("{error} in {line}: {}", log())))
    }

    /// Loads, and demands that it succeeds.
    #[track_caller]
    fn load(&mut self) -> Seen {
        let seen = self.load_from("");
        assert!(seen.0["error"].is_null(), "{}", seen.0["error"]);
        seen
    }

    /// Loads, and demands that it fails, names the network and the period, and leaves all tables as they were.
    #[track_caller]
    fn refuse(&mut self, rosters: &str, (period, network): (&str, &str), before: &Seen) {
        let seen = self.load_from(rosters);
        let error = seen.0["error"].as_str().expect("an error");
        assert!(error.contains(period) && error.contains(network), "{error}");
        seen.assert_same_tables(before);
    }

    /// Demands the guests of all lists but those of some periods, and nobody else.
    fn assert_rosters(&self, seen: &Seen, without: &[&str]) {
        let mut expected = Vec::new();
        for ((period, network), guests) in &self.lists {
            if !without.contains(period) {
                expected.extend(guests.iter().map(|(hash, name)| {
                    let name = name.replace('\0', self.nul);
                    json!({"billing_period": period, "network_id": network,
                           "username_hash": hash, "username": name})
                }));
            }
        }
        let sorted = |mut rows: Vec<Value>| {
            rows.sort_by_key(Value::to_string);
            rows
        };
        let found = sorted(seen.rows("guest_roster").to_vec());
        assert_eq!(found, sorted(expected));
    }

    /// Demands the count of each list, and that the view says in every column what the summary says.
    fn assert_counts(&self, seen: &Seen, states: [&str; 3], revisions: &[((&str, &str), u32)]) {
        let mut expected = Vec::new();
        for (period, state) in [OLDEST, OLDER, LATEST].into_iter().zip(states) {
            for network in [ZERO, OTHER] {
                let revision = revisions.iter().find(|(task, _)| *task == (period, network));
                let revision = revision.map_or(1, |(_, revision)| *revision);
                let guests = self.lists[&(period, network)].len();
                expected.push(
                    [json!(period), json!(network), json!("published"), json!(state)]
                        .into_iter()
                        .chain([json!(guests), json!(revision)])
                        .collect::<Vec<_>>(),
                );
            }
        }
        let counts = seen.counts().into_iter().filter(|row| row[1] != UNKNOWN);
        assert_eq!(counts.map(Vec::from).collect::<Vec<_>>(), expected);
        assert_eq!(seen.rows("guest_counts_current"), seen.rows("summary"));
    }

    fn roster_files(&self, period: &str, network: &str) -> Vec<PathBuf> {
        let below = |folder: &str| self.out().join(folder).join(format!("period={period}/network={network}"));
        let revisions = fs::read_dir(below("revisions")).expect("revisions");
        let mut folders: Vec<_> = revisions.map(|entry| entry.expect("an entry").path()).collect();
        folders.sort();
        folders.extend([below("guest_roster/parquet"), below("guest_roster/csv")]);
        let files = folders.iter().flat_map(|folder| ["parquet", "csv"].map(|format| (folder, format)));
        let files = files.map(|(folder, format)| folder.join(format!("guest_roster.{format}")));
        files.filter(|file| file.is_file()).collect()
    }

    /// Returns the Parquet files of the roster that is current, the revision's and the current copy.
    fn current_roster(&self, period: &str, network: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let files =
            self.roster_files(period, network).into_iter().rev().filter(|file| is_parquet(file)).take(2);
        files.map(|file| (file.clone(), fs::read(&file).expect("a roster"))).collect()
    }

    /// Purges the rosters of all periods before one.
    fn purge_before(&self, period: &str) {
        let output = self.output().display().to_string();
        let mut command = Command::new(EXPORTER);
        command.args(["purge", &output, "--rosters-before", period]).env_clear();
        command.env("HOME", self.folder.path()).envs(store_environment(self.bucket.as_ref()));
        assert_code(&command.output().expect("it runs"), 0);
    }

    /// Removes the current roster, as somebody might by mistake, and returns what restores it.
    fn lose(&self, period: &str, network: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let lost = self.current_roster(period, network);
        for (file, _) in &lost {
            fs::remove_file(file).expect("a roster");
        }
        lost
    }

    /// Copies all rosters to another place, and returns it.
    fn rosters_elsewhere(&self) -> PathBuf {
        let elsewhere = self.folder.path().join("elsewhere");
        for file in self.lists.keys().flat_map(|(period, network)| self.roster_files(period, network)) {
            let copy = elsewhere.join(file.strip_prefix(self.out()).expect("a file of the output"));
            fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
            fs::copy(file, copy).expect("a roster");
        }
        elsewhere
    }
}

/// Returns what `--output` says, and the place to edit of a recipe.
fn output_of(folder: &TempDir, bucket: Option<&StoreServer>) -> PathBuf {
    bucket.map_or_else(|| folder.path().join("out"), |server| server.url("some/billing").into())
}

/// What leads to the bucket, whoever publishes and whoever loads.
fn store_environment(bucket: Option<&StoreServer>) -> Vec<(String, String)> {
    let Some(server) = bucket else { return Vec::new() };
    let identity = [
        ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
    ];
    let variables = server.environment().into_iter().chain(identity);
    variables.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn is_parquet(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "parquet")
}

/// Puts a file in place of what stands there, if anything does; a current copy may be another name of the same one.
fn replace(file: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(file);
    fs::write(file, bytes).expect("a roster");
}

fn restore(files: &[(PathBuf, Vec<u8>)]) {
    for (file, bytes) in files {
        replace(file, bytes);
    }
}

fn tell(python: &Python, engine: &str, nul: &'static str) {
    let mut story = Story::new(python, engine, nul, None);

    // A first load, of two networks in three months, and of one that nobody has.
    story.publish("2025-11-02T09:00:00Z", &[ZERO, OTHER, UNKNOWN], 78);
    let first = story.load();
    story.assert_rosters(&first, &[]);
    story.assert_counts(&first, ["closed", "closed", "settling"], &[]);
    let missing = first.counts().into_iter().filter(|row| row[1] == UNKNOWN).collect::<Vec<_>>();
    assert_eq!(missing.len(), 3, "a gap is a row");
    assert!(missing.iter().all(|row| row[2] == "missing" && row[4].is_null()), "{missing:?}");
    assert_eq!(first.rows("load_state").len(), 6);

    // Again, with nothing new: nothing was loaded again either, as the times of the loads tell.
    let again = story.load();
    again.assert_same_tables(&first);

    // Those that are translated do not look.
    if engine != "translated" {
        tell_of_another_source(&mut story, &first);
    }

    // The month closes; its guests stay who they are, and are not loaded again.
    story.publish("2025-11-10T09:00:00Z", &[ZERO, OTHER], 0);
    let closed = story.load();
    story.assert_rosters(&closed, &[]);
    story.assert_counts(&closed, ["closed"; 3], &[]);
    assert_eq!(closed.rows("load_state"), first.rows("load_state"));

    story.restate("2025-11-11T09:00:00Z");
    let restated = story.load();
    story.assert_rosters(&restated, &[]);
    story.assert_counts(&restated, ["closed"; 3], &RESTATED);
    let kept = restated.rows("guest_counts").iter().filter(|row| row["billing_period"] == LATEST);
    assert_eq!(kept.filter(|row| row["status"] == "published").count(), 4, "what was billed on is kept");

    let mended = tell_of_damage(&mut story, &restated);
    tell_of_loss(&mut story, &mended);

    // Purged: the guests are gone from the warehouse too, and the counts stay.
    story.purge_before(OLDER);
    let purged = story.load();
    story.assert_rosters(&purged, &[OLDEST]);
    story.assert_counts(&purged, ["closed"; 3], &MENDED);
    story.load().assert_same_tables(&purged);

    // A publication whose manifest is gone leaves the summary, and not the warehouse.
    let manifest = format!("manifests/period={OLDER}/network={OTHER}/manifest.json");
    fs::remove_file(story.out().join(manifest)).expect("a manifest");
    story.refuse("", (OLDER, OTHER), &purged);
    story.publish("2025-11-13T09:00:00Z", &[UNKNOWN], 78);
    let left = story.load();
    assert_eq!(left.rows("summary").len(), purged.rows("summary").len() - 1);
    left.assert_same_tables(&purged);

    tell_of_a_new_start(&mut story, &left);
}

/// Numbers of AWS beside those of the simulator: one manifest among others, then all of them.
fn tell_of_another_source(story: &mut Story, before: &Seen) {
    let manifests = story.lists.keys().map(|(period, network)| {
        story.out().join(format!("manifests/period={period}/network={network}/manifest.json"))
    });
    let manifests: Vec<(PathBuf, Vec<u8>)> =
        manifests.map(|path| (path.clone(), fs::read(path).expect("a manifest"))).collect();
    for (path, bytes) in &manifests {
        let text = String::from_utf8(bytes.clone()).expect("text");
        let real = text.replace("\"kind\": \"simulator\"", "\"kind\": \"wickr\"");
        assert_ne!(real, text);
        replace(path, real.as_bytes());
        let seen = story.load_from("");
        let error = seen.0["error"].as_str().expect("an error");
        assert!(
            error.contains("numbers of simulator and wickr do not belong into the same tables"),
            "{error}"
        );
        seen.assert_same_tables(before);
    }
    restore(&manifests);
    story.load().assert_same_tables(before);
}

/// Two more restatements, the roster of the second one damaged, then not there: the load fails, and nothing of it is
/// seen.
fn tell_of_damage(story: &mut Story, before: &Seen) -> Seen {
    let first = story.current_roster(OLDER, OTHER).remove(0).1;
    *story.lists.get_mut(&(OLDER, ZERO)).expect("a list") = guests(2..50);
    *story.lists.get_mut(&(OLDER, OTHER)).expect("a list") = guests(3..30);
    story.publish("2025-11-12T09:00:00Z", &[ZERO, OTHER], 0);
    let whole = story.current_roster(OLDER, OTHER);
    for (file, bytes) in &whole {
        replace(file, &bytes[..bytes.len() / 2]);
    }
    let cut_short = story.load_from("");
    assert!(cut_short.0["error"].is_string());
    cut_short.assert_same_tables(before);
    for (file, _) in &whole {
        replace(file, &first);
    }
    story.refuse("", (OLDER, OTHER), before);
    story.lose(OLDER, OTHER);
    story.refuse("", (OLDER, OTHER), before);

    restore(&whole);
    let mended = story.load();
    story.assert_rosters(&mended, &[]);
    story.assert_counts(&mended, ["closed"; 3], &MENDED);
    mended
}

/// Rosters that are loaded and not there any more, or not where the loader looks: nobody purged them.
fn tell_of_loss(story: &mut Story, before: &Seen) {
    let lost = story.lose(LATEST, ZERO);
    story.refuse("", (LATEST, ZERO), before);
    restore(&lost);
    story.load().assert_same_tables(before);

    // A job that keeps its rosters elsewhere, and a loader that is told so, is not, or finds one too few there.
    let elsewhere = story.rosters_elsewhere();
    let elsewhere = elsewhere.to_str().expect("text");
    let found = story.load_from(elsewhere);
    assert!(found.0["error"].is_null(), "{}", found.0["error"]);
    found.assert_same_tables(before);
    let nowhere = format!("{}/nowhere", story.folder.path().display());
    story.refuse(&nowhere, (OLDEST, ZERO), before);
    for (file, _) in &lost {
        fs::remove_file(Path::new(elsewhere).join(file.strip_prefix(story.out()).expect("of the output")))
            .expect("a roster");
    }
    story.refuse(elsewhere, (LATEST, ZERO), before);
}

/// The output is made again from nothing, so its revisions are the first ones once more: one is of other guests, the
/// others of the same ones, in other files. Then it is all purged.
fn tell_of_a_new_start(story: &mut Story, before: &Seen) {
    fs::remove_dir_all(story.out()).expect("an output");
    *story.lists.get_mut(&(OLDEST, OTHER)).expect("a list") = guests(100..112);
    story.publish("2025-11-14T09:00:00Z", &[ZERO, OTHER], 0);
    let anew = story.load();
    story.assert_rosters(&anew, &[]);
    story.assert_counts(&anew, ["closed"; 3], &[]);
    let files = |seen: &Seen| {
        let rows = seen.rows("load_state").iter().map(|row| row["roster_file"].to_string());
        rows.collect::<BTreeSet<_>>()
    };
    assert!(files(&anew).is_disjoint(&files(before)), "other nonces");
    story.load().assert_same_tables(&anew);

    story.purge_before("2025-11");
    let purged = story.load();
    story.assert_rosters(&purged, &[OLDEST, OLDER, LATEST]);
    story.assert_counts(&purged, ["closed"; 3], &[]);
    story.load().assert_same_tables(&purged);
}

/// From a bucket, which lets in who signs. What differs is how files are named, listed and read; so a load that fails
/// half-way, which is the tables' affair, is left to the folder's story.
fn tell_from_a_bucket(engine: &str, nul: &'static str) {
    let mut story = Story::new(Python::with_engines(), engine, nul, Some(StoreServer::signed_s3()));

    story.publish("2025-11-10T09:00:00Z", &[ZERO, OTHER], 0);
    let first = story.load();
    story.assert_rosters(&first, &[]);
    story.assert_counts(&first, ["closed"; 3], &[]);
    story.load().assert_same_tables(&first);

    story.restate("2025-11-11T09:00:00Z");
    let restated = story.load();
    story.assert_rosters(&restated, &[]);
    story.assert_counts(&restated, ["closed"; 3], &RESTATED);

    // A bucket lists nothing, and no error, where there is none.
    let nowhere = story.bucket.as_ref().expect("a bucket").url("some/other");
    story.refuse(&nowhere, (OLDEST, ZERO), &restated);

    story.purge_before(OLDER);
    let purged = story.load();
    story.assert_rosters(&purged, &[OLDEST]);
    story.assert_counts(&purged, ["closed"; 3], &RESTATED);

    story.purge_before("2025-11");
    let all_purged = story.load();
    story.assert_rosters(&all_purged, &[OLDEST, OLDER, LATEST]);
    story.assert_counts(&all_purged, ["closed"; 3], &RESTATED);
}

#[test]
fn duckdb_holds_what_is_published_after_every_load() {
    let Some(python) = Python::for_test("loading into DuckDB") else { return };
    tell(python, "duckdb", "\0");
}

#[test]
#[ignore = "takes long for what is not run as it stands"]
fn what_is_common_to_redshift_snowflake_and_bigquery_leaves_the_same_tables() {
    let python = Python::for_test("loading as Redshift, Snowflake and BigQuery do");
    tell(python.expect("an environment"), "translated", "\0");
}

#[test]
#[ignore = "takes hundreds of megabytes of packages"]
fn clickhouse_holds_what_is_published_after_every_load() {
    tell(Python::with_engines(), "clickhouse", "\0");
}

#[test]
#[ignore = "takes PostgreSQL, which .ci/run installs, and hundreds of megabytes of packages"]
fn postgresql_holds_what_is_published_after_every_load() {
    tell(Python::with_engines(), "postgresql", "\u{2400}");
}

#[test]
#[ignore = "takes Java, which .ci/run installs, and hundreds of megabytes of packages"]
fn spark_holds_what_is_published_after_every_load() {
    tell(Python::with_engines(), "spark", "\0");
}

#[test]
#[ignore = "takes hundreds of megabytes of packages"]
fn duckdb_holds_what_is_published_in_a_bucket() {
    tell_from_a_bucket("duckdb", "\0");
}

#[test]
#[ignore = "takes hundreds of megabytes of packages"]
fn clickhouse_holds_what_is_published_in_a_bucket() {
    tell_from_a_bucket("clickhouse", "\0");
}

#[test]
#[ignore = "takes PostgreSQL, which .ci/run installs, and hundreds of megabytes of packages"]
fn postgresql_holds_what_is_published_in_a_bucket() {
    tell_from_a_bucket("postgresql", "\u{2400}");
}
