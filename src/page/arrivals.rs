//! New and returning guests: the roster of a month held against that of the month before.
//!
//! Rosters are read as streams, each only after its bytes were held against the digest in its manifest, because a
//! roster that was altered would not fail the comparison, only make it count wrongly. A network whose rosters cannot
//! be compared has no number and a reason; that a place does not answer at all is no reason but an error, so that a
//! page is never poorer for a bad moment.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt as _, stream};

use crate::dataset::changes::{self, Changes};
use crate::dataset::error::RowsError;
use crate::dataset::{Dataset, Format, csv, parquet};
use crate::error_chain::error_chain;
use crate::ledger::Ledger;
use crate::period::BillingPeriod;
use crate::publish::Manifest;
use crate::publish::manifest::{FileRecord, RosterKind};
use crate::storage::digest::Measure;
use crate::storage::{Destination, DestinationError};
use crate::task::TaskKey;

/// How many networks are compared at once: each takes two rosters on the disk if they come from a store.
const COMPARED_AT_ONCE: usize = 2;

/// The guests of a month, by whether they were there in the month before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Guests who were not there before.
    pub new: u64,
    /// Guests who were there before.
    pub returning: u64,
    /// Guests of the month before who did not come again.
    pub gone: u64,
}

/// Why nobody knows who is new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// The network is not published in the month before.
    NothingBefore,
    /// Its manifest of the month before is not to be believed.
    DamagedBefore,
    /// Only counts are published.
    CountsOnly,
    /// A roster was purged.
    Purged,
    /// The two months hold identities of different kinds, or under different keys.
    OtherIdentities,
    /// A roster is not where it was published.
    NoRoster,
    /// Whoever makes the page may not read rosters.
    Forbidden,
    /// A roster is not what its manifest says.
    Damaged,
}

impl Unknown {
    /// Returns the reason as the end of a sentence.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NothingBefore => "nothing is published for the month before",
            Self::DamagedBefore => "the record of the month before is damaged",
            Self::CountsOnly => "only counts are published, no rosters",
            Self::Purged => "a roster was purged",
            Self::OtherIdentities => "the two rosters name guests under different keys",
            Self::NoRoster => "a roster is not there (kept elsewhere, or removed)",
            Self::Forbidden => "the rosters may not be read",
            Self::Damaged => "a roster is not what its manifest says; run verify",
        }
    }
}

/// The comparisons that were made, by network and period.
pub type Arrivals = BTreeMap<TaskKey, Result<Compared, Unknown>>;

/// Compares the rosters of the latest periods of a ledger, so many of them, with those of the months before.
///
/// # Errors
/// [`DestinationError`] if the output does not answer.
pub async fn compare(
    output: &Arc<dyn Destination>,
    ledger: &Ledger,
    latest_periods: usize,
) -> Result<Arrivals, DestinationError> {
    let mut periods: Vec<BillingPeriod> = ledger.publications.keys().map(|task| task.period).collect();
    periods.dedup();
    let first = periods.len().saturating_sub(latest_periods);
    let wanted = periods.get(first).copied();
    let tasks =
        ledger.publications.iter().filter(|(task, _)| wanted.is_some_and(|wanted| task.period >= wanted));
    let comparing = tasks.map(|(task, manifest)| {
        let before = TaskKey::new(task.network, task.period.plus_months(-1));
        let before = match ledger.publications.get(&before) {
            Some(manifest) => Ok(manifest.clone()),
            None if ledger.unreadable.contains_key(&before) => Err(Unknown::DamagedBefore),
            None => Err(Unknown::NothingBefore),
        };
        let (task, manifest, output) = (*task, manifest.clone(), Arc::clone(output));
        async move { Ok((task, compare_one(&*output, before, manifest).await?)) }
    });
    let mut comparing = stream::iter(comparing).buffer_unordered(COMPARED_AT_ONCE);
    let mut arrivals = Arrivals::new();
    while let Some(compared) = comparing.next().await {
        let (task, compared) = compared?;
        arrivals.insert(task, compared);
    }
    Ok(arrivals)
}

async fn compare_one(
    output: &dyn Destination,
    before: Result<Manifest, Unknown>,
    after: Manifest,
) -> Result<Result<Compared, Unknown>, DestinationError> {
    let before = match before {
        Ok(before) => before,
        Err(unknown) => return Ok(Err(unknown)),
    };
    if [&before, &after].iter().any(|manifest| manifest.rosters_purged_at.is_some()) {
        return Ok(Err(Unknown::Purged));
    }
    if [&before, &after].iter().any(|manifest| manifest.roster.mode == RosterKind::None) {
        return Ok(Err(Unknown::CountsOnly));
    }
    if before.roster != after.roster {
        return Ok(Err(Unknown::OtherIdentities));
    }
    let old = match open(output, &before).await? {
        Ok(old) => old,
        Err(unknown) => return Ok(Err(unknown)),
    };
    let new = match open(output, &after).await? {
        Ok(new) => new,
        Err(unknown) => return Ok(Err(unknown)),
    };
    let (task, counts) = (after.task(), (before.counts.guests, after.counts.guests));
    let counting = tokio::task::spawn_blocking(move || count(old, new)).await;
    let counted =
        counting.map_err(|_panicked| RowsError::from("its reader panicked")).and_then(|counted| counted);
    let compared = counted.and_then(|changes| settled(changes, counts));
    Ok(compared.map_err(|error| {
        let (network, period) = (task.network, task.period);
        tracing::warn!(%network, %period, error = %error_chain(&*error), "rosters not compared");
        Unknown::Damaged
    }))
}

/// A roster that is open, and how it is to be read.
struct Roster {
    file: File,
    record: FileRecord,
    formula_guard: bool,
}

