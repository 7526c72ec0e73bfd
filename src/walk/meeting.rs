//! Whether two walks that began at both ends of a list have met, so that together they have read all of it.
//!
//! That is believed only of a list that is sorted as bytes are, and of which both walks saw the same stretch: a list
//! in another order, or one that moved where they met, is for one walk to read to its end. What is proved holds for a
//! list that stood still, no more, so two walks that met count as one walk (see [`crate::evidence`]).
//!
//! Only the latest rows of each walk are kept: before the walks meet none but those of the last pages can lie in the
//! stretch that both see.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Direction;
use crate::guest::Guests;
use crate::roster::FingerprintKey;
use crate::wickr::MAX_PAGE_ROWS;

/// How many usernames both walks must have seen, strictly between where each of them stands.
pub const MIN_SHARED_USERNAMES: usize = 100;
/// How many of the latest rows of each walk are kept: those of the ten last pages. Where so many rows hold too few
/// usernames, no meeting is found.
const KEPT_ROWS: usize = 1024;

/// What the rows of both walks say so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not enough of the list was seen by both.
    Apart,
    /// Together they have read everything.
    Met,
    /// They never will: the list is not in order, or moved where they met.
    Refuted,
}

/// Two walks towards each other, by username.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meeting {
    key: FingerprintKey,
    forward: Side,
    backward: Side,
    out_of_order: bool,
}

/// What is kept of one walk.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Side {
    /// The latest rows, edge repeats left out; the last of them is where the walk stands.
    rows: VecDeque<Row>,
    /// The username of the latest row that is no longer kept.
    forgotten: Option<String>,
    /// The rows of the page before.
    last_page: Vec<u64>,
}

/// A row: its username, and what tells it from other rows of the username.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Row(String, u64);

impl Meeting {
    /// Begins before the first page of either walk.
    #[must_use]
    pub fn begin() -> Self {
        let (forward, backward) = (Side::default(), Side::default());
        Self { key: FingerprintKey::random(), forward, backward, out_of_order: false }
    }

    /// Takes in a page of one of the walks.
    pub fn admit(&mut self, direction: Direction, page: &Guests) {
        let (side, onwards) = match direction {
            Direction::Forward => (&mut self.forward, Ordering::Greater),
            Direction::Backward => (&mut self.backward, Ordering::Less),
        };
        let key = self.key;
        let rows = page.iter().map(|guest| (guest.username, key.of_row(guest.username_hash, guest.username)));
        self.out_of_order |= side.admit(rows, onwards) == Order::Broken;
    }

    /// Forgets all pages of one of the walks, which begins anew.
    pub fn begin_anew(&mut self, direction: Direction) {
        match direction {
            Direction::Forward => self.forward = Side::default(),
            Direction::Backward => self.backward = Side::default(),
        }
    }

    /// Says what the pages amount to.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.out_of_order {
            return Standing::Refuted;
        }
        let (Some(Row(high, _)), Some(Row(low, _))) = (self.forward.rows.back(), self.backward.rows.back())
        else {
            return Standing::Apart;
        };
        if high <= low {
            return Standing::Apart;
        }
        let keeps_all = self.forward.forgotten.as_ref().is_none_or(|forgotten| forgotten <= low)
            && self.backward.forgotten.as_ref().is_none_or(|forgotten| forgotten >= high);
        let [seen, seen_too] = [&self.forward, &self.backward].map(|side| side.strictly_between(low, high));
        if !keeps_all || seen != seen_too {
            return Standing::Refuted;
        }
        let usernames: BTreeSet<&str> = seen.iter().map(|Row(username, _)| username.as_str()).collect();
        if usernames.len() >= MIN_SHARED_USERNAMES { Standing::Met } else { Standing::Apart }
    }

    /// Says whether the latest pages of both walks have a row in common, as the first ones have if the service sorts only
    /// one way, even if the list moved between them, or whether that of the forward one is not known.
    #[must_use]
    pub fn have_a_row_in_common(&self) -> bool {
        let backward = &self.backward.last_page;
        self.forward.last_page.is_empty() || self.forward.last_page.iter().any(|row| backward.contains(row))
    }

    /// Counts the rows that both walks have read, once they have met: what the backward one read short of where the
    /// forward one stands, and what that one read there.
    #[must_use]
    pub fn overlap(&self) -> u64 {
        let Some(Row(high, _)) = self.forward.rows.back() else { return 0 };
        let short_of_it = self.backward.rows.iter().filter(|Row(username, _)| username < high).count();
        let at_it = self.forward.rows.iter().filter(|Row(username, _)| username == high).count();
        (short_of_it + at_it) as u64
    }

    /// Says whether two walks could have left it so.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        [&self.forward, &self.backward].iter().all(|side| {
            let is_full = side.rows.len() == KEPT_ROWS;
            side.rows.len() <= KEPT_ROWS
                && (is_full || side.forgotten.is_none())
                && side.last_page.len() <= MAX_PAGE_ROWS
        })
    }
}

