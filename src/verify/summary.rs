//! The verification of the summary: it must say of every publication what its manifest says, or said before the same was
//! found once more.
//!
//! The summary's own CSV is held against its own Parquet row by row. How its CSV was written stands nowhere, so
//! it may be read with the formula guard or without: one of the two must give the rows of the Parquet. No digest
//! vouches for a derived file, so a Parquet file of this version is held against what its rows are encoded to.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;

use parquet::file::reader::{FileReader, SerializedFileReader};

use super::VerificationFilter;
use super::report::{MISSING, VerificationReport};
use crate::dataset::Format;
use crate::publish::layout::{self, TaskKey};
use crate::publish::publication::PartError;
use crate::publish::summary::{measure_parquet, position, read_csv, read_parquet};
use crate::publish::summary_row::{PublishedColumns, SummaryRow};
use crate::storage::destination::Destination;
use crate::storage::digest::Measure;

const REMEDY: &str = "remove the folder `summary` and run any export: it is made anew from the manifests";

/// What the summary must contain.
pub(super) struct Expected {
    /// All tasks that have a manifest, selected or not.
    pub(super) manifests: BTreeSet<TaskKey>,
    /// The rows of the publications that were verified.
    pub(super) rows: Vec<SummaryRow>,
}

/// Checks both files of the summary.
pub(super) async fn verify(
    destination: &Arc<dyn Destination>,
    expected: &Expected,
    filter: &VerificationFilter,
    report: &mut VerificationReport,
) {
    let parquet = read(destination, Format::Parquet, expected, report, read_exact_parquet).await;
    if let Some(rows) = &parquet {
        check_rows(rows, expected, filter, report);
    }
    let csv = read(destination, Format::Csv, expected, report, |file| {
        let again = file.try_clone()?;
        let guarded = read_csv(file, true);
        std::io::Seek::rewind(&mut &again)?;
        // Both readings: which of them is right, the Parquet decides.
        match (guarded, read_csv(again, false)) {
            (Err(error), Err(_)) => Err(error),
            (guarded, plain) => Ok([guarded.ok(), plain.ok()]),
        }
    })
    .await;
    if let (Some(rows), Some(readings)) = (parquet, csv)
        && !readings.into_iter().flatten().any(|reading| reading == rows)
    {
        report.find(layout::summary(Format::Csv), "holds other rows than the summary in Parquet", REMEDY);
    }
}

/// Reads the rows; damage that leaves them readable is found by encoding them again.
fn read_exact_parquet(file: File) -> Result<Vec<SummaryRow>, PartError> {
    let measured = Measure::of(file.try_clone()?)?;
    let writer = SerializedFileReader::new(file.try_clone()?)?;
    let writer = writer.metadata().file_metadata().created_by().unwrap_or_default().to_owned();
    let rows = read_parquet(file)?;
    if !is_another_version(&writer) && measure_parquet(&rows)? != measured {
        return Err("its rows are readable, but its bytes are not those that were written".into());
    }
    Ok(rows)
}

/// Says whether another version of this program wrote a file, whose bytes cannot be told from here.
fn is_another_version(created_by: &str) -> bool {
    let version = created_by.strip_prefix(concat!(env!("CARGO_PKG_NAME"), " version "));
    version.is_some_and(|version| {
        let is_version =
            version.split('.').count() == 3 && version.starts_with(|digit: char| digit.is_ascii_digit());
        is_version && version != env!("CARGO_PKG_VERSION")
    })
}

async fn read<T: Send + 'static>(
    destination: &Arc<dyn Destination>,
    format: Format,
    expected: &Expected,
    report: &mut VerificationReport,
    parse: impl FnOnce(File) -> Result<T, PartError> + Send + 'static,
) -> Option<T> {
    let path = layout::summary(format);
    let file = match destination.open(&path).await {
        Ok(Some(file)) => file,
        Ok(None) => {
            if !expected.manifests.is_empty() {
                report.find(path, MISSING, "run any export: it is made anew from the manifests");
            }
            return None;
        }
        Err(error) => {
            report.find(path, format!("cannot be read: {error}"), REMEDY);
            return None;
        }
    };
    report.totals.files += 1;
    match tokio::task::spawn_blocking(move || parse(file)).await {
        Ok(Ok(parsed)) => Some(parsed),
        Ok(Err(error)) => {
            report.find(path, format!("cannot be read as a summary: {error}"), REMEDY);
            None
        }
        Err(_panicked) => {
            report.find(path, "cannot be decoded: its reader panicked", REMEDY);
            None
        }
    }
}

/// Says whether a row is that of an earlier check which found the same: a run makes the summary at its end, and the
/// manifests before that.
fn is_only_older(row: &SummaryRow, wanted: &SummaryRow) -> bool {
    let (Some(then), Some(now)) = (&row.published, &wanted.published) else { return false };
    let published = Some(PublishedColumns { checked_at: now.checked_at, ..then.clone() });
    then.checked_at < now.checked_at && SummaryRow { published, ..row.clone() } == *wanted
}

fn check_rows(
    rows: &[SummaryRow],
    expected: &Expected,
    filter: &VerificationFilter,
    report: &mut VerificationReport,
) {
    let path = layout::summary(Format::Parquet);
    if !rows.is_sorted_by(|one, next| position(one.task) < position(next.task)) {
        report.find(&path, "repeats a row or is not sorted", REMEDY);
        return;
    }
    for wanted in &expected.rows {
        let at = rows.binary_search_by_key(&position(wanted.task), |row| position(row.task));
        let problem = match at {
            Ok(at) if rows[at] == *wanted || is_only_older(&rows[at], wanted) => continue,
            Ok(_) => "says something else than the manifest of",
            Err(_) => "has no row of",
        };
        report.find(&path, format!("{problem} {}", wanted.task), REMEDY);
    }
    for row in rows.iter().filter(|row| filter.selects(row.task)) {
        if row.is_published() && !expected.manifests.contains(&row.task) {
            report.find(&path, format!("lists {} as published, which has no manifest", row.task), REMEDY);
        }
    }
}
