//! Metrics: what a run states of itself, that a failing one takes nothing back, and that none of it can hurt a run.
#![expect(clippy::float_cmp, reason = "what is written exactly is read exactly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::Signal;
use wickr_guest_export::simulator::{
    Fault, FaultKind, History, Operation, Population, SimulatorConfig, When,
};
use wickr_guest_export::telemetry::metrics::catalogue::METRICS;

use crate::support::{
    CLOSED, Exporter, NETWORK, OLD, OPEN, SETTLING, Scene, guests, network, period, population, small, tell,
};

const PREFIX: &str = "wickr_guest_export_";

/// Series by name without what all names begin with, labels and all.
type Series = BTreeMap<String, f64>;

/// Reads metrics as the text format wants them: each series once, behind the help and the type of its metric.
#[track_caller]
pub(crate) fn series(text: &str) -> Series {
    assert!(text.ends_with('\n'), "the last line is ended: {text:?}");
    let (mut series, mut described) = (Series::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            let (keyword, name) = (words.next().expect("a keyword"), words.next().expect("a name"));
            assert!(described.insert((keyword, name)), "{keyword} {name} comes once");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect(line);
        let metric = name.split('{').next().expect("a name");
        assert!(described.contains(&("HELP", metric)) && described.contains(&("TYPE", metric)), "{metric}");
        let name = name.strip_prefix(PREFIX).expect(name).to_owned();
        let previous = series.insert(name, value.parse().expect(line));
        assert_eq!(previous, None, "{line} comes once");
    }
    series
}

#[track_caller]
fn read(path: &Path) -> Series {
    series(&fs::read_to_string(path).expect("metrics"))
}

/// Returns the value of the only series of a metric.
#[track_caller]
fn of(series: &Series, name: &str, job: &str) -> f64 {
    let name = format!("{name}{{job_name=\"{job}\"}}");
    *series.get(&name).unwrap_or_else(|| panic!("{name} is not among {series:#?}"))
}

fn instant(text: &str) -> f64 {
    let instant: chrono::DateTime<chrono::Utc> = text.parse().expect("an instant");
    f64::from(u32::try_from(instant.timestamp()).expect("a day of this century"))
}

/// Prepares an export of periods as a job called `daily` that writes its metrics beside the output.
fn daily(scene: &Scene, periods: &str) -> (Exporter, std::path::PathBuf) {
    let job = scene.write("daily.toml", "[request]\nattempts = 2\n[metrics]\nfile = \"daily.prom\"\n");
    let output = scene.path("out").display().to_string();
    let pace = ["--as-of", crate::support::AS_OF, "--max-requests-per-second", "1000", "--summary", "json"];
    let export = scene.exporter().args(["run", &job, "--output", &output]).args(pace);
    (export.args(["--network", NETWORK, "--period", periods]), scene.path("daily.prom"))
}

