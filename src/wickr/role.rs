//! A role that is assumed: its ARN, the external id that its trust policy may ask for, the name of the session.
//!
//! They are held against IAM's own rules, so that a slip of the pen is found before anything is asked. An external
//! id is no secret by AWS's word, yet it is all that keeps others from using the role through us: it is never shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error_chain::excerpt;

/// What AWS allows, in bytes; all are ASCII.
const MAX_ARN: usize = 2048;
const MAX_ROLE_NAME: usize = 64;
const EXTERNAL_ID: std::ops::RangeInclusive<usize> = 2..=1224;
const SESSION_NAME: std::ops::RangeInclusive<usize> = 2..=64;

/// The ARN of an IAM role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn(String);

/// A text that is not the ARN of a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not the ARN of an IAM role; it looks like arn:aws:iam::111122223333:role/wickr-guest-reader"
)]
pub struct RoleArnError(String);

impl RoleArn {
    /// Returns the ARN as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleArn {
    type Err = RoleArnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_role_arn(text) { Ok(Self(text.to_owned())) } else { Err(RoleArnError(excerpt(text, 120))) }
    }
}

impl TryFrom<String> for RoleArn {
    type Error = RoleArnError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RoleArn> for String {
    fn from(arn: RoleArn) -> Self {
        arn.0
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts[..] else { return false };
    let Some(path) = resource.strip_prefix("role/") else { return false };
    let name = path.rsplit('/').next().unwrap_or_default();
    let of_partition = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    text.len() <= MAX_ARN
        && (partition == "aws" || partition.starts_with("aws-"))
        && partition.bytes().all(of_partition)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && (1..=MAX_ROLE_NAME).contains(&name.len())
        && name.bytes().all(is_of_a_name)
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

/// What a role's trust policy may ask for, so that nobody else is let in through the same party.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalId(String);

/// A text that is no external id. It is not shown: it may be one but for a character.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an external id has 2 to 1224 letters, digits and signs among _ + = , . @ : / -")]
pub struct ExternalIdError;

impl ExternalId {
    /// Returns the id, to be sent to STS and nowhere else.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExternalId {
    type Err = ExternalIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |byte: u8| is_of_a_name(byte) || byte == b':' || byte == b'/';
        let is_one = EXTERNAL_ID.contains(&text.len()) && text.bytes().all(is_allowed);
        if is_one { Ok(Self(text.to_owned())) } else { Err(ExternalIdError) }
    }
}

impl fmt::Debug for ExternalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ExternalId(redacted)")
    }
}

/// The name of a role's session: what the logs of the role's account show.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RoleSessionName(String);

/// A text that is no session name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a session name; it has 2 to 64 letters, digits and signs among _ + = , . @ -")]
pub struct RoleSessionNameError(String);

impl RoleSessionName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RoleSessionName {
    /// The program's name, always the same: a trust policy may ask for it, and a search of the logs finds it.
    fn default() -> Self {
        Self(env!("CARGO_PKG_NAME").to_owned())
    }
}

impl FromStr for RoleSessionName {
    type Err = RoleSessionNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_one = SESSION_NAME.contains(&text.len()) && text.bytes().all(is_of_a_name);
        if is_one { Ok(Self(text.to_owned())) } else { Err(RoleSessionNameError(excerpt(text, 80))) }
    }
}

impl TryFrom<String> for RoleSessionName {
    type Error = RoleSessionNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A role to assume, as whoever the credential chain says we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumedRole {
    /// Which.
    pub arn: RoleArn,
    /// What its trust policy asks for, if it does.
    pub external_id: Option<ExternalId>,
    /// How the session is called.
    pub session_name: RoleSessionName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arn_of_a_role_is_told_from_others() {
        for arn in [
            "arn:aws:iam::111122223333:role/reader",
            "arn:aws:iam::111122223333:role/finance/of:all/reader_1+=,.@-",
            "arn:aws-us-gov:iam::111122223333:role/reader",
            "arn:aws-cn:iam::111122223333:role/reader",
        ] {
            assert_eq!(arn.parse::<RoleArn>().map(|arn| arn.to_string()), Ok(arn.to_owned()));
        }
        let long = format!("arn:aws:iam::111122223333:role/{}", "r".repeat(65));
        for wrong in [
            "",
            "reader",
            "arn:aws:iam::111122223333:user/reader",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/finance/",
            "arn:aws:iam::11112222333:role/reader",
            "arn:aws:iam:us-east-1:111122223333:role/reader",
            "arn:aws:sts::111122223333:assumed-role/reader/session",
            "arn:gcp:iam::111122223333:role/reader",
            "arn:aws:iam::111122223333:role/reader\n",
            "arn:aws:iam::111122223333:role/Zoë",
            &long,
        ] {
            assert!(wrong.parse::<RoleArn>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_and_names_are_held_against_their_alphabets_and_an_external_id_is_never_shown() {
        let id: ExternalId = "finance/2026:a+b=c,d.e@f-g_h".parse().unwrap();
        assert_eq!(format!("{id:?}"), "ExternalId(redacted)");
        for wrong in ["", "x", "a b", "ümlaut", &"x".repeat(1225)] {
            assert_eq!(wrong.parse::<ExternalId>(), Err(ExternalIdError), "{wrong}");
        }
        assert_eq!("close-2026@finance".parse::<RoleSessionName>().unwrap().as_str(), "close-2026@finance");
        for wrong in ["", "x", "a/b", "a b", &"x".repeat(65)] {
            assert!(wrong.parse::<RoleSessionName>().is_err(), "{wrong}");
        }
        let default = RoleSessionName::default();
        assert_eq!(default.as_str().parse(), Ok(default));
    }
}
