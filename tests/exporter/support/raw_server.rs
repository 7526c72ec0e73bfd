//! A server that writes whatever bytes a test says, at whatever pace, for as long as anybody listens.
//!
//! Apart from `PlainServer`, whose answers end: here an answer is a conversation that only the client can end.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::plain_server::read_head;

/// Answers on 127.0.0.1 as long as the test program lives, one request a connection, all at once.
pub(crate) struct RawServer {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// What the client reads.
pub(crate) struct Wire {
    stream: TcpStream,
    counts: Arc<Counts>,
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes)?;
        self.counts.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl RawServer {
    /// Starts a server that is asked with the request's head. An error ends the connection: it is how an answer
    /// learns that the client has gone away.
    pub(crate) fn start(answer: impl Fn(&str, &mut Wire) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::new(Counts::default());
        let (counted, answer) = (Arc::clone(&counts), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let (counts, answer) = (Arc::clone(&counted), Arc::clone(&answer));
                thread::spawn(move || {
                    let head = read_head(&stream);
                    counts.requests.fetch_add(1, Ordering::Relaxed);
                    let _ = answer(&head, &mut Wire { stream, counts });
                });
            }
        });
        Self { address, counts }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many requests came so far.
    pub(crate) fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// Returns how many bytes were taken off it so far, buffers on the way included.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }
}
