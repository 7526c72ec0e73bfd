//! The five operations, their parameters and their refusals.

use std::collections::{BTreeMap, BTreeSet};

use wickr_guest_export::simulator::{ExplicitPopulation, Operation, PagingMode, Population, SimulatorConfig};

use crate::client::start;
use crate::{GUESTS, letters, network, october};

fn demonstration() -> SimulatorConfig {
    let periods = ["2026-09", "2026-10"].map(|period| period.parse().unwrap()).to_vec();
    SimulatorConfig { periods, guests: 700, ..SimulatorConfig::default() }
}

#[tokio::test]
async fn every_walk_sees_exactly_the_guests_that_the_oracle_expects() {
    for paging in [PagingMode::Offset, PagingMode::Keyset] {
        let (simulator, client) = start(SimulatorConfig { paging, ..demonstration() }).await;
        let expected: BTreeMap<String, String> = simulator.expected(network(), october()).collect();
        let census = simulator.census(network(), october()).unwrap();
        assert_eq!(expected.len() as u64, census.guests);
        for direction in ["ASC", "DESC"] {
            for size in [33, 100] {
                let path =
                    format!("{GUESTS}&sortFields=username&sortDirection={direction}&maxResults={size}");
                let mut guests: BTreeMap<String, String> = BTreeMap::new();
                let mut rows = 0;
                for page in client.pages(&path, 100).await {
                    let page = page.json();
                    let page = page["guestlist"].as_array().unwrap();
                    assert!(page.len() <= size);
                    rows += page.len() as u64;
                    for row in page {
                        assert_eq!(row["billingPeriod"], "2026-10");
                        let name = row["username"].as_str().unwrap().to_owned();
                        let kept = guests
                            .entry(row["usernameHash"].as_str().unwrap().to_owned())
                            .or_insert_with(|| name.clone());
                        *kept = kept.clone().min(name);
                    }
                }
                assert_eq!(guests, expected, "{paging:?} {direction} {size}");
                assert!(rows >= census.rows);
            }
        }
    }
}

#[tokio::test]
async fn a_page_has_ten_rows_from_the_end_unless_asked_otherwise() {
    let (_simulator, client) = start(letters(12)).await;
    let page = client.get(GUESTS).await;
    assert_eq!(page.usernames().concat(), "lkjihgfedc");
    let row = &page.json()["guestlist"][0];
    assert_eq!(
        *row,
        serde_json::json!({"billingPeriod": "2026-10", "username": "l", "usernameHash": "hash-l"})
    );
    let last = client.get(&format!("{GUESTS}&nextToken={}", page.token().unwrap())).await;
    assert_eq!(last.usernames().concat(), "ba");
    assert!(last.json().get("nextToken").is_none());
    let page = client.get(&format!("{GUESTS}&maxResults=3&sortDirection=ASC")).await;
    assert_eq!(page.usernames().concat(), "abc");
}

#[tokio::test]
async fn without_a_period_all_periods_are_listed() {
    let (simulator, client) = start(demonstration()).await;
    for sort in ["username", "billingPeriod"] {
        let path =
            format!("/networks/01234567/guest-users?sortFields={sort}&sortDirection=ASC&maxResults=100");
        let pages = client.pages(&path, 100).await;
        let mut rows = Vec::new();
        for page in &pages {
            for row in page.json()["guestlist"].as_array().unwrap() {
                rows.push((row[sort].as_str().unwrap().to_owned(), row["billingPeriod"].to_string()));
            }
        }
        assert!(rows.is_sorted_by_key(|(key, _)| key.clone()), "{sort}");
        let total: u64 = ["2026-09", "2026-10"]
            .map(|period| simulator.census(network(), period.parse().unwrap()).unwrap().rows)
            .iter()
            .sum();
        assert_eq!(rows.len() as u64, total);
    }
}

#[tokio::test]
async fn a_username_filter_returns_only_its_rows() {
    let (_simulator, client) = start(letters(5)).await;
    assert_eq!(client.get(&format!("{GUESTS}&username=c")).await.usernames(), ["c"]);
    assert!(client.get(&format!("{GUESTS}&username=cc")).await.usernames().is_empty());
}

