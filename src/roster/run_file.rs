//! One sorted run as a file: what a walk wrote down of the guests it had in memory.
//!
//! A run outlives the process that wrote it, so whoever reads it trusts nothing: its digest must be the one that it
//! is named by, every length is bounded before memory is taken for it, and rows must ascend. The format is our own
//! and not a general one, because that is how all of this can be had at once: a reader of a columnar format takes
//! lengths from the file before it can know that they are sound.
//!
//! # Format
//! The eight bytes `wgerun1\n`, then blocks, then an end. All integers are little-endian and 32 bits wide.
//!
//! - A block: the number of rows (1 to 256), the bytes of text, for each row the lengths of identity and name in
//!   bytes (of the name's, the highest bit is set where the guest met two names), then the text: identity and name
//!   of each row, one after the other, as UTF-8. A block has one row, or at most 64 KiB of text.
//! - The end: two zeros in place of a block's head, then the number of all rows, 64 bits wide. Nothing follows.

use std::io::{self, Read, Write};

use super::RosterError;
use super::rows::{GuestRow, SortedRows};
use crate::guest::MAX_TEXT_BYTES;

const MAGIC: &[u8; 8] = b"wgerun1\n";
/// The most rows of a block: what a merge holds of each run at a time.
const BLOCK_ROWS: u32 = 256;
/// The most bytes of text of a block of more than one row.
const BLOCK_BYTES: u32 = 64 * 1024;
/// The most bytes of text of one row.
#[expect(clippy::cast_possible_truncation, reason = "texts are kilobytes")]
const LONGEST_ROW: u32 = 2 * MAX_TEXT_BYTES as u32;
const CONFLICT: u32 = 1 << 31;

/// What is wrong with the bytes of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunFileError {
    /// They cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// They are not what a run is.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// Writes rows as a run, and returns how many there were.
///
/// # Errors
/// What the rows or the writer fail with.
pub(super) fn write(rows: &mut dyn SortedRows, out: &mut dyn Write) -> Result<u64, WriteError> {
    out.write_all(MAGIC)?;
    let mut block = Block::default();
    let mut count = 0_u64;
    while let Some(row) = rows.advance()? {
        if !block.has_room_for(&row) {
            block.write(out)?;
        }
        block.push(&row);
        count += 1;
    }
    block.write(out)?;
    out.write_all(&[0; 8])?;
    out.write_all(&count.to_le_bytes())?;
    Ok(count)
}

