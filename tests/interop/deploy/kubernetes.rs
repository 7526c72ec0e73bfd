//! The manifests as kubectl renders them: valid, and true to what the program needs.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use serde_json::Value;
use tempfile::TempDir;

use super::deploy;
use crate::python::Python;

/// What a Job does with which exit code.
pub(super) struct Policy {
    /// The first rule's action and condition.
    pub(super) first: String,
    pub(super) codes: Vec<(u64, String)>,
}

impl Policy {
    pub(super) fn of(cron_job: &Value) -> Self {
        let rules = cron_job.pointer("/spec/jobTemplate/spec/podFailurePolicy/rules").expect("a policy");
        let rules = rules.as_array().expect("rules");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let first =
            format!("{} {}", text(&rules[0]["action"]), text(&rules[0]["onPodConditions"][0]["type"]));
        let mut codes = Vec::new();
        for rule in &rules[1..] {
            assert_eq!(rule["onExitCodes"]["operator"], "In");
            assert_eq!(rule["onExitCodes"]["containerName"], "export");
            for code in rule["onExitCodes"]["values"].as_array().expect("codes") {
                codes.push((code.as_u64().expect("a number"), text(&rule["action"])));
            }
        }
        Self { first, codes }
    }

    pub(super) fn with<'a>(&'a self, action: &'a str) -> impl Iterator<Item = u64> + 'a {
        self.codes.iter().filter(move |(_, its)| its == action).map(|(code, _)| *code)
    }
}

/// Reads the one document of a file below `deploy/`.
pub(super) fn read(python: &Python, home: &Path, file: &str) -> Value {
    let path = deploy(file).display().to_string();
    python.json("manifests.py", home, ["read", &path], &[])[0].take()
}

/// Renders an overlay by kubectl and holds it against the schemas; says loudly if there is no kubectl.
fn render(python: &Python, home: &Path, overlay: &str) -> Option<Vec<Value>> {
    let folder = deploy("kubernetes").join(overlay);
    let output = match Command::new("kubectl").arg("kustomize").arg(&folder).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("interop test NOT RUN: {overlay}: there is no kubectl on PATH");
            assert!(std::env::var_os("CI").is_none_or(|value| value.is_empty()), "{message}");
            writeln!(io::stderr(), "\n*** {message}\n").expect("stderr is open");
            return None;
        }
        output => output.expect("kubectl starts"),
    };
    assert!(output.status.success(), "{overlay}: {}", String::from_utf8_lossy(&output.stderr));
    let rendered = home.join("rendered.yaml");
    fs::write(&rendered, output.stdout).expect("a file");
    let documents = python.json("manifests.py", home, ["schema", &rendered.display().to_string()], &[]);
    let Value::Array(documents) = documents else { panic!("a list") };
    Some(documents)
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).expect(kind)
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(value.as_u64().expect("seconds"))
}

/// Holds what every overlay must keep.
fn hold(overlay: &str, documents: &[Value]) {
    let job = &of_kind(documents, "CronJob")["spec"]["jobTemplate"]["spec"];
    let pod = &job["template"]["spec"];
    let definition = of_kind(documents, "ConfigMap")["data"]["job.toml"].as_str().expect("a job");
    let definition: toml::Table = definition.parse().expect("TOML");
    assert_eq!(pod["volumes"][0]["configMap"]["name"], of_kind(documents, "ConfigMap")["metadata"]["name"]);

    let deadline =
        humantime::parse_duration(definition["deadline"].as_str().expect("a span")).expect("a span");
    let longest = seconds(&pod["activeDeadlineSeconds"]);
    assert!(longest > deadline, "{overlay}: the program ends by itself before it is ended");
    let grace = definition.get("shutdown_grace").map_or("20s", |span| span.as_str().expect("a span"));
    let grace = humantime::parse_duration(grace).expect("a span");
    assert!(seconds(&pod["terminationGracePeriodSeconds"]) > grace + Duration::from_secs(2), "{overlay}");
    let tries = job.get("backoffLimit").or(job.get("backoffLimitPerIndex")).and_then(Value::as_u64);
    let tries = u32::try_from(tries.expect("a limit") + 1).expect("a few");
    assert!(
        seconds(&job["activeDeadlineSeconds"]) > longest * tries,
        "{overlay}: there is time for each try"
    );

    // Pod Security Standards, restricted, and a root that is never written to.
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{overlay}");
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{overlay}");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{overlay}");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{overlay}");
    assert_eq!(container["securityContext"]["capabilities"]["drop"], serde_json::json!(["ALL"]), "{overlay}");
    assert_eq!(pod["restartPolicy"], "Never", "{overlay}");
    let image = concat!("wickr-guest-export:", env!("CARGO_PKG_VERSION"));
    assert_eq!(container["image"], image, "{overlay}");

    // An emptyDir ends with its pod, so neither output nor state may lie on one.
    let kept = [&definition["output"]["url"], &definition["resume"]["state"]];
    for place in kept.map(|place| place.as_str().expect("a place")) {
        assert!(place.starts_with("s3://") || place.starts_with("/data/"), "{overlay}: {place}");
    }
}

