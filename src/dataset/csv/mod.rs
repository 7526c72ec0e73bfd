//! CSV for people: one pinned dialect, written and read back.
//!
//! UTF-8, LF, a header; every text quoted, quotes doubled; null is an empty field without quotes, which an
//! empty text never is; integers as digits, booleans as `true` and `false`, timestamps as RFC 3339 in UTC, all
//! three without quotes so that a spreadsheet takes them for what they are. Both directions are written by
//! hand, because the `csv` crate can neither leave only nulls unquoted nor tell on reading whether a field was
//! quoted; the tests hold the writer against that crate as an independent reader.

mod formula;
mod reader;
mod writer;

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat};

use self::formula::FormulaGuard;
pub use self::reader::{CsvBatches, read};
pub use self::writer::{CsvOptions, write};

/// Returns a text as it is written where a spreadsheet may open it: with an apostrophe in front of what it would run.
#[must_use]
pub fn guarded(text: &str) -> Cow<'_, str> {
    if FormulaGuard::of_column("").guards(text) { format!("'{text}").into() } else { text.into() }
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Writes microseconds since 1970 as RFC 3339 in UTC, with a fraction only where there is one.
///
/// Returns `None` for an instant that no calendar year of four digits contains.
fn timestamp_text(microseconds: i64) -> Option<String> {
    let instant = DateTime::from_timestamp_micros(microseconds)?;
    let text = instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    (text.as_bytes().get(4) == Some(&b'-')).then_some(text)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, RecordBatch, StringArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::SchemaRef;
    use proptest::prelude::*;

    use super::*;
    use crate::dataset::error::{CsvProblem, ReadError, WriteError};
    use crate::dataset::samples::{Rows, hostile_batch, roster_batch, sorted_batches, typed_batch};
    use crate::dataset::{Encoded, schema};

    const EXACT: CsvOptions = CsvOptions { bom: false, formula_guard: false };

    fn encoded(batch: &RecordBatch, options: CsvOptions) -> (Vec<u8>, Encoded) {
        let mut out = Vec::new();
        let encoded = write(&batch.schema(), [Rows::Ok(batch.clone())], options, &mut out).unwrap();
        assert_eq!(encoded.rows, batch.num_rows() as u64);
        (out, encoded)
    }

    fn decoded(file: &[u8], schema: &SchemaRef, guard: bool) -> Result<(RecordBatch, u64), ReadError> {
        let mut reader = read(file, schema, guard)?;
        let batches = reader.by_ref().collect::<Result<Vec<_>, _>>()?;
        Ok((concat_batches(schema, &batches).unwrap(), reader.guarded_cells()))
    }

    fn problem(file: &str, schema: &SchemaRef, guard: bool) -> (u64, CsvProblem) {
        match decoded(file.as_bytes(), schema, guard) {
            Err(ReadError::Csv { record, problem }) => (record, problem),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_dialect_is_the_pinned_one() {
        let (file, _) = encoded(&typed_batch(), CsvOptions::default());
        let expected = "\"text\",\"integer\",\"boolean\",\"timestamp\"\n\
                        \"\",-9223372036854775808,true,2026-10-01T00:00:00Z\n\
                        ,,false,1969-12-31T23:59:59.999999Z\n\
                        \"x\",0,,\n";
        assert_eq!(String::from_utf8(file).unwrap(), expected);
    }

    #[test]
    fn a_byte_order_mark_comes_first_and_only_on_request() {
        let batch = roster_batch(&[("a1", Some("Zoë"))]);
        let (plain, _) = encoded(&batch, CsvOptions::default());
        let (marked, _) = encoded(&batch, CsvOptions { bom: true, ..CsvOptions::default() });
        assert_eq!(marked, [BYTE_ORDER_MARK, &plain].concat());
        for file in [plain, marked] {
            assert_eq!(decoded(&file, &batch.schema(), true).unwrap().0, batch);
        }
    }

    #[test]
    fn hostile_texts_nulls_and_every_type_come_back_exactly() {
        for batch in [hostile_batch(), typed_batch()] {
            for options in [EXACT, CsvOptions::default()] {
                let (file, encoded) = encoded(&batch, options);
                let (back, guarded) = decoded(&file, &batch.schema(), options.formula_guard).unwrap();
                assert_eq!(back, batch);
                assert_eq!(guarded, encoded.guarded_cells);
            }
        }
    }

    #[test]
    fn an_independent_reader_sees_the_same_texts() {
        let batch = hostile_batch();
        let (file, _) = encoded(&batch, EXACT);
        let mut reader = ::csv::Reader::from_reader(file.as_slice());
        let text = |column: usize, row| {
            let column = batch.column(column).as_any().downcast_ref::<StringArray>().unwrap();
            if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
        };
        let mut rows = 0;
        for (row, record) in reader.records().enumerate() {
            let expected: Vec<_> = (0..4).map(|column| text(column, row)).collect();
            assert_eq!(record.unwrap(), expected);
            rows += 1;
        }
        assert_eq!(rows, batch.num_rows());
    }

    #[test]
    fn formulas_are_neutralised_and_counted_but_exact_hashes_stay() {
        let batch =
            roster_batch(&[("+a/=", Some("=1+1")), ("=1 ", Some("ann")), ("b", None), ("c", Some("'@x"))]);
        let (file, encoded) = encoded(&batch, CsvOptions::default());
        let file = String::from_utf8(file).unwrap();
        assert_eq!(encoded.guarded_cells, 3);
        let ours = "\"2026-10\",\"01234567\"";
        let rows = [r#""+a/=","'=1+1""#, r#""'=1 ","ann""#, r#""b","#, r#""c","''@x""#];
        assert!(file.lines().skip(1).eq(rows.map(|row| format!("{ours},{row}"))), "{file}");
        assert_eq!(self::encoded(&batch, EXACT).1.guarded_cells, 0);
    }

    #[test]
    fn a_file_without_guarded_cells_reads_alike_under_both_settings() {
        let batch = roster_batch(&[("+a", Some("'tHooft")), ("b", Some("'"))]);
        let (file, encoded) = encoded(&batch, CsvOptions::default());
        assert_eq!(encoded.guarded_cells, 0);
        assert_eq!(decoded(&file, &batch.schema(), false).unwrap().0, batch);
        assert_eq!(decoded(&file, &batch.schema(), true).unwrap().0, batch);
    }

    #[test]
    fn an_empty_roster_is_a_header_alone() {
        let schema = schema::guest_roster();
        let mut file = Vec::new();
        let encoded = write(&schema, Vec::<Rows>::new(), CsvOptions::default(), &mut file).unwrap();
        assert_eq!(encoded, Encoded::default());
        assert_eq!(file, b"\"billing_period\",\"network_id\",\"username_hash\",\"username\"\n");
        assert_eq!(read(file.as_slice(), &schema, true).unwrap().count(), 0);
    }

    #[test]
    fn batches_read_back_have_the_pinned_size() {
        let schema = schema::guest_roster();
        let mut file = Vec::new();
        write(&schema, sorted_batches(16_385, 1_000), CsvOptions::default(), &mut file).unwrap();
        let sizes = read(file.as_slice(), &schema, true).unwrap().map(|batch| batch.unwrap().num_rows());
        assert_eq!(sizes.collect::<Vec<_>>(), [8_192, 8_192, 1]);
    }

    #[test]
    fn whatever_departs_from_the_dialect_is_refused_and_named() {
        let schema = typed_batch().schema();
        let header = "\"text\",\"integer\",\"boolean\",\"timestamp\"\n";
        for (rows, record, expected) in [
            ("\"x\",0,,", 2, CsvProblem::CutOff),
            ("\"x\",0,,\n\"y", 3, CsvProblem::CutOff),
            ("\"x\",0,,\n\"y\n", 3, CsvProblem::CutOff),
            ("x,0,,\n", 2, CsvProblem::Quoting),
            ("\"x\",\"0\",,\n", 2, CsvProblem::Quoting),
            ("\"x\"y,0,,\n", 2, CsvProblem::Quoting),
            ("\"x\",0,,\r\n", 2, CsvProblem::Quoting),
            ("\"x\",0,\n", 2, CsvProblem::FieldCount),
            ("\n", 2, CsvProblem::FieldCount),
            ("\"x\",0,,,\n", 2, CsvProblem::FieldCount),
            ("\"x\",00,,\n", 2, CsvProblem::Value),
            ("\"x\",+1,,\n", 2, CsvProblem::Value),
            ("\"x\",9223372036854775808,,\n", 2, CsvProblem::Value),
            ("\"x\",1.0,,\n", 2, CsvProblem::Value),
            ("\"x\",,TRUE,\n", 2, CsvProblem::Value),
            ("\"x\",,,2026-10-01\n", 2, CsvProblem::Value),
            ("\"x\",,,2026-10-01T00:00:00+00:00\n", 2, CsvProblem::Value),
            ("\"x\",,,2026-10-01T00:00:00.000Z\n", 2, CsvProblem::Value),
            ("\"=1\",,,\n", 2, CsvProblem::Formula),
        ] {
            assert_eq!(problem(&format!("{header}{rows}"), &schema, true), (record, expected), "{rows:?}");
        }
        for file in ["", "text,integer,boolean,timestamp\n", "\"text\"\n", "\"text\",\"integer\"\n"] {
            assert_eq!(problem(file, &schema, true), (1, CsvProblem::Header), "{file:?}");
        }
        let latin = [header.as_bytes(), b"\"Zo\xEB\",,,\n"].concat();
        let error = decoded(&latin, &schema, true).unwrap_err();
        assert!(matches!(error, ReadError::Csv { record: 2, problem: CsvProblem::Encoding }), "{error:?}");
    }

    #[test]
    fn a_null_where_none_can_be_is_refused() {
        let header = "\"billing_period\",\"network_id\",\"guest_count\"\n";
        let counts = schema::guest_counts();
        for row in [",\"01234567\",1\n", "\"2026-10\",\"01234567\",\n"] {
            assert_eq!(problem(&format!("{header}{row}"), &counts, true), (2, CsvProblem::Null), "{row}");
        }
    }

    #[test]
    fn a_record_that_never_ends_is_refused_before_it_fills_the_memory() {
        let header = "\"billing_period\",\"network_id\",\"guest_count\"\n";
        let endless = format!("{header}\"{}", "x\n".repeat(300_000));
        assert_eq!(problem(&endless, &schema::guest_counts(), true), (2, CsvProblem::TooLong));
        let longest = "\"".repeat(crate::guest::MAX_TEXT_BYTES);
        let batch = roster_batch(&[(&longest, Some(&longest))]);
        let (file, _) = encoded(&batch, CsvOptions::default());
        assert_eq!(decoded(&file, &batch.schema(), true).unwrap().0, batch);
    }

    #[test]
    fn reading_ends_after_an_error() {
        let header = "\"billing_period\",\"network_id\",\"guest_count\"\n";
        let file = format!("{header}\n\"2026-10\",\"01234567\",1\n");
        let outcomes: Vec<_> = read(file.as_bytes(), &schema::guest_counts(), true).unwrap().collect();
        assert!(matches!(outcomes.as_slice(), [Err(_)]), "{outcomes:?}");
    }

    #[test]
    fn texts_that_repeat_are_the_same_wherever_the_output_is_flushed() {
        let names = [Some("=\"1\""), None, Some(""), Some("=\"1\""), Some("ann")];
        // Long runs of each, of far more bytes than are gathered at once.
        let guests: Vec<_> = (0..20_000).map(|row| ("h", names[row / 700 % names.len()])).collect();
        let (file, encoded) = encoded(&roster_batch(&guests), CsvOptions::default());
        let mut guarded = 0;
        let expected = guests.iter().map(|(_, name)| {
            guarded += u64::from(name.is_some_and(|name| name.starts_with('=')));
            let cell = match *name {
                Some("=\"1\"") => r#""'=""1""""#,
                Some("") => r#""""#,
                Some(_) => r#""ann""#,
                None => "",
            };
            format!(r#""2026-10","01234567","h",{cell}"#)
        });
        assert!(String::from_utf8(file).unwrap().lines().skip(1).eq(expected));
        assert_eq!(encoded.guarded_cells, guarded);
    }

    #[test]
    fn rows_that_end_in_an_error_and_a_full_disk_are_told_apart() {
        let rows = [Rows::Err(std::io::Error::other("walk"))];
        let error = write(&schema::guest_roster(), rows, EXACT, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, WriteError::Rows(_)), "{error:?}");
        let full: &mut [u8] = &mut [0; 64];
        let error = write(&schema::guest_roster(), sorted_batches(9, 9), EXACT, full).unwrap_err();
        assert!(matches!(error, WriteError::Io(_)), "{error:?}");
    }

    proptest! {
        #[test]
        fn any_roster_comes_back_exactly(
            guests in proptest::collection::vec((any::<String>(), any::<Option<String>>()), 0..20),
            formula_guard: bool,
            bom: bool,
        ) {
            let guests: Vec<_> = guests.iter().map(|(hash, name)| (hash.as_str(), name.as_deref())).collect();
            let batch = roster_batch(&guests);
            let (file, encoded) = encoded(&batch, CsvOptions { bom, formula_guard });
            let (back, guarded) = decoded(&file, &batch.schema(), formula_guard).unwrap();
            prop_assert_eq!(back, batch);
            prop_assert_eq!(guarded, encoded.guarded_cells);
        }
    }
}
