//! A constant address before simulators that come and go, and a gate at the request of a number.
//!
//! A process that goes on where another stopped must find the service at the same place, though the list has changed
//! in between. And a signal must arrive while a request is under way: the front holds that request, so that the
//! process waits there for as long as it takes to send it.

use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::schedule::Moment;

/// Holds one request of a run.
struct Gate {
    /// How many requests pass before.
    left: u64,
    moment: Moment,
    reached: Sender<()>,
}

#[derive(Default)]
struct Shared {
    backend: Mutex<Option<SocketAddr>>,
    gate: Mutex<Option<Gate>>,
}

pub(super) struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl Front {
    pub(super) fn start(runtime: &Handle) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let accepting = runtime.spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self { address, shared, accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Passes what comes from now on to another simulator.
    pub(super) fn lead_to(&self, endpoint: &str) {
        let address = endpoint.strip_prefix("http://").expect("plain http").parse().expect("an address");
        *self.shared.backend.lock().expect("no panic") = Some(address);
    }

    /// Holds the request of a number, counted from now on, and says when it is there.
    pub(super) fn hold(&self, nth: u64, moment: Moment, reached: Sender<()>) {
        *self.shared.gate.lock().expect("no panic") = Some(Gate { left: nth - 1, moment, reached });
    }

    pub(super) fn open(&self) {
        *self.shared.gate.lock().expect("no panic") = None;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    /// Counts a request, and says whether it is the one that is held, and when.
    fn holds(&self) -> Option<(Moment, Sender<()>)> {
        let mut gate = self.gate.lock().expect("no panic");
        let Gate { left, .. } = gate.as_mut()?;
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                None
            }
            None => gate.take().map(|gate| (gate.moment, gate.reached)),
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // A client that was killed meanwhile is not worth a word.
        let Ok((client, _)) = listener.accept().await else { continue };
        tokio::spawn(pass(client, Arc::clone(&shared)));
    }
}

/// Passes requests one by one. They have no bodies, and one follows on another's answer.
async fn pass(mut client: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let backend = shared.backend.lock().expect("no panic").expect("a simulator");
    let mut server = TcpStream::connect(backend).await.ok()?;
    let (mut from_client, mut from_server) = (vec![0; 16 * 1024], vec![0; 64 * 1024]);
    let mut head = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let read = read.ok().filter(|read| *read > 0)?;
                head.extend_from_slice(&from_client[..read]);
                if !head.ends_with(b"\r\n\r\n") {
                    continue;
                }
                let gate = shared.holds();
                if let Some((Moment::Before, reached)) = &gate {
                    return wait_for_the_end(&mut client, reached).await;
                }
                server.write_all(&head).await.ok()?;
                head.clear();
                if let Some((Moment::After, reached)) = &gate {
                    // The answer is on its way back, and stays here.
                    let _withheld = server.read(&mut from_server).await.ok()?;
                    return wait_for_the_end(&mut client, reached).await;
                }
            }
            read = server.read(&mut from_server) => {
                let read = read.ok().filter(|read| *read > 0)?;
                client.write_all(&from_server[..read]).await.ok()?;
            }
        }
    }
}

/// Says that the request is there, and waits until whoever asked is gone.
async fn wait_for_the_end(client: &mut TcpStream, reached: &Sender<()>) -> Option<()> {
    reached.send(()).ok()?;
    while client.read(&mut [0; 16]).await.ok()? > 0 {}
    None
}
