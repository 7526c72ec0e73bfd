//! The wire shapes and how an answer becomes a page.
//!
//! An answer that is JSON but not of the documented shape is described by its keys, types and lengths, never
//! by its values: what a guest is called has no place in a log.

use std::fmt::{self, Write as _};
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::api::{GuestPage, HistoryMonth, Network, NetworkPage};
use super::error::{ApiError, ValidationReason, quotable};
use crate::guest::{Guest, NetworkId, PageToken, TextError, Username, UsernameHash};
use crate::period::BillingPeriod;

/// The longest network name that is believed, in bytes.
const MAX_NETWORK_NAME_BYTES: usize = 1024;
/// The longest AWS account id that is believed, in bytes; real ones are twelve digits.
const MAX_ACCOUNT_ID_BYTES: usize = 64;

/// An answer that broke the API's contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The answer as a whole is not the documented one.
    #[error("the answer is not the documented shape: expected {expected}, got {outline}")]
    Answer {
        /// What the API documents.
        expected: &'static str,
        /// Keys, types and lengths of what came.
        outline: String,
    },
    /// A row lacks a required field.
    #[error("row {row} has no {field}")]
    MissingField {
        /// The row on its page, from 1.
        row: usize,
        /// The required field.
        field: &'static str,
    },
    /// A row's text is empty or too long.
    #[error("row {row}: its {field} {problem}")]
    BadText {
        /// The row on its page, from 1.
        row: usize,
        /// The field.
        field: &'static str,
        /// The rule that it breaks.
        problem: TextError,
    },
    /// A row is of another period than was asked for.
    #[error("row {row} is of billing period `{found}`, but {asked} was asked for")]
    ForeignPeriod {
        /// The row on its page, from 1.
        row: usize,
        /// What it says, bounded in length.
        found: String,
        /// What was asked.
        asked: BillingPeriod,
    },
    /// The token for the next page is too long to be sent.
    #[error("the next page's token {0}")]
    BadToken(TextError),
    /// An answer names another network than was asked for, or none.
    #[error("the answer describes network `{found}`, which is not the one asked for or no network id")]
    ForeignNetwork {
        /// What it says, bounded in length.
        found: String,
    },
    /// A network's name or account is longer than anything the service has a reason to send.
    #[error("a network's {field} {problem}")]
    BadNetwork {
        /// The field.
        field: &'static str,
        /// The rule that it breaks.
        problem: TextError,
    },
    /// A count of the history is not a number, or a month stands there twice.
    #[error("the count history is not usable: {0}")]
    History(String),
}

/// A JSON object. A derived `Deserialize` alone would take an array of the fields' values for one as well, and
/// `[[]]` for a list that has ended.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

#[derive(Deserialize)]
struct GuestAnswer {
    guestlist: Vec<Object<GuestRow>>,
    #[serde(default, rename = "nextToken")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GuestRow {
    billing_period: Option<String>,
    username: Option<String>,
    username_hash: Option<String>,
}

#[derive(Deserialize)]
struct HistoryAnswer {
    history: Vec<Object<HistoryRow>>,
}

#[derive(Deserialize)]
struct HistoryRow {
    month: String,
    count: String,
}

#[derive(Deserialize)]
struct NetworksAnswer {
    networks: Vec<Object<NetworkRow>>,
    #[serde(default, rename = "nextToken")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NetworkRow {
    network_id: String,
    network_name: String,
    aws_account_id: String,
}

/// The body of an error, in the spellings that AWS services use.
#[derive(Default, Deserialize)]
pub(super) struct ErrorAnswer {
    #[serde(default, alias = "Message")]
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) code: Option<String>,
    #[serde(default, rename = "__type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    reasons: Option<Vec<ReasonRow>>,
}

#[derive(Deserialize)]
struct ReasonRow {
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl ErrorAnswer {
    /// Reads an error's body, if it is JSON at all.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Object<Self>>(body).ok().map(|Object(answer)| answer)
    }

    pub(super) fn validation_reasons(&self, secrets: &[&str]) -> Vec<ValidationReason> {
        let quote = |text: Option<&String>| quotable(text.map_or("?", String::as_str), secrets);
        let rows = self.reasons.iter().flatten().take(10);
        rows.map(|row| ValidationReason {
            field: quote(row.field.as_ref()),
            reason: quote(row.reason.as_ref()),
        })
        .collect()
    }
}

