//! The identities that the export deals in: networks, guests, and the tokens between pages.
//!
//! Each is a newtype whose constructor can fail, so that no check is needed past the wire. Whatever comes from
//! a guest or from the service's internals (names, hashes, tokens) prints redacted: logs and errors may carry
//! these values around without ever showing them.

use std::fmt;
use std::str::FromStr;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

/// The longest username or hash that is believed, in bytes. The service documents none; an address of mail has at
/// most 254, and a batch of 8,192 rows whose texts are all this long still takes no more than 16 MiB.
pub const MAX_TEXT_BYTES: usize = 1024;
/// The longest page token that is believed, in bytes. It travels in a URL, where few servers take more.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The id of a Wickr network: exactly eight ASCII digits, leading zeros included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkId([u8; 8]);

/// A text that is not a network id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a Wickr network id; it is exactly eight digits, quoted where leading zeros would be lost"
)]
pub struct NetworkIdError(String);

impl NetworkId {
    /// Returns the eight digits.
    ///
    /// # Panics
    /// Never: the bytes are ASCII digits since construction.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("eight ASCII digits")
    }
}

impl FromStr for NetworkId {
    type Err = NetworkIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match <[u8; 8]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            _ => Err(NetworkIdError(text.chars().take(40).collect())),
        }
    }
}

impl TryFrom<String> for NetworkId {
    type Error = NetworkIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NetworkId> for String {
    fn from(network: NetworkId) -> Self {
        network.as_str().to_owned()
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Why a text from the service is not believed. Names the rule that it broke, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The text is empty where it must not be.
    #[error("is empty")]
    Empty,
    /// The text is longer than anything the service has a reason to send.
    #[error("is {length} bytes long, more than the {limit} that are accepted")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The longest accepted, in bytes.
        limit: usize,
    },
}

fn bounded(text: &str, limit: usize) -> Result<(), TextError> {
    if text.len() > limit {
        return Err(TextError::TooLong { length: text.len(), limit });
    }
    Ok(())
}

/// The service's opaque bookmark between two pages: any non-empty text.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PageToken(String);

impl PageToken {
    /// Accepts any non-empty text of at most [`MAX_TOKEN_BYTES`].
    ///
    /// # Errors
    /// [`TextError`] if it is empty or too long.
    pub fn new(text: String) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        bounded(&text, MAX_TOKEN_BYTES)?;
        Ok(Self(text))
    }

    /// Returns the text, exactly as the service sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PageToken {
    type Error = TextError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text)
    }
}

impl From<PageToken> for String {
    fn from(token: PageToken) -> Self {
        token.0
    }
}

macro_rules! redacted_debug {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}(redacted, {} bytes)", stringify!($name), self.0.len())
            }
        }
    )+};
}
redacted_debug!(PageToken);

/// One guest of one network in one billing period, as one row of an answer: exactly what the service sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Guest<'a> {
    /// The service's opaque identity of the guest, which is what is counted: any text but an empty one, of at most
    /// [`MAX_TEXT_BYTES`].
    pub username_hash: &'a str,
    /// What the guest calls themselves: any text of at most [`MAX_TEXT_BYTES`], empty too.
    pub username: &'a str,
}

/// The guests of a page, in its order. Their texts stay where they were read, in the answer, without an allocation or a
/// copy for each.
#[derive(Clone, Default)]
pub struct Guests {
    answer: ByteString,
    /// What stands in the answer otherwise than it reads, one after the other.
    elsewhere: String,
    /// Where the hash of each row is, and where its username.
    rows: Vec<[Place; 2]>,
}

/// Where a text is, in bytes: in the answer, or, past its end, elsewhere.
#[derive(Clone, Copy)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    fn new(start: usize, length: usize) -> Self {
        let [start, end] =
            [start, start + length].map(|end| u32::try_from(end).expect("a page is far smaller than 4 GiB"));
        Self { start, end }
    }
}

/// What a page cannot hold of a row: which of its texts breaks which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {field} {problem}")]
pub struct GuestError {
    /// The field, as the service calls it.
    pub field: &'static str,
    /// The rule that it breaks.
    pub problem: TextError,
}

impl Guests {
    /// Makes room for so many guests whose texts are borrowed from this one, as far as they stand there.
    #[must_use]
    pub(crate) fn of_answer(answer: ByteString, guests: usize) -> Self {
        Self { answer, elsewhere: String::new(), rows: Vec::with_capacity(guests) }
    }

    /// Adds a guest.
    ///
    /// # Errors
    /// [`GuestError`] if the hash is empty or a text is longer than [`MAX_TEXT_BYTES`]; the guest is not added then.
    ///
    /// # Panics
    /// If the answer and what stands elsewhere are longer than 4 GiB: a page is far smaller.
    pub fn push(&mut self, guest: Guest<'_>) -> Result<(), GuestError> {
        let hash = "usernameHash";
        if guest.username_hash.is_empty() {
            return Err(GuestError { field: hash, problem: TextError::Empty });
        }
        for (field, text) in [(hash, guest.username_hash), ("username", guest.username)] {
            bounded(text, MAX_TEXT_BYTES).map_err(|problem| GuestError { field, problem })?;
        }
        let row = [guest.username_hash, guest.username].map(|text| self.place(text));
        self.rows.push(row);
        Ok(())
    }

