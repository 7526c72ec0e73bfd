//! Lists: pages without end, each of them an honest one, and histories of more than there was.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::Utc;
use serde_json::{Value, json};
use wickr_guest_export::period::BillingPeriod;

use super::{Asked, PATIENT, Siege, Wire, answer, guest};
use crate::support::{Exporter, NETWORK};

/// A list whose every page says that there is another; `page` makes the fields of the page of a number.
fn endless(place: Asked, page: impl Fn(usize) -> Value + Send + Sync + 'static) -> Siege {
    let pages = AtomicUsize::new(0);
    Siege::at(place, move |_, wire| {
        let number = pages.fetch_add(1, Ordering::Relaxed);
        let mut body = page(number);
        if body["nextToken"].is_null() {
            body["nextToken"] = format!("token-{number}").into();
        }
        answer(wire, 200, "", body.to_string().as_bytes())
    })
}

fn network(number: usize) -> Value {
    json!({"networkId": format!("{number:08}"), "networkName": "n".repeat(1024), "awsAccountId": "111122223333"})
}

#[test]
fn empty_pages_without_end_are_no_progress() {
    let siege = endless(Asked::Guests, |_| json!({"guestlist": []}));
    let fast = siege.export(PATIENT).replacing("--max-requests-per-second", "10000");
    let message = siege.ends(fast, 65);
    assert!(message.contains("1000 pages in a row brought nothing new"), "{message}");
    assert_eq!(siege.server.requests(), 1001, "the network, and a thousand pages of the million");
}

#[test]
fn fresh_tokens_for_ever_with_the_same_guests_are_no_progress() {
    let siege = endless(Asked::Guests, |number| {
        let guests: Vec<_> = (0..100).map(|row| guest((number + row) % 150)).collect();
        json!({"guestlist": guests})
    });
    let fast = siege.export(PATIENT).replacing("--max-requests-per-second", "10000");
    let message = siege.ends(fast, 65);
    assert!(message.contains("1000 pages in a row brought nothing new"), "{message}");
}

#[test]
fn fresh_tokens_for_ever_with_new_guests_run_into_the_deadline() {
    let siege = endless(Asked::Guests, |number| {
        let guests: Vec<_> = (0..100).map(|row| guest(100 * number + row)).collect();
        json!({"guestlist": guests})
    });
    let message = siege.ends(siege.export(PATIENT).args(["--deadline", "2s"]), 75);
    assert!(message.contains("the deadline comes first; try again "), "{message}");
}

#[test]
fn a_token_that_leads_back_is_an_error_however_long_the_way_was() {
    let siege = endless(
        Asked::Guests,
        |number| json!({"guestlist": [guest(number)], "nextToken": format!("token-{}", number % 100)}),
    );
    let message = siege.ends(siege.export(PATIENT).secret("token-"), 65);
    // Both walks are handed the same hundred tokens in turn.
    assert!(message.contains(" walk, page "), "{message}");
    assert!(message.contains(": the service handed out a page token for the second time"), "{message}");
}

#[test]
fn a_list_of_networks_without_end_is_an_error() {
    let same = endless(Asked::Networks, |_| json!({"networks": [network(1)]}));
    let error = same.listing_ends(PATIENT, 65);
    assert!(error.contains("1000 pages in a row brought nothing new"), "{error}");

    let empty = endless(Asked::Networks, |_| json!({"networks": []}));
    let error = empty.listing_ends(PATIENT, 65);
    assert!(error.contains("1000 pages in a row brought nothing new"), "{error}");

    let new = endless(
        Asked::Networks,
        |number| json!({"networks": (0..100).map(|row| network(100 * number + row)).collect::<Vec<_>>()}),
    );
    let error = new.listing_ends(PATIENT, 65);
    assert!(error.contains("lists more than 10000 networks"), "{error}");
    assert_eq!(new.server.requests(), 101);
}

#[test]
fn networks_that_are_none_are_refused_before_a_path_is_made_of_them() {
    for id in ["../../..", "0123456/", "1234567\u{0}", "", "１２３４５６７８"] {
        let list = json!({"networks": [{"networkId": id, "networkName": "", "awsAccountId": ""}]});
        let siege =
            Siege::at(Asked::Networks, move |_, wire| answer(wire, 200, "", list.to_string().as_bytes()));
        let error = siege.listing_ends(PATIENT, 65);
        assert!(error.contains("which is not the one asked for or no network id"), "{error}");
    }
    let mut list = json!({"networks": [network(1)]});
    list["networks"][0]["networkName"] = "n".repeat(1025).into();
    let siege = Siege::at(Asked::Networks, move |_, wire| answer(wire, 200, "", list.to_string().as_bytes()));
    let error = siege.listing_ends(PATIENT, 65);
    assert!(error.contains("a network's name is 1025 bytes long"), "{error}");
}

/// The month before this one: the history is asked only about the last 90 real days.
fn month_before() -> BillingPeriod {
    BillingPeriod::containing(Utc::now()).plus_months(-1)
}

/// Prepares the export of a recent month of one guest, of which the history says this.
fn with_history(history: &Value) -> (Siege, Exporter) {
    let body = json!({"history": history}).to_string();
    let period = month_before().to_string();
    let mut row = guest(0);
    row["billingPeriod"] = period.clone().into();
    let attack = move |_: &str, wire: &mut Wire| answer(wire, 200, "", body.as_bytes());
    let siege = Siege::at_with_guests(Asked::History, attack, json!({"guestlist": [row]}));
    let now = Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let job = siege.job(PATIENT).replacing("--as-of", &now).args(["--network", NETWORK, "--period", &period]);
    (siege, job)
}

#[test]
fn a_history_of_a_million_months_is_refused() {
    let month = |number: usize| json!({"month": format!("{:04}_{:02}", 2000 + number / 12 % 8000, number % 12 + 1), "count": "1"});
    for months in [121, 50_000] {
        let (siege, job) = with_history(&(0..months).map(month).collect());
        let message = siege.ends(job, 65);
        let reason = format!(
            "reading the count history: the answer breaks the API's contract, so nothing is published; ask AWS Support if it keeps coming: the count history is not usable: it lists {months} months"
        );
        assert!(message.starts_with(&reason), "{message}");
    }
}

#[test]
fn a_count_that_no_file_could_hold_is_refused_and_the_largest_that_one_can_is_a_mismatch() {
    let month = month_before().to_string();
    let history = |count: &str| json!([{"month": month, "count": count}]);
    for count in ["9223372036854775808", "18446744073709551615", "-1", &"9".repeat(1_000_000)] {
        let (siege, job) = with_history(&history(count));
        let message = siege.ends(job, 65);
        assert!(message.ends_with(&format!("the count of {month} is not a whole number")), "{message}");
    }
    let (siege, job) = with_history(&history("9223372036854775807"));
    job.run().exits(0);
    let manifest = siege.scene.output().manifest(NETWORK, &month);
    assert_eq!(manifest["counts"]["reconciliation"], "mismatch");
    assert_eq!(manifest["counts"]["api_guests"], i64::MAX);
}
