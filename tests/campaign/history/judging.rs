//! What must hold of an output and of the state beside it, whatever became of the run that left them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Handle;
use wickr_guest_export::dataset::{Dataset, csv, parquet};
use wickr_guest_export::storage::LocalDestination;
use wickr_guest_export::verify::{Finding, VerificationFilter, verify};

use super::program::{Disturbance, Ended, Told};
use super::world::{Generation, Task, guests_of};
use crate::schedule::Mode;
use crate::trial::{Held, datasets, ensure};

/// Files by their paths below some folder.
pub(super) type Contents = BTreeMap<String, Vec<u8>>;

/// What is published of each task: its revision, and the digest of its content.
pub(super) type Publications = BTreeMap<Task, (u64, String)>;

/// Files that were damaged, and the bytes that they were left with: what was written since is sound.
pub(super) type Damaged = BTreeMap<PathBuf, Vec<u8>>;

fn is_damaged(file: &Path, damaged: &Damaged) -> bool {
    damaged.get(file).is_some_and(|bytes| fs::read(file).is_ok_and(|found| found == *bytes))
}

/// Lists every file below a folder, relative to it, in order.
pub(super) fn files_below(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(root).expect("below").display().to_string());
            }
        }
    }
    files.sort();
    files
}

/// Reads all current copies of an output.
pub(super) fn current_copies(out: &Path) -> Contents {
    let files = files_below(out).into_iter().filter(|path| path.starts_with("guest_"));
    files.map(|path| (path.clone(), fs::read(out.join(&path)).expect("a file"))).collect()
}

fn json(path: &Path) -> Held<Value> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads what is published.
pub(super) fn publications(out: &Path) -> Held<Publications> {
    let mut publications = Publications::new();
    // That a month is closed is told beside the manifests.
    for path in files_below(&out.join("manifests")).into_iter().filter(|path| path.ends_with("manifest.json"))
    {
        let manifest = json(&out.join("manifests").join(path))?;
        let text = |field: &str| manifest[field].as_str().expect("a text").to_owned();
        let task =
            (text("network_id").parse().expect("an id"), text("billing_period").parse().expect("a period"));
        let revision = manifest["revision"].as_u64().expect("a number");
        publications.insert(task, (revision, text("content_sha256")));
    }
    Ok(publications)
}

fn guests_published(out: &Path, (network, period): Task) -> Held<usize> {
    let manifest = json(&out.join(format!("manifests/period={period}/network={network}/manifest.json")))?;
    let guests = manifest["counts"]["guests"].as_u64().expect("a number");
    Ok(usize::try_from(guests).expect("few"))
}

fn findings(out: &Path, runtime: &Handle) -> Held<Vec<Finding>> {
    let destination = Arc::new(LocalDestination::new(out.to_owned()));
    let verified = runtime.block_on(verify(destination, &VerificationFilter::default(), chrono::Utc::now()));
    Ok(verified.map_err(|error| error.to_string())?.findings)
}

/// Holds that everything is whole, and nothing is left behind.
pub(super) fn hold_whole(out: &Path, runtime: &Handle) -> Held<()> {
    ensure("what verify finds", &findings(out, runtime)?, &Vec::new())
}

/// How many guests may be published at most of lists that changed while they were walked.
pub(super) type Mixed = BTreeMap<Task, usize>;

/// Holds what is published after a run against what was before it and what the lists are now. A run that says that all
/// is well has published all of them.
pub(super) fn hold_publications(
    out: &Path,
    runtime: &Handle,
    before: &Publications,
    now: &Publications,
    may_mix: &Mixed,
    all_is_well: bool,
) -> Held<()> {
    let after = publications(out)?;
    let lags = |task: &&Task| {
        let published = after.get(task).map(|(_, content)| content);
        !may_mix.contains_key(task) && published != Some(&now[task].1)
    };
    if let Some(task) = now.keys().find(|task| all_is_well && lags(task)) {
        return Err(format!("the run ended with 0, and {task:?} is not published as the list is now"));
    }
    if let Some(task) = before.keys().find(|task| !after.contains_key(task)) {
        return Err(format!("{task:?} was published, and no longer is"));
    }
    for (task, (revision, content)) in &after {
        let old = before.get(task);
        let old_revision = old.map_or(0, |(revision, _)| *revision);
        if *revision == old_revision {
            ensure("the content of a revision", content, &old.expect("it has a revision").1)?;
            continue;
        }
        ensure("the number of a new revision", revision, &(old_revision + 1))?;
        let expected =
            now.get(task).ok_or_else(|| format!("{task:?} was published, and nobody asked for it"))?;
        match may_mix.get(task) {
            None => {
                if *content != expected.1 {
                    return Err(format!("{task:?} was published, and is not what the list is now"));
                }
            }
            Some(most) => {
                let guests = guests_published(out, *task)?;
                if guests > *most {
                    return Err(format!(
                        "{task:?} was published with {guests} guests, and there never were more than {most}"
                    ));
                }
            }
        }
    }
    // What is derived from publications may lag behind them, and what was begun may lie about.
    for finding in findings(out, runtime)? {
        let is_derived =
            ["guest_roster/", "guest_counts/", "summary/"].map(|folder| finding.path.starts_with(folder));
        let is_nothing = after.is_empty() && finding.problem.contains("holds no publication");
        let is_an_orphan = finding.problem.contains("was never published: a run died");
        if !is_derived.contains(&true) && !is_nothing && !is_an_orphan {
            return Err(format!("verify finds: {finding}"));
        }
    }
    Ok(())
}

