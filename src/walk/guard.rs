//! What a sequence of pages must obey, whatever the pages say: it makes progress and does not turn in circles.
//!
//! Tokens are remembered by digest, and of guests only whether a page brought a new one, because a walk of ten
//! million guests must not be held in memory to be watched.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::guest::PageToken;
use crate::roster::Pushed;

/// How many pages in a row may bring no new guest.
pub const MAX_STALE_PAGES: u32 = 1000;
/// How many pages a list may have: a hundred million guests, of whose tokens 16 bytes each are remembered.
pub const MAX_PAGES: usize = 1_000_000;

/// How a walk went in circles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// A token that was seen before.
    #[error(
        "the service handed out a page token for the second time, so the list would never end; nothing is \
         published, and another run may fare better"
    )]
    RepeatedToken,
    /// Pages without end that bring nothing.
    #[error(
        "{MAX_STALE_PAGES} pages in a row brought nothing new; nothing is published, and another run may fare \
         better"
    )]
    NoProgress,
    /// Pages without end that bring something each time.
    #[error(
        "the list has more than {MAX_PAGES} pages, which no list of guests has; nothing is published, as the \
         service's answers are not to be trusted"
    )]
    Endless,
}

/// Digests of the tokens that a list has handed out, written as their hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct TokenDigests(HashSet<[u8; DIGEST_BYTES]>);

/// What is kept of a token's SHA-256.
const DIGEST_BYTES: usize = 16;

impl TokenDigests {
    /// Remembers a token, and says whether it is a new one.
    fn insert(&mut self, token: &PageToken) -> bool {
        self.0.insert(Self::digest(token))
    }

    fn has(&self, token: &PageToken) -> bool {
        self.0.contains(&Self::digest(token))
    }

    fn digest(token: &PageToken) -> [u8; DIGEST_BYTES] {
        let digest = Sha256::digest(token.as_str());
        *digest.first_chunk().expect("a SHA-256 digest is 32 bytes long")
    }
}

impl From<TokenDigests> for String {
    fn from(digests: TokenDigests) -> Self {
        let mut sorted: Vec<_> = digests.0.into_iter().collect();
        sorted.sort_unstable();
        hex::encode(sorted.concat())
    }
}

impl TryFrom<String> for TokenDigests {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = hex::decode(text).map_err(|_| "token digests are hexadecimal digits")?;
        let (digests, rest) = bytes.as_chunks();
        if !rest.is_empty() || digests.len() > MAX_PAGES {
            return Err("token digests are whole, and no more than a list has pages");
        }
        Ok(Self(digests.iter().copied().collect()))
    }
}

/// Watches any paged list: no token twice, and something new now and then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListGuard {
    seen_tokens: TokenDigests,
    stale_pages: u32,
}

impl ListGuard {
    /// Admits the next page, which leads on by `next` and brought something new or not.
    ///
    /// # Errors
    /// [`GuardError`] if the token is an old one, nothing new came for too long, or there are too many pages.
    pub fn admit(&mut self, next: Option<&PageToken>, brought_news: bool) -> Result<(), GuardError> {
        let Some(token) = next else { return Ok(()) };
        if !self.seen_tokens.insert(token) {
            return Err(GuardError::RepeatedToken);
        }
        if self.seen_tokens.0.len() >= MAX_PAGES {
            return Err(GuardError::Endless);
        }
        self.stale_pages = if brought_news { 0 } else { self.stale_pages.saturating_add(1) };
        if self.stale_pages >= MAX_STALE_PAGES {
            return Err(GuardError::NoProgress);
        }
        Ok(())
    }

    /// Says whether a page that leads on by this token could be refused, as far as that can be told before it is read.
    fn may_refuse(&self, next: &PageToken) -> bool {
        let lasts = self.seen_tokens.0.len() + 1 < MAX_PAGES && self.stale_pages + 1 < MAX_STALE_PAGES;
        !lasts || self.seen_tokens.has(next)
    }
}

/// Watches one walk. It can be written down and goes on where it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageGuard {
    list: ListGuard,
    /// What tells the rows of the last page that had any.
    last_page: Vec<u64>,
}

impl PageGuard {
    /// Admits the next page of the walk, and counts its rows that repeat a row of the page before.
    ///
    /// # Errors
    /// [`GuardError`] if the page's token is an old one, or nothing new came for too long.
    pub fn admit(&mut self, rows: &[Pushed], next: Option<&PageToken>) -> Result<u64, GuardError> {
        let shown = Sketch::of(&self.last_page);
        let is_shown =
            |row: &&Pushed| shown.may_have(row.fingerprint) && self.last_page.contains(&row.fingerprint);
        let edge_repeats = rows.iter().filter(is_shown).count();
        let brought_news = rows.iter().any(|row| row.is_new);
        if !rows.is_empty() {
            self.last_page.clear();
            self.last_page.extend(rows.iter().map(|row| row.fingerprint));
        }
        self.list.admit(next, brought_news)?;
        Ok(edge_repeats as u64)
    }

    /// Says whether a page that leads on by this token could be refused, as far as that can be told before it is read.
    pub(super) fn may_refuse(&self, next: &PageToken) -> bool {
        self.list.may_refuse(next)
    }
}

