//! The roster of one period of one network: every guest once, sorted, counted and digested.
//!
//! A [`RosterBuilder`] takes the rows of one walk and gives sorted runs of them, which stay in memory if there is
//! one and are written down by a [`RunStore`] if there are more. [`Roster::of`] makes the roster of either; it no
//! longer changes and is read as a [`RosterStream`] of record batches, in bounded memory. The number that is billed
//! is [`Roster::guests`]: the distinct hashes, and nothing else. A roster that only counts has no stream at all,
//! so that no code path can publish what the user did not want kept.

mod builder;
mod columns;
mod merge;
mod mode;
mod rows;
mod run_file;
mod run_store;
mod stream;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use sha2::{Digest, Sha256};

pub use self::builder::{FingerprintKey, Held, Pushed, RosterBuilder, RunBound, UnsortedRows};
pub use self::merge::OpenRuns;
pub use self::mode::{MIN_KEY_BYTES, PseudonymKey, PseudonymKeyError, RosterMode};
pub use self::rows::{GuestRow, SortedRows, SortedRun};
pub use self::run_file::{RunFileError, RunReader};
pub use self::run_store::{MERGE_FAN_IN, RunRecord, RunStore, RunStoreError};
pub use self::stream::RosterStream;
use crate::dataset::ContentDigest;
use crate::dataset::content::Disclosure;
use crate::dataset::content::RosterHasher;
use crate::dataset::schema;
use crate::guest::NetworkId;
use crate::period::BillingPeriod;
use crate::storage::FileDigest;

/// Why a roster could not be built or read.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// A guest without an identity: counting them would merge strangers into one.
    #[error("a guest has an empty hash, so they cannot be told from others; nothing can be counted on it")]
    EmptyHash,
    /// A run is not what was written, or cannot be read (exit 75).
    #[error(transparent)]
    Damaged(#[from] DamagedRun),
    /// The program was told to stop (exit 75).
    #[error("interrupted while the roster was put together; run again")]
    Interrupted,
    /// A batch of rows could not be made (exit 70).
    #[error("a batch of the roster could not be made; this is a bug, please report it")]
    Batch(#[from] arrow::error::ArrowError),
}

/// A run that cannot be believed.
#[derive(Debug, thiserror::Error)]
#[error("rows of an unfinished walk are not used, {reason} ({run}.run)")]
pub struct DamagedRun {
    /// Which.
    pub run: FileDigest,
    /// What is wrong with it.
    pub reason: RunFileError,
}

impl DamagedRun {
    /// Says whether the run is not what was written, rather than not to be read at the moment.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self.reason {
            RunFileError::Damaged(_) => true,
            RunFileError::Io(_) => false,
        }
    }
}

/// What a roster is of.
#[derive(Clone, Debug)]
pub struct RosterOf {
    /// The network whose guests these are.
    pub network: NetworkId,
    /// The billing period.
    pub period: BillingPeriod,
    /// What is kept of the guests.
    pub mode: RosterMode,
}

/// Where the rows of a roster are held.
pub enum RosterRows {
    /// In memory: one run, too small to be written down.
    Memory(Arc<SortedRun>),
    /// In files.
    Runs(OpenRuns),
}

/// Digests who the guests are.
#[derive(Default)]
struct GuestSetHasher(Sha256);

impl GuestSetHasher {
    fn push(&mut self, identity: &str) {
        self.0.update((identity.len() as u64).to_be_bytes());
        self.0.update(identity);
    }

    fn finish(self) -> GuestSet {
        self.0.finalize().into()
    }
}

/// All guests of one period of one network. Cheap to clone.
#[derive(Clone)]
pub struct Roster(Arc<RosterContent>);

struct RosterContent {
    of: RosterOf,
    guests: u64,
    duplicates: u64,
    username_conflicts: u64,
    empty_usernames: u64,
    content_sha256: ContentDigest,
    rows: HeldRows,
}

/// Who the guests are, whatever they are called. It never leaves the process.
type GuestSet = [u8; 32];

