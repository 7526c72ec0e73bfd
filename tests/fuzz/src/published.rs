//! What is read back from an output: manifests and data files, none of it believed unchecked.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use serde_json::{Value, json};
use wickr_guest_export::dataset::content::{Disclosure, RosterHasher};
use wickr_guest_export::dataset::csv::{self as csv_format, CsvOptions};
use wickr_guest_export::dataset::{BATCH_ROWS, Dataset, ReadError, parquet as parquet_format, schema};
use wickr_guest_export::publish::closed::{self, ClosedPeriod};
use wickr_guest_export::publish::manifest::{Manifest, RosterKind, SEAL_FIELD};
use wickr_guest_export::publish::summary_row::SummaryRow;
use wickr_guest_export::storage::seal;
use wickr_guest_export::task::TaskKey;

use super::documents::{assert_sealed, edited, sealed};
use super::{MemoryBound, assert_presentable};

const MANIFEST_MEMORY: MemoryBound = MemoryBound { fixed: 64 * 1024, per_byte: 64 };
/// A record of the longest texts, and the columns of a batch as they double.
const CSV_MEMORY: MemoryBound = MemoryBound { fixed: 1024 * 1024, per_byte: 64 };
/// A page of each column and its dictionary, none larger than 4 MiB, and a batch of rows.
const PARQUET_MEMORY: MemoryBound = MemoryBound { fixed: 40 * 1024 * 1024, per_byte: 1024 };
const MOST_CHARACTERS: usize = 2_000;

fn task() -> TaskKey {
    "12345678/2026-10".parse().expect("a task")
}

/// A manifest that is believed agrees with itself and is written as it was read; none is believed that was altered.
pub fn manifest(data: &[u8]) {
    let read = MANIFEST_MEMORY.hold(data.len(), || Manifest::parse(data, task()));
    match &read {
        Ok(manifest) => assert_consistent(manifest),
        Err(error) => assert_presentable(error, MOST_CHARACTERS),
    }
    // A checksum would stop the mutations, so every document that can have one is sealed anew.
    if let Ok(Value::Object(fields)) = serde_json::from_slice(data) {
        let sealed = sealed(SEAL_FIELD, fields);
        assert_sealed(SEAL_FIELD, &sealed, data);
        let again = Manifest::parse(&sealed, task());
        assert!(read.is_err() || read == again, "{again:?}");
    }
}

/// The closing of a month that is believed is written as it was read; none is believed that was altered.
pub fn closed(data: &[u8]) {
    let parse =
        |bytes: &[u8]| MANIFEST_MEMORY.hold(bytes.len(), || ClosedPeriod::parse(bytes, task().period));
    if let Err(error) = parse(data) {
        assert_presentable(&error, MOST_CHARACTERS);
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(data) else { return };
    let sealed = sealed(closed::SEAL_FIELD, fields);
    assert_sealed(closed::SEAL_FIELD, &sealed, data);
    match parse(&sealed) {
        Ok(closed) => assert_eq!(parse(&closed.to_json()), Ok(closed)),
        Err(error) => assert_presentable(&error, MOST_CHARACTERS),
    }
}

/// The published manifest with some fields changed for others: deeper than bytes that change would get.
pub fn manifest_edits(data: &[u8]) {
    let published = edited(include_str!("../corpus/manifest/published.json"), data, value_of);
    let sealed = sealed(SEAL_FIELD, published);
    match MANIFEST_MEMORY.hold(sealed.len(), || Manifest::parse(&sealed, task())) {
        Ok(manifest) => assert_consistent(&manifest),
        Err(error) => assert_presentable(&error, MOST_CHARACTERS),
    }
}

fn value_of(choice: u8) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(2),
        json!(u32::MAX),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1.5),
        json!(""),
        json!([]),
        json!({}),
        json!("full"),
        json!("none"),
        json!("pseudonymous"),
        json!("open"),
        json!("settling"),
        json!("closed"),
        json!("match"),
        json!("mismatch"),
        json!("unavailable"),
        json!("control_total"),
        json!("second_walk"),
        json!("accepted_zero"),
        json!("simulator"),
        json!("2026-09"),
        json!("2026-10-31T23:59:60Z"),
        json!("+262142-12-31T23:59:59.999999999Z"),
        json!("-262143-01-01T00:00:00Z"),
        json!("../../etc/passwd"),
        json!("revisions/period=2026-10/network=12345678/r4294967295-ffffffff/guest_roster.parquet"),
        json!({"against_revision": 1, "added": u64::MAX, "removed": u64::MAX}),
        json!({"bom": true, "formula_guard": false}),
    ];
    values[usize::from(choice) % values.len()].clone()
}

