//! The wire shapes and how an answer becomes a page.
//!
//! An answer that is JSON but not of the documented shape is described by its keys, types and lengths, never
//! by its values: what a guest is called has no place in a log.

mod json;
mod outline;

use serde::Deserialize;

use self::json::{Object, Rows};
use self::outline::outline;
use super::api::{GuestPage, HistoryMonth, Network, NetworkPage};
use super::error::{ApiError, ValidationReason, quotable};
use crate::guest::{Guest, NetworkId, PageToken, TextError, Username, UsernameHash};
use crate::period::BillingPeriod;

/// The most rows of a page: what `maxResults` may ask for at most, which an export does.
const MAX_PAGE_ROWS: usize = 100;
/// The most months of the count history that are believed; the service documents those of the past 90 days.
const MAX_HISTORY_MONTHS: usize = 120;
/// The most reasons of a refusal that are shown.
const MAX_REASONS: usize = 10;
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
    /// A page holds more than it was asked to.
    #[error("the page has {rows} rows, more than the {most} that were asked for")]
    TooManyRows {
        /// How many there are.
        rows: usize,
        /// How many there may be.
        most: usize,
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

#[derive(Deserialize)]
struct GuestAnswer {
    guestlist: Rows<GuestRow, MAX_PAGE_ROWS>,
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
    history: Rows<HistoryRow, MAX_HISTORY_MONTHS>,
}

#[derive(Deserialize)]
struct HistoryRow {
    month: String,
    count: String,
}

#[derive(Deserialize)]
struct NetworksAnswer {
    networks: Rows<NetworkRow, MAX_PAGE_ROWS>,
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
    #[serde(default)]
    message: Option<String>,
    #[serde(default, rename = "Message")]
    capital_message: Option<String>,
    #[serde(default)]
    pub(super) code: Option<String>,
    #[serde(default, rename = "__type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    reasons: Option<Rows<ReasonRow, MAX_REASONS>>,
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

    /// Returns the service's words: some services send both spellings, one of them null.
    pub(super) fn message(&self) -> Option<&str> {
        self.message.as_deref().or(self.capital_message.as_deref())
    }

    pub(super) fn validation_reasons(&self, secrets: &[&str]) -> Vec<ValidationReason> {
        let quote = |text: Option<&String>| quotable(text.map_or("?", String::as_str), secrets);
        let rows = self.reasons.as_ref().map_or(&[][..], Rows::first);
        rows.iter()
            .map(|row| ValidationReason {
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
    let none_beyond = answer.guestlist.none_beyond();
    let rows = answer.guestlist.into_first().into_iter().enumerate();
    let guests = rows.map(|(index, row)| guest(row, index + 1, asked)).collect::<Result<_, _>>()?;
    // After the rows: what is wrong with one of them says more.
    none_beyond.map_err(too_many_rows)?;
    Ok(GuestPage { guests, next: page_token(answer.next_token)? })
}

const fn too_many_rows(rows: usize) -> ShapeError {
    ShapeError::TooManyRows { rows, most: MAX_PAGE_ROWS }
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
    let too_many = |rows| ShapeError::History(format!("it lists {rows} months, but covers the past 90 days"));
    let mut months: Vec<HistoryMonth> = Vec::new();
    for row in answer.history.all().map_err(too_many)? {
        let period = BillingPeriod::from_wire(&row.month)
            .map_err(|error| ShapeError::History(quotable(&error.to_string(), &[])))?;
        let digits = !row.count.is_empty() && row.count.bytes().all(|byte| byte.is_ascii_digit());
        // The files that it is published in hold 64 bits with a sign.
        let count = row
            .count
            .parse::<i64>()
            .ok()
            .and_then(|count| u64::try_from(count).ok())
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
    let rows = answer.networks.all().map_err(too_many_rows)?;
    let networks = rows.into_iter().map(network_of).collect::<Result<_, _>>()?;
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
    object.map(|Object(answer)| answer).map_err(|typed_error| match outline(body) {
        Ok(outline) => ShapeError::Answer { expected, outline }.into(),
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
    fn a_page_holds_no_more_rows_than_were_asked_for() {
        let rows =
            |count| vec![r#"{"billingPeriod": "2026-10", "username": "a", "usernameHash": "h"}"#; count];
        let of = |count| page(&format!(r#"{{"guestlist": [{}]}}"#, rows(count).join(",")));
        assert_eq!(of(100).unwrap().guests.len(), 100);
        assert_eq!(of(101).unwrap_err(), "the page has 101 rows, more than the 100 that were asked for");
        let networks = format!(r#"{{"networks": [{}]}}"#, vec!["{}"; 101].join(","));
        assert!(network_page(networks.as_bytes()).is_err());
    }

    #[test]
    fn depth_and_repetition_where_nobody_looks_are_ignored() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let page = page(&format!(r#"{{"guestlist": [], "deep": {deep}, "deep": 1, "nextToken": "t"}}"#));
        assert_eq!(page.unwrap().next.unwrap().as_str(), "t");
    }

    #[test]
    fn a_key_that_comes_twice_is_another_shape() {
        let error = page(r#"{"guestlist": [], "guestlist": [{}], "nextToken": ""}"#).unwrap_err();
        assert!(
            error.ends_with("got {guestlist: array(0), guestlist: array(1) of {}, nextToken: string(0)}"),
            "{error}"
        );
        let row =
            r#"{"billingPeriod": "2026-10", "username": "a", "usernameHash": "h", "usernameHash": "i"}"#;
        let error = page(&format!(r#"{{"guestlist": [{row}]}}"#)).unwrap_err();
        assert!(error.starts_with("the answer is not the documented shape"), "{error}");
    }

    #[test]
    fn a_refusals_words_are_found_in_either_spelling_and_its_reasons_are_bounded() {
        let both = ErrorAnswer::read(br#"{"message": null, "Message": "words"}"#).unwrap();
        assert_eq!(both.message(), Some("words"));
        let reasons = vec![r#"{"field": "f", "reason": "r"}"#; 10_000].join(",");
        let answer = ErrorAnswer::read(format!(r#"{{"reasons": [{reasons}]}}"#).as_bytes()).unwrap();
        assert_eq!(answer.validation_reasons(&[]).len(), MAX_REASONS);
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
            r#"{"history": [{"month": "2026_10", "count": "9223372036854775808"}]}"#,
            r#"{"history": [{"month": "Oct", "count": "1"}]}"#,
            r#"{"history": [{"month": "2026_10", "count": 1}]}"#,
            r#"{"history": [{"month": "2026_10", "count": "1"}, {"month": "2026-10", "count": "1"}]}"#,
        ] {
            assert!(history(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_history_of_more_months_than_there_are_is_refused() {
        let month = |month: u32| {
            format!(r#"{{"month": "{:04}_{:02}", "count": "1"}}"#, 2000 + month / 12, month % 12 + 1)
        };
        let of = |months| {
            history(
                format!(r#"{{"history": [{}]}}"#, (0..months).map(month).collect::<Vec<_>>().join(","))
                    .as_bytes(),
            )
        };
        assert_eq!(of(120).unwrap().len(), 120);
        assert!(of(121).is_err());
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
