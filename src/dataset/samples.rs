//! Rows for the tests of this crate: hostile ones above all.
//!
//! In one place, so that every encoder and every check meets the same worst cases.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};

use super::schema;

/// An item of a stream of batches.
pub(crate) type Rows = Result<RecordBatch, std::io::Error>;

/// Texts that break encoders, readers and spreadsheets, among them formulas.
pub(crate) const HOSTILE_TEXTS: [&str; 24] = [
    "",
    " ",
    "\"",
    "\"\"",
    ",",
    "a,b\",\"c",
    "\n",
    "\r",
    "\r\n\"\r",
    "line\nbreak",
    "\0",
    "a\0b",
    "null",
    "NULL",
    "\\N",
    "'",
    "'=1",
    "=cmd|'/c calc'!A1",
    "＝1",
    "\u{FEFF}bom",
    "\u{202E}override",
    "Zoë 🦀 \u{10FFFF}",
    "e\u{301}",
    "<script>alert(1)</script>;DROP TABLE guests--",
];

/// Makes a batch of `guest_roster` of network 01234567 in 2026-10.
pub(crate) fn roster_batch(guests: &[(&str, Option<&str>)]) -> RecordBatch {
    let constant = |text: &str| Arc::new(StringArray::from(vec![text; guests.len()])) as ArrayRef;
    let columns = vec![
        constant("2026-10"),
        constant("01234567"),
        Arc::new(StringArray::from_iter_values(guests.iter().map(|(hash, _)| hash))),
        Arc::new(guests.iter().map(|(_, username)| *username).collect::<StringArray>()),
    ];
    RecordBatch::try_new(schema::guest_roster(), columns).expect("the columns of a roster")
}

/// Makes a batch of hostile rows: every text as hash and as username, and a null username.
pub(crate) fn hostile_batch() -> RecordBatch {
    let guest = |text: &&'static str| [(*text, Some(*text)), ("h", None)];
    roster_batch(&HOSTILE_TEXTS.iter().flat_map(guest).collect::<Vec<_>>())
}

/// Makes sorted guests as batches of `rows` rows.
pub(crate) fn sorted_batches(guests: usize, rows: usize) -> Vec<Rows> {
    let texts: Vec<_> =
        (0..guests).map(|guest| (format!("{guest:016x}"), format!("guest {guest}"))).collect();
    let batch = |texts: &[(String, String)]| {
        let guests: Vec<_> = texts.iter().map(|(hash, name)| (hash.as_str(), Some(name.as_str()))).collect();
        Ok(roster_batch(&guests))
    };
    texts.chunks(rows).map(batch).collect()
}

/// Makes a batch with every column type, with nulls and without.
pub(crate) fn typed_batch() -> RecordBatch {
    use arrow::array::{BooleanArray, Int64Array, TimestampMicrosecondArray};
    use arrow::datatypes::{DataType, Field, Schema};

    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let schema = Schema::new(vec![
        field("text", DataType::Utf8),
        field("integer", DataType::Int64),
        field("boolean", DataType::Boolean),
        field("timestamp", schema::timestamp()),
    ]);
    let timestamps = TimestampMicrosecondArray::from(vec![Some(1_790_812_800_000_000), Some(-1), None])
        .with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some(""), None, Some("x")])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(0)])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(timestamps),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("four columns of equal length")
}
