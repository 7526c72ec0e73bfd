//! Every kind of fault, over the wire.

use std::error::Error as _;
use std::time::Duration;

use wickr_guest_export::simulator::{Fault, FaultKind, RunningSimulator, SimulatorConfig, When};

use crate::client::{Answer, Client, start};
use crate::{GUESTS, letters};

/// Long enough for an answer that comes, short enough to wait for one that does not.
const PATIENCE: Duration = Duration::from_millis(400);

/// Starts a simulator of nine guests whose second page is struck as often as said.
async fn second_page(kind: FaultKind, times: u64) -> (RunningSimulator, Client) {
    let faults = vec![Fault::new(kind, When::first(times).on_page(2))];
    start(SimulatorConfig { faults, ..letters(9) }).await
}

fn path() -> String {
    format!("{GUESTS}&maxResults=3&sortDirection=ASC")
}

/// Asks for the second page once the first has been read.
async fn ask_second(client: &Client) -> Result<Answer, reqwest::Error> {
    let first = client.get(&path()).await;
    assert_eq!(first.usernames().concat(), "abc");
    let token = first.token().expect("there are nine");
    client.send(client.request(&format!("{}&nextToken={token}", path()))).await
}

/// Strikes the second page once, then sees that it is answered truly.
async fn struck(kind: FaultKind) -> Result<Answer, reqwest::Error> {
    let (simulator, client) = second_page(kind, 1).await;
    let struck = ask_second(&client).await;
    assert_eq!(simulator.stats().struck_by(kind), 1, "{kind:?}");
    let after = ask_second(&client).await.expect("an answer");
    assert_eq!(after.usernames().concat(), "def", "{kind:?} strikes once");
    struck
}

#[tokio::test]
async fn refusals_have_their_status_and_code() {
    for (kind, status, code) in [
        (FaultKind::Throttled, 429, Some("RateLimitError")),
        (FaultKind::InternalServerError, 500, Some("InternalServerError")),
        (FaultKind::RejectedToken, 400, Some("BadRequestError")),
        (FaultKind::BadRequest, 400, Some("BadRequestError")),
        (FaultKind::Unauthorized, 401, Some("UnauthorizedError")),
        (FaultKind::PaymentRequired, 402, None),
        (FaultKind::Forbidden, 403, Some("ForbiddenError")),
        (FaultKind::AccessDenied, 403, Some("AccessDeniedException")),
        (FaultKind::ExpiredToken, 403, Some("ExpiredTokenException")),
        (FaultKind::ClockSkew, 403, Some("InvalidSignatureException")),
        (FaultKind::NotFound, 404, Some("ResourceNotFoundError")),
        (FaultKind::ValidationError, 422, Some("ValidationError")),
    ] {
        let answer = struck(kind).await.unwrap();
        assert_eq!((answer.status, answer.code()), (status, code), "{kind:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("retry-after").is_none() && answer.header("x-amz-retry-after").is_none());
        let body = answer.json();
        assert_eq!(body["message"].is_string(), code.is_some(), "{kind:?}");
        assert_eq!(body.get("reasons").is_some(), kind == FaultKind::ValidationError);
        if kind == FaultKind::ClockSkew {
            assert!(body["message"].as_str().unwrap().starts_with("Signature expired: "), "{body}");
        }
    }
}

#[tokio::test]
async fn throttling_says_when_to_come_again_in_three_ways() {
    let answer = struck(FaultKind::ThrottledForSeconds(7)).await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    let answer = struck(FaultKind::ThrottledForMilliseconds(1500)).await.unwrap();
    assert_eq!((answer.status, answer.header("x-amz-retry-after")), (429, Some("1500")));
    assert!(answer.header("retry-after").is_none());
    let answer = struck(FaultKind::ThrottledUntilDate(30)).await.unwrap();
    let time = |name| chrono::DateTime::parse_from_rfc2822(answer.header(name).unwrap()).unwrap();
    let ahead = (time("retry-after") - time("date")).num_seconds();
    assert!((29..=30).contains(&ahead), "{ahead}");
    assert!(answer.header("retry-after").unwrap().ends_with(" GMT"));
}

#[tokio::test]
async fn answers_that_are_not_the_services_own_have_no_code() {
    for (kind, status, content_type, begins) in [
        (FaultKind::BadGateway, 502, "text/html", "<html>"),
        (FaultKind::ServiceUnavailable, 503, "text/html", "<html>"),
        (FaultKind::GatewayTimeout, 504, "text/plain", ""),
        (FaultKind::HtmlPage, 200, "text/html", "<html>"),
        (FaultKind::Garbage, 200, "application/json", "{\"guestlist\": ["),
        (FaultKind::WrongShape, 200, "application/json", "{\"guests\":"),
        (FaultKind::Redirect, 302, "text/plain", ""),
    ] {
        let answer = struck(kind).await.unwrap();
        assert_eq!((answer.status, answer.code()), (status, None), "{kind:?}");
        assert_eq!(answer.header("content-type"), Some(content_type), "{kind:?}");
        assert!(answer.body.starts_with(begins.as_bytes()), "{kind:?}");
        assert_eq!(answer.header("location"), (kind == FaultKind::Redirect).then_some("/elsewhere"));
    }
    let garbage = struck(FaultKind::Garbage).await.unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&garbage.body).is_err());
}