/// Reads a page of guests and believes none of it unchecked.
///
/// # Errors
/// [`ApiError::Unreadable`] for what is no JSON, [`ApiError::Shape`] for whatever else the API does not document.
pub fn guest_page(body: &[u8], asked: BillingPeriod) -> Result<GuestPage, ApiError> {
    let answer: GuestAnswer =
        typed(body, "{guestlist: [{billingPeriod, username, usernameHash}], nextToken?}")?;
    let mut guests = Vec::with_capacity(answer.guestlist.len());
    for (index, Object(row)) in answer.guestlist.into_iter().enumerate() {
        guests.push(guest(row, index + 1, asked)?);
    }
    Ok(GuestPage { guests, next: page_token(answer.next_token)? })
}

fn guest(row: GuestRow, number: usize, asked: BillingPeriod) -> Result<Guest, ShapeError> {
    let missing = |field| ShapeError::MissingField { row: number, field };
    let bad = |field| move |problem| ShapeError::BadText { row: number, field, problem };
    let period = row.billing_period.ok_or(missing("billingPeriod"))?;
    if BillingPeriod::from_wire(&period) != Ok(asked) {
        let found = quotable(&period.chars().take(32).collect::<String>(), &[]);
        return Err(ShapeError::ForeignPeriod { row: number, found, asked });
    }
    let username = row.username.ok_or(missing("username"))?;
    let username_hash = row.username_hash.ok_or(missing("usernameHash"))?;
    Ok(Guest {
        username_hash: UsernameHash::new(username_hash).map_err(bad("usernameHash"))?,
        username: Username::new(username).map_err(bad("username"))?,
    })
}

/// A token that is absent, null or empty means the end: the documents allow all three.
fn page_token(token: Option<String>) -> Result<Option<PageToken>, ShapeError> {
    match token {
        None => Ok(None),
        Some(token) if token.is_empty() => Ok(None),
        Some(token) => PageToken::new(token).map(Some).map_err(ShapeError::BadToken),
    }
}

/// Reads the count history. The count is a text on the wire; the month may be spelled either way.
///
/// # Errors
/// [`ApiError::Unreadable`] for what is no JSON, [`ApiError::Shape`] for whatever else the API does not document.
pub fn history(body: &[u8]) -> Result<Vec<HistoryMonth>, ApiError> {
    let answer: HistoryAnswer = typed(body, "{history: [{month, count}]}")?;
    let mut months: Vec<HistoryMonth> = Vec::with_capacity(answer.history.len());
    for Object(row) in answer.history {
        let period = BillingPeriod::from_wire(&row.month)
            .map_err(|error| ShapeError::History(quotable(&error.to_string(), &[])))?;
        let digits = !row.count.is_empty() && row.count.bytes().all(|byte| byte.is_ascii_digit());
        let count = row
            .count
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| ShapeError::History(format!("the count of {period} is not a whole number")))?;
        if months.iter().any(|month| month.period == period) {
            return Err(ShapeError::History(format!("it lists {period} twice")).into());
        }
        months.push(HistoryMonth { period, count });
    }
    Ok(months)
}

/// Reads a page of networks.
///
/// # Errors
/// [`ApiError::Unreadable`] for what is no JSON, [`ApiError::Shape`] for whatever else the API does not document.
pub fn network_page(body: &[u8]) -> Result<NetworkPage, ApiError> {
    let answer: NetworksAnswer =
        typed(body, "{networks: [{networkId, networkName, awsAccountId}], nextToken?}")?;
    let networks =
        answer.networks.into_iter().map(|Object(row)| network_of(row)).collect::<Result<_, _>>()?;
    Ok(NetworkPage { networks, next: page_token(answer.next_token)? })
}

/// Reads one network, which must be the one that was asked for.
///
/// # Errors
/// [`ApiError::Unreadable`] for what is no JSON, [`ApiError::Shape`] for whatever else the API does not document.
pub fn network(body: &[u8], asked: NetworkId) -> Result<Network, ApiError> {
    let row: NetworkRow = typed(body, "{networkId, networkName, awsAccountId}")?;
    let network = network_of(row)?;
    if network.id != asked {
        return Err(ShapeError::ForeignNetwork { found: network.id.to_string() }.into());
    }
    Ok(network)
}

