//! Heads: status lines, headers and framing without end or without sense, and statuses that lead elsewhere.

use std::io::{self, Write};

use super::{Asked, HASTY, PATIENT, Siege, Wire, answer, without_end};
use crate::support::RawServer;

type Attack = fn(&mut Wire) -> io::Result<()>;

fn siege(attack: Attack) -> Siege {
    Siege::at(Asked::Guests, move |_, wire| attack(wire))
}

#[test]
fn a_head_without_end_is_cut_off_and_what_is_no_http_stays_unreadable() {
    let attacks: [(Attack, &str); 7] = [
        (
            |wire| {
                write!(wire, "HTTP/1.1 200 OK\r\nx-header: ")?;
                without_end(wire, b"value")
            },
            "message head is too large",
        ),
        (
            |wire| {
                write!(wire, "HTTP/1.1 200 OK\r\n")?;
                without_end(wire, b"x-header: value\r\n")
            },
            "message head is too large",
        ),
        (|wire| without_end(wire, b"HTTP/1.1 200 OK"), "message head is too large"),
        (|wire| wire.write_all(b"SSH-2.0-OpenSSH_9.7\r\n\r\n"), "invalid HTTP version parsed"),
        (|wire| wire.write_all(b"HTTP/1.1 2000000 OK\r\n\r\n"), "invalid HTTP status-code parsed"),
        (|wire| wire.write_all(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n"), "invalid HTTP header parsed"),
        (|wire| without_end(wire, b"\0"), "invalid HTTP"),
    ];
    for (attack, reason) in attacks {
        let siege = siege(attack);
        let message = siege.ends(siege.export(PATIENT), 65);
        assert!(message.contains("gave up after 2 attempts: the answer is unreadable: "), "{message}");
        assert!(message.contains(reason), "{reason}: {message}");
    }
}

#[test]
fn framing_without_end_breaks_the_connection() {
    let attacks: [Attack; 4] = [
        |wire| {
            write!(wire, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;extension=")?;
            without_end(wire, b"value")
        },
        |wire| {
            write!(wire, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")?;
            without_end(wire, b"x-trailer: value\r\n")
        },
        |wire| {
            write!(wire, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            without_end(wire, b"f")
        },
        |wire| wire.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n\r\n"),
    ];
    for attack in attacks {
        let siege = siege(attack);
        let message = siege.ends(siege.export(PATIENT), 75);
        assert!(message.contains("gave up after 2 attempts: the connection broke"), "{message}");
    }
}

#[test]
fn preliminary_answers_without_end_run_into_the_timeout() {
    let siege = siege(|wire| without_end(wire, b"HTTP/1.1 102 Processing\r\n\r\n"));
    let message = siege.ends(siege.export(HASTY), 75);
    assert!(message.contains("gave up after 2 attempts: the answer did not come in time"), "{message}");
}

#[test]
fn a_redirect_is_not_followed_wherever_it_leads() {
    let elsewhere =
        RawServer::start(|head, wire| answer(wire, 200, "", Asked::of(head).honest().to_string().as_bytes()));
    for status in [301, 302, 307, 308] {
        for location in
            [elsewhere.url(), "/".to_owned(), "file:///etc/passwd".to_owned(), "x".repeat(100_000)]
        {
            let siege = Siege::at(Asked::Guests, move |head, wire| {
                let path = head.split_ascii_whitespace().nth(1).expect("a request line");
                let to =
                    if location.starts_with("http") { format!("{location}{path}") } else { location.clone() };
                answer(wire, status, &format!("location: {to}\r\n"), b"")
            });
            let message = siege.ends(siege.export(PATIENT), 65);
            assert!(message.contains(&format!("unexpected answer with status {status}")), "{message}");
        }
    }
    assert_eq!(elsewhere.requests(), 0, "no signature goes where nobody sent it");
}

#[test]
fn a_status_that_is_no_page_is_none_whatever_comes_with_it() {
    for status in [101, 201, 202, 204, 206, 226, 304, 418, 451] {
        let siege = Siege::at(Asked::Guests, move |_, wire| {
            answer(wire, status, "", Asked::Guests.honest().to_string().as_bytes())
        });
        let message = siege.ends(siege.export(PATIENT), 65);
        assert!(message.contains(&format!("unexpected answer with status {status}")), "{message}");
    }
}
