//! The wire shapes and how an answer becomes a page.
//!
//! An answer that is JSON but not of the documented shape is described by its keys, types and lengths, never
//! by its values: what a guest is called has no place in a log.

mod json;
mod outline;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;

use self::json::{Object, Rows};
use self::outline::outline;
use super::api::{GuestPage, HistoryMonth, Network, NetworkPage};
use super::error::{ApiError, ValidationReason, quotable};
use crate::guest::{Guest, GuestError, Guests, NetworkId, PageToken, TextError};
use crate::period::{BillingPeriod, PeriodSpelling};

/// The most rows of a page, however many are asked for (API reference of `ListGuestUsers`).
pub const MAX_PAGE_ROWS: usize = 100;
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
struct GuestAnswer<'a> {
    #[serde(borrow)]
    guestlist: Rows<GuestRow<'a>, MAX_PAGE_ROWS>,
    #[serde(default, rename = "nextToken")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GuestRow<'a> {
    #[serde(borrow)]
    billing_period: Option<Text<'a>>,
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    username_hash: Option<Text<'a>>,
}

/// A text as it stands in the answer, unless it has escapes. (Of an optional `Cow` serde would always make a copy.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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
pub fn guest_page(body: &Bytes, asked: BillingPeriod) -> Result<GuestPage, ApiError> {
    const EXPECTED: &str = "{guestlist: [{billingPeriod, username, usernameHash}], nextToken?}";
    let text = ByteString::try_from(body.clone());
    let answer = match &text {
        Ok(text) => of_shape(serde_json::from_str(text), body, EXPECTED)?,
        // What is no text may lie where nobody looks.
        Err(_) => of_shape(serde_json::from_slice(body), body, EXPECTED)?,
    };
    Ok(checked_page(answer, text.clone().unwrap_or_default(), asked)?)
}

/// Checks a page whose texts may lie in this one.
fn checked_page(
    answer: GuestAnswer<'_>,
    text: ByteString,
    asked: BillingPeriod,
) -> Result<GuestPage, ShapeError> {
    let rows = answer.guestlist.first();
    let period = AskedPeriod::new(asked);
    let mut guests = Guests::of_answer(text, rows.len());
    for (index, row) in rows.iter().enumerate() {
        let row_number = index + 1;
        guests.push(guest(row, row_number, &period)?).map_err(|error| {
            let GuestError { field, problem } = error;
            ShapeError::BadText { row: row_number, field, problem }
        })?;
    }
    // After the rows: what is wrong with one of them says more.
    answer.guestlist.none_beyond().map_err(too_many_rows)?;
    Ok(GuestPage { guests, next: page_token(answer.next_token)? })
}

const fn too_many_rows(rows: usize) -> ShapeError {
    ShapeError::TooManyRows { rows, most: MAX_PAGE_ROWS }
}

/// The period that was asked for, and how its rows may spell it.
struct AskedPeriod {
    asked: BillingPeriod,
    spelled: [String; 2],
}

impl AskedPeriod {
    fn new(asked: BillingPeriod) -> Self {
        let spelled = [PeriodSpelling::Hyphen, PeriodSpelling::Underscore];
        Self { asked, spelled: spelled.map(|spelling| asked.spelled(spelling)) }
    }
}

fn guest<'a>(row: &'a GuestRow<'_>, number: usize, asked: &AskedPeriod) -> Result<Guest<'a>, ShapeError> {
    let field = |text: &'a Option<Text<'_>>, field| match text {
        Some(Text(text)) => Ok(&**text),
        None => Err(ShapeError::MissingField { row: number, field }),
    };
    let period = field(&row.billing_period, "billingPeriod")?;
    if !asked.spelled.iter().any(|spelled| spelled == period) {
        let found = quotable(&period.chars().take(32).collect::<String>(), &[]);
        return Err(ShapeError::ForeignPeriod { row: number, found, asked: asked.asked });
    }
    let username = field(&row.username, "username")?;
    Ok(Guest { username_hash: field(&row.username_hash, "usernameHash")?, username })
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
    // What is no UTF-8 fails where it is needed.
    match std::str::from_utf8(body) {
        Ok(text) => of_shape(serde_json::from_str(text), body, expected),
        Err(_) => of_shape(serde_json::from_slice(body), body, expected),
    }
}

/// Returns what was read of a body, or says what that looks like.
fn of_shape<T>(
    read: serde_json::Result<Object<T>>,
    body: &[u8],
    expected: &'static str,
) -> Result<T, ApiError> {
    read.map(|Object(answer)| answer).map_err(|typed_error| match outline(body) {
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
