//! Reproducible choices.
//!
//! Every case has a generator of its own, seeded by campaign and number, so that one case is drawn alike alone
//! and among others.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Texts that break encoders, readers and spreadsheets, among them prefixes of each other.
pub(crate) const HOSTILE: [&str; 26] = [
    " ",
    "\"",
    "\"\"",
    ",",
    "a,b\",\"c",
    "\n",
    "\r",
    "\r\n\"\r",
    "\0",
    "a\0b",
    "null",
    "NULL",
    "'",
    "'=1",
    "=cmd|'/c calc'!A1",
    "=1",
    "+1",
    "-1",
    "@x",
    "＝1",
    "\u{FEFF}bom",
    "\u{202E}override",
    "Zoë 🦀 \u{10FFFF}",
    "e\u{301}",
    "\u{FFFF}",
    "<script>alert(1)</script>",
];

/// Draws.
pub(crate) struct Draw(StdRng);

impl Draw {
    pub(crate) fn new(stream: u64, seed: u64, number: u64) -> Self {
        let mut bytes = [0; 32];
        for (part, value) in bytes.as_chunks_mut::<8>().0.iter_mut().zip([stream, seed, number, 0]) {
            *part = value.to_be_bytes();
        }
        Self(StdRng::from_seed(bytes))
    }

    /// Draws a number from `low` to `high`, both included.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.0.random_range(0..length)
    }

    /// Says yes so many times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.within(1, 100) <= percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())].clone()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }

    /// Draws a text out of a small world, so that texts share prefixes and sort closely together.
    pub(crate) fn text(&mut self) -> String {
        let stem = match self.within(0, 9) {
            0..=3 => self.pick(&["guest", "gues", "Guest", "a", "aa", "b"]).to_owned(),
            4 | 5 => self.pick(&HOSTILE).to_owned(),
            6 => format!("{}{}", self.pick(&HOSTILE), self.pick(&HOSTILE)),
            _ => format!("guest{}@acme.example", self.within(0, 99)),
        };
        if self.chance(40) { format!("{stem}{}", self.within(0, 30)) } else { stem }
    }
}