#[test]
fn a_run_states_every_metric_in_a_file_that_everybody_may_read() {
    let scene = Scene::new(small());
    let (export, file) = daily(&scene, &format!("{CLOSED},{SETTLING},{OPEN}"));
    let run = export.run().exits(0);
    let text = fs::read_to_string(&file).expect("metrics");
    for metric in METRICS {
        assert!(text.contains(&format!("# TYPE {} gauge\n", metric.name)), "{}", metric.name);
    }
    let series = read(&file);
    let value = |name: &str| of(&series, name, "daily");
    assert_eq!((value("last_run_exit_code"), value("networks"), value("mismatches")), (0.0, 1.0, 0.0));
    assert_eq!(value("last_run_timestamp_seconds"), value("last_success_timestamp_seconds"));
    assert!(value("last_run_duration_seconds") > 0.0);
    let summary = run.summary();
    assert_eq!(summary["requests"].as_f64(), Some(value("last_run_requests")));
    assert_eq!((value("last_run_throttled_requests"), value("last_run_throttled_ratio")), (0.0, 0.0));
    for (status, tasks) in
        [("published", 3.0), ("restated", 0.0), ("unchanged", 0.0), ("kept", 0.0), ("failed", 0.0)]
    {
        assert!(
            series[&format!("last_run_tasks{{job_name=\"daily\",status=\"{status}\"}}")] == tasks,
            "{status}"
        );
    }
    for task in summary["tasks"].as_array().expect("tasks") {
        let month = task["billing_period"].as_str().expect("a month");
        let name = format!("guests{{job_name=\"daily\",network=\"{NETWORK}\",period=\"{month}\"}}");
        assert_eq!(task["guests"].as_f64(), series.get(&name).copied(), "{name}");
    }
    // October has ended and settles; the history covers 90 days from its beginning.
    assert_eq!(value("oldest_unclosed_period_end_timestamp_seconds"), instant("2025-11-01T00:00:00Z"));
    assert_eq!(value("history_horizon_timestamp_seconds"), instant("2025-12-30T00:00:00Z"));

    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o7777, 0o644);
    let beside = fs::read_dir(scene.path("")).expect("a folder").flatten().map(|entry| entry.file_name());
    let left: Vec<_> = beside.filter(|name| name.to_string_lossy().contains(".tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
    for (hash, username) in scene.simulator.expected(network(NETWORK), period(CLOSED)) {
        assert!(!text.contains(&hash) && (username.len() < 8 || !text.contains(&username)), "{username}");
    }
}

#[test]
fn a_run_that_fails_keeps_the_last_success_and_what_it_does_not_know() {
    let mut scene = Scene::new(small());
    let (export, file) = daily(&scene, &format!("{CLOSED},{SETTLING}"));
    export.run().exits(0);
    let before = read(&file);
    // Whoever reads the old file goes on reading the old file.
    let mut reader = BufReader::new(File::open(&file).expect("metrics"));
    let mut old = String::new();
    reader.read_line(&mut old).expect("a line");

    let faults = vec![Fault::new(FaultKind::Forbidden, When::always().of(Operation::ListNetworks))];
    scene.becomes(SimulatorConfig { faults, ..small() });
    let (export, _) = daily(&scene, &format!("{CLOSED},{SETTLING}"));
    export.replacing("--network", "all").run().exits(77);
    let after = read(&file);
    assert!(
        of(&after, "last_run_exit_code", "daily") == 77.0 && of(&after, "last_run_requests", "daily") == 1.0
    );
    assert_eq!(after["last_run_tasks{job_name=\"daily\",status=\"published\"}"], 0.0);
    let stands = |name: &&String| !name.starts_with("last_run_");
    assert!(before.keys().filter(stands).count() > 8);
    for name in before.keys().filter(stands) {
        assert_eq!(before.get(name), after.get(name), "{name} stands");
    }
    reader.read_to_string(&mut old).expect("the rest");
    assert_eq!(series(&old), before, "the old file was not touched");

    // A job that means nothing tells so much at least.
    let (export, _) = daily(&scene, "2999-01");
    export.run().exits(2);
    let series = read(&file);
    assert_eq!(of(&series, "last_run_exit_code", "daily"), 2.0);
    assert_eq!(
        before.get("last_success_timestamp_seconds{job_name=\"daily\"}"),
        series.get("last_success_timestamp_seconds{job_name=\"daily\"}")
    );
}

#[test]
fn a_job_that_never_succeeded_states_no_success_and_a_dry_run_nothing() {
    let faults = vec![Fault::new(FaultKind::Forbidden, When::always())];
    let scene = Scene::new(SimulatorConfig { faults, ..small() });
    let (export, file) = daily(&scene, CLOSED);
    export.clone().args(["--dry-run"]).run().exits(0);
    assert!(!file.exists());
    export.run().exits(77);
    let series = read(&file);
    assert!(!series.keys().any(|name| name.contains("last_success")), "{series:#?}");
    assert_eq!(series["last_run_tasks{job_name=\"daily\",status=\"failed\"}"], 1.0);
}

#[test]
fn a_month_is_closed_once_every_network_is_and_one_failure_does_not_reopen_it() {
    let mut scene = Scene::new(small());
    let oldest = |scene: &Scene, code: i32| {
        let (export, file) = daily(scene, &format!("{OLD},{CLOSED}"));
        export.run().exits(code);
        of(&read(&file), "oldest_unclosed_period_end_timestamp_seconds", "daily")
    };
    let forbidden = |month: &str| {
        let faults = vec![Fault::new(FaultKind::Forbidden, When::always().in_period(period(month)))];
        SimulatorConfig { faults, ..small() }
    };
    scene.becomes(forbidden(OLD));
    assert_eq!(oldest(&scene, 77), instant("2025-09-01T00:00:00Z"), "August was never published");
    scene.becomes(small());
    assert_eq!(oldest(&scene, 0), instant("2025-11-01T00:00:00Z"), "October is the next to close");
    scene.becomes(forbidden(OLD));
    assert_eq!(oldest(&scene, 77), instant("2025-11-01T00:00:00Z"), "August is published all the same");

    // A manifest that cannot be read tells nothing, so what was known before stands.
    let manifest = scene.path(&format!("out/manifests/period={OLD}/network={NETWORK}/manifest.json"));
    fs::remove_file(&manifest).expect("a manifest");
    fs::write(&manifest, "{").expect("a manifest");
    let (export, file) = daily(&scene, OLD);
    let run = export.run().exits(73);
    assert!(run.stderr.contains("oldest unclosed period not found out"), "{}", run.stderr);
    let stands = of(&read(&file), "oldest_unclosed_period_end_timestamp_seconds", "daily");
    assert_eq!(stands, instant("2025-11-01T00:00:00Z"));
}

#[test]
fn mismatches_and_throttling_are_counted() {
    let history = History { delta: 2, ..History::default() };
    let faults = vec![Fault::new(FaultKind::ThrottledForMilliseconds(1), When::first(3))];
    let scene = Scene::new(SimulatorConfig { history, faults, ..population(&[(CLOSED, guests(0..20))]) });
    let (export, file) = daily(&scene, CLOSED);
    let summary = export.run().exits(0).summary();
    let series = read(&file);
    let value = |name: &str| of(&series, name, "daily");
    assert_eq!((value("mismatches"), value("last_run_throttled_requests")), (1.0, 3.0));
    assert_eq!(value("last_run_repeated_requests"), 3.0);
    let share = 3.0 / summary["requests"].as_f64().expect("a number");
    assert!((value("last_run_throttled_ratio") - share).abs() < 1e-9 && share > 0.0);
}

#[test]
fn above_200_networks_guests_are_summed_up_by_period_alone() {
    let id = |number: u32| network(&format!("{number:08}"));
    let rows = |number: u32| (id(number), period(CLOSED), guests(number..number + 2));
    // Of all but two the walk is refused, which takes less time than publishing them.
    let forbidden = |number| Fault::new(FaultKind::Forbidden, When::always().in_network(id(number)));
    let (all, faults) = (Population::explicit((1..=201).map(rows)), (3..=201).map(forbidden).collect());
    let scene = Scene::new(SimulatorConfig { population: all, faults, ..population(&[]) });
    let (export, file) = daily(&scene, CLOSED);
    export.replacing("--network", "all").args(["--concurrency", "16"]).run().exits(77);
    let series = read(&file);
    assert!(
        (of(&series, "network_labels_dropped", "daily"), of(&series, "networks", "daily")) == (1.0, 201.0)
    );
    let guests: Vec<_> = series.iter().filter(|(name, _)| name.starts_with("guests{")).collect();
    assert_eq!(guests, [(&format!("guests{{job_name=\"daily\",period=\"{CLOSED}\"}}"), &4.0)]);
}

#[test]
fn metrics_that_cannot_be_written_are_said_and_cost_nothing() {
    let scene = Scene::new(small());
    fs::create_dir(scene.path("a-folder.prom")).expect("a folder");
    for (file, words) in [("no/such/daily.prom", "No such file"), ("a-folder.prom", "directory")] {
        let run = scene.export(CLOSED).args(["--metrics-file", file]).run().exits(0);
        let said =
            run.stderr.lines().find(|line| line.contains("WARN metrics not written")).expect(&run.stderr);
        assert!(said.contains(file) && said.contains(words), "{said}");
    }
    let run = scene.export(CLOSED).args(["--metrics-file", "odd.txt"]).run().exits(0);
    assert!(run.stderr.contains("reads only files whose name ends in .prom"), "{}", run.stderr);
    assert!(scene.path("odd.txt").exists());
}

#[test]
fn a_file_of_something_else_is_replaced_and_said() {
    let scene = Scene::new(small());
    let (export, file) = daily(&scene, CLOSED);
    export.clone().run().exits(0);
    let text = fs::read_to_string(&file).expect("metrics");
    fs::write(&file, text.replace("\"daily\"", "\"weekly\"")).expect("a file");
    let broken = export.clone().replacing("--period", "2999-01").run().exits(2);
    assert!(broken.stderr.contains("old metrics are another job's"), "{}", broken.stderr);
    let replaced = fs::read_to_string(&file).expect("metrics");
    assert!(!replaced.contains("weekly") && !replaced.contains("last_success"), "{replaced}");
    fs::write(&file, [0xff, 0xfe, b'\n']).expect("a file");
    let run = export.run().exits(0);
    assert!(run.stderr.contains("old metrics not readable"), "{}", run.stderr);
    assert_eq!(of(&read(&file), "last_run_exit_code", "daily"), 0.0);
}

#[test]
fn told_to_stop_it_states_that_as_well() {
    let faults = vec![Fault::new(FaultKind::Stall, When::always())];
    let scene = Scene::new(SimulatorConfig { faults, ..small() });
    let (export, file) = daily(&scene, CLOSED);
    let child = export.spawn();
    scene.wait_for_pages(1);
    tell(&child, Signal::TERM);
    export.finish(child).exits(75);
    let series = read(&file);
    assert_eq!(of(&series, "last_run_exit_code", "daily"), 75.0);
    assert!(
        of(&series, "oldest_unclosed_period_end_timestamp_seconds", "daily")
            == instant("2025-10-01T00:00:00Z")
    );
}

/// What somebody has pushed: the request line and the headers, and the body.
struct Pushed {
    head: String,
    body: String,
}

/// A Pushgateway that takes what is pushed, and answers in turn with these statuses, the last one for ever.
fn gateway(statuses: &'static [u16]) -> (String, Receiver<Pushed>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let pushed = take(&stream);
            let status = statuses[number.min(statuses.len() - 1)];
            let words = "pushed metrics are invalid\n or so";
            let length = words.len();
            let _ = write!(
                &stream,
                "HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{words}"
            );
            if sender.send(pushed).is_err() {
                break;
            }
        }
    });
    (address.to_string(), receiver)
}

