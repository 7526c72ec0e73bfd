//! What the service answers: pages, refusals, and hints about waiting.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use wickr_guest_export::error_chain::error_chain;
use wickr_guest_export::guest::{MAX_TEXT_BYTES, MAX_TOKEN_BYTES, NetworkId, PageToken};
use wickr_guest_export::period::{BillingPeriod, PeriodSpelling};
use wickr_guest_export::wickr::{ApiError, Disposition, Refusal, model, server_hint};

use super::{MemoryBound, assert_presentable};

/// What reading an answer may take: as many rows as it may have, and its texts a few times over.
const ANSWER_MEMORY: MemoryBound = MemoryBound { fixed: 64 * 1024, per_byte: 8 };
/// The longest error that one answer may cause, in characters.
const MOST_CHARACTERS: usize = 2_500;
/// What stands for a value that nobody may see.
const MARK: &str = "Zq7-nobody-sees-this";

fn october() -> BillingPeriod {
    "2026-10".parse().expect("a period")
}

fn acme() -> NetworkId {
    "01234567".parse().expect("a network")
}

fn noon() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().expect("an instant")
}

fn as_value(data: &[u8]) -> Option<Value> {
    serde_json::from_slice(data).ok()
}

/// Marks every text in a value but those under one key.
fn mark(value: &mut Value, shown_key: &str) {
    match value {
        Value::String(text) => text.insert_str(0, MARK),
        Value::Array(items) => items.iter_mut().for_each(|item| mark(item, shown_key)),
        Value::Object(fields) => {
            for (_, field) in fields.iter_mut().filter(|(key, field)| *key != shown_key || !field.is_string())
            {
                mark(field, shown_key);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Asserts that of the texts of an answer only those under one key are ever shown.
fn assert_discreet(data: &[u8], shown_key: &str, shown: impl FnOnce(&[u8]) -> String) {
    let Some(mut value) = as_value(data).filter(|value| !value.to_string().contains(MARK)) else { return };
    mark(&mut value, shown_key);
    let shown = shown(value.to_string().as_bytes());
    assert!(!shown.contains(MARK), "a value is shown: {shown}");
}

fn shown_error(error: &ApiError) -> String {
    format!("{} {error:?}", error_chain(error))
}

/// A page of guests holds what the JSON says, and no text of it is ever printed.
pub fn guest_page(data: &[u8]) {
    let read = ANSWER_MEMORY.hold(data.len(), || model::guest_page(&Bytes::copy_from_slice(data), october()));
    match &read {
        Ok(page) => {
            for guest in page.guests.iter() {
                let (hash, username) = (guest.username_hash, guest.username);
                assert!(!hash.is_empty() && hash.len() <= MAX_TEXT_BYTES && username.len() <= MAX_TEXT_BYTES);
            }
            let token = page.next.as_ref().map(PageToken::as_str);
            assert!(token.is_none_or(|token| !token.is_empty() && token.len() <= MAX_TOKEN_BYTES));
            // Fields that are ignored may be worse JSON than this reader takes.
            if let Some(value) = as_value(data) {
                let rows = value["guestlist"].as_array().expect("a list of guests");
                assert_eq!(rows.len(), page.guests.len());
                for (row, guest) in rows.iter().zip(page.guests.iter()) {
                    assert_eq!(row["usernameHash"], guest.username_hash);
                    assert_eq!(row["username"], guest.username);
                    assert!(row["billingPeriod"] == "2026-10" || row["billingPeriod"] == "2026_10");
                }
                assert_eq!(value["nextToken"].as_str().filter(|token| !token.is_empty()), token);
            }
        }
        Err(error) => assert_presentable(error, MOST_CHARACTERS),
    }
    assert_discreet(data, "billingPeriod", |marked| {
        match model::guest_page(&Bytes::copy_from_slice(marked), october()) {
            Ok(page) => format!("{page:?}"),
            Err(error) => shown_error(&error),
        }
    });
}

/// The count history lists each month once, with the number that the JSON says.
pub fn history(data: &[u8]) {
    match ANSWER_MEMORY.hold(data.len(), || model::history(data)) {
        Ok(months) => {
            let periods: BTreeSet<BillingPeriod> = months.iter().map(|month| month.period).collect();
            assert_eq!(periods.len(), months.len());
            if let Some(value) = as_value(data) {
                let rows = value["history"].as_array().expect("a list of months");
                assert_eq!(rows.len(), months.len());
                for (row, month) in rows.iter().zip(&months) {
                    let spelled = [PeriodSpelling::Hyphen, PeriodSpelling::Underscore]
                        .map(|spelling| month.period.spelled(spelling));
                    assert!(spelled.iter().any(|spelled| row["month"] == spelled.as_str()));
                    let count = row["count"].as_str().expect("a text").trim_start_matches('0');
                    assert_eq!(if count.is_empty() { "0" } else { count }, month.count.to_string());
                }
            }
        }
        Err(error) => assert_presentable(&error, MOST_CHARACTERS),
    }
    assert_discreet(data, "month", |marked| {
        model::history(marked).map_or_else(|error| shown_error(&error), |_| String::new())
    });
}

/// A page of networks holds what the JSON says.
pub fn network_page(data: &[u8]) {
    match ANSWER_MEMORY.hold(data.len(), || model::network_page(data)) {
        Ok(page) => {
            if let Some(value) = as_value(data) {
                let rows = value["networks"].as_array().expect("a list of networks");
                assert_eq!(rows.len(), page.networks.len());
                for (row, network) in rows.iter().zip(&page.networks) {
                    assert_eq!(row["networkId"], network.id.as_str());
                    assert_eq!(row["networkName"], network.name.as_str());
                    assert_eq!(row["awsAccountId"], network.aws_account_id.as_str());
                }
                let token = page.next.as_ref().map(PageToken::as_str);
                assert_eq!(value["nextToken"].as_str().filter(|token| !token.is_empty()), token);
            }
        }
        Err(error) => assert_presentable(&error, MOST_CHARACTERS),
    }
    assert_discreet(data, "networkId", |marked| {
        model::network_page(marked).map_or_else(|error| shown_error(&error), |_| String::new())
    });
}

/// A network is the one that was asked for.
pub fn network(data: &[u8]) {
    match ANSWER_MEMORY.hold(data.len(), || model::network(data, acme())) {
        Ok(network) => assert_eq!(network.id, acme()),
        Err(error) => assert_presentable(&error, MOST_CHARACTERS),
    }
    assert_discreet(data, "networkId", |marked| {
        model::network(marked, acme()).map_or_else(|error| shown_error(&error), |_| String::new())
    });
}

/// What the request carried: the identities of AWS's own examples, so that nobody takes them for real.
const SECRETS: [&str; 4] = [
    "page/token+of=Wickr",
    "FwoGZXIvYXdzEBYaDEXAMPLE//session/token==",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AKIAIOSFODNN7EXAMPLE",
];

/// A refusal, written as a status, header lines, an empty line and the body, says nothing of the request's secrets.
pub fn error_answer(data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((data, &b""[..]), |end| (&data[..end], &data[end + 2..]));
    let status = head.split(|byte| *byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok());
    let status = status.and_then(|line| line.parse().ok()).unwrap_or(500);
    let headers = headers(head);
    let refusal = Refusal { status, headers: &headers, body };
    let error = ANSWER_MEMORY.hold(data.len(), || refusal.error("wickr:ListGuestUsers", &SECRETS, noon()));

    // A refusal may quote two texts, and two more for each of ten reasons: 300 characters each, some of them escaped.
    assert_presentable(&error, 22 * 300 * "\\u{9f}".len() + 500);
    let shown = shown_error(&error);
    let decoded = percent_decode_str(&shown).decode_utf8_lossy();
    for secret in SECRETS {
        assert!(!shown.contains(secret) && !decoded.contains(secret), "{secret} is shown: {shown}");
    }
    match error.disposition() {
        Disposition::Throttled { hint } | Disposition::Transient { hint } => assert_hint(hint),
        Disposition::Mendable | Disposition::Permanent => {}
    }
}

/// A hint, written as header lines, is the longest of its forms and never more than a year.
pub fn retry_after(data: &[u8]) {
    let all = headers(data);
    let hint = MemoryBound { fixed: 4096, per_byte: 1 }.hold(data.len(), || server_hint(&all, noon()));
    assert_hint(hint);
    let without = |name: &str| {
        let mut fewer = all.clone();
        fewer.remove(name);
        server_hint(&fewer, noon())
    };
    assert_eq!(hint, without("retry-after").max(without("x-amz-retry-after")));
    if let Some(seconds) = all.get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u32>().ok())
        && all.len() == 1
        && seconds < 1_000_000
        && all["retry-after"].as_bytes()[0].is_ascii_digit()
    {
        assert_eq!(hint, Some(Duration::from_secs(seconds.into())));
    }
}

fn assert_hint(hint: Option<Duration>) {
    let Some(hint) = hint else { return };
    assert!(hint <= Duration::from_hours(24 * 365), "a hint of {hint:?}");
    assert!(noon().checked_add_signed(TimeDelta::from_std(hint).expect("at most a year")).is_some());
}

/// Reads the lines that can be headers.
fn headers(lines: &[u8]) -> HeaderMap {
    let lines = lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line[colon + 1..].trim_ascii();
        Some((HeaderName::from_bytes(&line[..colon]).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    lines.collect()
}