    /// Finds a text in the answer, or else keeps it. What lies where the answer lies is a part of it, as nothing else can
    /// be there; what was missed would only be copied.
    fn place(&mut self, text: &str) -> Place {
        let start = text.as_ptr().addr().checked_sub(self.answer.as_ptr().addr());
        // An empty text may seem to lie anywhere, between the bytes of a character too.
        let start = start.filter(|start| !text.is_empty() && start + text.len() <= self.answer.len());
        start.map_or_else(
            || {
                let start = self.answer.len() + self.elsewhere.len();
                self.elsewhere.push_str(text);
                Place::new(start, text.len())
            },
            |start| Place::new(start, text.len()),
        )
    }

    fn text(&self, place: Place) -> &str {
        let (start, end, length) = (place.start as usize, place.end as usize, self.answer.len());
        if start < length { &self.answer[start..end] } else { &self.elsewhere[start - length..end - length] }
    }

    /// Counts the guests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Says whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the bytes of what the texts lie in, which holds more than them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.answer.len() + self.elsewhere.len()
    }

    /// Returns the guests in the order of the page.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Guest<'_>> {
        self.rows.iter().map(|row| {
            let [username_hash, username] = row.map(|place| self.text(place));
            Guest { username_hash, username }
        })
    }

    /// Puts guests together who are known to be sound, as `(username_hash, username)`.
    #[cfg(test)]
    pub(crate) fn of<H: AsRef<str>, N: AsRef<str>>(rows: impl IntoIterator<Item = (H, N)>) -> Self {
        let mut guests = Self::default();
        for (hash, name) in rows {
            guests.push(Guest { username_hash: hash.as_ref(), username: name.as_ref() }).unwrap();
        }
        guests
    }
}

impl PartialEq for Guests {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Guests {}

impl fmt::Debug for Guest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Guest(redacted)")
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Guests({} guests, redacted)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_id_is_eight_ascii_digits_with_its_leading_zeros() {
        assert_eq!("01234567".parse::<NetworkId>().unwrap().to_string(), "01234567");
        for text in ["", "1234567", "123456789", "1234567a", "１２３", "12345 78", "-1234567"] {
            assert!(text.parse::<NetworkId>().is_err(), "{text}");
        }
    }

    #[test]
    fn texts_of_the_service_are_bounded() {
        let mut guests = Guests::default();
        let mut push = |username_hash: &str, username: &str| guests.push(Guest { username_hash, username });
        let error = push("", "ann").unwrap_err();
        assert_eq!((error.field, error.problem), ("usernameHash", TextError::Empty));
        let long = "a".repeat(MAX_TEXT_BYTES + 1);
        let error = push(&long, "ann").unwrap_err();
        let expected = "the usernameHash is 1025 bytes long, more than the 1024 that are accepted";
        assert_eq!(error.to_string(), expected);
        assert_eq!(push("a", &long).unwrap_err().field, "username");
        assert_eq!(push("a", ""), Ok(()));
        assert_eq!(push("b", &long[1..]), Ok(()));
        assert_eq!(push("é", "Zoë 🦀"), Ok(()));
        let rows: Vec<_> = guests.iter().map(|guest| (guest.username_hash, guest.username)).collect();
        assert_eq!(rows, [("a", ""), ("b", &long[1..]), ("é", "Zoë 🦀")]);
        assert_eq!(PageToken::new(String::new()), Err(TextError::Empty));
        assert!(PageToken::new("t".repeat(MAX_TOKEN_BYTES + 1)).is_err());
    }

    #[test]
    fn texts_stay_in_the_answer_and_what_reads_otherwise_is_kept_beside_it() {
        let answer = ByteString::from("[Zoë ann]");
        let mut guests = Guests::of_answer(answer.clone(), 3);
        let unescaped = "\"Bob\"".to_owned();
        let mut push = |username_hash, username| guests.push(Guest { username_hash, username });
        assert_eq!(push(&answer[1..5], &answer[6..9]), Ok(()));
        assert_eq!(push("elsewhere", &unescaped), Ok(()));
        // It begins between the bytes of a character.
        let bytes = answer.as_bytes();
        let nothing = std::str::from_utf8(&bytes[4..4]).unwrap();
        assert_eq!(push(&answer[6..9], nothing), Ok(()));
        assert!(push("", "ann").is_err());
        assert!(guests == Guests::of([("Zoë", "ann"), ("elsewhere", "\"Bob\""), ("ann", "")]));
        assert_eq!(guests.bytes(), answer.len() + "elsewhere\"Bob\"".len());
    }

    #[test]
    fn personal_data_prints_redacted() {
        let guest = Guest { username_hash: "secret-hash", username: "ann@example.com" };
        let guests = Guests::of([("secret-hash", "ann@example.com")]);
        let token = PageToken::new("secret-token".to_owned()).unwrap();
        let printed = format!("{guest:?} {guests:?} {token:?}");
        assert!(!printed.contains("secret") && !printed.contains("ann"), "{printed}");
    }
}