#[tokio::test]
async fn a_reset_is_a_reset_and_not_an_orderly_end() {
    let error = struck(FaultKind::ConnectionReset).await.unwrap_err();
    let mut source = error.source();
    let mut kind = None;
    while let Some(error) = source {
        kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(kind);
        source = error.source();
    }
    assert_eq!(kind, Some(std::io::ErrorKind::ConnectionReset), "{error:?}");
}

#[tokio::test]
async fn a_truncated_body_ends_before_the_length_that_was_announced() {
    let (_simulator, client) = second_page(FaultKind::TruncatedBody, 1).await;
    let token = client.get(&path()).await.token().unwrap();
    let request = client.request(&format!("{}&nextToken={token}", path()));
    let mut response = client.http.execute(request).await.expect("the head arrives");
    let announced = response.content_length().unwrap();
    let mut arrived = 0;
    let ended = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => arrived += chunk.len() as u64,
            ended => break ended,
        }
    };
    assert!(ended.is_err(), "the end is not an orderly one");
    assert_eq!(arrived, announced / 2);
    assert!(struck(FaultKind::TruncatedBody).await.is_err());
}

#[tokio::test]
async fn a_stall_never_answers() {
    let (simulator, client) = second_page(FaultKind::Stall, 1).await;
    let token = client.get(&path()).await.token().unwrap();
    let mut stalled = Box::pin(client.send(client.request(&format!("{}&nextToken={token}", path()))));
    while simulator.stats().struck_by(FaultKind::Stall) == 0 {
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut stalled).await.is_err());
    }
    assert!(tokio::time::timeout(PATIENCE, stalled).await.is_err());
    assert_eq!(ask_second(&client).await.unwrap().usernames().concat(), "def");
}

#[tokio::test]
async fn a_stall_in_mid_body_sends_half_and_then_nothing() {
    let (_simulator, client) = second_page(FaultKind::StallMidBody, 1).await;
    let token = client.get(&path()).await.token().unwrap();
    let request = client.request(&format!("{}&nextToken={token}", path()));
    let mut response = client.http.execute(request).await.expect("the head arrives");
    let announced = response.content_length().unwrap();
    let half = response.chunk().await.unwrap().unwrap();
    assert_eq!(half.len() as u64, announced / 2);
    assert!(tokio::time::timeout(PATIENCE, response.chunk()).await.is_err());
}

#[tokio::test]
async fn padding_makes_an_answer_as_large_as_asked_and_leaves_it_true() {
    let answer = struck(FaultKind::Padded(3_000_000)).await.unwrap();
    assert!(answer.body.len() > 3_000_000);
    assert_eq!(answer.usernames().concat(), "def");
}

#[tokio::test]
async fn an_empty_page_has_a_new_token_for_the_same_page() {
    let answer = struck(FaultKind::EmptyPage).await.unwrap();
    assert!(answer.usernames().is_empty() && answer.token().is_some());
    let (_simulator, client) = second_page(FaultKind::EmptyPage, 2).await;
    let pages = client.pages(&path(), 20).await;
    let pages: Vec<String> = pages.iter().map(|page| page.usernames().concat()).collect();
    assert_eq!(pages, ["abc", "", "", "def", "ghi"]);
}