#[test]
fn every_overlay_is_valid_and_keeps_what_the_program_needs() {
    let Some(python) = Python::for_test("the manifests of Kubernetes") else { return };
    let home = TempDir::new().expect("a folder");
    for overlay in ["base", "overlays/irsa", "overlays/pod-identity", "overlays/pvc", "overlays/indexed"] {
        let Some(documents) = render(python, home.path(), overlay) else { return };
        hold(overlay, &documents);
        match overlay {
            "overlays/irsa" => {
                let annotations = &of_kind(&documents, "ServiceAccount")["metadata"]["annotations"];
                let role = annotations["eks.amazonaws.com/role-arn"].as_str().expect("a role");
                assert!(role.starts_with("arn:aws:iam::"), "{role}");
            }
            "overlays/pod-identity" => {
                let egress = of_kind(&documents, "NetworkPolicy")["spec"]["egress"].to_string();
                let agent = r#"{"ports":[{"port":80,"protocol":"TCP"}],"to":[{"ipBlock":{"cidr":"169.254.170.23/32"}}"#;
                for allowed in [agent, r#""port":53"#, r#""port":443"#] {
                    assert!(egress.contains(allowed), "{allowed}: {egress}");
                }
            }
            "overlays/pvc" => {
                let claim = of_kind(&documents, "PersistentVolumeClaim")["metadata"]["name"].clone();
                let pod = &of_kind(&documents, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
                assert_eq!(pod["volumes"][2]["persistentVolumeClaim"]["claimName"], claim);
                assert_eq!(pod["containers"][0]["volumeMounts"][2]["mountPath"], "/data");
            }
            "overlays/indexed" => {
                let job = &of_kind(&documents, "CronJob")["spec"]["jobTemplate"]["spec"];
                let shares = job["completions"].as_u64().expect("a number");
                assert_eq!(job["completionMode"], "Indexed");
                assert_eq!(job["parallelism"], shares, "the rate is divided by pods that run at once");
                let arguments = job["template"]["spec"]["containers"][0]["args"].to_string();
                let share = format!("--shard=$(JOB_COMPLETION_INDEX)/{shares}\"");
                assert!(arguments.contains(&share), "{arguments}");
            }
            _ => {}
        }
    }
}

#[cfg(feature = "simulator")]
#[test]
fn the_command_and_the_job_of_the_manifests_export() {
    let Some(python) = Python::for_test("the command of the manifests") else { return };
    let home = TempDir::new().expect("a folder");
    let (base, bucket) = ("kubernetes/base/cronjob.yaml", "s3://CHANGE-ME-billing-exports");
    for (cron_job, file, place) in [
        (base, "kubernetes/base/job.toml", bucket),
        (base, "kubernetes/overlays/pvc/job.toml", "/data"),
        ("kubernetes/overlays/indexed/cronjob.yaml", "kubernetes/base/job.toml", bucket),
    ] {
        let cron_job = read(python, home.path(), cron_job);
        let arguments = &cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"];
        let folder = home.path().join(file);
        let definition = fs::read_to_string(deploy(file)).expect("a job");
        // The same job, from the simulator and to a folder.
        let definition = definition
            .replace(place, &folder.display().to_string())
            .replace("region = \"us-east-1\"", "kind = \"simulator\"");
        let definition = format!("{definition}\n[simulator]\nseed = 1\nguests = 50\n");
        let job = home.path().join("job.toml");
        fs::write(&job, definition).expect("a file");
        let arguments = arguments.as_array().expect("arguments").iter().map(|argument| {
            argument
                .as_str()
                .expect("a text")
                .replace("/etc/wickr-guest-export/job.toml", &job.display().to_string())
                .replace("$(JOB_COMPLETION_INDEX)", "3")
        });
        let arguments: Vec<String> = arguments.collect();
        let told = |command: &str| {
            assert_eq!(arguments[0], "run");
            let mut exporter = Command::new(crate::processes::EXPORTER);
            let output = exporter.arg(command).args(&arguments[1..]).env_clear().output();
            let output = output.expect("the exporter starts");
            crate::processes::assert_code(&output, 0);
            output
        };
        // As README.md has it tried beforehand.
        told("doctor");
        let output = told("run");
        let summary: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert!(summary.is_object(), "{summary}");
        let log = String::from_utf8(output.stderr).expect("text");
        assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
        assert!(folder.is_dir(), "{file}");
    }
}
