//! Files of an invoice that hold the same rows: one export that is there twice, whose guests would count twice.
//!
//! Two parts of an export may well have the same number for the same network, so it is not enough that the rows that
//! count are alike: all cells of all rows have to be. Only files of two formats are copies without that, as an export
//! has one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::files::Format;
use super::{InvoiceError, parquet};

/// Rows in any order: how many there are, and the sum of their digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rows {
    number: u64,
    sum: u128,
}

impl Rows {
    /// Adds a row.
    pub(super) fn add<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let mut digest = Sha256::new();
        for cell in cells {
            let cell = cell.as_ref();
            digest.update((cell.len() as u64).to_be_bytes());
            digest.update(cell);
        }
        let digest: [u8; 32] = digest.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        self.number += 1;
        self.sum = self.sum.wrapping_add(u128::from_be_bytes(half));
    }
}

/// What a file holds.
pub(super) struct FileRows {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// The rows that count: their period, whom they are for, how many guests they have.
    pub(super) counted: Rows,
    /// All that it holds, where the reading of it has told.
    pub(super) whole: Option<Rows>,
}

/// Refuses files that are copies of each other.
pub(super) fn check(files: &[FileRows]) -> Result<(), InvoiceError> {
    let mut alike = BTreeMap::<Rows, Vec<&FileRows>>::new();
    for file in files.iter().filter(|file| file.counted.number > 0) {
        alike.entry(file.counted).or_default().push(file);
    }
    for (counted, files) in alike.into_iter().filter(|(_, files)| files.len() > 1) {
        let copies = |first: &Path, second: &FileRows| InvoiceError::Copies {
            first: first.to_owned(),
            second: second.path.clone(),
            rows: super::rows_in_words(counted.number),
        };
        if let Some(other) = files.iter().find(|file| file.format != files[0].format) {
            return Err(copies(&files[0].path, other));
        }
        let mut wholes = BTreeMap::<Rows, &Path>::new();
        for file in files {
            let whole = match file.whole {
                Some(whole) => whole,
                None => parquet::whole(&file.path)?,
            };
            if let Some(first) = wholes.insert(whole, &file.path) {
                return Err(copies(first, file));
            }
        }
    }
    Ok(())
}