/// Rows with what tells whose they are: of those in memory that is found out when it is asked for.
enum HeldRows {
    Memory(Arc<SortedRun>),
    Runs(OpenRuns, GuestSet),
}

impl HeldRows {
    fn guest_set(&self) -> &GuestSet {
        match self {
            Self::Memory(run) => run.guest_set(),
            Self::Runs(_, guest_set) => guest_set,
        }
    }
}

impl Roster {
    /// Puts a roster together: counts and digests its rows, of which so many were pushed, repeated ones included.
    ///
    /// It reads all rows and may take seconds.
    ///
    /// # Errors
    /// [`RosterError`] if the rows cannot be read or the program is told to stop.
    pub fn of(of: RosterOf, pushed: u64, rows: RosterRows) -> Result<Self, RosterError> {
        let disclosure = of.mode.disclosure();
        let mut content = disclosure.map(|disclosure| RosterHasher::new(disclosure, of.period, of.network));
        let (mut guests, mut username_conflicts, mut empty_usernames) = (0, 0, 0);
        // Of rows in memory it is taken only if it is asked for.
        let (mut guest_set, is_merged) = (GuestSetHasher::default(), matches!(rows, RosterRows::Runs(_)));
        let mut sorted: Box<dyn SortedRows> = match &rows {
            RosterRows::Memory(run) => Box::new(run.rows()),
            RosterRows::Runs(runs) => Box::new(runs.rows()?),
        };
        while let Some(GuestRow { identity, name, conflict }) = sorted.advance()? {
            guests += 1;
            username_conflicts += u64::from(conflict);
            empty_usernames += u64::from(name.is_empty());
            if is_merged {
                guest_set.push(identity);
            }
            if let Some(content) = &mut content {
                let username = matches!(disclosure, Some(Disclosure::Full)).then_some(name);
                content.push(identity, username).expect("a merge of sorted runs ascends");
            }
        }
        drop(sorted);
        let content_sha256 = match content {
            Some(content) => content.finish(),
            None => ContentDigest::of_counts(of.period, of.network, guests),
        };
        let rows = match rows {
            RosterRows::Memory(run) => HeldRows::Memory(run),
            RosterRows::Runs(runs) => HeldRows::Runs(runs, guest_set.finish()),
        };
        let duplicates = pushed.saturating_sub(guests);
        Ok(Self(Arc::new(RosterContent {
            of,
            guests,
            duplicates,
            username_conflicts,
            empty_usernames,
            content_sha256,
            rows,
        })))
    }

    /// Puts a roster together from rows at hand.
    #[cfg(test)]
    pub(crate) fn of_guests<T: AsRef<str>>(of: RosterOf, guests: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut builder = RosterBuilder::new(of.mode.clone(), FingerprintKey::random());
        let mut pushed = 0;
        for (hash, username) in guests {
            builder.push(hash.as_ref(), username.as_ref()).unwrap();
            pushed += 1;
        }
        Self::of(of, pushed, RosterRows::Memory(Arc::new(builder.take_rows().sorted()))).unwrap()
    }