fn network_of(row: NetworkRow) -> Result<Network, ShapeError> {
    let id = row.network_id.parse().map_err(|_| ShapeError::ForeignNetwork {
        found: quotable(&row.network_id.chars().take(32).collect::<String>(), &[]),
    })?;
    for (field, text, limit) in [
        ("name", &row.network_name, MAX_NETWORK_NAME_BYTES),
        ("AWS account id", &row.aws_account_id, MAX_ACCOUNT_ID_BYTES),
    ] {
        if text.len() > limit {
            let problem = TextError::TooLong { length: text.len(), limit };
            return Err(ShapeError::BadNetwork { field, problem });
        }
    }
    Ok(Network { id, name: row.network_name, aws_account_id: row.aws_account_id })
}

fn typed<'de, T: Deserialize<'de>>(body: &'de [u8], expected: &'static str) -> Result<T, ApiError> {
    let object = serde_json::from_slice::<Object<T>>(body);
    object.map(|Object(answer)| answer).map_err(|typed_error| match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let mut outline = String::new();
            describe(&value, 0, &mut outline);
            ShapeError::Answer { expected, outline }.into()
        }
        Err(error) => unreadable(&error, &typed_error, body.len()),
    })
}

fn unreadable(error: &serde_json::Error, typed_error: &serde_json::Error, length: usize) -> ApiError {
    let kind = if error.is_eof() || typed_error.is_eof() { "it ends too early" } else { "it is not JSON" };
    ApiError::Unreadable(format!(
        "{kind} ({length} bytes, at line {} column {})",
        error.line(),
        error.column()
    ))
}

