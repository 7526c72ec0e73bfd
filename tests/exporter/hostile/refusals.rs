//! Refusals: the status decides, however much is said about it, and however long is to be waited.

use std::io::Write;

use serde_json::json;

use super::{Asked, PATIENT, Siege, answer, without_end};

#[test]
fn a_refusal_without_end_means_what_its_status_says() {
    for (status, code, reason) in [
        (400, 65, "unexpected answer with status 400"),
        (401, 77, "the service does not accept the credentials"),
        (402, 65, "unexpected answer with status 402"),
        (403, 77, "permission denied"),
        (404, 65, "unexpected answer with status 404"),
        (422, 65, "the service refuses a parameter"),
        (500, 75, "gave up after 2 attempts: the service failed with status 500"),
        (503, 75, "gave up after 2 attempts: the service failed with status 503"),
    ] {
        let siege = Siege::at(Asked::Guests, move |_, wire| {
            write!(wire, "HTTP/1.1 {status} -\r\ncontent-length: 1073741824\r\n\r\n{{\"message\": \"")?;
            without_end(wire, b"words ")
        });
        let message = siege.ends(siege.export(PATIENT), code);
        assert!(message.contains(reason), "{status}: {message}");
        assert!(message.contains("a body of more than 65536 bytes") || status == 401, "{status}: {message}");
    }
}

#[test]
fn throttling_without_end_is_bounded_by_the_deadline_however_much_is_said_and_however_it_breaks() {
    for more in ["10000\r\n", "words"] {
        let siege = Siege::at(Asked::Guests, move |_, wire| {
            write!(wire, "HTTP/1.1 429 -\r\ntransfer-encoding: chunked\r\n\r\n10000\r\n")?;
            without_end(wire, more.as_bytes())
        });
        let message = siege.ends(siege.export(PATIENT).args(["--deadline", "1s"]), 75);
        assert!(message.contains("the deadline comes first"), "{message}");
    }
}

#[test]
fn a_hint_is_heard_though_the_body_that_follows_breaks_or_never_comes() {
    for status in [429, 503] {
        for (framing, rest) in [("content-length: 10", "short"), ("transfer-encoding: chunked", "-1\r\n")] {
            let siege = Siege::at(Asked::Guests, move |_, wire| {
                write!(wire, "HTTP/1.1 {status} -\r\nretry-after: 7200\r\n{framing}\r\n\r\n{rest}")
            });
            let message = siege.ends(siege.export(PATIENT), 75);
            assert!(message.contains("the deadline comes first; try again after 2"), "{message}");
            assert_eq!(siege.server.requests(), 2, "the network and the page, once each");
        }
    }
}

#[test]
fn a_refusal_of_any_shape_is_said_in_bounded_words_on_one_line() {
    let reasons = vec![json!({"field": "f".repeat(400), "reason": "r\n".repeat(400)}); 20];
    let deep = format!(r#"{{"message": {}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    for body in [
        json!({"message": "\u{1b}[2Jwords\r\n".repeat(4000)}).to_string(),
        json!({"message": "invalid", "reasons": reasons}).to_string(),
        json!({"message": "invalid", "reasons": vec![json!({}); 10_000]}).to_string(),
        deep,
        "<html>".repeat(5000),
        String::new(),
    ] {
        let siege = Siege::at(Asked::Guests, move |_, wire| answer(wire, 422, "", body.as_bytes()));
        let message = siege.ends(siege.export(PATIENT), 65);
        assert!(message.contains("the service refuses a parameter"), "{message}");
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

#[test]
fn an_error_code_of_any_length_is_said_in_bounded_words() {
    let header = format!("x-amzn-errortype: {}\r\n", "Code".repeat(50_000));
    let siege = Siege::at(Asked::Guests, move |_, wire| answer(wire, 403, &header, b"{}"));
    let message = siege.ends(siege.export(PATIENT), 77);
    assert!(message.contains("permission denied (CodeCode"), "{message}");
}

#[test]
fn absurd_waits_end_the_run_at_once_and_name_a_time_that_is_one() {
    for hint in [
        "retry-after: 18446744073709551616",
        "retry-after: 9999999999999999999999999999999999999999",
        "retry-after: Fri, 31 Dec 9999 23:59:59 GMT",
        "date: Thu, 01 Jan 1970 00:00:00 GMT\r\nretry-after: Fri, 31 Dec 9999 23:59:59 GMT",
        "x-amz-retry-after: 18446744073709551615",
        "retry-after: 0\r\nx-amz-retry-after: 99999999999999999999999999",
    ] {
        for status in [429, 503] {
            let headers = format!("{hint}\r\n");
            let siege = Siege::at(Asked::Guests, move |_, wire| answer(wire, status, &headers, b"{}"));
            let message = siege.ends(siege.export(PATIENT), 75);
            let (_, rest) = message.split_once("the deadline comes first; try again after ").expect(&message);
            let (time, _last) = rest.split_once(": ").expect("the last failure");
            time.parse::<chrono::DateTime<chrono::Utc>>().expect("an instant");
            assert_eq!(siege.server.requests(), 2, "{hint}: the network and the page, once each");
        }
    }
}

#[test]
fn waits_that_make_no_sense_are_none() {
    for hint in ["-1", "soon", "1e9", "0x10", &"9 ".repeat(10_000)] {
        let headers = format!("retry-after: {hint}\r\n");
        let siege = Siege::at(Asked::Guests, move |_, wire| answer(wire, 503, &headers, b"{}"));
        let message = siege.ends(siege.export(PATIENT), 75);
        assert!(message.contains("gave up after 2 attempts: the service failed"), "{hint}: {message}");
    }
}

#[test]
fn a_servers_clock_of_any_year_is_believed_once_and_breaks_nothing() {
    for date in
        ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 99999 23:59:59 GMT"]
    {
        let headers = format!("x-amzn-errortype: RequestTimeTooSkewed\r\ndate: {date}\r\n");
        let siege = Siege::at(Asked::Guests, move |_, wire| answer(wire, 403, &headers, b"{}"));
        let message = siege.ends(siege.export(PATIENT), 77);
        assert!(message.contains("RequestTimeTooSkewed"), "{date}: {message}");
        assert!(siege.server.requests() <= 3, "{date}: the network, the page, and the page once more");
    }
}
