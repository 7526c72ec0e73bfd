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

use chrono::{DateTime, SecondsFormat};

pub use self::reader::{CsvBatches, read};
pub use self::writer::{CsvOptions, write};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Writes microseconds since 1970 as RFC 3339 in UTC, with a fraction only where there is one.
///
/// Returns `None` for an instant that no calendar year of four digits contains.
fn timestamp_text(microseconds: i64) -> Option<String> {
    let instant = DateTime::from_timestamp_micros(microseconds)?;
    let text = instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    (text.as_bytes().get(4) == Some(&b'-')).then_some(text)
}
