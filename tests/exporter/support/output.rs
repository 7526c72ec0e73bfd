//! What a run left in its output folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use serde_json::Value;
use wickr_guest_export::dataset::{Dataset, parquet};
use wickr_guest_export::publish::manifest;
use wickr_guest_export::storage::seal;

/// Lists every file below a folder, in the order of their paths. A folder that is not there is empty.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A published output.
pub(crate) struct Output {
    root: PathBuf,
}

impl Output {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn manifest_path(&self, network: &str, period: &str) -> PathBuf {
        self.root.join(format!("manifests/period={period}/network={network}/manifest.json"))
    }

    pub(crate) fn is_published(&self, network: &str, period: &str) -> bool {
        self.manifest_path(network, period).exists()
    }

    /// Moves away all files of a network and month, and the closing of the month: it was never published.
    pub(crate) fn unpublish(&self, network: &str, period: &str) {
        let task = format!("period={period}/network={network}");
        let copies = ["guest_counts", "guest_roster"]
            .into_iter()
            .flat_map(|dataset| ["parquet", "csv"].map(|format| format!("{dataset}/{format}/{task}")));
        for folder in copies.chain([format!("manifests/{task}"), format!("revisions/{task}")]) {
            let folder = self.root.join(folder);
            if folder.exists() {
                fs::remove_dir_all(folder).expect("a folder");
            }
        }
        let closing = self.root.join(format!("manifests/period={period}/_CLOSED.json"));
        if closing.exists() {
            fs::remove_file(closing).expect("a closing");
        }
    }

    #[track_caller]
    pub(crate) fn manifest(&self, network: &str, period: &str) -> Value {
        let path = self.manifest_path(network, period);
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).expect("JSON")
    }

    /// Makes a published manifest say something else, sealed as if the program had written it.
    pub(crate) fn edit_manifest(&self, network: &str, period: &str, edit: impl FnOnce(&mut Value)) {
        let mut manifest = self.manifest(network, period);
        edit(&mut manifest);
        manifest.as_object_mut().expect("an object").remove("manifest_sha256").expect("a seal");
        let json = serde_json::to_string_pretty(&manifest).expect("JSON");
        fs::write(self.manifest_path(network, period), seal::sealed(manifest::SEAL_FIELD, &json))
            .expect("a manifest");
    }

    /// Reads the current copy of a roster as Parquet, `(hash, username)` in its order.
    pub(crate) fn roster(&self, network: &str, period: &str) -> Vec<(String, String)> {
        self.rows(&format!("guest_roster/parquet/period={period}/network={network}/guest_roster.parquet"))
    }

    /// Reads a roster in Parquet, `(hash, username)` in its order.
    pub(crate) fn rows(&self, place: &str) -> Vec<(String, String)> {
        let file = File::open(self.root.join(place)).unwrap_or_else(|error| panic!("{place}: {error}"));
        let batches = parquet::read(file, &Dataset::GuestRoster.schema()).expect("Parquet");
        let mut rows = Vec::new();
        for batch in batches {
            let batch = batch.expect("rows");
            let text = |name: &str| {
                let column = batch.column_by_name(name).expect("a column").as_string::<i32>().clone();
                move |row: usize| {
                    if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
                }
            };
            let (hash, username) = (text("username_hash"), text("username"));
            rows.extend((0..batch.num_rows()).map(|row| (hash(row), username(row))));
        }
        rows
    }

    /// Lists every file below the output but locks and summaries, relative to it, in order.
    pub(crate) fn files(&self) -> Vec<String> {
        let below = |path: PathBuf| path.strip_prefix(&self.root).expect("below").display().to_string();
        files_below(&self.root).into_iter().map(below).collect()
    }

    /// Returns the networks that the summary lists as published, a row each.
    pub(crate) fn summarised(&self) -> Vec<String> {
        let summary = self.bytes("summary/csv/guest_counts.csv");
        let mut reader = csv::Reader::from_reader(&summary[..]);
        let headers = reader.headers().expect("a header").clone();
        let column = |name: &str| headers.iter().position(|header| header == name).expect("a column");
        let (network, status) = (column("network_id"), column("status"));
        let rows = reader.records().map(|row| row.expect("a row"));
        rows.filter(|row| &row[status] == "published").map(|row| row[network].to_owned()).collect()
    }

    /// Reads a file as bytes.
    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        fs::read(self.root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Asserts that no data was published and none left behind.
    #[track_caller]
    pub(crate) fn assert_holds_no_data(&self) {
        let files = self.files();
        let data = |file: &&String| file.contains("guest_roster") || file.contains("manifest.json");
        assert_eq!(files.iter().find(data), None, "nothing of a roster is left: {files:?}");
    }
}
