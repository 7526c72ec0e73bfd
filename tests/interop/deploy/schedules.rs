//! The crontab line in cron's bare environment, and the units as systemd reads them.

use std::fs;
#[cfg(feature = "simulator")]
use std::path::Path;
use std::process::Command;
#[cfg(feature = "simulator")]
use std::process::Output;

use tempfile::TempDir;

use super::deploy;
use crate::processes::EXPORTER;

const INSTALLED: &str = "/usr/local/bin/wickr-guest-export";

/// Runs the line of the crontab as cron does, with the built program and another job in place of the installed ones.
#[cfg(feature = "simulator")]
fn as_cron(home: &Path, job: &Path) -> Output {
    let crontab = fs::read_to_string(deploy("cron/crontab")).expect("a crontab");
    let line =
        crontab.lines().find(|line| line.starts_with(|first: char| first.is_ascii_digit())).expect("a line");
    let command = line.splitn(6, ' ').nth(5).expect("five fields and a command");
    // To cron a bare percent sign ends the command, and one behind a backslash is itself.
    assert!(!command.replace(r"\%", "").contains('%'), "{command}");
    let command = command.replace(r"\%", "%");
    assert!(
        command.contains(INSTALLED) && command.contains("/etc/wickr-guest-export/daily.toml"),
        "{command}"
    );
    let command = command
        .replace(INSTALLED, EXPORTER)
        .replace("/etc/wickr-guest-export/daily.toml", &job.display().to_string());
    Command::new("/bin/sh")
        .args(["-c", &command])
        .env_clear()
        .envs([("HOME", home.to_str().expect("text")), ("LOGNAME", "billing")])
        .envs([("SHELL", "/bin/sh"), ("PATH", "/usr/bin:/bin")])
        .current_dir(home)
        .output()
        .expect("a shell")
}

#[cfg(feature = "simulator")]
#[test]
fn the_crontab_line_is_silent_when_all_went_well_and_speaks_when_it_did_not() {
    let home = TempDir::new().expect("a folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/demo.toml");
    let well = as_cron(home.path(), &demo);
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    assert!(well.stdout.is_empty() && well.stderr.is_empty(), "{well:?}");
    assert!(home.path().join("out/demo/summary/csv/guest_counts.csv").is_file());

    let wrong = home.path().join("wrong.toml");
    fs::write(&wrong, "periods = [\"a 100 % wrong \\\\n period\"]\n").expect("a file");
    let failed = as_cron(home.path(), &wrong);
    assert_eq!(failed.status.code(), Some(2), "{failed:?}");
    let said = String::from_utf8(failed.stdout).expect("text");
    assert!(said.contains("wrong") && said.ends_with("exit code 2\n"), "{said}");
}

#[test]
#[ignore = "takes systemd-analyze, which .ci/run installs"]
fn systemd_takes_the_units_and_finds_the_service_confined() {
    let folder = TempDir::new().expect("a folder");
    let mut units = Vec::new();
    for entry in fs::read_dir(deploy("systemd")).expect("a folder") {
        let entry = entry.expect("an entry");
        let unit = folder.path().join(entry.file_name());
        let text = fs::read_to_string(entry.path()).expect("a unit").replace(INSTALLED, EXPORTER);
        fs::write(&unit, text).expect("a file");
        units.push(unit);
    }
    assert_eq!(units.len(), 3);
    let run = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(arguments).args(&units[..]).output().expect("systemd-analyze starts");
        let said = [&output.stdout[..], &output.stderr].concat();
        (output.status.success(), String::from_utf8(said).expect("text"))
    };
    let (well, said) = run(&["verify", "--man=no", "--recursive-errors=no"]);
    assert!(well && said.is_empty(), "{said}");

    let service = folder.path().join("wickr-guest-export.service");
    let mut command = Command::new("systemd-analyze");
    // The exposure is of 100; what systemd itself calls OK ends at 49.
    command.args(["security", "--no-pager", "--offline=true", "--threshold=20"]).arg(service);
    let output = command.output().expect("systemd-analyze starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