#[tokio::test]
async fn ten_million_guests_are_paged_from_either_end_at_once() {
    let config = SimulatorConfig { guests: 10_000_000, guests_vary_percent: 0, ..demonstration() };
    let (simulator, client) = start(config).await;
    assert_eq!(simulator.census(network(), october()).unwrap().guests, 10_000_000);
    for direction in ["ASC", "DESC"] {
        let path = format!("{GUESTS}&sortFields=username&maxResults=100&sortDirection={direction}");
        let pages = client.pages(&path, 5).await;
        assert_eq!((pages.len(), pages[4].usernames().len()), (5, 100));
    }
}

#[tokio::test]
async fn the_history_counts_distinct_guests_of_the_past_ninety_days() {
    let periods = ["2026-06", "2026-07", "2026-08", "2026-09", "2026-10", "2026-11"];
    let config = SimulatorConfig {
        periods: periods.map(|period| period.parse().unwrap()).to_vec(),
        now: Some("2026-10-15T00:00:00Z".parse().unwrap()),
        ..demonstration()
    };
    let (simulator, client) = start(config).await;
    let history = client.get("/networks/01234567/guest-users/count").await.json();
    let counts: Vec<(&str, &str)> = history["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["month"].as_str().unwrap(), row["count"].as_str().unwrap()))
        .collect();
    let guests = |period: &str| simulator.census(network(), period.parse().unwrap()).unwrap().guests;
    // Ninety days before 15 October is 17 July: 15 of July's 31 days remain.
    let july = (guests("2026-07") * 15 / 31).to_string();
    let [august, september, october] =
        ["2026-08", "2026-09", "2026-10"].map(|period| guests(period).to_string());
    assert_eq!(
        counts,
        [("2026_07", &*july), ("2026_08", &*august), ("2026_09", &*september), ("2026_10", &*october)]
    );
}

#[tokio::test]
async fn networks_are_listed_in_pages_and_described_alike() {
    let (simulator, client) = start(demonstration()).await;
    let pages = client.pages("/networks?maxResults=2&sortDirection=ASC", 9).await;
    let listed: Vec<serde_json::Value> =
        pages.iter().flat_map(|page| page.json()["networks"].as_array().unwrap().clone()).collect();
    let ids: Vec<&str> = listed.iter().map(|network| network["networkId"].as_str().unwrap()).collect();
    assert_eq!((pages.len(), ids), (2, vec!["01234567", "12345678", "87654321"]));
    assert_eq!(simulator.networks().len(), 3);
    let one = client.get("/networks/01234567").await.json();
    assert_eq!(one, listed[0]);
    assert_eq!(
        one,
        serde_json::json!({
            "networkId": "01234567", "networkName": "Simulated network 01234567", "accessLevel": "PREMIUM",
            "awsAccountId": "111122223333", "standing": 0, "migrationState": 0,
            "networkArn": "arn:aws:wickr:us-east-1:111122223333:network/01234567"
        })
    );
}

#[tokio::test]
async fn a_network_is_called_what_a_test_calls_it() {
    let [named, other] = ["01234567", "12345678"].map(|digits| digits.parse().unwrap());
    let population = ExplicitPopulation::default().with_network(other).with_name(named, "=1+1");
    let population = Population::Explicit(population);
    let (_simulator, client) = start(SimulatorConfig { population, ..SimulatorConfig::default() }).await;
    for (network, name) in [("01234567", "=1+1"), ("12345678", "Simulated network 12345678")] {
        let described = client.get(&format!("/networks/{network}")).await.json();
        assert_eq!(described["networkName"], name);
    }
}

#[tokio::test]
async fn the_block_list_has_its_own_shape_and_pages() {
    let (_simulator, client) = start(SimulatorConfig { blocked_guests: 5, ..letters(9) }).await;
    let pages =
        client.pages("/networks/01234567/guest-users/blocklist?maxResults=3&sortDirection=ASC", 9).await;
    let rows: Vec<serde_json::Value> =
        pages.iter().flat_map(|page| page.json()["blocklist"].as_array().unwrap().clone()).collect();
    assert_eq!((pages.len(), rows.len()), (2, 5));
    let keys: BTreeSet<&str> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["admin", "modified", "username", "usernameHash"]));
    assert_eq!(rows[4]["username"], "e");
}

