//! A disk that is full, read-only or forbidden at any kind of durable step, and an order of steps that a loss of
//! power cannot turn round.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::support::{Run, Story, kinds};

/// Returns what a run that could not write said: of the whole run, of its task, or of the summary.
fn complaint(run: &Run) -> String {
    if run.stdout.is_empty() {
        return run.error();
    }
    if run.code != 0 {
        return run.message();
    }
    let warning = run.stderr.lines().find_map(|line| line.split_once("summary not updated"));
    warning.map_or("-".to_owned(), |(_, warning)| format!("summary not updated{warning}"))
}

/// Returns which folders `verify` complained of.
fn folders(findings: &[String]) -> String {
    let folder = |finding: &String| match finding.split_once('/') {
        Some(("", _)) | None => "the output".to_owned(),
        Some((folder, _)) => folder.to_owned(),
    };
    let folders: BTreeSet<String> = findings.iter().map(folder).collect();
    if folders.is_empty() { "nothing".to_owned() } else { Vec::from_iter(folders).join(" and ") }
}

/// Lets each kind of step fail in each way in turn, and tells how the runs ended and what `verify` then said.
fn complaints(story: &Story, wanted: impl Fn(&str) -> bool) -> String {
    let mut told = String::new();
    let kinds = kinds(&story.history.trace());
    let faults = ["enospc", "erofs", "eacces"].into_iter().cycle();
    for (kind, fault) in kinds.into_iter().filter(|kind| wanted(kind)).zip(faults) {
        let (operation, folder) = kind.split_once(' ').expect("an operation and a folder");
        let folder = if matches!(folder, "." | "..") { "root" } else { folder };
        let (run, found) = story.history.fail_at(&format!("durable-step.before.{operation}.{folder}"), fault);
        let (code, complaint, found) = (run.code, complaint(&run), folders(&found));
        writeln!(told, "{kind}, {fault}:\n  {code} {complaint}\n  verify complains of {found}").expect("a string");
    }
    told
}

fn settled() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"r(\d{6})-[0-9a-f]{8}", "r$1-[nonce]");
    settings.add_filter(r"/\S*/\.tmp\w+/out", "[output]");
    settings
}

#[test]
fn a_disk_that_refuses_any_kind_of_step_ends_with_73_and_the_next_run_makes_good() {
    let told = complaints(&Story::restatement_after_a_death(), |_| true);
    settled().bind(|| insta::assert_snapshot!(told));
}

#[test]
fn a_disk_that_refuses_a_folder_of_a_new_output_ends_with_73_and_the_next_run_makes_good() {
    let told = complaints(&Story::first_publication(), |kind| kind.contains("-folder "));
    settled().bind(|| insta::assert_snapshot!(told));
}
