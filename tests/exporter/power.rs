//! The order of durable steps, which is all that a loss of power respects.
//!
//! The program's own trace shows the order, and the system calls, as strace sees them, that the trace is true. Not
//! every machine has strace, so the latter is asked for by name.

use std::collections::{BTreeSet, HashMap};

use crate::support::Story;

/// One line of a trace.
struct Step<'a> {
    operation: &'a str,
    path: &'a str,
}

/// Returns the steps of an undisturbed run that took effect.
fn effects(trace: &[String]) -> Vec<Step<'_>> {
    let after = trace.iter().filter_map(|line| line.strip_prefix("after "));
    let parted = after.map(|step| step.split_once(' ').expect("an operation and a path"));
    parted.map(|(operation, path)| Step { operation, path }).collect()
}

fn folder_of(path: &str) -> &str {
    match path {
        // However far above the root.
        "." | ".." => "..",
        path => path.rsplit_once('/').map_or(".", |(folder, _name)| folder),
    }
}

/// Asserts that each name follows its content and is made durable before anything else is changed.
fn assert_durable_in_order(trace: &[String]) {
    let steps = effects(trace);
    let mut synced = BTreeSet::new();
    for (at, step) in steps.iter().enumerate() {
        let what = format!("{} {}", step.operation, step.path);
        let mut following = steps[at + 1..].iter();
        match step.operation {
            // The probe of a location.
            "sync" if step.path == ".staging" => {}
            "sync" => assert!(synced.insert(step.path), "{what}"),
            "rename" => {
                assert!(synced.remove(step.path), "the content was synced before: {what}");
                let next = following.next().expect("the folder is synced");
                let is_synced = next.operation == "sync-folder" && next.path == folder_of(step.path);
                assert!(is_synced, "{what}, then {} {}", next.operation, next.path);
            }
            "create-folder" => {
                let next = following.next().expect("the folder above is synced");
                let is_synced = next.operation == "sync-folder" && next.path == folder_of(step.path);
                assert!(is_synced, "{what}, then {} {}", next.operation, next.path);
            }
            // What is staged need not stay, nor stay away.
            "remove" if step.path.starts_with(".staging") => {}
            "remove" => {
                let mut stays = folder_of(step.path);
                let mut next = following.next().expect("a folder is synced");
                while next.operation == "remove-folder" && next.path == stays {
                    stays = folder_of(stays);
                    next = following.next().expect("a folder is synced");
                }
                let is_synced = next.operation == "sync-folder" && next.path == stays;
                assert!(is_synced, "{what}, then {} {}", next.operation, next.path);
            }
            "stage" | "write" | "link" | "lock" | "remove-folder" | "sync-folder" => {}
            unknown => panic!("{unknown} has no place in the order"),
        }
    }
}

/// Asserts that what names or derives from other files comes after them: revision, manifest, current copies,
/// summary, and the closing of a month that was not closed before.
fn assert_published_in_order(trace: &[String], closes: bool) {
    let renamed: Vec<&str> =
        effects(trace).iter().filter(|step| step.operation == "rename").map(|step| step.path).collect();
    let rank = |path: &&str| match path.split('/').next() {
        Some("revisions") => u8::from(path.ends_with("/manifest.json")),
        Some("manifests") if path.ends_with("/_CLOSED.json") => 5,
        Some("manifests") => 2,
        Some("guest_roster" | "guest_counts") => 3,
        Some("summary") => 4,
        folder => panic!("{folder:?} has no place in the order"),
    };
    let ranks: Vec<u8> = renamed.iter().map(rank).collect();
    assert!(ranks.is_sorted(), "{renamed:?}");
    assert_eq!(ranks.into_iter().collect::<BTreeSet<_>>().len(), if closes { 6 } else { 5 }, "{renamed:?}");
}

/// The stories, and whether each closes a month that was not closed before.
fn stories() -> [(Story, bool); 3] {
    [
        (Story::first_publication(), true),
        (Story::restatement(), false),
        (Story::restatement_after_a_death(), false),
    ]
}

#[test]
fn a_loss_of_power_finds_content_before_names_and_names_before_what_relies_on_them() {
    for (story, closes) in stories() {
        let trace = story.history.trace();
        assert_durable_in_order(&trace);
        assert_published_in_order(&trace, closes);
    }
}

#[test]
fn a_loss_of_power_finds_runs_before_the_cursor_that_names_them() {
    let trace = Story::first_publication_of_a_long_list().history.trace();
    assert_durable_in_order(&trace);
    let steps = effects(&trace);
    let of_walks = |operation: &str| {
        let steps =
            steps.iter().filter(|step| step.operation == operation && step.path.starts_with("walks/"));
        steps.map(|step| step.path.rsplit_once('/').expect("a name").1).collect::<Vec<_>>()
    };
    let renamed = of_walks("rename");
    let runs: Vec<usize> = (0..renamed.len()).filter(|at| renamed[*at] != "cursor.json").collect();
    assert_eq!(
        (runs.len(), runs[0]),
        (4, 0),
        "one for each page, and the first before any cursor: {renamed:?}"
    );
    assert!(runs.iter().all(|at| renamed[at + 1] == "cursor.json"), "a cursor commits each: {renamed:?}");
    assert_eq!(of_walks("remove")[0], "cursor.json", "what is left of a removal is garbage");
}

/// Makes of system calls the lines that the program's own trace would have.
fn trace_of(calls: &[String], output: &str) -> Vec<String> {
    let below = |path: &str| match path.strip_prefix(output) {
        Some("") => ".".to_owned(),
        Some(below) => below.trim_start_matches('/').to_owned(),
        None => "..".to_owned(),
    };
    // A staged link is another name of a file, and it is the file that is synced.
    let (mut files, mut synced, mut trace) = (HashMap::new(), BTreeSet::new(), Vec::new());
    for call in calls {
        let call = call.split_once(' ').expect("a process id").1.trim_start();
        let (name, arguments) = call.split_once('(').expect("a call");
        let quoted: Vec<String> = arguments.split('"').skip(1).step_by(2).map(below).collect();
        match name {
            "fsync" | "fdatasync" => {
                let path = arguments.split(['<', '>']).nth(1).expect("a path");
                let path = below(path);
                if path.starts_with(".staging/") || files.values().any(|file| *file == path) {
                    synced.insert(path);
                } else {
                    trace.push(format!("after sync-folder {path}"));
                }
            }
            "link" | "linkat" => {
                files.insert(quoted[1].clone(), quoted[0].clone());
                trace.push("after link .staging".to_owned());
            }
            "rename" | "renameat" | "renameat2" => {
                if synced.remove(files.get(&quoted[0]).unwrap_or(&quoted[0])) {
                    trace.push(format!("after sync {}", quoted[1]));
                }
                trace.push(format!("after rename {}", quoted[1]));
            }
            "mkdir" | "mkdirat" => trace.push(format!("after create-folder {}", quoted[0])),
            "rmdir" => trace.push(format!("after remove-folder {}", quoted[0])),
            "unlink" | "unlinkat" => trace.push(format!("after remove {}", quoted[0])),
            unknown => panic!("{unknown} was not asked for"),
        }
    }
    trace
}

#[test]
#[ignore = "takes strace"]
fn the_system_is_asked_for_what_the_trace_tells_in_the_same_order() {
    for (story, closes) in stories() {
        let (calls, output) = story.history.system_calls();
        let trace = trace_of(&calls, &output);
        assert_durable_in_order(&trace);
        assert_published_in_order(&trace, closes);
    }
}
