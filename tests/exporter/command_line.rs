//! The surface: help that teaches, logs, tables, completions, and the two commands that need no job.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use wickr_guest_export::simulator::{Fault, FaultKind, SimulatorConfig, When};

use crate::support::{CLOSED, Exporter, NETWORK, Scene, small};

fn anywhere() -> Exporter {
    Exporter::new(Path::new("/"))
}

#[test]
fn help_teaches() {
    for command in ["", "run", "verify", "status", "diff", "purge", "report", "simulate", "completions"] {
        let words = [command, "--help"].into_iter().filter(|word| !word.is_empty());
        let run = anywhere().env("COLUMNS", "100").args(words).run().exits(0);
        let name = if command.is_empty() { "help".to_owned() } else { format!("help_{command}") };
        insta::assert_snapshot!(name, run.stdout);
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_says_what_is_right() {
    let mut said = String::new();
    for words in [
        &["export"][..],
        &["run", "--perid", "current"],
        &["run", "--period", "yesterday"],
        &["run", "--period", "2025-13"],
        &["run", "--network", "1234567"],
        &["run", "--deadline", "soon"],
        &["run", "--as-of", "today"],
        &["run", "--format", "xlsx"],
        &["run", "--allow-shrink", "12345678"],
        &["run", "--on-mismatch", "panic"],
        &["run", "--shard", "8/8"],
        &["run"],
        &["simulate", "--rate", "0"],
        &["simulate", "--guests", "-1"],
        &["verify"],
        &["status", "x", "--mark-closed"],
        &["diff", "out", "--from", "2025-08", "--to", "previous"],
        &["diff", "out", "--from", "2025-08", "--to", "2025-09", "--kept"],
        &["purge", "out"],
        &["purge", "out", "--rosters-before", "last:3"],
    ] {
        let run = anywhere().env("RUST_LOG", "error").args(words.iter().copied()).run().exits(2);
        assert_eq!(run.stdout, "");
        write!(said, "$ {}\n{}\n", words.join(" "), run.stderr).expect("a string");
    }
    insta::assert_snapshot!(said);
}

#[test]
fn the_version_names_program_and_commit() {
    let run = anywhere().args(["--version"]).run().exits(0);
    let text = run.stdout.trim_end();
    let version = text.strip_prefix(concat!("wickr-guest-export ", env!("CARGO_PKG_VERSION"))).expect(text);
    let commit = version.trim().trim_matches(|sign| sign == '(' || sign == ')');
    // Built from an archive, there is no commit to name.
    assert!(commit.chars().all(|sign| sign.is_ascii_hexdigit() || "-dirty+".contains(sign)), "{text}");
}

#[test]
fn completions_are_for_every_shell_and_know_the_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = anywhere().args(["completions", shell]).run().exits(0);
        assert!(run.stdout.contains("max-requests-per-second"), "{shell}");
    }
    let bash = anywhere().args(["completions", "bash"]).run().exits(0).stdout;
    let branches: Vec<&str> = bash.lines().filter_map(|line| line.trim().strip_suffix(')')).collect();
    for selected in bash.lines().filter_map(|line| line.trim().strip_prefix("cmd=\"wickr")) {
        let branch = format!("wickr{}", selected.trim_end_matches('"'));
        assert!(branches.contains(&branch.as_str()), "bash selects {branch}, which no branch completes");
    }
}

#[test]
fn quiet_means_no_word_unless_something_is_wrong() {
    let scene = Scene::new(small());
    let run = scene.export(CLOSED).without_env("RUST_LOG").args(["--quiet"]).run().exits(0);
    assert_eq!(run.stderr, "");
    let faults = vec![Fault::new(FaultKind::Forbidden, When::always())];
    let scene = Scene::new(SimulatorConfig { faults, ..small() });
    let run = scene.export(CLOSED).without_env("RUST_LOG").args(["--quiet"]).run().exits(77);
    assert!(run.stderr.contains("task failed"), "{}", run.stderr);
}

#[test]
fn the_loudest_log_of_every_library_tells_no_secret() {
    let session_token = Some("the-session-token".to_owned());
    let scene = Scene::new(SimulatorConfig { session_token, ..small() });
    let export = scene.export(CLOSED).env("AWS_SESSION_TOKEN", "the-session-token");
    let run = export.secret("the-session-token").env("RUST_LOG", "trace").run().exits(0);
    scene.assert_no_token_in(&run);
}

#[test]
fn a_reader_of_the_summary_who_goes_away_is_no_failure() {
    let scene = Scene::new(small());
    let exporter = scene.export(CLOSED);
    let mut child = exporter.spawn();
    drop(child.stdout.take());
    let run = exporter.finish(child).exits(0);
    assert!(!run.stderr.contains("error"), "{}", run.stderr);
    scene.assert_published_whole(CLOSED);
}

#[test]
fn simulate_prints_what_to_export_and_serves_until_it_is_stopped() {
    let scene = Scene::new(small());
    let words = ["simulate", "--networks", NETWORK, "--periods", CLOSED, "--guests", "130", "--seed", "7"];
    let simulate = Exporter::new(&scene.path("")).args(words);
    let mut child = simulate.spawn();
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut exporter = scene.export(CLOSED);
    for name in ["AWS_ENDPOINT_URL_WICKR", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
        let line = lines.next().expect("four lines").expect("text");
        let value = line.strip_prefix(&format!("export {name}=")).expect(&line);
        exporter = exporter.env(name, value);
    }
    let task = exporter.run().exits(0).task();
    assert!(task["guests"].as_u64() <= Some(130) && task["guests"].as_u64() > Some(0), "{task}");
    assert_eq!(scene.simulator.stats().connections, 0, "the other simulator answered");

    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::TERM).expect("it runs");
    simulate.finish(child).exits(0);
}

#[test]
fn nothing_to_do_is_a_success_and_said() {
    let scene = Scene::new(small());
    scene.run(CLOSED).exits(0);
    let export = scene.export("missing:1").replacing("--summary", "text").run().exits(0);
    assert!(export.stdout.contains("kept"), "{}", export.stdout);
}

#[test]
fn the_job_files_that_are_delivered_are_jobs() {
    let scene = Scene::new(small());
    let jobs = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/jobs")).expect("job files");
    for job in jobs {
        let path = job.expect("a job").path().display().to_string();
        let output = scene.path("delivered").display().to_string();
        scene.exporter().args(["run", &path, "--dry-run", "--output", &output]).run().exits(0);
    }
}

#[test]
fn a_result_that_cannot_be_printed_ends_with_73_and_a_log_that_cannot_be_written_stops_nothing() {
    let scene = Scene::new(small());
    let job = scene.path("simulated.toml");
    let text = "periods = [\"2025-09\"]\nmax_requests_per_second = 1000\n[source]\nkind = \"simulator\"\n\
                networks = \"all\"\n[simulator]\nguests = 120\nnow = \"2025-11-01T12:00:00Z\"\n";
    fs::write(&job, text).expect("a job file");
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").expect("a device that is always full");
    let run = |output: &str, stdout: Stdio, stderr: Stdio| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wickr-guest-export"));
        command.env_clear().arg("run").arg(&job).arg("--output").arg(scene.path(output));
        let status = command.stdout(stdout).stderr(stderr).status().expect("it starts");
        assert!(scene.path(output).join("manifests/period=2025-09/network=12345678").exists(), "{output}");
        status.code()
    };
    assert_eq!(run("unprinted", full().into(), Stdio::null()), Some(73));
    assert_eq!(run("unlogged", Stdio::null(), full().into()), Some(0));
    assert_eq!(run("unheard", full().into(), full().into()), Some(73));
}
