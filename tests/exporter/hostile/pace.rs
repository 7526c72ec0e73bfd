//! Pace: bytes that come so slowly that no pause is a long one, and no bytes at all.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use super::{Asked, HASTY, Siege, Wire};

/// Far below any timeout here: what ends these answers is a bound on the whole, not on a pause.
const PAUSE: Duration = Duration::from_millis(20);

fn drip(wire: &mut Wire, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes.iter().cycle() {
        wire.write_all(&[*byte])?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

type Attack = fn(&mut Wire) -> io::Result<()>;

const SLOW: [Attack; 7] = [
    |wire| drip(wire, b"HTTP/1.1 200 OK\r\n"),
    |wire| {
        write!(wire, "HTTP/1.1 200 OK\r\n")?;
        drip(wire, b"x-header: value\r\n")
    },
    |wire| drip(wire, b"HTTP/1.1 100 Continue\r\n\r\n"),
    |wire| {
        write!(wire, "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")?;
        drip(wire, b" ")
    },
    |wire| {
        write!(wire, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        drip(wire, b"1\r\n \r\n")
    },
    |wire| {
        write!(wire, "HTTP/1.1 403 Forbidden\r\ncontent-length: 1000000\r\n\r\n")?;
        drip(wire, b"wait ")
    },
    // Silence: the connection stays open for longer than any run has patience.
    |_| {
        thread::sleep(Duration::from_mins(10));
        Ok(())
    },
];

#[test]
fn an_answer_that_comes_byte_by_byte_is_out_of_time_as_a_whole() {
    for attack in SLOW {
        let siege = Siege::at(Asked::Guests, move |_, wire| attack(wire));
        let message = siege.ends(siege.export(HASTY), 75);
        let reason = "forward walk, page 1: gave up after 2 attempts: the answer did not come in time";
        assert!(message.starts_with(reason), "{message}");
        assert_eq!(siege.server.requests(), 3, "the network once, the page twice");
    }
}

#[test]
fn the_deadline_ends_a_slow_answer_before_its_own_timeout_does() {
    for attack in SLOW {
        let siege = Siege::at(Asked::Guests, move |_, wire| attack(wire));
        let slow = "[request]\nattempts = 2\ntimeout = \"5m\"\n";
        let message = siege.ends(siege.export(slow).args(["--deadline", "3s"]), 75);
        assert!(message.starts_with("forward walk, page 1: the deadline comes first"), "{message}");
    }
}

#[test]
fn a_slow_list_of_networks_is_out_of_time_too() {
    for attack in SLOW {
        let siege = Siege::at(Asked::Networks, move |_, wire| attack(wire));
        let error = siege.listing_ends(HASTY, 75);
        assert!(error.contains("gave up after 2 attempts: the answer did not come in time"), "{error}");
    }
}
