//! Sorted runs as one: the smallest head of all runs comes next, and equal identities become one guest.
//!
//! A merge reads one block of each run at a time, so its memory is bounded by the number of runs, not by their
//! length. Every byte passes through the digest that its file is named by: a run that is not what was written
//! ends the merge with an error, and whatever was made of its rows is thrown away.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::rows::{GuestRow, SortedRows, first_bytes};
use super::run_file::{RunFileError, RunReader};
use super::{DamagedRun, RosterError};
use crate::storage::digest::{FileDigest, Measured};

/// How many rows pass between two looks at whether to go on.
const ROWS_BETWEEN_LOOKS: u32 = 4096;
const READ_BYTES: usize = 32 * 1024;

/// A run that is open for reading, any number of times at once.
#[derive(Clone, Debug)]
pub(super) struct OpenRun {
    /// The file.
    pub(super) file: Arc<File>,
    /// What its bytes must digest to.
    pub(super) sha256: FileDigest,
    /// How many rows it must have.
    pub(super) rows: u64,
}

/// Runs that are one roster together, and what ends reading them early.
#[derive(Clone, Debug)]
pub struct OpenRuns {
    pub(super) runs: Vec<OpenRun>,
    pub(super) stop: CancellationToken,
}

impl OpenRuns {
    /// Merges from the first row on.
    ///
    /// # Errors
    /// [`RosterError`] if a run does not begin as one.
    pub(super) fn rows(&self) -> Result<Merge, RosterError> {
        Merge::new(self)
    }
}

/// Reads a shared file from a position of its own, digesting what passes.
struct RunBytes {
    file: Arc<File>,
    position: u64,
}

impl Read for RunBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Digests what is read through it.
struct Digesting<R> {
    source: R,
    digest: Measured<io::Sink>,
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        io::Write::write_all(&mut self.digest, &buffer[..read])?;
        Ok(read)
    }
}

/// A run in a merge, standing at a row.
struct Head {
    /// The first bytes of the row's identity, as they order: what settles nearly every comparison.
    prefix: u64,
    run: Box<RunHead>,
}

/// A run that is read to its end.
struct RunHead {
    reader: Option<RunReader<BufReader<Digesting<RunBytes>>>>,
    run: OpenRun,
}

impl Head {
    fn new(run: &OpenRun) -> Result<Self, DamagedRun> {
        Ok(Self { prefix: 0, run: Box::new(RunHead::new(run)?) })
    }

    fn advance(&mut self) -> Result<bool, DamagedRun> {
        let is_at_a_row = self.run.advance()?;
        if is_at_a_row {
            self.prefix = first_bytes(self.row().identity);
        }
        Ok(is_at_a_row)
    }

    fn row(&self) -> GuestRow<'_> {
        self.run.row()
    }
}

impl RunHead {
    fn new(run: &OpenRun) -> Result<Self, DamagedRun> {
        let source = RunBytes { file: Arc::clone(&run.file), position: 0 };
        let source = Digesting { source, digest: Measured::new(io::sink()) };
        let reader = RunReader::new(BufReader::with_capacity(READ_BYTES, source));
        let reader = reader.map_err(|reason| DamagedRun { run: run.sha256, reason })?;
        Ok(Self { reader: Some(reader), run: run.clone() })
    }

    /// Goes to the next row; at the end, holds the run to its digest and its number of rows.
    fn advance(&mut self) -> Result<bool, DamagedRun> {
        let damaged = |reason| DamagedRun { run: self.run.sha256, reason };
        let Some(reader) = &mut self.reader else { return Ok(false) };
        if reader.advance().map_err(damaged)? {
            return Ok(true);
        }
        let reader = self.reader.take().expect("it was there a moment ago");
        if reader.rows() != self.run.rows {
            return Err(damaged(RunFileError::Damaged("it has another number of rows")));
        }
        let digesting = reader.into_source().into_inner();
        let (_, measure) = digesting.digest.finish().map_err(|error| damaged(error.into()))?;
        if measure.sha256 != self.run.sha256 {
            return Err(damaged(RunFileError::Damaged("its bytes are not those that were written")));
        }
        Ok(false)
    }

    fn row(&self) -> GuestRow<'_> {
        self.reader.as_ref().expect("a head in the heap stands at a row").row()
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.prefix.cmp(&other.prefix).then_with(|| {
            let (own, others) = (self.row(), other.row());
            (own.identity, own.name).cmp(&(others.identity, others.name))
        })
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

/// The rows of several runs as one.
pub(super) struct Merge {
    heads: BinaryHeap<Reverse<Head>>,
    identity: String,
    name: String,
    stop: CancellationToken,
    until_look: u32,
}

impl Merge {
    fn new(runs: &OpenRuns) -> Result<Self, RosterError> {
        let mut heads = BinaryHeap::with_capacity(runs.runs.len());
        for run in &runs.runs {
            let mut head = Head::new(run)?;
            if head.advance()? {
                heads.push(Reverse(head));
            }
        }
        let (identity, name) = (String::new(), String::new());
        Ok(Self { heads, identity, name, stop: runs.stop.clone(), until_look: 0 })
    }

    fn look(&mut self) -> Result<(), RosterError> {
        match self.until_look.checked_sub(1) {
            Some(fewer) => self.until_look = fewer,
            None if self.stop.is_cancelled() => return Err(RosterError::Interrupted),
            None => self.until_look = ROWS_BETWEEN_LOOKS,
        }
        Ok(())
    }
}

/// Moves a head on, and takes it out of the heap after its last row or a failure: there is no row to order it by.
fn step(mut head: PeekMut<'_, Reverse<Head>>) -> Result<(), DamagedRun> {
    let advanced = head.0.advance();
    if !matches!(advanced, Ok(true)) {
        PeekMut::pop(head);
    }
    advanced.map(drop)
}

impl SortedRows for Merge {
    fn advance(&mut self) -> Result<Option<GuestRow<'_>>, RosterError> {
        self.look()?;
        let Some(first) = self.heads.peek_mut() else { return Ok(None) };
        let row = first.0.row();
        row.identity.clone_into(&mut self.identity);
        row.name.clone_into(&mut self.name);
        let mut conflict = row.conflict;
        step(first)?;
        while let Some(other) = self.heads.peek_mut() {
            let row = other.0.row();
            if row.identity != self.identity {
                // Dropping an unchanged `PeekMut` sifts nothing.
                break;
            }
            conflict |= row.conflict || row.name != self.name;
            step(other)?;
        }
        Ok(Some(GuestRow { identity: &self.identity, name: &self.name, conflict }))
    }
}
