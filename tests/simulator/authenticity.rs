//! Signatures, and how the simulator makes itself known.

use std::collections::BTreeSet;

use wickr_guest_export::simulator::{
    Credentials, Fault, FaultKind, SIMULATOR_HEADER, SIMULATOR_VERSION, SimulatorConfig, When,
};

use crate::client::{Client, start};
use crate::{GUESTS, letters};

#[tokio::test]
async fn signatures_that_are_wrong_in_one_part_are_refused_as_aws_refuses_them() {
    let (simulator, client) = start(letters(3)).await;
    let signed = |change: fn(&mut crate::client::Signer)| {
        let mut other = Client::new(&simulator);
        change(&mut other.signer);
        other
    };
    for (other, code, words) in [
        (signed(|signer| signer.access_key_id.push('X')), "UnrecognizedClientException", "invalid"),
        (signed(|signer| signer.secret_access_key.push('X')), "InvalidSignatureException", "does not match"),
        (signed(|signer| signer.region = "eu-west-1".into()), "InvalidSignatureException", "Region"),
        (signed(|signer| signer.service = "s3"), "InvalidSignatureException", "service: 'wickr'"),
        (signed(|signer| signer.behind_seconds = 310), "InvalidSignatureException", "Signature expired: "),
        (signed(|signer| signer.behind_seconds = -310), "InvalidSignatureException", "not yet current: "),
        (
            signed(|signer| signer.session_token = Some("unasked".into())),
            "UnrecognizedClientException",
            "invalid",
        ),
    ] {
        let answer = other.get(GUESTS).await;
        assert_eq!((answer.status, answer.code()), (403, Some(code)), "{:?}", other.signer);
        assert!(answer.json()["message"].as_str().unwrap().contains(words), "{}", answer.json());
    }
    assert_eq!(simulator.stats().unauthentic, 7);
    assert_eq!(client.get(GUESTS).await.status, 200);
    for behind in [290, -290] {
        let mut other = Client::new(&simulator);
        other.signer.behind_seconds = behind;
        assert_eq!(other.get(GUESTS).await.status, 200, "{behind}");
    }
}

#[tokio::test]
async fn keys_that_were_issued_hold_for_their_requests_and_are_checked_as_others_are() {
    let (simulator, client) = start(letters(3)).await;
    let issued = [simulator.issue_credentials(2), simulator.issue_credentials(100)];
    let signed = |keys: &Credentials| {
        let mut other = Client::new(&simulator);
        other.signer.access_key_id = keys.access_key_id.clone();
        other.signer.secret_access_key = keys.secret_access_key.clone();
        other.signer.session_token = keys.session_token.clone();
        other
    };
    let short = signed(&issued[0]);
    for expected in [None, None, Some("ExpiredTokenException"), Some("ExpiredTokenException")] {
        assert_eq!(short.get(GUESTS).await.code(), expected);
    }
    assert_eq!(signed(&issued[1]).get(GUESTS).await.status, 200, "others still hold");
    assert_eq!(client.get(GUESTS).await.status, 200);

    let mut mixed = signed(&issued[1]);
    mixed.signer.session_token = issued[0].session_token.clone();
    assert_eq!(mixed.get(GUESTS).await.code(), Some("UnrecognizedClientException"));
    let mut forged = signed(&issued[1]);
    forged.signer.secret_access_key = issued[0].secret_access_key.clone();
    assert_eq!(forged.get(GUESTS).await.code(), Some("InvalidSignatureException"));
}

