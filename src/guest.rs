//! The identities that the export deals in: networks, guests, and the tokens between pages.
//!
//! Each is a newtype whose constructor can fail, so that no check is needed past the wire. Whatever comes from
//! a guest or from the service's internals (names, hashes, tokens) prints redacted: logs and errors may carry
//! these values around without ever showing them.

use std::fmt;
use std::str::FromStr;

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

/// The guests of a page, in its order. Their texts lie in one buffer, without an allocation for each: in the answer that
/// they were read from, where there is one.
#[derive(Clone, Default)]
pub struct Guests {
    text: String,
    /// Where the hash of each row is, and where its username.
    rows: Vec<[Span; 2]>,
}

/// A text within another one, in bytes.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(start: usize, length: usize) -> Self {
        let [start, end] =
            [start, start + length].map(|end| u32::try_from(end).expect("a page is far smaller than 4 GiB"));
        Self { start, end }
    }

    /// Finds a text that was borrowed from another one.
    fn within(text: &str, part: &str) -> Option<Self> {
        let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        // An empty one may lie anywhere, between the bytes of a character too.
        let lies_within = !part.is_empty() && start + part.len() <= text.len();
        lies_within.then(|| Self::new(start, part.len()))
    }

    fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
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
    /// Makes room for so many guests with texts of so many bytes together.
    #[must_use]
    pub fn with_capacity(guests: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), rows: Vec::with_capacity(guests) }
    }

    /// Adds a guest.
    ///
    /// # Errors
    /// [`GuestError`] if the hash is empty or a text is longer than [`MAX_TEXT_BYTES`]; the guest is not added then.
    ///
    /// # Panics
    /// If the texts of all guests are longer than 4 GiB: a page is far smaller.
    pub fn push(&mut self, guest: Guest<'_>) -> Result<(), GuestError> {
        guest.bounded()?;
        self.rows.push([guest.username_hash, guest.username].map(|text| append(&mut self.text, 0, text)));
        Ok(())
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

    /// Returns the bytes of the buffer that the texts lie in, which may hold more than them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Returns the guests in the order of the page.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Guest<'_>> {
        self.rows.iter().map(|row| {
            let [username_hash, username] = row.map(|span| span.of(&self.text));
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

/// Guests who are found in the text of an answer, while that is still read.
pub struct FoundGuests {
    /// The length of that text.
    text_bytes: usize,
    rows: Vec<[Span; 2]>,
    /// What stands in the text otherwise than it reads, to come behind it.
    elsewhere: String,
}

impl FoundGuests {
    /// Begins with nobody of so many in a text.
    #[must_use]
    pub fn within(text: &str, guests: usize) -> Self {
        Self { text_bytes: text.len(), rows: Vec::with_capacity(guests), elsewhere: String::new() }
    }

    /// Adds a guest whose texts may lie in that text.
    ///
    /// # Errors
    /// As [`Guests::push`].
    ///
    /// # Panics
    /// As [`Guests::push`].
    pub fn push(&mut self, text: &str, guest: Guest<'_>) -> Result<(), GuestError> {
        guest.bounded()?;
        self.rows.push([guest.username_hash, guest.username].map(|part| {
            Span::within(text, part).unwrap_or_else(|| append(&mut self.elsewhere, self.text_bytes, part))
        }));
        Ok(())
    }

    /// Takes the text, which nobody needs to read any more.
    ///
    /// # Panics
    /// If it is not as long as the one they were found in.
    #[must_use]
    pub fn keep(self, mut text: String) -> Guests {
        assert_eq!(text.len(), self.text_bytes, "the guests are of another text");
        text.push_str(&self.elsewhere);
        Guests { text, rows: self.rows }
    }
}

/// Appends a text to one that begins somewhere.
fn append(texts: &mut String, begin: usize, text: &str) -> Span {
    let span = Span::new(begin + texts.len(), text.len());
    texts.push_str(text);
    span
}

impl Guest<'_> {
    fn bounded(self) -> Result<(), GuestError> {
        let hash = "usernameHash";
        if self.username_hash.is_empty() {
            return Err(GuestError { field: hash, problem: TextError::Empty });
        }
        for (field, text) in [(hash, self.username_hash), ("username", self.username)] {
            bounded(text, MAX_TEXT_BYTES).map_err(|problem| GuestError { field, problem })?;
        }
        Ok(())
    }
}

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
    fn guests_stay_in_the_text_that_they_were_found_in_and_what_was_escaped_comes_behind_it() {
        let text = "[Zoë ann]".to_owned();
        let mut found = FoundGuests::within(&text, 3);
        let unescaped = "\"Bob\"".to_owned();
        for (username_hash, username) in
            [(&text[1..5], &text[6..9]), ("elsewhere", &unescaped), (&text[6..9], "")]
        {
            found.push(&text, Guest { username_hash, username }).unwrap();
        }
        assert!(found.push(&text, Guest { username_hash: "", username: "" }).is_err());
        // Between the bytes of a character nothing begins, but an empty text may seem to.
        found.push(&text, Guest { username_hash: "x", username: &text[3..3] }).unwrap();
        let guests = found.keep(text.clone());
        let expected = [("Zoë", "ann"), ("elsewhere", "\"Bob\""), ("ann", ""), ("x", "")];
        assert!(guests == Guests::of(expected));
        assert_eq!(guests.bytes(), text.len() + "elsewhere\"Bob\"x".len());
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
