//! Bodies: without end, too large, too deep, too many rows, compressed, or not what was asked for.

use std::io::{self, Write};

use serde_json::json;

use super::{Asked, PATIENT, Siege, Wire, answer, guest, without_end};
use crate::support::{CLOSED, RawServer, Scene, small};

/// What may be on its way, in the buffers of both ends, when the client has had enough.
const MOST_BYTES_SENT: u64 = 32 * 1024 * 1024;

/// How a body without end begins, and what it goes on with: a token, a name, space, rows, keys and depth.
const ENDLESS: [(&str, &str); 7] = [
    (r#"{"guestlist": [], "nextToken": ""#, "t"),
    (r#"{"guestlist": [{"billingPeriod": "2025-09", "usernameHash": "h", "username": ""#, "\\u0000"),
    ("", " "),
    (r#"{"guestlist": ["#, "{},"),
    ("{", r#""guestlist": [],"#),
    (r#"{"guestlist": "#, "["),
    (r#"{"guestlist": "#, r#"{"a":"#),
];

type Framing = fn(&mut Wire, &str, &str) -> io::Result<()>;

fn chunked(wire: &mut Wire, begin: &str, more: &str) -> io::Result<()> {
    write!(wire, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n \r\n", 1)?;
    if !begin.is_empty() {
        write!(wire, "{:x}\r\n{begin}\r\n", begin.len())?;
    }
    let many = more.repeat(20_000);
    without_end(wire, format!("{:x}\r\n{many}\r\n", many.len()).as_bytes())
}

fn one_gigabyte(wire: &mut Wire, begin: &str, more: &str) -> io::Result<()> {
    write!(wire, "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n{begin}")?;
    without_end(wire, more.as_bytes())
}

/// No length at all: the body ends with the connection.
fn until_closed(wire: &mut Wire, begin: &str, more: &str) -> io::Result<()> {
    write!(wire, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{begin}")?;
    without_end(wire, more.as_bytes())
}

#[test]
fn a_body_without_end_is_cut_off_wherever_it_goes_on_and_however_it_is_framed() {
    for (begin, more) in ENDLESS {
        for framing in [chunked as Framing, one_gigabyte, until_closed] {
            let siege = Siege::at(Asked::Guests, move |_, wire| framing(wire, begin, more));
            let message = siege.ends(siege.export(PATIENT), 65);
            let reason = "forward walk, page 1: the answer is larger than 2097152 bytes";
            assert!(message.starts_with(reason), "{begin}{more}: {message}");
            assert!(siege.server.bytes() < MOST_BYTES_SENT, "{} bytes were taken", siege.server.bytes());
        }
    }
}

#[test]
fn a_body_without_end_is_cut_off_whatever_was_asked_for() {
    let begin = r#"{"networks": [], "networkName": ""#;
    let siege = Siege::at(Asked::Network, move |_, wire| chunked(wire, begin, "n"));
    let message = siege.ends(siege.export(PATIENT), 65);
    assert!(message.starts_with("asking for the network: the answer is larger than"), "{message}");
    let siege = Siege::at(Asked::Networks, move |_, wire| chunked(wire, begin, "n"));
    let error = siege.listing_ends(PATIENT, 65);
    assert!(error.starts_with("listing the account's networks: the answer is larger than"), "{error}");
}

#[test]
fn four_bodies_without_end_at_once_fit_in_half_a_small_pod() {
    let networks = ["11111111", "22222222", "33333333", "44444444"];
    for (begin, more) in ENDLESS {
        let server = RawServer::start(move |head, wire| match Asked::of(head) {
            Asked::Guests => chunked(wire, begin, more),
            Asked::Networks | Asked::Network | Asked::History => {
                let asked = networks.into_iter().find(|id| head.contains(id)).expect("one of the four");
                let network = json!({"networkId": asked, "networkName": "", "awsAccountId": ""});
                answer(wire, 200, "", network.to_string().as_bytes())
            }
        });
        let scene = Scene::new(small());
        let named = networks.iter().flat_map(|id| ["--network", *id]);
        let run = scene.job(PATIENT).args(named).args(["--period", CLOSED, "--concurrency", "4"]);
        let run = run.env("AWS_ENDPOINT_URL_WICKR", &server.url()).within_memory(64 * 1024).run().exits(65);
        let summary = run.summary();
        for task in summary["tasks"].as_array().expect("tasks") {
            assert!(
                task["message"].as_str().expect("a reason").contains("larger than 2097152 bytes"),
                "{task}"
            );
        }
        scene.output().assert_holds_no_data();
    }
}

#[test]
fn credentials_without_end_are_cut_off() {
    let metadata = RawServer::start(|_, wire| chunked(wire, r#"{"AccessKeyId": ""#, "A"));
    let siege = Siege::with_page("{}");
    let export = siege.export(PATIENT).without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY");
    let message = siege.ends(export.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &metadata.url()), 77);
    assert!(message.contains("the answer is larger than 1048576 bytes"), "{message}");
    assert_eq!(siege.server.requests(), 0, "nothing is sent unsigned");
}

#[test]
fn a_length_that_is_not_the_bodys_is_found_out() {
    for (headers, code, reason) in [
        ("content-length: 10\r\n", 65, "it ends too early (10 bytes"),
        ("content-length: 1048576\r\n", 75, "the connection broke"),
        ("content-length: 99999999999999999999999\r\n", 65, "the answer is unreadable"),
        ("content-length: 5\r\ncontent-length: 500\r\n", 65, "the answer is unreadable"),
        ("content-length: -1\r\n", 65, "the answer is unreadable"),
    ] {
        let siege = Siege::at(Asked::Guests, move |_, wire| {
            write!(wire, "HTTP/1.1 200 OK\r\n{headers}\r\n{}", Asked::Guests.honest())
        });
        let message = siege.ends(siege.export(PATIENT), code);
        assert!(message.contains(reason), "{headers}: {message}");
    }
}

#[test]
fn a_text_past_its_bound_is_refused_with_its_length_alone() {
    let long = |bytes| "secret-".repeat(bytes / 7 + 1)[..bytes].to_owned();
    let row = |field: &str, text: String| {
        let mut row = guest(1);
        row[field] = text.into();
        json!({"guestlist": [guest(0), row]}).to_string()
    };
    let token = json!({"guestlist": [], "nextToken": long(16_385)}).to_string();
    for (body, reason) in [
        (row("username", long(1025)), "row 2: its username is 1025 bytes long, more than the 1024"),
        (row("usernameHash", long(1025)), "row 2: its usernameHash is 1025 bytes long, more than the 1024"),
        (row("username", long(2_000_000)), "row 2: its username is 2000000 bytes long"),
        (row("billingPeriod", long(2_000_000)), "row 2 is of billing period `secret-secret-"),
        (token, "the next page's token is 16385 bytes long, more than the 16384 that are accepted"),
    ] {
        let siege = Siege::with_page(body);
        let message = siege.ends(siege.export(PATIENT).secret(&long(40)), 65);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn more_rows_than_were_asked_for_are_refused_however_small_they_are() {
    for (row, count, reason) in [
        (guest(0).to_string(), 101, "the page has 101 rows, more than the 100 that were asked for"),
        (guest(0).to_string(), 20_000, "the page has 20000 rows, more than the 100 that were asked for"),
        ("{}".to_owned(), 690_000, "row 1 has no billingPeriod"),
    ] {
        let rows = vec![row; count].join(",");
        let siege = Siege::with_page(format!(r#"{{"guestlist": [{rows}], "nextToken": "t"}}"#));
        let message = siege.ends(siege.export(PATIENT), 65);
        assert!(message.ends_with(reason), "{message}");
    }
}

/// Shapes whose tree of values would take up to a hundred times the memory of their text.
#[test]
fn shapes_that_would_swell_in_memory_are_described_and_refused() {
    let deep = |open: &str, close: &str, levels| format!("{}1{}", open.repeat(levels), close.repeat(levels));
    let numbered: Vec<_> = (0..150_000).map(|number| format!("\"k{number}\":0")).collect();
    for (body, outline) in [
        (format!(r#"{{"guestlist": {}}}"#, deep("[", "]", 900_000)), "{guestlist: array(1) of array(1) of "),
        (deep(r#"{"a":"#, "}", 300_000), "{a: {a: {a: object(1)}}}"),
        (format!("[{}]", vec![r#"{"a":0}"#; 250_000].join(",")), "array(250000) of {a: number}"),
        (format!("[{}]", vec!["[]"; 690_000].join(",")), "array(690000) of array(0)"),
        (format!("{{{}}}", numbered.join(",")), "k11: number, …}"),
        (format!(r#"{{"guestlist": {}}}"#, "9".repeat(100)), "{guestlist: number}"),
    ] {
        let siege = Siege::with_page(body);
        let message = siege.ends(siege.export(PATIENT), 65);
        assert!(message.contains("the answer is not the documented shape"), "{message}");
        assert!(message.contains(outline), "{outline}: {message}");
    }
}

#[test]
fn keys_that_come_twice_are_refused_rather_than_chosen_from() {
    for body in [
        format!(r#"{{"guestlist": [], "guestlist": [{}]}}"#, guest(0)),
        r#"{"guestlist": [], "nextToken": "t", "nextToken": ""}"#.to_owned(),
        format!(
            r#"{{"guestlist": [{{"usernameHash": "h", "usernameHash": "i", "username": "u", "billingPeriod": "{CLOSED}"}}]}}"#
        ),
    ] {
        let siege = Siege::with_page(body);
        let message = siege.ends(siege.export(PATIENT), 65);
        assert!(message.contains("the answer is not the documented shape"), "{message}");
    }
}

#[test]
fn what_is_no_json_stays_unreadable_and_is_not_shown() {
    let digits = "9".repeat(1_000_000);
    for body in [
        "\u{feff}{}".into(),
        b"{\"guestlist\": [], \"nextToken\": \"\xff\xfe-secret\"}".to_vec(),
        br#"{"guestlist": [], "nextToken": "\ud800-secret"}"#.to_vec(),
        format!(r#"{{"guestlist": {digits}}}"#).into_bytes(),
        br#"{"guestlist": [], "nextToken": 1e999999999}"#.to_vec(),
        br#"{"guestlist": []} {"guestlist": []}"#.to_vec(),
        Vec::new(),
    ] {
        let siege = Siege::with_page(body);
        let message = siege.ends(siege.export(PATIENT).secret("secret"), 65);
        assert!(message.contains("gave up after 2 attempts: the answer is unreadable: it"), "{message}");
    }
}

/// A megabyte that unpacks to 160: one zero, then 258 copies of it at a time, in fixed Huffman codes.
fn gzip_bomb() -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], 0_u32, 0);
    let mut put = |value: u32, width: u32| {
        bits |= value << count;
        count += width;
        while count >= 8 {
            bytes.push(u8::try_from(bits & 0xff).expect("eight bits"));
            (bits, count) = (bits >> 8, count - 8);
        }
    };
    put(0b011, 3);
    put(0b0000_1100, 8);
    for _ in 0..640_000 {
        put(0b1010_0011, 8);
        put(0, 5);
    }
    put(0, 15);
    bytes.extend([0; 8]);
    bytes
}

/// 32 KiB that unpack to a gigabyte: blocks of one byte repeated 131,072 times.
fn zstd_bomb() -> Vec<u8> {
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88];
    for block in 0..8192_u32 {
        let header = (131_072 << 3) | (1 << 1) | u32::from(block == 8191);
        bytes.extend(&header.to_le_bytes()[..3]);
        bytes.push(b' ');
    }
    bytes
}

/// 211 bytes that unpack to 256 MiB of spaces.
const BROTLI_BOMB: &str = concat!(
    "cfffff7ff82540e2b14020f7fe9ffffffff04b00c4610180eefd3fffffffe1970088c32200ddfb7ffeffffc32f011087",
    "0500baf7fffcffff875f02200e0b0074effff9ffff0fbf04401c1600e8defff3ffff1f7e0980382c00d0bdffe7ffff3f",
    "fc1200715800a07bffcfffff7ff82500e2b00040f7fe9ffffffff04b00c4610180eefd3fffffffe1970088c30200ddfb",
    "7ffeffffc32f0110870500baf7fffcffff875f02200e0b0074effff9ffff0fbf04401c1600e8defff3ffff1f7e098038",
    "2c00d0bdffe7ffff3ffc1200715800a07bff3f",
);

#[test]
fn compressed_bombs_are_not_unpacked() {
    let brotli = hex::decode(BROTLI_BOMB).expect("hexadecimal digits");
    for (headers, body, reason) in [
        ("content-encoding: gzip\r\n", gzip_bomb(), "it is compressed (gzip), which was not asked for"),
        ("content-encoding: x-gzip\r\n", gzip_bomb(), "it is compressed (x-gzip)"),
        ("content-encoding: zstd\r\n", zstd_bomb(), "it is compressed (zstd)"),
        ("content-encoding: br\r\n", brotli, "it is compressed (br)"),
        ("content-encoding: deflate, gzip, br\r\n", gzip_bomb(), "it is compressed (deflate, gzip, br)"),
        ("content-encoding: identity\r\ncontent-encoding: gzip\r\n", gzip_bomb(), "it is compressed (gzip)"),
        ("", gzip_bomb(), "it is not JSON"),
        ("content-type: application/zstd\r\n", zstd_bomb(), "it is not JSON"),
    ] {
        let siege = Siege::at(Asked::Guests, move |_, wire| answer(wire, 200, headers, &body));
        let message = siege.ends(siege.export(PATIENT), 65);
        assert!(message.contains(reason), "{headers}: {message}");
    }
}