/// Why a run could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The rows failed.
    #[error(transparent)]
    Rows(#[from] RosterError),
    /// The file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The block being written.
#[derive(Default)]
struct Block {
    lengths: Vec<u8>,
    text: Vec<u8>,
    rows: u32,
}

impl Block {
    fn has_room_for(&self, row: &GuestRow<'_>) -> bool {
        let bytes = self.text.len() + row.identity.len() + row.name.len();
        self.rows == 0 || (self.rows < BLOCK_ROWS && bytes <= BLOCK_BYTES as usize)
    }

    fn push(&mut self, row: &GuestRow<'_>) {
        let length = |text: &str| u32::try_from(text.len()).expect("texts are bounded where they are read");
        let mark = if row.conflict { CONFLICT } else { 0 };
        self.lengths.extend(length(row.identity).to_le_bytes());
        self.lengths.extend((length(row.name) | mark).to_le_bytes());
        self.text.extend(row.identity.as_bytes());
        self.text.extend(row.name.as_bytes());
        self.rows += 1;
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let bytes = u32::try_from(self.text.len()).expect("a block is small");
        out.write_all(&self.rows.to_le_bytes())?;
        out.write_all(&bytes.to_le_bytes())?;
        out.write_all(&self.lengths)?;
        out.write_all(&self.text)?;
        self.lengths.clear();
        self.text.clear();
        self.rows = 0;
        Ok(())
    }
}

/// Reads a run row by row. Memory is bounded by one block, whatever the bytes say.
pub struct RunReader<R> {
    source: R,
    /// Where in `text` each row of the block ends its identity and its name, and whether it met two names.
    ends: Vec<(usize, usize, bool)>,
    text: String,
    next: usize,
    scratch: Vec<u8>,
    previous: String,
    rows: u64,
    ended: bool,
}

impl<R: Read> RunReader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// [`RunFileError`] if it does not begin as a run does.
    pub fn new(mut source: R) -> Result<Self, RunFileError> {
        let mut magic = [0; MAGIC.len()];
        fill(&mut source, &mut magic)?;
        if magic != *MAGIC {
            return Err(RunFileError::Damaged("it is no run of this version"));
        }
        Ok(Self {
            source,
            ends: Vec::new(),
            text: String::new(),
            next: 0,
            scratch: Vec::new(),
            previous: String::new(),
            rows: 0,
            ended: false,
        })
    }

    /// Goes to the next row; says whether there is one.
    ///
    /// # Errors
    /// [`RunFileError`]. What was read before may be part of something damaged: only a run that was read to its
    /// end is whole.
    pub fn advance(&mut self) -> Result<bool, RunFileError> {
        if self.ended {
            return Ok(false);
        }
        self.next += 1;
        if self.next > self.ends.len() {
            if let Some((last, _)) = self.ends.len().checked_sub(1).map(|row| self.texts(row)) {
                let last = last.to_owned();
                self.previous = last;
            }
            if !self.read_block()? {
                self.ended = true;
                return Ok(false);
            }
            self.next = 1;
        }
        self.rows += 1;
        Ok(true)
    }

    /// Returns the row that [`Self::advance`] went to.
    ///
    /// # Panics
    /// If it went to none.
    pub fn row(&self) -> GuestRow<'_> {
        let row = self.next - 1;
        let (identity, name) = self.texts(row);
        GuestRow { identity, name, conflict: self.ends[row].2 }
    }

    /// Returns the rows read so far.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns what the bytes come from.
    pub fn into_source(self) -> R {
        self.source
    }

    fn texts(&self, row: usize) -> (&str, &str) {
        let start = if row == 0 { 0 } else { self.ends[row - 1].1 };
        let (middle, end, _) = self.ends[row];
        (&self.text[start..middle], &self.text[middle..end])
    }

    fn read_block(&mut self) -> Result<bool, RunFileError> {
        let [rows, bytes] = [self.integer()?, self.integer()?];
        if rows == 0 && bytes == 0 {
            return self.read_end().map(|()| false);
        }
        let most_bytes = if rows == 1 { LONGEST_ROW } else { BLOCK_BYTES };
        if rows == 0 || rows > BLOCK_ROWS || bytes > most_bytes {
            return Err(RunFileError::Damaged("a block is larger than blocks are"));
        }
        let bytes = bytes as usize;
        self.scratch.resize(rows as usize * 8, 0);
        fill(&mut self.source, &mut self.scratch)?;
        self.ends.clear();
        let mut end = 0_usize;
        for lengths in self.scratch.chunks_exact(8) {
            let (identity, name) = lengths.split_at(4);
            let length = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
            let (identity, name) = (length(identity), length(name));
            let middle = end + identity as usize;
            end = middle + (name & !CONFLICT) as usize;
            self.ends.push((middle, end, name & CONFLICT != 0));
        }
        if end != bytes {
            return Err(RunFileError::Damaged("a block's lengths do not add up"));
        }
        let mut text = std::mem::take(&mut self.text).into_bytes();
        text.resize(bytes, 0);
        fill(&mut self.source, &mut text)?;
        self.text = String::from_utf8(text).map_err(|_| RunFileError::Damaged("a text is not UTF-8"))?;
        self.check_block()?;
        Ok(true)
    }

    /// Holds a block to what it must be, so that [`Self::texts`] cannot fail on it.
    fn check_block(&self) -> Result<(), RunFileError> {
        let whole = |at: usize| self.text.is_char_boundary(at);
        if !self.ends.iter().all(|(middle, end, _)| whole(*middle) && whole(*end)) {
            return Err(RunFileError::Damaged("a text ends within a character"));
        }
        let mut previous = self.previous.as_str();
        for row in 0..self.ends.len() {
            let (identity, _) = self.texts(row);
            if identity <= previous {
                return Err(RunFileError::Damaged("its rows do not ascend"));
            }
            previous = identity;
        }
        Ok(())
    }

    fn read_end(&mut self) -> Result<(), RunFileError> {
        let mut rows = [0; 8];
        fill(&mut self.source, &mut rows)?;
        if u64::from_le_bytes(rows) != self.rows {
            return Err(RunFileError::Damaged("rows are missing"));
        }
        if self.source.read(&mut [0])? != 0 {
            return Err(RunFileError::Damaged("something follows its end"));
        }
        Ok(())
    }

    fn integer(&mut self) -> Result<u32, RunFileError> {
        let mut bytes = [0; 4];
        fill(&mut self.source, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

/// Fills a buffer; an early end is damage, not a failure of the system.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> Result<(), RunFileError> {
    source.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => RunFileError::Damaged("it is cut off"),
        _ => RunFileError::Io(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::rows::SortedRun;

    fn run(rows: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        let written = write(&mut SortedRun::of(rows.iter().copied()).rows(), &mut out).unwrap();
        assert_eq!(
            written,
            rows.iter().map(|(identity, _)| identity).collect::<std::collections::BTreeSet<_>>().len() as u64
        );
        out
    }

    fn read(bytes: &[u8]) -> Result<Vec<(String, String, bool)>, RunFileError> {
        let mut reader = RunReader::new(bytes)?;
        let mut rows = Vec::new();
        while reader.advance()? {
            let row = reader.row();
            rows.push((row.identity.to_owned(), row.name.to_owned(), row.conflict));
        }
        Ok(rows)
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let long = "x".repeat(MAX_TEXT_BYTES);
        let many: Vec<_> = (0..1000).map(|row| (format!("{row:04}"), format!("{}", row % 7))).collect();
        let many: Vec<_> = many.iter().map(|(hash, name)| (hash.as_str(), name.as_str())).collect();
        for rows in [&[][..], &[("é", "Zoë 🦀")], &[("a", long.as_str()), ("b", ""), ("c", &long)], &many]
        {
            let expected: Vec<_> =
                rows.iter().map(|(hash, name)| ((*hash).to_owned(), (*name).to_owned(), false)).collect();
            assert_eq!(read(&run(rows)).unwrap(), expected);
        }
        let conflict = run(&[("a", "y"), ("a", "x")]);
        assert_eq!(read(&conflict).unwrap(), [("a".to_owned(), "x".to_owned(), true)]);
    }

    #[test]
    fn a_run_that_is_cut_off_anywhere_is_damaged() {
        let bytes = run(&[("a", "x"), ("b", "y")]);
        for end in 0..bytes.len() {
            assert!(matches!(read(&bytes[..end]), Err(RunFileError::Damaged(_))), "{end}");
        }
        assert!(read(&[&bytes[..], b"x"].concat()).is_err());
    }

    /// A digest tells every change; this tells that even bytes with a sound digest can do no harm.
    #[test]
    fn any_changed_byte_is_an_error_or_other_rows_and_never_a_panic() {
        let bytes = run(&[("a", "é"), ("b", "y"), ("c", "")]);
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                if let Ok(rows) = read(&changed) {
                    assert!(rows.is_sorted_by(|one, other| one.0 < other.0), "byte {at}");
                }
            }
        }
    }

    #[test]
    fn lengths_that_no_run_has_are_refused_before_memory_is_taken() {
        let block = |rows: u32, bytes: u32| [&MAGIC[..], &rows.to_le_bytes(), &bytes.to_le_bytes()].concat();
        for head in [block(257, 10), block(2, BLOCK_BYTES + 1), block(1, u32::MAX), block(0, 1)] {
            let error = read(&head).unwrap_err();
            assert!(error.to_string().contains("larger than blocks are"), "{error}");
        }
    }
}