/// Describes a value by keys, types and lengths, three levels deep.
fn describe(value: &Value, depth: usize, outline: &mut String) {
    const MAX_KEYS: usize = 12;
    // Writing into a String cannot fail.
    let _ = match value {
        Value::Null => write!(outline, "null"),
        Value::Bool(_) => write!(outline, "boolean"),
        Value::Number(_) => write!(outline, "number"),
        Value::String(text) => write!(outline, "string({})", text.len()),
        Value::Array(items) => {
            let _ = write!(outline, "array({})", items.len());
            if let Some(first) = items.first().filter(|_| depth < 3) {
                outline.push_str(" of ");
                describe(first, depth + 1, outline);
            }
            Ok(())
        }
        Value::Object(fields) if depth >= 3 => write!(outline, "object({})", fields.len()),
        Value::Object(fields) => {
            outline.push('{');
            for (index, (key, field)) in fields.iter().take(MAX_KEYS).enumerate() {
                let key = quotable(&key.chars().take(40).collect::<String>(), &[]);
                let _ = write!(outline, "{}{key}: ", if index == 0 { "" } else { ", " });
                describe(field, depth + 1, outline);
            }
            write!(outline, "{}}}", if fields.len() > MAX_KEYS { ", …" } else { "" })
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn october() -> BillingPeriod {
        "2026-10".parse().unwrap()
    }

    fn page(body: &str) -> Result<GuestPage, String> {
        guest_page(body.as_bytes(), october()).map_err(|error| match error {
            ApiError::Shape(shape) => shape.to_string(),
            other => other.to_string(),
        })
    }

    #[test]
    fn a_page_is_read_in_either_spelling_and_unknown_fields_are_ignored() {
        let page = page(
            r#"{"guestlist": [{"billingPeriod": "2026_10", "username": "", "usernameHash": "h", "new": 1}],
                "nextToken": "t", "more": {}}"#,
        )
        .unwrap();
        assert_eq!(page.guests[0].username_hash.as_str(), "h");
        assert_eq!(page.next.unwrap().as_str(), "t");
    }

    #[test]
    fn a_token_that_is_absent_null_or_empty_ends_the_list() {
        for body in [
            r#"{"guestlist": []}"#,
            r#"{"guestlist": [], "nextToken": null}"#,
            r#"{"guestlist": [], "nextToken": ""}"#,
        ] {
            assert_eq!(page(body).unwrap().next, None, "{body}");
        }
    }

    #[test]
    fn rows_that_break_the_contract_are_named() {
        let row = |fields: &str| {
            page(&format!(
                r#"{{"guestlist": [{{"billingPeriod": "2026-10", "username": "a", "usernameHash": "h"}}, {{{fields}}}]}}"#
            ))
            .unwrap_err()
        };
        assert_eq!(row(r#""billingPeriod": "2026-10", "username": "a""#), "row 2 has no usernameHash");
        assert_eq!(
            row(r#""billingPeriod": "2026-10", "username": "a", "usernameHash": null"#),
            "row 2 has no usernameHash"
        );
        assert_eq!(
            row(r#""billingPeriod": "2026-10", "username": "a", "usernameHash": """#),
            "row 2: its usernameHash is empty"
        );
        assert_eq!(row(r#""billingPeriod": "2026-10", "usernameHash": "h""#), "row 2 has no username");
        assert_eq!(row(r#""username": "a", "usernameHash": "h""#), "row 2 has no billingPeriod");
        assert_eq!(
            row(r#""billingPeriod": "2026-09", "username": "a", "usernameHash": "h""#),
            "row 2 is of billing period `2026-09`, but 2026-10 was asked for"
        );
        assert_eq!(
            row(r#""billingPeriod": "October\n", "username": "a", "usernameHash": "h""#),
            "row 2 is of billing period `October\\n`, but 2026-10 was asked for"
        );
    }

    #[test]
    fn another_shape_is_described_without_its_values() {
        let error = page(r#"{"guests": [{"username": "ann@example.com"}], "nextToken": 7}"#).unwrap_err();
        assert_eq!(
            error,
            "the answer is not the documented shape: expected {guestlist: [{billingPeriod, username, \
             usernameHash}], nextToken?}, got {guests: array(1) of {username: string(15)}, nextToken: number}"
        );
        assert!(page("[]").unwrap_err().ends_with("got array(0)"));
        assert!(page(r#"{"guestlist": null}"#).unwrap_err().ends_with("got {guestlist: null}"));
    }

    #[test]
    fn what_is_no_json_is_unreadable_and_not_quoted() {
        assert_eq!(
            page("{\"guestlist\": [").unwrap_err(),
            "the answer is unreadable: it ends too early (15 bytes, at line 1 column 15)"
        );
        assert!(
            page("<html>secret</html>").unwrap_err().starts_with("the answer is unreadable: it is not JSON")
        );
        assert!(page(&"[".repeat(100_000)).unwrap_err().starts_with("the answer is unreadable"));
    }

    #[test]
    fn an_array_is_never_taken_for_an_object() {
        for body in ["[[]]", "[[], null]", r#"{"guestlist": [["2026-10", "a", "h"]]}"#] {
            assert!(page(body).unwrap_err().starts_with("the answer is not the documented shape"), "{body}");
        }
        assert!(history(b"[[]]").is_err() && history(br#"{"history": [["2026_10", "1"]]}"#).is_err());
        assert!(network_page(b"[[]]").is_err());
        assert!(network(br#"["01234567", "Acme", "111122223333"]"#, "01234567".parse().unwrap()).is_err());
        assert!(ErrorAnswer::read(br#"["message"]"#).is_none());
    }

    #[test]
    fn a_networks_texts_are_bounded() {
        let named = |name: &str, account: &str| {
            let text = format!(
                r#"{{"networkId": "01234567", "networkName": "{name}", "awsAccountId": "{account}"}}"#
            );
            network(text.as_bytes(), "01234567".parse().unwrap()).map(|network| network.name.len())
        };
        assert_eq!(named(&"n".repeat(1024), "111122223333").unwrap(), 1024);
        assert!(named(&"n".repeat(1025), "111122223333").is_err());
        assert!(named("Acme", &"1".repeat(65)).is_err());
    }

    #[test]
    fn the_history_reads_texts_as_counts() {
        let months = history(br#"{"history": [{"month": "2026_10", "count": "123"}]}"#).unwrap();
        assert_eq!(months, [HistoryMonth { period: october(), count: 123 }]);
        for body in [
            r#"{"history": [{"month": "2026_10", "count": "+1"}]}"#,
            r#"{"history": [{"month": "2026_10", "count": ""}]}"#,
            r#"{"history": [{"month": "2026_10", "count": "99999999999999999999"}]}"#,
            r#"{"history": [{"month": "Oct", "count": "1"}]}"#,
            r#"{"history": [{"month": "2026_10", "count": 1}]}"#,
            r#"{"history": [{"month": "2026_10", "count": "1"}, {"month": "2026-10", "count": "1"}]}"#,
        ] {
            assert!(history(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_network_must_be_the_one_asked_for() {
        let body = br#"{"networkId": "01234567", "networkName": "Acme", "awsAccountId": "111122223333"}"#;
        assert_eq!(network(body, "01234567".parse().unwrap()).unwrap().name, "Acme");
        assert!(network(body, "12345678".parse().unwrap()).is_err());
        assert!(
            network_page(br#"{"networks": [{"networkId": "7", "networkName": "", "awsAccountId": ""}]}"#)
                .is_err()
        );
    }
}