    /// Returns the network whose guests these are.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.0.of.network
    }

    /// Returns the billing period whose guests these are.
    #[must_use]
    pub fn period(&self) -> BillingPeriod {
        self.0.of.period
    }

    /// Returns what the roster keeps of its guests.
    #[must_use]
    pub fn mode(&self) -> &RosterMode {
        &self.0.of.mode
    }

    /// Returns the number of distinct hashes: the number that is billed.
    #[must_use]
    pub fn guests(&self) -> u64 {
        self.0.guests
    }

    /// Returns the rows that were pushed beyond the first of each guest.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.0.duplicates
    }

    /// Returns the guests that came with more than one username; each counts once, however many there were.
    #[must_use]
    pub fn username_conflicts(&self) -> u64 {
        self.0.username_conflicts
    }

    /// Returns the guests whose kept username is empty. It is kept wherever it came at all, being the smallest.
    #[must_use]
    pub fn empty_usernames(&self) -> u64 {
        self.0.empty_usernames
    }

    /// Returns the digest of the logical content, as [`crate::dataset::content`] defines it.
    ///
    /// Of a counts-only roster it covers the count alone: use [`Self::same_guests`] to compare two walks.
    #[must_use]
    pub fn content_sha256(&self) -> ContentDigest {
        self.0.content_sha256
    }

    /// Says whether two walks found the same set of guests, whatever they were called and whatever is published.
    #[must_use]
    pub fn same_guests(&self, other: &Self) -> bool {
        self.network() == other.network()
            && self.period() == other.period()
            && self.0.guests == other.0.guests
            && self.0.rows.guest_set() == other.0.rows.guest_set()
    }

    /// Returns the rows from the first on, or `None` if the roster only counts. May be called again.
    #[must_use]
    pub fn stream(&self) -> Option<RosterStream> {
        RosterStream::new(self)
    }

    /// Says whether the roster fits into memory, so that reading it takes no files.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        self.in_memory().is_some()
    }

    /// Returns the rows as they are held in memory, if they are.
    pub(crate) fn in_memory(&self) -> Option<Arc<SortedRun>> {
        match &self.0.rows {
            HeldRows::Memory(run) => Some(Arc::clone(run)),
            HeldRows::Runs(..) => None,
        }
    }

    /// Returns the same roster, whose rows were written down.
    pub(crate) fn held_in(&self, runs: OpenRuns) -> Self {
        let content = &*self.0;
        let rows = HeldRows::Runs(runs, *content.rows.guest_set());
        Self(Arc::new(RosterContent { of: content.of.clone(), rows, ..*content }))
    }

    /// Returns the one row of `guest_counts`.
    #[must_use]
    pub fn counts(&self) -> RecordBatch {
        schema::guest_counts_batch(self.period(), self.network(), self.guests())
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Roster")
            .field("network", &self.network())
            .field("period", &self.period())
            .field("mode", self.mode())
            .field("guests", &self.0.guests)
            .field("content_sha256", &self.0.content_sha256)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use arrow::array::{Array, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::dataset::samples::HOSTILE_TEXTS;
    use crate::dataset::{BATCH_ROWS, Dataset, content, csv, parquet};

    type Row = (String, String, String, Option<String>);

    fn key() -> PseudonymKey {
        PseudonymKey::new(b"0123456789abcdef").unwrap()
    }

    fn roster<'a>(mode: RosterMode, rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Roster {
        let of = RosterOf { network: "01234567".parse().unwrap(), period: "2026-10".parse().unwrap(), mode };
        Roster::of_guests(of, rows)
    }

    fn rows(roster: &Roster) -> Vec<Row> {
        let mut rows = Vec::new();
        for batch in roster.stream().expect("a roster with rows") {
            let batch = batch.unwrap();
            assert_eq!(batch.schema(), schema::guest_roster());
            let text = |column: usize, row: usize| {
                let column = batch.column(column).as_any().downcast_ref::<StringArray>().unwrap();
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            for row in 0..batch.num_rows() {
                let [period, network, hash] = [0, 1, 2].map(|column| text(column, row).unwrap());
                rows.push((period, network, hash, text(3, row)));
            }
        }
        rows
    }

    fn files(roster: &Roster) -> [Vec<u8>; 2] {
        let (mut parquet_file, mut csv_file) = (Vec::new(), Vec::new());
        let sorted_by = Dataset::GuestRoster.sorting_columns();
        let rows = || roster.stream().unwrap();
        parquet::write(&schema::guest_roster(), rows(), sorted_by, &mut parquet_file).unwrap();
        csv::write(&schema::guest_roster(), rows(), csv::CsvOptions::default(), &mut csv_file).unwrap();
        [parquet_file, csv_file]
    }

    #[test]
    fn each_guest_is_counted_once_under_the_smaller_username() {
        let pushed = [
            ("b", "zoe"),
            ("a", "ann"),
            ("b", "bob"),
            ("b", "zoe"),
            ("a", "ann"),
            ("B", ""),
            ("c", "x"),
            ("c", ""),
        ];
        for reversed in [false, true] {
            let mut pushed = pushed.to_vec();
            if reversed {
                pushed.reverse();
            }
            let roster = roster(RosterMode::Full, pushed);
            let kept: Vec<_> = rows(&roster).into_iter().map(|row| (row.2, row.3.unwrap())).collect();
            let expected = [("B", ""), ("a", "ann"), ("b", "bob"), ("c", "")];
            assert_eq!(kept, expected.map(|(hash, name)| (hash.to_owned(), name.to_owned())));
            assert_eq!((roster.guests(), roster.duplicates()), (4, 4));
            assert_eq!((roster.username_conflicts(), roster.empty_usernames()), (2, 2));
        }
    }

    #[test]
    fn an_empty_hash_is_refused() {
        let mut builder = RosterBuilder::new(RosterMode::Full, FingerprintKey::random());
        assert!(matches!(builder.push("", "ann"), Err(RosterError::EmptyHash)));
        assert!(builder.is_empty());
    }

    #[test]
    fn every_batch_but_the_last_has_exactly_the_pinned_size() {
        for (guests, sizes) in [
            (0, vec![]),
            (1, vec![1]),
            (8_192, vec![8_192]),
            (8_193, vec![8_192, 1]),
            (16_384, vec![8_192, 8_192]),
        ] {
            let hashes: Vec<_> = (0..guests).map(|guest| format!("{guest:05}")).collect();
            let twice = hashes.iter().chain(&hashes).map(|hash| (hash.as_str(), "ann"));
            let roster = roster(RosterMode::Full, twice);
            let found: Vec<_> = roster.stream().unwrap().map(|batch| batch.unwrap().num_rows()).collect();
            assert_eq!(found, sizes);
            assert!(found.iter().all(|rows| *rows <= BATCH_ROWS));
        }
    }

    #[test]
    fn pseudonymous_rosters_show_no_name_and_no_hash_and_are_sorted_by_pseudonym() {
        let pushed = [("a1", "ann"), ("b2", ""), ("c3", "cid"), ("a1", "bob"), ("b2", "x")];
        let roster = roster(RosterMode::Pseudonymous(key()), pushed);
        let rows = rows(&roster);
        assert!(rows.iter().all(|row| row.2.len() == 64 && row.3.is_none()));
        assert!(rows.is_sorted_by(|left, right| left.2 < right.2));
        let ann = "476d5bb034da81d9e812e732b877c3842468611b6bb66287973dd7374c74331d";
        assert!(rows.iter().any(|row| row.2 == ann));
        assert_eq!((roster.guests(), roster.duplicates()), (3, 2));
        assert_eq!((roster.username_conflicts(), roster.empty_usernames()), (2, 1));
    }

    #[test]
    fn a_roster_that_only_counts_has_no_rows_but_still_tells_guests_apart() {
        let pushed = [("a1", "ann"), ("b2", ""), ("a1", "bob")];
        let counted = roster(RosterMode::CountsOnly, pushed);
        assert!(counted.stream().is_none());
        assert_eq!((counted.guests(), counted.duplicates()), (2, 1));
        assert_eq!((counted.username_conflicts(), counted.empty_usernames()), (1, 1));

        let others = roster(RosterMode::CountsOnly, [("c3", "x"), ("d4", "y")]);
        assert_eq!(counted.content_sha256(), others.content_sha256(), "the published content is the same");
        assert!(!counted.same_guests(&others), "the guests are not");
        assert!(counted.same_guests(&roster(RosterMode::CountsOnly, [("b2", "z"), ("a1", "")])));
    }

    #[test]
    fn equal_sets_under_other_names_are_the_same_guests_but_not_the_same_content() {
        let ann = roster(RosterMode::Full, [("a1", "ann")]);
        let bob = roster(RosterMode::Full, [("a1", "bob")]);
        assert!(ann.same_guests(&bob));
        assert_ne!(ann.content_sha256(), bob.content_sha256());
        let modes = [RosterMode::Full, RosterMode::Pseudonymous(key()), RosterMode::CountsOnly];
        let digests: BTreeSet<_> =
            modes.into_iter().map(|mode| roster(mode, [("a1", "ann")]).content_sha256()).collect();
        assert_eq!(digests.len(), 3, "the mode is part of the content");
    }

    #[test]
    fn order_and_repetition_change_no_byte_of_any_file() {
        let hashes: Vec<_> = (0..10_000).map(|guest| format!("{:08x}", guest * 2_654_435_761_u64)).collect();
        let names: Vec<_> = (0..10_000).map(|guest| HOSTILE_TEXTS[guest % HOSTILE_TEXTS.len()]).collect();
        let guests = || hashes.iter().map(String::as_str).zip(names.iter().copied());
        let forward = roster(RosterMode::Full, guests());
        let backward = roster(RosterMode::Full, guests().collect::<Vec<_>>().into_iter().rev());
        let repeated = roster(RosterMode::Full, guests().flat_map(|guest| [guest; 3]));
        assert_eq!(repeated.duplicates(), 20_000);
        for other in [&backward, &repeated] {
            assert_eq!(other.content_sha256(), forward.content_sha256());
            assert!(files(other) == files(&forward));
        }
    }

    #[test]
    fn nothing_of_a_guest_is_printed() {
        let roster = roster(RosterMode::Full, [("secret-hash", "ann@example.com")]);
        let printed = format!("{roster:?}");
        assert!(!printed.contains("secret") && !printed.contains("ann@"), "{printed}");
    }

    proptest! {
        #[test]
        fn a_roster_is_what_a_map_of_sets_says(
            pushed in proptest::collection::vec(("[a-cé]{1,2}|abcdefgh[12]?|a\0?", "([xy]|=|\")?"), 0..60),
            pseudonymous: bool,
        ) {
            let mut reference: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            let mode = if pseudonymous { RosterMode::Pseudonymous(key()) } else { RosterMode::Full };
            for (hash, username) in &pushed {
                let identity = mode.admit(hash, "").0.into_owned();
                reference.entry(identity).or_default().insert(username.clone());
            }
            let pushed_rows = pushed.iter().map(|(hash, name)| (hash.as_str(), name.as_str()));
            let roster = roster(mode.clone(), pushed_rows.clone());

            let expected: Vec<Row> = reference.iter().map(|(identity, names)| {
                let username = (!pseudonymous).then(|| names.first().unwrap().clone());
                ("2026-10".to_owned(), "01234567".to_owned(), identity.clone(), username)
            }).collect();
            prop_assert_eq!(rows(&roster), expected);
            let guests = reference.len() as u64;
            prop_assert_eq!(roster.guests(), guests);
            prop_assert_eq!(roster.duplicates(), pushed.len() as u64 - guests);
            let conflicts = reference.values().filter(|names| names.len() > 1).count() as u64;
            prop_assert_eq!(roster.username_conflicts(), conflicts);
            let empty = reference.values().filter(|names| names.contains("")).count() as u64;
            prop_assert_eq!(roster.empty_usernames(), empty);

            // What verify will compute from the published file is what the builder computed from the walk.
            let file: bytes::Bytes = files(&roster)[0].clone().into();
            let disclosure = mode.disclosure().unwrap();
            let mut hasher = content::RosterHasher::new(disclosure, roster.period(), roster.network());
            for batch in parquet::read(file, &schema::guest_roster()).unwrap() {
                hasher.push_batch(&batch.unwrap()).unwrap();
            }
            prop_assert_eq!(hasher.guests(), guests);
            prop_assert_eq!(hasher.finish(), roster.content_sha256());

            let counted = self::roster(RosterMode::CountsOnly, pushed_rows);
            prop_assert_eq!(counted.guests(), guests);
            prop_assert_eq!(counted.duplicates(), roster.duplicates());
            prop_assert_eq!(counted.username_conflicts(), conflicts);
            prop_assert_eq!(counted.empty_usernames(), empty);
        }
    }
}