impl fmt::Debug for Meeting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Meeting").field("standing", &self.standing()).finish_non_exhaustive()
    }
}

/// Whether the rows of a walk are in its order.
#[derive(PartialEq, Eq)]
enum Order {
    Kept,
    Broken,
}

impl Side {
    fn admit<'a>(&mut self, page: impl Iterator<Item = (&'a str, u64)>, onwards: Ordering) -> Order {
        let mut order = Order::Kept;
        let mut fingerprints = Vec::new();
        for (username, fingerprint) in page {
            fingerprints.push(fingerprint);
            let step = self.rows.back().map_or(Ordering::Equal, |Row(last, _)| username.cmp(last.as_str()));
            if step == Ordering::Equal || step == onwards {
                self.rows.push_back(Row(username.to_owned(), fingerprint));
            } else if !self.last_page.contains(&fingerprint) {
                // Only an arrival behind the walk moves rows that it has read already onto the next page.
                order = Order::Broken;
            }
        }
        while self.rows.len() > KEPT_ROWS {
            self.forgotten = self.rows.pop_front().map(|Row(username, _)| username);
        }
        if !fingerprints.is_empty() {
            self.last_page = fingerprints;
        }
        order
    }

    fn strictly_between(&self, low: &str, high: &str) -> BTreeSet<&Row> {
        self.rows
            .iter()
            .filter(|Row(username, _)| low < username.as_str() && username.as_str() < high)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Page = Vec<(String, String)>;

    /// Guests named after their numbers, in pages of 40.
    fn pages(numbers: impl IntoIterator<Item = u32>) -> Vec<Page> {
        paged(numbers, |number| format!("{number:05}"))
    }

    fn paged(numbers: impl IntoIterator<Item = u32>, name: impl Fn(u32) -> String) -> Vec<Page> {
        let guests: Page = numbers.into_iter().map(|number| (format!("h{number}"), name(number))).collect();
        guests.chunks(40).map(<[_]>::to_vec).collect()
    }

    /// Admits a page of each in turn until they have met or never will, and counts the pages.
    fn meet(forward: &[Page], backward: &[Page]) -> (Standing, usize) {
        let mut meeting = Meeting::begin();
        let mut count = 0;
        for (ascending, descending) in forward.iter().zip(backward) {
            for (direction, page) in [(Direction::Forward, ascending), (Direction::Backward, descending)] {
                meeting.admit(direction, &Guests::of(page.iter().cloned()));
                count += 1;
                if meeting.standing() != Standing::Apart {
                    return (meeting.standing(), count);
                }
            }
        }
        (Standing::Apart, count)
    }

    #[test]
    fn walks_meet_once_both_have_seen_a_hundred_usernames_and_not_before() {
        // 1,000 guests are 25 pages; a stretch of 102 or more rows has 100 strictly between its ends.
        assert_eq!(meet(&pages(0..1000), &pages((0..1000).rev())), (Standing::Met, 28));
        assert_eq!(meet(&pages(0..101), &pages((0..101).rev())).0, Standing::Apart, "too few to be sure");
    }

    #[test]
    fn a_list_that_falls_anywhere_is_refuted() {
        let mut numbers: Vec<u32> = (0..1000).collect();
        numbers.swap(17, 18);
        let (standing, count) = meet(&pages(numbers.clone()), &pages((0..1000).rev()));
        assert_eq!((standing, count), (Standing::Refuted, 1));
        let mut numbers: Vec<u32> = (0..1000).rev().collect();
        numbers.swap(17, 18);
        assert_eq!(meet(&pages(0..1000), &pages(numbers)).0, Standing::Refuted);
        // The boundary of two pages is no exception.
        let mut forward = pages(0..1000);
        forward.swap(1, 2);
        assert_eq!(meet(&forward, &pages((0..1000).rev())).0, Standing::Refuted);
    }

    #[test]
    fn rows_that_an_arrival_moved_onto_the_next_page_do_not_fall() {
        let mut forward = pages(0..1000);
        let repeated: Vec<_> = forward[2][37..].iter().chain(&forward[3]).cloned().collect();
        forward[3] = repeated;
        assert_eq!(meet(&forward, &pages((0..1000).rev())).0, Standing::Met);
        // The same rows two pages later are no edge.
        let late: Vec<_> = forward[3].iter().chain(&forward[5]).cloned().collect();
        forward[5] = late;
        assert_eq!(meet(&forward, &pages((0..1000).rev())).0, Standing::Refuted);
    }

    #[test]
    fn a_stretch_that_both_saw_differently_is_refuted() {
        for missed in 460..540 {
            let forward = pages((0..1000).filter(|number| *number != missed));
            let backward = pages((0..1000).rev());
            let (standing, count) = meet(&forward, &backward);
            let in_the_stretch = standing == Standing::Refuted;
            assert!(in_the_stretch || count == 28, "{missed}");
            let seen_by_both = 481..519;
            assert!(in_the_stretch || !seen_by_both.contains(&missed), "{missed}");
        }
    }

    #[test]
    fn another_hash_under_the_same_username_is_another_row() {
        let mut backward = pages((0..1000).rev());
        for (hash, _) in backward.iter_mut().flatten().filter(|(_, username)| username == "00500") {
            "other".clone_into(hash);
        }
        assert_eq!(meet(&pages(0..1000), &backward).0, Standing::Refuted);
    }

    #[test]
    fn equal_usernames_are_no_hundred_usernames() {
        let same = |number| format!("{:05}", number / 30);
        let (standing, _) = meet(&paged(0..6000, same), &paged((0..6000).rev(), same));
        assert_eq!(standing, Standing::Refuted, "a thousand rows do not hold a hundred usernames");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever the pages and whichever walk is faster: of a list that stood still, what walks that met have read is
        /// all of it, and what both have read is counted once.
        #[test]
        fn walks_that_met_have_read_everything(
            names in proptest::collection::vec(0..400_u32, 100..700),
            page in 1..60_usize,
            turns in proptest::collection::vec(any::<bool>(), 1400),
        ) {
            let mut list: Page =
                names.iter().enumerate().map(|(at, name)| (format!("h{at}"), format!("{name:03}"))).collect();
            list.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
            let reversed: Page = list.iter().rev().cloned().collect();
            let (mut ascending, mut descending) = (list.chunks(page), reversed.chunks(page));
            let (mut meeting, mut read, mut rows) = (Meeting::begin(), BTreeSet::new(), 0);
            for forward in turns {
                let (direction, next) = if forward {
                    (Direction::Forward, ascending.next())
                } else {
                    (Direction::Backward, descending.next())
                };
                let Some(next) = next else { break };
                meeting.admit(direction, &Guests::of(next.iter().cloned()));
                read.extend(next.iter().cloned());
                rows += next.len() as u64;
                prop_assert!(meeting.is_possible());
                match meeting.standing() {
                    Standing::Apart => {}
                    // More rows than are kept may have fewer usernames than it takes.
                    Standing::Refuted => { prop_assert!(names.len() > KEPT_ROWS / 2); break }
                    Standing::Met => {
                        prop_assert_eq!(read.len(), list.len());
                        prop_assert_eq!(rows - meeting.overlap(), list.len() as u64);
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn a_meeting_that_was_written_down_goes_on() {
        let (forward, backward) = (pages(0..1000), pages((0..1000).rev()));
        let mut meeting = Meeting::begin();
        for (ascending, descending) in forward.iter().zip(&backward).take(14) {
            assert_eq!(meeting.standing(), Standing::Apart);
            meeting.admit(Direction::Forward, &Guests::of(ascending.iter().cloned()));
            meeting.admit(Direction::Backward, &Guests::of(descending.iter().cloned()));
            let written = serde_json::to_string(&meeting).unwrap();
            meeting = serde_json::from_str(&written).unwrap();
            assert!(meeting.is_possible());
        }
        assert_eq!(meeting.standing(), Standing::Met);
    }
}
