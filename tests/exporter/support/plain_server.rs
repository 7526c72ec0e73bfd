//! A server that answers whatever a test says, for what the simulator is too honest to do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// One answer, in JSON.
pub(crate) struct PlainAnswer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl PlainAnswer {
    pub(crate) fn ok(body: &impl ToString) -> Self {
        Self { status: 200, body: body.to_string() }
    }
}

/// Answers on 127.0.0.1 as long as the test program lives, one request a connection.
pub(crate) struct PlainServer {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl PlainServer {
    /// Starts a server that is asked with the whole request: the request line, the headers, and what follows them.
    pub(crate) fn start(answer: impl Fn(&str) -> PlainAnswer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let request = read_request(&stream);
                let PlainAnswer { status, body } = answer(&request);
                remembered.lock().expect("no panic").push(request);
                let length = body.len();
                // A client that has gone away is its own affair.
                let _ = write!(
                    &stream,
                    "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                     connection: close\r\n\r\n{body}"
                );
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

/// Reads the request line and the headers.
pub(super) fn read_head(stream: &TcpStream) -> String {
    head_of(&mut BufReader::new(stream))
}

/// Reads a whole request: a body is as long as its head says.
fn read_request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let head = head_of(&mut reader);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length"))
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).expect("the whole body");
    head + &String::from_utf8(body).expect("text")
}

fn head_of(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while let Ok(read) = reader.read_line(&mut head) {
        if read == 0 || head.ends_with("\r\n\r\n") {
            break;
        }
    }
    head
}
