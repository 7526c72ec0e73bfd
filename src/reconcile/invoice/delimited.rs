//! Reads an invoice in CSV, plain or gzip.
//!
//! By the `csv` crate rather than by this program's own reader, which knows the one dialect that it writes.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use flate2::read::MultiGzDecoder;

use super::copies::Rows;
use super::tally::Tally;
use super::{InvoiceError, RowAt, files};
use crate::error_chain::excerpt;

/// The longest row that is read, in bytes: a quote that is never closed makes one row of all that follows.
const MAX_ROW_BYTES: u64 = 4 * 1024 * 1024;

/// Reads all rows of a file, and returns what they are.
pub(super) fn read(path: &Path, tally: &mut Tally<'_>) -> Result<Rows, InvoiceError> {
    let unreadable = |reason| InvoiceError::Unreadable { path: path.to_owned(), reason };
    let damaged = |reason: String| InvoiceError::Damaged { path: path.to_owned(), reason };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let is_packed = file.fill_buf().map_err(unreadable)?.starts_with(files::GZIP);
    let source: Box<dyn Read> = if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut source = BufReader::new(RowBound { source, left: MAX_ROW_BYTES });
    let head = source.fill_buf().map_err(|error| damaged(broken_off(&error)))?;
    let (said, skipped) = separator_line(head);
    let delimiter = said.filter(|_| tally.mapping.delimiter.is_none());
    let delimiter = delimiter.unwrap_or_else(|| tally.mapping.delimiter_of(&head[skipped..]));
    source.consume(skipped);
    let skipped_lines = u64::from(skipped > 0);
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(source);
    let mut record = StringRecord::new();
    let (mut opened, mut rows) = (None, Rows::default());
    loop {
        let is_there =
            reader.read_record(&mut record).map_err(|error| damaged(told(&error, skipped_lines)))?;
        reader.get_mut().get_mut().left = MAX_ROW_BYTES;
        if !is_there {
            break;
        }
        // Spreadsheets leave such lines below their tables.
        if record.iter().all(|cell| cell.trim_matches(['\u{feff}', ' ', '\t']).is_empty()) {
            continue;
        }
        let line = skipped_lines + record.position().map_or(0, csv::Position::line);
        let Some(file) = &opened else {
            let titles = record.iter().map(|title| title.trim_start_matches('\u{feff}').to_owned());
            let titles: Vec<String> = titles.collect();
            rows.add(&titles);
            let mut file = tally.open(path, titles)?;
            file.texts = (0..file.titles.len()).filter(|column| *column != file.columns.quantity).collect();
            opened = Some(file);
            continue;
        };
        if record.len() != file.titles.len() {
            let cells =
                if record.len() == 1 { "1 cell".to_owned() } else { format!("{} cells", record.len()) };
            let titles = file.titles.len();
            return Err(damaged(format!("line {line} has {cells}, and the header has {titles}")));
        }
        rows.add(&record);
        tally.add(file, RowAt::Line(line), |column| Ok(&record[column]))?;
    }
    if opened.is_none() {
        return Err(damaged("is empty; the first line of a CSV names its columns".to_owned()));
    }
    Ok(rows)
}

/// Finds the first line by which Excel is told what separates cells, `sep=;`: what it says, and how long it is.
fn separator_line(head: &[u8]) -> (Option<u8>, usize) {
    let line = head.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    match text.strip_suffix(b"\r").unwrap_or(text) {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] => (Some(*delimiter), line.len()),
        _ => (None, 0),
    }
}

fn broken_off(error: &io::Error) -> String {
    format!("cannot be read to its end: {error}")
}

/// Says what is wrong, without what the library adds of its own view of the file.
fn told(error: &csv::Error, skipped_lines: u64) -> String {
    match error.kind() {
        ErrorKind::Utf8 { pos, .. } => {
            let line = skipped_lines + pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} is not UTF-8; save it as UTF-8")
        }
        ErrorKind::Io(error) => broken_off(error),
        _ => excerpt(&error.to_string(), 300),
    }
}

/// Reads no more than a row may have, until the next row begins. The reader asks for some kilobytes at a time, so that
/// it is never in the middle of a row that is shorter.
struct RowBound<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for RowBound<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            let problem = format!("a row is longer than {MAX_ROW_BYTES} bytes; a quote may not be closed");
            return Err(io::Error::other(problem));
        };
        self.left = left;
        Ok(read)
    }
}