/// Holds how a run ended against what befell it.
pub(super) fn hold_end(disturbance: &Disturbance, ended: &Ended) -> Held<()> {
    let steps = ended.steps();
    let was_killed = steps.iter().any(|(what, _)| ["killed", "torn"].contains(what));
    // What fails ends a task or the run, and both say so; else it is made up for, or said and of no consequence.
    let failed = || steps.iter().filter(|(what, _)| *what == "failed");
    let is_refused = ended.stderr.contains("task failed") || ended.stderr.contains("error: ");
    let killed = (None, Some(Signal::KILL.as_raw()));
    let (code, signal) = match disturbance {
        Disturbance::FailPoint(_) if was_killed => killed,
        Disturbance::FailPoint(_) if failed().count() > 0 && is_refused => (Some(73), None),
        Disturbance::Signal { signal: Told::Kill, .. } if ended.was_signalled => killed,
        Disturbance::Signal { signal: Told::Terminate, .. } if ended.was_signalled => (Some(75), None),
        Disturbance::None | Disturbance::FailPoint(_) | Disturbance::Signal { .. } => (Some(0), None),
    };
    if (ended.code, ended.signal) != (code, signal) {
        return Err(format!(
            "ended with code {:?} or signal {:?}, and not with {code:?} or {signal:?}, after {disturbance:?}:\n{}",
            ended.code, ended.signal, ended.stderr
        ));
    }
    let is_silent = code == Some(0) && !ended.stderr.contains(" WARN ");
    match failed().find(|(_, step)| is_silent && !is_made_up_for(step)) {
        Some((_, step)) => Err(format!("nothing is said of what failed {step}:\n{}", ended.stderr)),
        None => Ok(()),
    }
}

/// Says whether a step has a substitute: a link is replaced by a copy, and a folder that stays empty does no harm.
fn is_made_up_for(step: &str) -> bool {
    [" link ", " remove-folder "].iter().any(|operation| step.contains(operation))
}

/// Walks in the state location that the next run finds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeptWalks {
    pub(super) usable: usize,
    pub(super) unusable: usize,
}

/// Foretells which walks the next run goes on with.
pub(super) fn kept_walks(state: &Path, out: &Path, damaged: &Damaged) -> Held<KeptWalks> {
    let walks = state.join("walks");
    let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for file in files_below(&walks) {
        let file = walks.join(file);
        folders.entry(file.parent().expect("a folder").to_owned()).or_default().push(file);
    }
    let mut kept = KeptWalks::default();
    for (folder, files) in folders {
        if is_usable(&folder, &files, out, damaged)? { kept.usable += 1 } else { kept.unusable += 1 }
    }
    Ok(kept)
}

fn is_usable(folder: &Path, files: &[PathBuf], out: &Path, damaged: &Damaged) -> Held<bool> {
    let path = folder.join("cursor.json");
    if !files.contains(&path) || is_damaged(&path, damaged) {
        return Ok(false);
    }
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let run_is_damaged = files.iter().filter(|file| is_damaged(file, damaged)).any(|file| {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        text.contains(&name)
    });
    if run_is_damaged {
        return Ok(false);
    }
    // A roster that was published since answers for itself.
    let fingerprint = json(&path)?["fingerprint"].clone();
    let text = |field: &str| fingerprint[field].as_str().expect("a text").to_owned();
    let (period, network) = (text("billing_period"), text("network"));
    let manifest = out.join(format!("manifests/period={period}/network={network}/manifest.json"));
    let published = match manifest.exists().then(|| json(&manifest)).transpose()? {
        Some(manifest) => {
            let checked_at: chrono::DateTime<chrono::Utc> =
                manifest["checked_at"].as_str().expect("an instant").parse().expect("an instant");
            Value::String(format!("revision {} of {checked_at}", manifest["revision"]))
        }
        None => Value::Null,
    };
    Ok(fingerprint["published"] == published)
}

/// Holds what an undisturbed run has published against the lists themselves.
pub(super) fn hold_reference(
    out: &Path,
    mode: Mode,
    tasks: impl Iterator<Item = Task>,
    lists: &Generation,
) -> Held<()> {
    for (network, period) in tasks {
        let guests = guests_of(&lists[&(network, period)]);
        let place = format!("period={period}/network={network}");
        let manifest = json(&out.join(format!("manifests/{place}/manifest.json")))?;
        ensure("the number of guests", &manifest["counts"]["guests"].as_u64(), &Some(guests.len() as u64))?;
        let labels = (period.to_string(), network.to_string());
        let expected = datasets::expected_rows(&labels, &guests, mode, super::world::KEY.as_bytes());
        let files = ["parquet", "csv"]
            .map(|format| out.join(format!("guest_roster/{format}/{place}/guest_roster.{format}")));
        let [in_parquet, in_csv] = &files;
        let schema = Dataset::GuestRoster.schema();
        let mut found = Vec::new();
        if in_parquet.exists() {
            let file = Bytes::from(fs::read(in_parquet).expect("a file"));
            found.push(datasets::rows(parquet::read(file, &schema).map_err(|error| error.to_string())?)?);
        }
        if in_csv.exists() {
            let file = BufReader::new(File::open(in_csv).expect("a file"));
            found.push(datasets::rows(csv::read(file, &schema, true).map_err(|error| error.to_string())?)?);
        }
        ensure("whether there is a roster", &!found.is_empty(), &expected.is_some())?;
        for rows in found {
            ensure("the rows of a roster", &Some(rows), &expected)?;
        }
    }
    Ok(())
}