/// What is built on a manifest needs this of it.
fn assert_consistent(manifest: &Manifest) {
    assert_eq!(manifest.task(), task());
    let revision = manifest.revision_of(task()).expect("it was believed");
    let folder = format!("revisions/period=2026-10/network=12345678/{revision}/");
    let mut paths = BTreeSet::new();
    for file in &manifest.files {
        assert_eq!(file.path.as_str(), format!("{folder}{}.{}", file.dataset, file.format));
        assert!(paths.insert(&file.path), "{} twice", file.path);
        let rows = if file.dataset == Dataset::GuestRoster { manifest.counts.guests } else { 1 };
        assert_eq!(file.rows, rows);
    }
    let rosters = manifest.files.iter().filter(|file| file.dataset == Dataset::GuestRoster).count();
    assert_eq!(rosters, if manifest.roster.mode == RosterKind::None { 0 } else { manifest.formats().len() });
    assert!(!manifest.formats().is_empty() && revision.number == manifest.revision);
    assert!(manifest.counts.confirmed_by.is_some() || !manifest.period_state.has_ended());

    assert_eq!(manifest.departures_from(manifest), Vec::<&str>::new());
    let row = SummaryRow::published(manifest).published.expect("a publication");
    assert_eq!(u64::try_from(row.guest_count), Ok(manifest.counts.guests));

    let written = manifest.to_json();
    assert!(seal::holds(SEAL_FIELD, &written));
    assert_eq!(Manifest::parse(&written, task()).as_ref(), Ok(manifest));
}

/// The schemas of data files: both datasets, and one with every type that a summary has.
fn schemas() -> [SchemaRef; 3] {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let every_type = Schema::new(vec![
        field("text", DataType::Utf8),
        field("integer", DataType::Int64),
        field("boolean", DataType::Boolean),
        field("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
    ]);
    [schema::guest_roster(), schema::guest_counts(), Arc::new(every_type)]
}

/// A CSV file that is read is written again byte for byte, so that no two files mean the same.
pub fn csv(data: &[u8]) {
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
    for schema in schemas() {
        for formula_guard in [true, false] {
            let read = CSV_MEMORY.hold(data.len(), || {
                csv_format::read(data, &schema, formula_guard)?
                    .collect::<Result<Vec<RecordBatch>, ReadError>>()
            });
            match read {
                Ok(batches) => {
                    assert!(batches.iter().rev().skip(1).all(|batch| batch.num_rows() == BATCH_ROWS));
                    digest(&schema, &batches);
                    let options = CsvOptions { bom: data.starts_with(BYTE_ORDER_MARK), formula_guard };
                    let mut again = Vec::with_capacity(data.len());
                    let rows = batches.into_iter().map(Ok::<_, ReadError>);
                    csv_format::write(&schema, rows, options, &mut again).expect("rows that were read");
                    assert!(again == data, "{} became {}", data.escape_ascii(), again.escape_ascii());
                }
                Err(error) => assert_presentable(&error, MOST_CHARACTERS),
            }
        }
    }
}

/// A Parquet file is read to its end or refused, in bounded memory.
///
/// Its library panics on some damaged files, which whoever reads one takes for the damage that it is, and is kept busy
/// for seconds by metadata with containers of billions of nothing. Rosters and counts are read only after the digest
/// that a sealed manifest has of them; the summary is the one file that is not, and `verify` the one who reads it.
pub fn parquet(data: &[u8]) {
    let file = Bytes::copy_from_slice(data);
    for schema in schemas() {
        // Batch by batch, as `verify` does.
        let read = || -> Result<(), ReadError> {
            parquet_format::read(file.clone(), &schema)?
                .try_for_each(|batch| batch.map(|batch| digest(&schema, &[batch])))
        };
        if let Some(Err(error)) = PARQUET_MEMORY.hold(data.len(), || tolerant(read)) {
            assert_presentable(&error, MOST_CHARACTERS);
        }
    }
}

/// Runs something that may panic, without the hook that a fuzzer ends the process by.
fn tolerant<T>(read: impl FnOnce() -> T) -> Option<T> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok();
    std::panic::set_hook(hook);
    read
}

/// Digests a roster as far as it is one, as `verify` does.
fn digest(schema: &SchemaRef, batches: &[RecordBatch]) {
    if *schema != schema::guest_roster() {
        return;
    }
    let mut hasher = RosterHasher::new(Disclosure::Full, task().period, task().network);
    if batches.iter().all(|batch| hasher.push_batch(batch).is_ok()) {
        assert_eq!(hasher.guests(), batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>());
        let _ = hasher.finish();
    }
}
