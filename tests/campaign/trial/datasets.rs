//! Holds what the dataset's writers make of a roster against the guests that must stand in it.
//!
//! Files are read back twice: by the program's own readers, which `verify` relies on, and the CSV by a reader
//! that knows nothing of the formula guard.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wickr_guest_export::dataset::csv::{self, CsvOptions};
use wickr_guest_export::dataset::{Dataset, parquet};
use wickr_guest_export::roster::{PseudonymKey, Roster, RosterMode};

use crate::model::labels;
use crate::schedule::{Guise, Mode};
use crate::trial::{Held, ensure};

const KEYS: [&[u8]; 2] = [b"campaign tests only, 32 bytes...", b"another key of the campaign tests"];

/// One row of a roster: period, network, hash, username.
pub(crate) type Row = (String, String, String, Option<String>);

/// Returns a roster mode as the program has it.
pub(crate) fn roster_mode(mode: Mode, other_key: bool) -> RosterMode {
    let key = KEYS[usize::from(other_key)];
    match mode {
        Mode::Full => RosterMode::Full,
        Mode::Pseudonymous => RosterMode::Pseudonymous(PseudonymKey::new(key).expect("a long key")),
        Mode::CountsOnly => RosterMode::CountsOnly,
    }
}

/// Returns the rows that must be published, in their order; none if only the number is.
pub(crate) fn expected_rows(
    labels: &(String, String),
    guests: &BTreeMap<String, String>,
    mode: Mode,
    key: &[u8],
) -> Option<Vec<Row>> {
    let row = |hash: String, name: Option<&String>| (labels.0.clone(), labels.1.clone(), hash, name.cloned());
    let pseudonym = |hash: &String| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(hash.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    };
    match mode {
        Mode::Full => Some(guests.iter().map(|(hash, name)| row(hash.clone(), Some(name))).collect()),
        Mode::Pseudonymous => {
            let mut rows: Vec<Row> = guests.keys().map(|hash| row(pseudonym(hash), None)).collect();
            rows.sort();
            Some(rows)
        }
        Mode::CountsOnly => None,
    }
}

/// Writes a roster as Parquet; nothing comes of one that only counts.
pub(crate) fn parquet_file(roster: &Roster) -> Held<Option<Vec<u8>>> {
    let Some(stream) = roster.stream() else { return Ok(None) };
    let mut file = Vec::new();
    let dataset = Dataset::GuestRoster;
    let encoded = parquet::write(&dataset.schema(), stream, dataset.sorting_columns(), &mut file)
        .map_err(|error| format!("writing Parquet: {error}"))?;
    ensure("rows written as Parquet", &encoded.rows, &roster.guests())?;
    Ok(Some(file))
}

/// Holds both formats of both datasets against the guests.
pub(crate) fn hold(roster: &Roster, guests: &BTreeMap<String, String>, guise: Guise, bom: bool) -> Held<()> {
    hold_counts(roster, guests.len() as u64)?;
    let expected = expected_rows(&labels(), guests, guise.mode, KEYS[usize::from(guise.other_key)]);
    let file = parquet_file(roster)?;
    ensure("whether there is a roster", &file.is_some(), &expected.is_some())?;
    let (Some(file), Some(expected)) = (file, expected) else { return Ok(()) };
    let read = parquet::read(Bytes::from(file), &Dataset::GuestRoster.schema());
    let batches = read.map_err(|error| format!("opening Parquet: {error}"))?;
    ensure("the rows of the Parquet file", &rows(batches)?, &expected)?;
    for formula_guard in [true, false] {
        hold_csv(roster, &expected, CsvOptions { bom, formula_guard })?;
    }
    Ok(())
}

fn hold_csv(roster: &Roster, expected: &[Row], options: CsvOptions) -> Held<()> {
    let schema = Dataset::GuestRoster.schema();
    let mut file = Vec::new();
    let stream = roster.stream().ok_or("a roster that was there a moment ago")?;
    let encoded =
        csv::write(&schema, stream, options, &mut file).map_err(|error| format!("writing CSV: {error}"))?;
    let mut reader = csv::read(file.as_slice(), &schema, options.formula_guard)
        .map_err(|error| format!("opening CSV: {error}"))?;
    ensure("the rows of the CSV file", &rows(reader.by_ref())?.as_slice(), &expected)?;
    ensure("guarded cells", &reader.guarded_cells(), &encoded.guarded_cells)?;

    let text = file.strip_prefix("\u{FEFF}".as_bytes());
    ensure("the byte order mark", &text.is_some(), &options.bom)?;
    let mut plain = ::csv::ReaderBuilder::new().from_reader(text.unwrap_or(&file));
    let mut guarded = 0;
    let mut records = 0;
    for (record, row) in plain.records().zip(expected) {
        let record = record.map_err(|error| format!("a plain CSV reader: {error}"))?;
        let name = row.3.as_deref().unwrap_or_default();
        for (cell, text) in [(&record[2], row.2.as_str()), (&record[3], name)] {
            let changed = cell != text;
            guarded += u64::from(changed);
            if changed && cell.strip_prefix('\'') != Some(text) {
                return Err(format!("a CSV cell {cell:?} for {text:?}"));
            }
        }
        if options.formula_guard && record[3].starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝']) {
            return Err(format!("a CSV cell that a spreadsheet runs: {:?}", &record[3]));
        }
        records += 1;
    }
    ensure("records to a plain CSV reader", &records, &expected.len())?;
    ensure("cells that differ from their texts", &guarded, &encoded.guarded_cells)?;
    if !options.formula_guard {
        ensure("guarded cells without a guard", &guarded, &0)?;
    }
    Ok(())
}

fn hold_counts(roster: &Roster, guests: u64) -> Held<()> {
    let dataset = Dataset::GuestCounts;
    let rows = || std::iter::once(Ok::<RecordBatch, std::io::Error>(roster.counts()));
    let (mut parquet_file, mut csv_file) = (Vec::new(), Vec::new());
    parquet::write(&dataset.schema(), rows(), dataset.sorting_columns(), &mut parquet_file)
        .map_err(|error| format!("writing counts: {error}"))?;
    csv::write(&dataset.schema(), rows(), CsvOptions::default(), &mut csv_file)
        .map_err(|error| format!("writing counts: {error}"))?;
    let (period, network) = labels();
    let text =
        format!("\"billing_period\",\"network_id\",\"guest_count\"\n\"{period}\",\"{network}\",{guests}\n");
    ensure("the CSV of the counts", &String::from_utf8_lossy(&csv_file).as_ref(), &text.as_str())?;
    let batches = parquet::read(Bytes::from(parquet_file), &dataset.schema())
        .map_err(|error| format!("opening counts: {error}"))?;
    let mut counts = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| format!("reading counts: {error}"))?;
        counts.extend(batch.column(2).as_primitive::<Int64Type>().values().iter().copied());
    }
    ensure("the counts", &counts, &vec![i64::try_from(guests).expect("few")])
}

pub(crate) fn rows<E: std::fmt::Display>(
    batches: impl Iterator<Item = Result<RecordBatch, E>>,
) -> Held<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.map_err(|error| format!("reading rows back: {error}"))?;
        let texts: Vec<_> = batch.columns().iter().map(AsArray::as_string::<i32>).collect();
        for row in 0..batch.num_rows() {
            let text = |column: usize| texts[column].value(row).to_owned();
            let name = texts[3].is_valid(row).then(|| text(3));
            rows.push((text(0), text(1), text(2), name));
        }
    }
    Ok(rows)
}
