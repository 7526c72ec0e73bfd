//! Page tokens: opaque, short, and bound to the request that they continue.
//!
//! The server keeps nothing about a walk: the token itself says where it stands, sealed with a key made from the
//! seed. So a walk resumes against a restarted simulator, and a token that was altered, or that is presented with
//! another page size, period, filter or direction, is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

const SEAL_BYTES: usize = 16;

/// Where a walk stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bookmark {
    /// The page that the token asks for, counted from 1.
    pub(super) page: u64,
    /// Tells apart tokens that ask for the same page.
    pub(super) turn: u64,
    /// If not 0, the walk is caught in a loop of this many tokens.
    pub(super) cycle: u64,
    /// Where to go on in each list that is read, as the paging mode has it; empty at the beginning.
    pub(super) positions: Vec<u64>,
}

impl Default for Bookmark {
    fn default() -> Self {
        Self { page: 1, turn: 0, cycle: 0, positions: Vec::new() }
    }
}

/// Seals and opens tokens.
#[derive(Debug)]
pub(super) struct TokenSeal {
    seed: u64,
}

impl TokenSeal {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Writes a bookmark as a token that only opens with the same `binding`.
    pub(super) fn seal(&self, bookmark: &Bookmark, binding: &str) -> String {
        let numbers = [bookmark.page, bookmark.turn, bookmark.cycle];
        let mut bytes: Vec<u8> =
            numbers.iter().chain(&bookmark.positions).flat_map(|number| number.to_be_bytes()).collect();
        let seal = self.digest(&bytes, binding);
        bytes.extend_from_slice(&seal);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token; nothing if it was not sealed here with this `binding`.
    pub(super) fn open(&self, token: &str, binding: &str) -> Option<Bookmark> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (payload, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL_BYTES)?)?;
        if seal != self.digest(payload, binding) {
            return None;
        }
        let (numbers, rest) = payload.as_chunks::<8>();
        let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
        match (numbers.as_slice(), rest) {
            ([page, turn, cycle, positions @ ..], []) => {
                Some(Bookmark { page: *page, turn: *turn, cycle: *cycle, positions: positions.to_vec() })
            }
            _ => None,
        }
    }

    fn digest(&self, payload: &[u8], binding: &str) -> [u8; SEAL_BYTES] {
        let mut digest = Sha256::new();
        digest.update(self.seed.to_be_bytes());
        digest.update(payload);
        digest.update(binding.as_bytes());
        let digest = digest.finalize();
        std::array::from_fn(|at| digest[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_only_with_its_own_binding_and_seed() {
        let seal = TokenSeal::new(1);
        let bookmark = Bookmark { page: 3, turn: 1, cycle: 2, positions: vec![200, 7] };
        let token = seal.seal(&bookmark, "size 100");
        assert_eq!(seal.open(&token, "size 100"), Some(bookmark));
        assert_eq!(seal.open(&token, "size 99"), None);
        assert_eq!(TokenSeal::new(2).open(&token, "size 100"), None);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }

    #[test]
    fn what_is_no_token_does_not_open() {
        let seal = TokenSeal::new(1);
        let token = seal.seal(&Bookmark::default(), "");
        let altered = format!("A{}", &token[1..]);
        let altered = if altered == token { format!("B{}", &token[1..]) } else { altered };
        for text in ["", "AAAA", "not base64!", &altered, &token[..token.len() - 2]] {
            assert_eq!(seal.open(text, ""), None, "{text}");
        }
    }
}