/// Opens the roster of a publication.
async fn open(
    output: &dyn Destination,
    manifest: &Manifest,
) -> Result<Result<Roster, Unknown>, DestinationError> {
    let record =
        [Format::Parquet, Format::Csv].iter().find_map(|format| manifest.file(Dataset::GuestRoster, *format));
    let Some(record) = record else { return Ok(Err(Unknown::NoRoster)) };
    match output.open(&record.path).await {
        Ok(Some(file)) => {
            let formula_guard = manifest.csv.is_some_and(|csv| csv.formula_guard);
            Ok(Ok(Roster { file, record: record.clone(), formula_guard }))
        }
        Ok(None) => Ok(Err(Unknown::NoRoster)),
        // Who may read counts need not be one who may read names.
        Err(DestinationError::Refused { .. } | DestinationError::Unauthorized { .. }) => {
            Ok(Err(Unknown::Forbidden))
        }
        Err(error) if error.is_of_one_document() => Ok(Err(Unknown::Damaged)),
        Err(error) => Err(error),
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, RowsError>>>;

impl Roster {
    /// Reads the rows, if the bytes are those that were published.
    fn batches(mut self) -> Result<Batches, RowsError> {
        let Measure { bytes, sha256 } = Measure::of(&mut self.file)?;
        if (bytes, sha256) != (self.record.bytes, self.record.sha256) {
            return Err("its bytes are not those that its manifest vouches for".into());
        }
        self.file.rewind()?;
        let schema = Dataset::GuestRoster.schema();
        Ok(match self.record.format {
            Format::Parquet => {
                Box::new(parquet::read(self.file, &schema)?.map(|batch| batch.map_err(RowsError::from)))
            }
            Format::Csv => {
                let rows = csv::read(BufReader::new(self.file), &schema, self.formula_guard)?;
                Box::new(rows.map(|batch| batch.map_err(RowsError::from)))
            }
        })
    }
}

fn count(old: Roster, new: Roster) -> Result<Changes, RowsError> {
    Ok(changes::count(old.batches()?, new.batches()?)?)
}

/// Makes of what changed between two rosters who came and went, if both have as many guests as was published.
fn settled(changes: Changes, (before, after): (u64, u64)) -> Result<Compared, RowsError> {
    let stayed = (before.checked_sub(changes.removed), after.checked_sub(changes.added));
    match stayed {
        (Some(stayed), Some(returning)) if stayed == returning => {
            Ok(Compared { new: changes.added, returning, gone: changes.removed })
        }
        _ => Err("the rosters hold another number of guests than their manifests say".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::fixture::{Sample, local, task};

    async fn compared(folder: &std::path::Path, samples: &[Sample]) -> Vec<Result<Compared, Unknown>> {
        for sample in samples {
            sample.run(local(folder)).await.unwrap();
        }
        arrivals(folder, 9).await.into_values().collect()
    }

    async fn arrivals(folder: &std::path::Path, periods: usize) -> Arrivals {
        let output = local(folder);
        let ledger = Ledger::read(&*output, |_| true).await.unwrap();
        compare(&output, &ledger, periods).await.unwrap()
    }

    fn sample(period: &str, guests: std::ops::Range<u32>) -> Sample {
        Sample::new(guests).of(task("12345678", period))
    }

    #[tokio::test]
    async fn guests_are_new_returning_or_gone_in_either_format() {
        for format in Format::ALL {
            let folder = tempfile::tempdir().unwrap();
            let samples = [sample("2026-08", 0..100), sample("2026-09", 30..150), sample("2026-10", 30..150)];
            let samples = samples.map(|sample| Sample { formats: vec![format], ..sample });
            let expected = [
                Err(Unknown::NothingBefore),
                Ok(Compared { new: 50, returning: 70, gone: 30 }),
                Ok(Compared { new: 0, returning: 120, gone: 0 }),
            ];
            assert_eq!(compared(folder.path(), &samples).await, expected, "{format}");
            assert_eq!(arrivals(folder.path(), 1).await.len(), 1, "no more than was asked for is read");
            assert!(arrivals(folder.path(), 0).await.is_empty());
        }
    }

    #[tokio::test]
    async fn what_cannot_be_compared_is_not_known_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let counts = Sample { mode: RosterKind::None, ..sample("2026-09", 0..10) };
        let pseudonymous = Sample { mode: RosterKind::Pseudonymous, ..sample("2026-11", 0..10) };
        let samples = [sample("2026-08", 0..10), counts, sample("2026-10", 0..10), pseudonymous];
        let unknown = compared(folder.path(), &samples).await;
        let expected =
            [Unknown::NothingBefore, Unknown::CountsOnly, Unknown::CountsOnly, Unknown::OtherIdentities];
        assert_eq!(unknown, expected.map(Err));
    }

    #[tokio::test]
    async fn a_roster_that_is_gone_or_altered_gives_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let samples = [sample("2026-09", 0..100), sample("2026-10", 10..110)];
        assert!(compared(folder.path(), &samples).await[1].is_ok());
        let ledger = Ledger::read(&*local(folder.path()), |_| true).await.unwrap();
        let manifest = &ledger.publications[&task("12345678", "2026-09")];
        let record = manifest.file(Dataset::GuestRoster, Format::Parquet).unwrap();
        let path = folder.path().join(record.path.as_str());
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(arrivals(folder.path(), 1).await.into_values().next(), Some(Err(Unknown::Damaged)));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(arrivals(folder.path(), 1).await.into_values().next(), Some(Err(Unknown::NoRoster)));
        let before = "manifests/period=2026-09/network=12345678/manifest.json";
        std::fs::write(folder.path().join(before), "{}").unwrap();
        assert_eq!(arrivals(folder.path(), 1).await.into_values().next(), Some(Err(Unknown::DamagedBefore)));
    }
}