fn take(stream: &TcpStream) -> Pushed {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).expect("a head") > 0, "{head}");
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    reader.read_exact(&mut body).expect("a body");
    Pushed { head, body: String::from_utf8(body).expect("text") }
}

#[test]
fn a_push_adds_to_the_job_and_a_failing_run_pushes_no_success() {
    let scene = Scene::new(small());
    let (address, pushed) = gateway(&[200]);
    let job = format!(
        "[metrics]\njob = \"finance/daily\"\nfile = \"out.prom\"\n\
         pushgateway = \"http://somebody:pass%2Fword@{address}/prefix/\"\n"
    );
    let export = || {
        scene
            .job(&job)
            .args(["--network", NETWORK, "--period", CLOSED])
            .secret("pass%2Fword")
            .secret("pass/word")
    };
    // base64 of `somebody:pass/word`
    let authorization = "c29tZWJvZHk6cGFzcy93b3Jk";
    let loud = export().secret(authorization).secret("somebody").env("RUST_LOG", "trace");
    loud.run().exits(0);
    let push = pushed.recv().expect("a push");
    let line = push.head.lines().next().expect("a line");
    assert_eq!(line, "post /prefix/metrics/job@base64/zmluyw5jzs9kywlsEQ== http/1.1".to_lowercase());
    assert!(push.head.contains("content-type: text/plain; version=0.0.4"), "{}", push.head);
    assert!(
        push.head.contains(&format!("authorization: basic {}", authorization.to_lowercase())),
        "{}",
        push.head
    );
    assert_eq!(
        push.body,
        fs::read_to_string(scene.path("out.prom")).expect("metrics"),
        "the first file is what was pushed"
    );

    export().replacing("--output", "/dev/null/out").run().exits(73);
    let push = series(&pushed.recv().expect("a push").body);
    assert_eq!(of(&push, "last_run_exit_code", "finance/daily"), 73.0);
    let stands = push.keys().filter(|name| !name.starts_with("last_run_") && !name.starts_with("build_info"));
    assert_eq!(stands.collect::<Vec<_>>(), Vec::<&String>::new(), "what it does not know is not pushed");
}