async fn tokens(kind: FaultKind, when: When, pages: usize) -> (Vec<String>, Vec<Option<String>>) {
    let (_simulator, client) =
        start(SimulatorConfig { faults: vec![Fault::new(kind, when)], ..letters(9) }).await;
    let pages = client.pages(&path(), pages).await;
    let names = pages.iter().map(|page| page.usernames().concat()).collect();
    (names, pages.iter().map(Answer::token).collect())
}

#[tokio::test]
async fn pages_can_be_empty_or_repeat_for_ever_under_tokens_that_are_always_new() {
    for (kind, rows) in [(FaultKind::EmptyPage, ""), (FaultKind::RepeatedPage, "def")] {
        let (names, mut tokens) = tokens(kind, When::always().on_page(2), 12).await;
        assert!(names[1..].iter().all(|names| names == rows), "{names:?}");
        tokens.sort();
        tokens.dedup();
        assert_eq!((tokens.len(), tokens.contains(&None)), (12, false));
    }
}

#[tokio::test]
async fn tokens_go_round_in_loops_of_any_length_once_struck() {
    for length in [1, 2, 5] {
        for page in [1, 2] {
            let when = When::first(1).on_page(page);
            let (names, tokens) = tokens(FaultKind::TokenLoop(length), when, 20).await;
            assert_eq!(names.len(), 20, "a loop never ends by itself");
            let looped = &tokens[usize::try_from(page).unwrap() - 1..];
            let length = usize::try_from(length).unwrap();
            for (at, token) in looped.iter().enumerate() {
                assert!(token.is_some());
                assert_eq!(*token, looped[at % length], "{length}");
                assert!(!looped[at + 1..(at + length).min(looped.len())].contains(token));
            }
        }
    }
}

#[tokio::test]
async fn a_defective_row_stands_among_the_true_ones() {
    for (kind, field, value) in [
        (FaultKind::ForeignPeriodRow, "billingPeriod", Some(serde_json::json!("2026-09"))),
        (FaultKind::UnreadablePeriodRow, "billingPeriod", Some(serde_json::json!("2026/10"))),
        (FaultKind::MissingUsernameHash, "usernameHash", None),
        (FaultKind::NullUsernameHash, "usernameHash", Some(serde_json::Value::Null)),
        (FaultKind::EmptyUsernameHash, "usernameHash", Some(serde_json::json!(""))),
        (FaultKind::MissingUsername, "username", None),
        (FaultKind::MissingBillingPeriod, "billingPeriod", None),
    ] {
        let answer = struck(kind).await.unwrap().json();
        let rows = answer["guestlist"].as_array().unwrap();
        assert_eq!(rows.len(), 4, "{kind:?}");
        let row = rows[1].as_object().unwrap();
        assert_eq!(row.get(field).cloned(), value, "{kind:?}");
        let whole = ["billingPeriod", "username", "usernameHash"];
        for other in whole.iter().filter(|name| **name != field) {
            assert!(row[*other].as_str().is_some_and(|text| !text.is_empty()), "{kind:?} {other}");
        }
        assert_eq!(rows[0]["username"], "d");
        assert!(answer["nextToken"].is_string());
    }
}

#[tokio::test]
async fn a_fault_strikes_where_it_is_planned_and_nowhere_else() {
    let kind = FaultKind::InternalServerError;
    let faults = vec![Fault::new(kind, When::first(1).on_each_page())];
    let (simulator, client) = start(SimulatorConfig { faults, ..letters(9) }).await;
    let mut token: Option<String> = None;
    let mut statuses = Vec::new();
    loop {
        let suffix = token.as_ref().map(|token| format!("&nextToken={token}")).unwrap_or_default();
        let answer = client.get(&format!("{}{suffix}", path())).await;
        statuses.push(answer.status);
        if answer.status == 200 {
            token = answer.token();
            if token.is_none() {
                break;
            }
        }
    }
    assert_eq!(statuses, [500, 200, 500, 200, 500, 200]);
    assert_eq!(simulator.stats().struck_by(kind), 3);
}
