//! What a sequence of pages must obey, whatever the pages say: it makes progress and does not turn in circles.
//!
//! Tokens are remembered by digest and guests by a 64-bit fingerprint, because a walk of ten million guests must
//! not be held in memory to be watched. A collision of fingerprints makes a new guest look known; it would take
//! a thousand pages of nothing but collisions to matter.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use sha2::{Digest, Sha256};

use crate::guest::PageToken;
use crate::wickr::GuestPage;

/// How many pages in a row may bring no new guest.
pub const MAX_STALE_PAGES: u32 = 1000;

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
}

/// Watches any paged list: no token twice, and something new now and then.
#[derive(Debug, Default)]
pub struct ListGuard {
    seen_tokens: HashSet<[u8; 16]>,
    stale_pages: u32,
}

impl ListGuard {
    /// Admits the next page, which leads on by `next` and brought something new or not.
    ///
    /// # Errors
    /// [`GuardError`] if the token is an old one, or nothing new came for too long.
    pub fn admit(&mut self, next: Option<&PageToken>, brought_news: bool) -> Result<(), GuardError> {
        let Some(token) = next else { return Ok(()) };
        let digest = Sha256::digest(token.as_str());
        let (head, _) = digest.split_first_chunk::<16>().expect("a SHA-256 digest is 32 bytes long");
        if !self.seen_tokens.insert(*head) {
            return Err(GuardError::RepeatedToken);
        }
        self.stale_pages = if brought_news { 0 } else { self.stale_pages + 1 };
        if self.stale_pages >= MAX_STALE_PAGES {
            return Err(GuardError::NoProgress);
        }
        Ok(())
    }
}

/// Watches one walk.
#[derive(Debug, Default)]
pub struct PageGuard {
    list: ListGuard,
    fingerprint: RandomState,
    seen_guests: HashSet<u64>,
    last_page: HashSet<u64>,
}

impl PageGuard {
    /// Admits the next page of the walk, and counts its rows that repeat a row of the page before.
    ///
    /// # Errors
    /// [`GuardError`] if the page's token is an old one, or nothing new came for too long.
    pub fn admit(&mut self, page: &GuestPage) -> Result<u64, GuardError> {
        let prints: Vec<u64> =
            page.guests.iter().map(|guest| self.fingerprint.hash_one(&guest.username_hash)).collect();
        let edge_repeats = prints.iter().filter(|print| self.last_page.contains(print)).count();
        let mut fresh = false;
        for print in &prints {
            fresh |= self.seen_guests.insert(*print);
        }
        if !prints.is_empty() {
            self.last_page = prints.into_iter().collect();
        }
        self.list.admit(page.next.as_ref(), fresh)?;
        Ok(edge_repeats as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{Guest, Username, UsernameHash};

    fn page(hashes: &[&str], next: Option<&str>) -> GuestPage {
        let guest = |hash: &&str| Guest {
            username_hash: UsernameHash::new((*hash).to_owned()).unwrap(),
            username: Username::new(String::new()).unwrap(),
        };
        GuestPage {
            guests: hashes.iter().map(guest).collect(),
            next: next.map(|token| PageToken::new(token.to_owned()).unwrap()),
        }
    }

    #[test]
    fn a_repeated_token_is_an_error_however_far_back_it_lies() {
        let mut guard = PageGuard::default();
        for token in ["a", "b", "c"] {
            guard.admit(&page(&[token], Some(token))).unwrap();
        }
        assert_eq!(guard.admit(&page(&["d"], Some("a"))), Err(GuardError::RepeatedToken));
    }

    #[test]
    fn rows_of_the_page_before_are_edge_repeats_across_an_empty_page_too() {
        let mut guard = PageGuard::default();
        assert_eq!(guard.admit(&page(&["a", "b"], Some("1"))), Ok(0));
        assert_eq!(guard.admit(&page(&[], Some("2"))), Ok(0));
        assert_eq!(guard.admit(&page(&["b", "c"], Some("3"))), Ok(1));
        assert_eq!(guard.admit(&page(&["a", "d"], None)), Ok(0), "not of the page before");
    }

    #[test]
    fn a_thousand_pages_without_a_new_guest_are_an_error_and_one_fewer_is_not() {
        let stale = |pages: u32| {
            let mut guard = PageGuard::default();
            guard.admit(&page(&["a"], Some("first"))).unwrap();
            (0..pages).try_for_each(|number| guard.admit(&page(&["a"], Some(&number.to_string()))).map(drop))
        };
        assert_eq!(stale(MAX_STALE_PAGES - 1), Ok(()));
        assert_eq!(stale(MAX_STALE_PAGES), Err(GuardError::NoProgress));
    }

    #[test]
    fn a_new_guest_begins_the_count_again() {
        let mut guard = PageGuard::default();
        for number in 0..3 * MAX_STALE_PAGES {
            let hash = (number / (MAX_STALE_PAGES - 1)).to_string();
            guard.admit(&page(&[&hash], Some(&number.to_string()))).unwrap();
        }
    }
}
