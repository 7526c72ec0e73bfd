//! Answers of the documented shape, and of every other.

use super::*;

fn october() -> BillingPeriod {
    "2026-10".parse().unwrap()
}

fn page(body: &str) -> Result<GuestPage, String> {
    guest_page(&Bytes::copy_from_slice(body.as_bytes()), october()).map_err(|error| match error {
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
    assert_eq!(page.guests.iter().next().unwrap().username_hash, "h");
    assert_eq!(page.next.unwrap().as_str(), "t");
}

#[test]
fn texts_are_read_wherever_they_lie_and_bytes_that_are_no_text_only_matter_in_them() {
    let row = |username: &str| {
        format!(r#"{{"billingPeriod": "2026-10", "usernameHash": "é", "username": "{username}"}}"#)
    };
    let rows = [row("ann!"), row(r#"Zo\u00eb \"Z\""#), row("Zoë")].join(", ");
    let body = format!(r#"{{"guestlist": [{rows}], "more": "?"}}"#);
    let names = |body: Vec<u8>| {
        let page = guest_page(&body.into(), october()).map_err(|error| error.to_string())?;
        Ok::<_, String>(page.guests.iter().map(|guest| guest.username.to_owned()).collect::<Vec<_>>())
    };
    let expected = Ok(["ann!", "Zoë \"Z\"", "Zoë"].map(str::to_owned).to_vec());
    assert_eq!(names(body.clone().into_bytes()), expected);
    let replaced = |what: u8| body.bytes().map(|byte| if byte == what { 0xff } else { byte }).collect();
    assert_eq!(names(replaced(b'?')), expected);
    assert!(names(replaced(b'!')).is_err());
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
    assert!(page("<html>secret</html>").unwrap_err().starts_with("the answer is unreadable: it is not JSON"));
    assert!(page(&"[".repeat(100_000)).unwrap_err().starts_with("the answer is unreadable"));
}

#[test]
fn a_page_holds_no_more_rows_than_were_asked_for() {
    let rows = |count| vec![r#"{"billingPeriod": "2026-10", "username": "a", "usernameHash": "h"}"#; count];
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
    let row = r#"{"billingPeriod": "2026-10", "username": "a", "usernameHash": "h", "usernameHash": "i"}"#;
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
        let text =
            format!(r#"{{"networkId": "01234567", "networkName": "{name}", "awsAccountId": "{account}"}}"#);
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
