//! Habits that the reference leaves open, rate, latency, and lists that change while they are read.

use std::time::Duration;

use wickr_guest_export::period::PeriodSpelling;
use wickr_guest_export::simulator::{
    Answers, Change, Fault, FaultKind, History, LastToken, Mutation, OldestMonth, Operation, PagingMode,
    PeriodAnswer, Population, Simulator, SimulatorConfig, SimulatorError, ThrottleHint, When,
};

use crate::client::{Client, start};
use crate::{GUESTS, letters, network, october};

const COUNT: &str = "/networks/01234567/guest-users/count";

#[tokio::test]
async fn either_spelling_of_a_period_can_be_served_refused_or_found_empty() {
    let spelled = |period: &str| GUESTS.replace("2026-10", period);
    for (habit, status, rows) in
        [(PeriodAnswer::Served, 200, 3), (PeriodAnswer::Refused, 422, 0), (PeriodAnswer::Empty, 200, 0)]
    {
        let hyphen = Answers { hyphen: habit, ..Answers::default() };
        let underscore = Answers { underscore: habit, ..Answers::default() };
        for (answers, subject, other) in [(hyphen, "2026-10", "2026_10"), (underscore, "2026_10", "2026-10")]
        {
            let (_simulator, client) = start(SimulatorConfig { answers, ..letters(3) }).await;
            let answer = client.get(&spelled(subject)).await;
            assert_eq!(answer.status, status, "{habit:?} {subject}");
            if status == 200 {
                assert_eq!(answer.usernames().len(), rows);
            } else {
                assert_eq!(answer.json()["reasons"][0]["field"], "billingPeriod");
            }
            assert_eq!(
                client.get(&spelled(other)).await.usernames().len(),
                3,
                "the other one is not touched"
            );
        }
    }
    let answers = Answers { unreadable: PeriodAnswer::Empty, ..Answers::default() };
    let (_simulator, client) = start(SimulatorConfig { answers, ..letters(3) }).await;
    assert!(client.get(&spelled("October")).await.usernames().is_empty());
}

#[tokio::test]
async fn rows_carry_the_spelling_that_is_configured() {
    for (rows, text) in [(PeriodSpelling::Hyphen, "2026-10"), (PeriodSpelling::Underscore, "2026_10")] {
        let answers = Answers { rows, ..Answers::default() };
        let (_simulator, client) = start(SimulatorConfig { answers, ..letters(1) }).await;
        assert_eq!(client.get(GUESTS).await.json()["guestlist"][0]["billingPeriod"], text);
    }
}

#[tokio::test]
async fn the_last_page_says_so_in_three_ways() {
    for (last_token, expected) in [
        (LastToken::Omitted, None),
        (LastToken::Null, Some(serde_json::Value::Null)),
        (LastToken::Empty, Some("".into())),
    ] {
        let answers = Answers { last_token, ..Answers::default() };
        let (_simulator, client) = start(SimulatorConfig { answers, ..letters(1) }).await;
        assert_eq!(client.get(GUESTS).await.json().get("nextToken").cloned(), expected);
    }
}

#[tokio::test]
async fn a_full_last_page_can_lead_to_an_empty_one() {
    let answers = Answers { trailing_empty_page: true, ..Answers::default() };
    let (_simulator, client) = start(SimulatorConfig { answers, ..letters(4) }).await;
    let pages = client.pages(&format!("{GUESTS}&maxResults=2"), 9).await;
    let sizes: Vec<usize> = pages.iter().map(|page| page.usernames().len()).collect();
    assert_eq!(sizes, [2, 2, 0]);
}

#[tokio::test]
async fn edges_repeat_rows_as_often_as_configured() {
    let config = SimulatorConfig { edge_repeats_per_thousand: 1000, edge_repeat_rows: 1, ..letters(7) };
    let (_simulator, client) = start(config).await;
    let pages = client.pages(&format!("{GUESTS}&maxResults=3&sortDirection=ASC"), 9).await;
    let pages: Vec<String> = pages.iter().map(|page| page.usernames().concat()).collect();
    assert_eq!(pages, ["abc", "cde", "efg"]);
}

