//! The floor: a socket, the JSON reader, a sort, and the Parquet writer. No HTTP client, no signature.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

use peer_floor::{Asked, Guests};

fn main() -> Result<(), Box<dyn Error>> {
    let asked = Asked::read()?;
    let host = asked.endpoint.strip_prefix("http://").ok_or("an endpoint of plain http")?;
    let mut connection = Connection { stream: TcpStream::connect(host)?, received: Vec::new() };
    connection.stream.set_nodelay(true)?;
    let mut guests = Guests::default();
    let mut token = None;
    loop {
        let target = asked.target(token.as_deref());
        write!(connection.stream, "GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")?;
        token = guests.absorb(connection.body()?)?;
        if token.is_none() {
            return guests.write(&asked);
        }
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Reads one answer, which must be 200 and tell its length.
    fn body(&mut self) -> Result<&[u8], Box<dyn Error>> {
        self.received.clear();
        let head = loop {
            self.receive()?;
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.received[..head])?;
        if !text.starts_with("HTTP/1.1 200 ") {
            return Err(text.lines().next().unwrap_or_default().to_owned().into());
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let whole = head + length.ok_or("no length")?.parse::<usize>()?;
        while self.received.len() < whole {
            self.receive()?;
        }
        Ok(&self.received[head..whole])
    }

    fn receive(&mut self) -> Result<(), Box<dyn Error>> {
        let length = self.received.len();
        self.received.resize(length + 64 * 1024, 0);
        let read = self.stream.read(&mut self.received[length..])?;
        self.received.truncate(length + read);
        if read == 0 { Err("the connection ended".into()) } else { Ok(()) }
    }
}
