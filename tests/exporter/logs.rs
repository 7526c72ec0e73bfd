//! The log in JSON: every line flat and of one run, and the last one sums the run up, however it ended.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Value, json};
use wickr_guest_export::simulator::{Fault, FaultKind, Operation, SimulatorConfig, When};

use crate::support::{CLOSED, NETWORK, Run, Scene, network, small};

/// A line, no key of which is there twice: which of two would count is up to each reader.
struct Line(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Line;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if let Some(other) = fields.insert(key.clone(), value) {
                        return Err(A::Error::custom(format!("{key} is there twice, once as {other}")));
                    }
                }
                Ok(Line(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl std::ops::Index<&str> for Line {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        self.0.get(key).unwrap_or(&Value::Null)
    }
}

/// Reads all lines, which are of one run, and returns them with its id.
#[track_caller]
fn lines(run: &Run) -> (Vec<Line>, String) {
    let read = |line: &str| {
        let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "message", "run_id"] {
            assert!(line[key].is_string(), "{key}: {:?}", line.0);
        }
        let nested = line.0.iter().find(|(_, value)| value.is_object() || value.is_array());
        assert_eq!(nested, None);
        line
    };
    let lines: Vec<Line> = run.stderr.lines().map(read).collect();
    let id = lines.first().expect("a line")["run_id"].as_str().expect("an id").to_owned();
    assert!(id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    assert!(lines.iter().all(|line| line["run_id"] == id.as_str()), "one run, one id");
    (lines, id)
}

fn last(lines: &[Line]) -> &Line {
    let line = lines.last().expect("a line");
    assert_eq!(line["message"], "run finished", "{:?}", line.0);
    assert_eq!(lines.iter().filter(|line| line["message"] == "run finished").count(), 1);
    line
}

#[test]
fn lines_are_flat_and_of_one_run_and_the_last_is_the_summary() {
    let networks = ["11111111", NETWORK].map(network).to_vec();
    // Each list is refused once, so that there is something to log within tasks as well.
    let once = |digits: &&str| When::first(1).of(Operation::ListGuestUsers).in_network(network(digits));
    let faults = ["11111111", NETWORK].iter().map(once);
    let faults = faults.map(|when| Fault::new(FaultKind::InternalServerError, when)).collect();
    let scene = Scene::new(SimulatorConfig { networks, faults, ..small() });
    let export = scene.job("").args(["--network", "all", "--period", CLOSED, "--log-format", "json"]);
    let run = export.run().exits(0);
    let (lines, id) = lines(&run);
    let summary = run.summary();
    assert_eq!(summary["run_id"], id.as_str());
    for digits in ["11111111", NETWORK] {
        let of_task = |line: &&Line| line["network"] == digits && line["period"] == CLOSED;
        assert!(lines.iter().filter(of_task).any(|line| line["message"] == "task done"), "{digits}");
        assert!(lines.iter().filter(of_task).any(|line| line["message"] != "task done"), "{digits}");
    }
    let last = last(&lines);
    assert_eq!(last["level"], "INFO");
    for (key, value) in [
        ("exit_code", json!(0)),
        ("tasks", json!(2)),
        ("published", json!(2)),
        ("failed", json!(0)),
        ("mismatches", json!(0)),
        ("requests", summary["requests"].clone()),
        ("throttled", json!(0)),
        ("retries", summary["retries"].clone()),
        ("error", Value::Null),
    ] {
        assert_eq!(last[key], value, "{key}");
    }
    assert!(last["duration_seconds"].as_f64() > Some(0.0));
}

#[test]
fn a_failed_task_is_named_and_counted_in_the_last_line() {
    let faults = vec![Fault::new(FaultKind::Forbidden, When::always().of(Operation::ListGuestUsers))];
    let scene = Scene::new(SimulatorConfig { faults, ..small() });
    let run = scene.export(CLOSED).args(["--log-format", "json", "--quiet"]).without_env("RUST_LOG").run();
    let run = run.exits(77);
    let (lines, id) = lines(&run);
    assert_eq!(run.summary()["run_id"], id.as_str());
    let failed = &lines[0];
    assert_eq!(
        (&failed["message"], &failed["network"], &failed["period"]),
        (&json!("task failed"), &json!(NETWORK), &json!(CLOSED))
    );
    assert!(failed["error"].as_str().expect("an error").contains("wickr:ListGuestUsers"));
    let last = last(&lines);
    assert_eq!(
        (&last["level"], &last["exit_code"], &last["failed"]),
        (&json!("ERROR"), &json!(77), &json!(1))
    );
}

#[test]
fn a_run_that_fails_as_a_whole_says_why_in_the_last_line_and_nowhere_else() {
    let scene = Scene::new(small());
    let as_json = |exporter: crate::support::Exporter| exporter.args(["--log-format", "json"]);
    let (file, misspelt) = (scene.write("a-file", ""), scene.write("misspelt.toml", "perids = []"));
    let no_networks = Scene::new(SimulatorConfig { networks: Vec::new(), ..small() });
    let of_none = no_networks.job("").args(["--network", "all", "--period", CLOSED]);
    for (code, exporter, words, asked) in [
        (2, scene.job("periods = []"), "the job names no billing period", 0),
        (2, scene.exporter().args(["run", &misspelt]), "unknown field `perids`", 0),
        (73, scene.export(CLOSED).replacing("--output", &format!("{file}/out")), "a-file", 0),
        (78, of_none, "has no Wickr network", 1),
    ] {
        let run = as_json(exporter).run().exits(code);
        let (lines, _) = lines(&run);
        let last = last(&lines);
        assert_eq!((&last["level"], &last["exit_code"]), (&json!("ERROR"), &json!(code)), "{words}");
        assert!(last["error"].as_str().expect("an error").contains(words), "{words}: {:?}", last.0);
        assert_eq!((&last["requests"], &last["tasks"]), (&json!(asked), &Value::Null), "{words}");
    }
    // Where RUST_LOG shows no errors, the one that ends the program is printed as ever.
    let hidden = as_json(scene.job("periods = []")).env("RUST_LOG", "off").run().exits(2);
    assert!(hidden.error().contains("the job names no billing period"), "{}", hidden.stderr);
}

#[test]
fn a_panic_is_a_line_like_any_other() {
    let scene = Scene::new(small());
    // An action that no step knows makes it panic.
    let export =
        scene.export(CLOSED).args(["--log-format", "json"]).fail_points("durable-step=return(panic)");
    let run = export.run().exits(70);
    let (lines, _) = lines(&run);
    let panicked = lines.iter().find(|line| line["message"] == "panicked").expect("a panic");
    assert!(panicked["place"].as_str().expect("a place").starts_with("src/storage/failpoint.rs:"));
    assert!(panicked["error"].as_str().expect("its words").contains("is no action of a durable step"));
    assert_eq!(last(&lines)["exit_code"], 70);
}

#[test]
fn other_commands_tell_their_error_in_the_log_as_well() {
    let scene = Scene::new(small());
    let verify =
        scene.exporter().args(["verify", "ftp://host/billing", "--log-format", "json"]).run().exits(2);
    let (lines, _) = lines(&verify);
    let last = lines.last().expect("a line");
    assert_eq!((&last["message"], &last["exit_code"]), (&json!("command failed"), &json!(2)));
    assert!(last["error"].as_str().expect("an error").contains("ftp://host/billing"));
}

#[test]
fn a_log_for_people_names_the_run_once_at_its_beginning() {
    let scene = Scene::new(small());
    let run = scene.export(CLOSED).run().exits(0);
    let id = run.summary()["run_id"].as_str().expect("an id").to_owned();
    assert_eq!(run.stderr.matches(&id).count(), 1);
    assert!(run.stderr.lines().next().expect("a line").ends_with(&format!("run started run_id={id}")));
    let last = run.stderr.lines().last().expect("a line");
    assert!(last.contains("run finished exit_code=0 ") && last.contains(" published=1 "), "{last}");
}
