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

/// The service's opaque identity of a guest: any non-empty text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsernameHash(String);

impl UsernameHash {
    /// Accepts any non-empty text of at most [`MAX_TEXT_BYTES`].
    ///
    /// # Errors
    /// [`TextError`] if it is empty or too long.
    pub fn new(text: String) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        bounded(&text, MAX_TEXT_BYTES)?;
        Ok(Self(text))
    }

    /// Returns the text, exactly as the service sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a guest calls themselves: any text, empty too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(String);

impl Username {
    /// Accepts any text of at most [`MAX_TEXT_BYTES`].
    ///
    /// # Errors
    /// [`TextError`] if it is too long.
    pub fn new(text: String) -> Result<Self, TextError> {
        bounded(&text, MAX_TEXT_BYTES)?;
        Ok(Self(text))
    }

    /// Returns the text, exactly as the service sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
redacted_debug!(UsernameHash, Username, PageToken);

/// One guest of one network in one billing period, as one row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The identity that is counted.
    pub username_hash: UsernameHash,
    /// The name that goes with it.
    pub username: Username,
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
        assert_eq!(UsernameHash::new(String::new()), Err(TextError::Empty));
        assert_eq!(PageToken::new(String::new()), Err(TextError::Empty));
        assert!(Username::new(String::new()).is_ok());
        assert!(Username::new("a".repeat(MAX_TEXT_BYTES)).is_ok());
        let error = UsernameHash::new("a".repeat(MAX_TEXT_BYTES + 1)).unwrap_err();
        assert_eq!(error.to_string(), "is 1025 bytes long, more than the 1024 that are accepted");
        assert!(PageToken::new("t".repeat(MAX_TOKEN_BYTES + 1)).is_err());
    }

    #[test]
    fn personal_data_prints_redacted() {
        let guest = Guest {
            username_hash: UsernameHash::new("secret-hash".to_owned()).unwrap(),
            username: Username::new("ann@example.com".to_owned()).unwrap(),
        };
        let printed = format!("{guest:?} {:?}", PageToken::new("secret-token".to_owned()).unwrap());
        assert!(!printed.contains("secret") && !printed.contains("ann"), "{printed}");
    }
}
