//! The state folder of a case, as whoever has access to its files sees it: watched, and tampered with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::TempDir;
use wickr_guest_export::storage::seal;

use super::Held;
use crate::schedule::Damage;
use crate::scratch_folder;

const CURSOR: &str = "cursor.json";
const SEAL: &str = "cursor_sha256";

/// The files of a checkpoint, by name.
type Files = Vec<(String, Vec<u8>)>;

pub(super) struct StateFolder {
    folder: TempDir,
    /// Every checkpoint that was there at some attempt, with its runs, if a case wants to go back to it.
    older: Mutex<Vec<Files>>,
    watched: bool,
}

impl StateFolder {
    pub(super) fn new(watched: bool) -> Held<Self> {
        let folder = scratch_folder().map_err(|error| format!("a state folder: {error}"))?;
        Ok(Self { folder, older: Mutex::default(), watched })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns every file below `walks`.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.path().join("walks")];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path = entry.expect("an entry").path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }

    fn cursor(&self) -> Option<PathBuf> {
        self.files().into_iter().find(|path| path.ends_with(CURSOR))
    }

    /// Says whether there is something to go on from.
    pub(super) fn has_cursor(&self) -> bool {
        self.cursor().is_some()
    }

    /// Remembers the checkpoint that is there.
    pub(super) fn look(&self) {
        if !self.watched {
            return;
        }
        let Some(cursor) = self.cursor() else { return };
        let cursor = fs::read(cursor).expect("a cursor");
        let mut older = self.older.lock().expect("no panic");
        if older.last().is_some_and(|files| files.iter().any(|(_, bytes)| *bytes == cursor)) {
            return;
        }
        let read = |path: PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("a file"))
        };
        older.push(self.files().into_iter().map(read).collect());
    }

    /// Does something to what is there, if it is.
    pub(super) fn suffer(&self, damage: Damage) {
        let Some(cursor) = self.cursor() else { return };
        let folder = cursor.parent().expect("a folder");
        let runs: Vec<PathBuf> = self.files().into_iter().filter(|path| !path.ends_with(CURSOR)).collect();
        let run = |any: u64, damage: &dyn Fn(&Path)| {
            let any = usize::try_from(any).expect("small");
            if let Some(run) = runs.get(any % runs.len().max(1)) {
                damage(run);
            }
        };
        match damage {
            Damage::CursorByteFlipped(any) => flip(&cursor, any),
            Damage::CursorCut(any) => cut(&cursor, any),
            Damage::CursorRemoved => fs::remove_file(&cursor).expect("a cursor"),
            Damage::CursorOfAnotherTask => {
                reseal(&cursor, |text| text.replace("\"01234567\"", "\"12345678\""));
            }
            Damage::CursorOfAnotherVersion => {
                reseal(&cursor, |text| text.replace("\"format\": ", "\"format\": 1"));
            }
            Damage::CursorContradictsItself => {
                reseal(&cursor, |text| {
                    text.replace("\"totals\": [", "\"totals\": [\"not_listed\", \"not_listed\",")
                });
            }
            Damage::RunByteFlipped(any) => run(any, &|run| flip(run, any)),
            Damage::RunCut(any) => run(any, &|run| cut(run, any)),
            Damage::RunLengthened => run(0, &|run| change(run, |bytes| bytes.push(0))),
            Damage::RunRemoved(any) => run(any, &|run| fs::remove_file(run).expect("a run")),
            Damage::RunExchanged(any) => run(any, &|run| change(run, |bytes| *bytes = another_run())),
            Damage::OlderCursorWithoutRun(back) => {
                if let Some(mut files) = self.some_back(back) {
                    if let Some(run) = files.iter().position(|(name, _)| name != CURSOR) {
                        files.remove(run);
                    }
                    put_back(folder, &files);
                }
            }
            Damage::OlderState(back) => {
                if let Some(files) = self.some_back(back) {
                    put_back(folder, &files);
                }
            }
            Damage::StrayRun => {
                let name = format!("{}.run", "0".repeat(64));
                fs::write(folder.join(name), another_run()).expect("a run");
            }
            Damage::TimePasses(_) | Damage::WasOf(_) | Damage::WasAnotherDay(_) => {}
        }
    }

    fn some_back(&self, back: u64) -> Option<Files> {
        let older = self.older.lock().expect("no panic");
        let back = usize::try_from(back).expect("small");
        older.len().checked_sub(1 + back).map(|index| older[index].clone())
    }
}

/// Makes the files those of an earlier time.
fn put_back(folder: &Path, files: &Files) {
    for entry in fs::read_dir(folder).expect("a folder") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).expect("a file");
    }
}

/// Writes a file again. What is in place is read-only.
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::remove_file(path).expect("a file");
    fs::write(path, bytes).expect("a file");
}

fn flip(path: &Path, any: u64) {
    change(path, |bytes| {
        let at = usize::try_from(any).expect("small") % bytes.len();
        bytes[at] ^= 1 << (any % 8);
    });
}

fn cut(path: &Path, any: u64) {
    change(path, |bytes| bytes.truncate(usize::try_from(any).expect("small") % bytes.len()));
}

/// Makes a cursor say something else, sealed as if the program had written it.
fn reseal(path: &Path, edit: impl FnOnce(&str) -> String) {
    change(path, |bytes| {
        let text = std::str::from_utf8(bytes).expect("JSON");
        let edited = edit(text);
        assert_ne!(edited, text, "the edit has an effect");
        let (document, _seal) = edited.rsplit_once(",\n  \"cursor_sha256\"").expect("a seal");
        *bytes = seal::sealed(SEAL, &format!("{document}\n}}"));
    });
}

/// A whole run of one guest whom nobody ever listed.
fn another_run() -> Vec<u8> {
    let (identity, name) = ("nobody's hash", "nobody");
    let length = |text: &str| u32::try_from(text.len()).expect("short").to_le_bytes();
    let text = format!("{identity}{name}");
    let mut run = b"wgerun1\n".to_vec();
    for part in [1_u32.to_le_bytes(), length(&text), length(identity), length(name)] {
        run.extend(part);
    }
    run.extend(text.as_bytes());
    run.extend([0; 8]);
    run.extend(1_u64.to_le_bytes());
    run
}