#[test]
fn a_push_that_fails_is_tried_again_if_that_may_help_and_costs_nothing() {
    let scene = Scene::new(small());
    let (address, pushed) = gateway(&[500, 503, 200]);
    let run = scene.export(CLOSED).args(["--pushgateway-url", &format!("http://{address}")]).run().exits(0);
    assert!(!run.stderr.contains("metrics not pushed"), "{}", run.stderr);
    assert_eq!(pushed.iter().take(3).count(), 3);

    let (address, pushed) = gateway(&[400]);
    let url = format!("http://me:secret-word@{address}");
    let run = scene.export(CLOSED).args(["--pushgateway-url", &url]).secret("secret-word").run().exits(0);
    let warning =
        run.stderr.lines().find(|line| line.contains("WARN metrics not pushed")).expect(&run.stderr);
    let said = format!("http://{address} answered 400 Bad Request: pushed metrics are invalid\\n or so");
    assert!(warning.contains(&said), "{warning}");
    assert_eq!(pushed.try_iter().count(), 1, "not tried again");

    let nobody = "http://me:secret-word@127.0.0.1:9";
    let run = scene.export(CLOSED).args(["--pushgateway-url", nobody]).secret("secret-word").run().exits(0);
    let warning =
        run.stderr.lines().find(|line| line.contains("WARN metrics not pushed")).expect(&run.stderr);
    assert!(warning.contains("http://127.0.0.1:9: ") && warning.contains("Connection refused"), "{warning}");
}

