//! The exit codes of the program, of its README and help, and those that the Jobs decide by, are the same ones.
//!
//! The code is read as text: an enum cannot be asked for its variants, and a list beside it could forget one.

use std::collections::BTreeSet;
use std::process::Command;

use tempfile::TempDir;

use super::kubernetes::{Policy, read};
use crate::processes::EXPORTER;
use crate::python::Python;

const README: &str = include_str!("../../../README.md");
const CODE: &str = include_str!("../../../src/exit.rs");
const SUCCESS: u64 = 0;

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, text) = text.split_once(start).expect(start);
    text.split_once(end).expect(end).0
}

fn codes_of_readme() -> BTreeSet<u64> {
    let table = between(README, "\n## Exit codes\n", "\n## ");
    let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    cells.filter_map(|(code, _)| code.parse().ok()).collect()
}

fn codes_of_program() -> BTreeSet<u64> {
    let variants = between(CODE, "pub enum ExitStatus {", "\n}");
    let values = variants.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = "));
    values.map(|(_, code)| code.parse().expect("a number")).collect()
}

fn codes_of_help() -> BTreeSet<u64> {
    let help = Command::new(EXPORTER).arg("--help").env_clear().output().expect("the exporter starts").stdout;
    let help = String::from_utf8(help).expect("text");
    let (_, table) = help.split_once("Exit codes:\n").expect("a table");
    table.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

#[test]
fn readme_help_and_program_know_the_same_codes() {
    let codes = codes_of_program();
    assert!(codes.len() > 8 && codes.contains(&SUCCESS), "the enum is read: {codes:?}");
    assert_eq!(codes_of_readme(), codes);
    assert_eq!(codes_of_help(), codes);
}

#[test]
fn each_failure_of_readme_and_program_stands_once_in_the_policy_of_each_job_and_no_other() {
    let Some(python) = Python::for_test("the exit codes in the manifests") else { return };
    let home = TempDir::new().expect("a folder");
    let mut failures = codes_of_program();
    failures.remove(&SUCCESS);
    for file in ["kubernetes/base/cronjob.yaml", "kubernetes/overlays/indexed/cronjob.yaml"] {
        let cron_job = read(python, home.path(), file);
        let policy = Policy::of(&cron_job);
        let mut named: Vec<u64> = policy.codes.iter().map(|(code, _)| *code).collect();
        named.sort_unstable();
        assert_eq!(named, Vec::from_iter(failures.clone()), "{file}");
        // Only what may pass is tried again, and a node that goes away is no failure whatever the code.
        assert_eq!(policy.first, "Ignore DisruptionTarget", "{file}");
        let counted: BTreeSet<u64> = policy.with("Count").collect();
        assert_eq!(counted, BTreeSet::from([73, 75]), "{file}");
    }
    let base = Policy::of(&read(python, home.path(), "kubernetes/base/cronjob.yaml"));
    assert_eq!(base.with("FailJob").collect::<BTreeSet<_>>(), BTreeSet::from([2, 3, 65, 70, 77, 78]));
    let indexed = Policy::of(&read(python, home.path(), "kubernetes/overlays/indexed/cronjob.yaml"));
    assert_eq!(indexed.with("FailJob").collect::<Vec<_>>(), [2], "one share's failure is not the others'");
}