/// Which fingerprints a page may have: most rows are known not to repeat it without a look at each of its own.
struct Sketch([u64; 16]);

impl Sketch {
    fn of(fingerprints: &[u64]) -> Self {
        let mut sketch = Self([0; 16]);
        for fingerprint in fingerprints {
            let (word, mask) = Self::bit(*fingerprint);
            sketch.0[word] |= mask;
        }
        sketch
    }

    fn may_have(&self, fingerprint: u64) -> bool {
        let (word, mask) = Self::bit(fingerprint);
        self.0[word] & mask != 0
    }

    const fn bit(fingerprint: u64) -> (usize, u64) {
        (((fingerprint >> 6) & 15) as usize, 1 << (fingerprint & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Stands for the builder: knows who is new.
    #[derive(Default)]
    struct Pages {
        guard: PageGuard,
        seen: HashMap<String, u64>,
    }

    impl Pages {
        fn admit(&mut self, hashes: &[&str], next: Option<&str>) -> Result<u64, GuardError> {
            let rows: Vec<Pushed> = hashes
                .iter()
                .map(|hash| {
                    let fingerprint = self.seen.len() as u64;
                    let is_new = !self.seen.contains_key(*hash);
                    Pushed {
                        fingerprint: *self.seen.entry((*hash).to_owned()).or_insert(fingerprint),
                        is_new,
                    }
                })
                .collect();
            let next = next.map(|token| PageToken::new(token.to_owned()).unwrap());
            let may_be_refused = next.as_ref().is_some_and(|next| self.guard.may_refuse(next));
            let admitted = self.guard.admit(&rows, next.as_ref());
            assert!(admitted.is_ok() || may_be_refused, "refused without a warning");
            admitted
        }
    }

    #[test]
    fn a_repeated_token_is_an_error_however_far_back_it_lies() {
        let mut pages = Pages::default();
        for token in ["a", "b", "c"] {
            assert!(!pages.guard.may_refuse(&PageToken::new(token.to_owned()).unwrap()));
            pages.admit(&[token], Some(token)).unwrap();
        }
        assert_eq!(pages.admit(&["d"], Some("a")), Err(GuardError::RepeatedToken));
    }

    #[test]
    fn rows_of_the_page_before_are_edge_repeats_across_an_empty_page_too() {
        let mut pages = Pages::default();
        assert_eq!(pages.admit(&["a", "b"], Some("1")), Ok(0));
        assert_eq!(pages.admit(&[], Some("2")), Ok(0));
        assert_eq!(pages.admit(&["b", "c"], Some("3")), Ok(1));
        assert_eq!(pages.admit(&["a", "d"], None), Ok(0), "not of the page before");
    }

    #[test]
    fn a_thousand_pages_without_a_new_guest_are_an_error_and_one_fewer_is_not() {
        let stale = |count: u32| {
            let mut pages = Pages::default();
            pages.admit(&["a"], Some("first")).unwrap();
            (0..count).try_for_each(|number| pages.admit(&["a"], Some(&number.to_string())).map(drop))
        };
        assert_eq!(stale(MAX_STALE_PAGES - 1), Ok(()));
        assert_eq!(stale(MAX_STALE_PAGES), Err(GuardError::NoProgress));
    }

    #[test]
    fn a_new_guest_begins_the_count_again() {
        let mut pages = Pages::default();
        for number in 0..3 * MAX_STALE_PAGES {
            let hash = (number / (MAX_STALE_PAGES - 1)).to_string();
            pages.admit(&[&hash], Some(&number.to_string())).unwrap();
        }
    }

    #[test]
    fn a_list_of_too_many_pages_is_an_error_though_each_brings_something() {
        let seen = (2..MAX_PAGES).map(|page| (page as u128).to_be_bytes()).collect();
        let mut guard = ListGuard { seen_tokens: TokenDigests(seen), stale_pages: 0 };
        let [last_but_one, last] =
            ["last but one", "last"].map(|token| PageToken::new(token.to_owned()).unwrap());
        assert!(!guard.may_refuse(&last_but_one));
        assert_eq!(guard.admit(Some(&last_but_one), true), Ok(()));
        assert!(guard.may_refuse(&last));
        assert_eq!(guard.admit(Some(&last), true), Err(GuardError::Endless));
    }

    #[test]
    fn a_guard_that_was_written_down_still_knows_every_token() {
        let mut pages = Pages::default();
        pages.admit(&["a"], Some("1")).unwrap();
        pages.admit(&["b"], Some("2")).unwrap();
        let written = serde_json::to_string(&pages.guard).unwrap();
        let read: PageGuard = serde_json::from_str(&written).unwrap();
        assert_eq!(read, pages.guard);
        let mut resumed = Pages { guard: read, ..pages };
        assert_eq!(resumed.admit(&["b", "c"], Some("1")), Err(GuardError::RepeatedToken));
        for digits in ["0", "zz", &"0".repeat(33)] {
            assert!(serde_json::from_str::<TokenDigests>(&format!("\"{digits}\"")).is_err(), "{digits}");
        }
    }
}
