//! What a data file must contain, and whether it does.
//!
//! Rows are held against the digest of the content that the manifest vouches for, in whichever format they
//! stand: since the formula guard can be undone exactly, CSV and Parquet have one digest, and are held against
//! each other by it. Memory stays at one batch, however long the file is.

use std::fs::File;
use std::io::{BufReader, Read, Seek};

use arrow::array::RecordBatch;

use crate::dataset::content::{ContentDigest, ContentError, Disclosure, RosterHasher};
use crate::dataset::{Dataset, Format, ReadError, csv, parquet, schema};
use crate::error_chain::error_chain;
use crate::publish::manifest::{FileRecord, Manifest, RosterKind};
use crate::storage::digest::Measure;

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// What is wrong with a data file.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContentProblem {
    #[error("cannot be read to its end: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("is {found} bytes long, and its manifest says {recorded}")]
    Length { recorded: u64, found: u64 },
    #[error("has another SHA-256 than its manifest says: its bytes were altered")]
    Altered,
    #[error("does not hold rows of its dataset: {}", error_chain(.0))]
    Unparsable(#[from] ReadError),
    #[error("holds rows that cannot have been published: {0}")]
    Rows(#[from] ContentError),
    #[error("has {found} rows, and its manifest says {recorded}")]
    Count { recorded: u64, found: u64 },
    #[error("holds other rows than its manifest's content_sha256 vouches for")]
    OtherRows,
    #[error("holds another period, network or guest_count than its manifest")]
    OtherCount,
    #[error("has {found} cells that the formula guard changed, and its manifest says {recorded}")]
    GuardedCells { recorded: u64, found: u64 },
    #[error("does not begin as its manifest's csv.bom says")]
    ByteOrderMark,
}

/// Holds a file's bytes against its record.
pub(super) fn check_bytes(file: &mut File, record: &FileRecord) -> Result<(), ContentProblem> {
    let Measure { bytes, sha256 } = Measure::of(&mut *file)?;
    if bytes != record.bytes {
        return Err(ContentProblem::Length { recorded: record.bytes, found: bytes });
    }
    if sha256 != record.sha256 {
        return Err(ContentProblem::Altered);
    }
    Ok(file.rewind()?)
}

/// Holds a file's rows against what its manifest says of them.
pub(super) fn check_rows(
    mut file: File,
    record: &FileRecord,
    manifest: &Manifest,
) -> Result<(), ContentProblem> {
    let schema = record.dataset.schema();
    match record.format {
        Format::Parquet => {
            let mut batches = parquet::read(file, &schema)?;
            check_batches(&mut batches, record, manifest)
        }
        Format::Csv => {
            check_byte_order_mark(&mut file, manifest)?;
            let guarded = manifest.csv.is_some_and(|csv| csv.formula_guard);
            let mut batches = csv::read(BufReader::with_capacity(128 * 1024, file), &schema, guarded)?;
            check_batches(&mut batches, record, manifest)?;
            let (recorded, found) = (manifest.walk.guarded_cells, batches.guarded_cells());
            // The counts hold no cell that could be guarded, so all of them are the roster's.
            if record.dataset == Dataset::GuestRoster && recorded != found {
                return Err(ContentProblem::GuardedCells { recorded, found });
            }
            Ok(())
        }
    }
}

fn check_byte_order_mark(file: &mut File, manifest: &Manifest) -> Result<(), ContentProblem> {
    let mut beginning = Vec::new();
    file.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut beginning)?;
    file.rewind()?;
    if manifest.csv.is_some_and(|csv| csv.bom) != (beginning == BYTE_ORDER_MARK) {
        return Err(ContentProblem::ByteOrderMark);
    }
    Ok(())
}

fn check_batches(
    batches: &mut dyn Iterator<Item = Result<RecordBatch, ReadError>>,
    record: &FileRecord,
    manifest: &Manifest,
) -> Result<(), ContentProblem> {
    match record.dataset {
        Dataset::GuestRoster => check_roster(batches, record, manifest),
        Dataset::GuestCounts => check_counts(batches, record, manifest),
    }
}

fn check_roster(
    batches: &mut dyn Iterator<Item = Result<RecordBatch, ReadError>>,
    record: &FileRecord,
    manifest: &Manifest,
) -> Result<(), ContentProblem> {
    let disclosure = match (&manifest.roster.mode, &manifest.roster.key_id) {
        (RosterKind::Pseudonymous, Some(key_id)) => Disclosure::Pseudonymous { key_id },
        _ => Disclosure::Full,
    };
    let mut hasher = RosterHasher::new(disclosure, manifest.billing_period, manifest.network_id);
    for batch in batches {
        hasher.push_batch(&batch?)?;
    }
    let found = hasher.guests();
    if found != record.rows {
        return Err(ContentProblem::Count { recorded: record.rows, found });
    }
    if hasher.finish() != manifest.content_sha256 {
        return Err(ContentProblem::OtherRows);
    }
    Ok(())
}

fn check_counts(
    batches: &mut dyn Iterator<Item = Result<RecordBatch, ReadError>>,
    record: &FileRecord,
    manifest: &Manifest,
) -> Result<(), ContentProblem> {
    let (period, network, guests) = (manifest.billing_period, manifest.network_id, manifest.counts.guests);
    let expected = schema::guest_counts_batch(period, network, guests);
    let mut found = 0;
    for batch in batches {
        let batch = batch?;
        found += batch.num_rows() as u64;
        if batch.num_rows() == 1 && batch != expected {
            return Err(ContentProblem::OtherCount);
        }
    }
    if found != record.rows {
        return Err(ContentProblem::Count { recorded: record.rows, found });
    }
    // Of counts alone, the content is the count, and no roster is there to be digested.
    let counts_only = manifest.roster.mode == RosterKind::None;
    if counts_only && ContentDigest::of_counts(period, network, guests) != manifest.content_sha256 {
        return Err(ContentProblem::OtherRows);
    }
    Ok(())
}
