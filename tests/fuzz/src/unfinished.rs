//! What an interrupted walk leaves behind: the cursor, and the runs that it lists.

use serde_json::{Value, json};
use wickr_guest_export::checkpoint::{Cursor, Resumable};
use wickr_guest_export::evidence::Inquiry;
use wickr_guest_export::roster::RunReader;
use wickr_guest_export::storage::seal;
use wickr_guest_export::walk::MAX_PAGES;

use super::documents::{assert_sealed, edited, sealed};
use super::{MemoryBound, assert_presentable};

const SEAL_FIELD: &str = "cursor_sha256";
const CURSOR_MEMORY: MemoryBound = MemoryBound { fixed: 64 * 1024, per_byte: 64 };
/// One block, whatever the bytes say, and what holds its texts' ends.
const RUN_MEMORY: MemoryBound = MemoryBound { fixed: 512 * 1024, per_byte: 0 };
const MOST_CHARACTERS: usize = 2_000;

/// A cursor that is believed is written as it was read, and can be gone on from without overflowing.
pub fn cursor(data: &[u8]) {
    if !seal::holds(SEAL_FIELD, data) {
        Cursor::<Inquiry>::parse(data).expect_err("its seal does not hold");
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(data) else { return };
    let sealed = sealed(SEAL_FIELD, fields);
    assert_sealed(SEAL_FIELD, &sealed, data);
    read_cursor(&sealed);
}

/// A cursor with some fields changed for others.
pub fn cursor_edits(data: &[u8]) {
    read_cursor(&sealed(
        SEAL_FIELD,
        edited(include_str!("../corpus/cursor/second-walk.json"), data, value_of),
    ));
}

fn value_of(choice: u8) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(-1),
        json!(255),
        json!(u32::MAX),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(""),
        json!([]),
        json!({}),
        json!("forward"),
        json!("backward"),
        json!("first"),
        json!("end"),
        json!({"token": "t"}),
        json!({"token": ""}),
        json!("not_covered"),
        json!("open"),
        json!("+262142-12-31T23:59:59.999999999Z"),
        json!("00112233445566778899aabbccddeeff"),
    ];
    values[usize::from(choice) % values.len()].clone()
}

fn read_cursor(sealed: &[u8]) {
    let cursor = match CURSOR_MEMORY.hold(sealed.len(), || Cursor::<Inquiry>::parse(sealed)) {
        Ok(cursor) => cursor,
        Err(error) => return assert_presentable(&error, MOST_CHARACTERS),
    };
    let Cursor { fingerprint, saved_at, document } = &cursor;
    assert_eq!(fingerprint.difference(fingerprint), None);
    let written = Cursor { fingerprint, saved_at: *saved_at, document }.to_sealed_json();
    let again = Cursor::<Inquiry>::parse(&written).expect("what was written");
    assert_eq!((&again.fingerprint, again.saved_at, &again.document), (fingerprint, *saved_at, document));
    if document.check().is_err() {
        return;
    }
    assert!(!document.runs().is_empty() || document.kept().next().is_some());
    assert!((1..=3).contains(&document.kept().count()));
    for walk in document.kept() {
        assert!(walk.pages <= MAX_PAGES as u64 && walk.edge_repeats <= walk.rows, "{walk:?}");
        let kept = walk.runs.iter().try_fold(0_u64, |sum, run| sum.checked_add(run.rows));
        assert!(kept.is_some_and(|kept| kept <= walk.rows), "{walk:?}");
    }
}

/// A run that is read to its end is in order and as long as it says; memory does not depend on what it says.
pub fn run_file(data: &[u8]) {
    let read = RUN_MEMORY.hold(data.len(), || {
        let mut reader = RunReader::new(data)?;
        let (mut rows, mut last) = (0_u64, String::new());
        while reader.advance()? {
            let row = reader.row();
            assert!(row.identity > last.as_str(), "row {rows} does not ascend");
            row.identity.clone_into(&mut last);
            rows += 1;
            assert_eq!(reader.rows(), rows);
        }
        assert!(!reader.advance()?, "there is nothing after the end");
        assert!(reader.into_source().is_empty());
        Ok(())
    });
    if let Err(error) = read {
        let error: wickr_guest_export::roster::RunFileError = error;
        assert_presentable(&error, MOST_CHARACTERS);
    }
}