async fn history(config: SimulatorConfig, reads: usize) -> Vec<serde_json::Value> {
    let now = Some("2026-11-05T00:00:00Z".parse().unwrap());
    let (_simulator, client) = start(SimulatorConfig { now, ..config }).await;
    let mut histories = Vec::new();
    for _ in 0..reads {
        histories.push(client.get(COUNT).await.json()["history"].clone());
    }
    histories
}

fn with_history(history: History) -> SimulatorConfig {
    let population = Population::explicit(["2026-08", "2026-10"].map(|period| {
        let guests = (0..31).map(|guest| (format!("h{guest}"), "same name".to_owned())).collect();
        (network(), period.parse().unwrap(), guests)
    }));
    SimulatorConfig { population, history, ..SimulatorConfig::default() }
}

#[tokio::test]
async fn the_count_can_disagree_change_and_leave_periods_out() {
    let row = |month: &str, count: &str| serde_json::json!({"month": month, "count": count});
    // Ninety days before 5 November is 7 August: 25 of August's 31 days remain.
    let plain = history(with_history(History::default()), 2).await;
    assert_eq!(plain[0], serde_json::json!([row("2026_08", "25"), row("2026_10", "31")]));
    assert_eq!(plain[0], plain[1]);
    let whole = History { oldest_month: OldestMonth::Whole, delta: 2, ..History::default() };
    let answer = history(with_history(whole), 1).await;
    assert_eq!(answer[0], serde_json::json!([row("2026_08", "33"), row("2026_10", "33")]));
    let moving =
        History { oldest_month: OldestMonth::Omitted, delta: -1, delta_per_read: -20, ..History::default() };
    let answers = history(with_history(moving), 3).await;
    assert_eq!(answers[0], serde_json::json!([row("2026_10", "30")]));
    assert_eq!(answers[1], serde_json::json!([row("2026_10", "10")]));
    assert_eq!(answers[2], serde_json::json!([row("2026_10", "0")]), "never below nothing");
    let spelled =
        History { unlisted: vec![october()], spelling: PeriodSpelling::Hyphen, ..History::default() };
    assert_eq!(history(with_history(spelled), 1).await[0], serde_json::json!([row("2026-08", "25")]));
}

#[tokio::test]
async fn the_count_can_be_unavailable_while_the_guests_are_listed() {
    let when = When::always().of(Operation::GetGuestUserHistoryCount);
    let faults = vec![Fault::new(FaultKind::AccessDenied, when)];
    let (_simulator, client) = start(SimulatorConfig { faults, ..letters(3) }).await;
    assert_eq!(client.get(COUNT).await.code(), Some("AccessDeniedException"));
    assert_eq!(client.get(GUESTS).await.status, 200);
}

#[tokio::test]
async fn a_rate_is_kept_and_said_only_in_the_configured_way() {
    for (throttle_hint, header) in [
        (ThrottleHint::None, None),
        (ThrottleHint::Seconds, Some("retry-after")),
        (ThrottleHint::HttpDate, Some("retry-after")),
        (ThrottleHint::Milliseconds, Some("x-amz-retry-after")),
    ] {
        let config = SimulatorConfig { requests_per_second: Some(1), burst: 2, throttle_hint, ..letters(3) };
        let (simulator, client) = start(config).await;
        let mut refused = futures::future::join_all((0..5).map(|_| client.get(GUESTS))).await;
        refused.retain(|answer| answer.status == 429);
        assert!(refused.iter().all(|answer| answer.code() == Some("RateLimitError")));
        assert_eq!(simulator.stats().throttled, refused.len() as u64);
        let hint = refused.first().expect("five at once are too many");
        for name in ["retry-after", "x-amz-retry-after"] {
            assert_eq!(hint.header(name).is_some(), header == Some(name), "{throttle_hint:?} {name}");
        }
        match throttle_hint {
            ThrottleHint::None => {}
            ThrottleHint::Seconds => assert_eq!(hint.header("retry-after"), Some("1")),
            ThrottleHint::HttpDate => {
                assert!(chrono::DateTime::parse_from_rfc2822(hint.header("retry-after").unwrap()).is_ok());
            }
            ThrottleHint::Milliseconds => {
                let wait: u64 = hint.header("x-amz-retry-after").unwrap().parse().unwrap();
                assert!((1..=1000).contains(&wait), "{wait}");
            }
        }
    }
}

