//! What is fuzzed: one function a target, which panics where a property does not hold.
//!
//! The targets of `cargo fuzz` and the replay of the corpora in `cargo test` run the same functions, so that what
//! fuzzing found stays found with a stable compiler. Memory is measured here rather than by libFuzzer alone, whose
//! limits see a flood only when it is there: a bound a byte of input shows it in a hundred bytes.

use std::error::Error;

use peak_alloc::PeakAlloc;
use wickr_guest_export::error_chain::error_chain;

mod answers;
mod documents;
mod jobs;
mod published;
mod unfinished;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// A function that panics if what it is given breaks a property.
pub type Target = fn(&[u8]);

/// Every target under the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("guest_page", answers::guest_page),
    ("history", answers::history),
    ("network_page", answers::network_page),
    ("network", answers::network),
    ("error_answer", answers::error_answer),
    ("retry_after", answers::retry_after),
    ("job_file", jobs::job_file),
    ("names", jobs::names),
    ("closed", published::closed),
    ("manifest", published::manifest),
    ("manifest_edits", published::manifest_edits),
    ("csv", published::csv),
    ("parquet", published::parquet),
    ("cursor", unfinished::cursor),
    ("cursor_edits", unfinished::cursor_edits),
    ("run_file", unfinished::run_file),
];

/// Runs a target by its name.
///
/// # Panics
/// If there is no such target, or a property does not hold.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of the list");
    target(data);
}

/// The memory that reading something may take at its peak: so much, and so much for each byte of it.
#[derive(Clone, Copy)]
struct MemoryBound {
    fixed: usize,
    per_byte: usize,
}

impl MemoryBound {
    /// Reads something of a length within the bound.
    fn hold<T>(self, length: usize, read: impl FnOnce() -> T) -> T {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let outcome = read();
        let taken = MEMORY.peak_usage().saturating_sub(before);
        let bound = self.fixed + self.per_byte * length;
        assert!(taken <= bound, "{length} bytes took {taken} bytes of memory, more than {bound}");
        outcome
    }
}

/// Holds an error with its causes against what a log line can take: so many characters, all on one line.
fn assert_presentable(error: &dyn Error, most: usize) {
    let text = error_chain(error);
    let length = text.chars().count();
    assert!(length <= most, "an error of {length} characters, more than {most}: {text}");
    assert!(!text.contains(char::is_control), "an error with control characters: {text:?}");
}