#[tokio::test]
async fn requests_that_were_altered_after_signing_are_refused() {
    let (_simulator, client) = start(letters(3)).await;
    let altered = |change: fn(&mut reqwest::Request)| {
        let mut request = client.request(GUESTS);
        change(&mut request);
        request
    };
    for (request, code) in [
        (
            altered(|request| request.url_mut().set_query(Some("billingPeriod=2026-09"))),
            "InvalidSignatureException",
        ),
        (
            altered(|request| request.url_mut().set_path("/networks/12345678/guest-users")),
            "InvalidSignatureException",
        ),
        (
            altered(|request| drop(request.headers_mut().insert("x-amz-meta", "1".parse().unwrap()))),
            "InvalidSignatureException",
        ),
        (altered(|request| *request.body_mut() = Some("more".into())), "InvalidSignatureException"),
        (altered(|request| drop(request.headers_mut().remove("x-amz-date"))), "IncompleteSignatureException"),
        (
            altered(|request| {
                drop(request.headers_mut().insert("authorization", "Bearer x".parse().unwrap()));
            }),
            "IncompleteSignatureException",
        ),
        (
            altered(|request| drop(request.headers_mut().remove("authorization"))),
            "MissingAuthenticationTokenException",
        ),
    ] {
        let answer = client.send(request).await.unwrap();
        assert_eq!((answer.status, answer.code()), (403, Some(code)));
    }
}

#[tokio::test]
async fn values_that_need_encoding_are_signed_alike() {
    let (_simulator, client) = start(letters(3)).await;
    let path = format!("{GUESTS}&username=%3Dcmd%7C%27%20%2FC%27%21A0%20%C3%A9~%2B%26%25");
    assert_eq!(client.get(&path).await.status, 200);
}

#[tokio::test]
async fn a_session_token_is_asked_for_where_one_is_configured() {
    let config = SimulatorConfig { session_token: Some("session/one+two==".to_owned()), ..letters(3) };
    let (_simulator, mut client) = start(config).await;
    assert_eq!(client.get(GUESTS).await.status, 200);
    for token in [None, Some("another".to_owned())] {
        client.signer.session_token = token;
        assert_eq!(client.get(GUESTS).await.code(), Some("UnrecognizedClientException"));
    }
}

#[tokio::test]
async fn a_server_whose_clock_is_wrong_says_what_it_believes_the_time_to_be() {
    let (_simulator, mut client) = start(SimulatorConfig { clock_offset_seconds: 3600, ..letters(3) }).await;
    let answer = client.get(GUESTS).await;
    assert_eq!((answer.status, answer.code()), (403, Some("InvalidSignatureException")));
    let date = chrono::DateTime::parse_from_rfc2822(answer.header("date").unwrap()).unwrap();
    let ahead = (date.to_utc() - chrono::Utc::now()).num_minutes();
    assert!((58..=60).contains(&ahead), "{ahead}");
    client.signer.behind_seconds = -3600;
    assert_eq!(client.get(GUESTS).await.status, 200);
}

#[tokio::test]
async fn every_answer_names_the_simulator_and_has_a_request_id_of_its_own() {
    let faults =
        [FaultKind::ServiceUnavailable, FaultKind::Garbage, FaultKind::Redirect, FaultKind::Throttled];
    let numbered = |(number, kind): (usize, &FaultKind)| Fault::new(*kind, When::nth(number as u64 + 1));
    let faults: Vec<Fault> = faults.iter().enumerate().map(numbered).collect();
    let (_simulator, client) = start(SimulatorConfig { faults, ..letters(3) }).await;
    let mut answers = Vec::new();
    for path in [GUESTS, GUESTS, GUESTS, GUESTS, GUESTS, "/nowhere", "/networks/99999999", "/networks"] {
        answers.push(client.get(path).await);
    }
    let mut unsigned = client.request(GUESTS);
    unsigned.headers_mut().remove("authorization");
    answers.push(client.send(unsigned).await.unwrap());
    let ids: BTreeSet<&str> = answers.iter().filter_map(|answer| answer.header("x-amzn-requestid")).collect();
    assert_eq!(ids.len(), answers.len());
    assert!(ids.iter().all(|id| id.len() == 36));
    assert!(answers.iter().all(|answer| answer.header(SIMULATOR_HEADER) == Some(SIMULATOR_VERSION)));
}
