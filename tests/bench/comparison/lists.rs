//! The guests that every contender is asked to export, as finished pages.
//!
//! What the server sends is made before the first contender starts: answering costs it a copy, so that what is measured
//! is whoever asks. Usernames are those of a company's partners and hashes are hexadecimal digests, of which zstd
//! halves each and Snappy none: the sizes of files say something about real ones only as far as real hashes are like
//! that.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use wickr_guest_export::period::{BillingPeriod, PeriodSpelling};

/// The rows of a page, the most that the service gives.
pub(crate) const PAGE_ROWS: usize = 100;

const GIVEN: [&str; 8] = ["alba", "bruno", "chen", "dana", "emil", "farah", "goran", "hanna"];
const FAMILY: [&str; 8] = ["abe", "becker", "costa", "diaz", "eriksen", "fox", "garcia", "horvat"];
const DOMAINS: [&str; 4] = ["acme.example", "globex.example", "initech.example", "umbrella.example"];

/// Which end of a list comes first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// Returns the ids of so many networks.
pub(crate) fn networks(count: u32) -> Vec<String> {
    (0..count).map(|number| (FIRST_NETWORK + number).to_string()).collect()
}

/// Returns which of the networks it is, from 0.
pub(crate) fn number_of_network(network: &str) -> Option<usize> {
    usize::try_from(network.parse::<u32>().ok()?.checked_sub(FIRST_NETWORK)?).ok()
}

const FIRST_NETWORK: u32 = 10_000_001;

/// The guests of some months, the same in every month.
pub(crate) struct Lists {
    pub(crate) guests: u64,
    months: BTreeMap<BillingPeriod, Pages>,
}

struct Pages {
    ascending: Vec<Vec<u8>>,
    descending: Vec<Vec<u8>>,
}

impl Lists {
    /// Makes lists of so many guests each.
    pub(crate) fn new(guests: u64, months: impl IntoIterator<Item = BillingPeriod>) -> Self {
        let mut usernames: Vec<String> =
            (0..usize::try_from(guests).expect("they fit into memory")).map(username).collect();
        usernames.sort_unstable();
        let months = months.into_iter().map(|month| (month, Pages::new(&usernames, month))).collect();
        Self { guests, months }
    }

    /// Returns how many pages each list has. An empty list has one, which is empty.
    pub(crate) fn pages(&self) -> u64 {
        self.guests.div_ceil(PAGE_ROWS as u64).max(1)
    }

    /// Returns the page of a number, from 0.
    pub(crate) fn page(&self, month: BillingPeriod, direction: Direction, number: usize) -> Option<&[u8]> {
        let pages = self.months.get(&month)?;
        let pages = match direction {
            Direction::Ascending => &pages.ascending,
            Direction::Descending => &pages.descending,
        };
        pages.get(number).map(Vec::as_slice)
    }

    /// Returns the answer of `GetGuestUserHistoryCount`, which counts so many months, the newest ones.
    pub(crate) fn history(&self, months: usize) -> String {
        let row = |month: &BillingPeriod| {
            let month = month.spelled(PeriodSpelling::Underscore);
            format!(r#"{{"month":"{month}","count":"{}"}}"#, self.guests)
        };
        let counted = self.months.keys().rev().take(months);
        format!(r#"{{"history":[{}]}}"#, counted.map(row).collect::<Vec<_>>().join(","))
    }
}

impl Pages {
    fn new(usernames: &[String], month: BillingPeriod) -> Self {
        let month = month.to_string();
        let descending: Vec<&String> = usernames.iter().rev().collect();
        Self {
            ascending: pages(&usernames.iter().collect::<Vec<_>>(), &month, Direction::Ascending),
            descending: pages(&descending, &month, Direction::Descending),
        }
    }
}

fn pages(usernames: &[&String], month: &str, direction: Direction) -> Vec<Vec<u8>> {
    let chunks: Vec<&[&String]> = match usernames {
        [] => vec![&[]],
        usernames => usernames.chunks(PAGE_ROWS).collect(),
    };
    let last = chunks.len() - 1;
    let page = |(number, usernames): (usize, &&[&String])| {
        let mut page = String::from(r#"{"guestlist":["#);
        for (index, username) in usernames.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let hash = hex::encode(Sha256::digest(username.as_bytes()));
            write!(
                page,
                r#"{separator}{{"billingPeriod":"{month}","username":"{username}","usernameHash":"{hash}"}}"#
            )
            .expect("a string takes everything");
        }
        page.push(']');
        if number < last {
            write!(page, r#","nextToken":"{}""#, token(direction, number + 1))
                .expect("a string takes everything");
        }
        page.push('}');
        page.into_bytes()
    };
    chunks.iter().enumerate().map(page).collect()
}

fn username(guest: usize) -> String {
    let pick = |choices: &[&'static str], digit: usize| choices[digit % choices.len()];
    let (given, family) = (pick(&GIVEN, guest), pick(&FAMILY, guest / 8));
    // Spread, so that the order of usernames is not the one of numbers.
    let number = (guest as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    format!("{given}.{family}.{number}.{guest}@{}", pick(&DOMAINS, guest / 64))
}

/// As long as a real service's are, out of letters that need no escape, and read by their beginning.
fn token(direction: Direction, page: usize) -> String {
    let direction = match direction {
        Direction::Ascending => 'a',
        Direction::Descending => 'd',
    };
    let seal = hex::encode(Sha256::digest(format!("{direction}{page}")));
    format!("{direction}{page:08}{seal}{seal}")
}

/// Reads a token's direction and page.
pub(crate) fn read_token(token: &str) -> Option<(Direction, usize)> {
    let direction = match token.as_bytes().first()? {
        b'a' => Direction::Ascending,
        b'd' => Direction::Descending,
        _ => return None,
    };
    Some((direction, token.get(1..9)?.parse().ok()?))
}