#[tokio::test]
async fn what_breaks_the_documented_bounds_is_refused_in_the_documented_shape() {
    let (_simulator, client) = start(letters(3)).await;
    let guests = "/networks/01234567/guest-users";
    for (path, status, code, field) in [
        (format!("{guests}?maxResults=0"), 422, "ValidationError", Some("maxResults")),
        (format!("{guests}?maxResults=101"), 422, "ValidationError", Some("maxResults")),
        (format!("{guests}?sortDirection=UP"), 422, "ValidationError", Some("sortDirection")),
        (format!("{guests}?sortFields=usernameHash"), 422, "ValidationError", Some("sortFields")),
        (format!("{guests}?billingPeriod=October"), 422, "ValidationError", Some("billingPeriod")),
        (format!("{guests}?nextToken=made-up"), 400, "BadRequestError", None),
        ("/networks/1234567/guest-users".to_owned(), 422, "ValidationError", Some("networkId")),
        ("/networks/99999999/guest-users".to_owned(), 404, "ResourceNotFoundError", None),
        ("/networks/99999999/guest-users/count".to_owned(), 404, "ResourceNotFoundError", None),
        ("/networks/99999999/guest-users/blocklist".to_owned(), 404, "ResourceNotFoundError", None),
        ("/networks/99999999".to_owned(), 404, "ResourceNotFoundError", None),
        ("/networks?maxResults=1000".to_owned(), 422, "ValidationError", Some("maxResults")),
        ("/guests".to_owned(), 404, "UnknownOperationException", None),
    ] {
        let answer = client.get(&path).await;
        assert_eq!((answer.status, answer.code()), (status, Some(code)), "{path}");
        let body = answer.json();
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{path}");
        assert_eq!(body["reasons"][0]["field"].as_str(), field, "{path}");
    }
}

#[tokio::test]
async fn a_token_continues_only_the_request_that_it_was_given_for() {
    let (_simulator, client) = start(letters(9)).await;
    let asked = format!("{GUESTS}&maxResults=2&sortDirection=ASC");
    let token = client.get(&asked).await.token().unwrap();
    for other in [
        format!("{GUESTS}&maxResults=3&sortDirection=ASC"),
        format!("{GUESTS}&maxResults=2&sortDirection=DESC"),
        format!("{asked}&sortFields=username"),
        format!("{asked}&username=a"),
        asked.replace("2026-10", "2026-09"),
        asked.replace("2026-10", "2026_10"),
        asked.replace("/guest-users", "/guest-users/blocklist"),
    ] {
        let answer = client.get(&format!("{other}&nextToken={token}")).await;
        assert_eq!((answer.status, answer.code()), (400, Some("BadRequestError")), "{other}");
    }
    let again = format!("{asked}&nextToken={token}");
    assert_eq!(client.get(&again).await.usernames().concat(), "cd");
    assert_eq!(client.get(&again).await.usernames().concat(), "cd", "a token can be used again");
}

#[tokio::test]
async fn a_walk_goes_on_against_a_simulator_that_was_restarted() {
    let (first, client) = start(demonstration()).await;
    let path = format!("{GUESTS}&maxResults=50");
    let token = client.get(&path).await.token().unwrap();
    let next = format!("{path}&nextToken={token}");
    let before = client.get(&next).await.body;
    first.shutdown().await;
    let (_second, client) = start(demonstration()).await;
    assert_eq!(client.get(&next).await.body, before);
}

#[tokio::test]
async fn requests_are_counted_by_operation() {
    let (simulator, client) = start(letters(3)).await;
    client.get(GUESTS).await;
    client.get(GUESTS).await;
    client.get("/networks/01234567/guest-users/count").await;
    client.get("/nowhere").await;
    let stats = simulator.stats();
    assert_eq!(stats.requests_of(Operation::ListGuestUsers), 2);
    assert_eq!(stats.requests_of(Operation::GetGuestUserHistoryCount), 1);
    assert_eq!(stats.requests_of(Operation::ListNetworks), 0);
    assert_eq!(stats.unrecognised, 1);
}
