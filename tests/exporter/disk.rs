//! A disk that is full, read-only or forbidden at any kind of durable step: fail points show every step, a small
//! disk of its own shows the real thing.
//!
//! The real thing takes the right to mount in a namespace, which not every machine grants, so it is asked for by
//! name.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{CLOSED, NETWORK, Output, Run, Scene, Story, guests, kinds, population};

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
        writeln!(told, "{kind}, {fault}:\n  {code} {complaint}\n  verify complains of {found}")
            .expect("a string");
    }
    told
}

fn settled() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"r(\d{6})-[0-9a-f]{8}", "r$1-[nonce]");
    settings.add_filter(r"/\S*/\.tmp\w+/out", "[output]");
    settings.add_filter(r"/\S*/\.tmp\w+/\.local/state/wickr-guest-export", "[state]");
    settings.add_filter(r"[0-9a-f]{64}\.run", "[digest].run");
    settings.add_filter(r"walks/[0-9a-f]{16}", "walks/[output]");
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

#[test]
fn a_state_folder_that_refuses_any_kind_of_step_is_named_and_the_next_run_makes_good() {
    let told = complaints(&Story::first_publication_of_a_long_list(), |kind| kind.ends_with(" walks"));
    settled().bind(|| insta::assert_snapshot!(told));
}

/// A disk of its own, as small as a test wants it, in a namespace that a shell keeps alive.
struct SmallDisk {
    shell: Child,
    folder: TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut unshare = Command::new("unshare");
        let shell = unshare.args(["--user", "--map-root-user", "--mount", "sh"]);
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare starts");
        let mut disk = Self { shell, folder };
        disk.tell(&format!("mount -t tmpfs -o size={size} tmpfs {}", disk.folder.path().display()));
        disk
    }

    /// Has the shell do something, and waits until it is done.
    fn tell(&mut self, command: &str) {
        let stdin = self.shell.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{command} && echo done || exit").expect("the shell listens");
        let mut answer = String::new();
        let stdout = self.shell.stdout.as_mut().expect("a pipe");
        BufReader::with_capacity(1, stdout).read_line(&mut answer).expect("the shell answers");
        assert_eq!(answer, "done\n", "{command}: is a user namespace permitted to mount here?");
    }

    /// Returns a path on the disk as processes outside the namespace see it.
    fn path(&self, name: &str) -> PathBuf {
        let within = self.folder.path().strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.shell.id())).join(within).join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ended = self.shell.wait();
    }
}

/// Makes a file that takes all the room there is, and returns its length in bytes.
fn fill(path: &Path) -> u64 {
    let mut file = File::create(path).expect("room for a name");
    let full = io::copy(&mut io::repeat(0), &mut file).expect_err("no disk is endless");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    file.metadata().expect("a file").len()
}

#[test]
#[ignore = "takes the right to mount in a user namespace"]
fn a_state_disk_that_is_really_full_is_gone_on_from_and_can_be_cleared() {
    let disk = SmallDisk::mount("4m");
    let state = disk.path("state").display().to_string();
    let scene = Scene::new(population(&[(CLOSED, guests(0..1050))]));
    let job = "[request]\nattempts = 2\n[resume]\nrows = 300\n";
    let export = scene.job(job).args(["--network", NETWORK, "--period", CLOSED, "--state", &state]);
    let fatal = "durable-step.before.rename.walks=3*off->return(kill)";
    let died = export.clone().fail_points(fatal).run_to_death();
    assert!(died.is_err(), "killed when two runs and the cursor were written");
    let ballast = disk.path("ballast");
    fill(&ballast);
    let run = export.clone().run().exits(73);
    assert!(run.stderr.contains("going on where an earlier run stopped"), "{}", run.stderr);
    assert!(run.message().contains("free some space and run again"), "{}", run.message());
    let listed = scene.exporter().args(["state", "--state", &state]).run().exits(0).stdout;
    assert!(listed.contains(NETWORK), "what was kept is still there: {listed}");
    let cleared = scene.exporter().args(["state", "clear", "--state", &state]).run().exits(0).stdout;
    assert!(cleared.starts_with("Removed 1 unfinished walk, "), "{cleared}");
    fs::remove_file(&ballast).expect("a file");
    export.run().exits(0);
    scene.assert_published_whole(CLOSED);
}

#[test]
#[ignore = "takes the right to mount in a user namespace"]
fn a_disk_that_is_really_full_or_read_only_keeps_what_was_published_and_the_next_run_makes_good() {
    let mut disk = SmallDisk::mount("4m");
    let out = disk.path("out");
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..1500))]));
    let export = |scene: &Scene| scene.export(CLOSED).replacing("--output", &out.display().to_string());
    export(&scene).run().exits(0);
    let verified = |scene: &Scene| export(scene).verifying(&out).run().exits(0);
    let output = Output::new(out.clone());
    let (first, files) = (output.manifest(NETWORK, CLOSED), output.files());

    // There is room to begin, and none to end.
    let ballast = disk.path("ballast");
    let room = fill(&ballast);
    File::options().write(true).open(&ballast).and_then(|file| file.set_len(room - 65_536)).expect("a file");
    scene.becomes(population(&[(CLOSED, guests(5..1600))]));
    let message = export(&scene).run().exits(73).message();
    assert!(message.contains("No space left on device"), "{message}");
    assert!(message.ends_with("; free some space and run again"), "{message}");
    verified(&scene);
    assert_eq!((output.manifest(NETWORK, CLOSED), output.files()), (first, files), "nothing has changed");

    disk.tell(&format!("mount -o remount,ro {}", disk.folder.path().display()));
    let error = export(&scene).run().exits(73).error();
    assert!(error.contains("Read-only file system"), "{error}");
    assert!(error.ends_with("; mount it for writing, or choose another place"), "{error}");
    verified(&scene);

    // What a dead run left fills the disk to the last byte.
    disk.tell(&format!("mount -o remount,rw {}", disk.folder.path().display()));
    fs::remove_file(&ballast).expect("a file");
    fill(&out.join(".staging/part-of-the-dead"));
    export(&scene).run().exits(0);
    verified(&scene);
    assert!(output.roster(NETWORK, CLOSED) == guests(5..1600));
    assert_eq!(fs::read_dir(out.join(".staging")).expect("a folder").count(), 0);
}