#[test]
fn told_to_stop_it_does_not_wait_for_a_gateway_that_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let scene = Scene::new(small());
    let export = scene.export(CLOSED).args(["--pushgateway-url", &url]);
    let child = export.spawn();
    let (_silent, _) = listener.accept().expect("a push");
    tell(&child, Signal::TERM);
    let run = export.finish(child).exits(0);
    assert!(run.stderr.contains("metrics not pushed, the run was told to stop"), "{}", run.stderr);
}

#[test]
fn a_gateway_that_cannot_be_one_is_refused_without_repeating_its_password() {
    let scene = Scene::new(small());
    for (url, words) in [
        ("me:secret-word@gateway", "does not begin with https:// or http://"),
        ("http://me:secret-word@gateway/metrics/job/daily", "it has the path of a job"),
        ("http://me:secret-word@gateway/?a=b", "it has a query"),
        ("http://me:secret-word@gateway:x", "not a URL"),
    ] {
        let export = scene.export(CLOSED).secret("secret-word");
        let error = export.clone().args(["--pushgateway-url", url]).run().exits(2).error();
        assert!(
            error.contains("--pushgateway-url or metrics.pushgateway") && error.contains(words),
            "{error}"
        );
        let of_variable = export.env("WICKR_GUEST_EXPORT_PUSHGATEWAY_URL", url);
        assert!(of_variable.run().exits(2).error().contains(words));
    }
    let unquoted =
        scene.job("[metrics]\npushgateway = http://me:secret-word@gateway\n").secret("secret-word");
    assert!(unquoted.run().exits(2).error().contains("http://@gateway"));
    let help = scene.exporter().args(["run", "--help"]).secret("secret-word");
    let help = help.env("WICKR_GUEST_EXPORT_PUSHGATEWAY_URL", "http://me:secret-word@gateway");
    assert!(help.run().exits(0).stdout.contains("--pushgateway-url"));
}

#[test]
fn every_metric_of_the_rules_is_one_that_is_stated() {
    let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    for (file, text, least) in [
        ("alerts.yaml", include_str!("../../deploy/prometheus/alerts.yaml"), 8),
        ("alerts_test.yaml", include_str!("../../deploy/prometheus/alerts_test.yaml"), 8),
    ] {
        let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
        let found: BTreeSet<&str> = words.filter(|word| word.starts_with(PREFIX)).collect();
        assert!(found.len() >= least, "{file} is read: {found:?}");
        let unknown: Vec<_> = found.difference(&names).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn the_readme_lists_every_metric_with_its_labels_and_its_meaning() {
    let readme = include_str!("../../README.md");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| `…_")).collect();
    let row = |metric: &wickr_guest_export::telemetry::metrics::catalogue::Metric| {
        let name = metric.name.strip_prefix("wickr_guest_export").expect("a prefix");
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let stands = if metric.stands { "yes" } else { "" };
        let row = format!("| `…{name}` | {} | {} | {stands} |", labels.join(", "), metric.help);
        row.replace("|  |", "| |")
    };
    assert_eq!(rows, METRICS.map(row));
}
