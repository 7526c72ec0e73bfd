//! Guests across networks: each counted once, in however many networks it is.
//!
//! Digests of the hashes are gathered in memory up to a bound, then parted by their first byte into temporary files
//! that have no name, so that a part at a time is sorted: memory does not grow with the rosters, and nothing of a guest
//! is on the disk but 16 bytes that nobody can read one from.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use sha2::{Digest, Sha256};

use super::Movement;
use crate::dataset::changes::Fate;

const BEFORE: u8 = 1;
const AFTER: u8 = 2;
const DIGEST_BYTES: usize = 16;
/// How many guests are gathered in memory.
const IN_MEMORY: usize = 262_144;
/// How many temporary files there are.
const PARTS: usize = 64;

/// A digest, and the sides on which the guest was met, in the last byte.
type Entry = [u8; DIGEST_BYTES + 1];

/// Guests met so far.
pub(super) struct Unique {
    in_memory: usize,
    gathered: Vec<Entry>,
    parts: Vec<BufWriter<File>>,
}

impl Unique {
    pub(super) fn new() -> Self {
        Self { in_memory: IN_MEMORY, gathered: Vec::new(), parts: Vec::new() }
    }

    /// Adds a guest of one network.
    ///
    /// # Errors
    /// What temporary files fail with.
    pub(super) fn meet(&mut self, fate: Fate, username_hash: &str) -> io::Result<()> {
        let mut entry = [0; DIGEST_BYTES + 1];
        entry[..DIGEST_BYTES].copy_from_slice(&Sha256::digest(username_hash)[..DIGEST_BYTES]);
        entry[DIGEST_BYTES] = match fate {
            Fate::Added => AFTER,
            Fate::Removed => BEFORE,
            Fate::Kept => BEFORE | AFTER,
        };
        self.gathered.push(entry);
        if self.gathered.len() < self.in_memory { Ok(()) } else { self.part() }
    }

    fn part(&mut self) -> io::Result<()> {
        while self.parts.len() < PARTS {
            self.parts.push(BufWriter::new(tempfile::tempfile()?));
        }
        for entry in self.gathered.drain(..) {
            self.parts[usize::from(entry[0]) % PARTS].write_all(&entry)?;
        }
        Ok(())
    }

    /// Counts them.
    ///
    /// # Errors
    /// What temporary files fail with.
    pub(super) fn count(mut self) -> io::Result<Movement> {
        if self.parts.is_empty() {
            return Ok(counted(self.gathered));
        }
        self.part()?;
        let mut all = Movement::default();
        for part in self.parts {
            let mut file = part.into_inner().map_err(io::IntoInnerError::into_error)?;
            let entries = usize::try_from(file.stream_position()?).unwrap_or(usize::MAX) / (DIGEST_BYTES + 1);
            file.rewind()?;
            let mut reader = BufReader::new(file);
            let mut read = vec![[0; DIGEST_BYTES + 1]; entries];
            for entry in &mut read {
                reader.read_exact(entry)?;
            }
            all += counted(read);
        }
        Ok(all)
    }
}

fn counted(mut entries: Vec<Entry>) -> Movement {
    entries.sort_unstable();
    let mut movement = Movement::default();
    for same in entries.chunk_by(|one, other| one[..DIGEST_BYTES] == other[..DIGEST_BYTES]) {
        let sides = same.iter().fold(0, |sides, entry| sides | entry[DIGEST_BYTES]);
        movement.added += u64::from(sides == AFTER);
        movement.gone += u64::from(sides == BEFORE);
        movement.kept += u64::from(sides == BEFORE | AFTER);
    }
    movement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_of_several_networks_is_one_in_memory_or_not() {
        for in_memory in [1, 7, 1_000] {
            let mut unique = Unique { in_memory, ..Unique::new() };
            for number in 0..100 {
                unique.meet(Fate::Kept, &format!("stayed-{number}")).unwrap();
                unique.meet(Fate::Added, &format!("came-{}", number % 30)).unwrap();
                unique.meet(Fate::Removed, &format!("left-{}", number % 20)).unwrap();
                // Left one network, and came to another.
                let fate = if number % 2 == 0 { Fate::Added } else { Fate::Removed };
                unique.meet(fate, &format!("moved-{}", number / 2)).unwrap();
            }
            assert_eq!(unique.count().unwrap(), Movement { added: 30, gone: 20, kept: 150 });
        }
        assert_eq!(Unique::new().count().unwrap(), Movement::default());
    }
}
