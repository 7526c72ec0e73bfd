//! Prometheus's own programs judge the metrics and the rules: promtool, and a Pushgateway as people run it.
//!
//! Not every machine of a reader has them, so they are asked for by name; `.ci/run` brings Debian's.
#![expect(clippy::float_cmp, reason = "what is written exactly is read exactly")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use wickr_guest_export::simulator::{Fault, FaultKind, Operation, SimulatorConfig, When};

use crate::support::{CLOSED, Exporter, NETWORK, SETTLING, Scene, small};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus");

/// Runs promtool in a folder, with a text on its stdin, and returns what it says; it must be content.
#[track_caller]
fn promtool(arguments: &[&str], folder: &Path, stdin: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(folder).stdin(Stdio::piped());
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("promtool is on PATH");
    child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

/// A Pushgateway on a free port, until it is dropped.
struct Pushgateway {
    process: Child,
    address: String,
}

impl Pushgateway {
    fn start() -> Self {
        let mut command = Command::new("prometheus-pushgateway");
        command.arg("--web.listen-address=127.0.0.1:0").stderr(Stdio::piped()).stdout(Stdio::null());
        let mut process = command.spawn().expect("prometheus-pushgateway is on PATH");
        let mut log = BufReader::new(process.stderr.take().expect("a pipe"));
        let mut address = None;
        while address.is_none() {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("text") > 0, "the Pushgateway ended");
            let words = line.split_whitespace().find_map(|word| word.strip_prefix("address="));
            address = words.map(str::to_owned);
        }
        // Read on, or it would wait one day for somebody who does.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, address: address.expect("found") }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Reads what Prometheus would scrape.
    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(stream, "GET /metrics HTTP/1.0\r\nhost: {}\r\n\r\n", self.address).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(" 200 "), "{head}");
        body.to_owned()
    }

    /// Returns the only value of a metric of this program.
    #[track_caller]
    fn value(&self, metric: &str) -> f64 {
        let metrics = self.metrics();
        let name = format!("wickr_guest_export_{metric}{{");
        let mut lines = metrics.lines().filter(|line| line.starts_with(&name));
        let line = lines.next().unwrap_or_else(|| panic!("{metric} is not among\n{metrics}"));
        assert_eq!(lines.next(), None, "the only one");
        line.rsplit_once(' ').expect("a value").1.parse().expect("a number")
    }
}

impl Drop for Pushgateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn export(scene: &Scene, gateway: &Pushgateway, job: &str) -> Exporter {
    let job = format!(
        "[request]\nattempts = 2\n[metrics]\njob = '''{job}'''\nfile = \"a.prom\"\npushgateway = \"{}\"\n",
        gateway.url()
    );
    let periods = format!("{CLOSED},{SETTLING}");
    scene.job(&job).args(["--network", NETWORK, "--period", &periods])
}

#[test]
#[ignore = "takes promtool and prometheus-pushgateway"]
fn a_real_pushgateway_keeps_the_last_success_while_runs_fail() {
    let gateway = Pushgateway::start();
    let mut scene = Scene::new(small());
    export(&scene, &gateway, "finance/daily").run().exits(0);
    let success = gateway.value("last_success_timestamp_seconds");
    assert!(success > 1.7e9 && gateway.value("last_run_exit_code") == 0.0);
    let unclosed = gateway.value("oldest_unclosed_period_end_timestamp_seconds");
    promtool(&["check", "metrics"], scene.path("").as_path(), &gateway.metrics());

    let faults = vec![Fault::new(FaultKind::Forbidden, When::always().of(Operation::ListNetworks))];
    scene.becomes(SimulatorConfig { faults, ..small() });
    export(&scene, &gateway, "finance/daily").replacing("--network", "all").run().exits(77);
    assert_eq!(gateway.value("last_run_exit_code"), 77.0);
    assert_eq!(gateway.value("last_success_timestamp_seconds"), success, "the last success is still there");
    assert!(gateway.value("last_run_timestamp_seconds") > success);
    assert_eq!(gateway.value("oldest_unclosed_period_end_timestamp_seconds"), unclosed);
    let metrics = gateway.metrics();
    assert!(metrics.contains(r#"job="finance/daily""#) && metrics.contains(r#"job_name="finance/daily""#));
    promtool(&["check", "metrics"], scene.path("").as_path(), &metrics);
    let file = fs::read_to_string(scene.path("a.prom")).expect("metrics");
    promtool(&["check", "metrics"], scene.path("").as_path(), &file);

    scene.becomes(small());
    export(&scene, &gateway, "finance/daily").run().exits(0);
    assert!(gateway.value("last_success_timestamp_seconds") > success);
}

#[test]
#[ignore = "takes promtool and prometheus-pushgateway"]
fn whatever_a_job_is_called_both_are_content_with_its_metrics() {
    let gateway = Pushgateway::start();
    let scene = Scene::new(small());
    let name = r#"a "job" \ of Zoë's, {x="y"} / ../ 100 %"#;
    export(&scene, &gateway, name).run().exits(0);
    let file = fs::read_to_string(scene.path("a.prom")).expect("metrics");
    let escaped = r#"job_name="a \"job\" \\ of Zoë's, {x=\"y\"} / ../ 100 %""#;
    for text in [&file, &gateway.metrics()] {
        assert!(text.contains(escaped), "{text}");
        promtool(&["check", "metrics"], scene.path("").as_path(), text);
    }
}

#[test]
#[ignore = "takes promtool and prometheus-pushgateway"]
fn the_rules_are_sound_and_keep_their_promises() {
    let said = promtool(&["check", "rules", "alerts.yaml"], Path::new(RULES), "");
    assert!(said.contains("SUCCESS: 8 rules found"), "{said}");
    let said = promtool(&["test", "rules", "alerts_test.yaml"], Path::new(RULES), "");
    assert!(said.contains("SUCCESS"), "{said}");
}