#[tokio::test]
async fn latency_delays_each_answer_by_at_least_as_much_as_configured() {
    let (_simulator, client) = start(SimulatorConfig { latency_ms: 300, ..letters(3) }).await;
    let early = tokio::time::timeout(Duration::from_millis(100), client.get(GUESTS)).await;
    assert!(early.is_err(), "no load makes a server faster than it waits");
    assert_eq!(client.get(GUESTS).await.status, 200);
}

#[tokio::test]
async fn concurrent_requests_are_counted_and_one_connection_serves_many() {
    let faults = vec![Fault::new(FaultKind::Stall, When::always())];
    let (simulator, client) = start(SimulatorConfig { faults, ..letters(3) }).await;
    let four = futures::future::join_all((0..4).map(|_| client.get(GUESTS)));
    let all_waiting = async {
        while simulator.stats().struck_by(FaultKind::Stall) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = four => panic!("a stalled request was answered"),
        () = all_waiting => {}
    }
    assert_eq!(simulator.stats().max_concurrent, 4);
    let (simulator, client) = start(letters(3)).await;
    for _ in 0..10 {
        client.get(GUESTS).await;
    }
    assert_eq!((simulator.stats().connections, simulator.stats().max_concurrent), (1, 1));
}

async fn walk_while(change: Change, paging: PagingMode) -> (String, String) {
    let mutation = Mutation { network: network(), period: october(), before_request: 2, change };
    let (simulator, client) =
        start(SimulatorConfig { paging, mutations: vec![mutation], ..letters(6) }).await;
    let pages = client.pages(&format!("{GUESTS}&maxResults=2&sortDirection=ASC"), 9).await;
    let mut left: Vec<String> = simulator.expected(network(), october()).map(|(_, name)| name).collect();
    left.sort();
    (pages.iter().flat_map(crate::client::Answer::usernames).collect(), left.concat())
}

#[tokio::test]
async fn guests_come_and_go_between_pages() {
    let arrive = Change::Arrive { username_hash: "new".to_owned(), username: "A".to_owned() };
    let leave = Change::Leave { username_hash: "hash-a".to_owned() };
    for (change, paging, seen, left) in [
        (arrive.clone(), PagingMode::Offset, "abbcdef", "Aabcdef"),
        (arrive, PagingMode::Keyset, "abcdef", "Aabcdef"),
        (leave.clone(), PagingMode::Offset, "abdef", "bcdef"),
        (leave, PagingMode::Keyset, "abcdef", "bcdef"),
    ] {
        let expected = (seen.to_owned(), left.to_owned());
        assert_eq!(walk_while(change.clone(), paging).await, expected, "{change:?} {paging:?}");
    }
}

#[tokio::test]
async fn a_simulator_stops_when_it_is_told_to_and_when_it_is_dropped() {
    let faults = vec![Fault::new(FaultKind::Stall, When::nth(2))];
    let (simulator, client) = start(SimulatorConfig { faults, ..letters(3) }).await;
    assert_eq!(client.get(GUESTS).await.status, 200);
    let stalled = client.send(client.request(GUESTS));
    let stopped = async {
        while simulator.stats().requests_of(Operation::ListGuestUsers) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        simulator.shutdown().await;
    };
    let (stalled, ()) = tokio::join!(stalled, stopped);
    assert!(stalled.is_err(), "even a request that would stall for ever is let go");
    assert!(client.send(client.request(GUESTS)).await.is_err());

    let simulator = Simulator::start(letters(3)).await.unwrap();
    let client = Client::new(&simulator);
    drop(simulator);
    while client.send(client.request(GUESTS)).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let (simulator, _client) = start(letters(3)).await;
    let port = simulator.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    let error = Simulator::start(SimulatorConfig { port, ..letters(3) }).await.unwrap_err();
    assert!(matches!(error, SimulatorError::Listen { .. }));
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}
