//! Which files an invoice has: one, or those of a folder and the folders in it.
//!
//! A file is recognised by how it begins, not by its name; only which files of a folder are data is told by names. A
//! folder with two versions of the same export looks like one with twice the usage, so it is refused.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::InvoiceError;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// CSV, plain or gzip.
    Delimited,
    /// Parquet.
    Parquet,
}

/// How a gzip file begins.
pub(super) const GZIP: &[u8] = &[0x1f, 0x8b];
/// How a Parquet file begins.
const PARQUET: &[u8] = b"PAR1";
/// How other files begin that somebody may take for an invoice: a zip, zstd, and Excel's of old.
const OTHERS: [&[u8]; 3] = [b"PK\x03\x04", &[0x28, 0xb5, 0x2f, 0xfd], &[0xd0, 0xcf, 0x11, 0xe0]];
/// How the names of spreadsheets end, which begin like those.
const SPREADSHEETS: [&str; 6] = ["xlsx", "xlsm", "xlsb", "xls", "ods", "numbers"];
/// How files end that lie beside an export and hold none of its rows.
const COMPANIONS: [&str; 6] = ["json", "sql", "yml", "yaml", "md", "txt"];
/// The most folders within each other.
const MAX_DEPTH: usize = 16;

/// The files of an invoice, in the order of their paths.
pub(super) struct Found {
    pub(super) files: Vec<(PathBuf, Format)>,
    /// Those beside them that are not read.
    pub(super) skipped: Vec<PathBuf>,
}

/// Finds the files of an invoice.
pub(super) fn find(path: &Path) -> Result<Found, InvoiceError> {
    let unreadable = |reason| InvoiceError::Unreadable { path: path.to_owned(), reason };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        let files = vec![(path.to_owned(), format_of(path)?)];
        return Ok(Found { files, skipped: Vec::new() });
    }
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    gather(path, MAX_DEPTH, &mut found, &mut skipped)?;
    if found.is_empty() {
        return Err(InvoiceError::NoFiles(path.to_owned()));
    }
    found.sort();
    check_versions(&found)?;
    skipped.sort();
    let files = found.into_iter().map(|file| format_of(&file).map(|format| (file, format)));
    Ok(Found { files: files.collect::<Result<_, _>>()?, skipped })
}

fn gather(
    folder: &Path,
    depth: usize,
    found: &mut Vec<PathBuf>,
    skipped: &mut Vec<PathBuf>,
) -> Result<(), InvoiceError> {
    let unreadable = |reason| InvoiceError::Unreadable { path: folder.to_owned(), reason };
    if depth == 0 {
        return Err(unreadable(io::Error::other("too many folders within each other")));
    }
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(['.', '_']) {
            skipped.extend(name.starts_with('_').then_some(path));
            continue;
        }
        if fs::metadata(&path).map_err(unreadable)?.is_dir() {
            gather(&path, depth - 1, found, skipped)?;
            continue;
        }
        let lower = name.to_ascii_lowercase();
        let (unpacked, is_packed) = lower.strip_suffix(".gz").map_or((&*lower, false), |name| (name, true));
        match unpacked.rsplit_once('.').map(|(_, extension)| (extension, is_packed)) {
            Some(("csv", _) | ("parquet", false)) => found.push(path),
            Some((extension, false)) if COMPANIONS.contains(&extension) => skipped.push(path),
            _ => return Err(unknown(&path)),
        }
    }
    Ok(())
}

/// Refuses what would be counted twice.
fn check_versions(files: &[PathBuf]) -> Result<(), InvoiceError> {
    let mut folders: BTreeMap<&Path, &PathBuf> = BTreeMap::new();
    for file in files {
        if file.extension().is_some_and(|extension| extension == "gz")
            && files.binary_search(&file.with_extension("")).is_ok()
        {
            return Err(InvoiceError::Twice(file.clone()));
        }
        let Some(partition) = file.ancestors().skip(1).find(|folder| key_and_value(folder).is_some()) else {
            continue;
        };
        let first = folders.entry(partition).or_insert(file);
        if first.parent() != file.parent() {
            return Err(InvoiceError::SeveralVersions {
                partition: partition.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                first: first.clone(),
                second: file.clone(),
            });
        }
    }
    Ok(())
}

fn format_of(path: &Path) -> Result<Format, InvoiceError> {
    let unreadable = |reason| InvoiceError::Unreadable { path: path.to_owned(), reason };
    let mut head = Vec::new();
    File::open(path).map_err(unreadable)?.take(4).read_to_end(&mut head).map_err(unreadable)?;
    if OTHERS.iter().any(|magic| head.starts_with(magic)) {
        return Err(unknown(path));
    }
    Ok(if head.starts_with(PARQUET) { Format::Parquet } else { Format::Delimited })
}

fn unknown(path: &Path) -> InvoiceError {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    if extension.is_some_and(|extension| SPREADSHEETS.contains(&&*extension)) {
        InvoiceError::Spreadsheet(path.to_owned())
    } else {
        InvoiceError::UnknownFile(path.to_owned())
    }
}

fn key_and_value(folder: &Path) -> Option<(String, String)> {
    let name = folder.file_name()?.to_string_lossy();
    let (key, value) = name.split_once('=')?;
    Some((key.to_owned(), value.to_owned()))
}

/// Returns what stands behind a key in the path of a file, as in `BILLING_PERIOD=2026-10`. Catalogues write keys in
/// small letters.
pub(super) fn partition(file: &Path, key: &str) -> Option<String> {
    let absolute = std::path::absolute(file).ok()?;
    let mut keys = absolute.ancestors().filter_map(key_and_value);
    keys.find(|(found, _)| found.eq_ignore_ascii_case(key)).map(|(_, value)| value)
}
