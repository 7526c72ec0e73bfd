//! A server that means harm: whatever it answers, the program ends by itself, in bounded memory, with the right
//! exit code and a clear reason, and publishes nothing.
//!
//! Memory is bounded by the kernel for every run here. Time is never measured: a run has to end with the error
//! of its own timeout, deadline or bound, and one that does not is ended by the tests' patience and fails.

mod answers;
mod heads;
mod lists;
mod pace;
mod refusals;

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::support::{CLOSED, Exporter, NETWORK, RawServer, Run, Scene, Wire, small};

/// The memory of every run. The program alone takes less than 8 MiB of it, an answer of 2 MiB a few more.
const MEMORY_KIB: u32 = 40 * 1024;
/// The longest reason that is worth reading.
const LONGEST_MESSAGE: usize = 8192;
/// A job that is patient, where what is shown is a bound on size.
const PATIENT: &str = "[request]\nattempts = 2\ntimeout = \"1m\"\n";
/// A job that is not, where what is shown is a bound on time.
const HASTY: &str = "[request]\nattempts = 2\ntimeout = \"1s\"\n";

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Networks,
    Network,
    History,
    Guests,
}

impl Asked {
    fn of(head: &str) -> Self {
        let target = head.split_ascii_whitespace().nth(1).expect("a request line");
        let path = target.split('?').next().expect("a path");
        match path.strip_prefix("/networks").expect("an operation of the API") {
            "" => Self::Networks,
            rest if rest.ends_with("/guest-users") => Self::Guests,
            rest if rest.ends_with("/guest-users/count") => Self::History,
            _ => Self::Network,
        }
    }

    /// What an honest server would answer, of a network with one guest.
    fn honest(self) -> Value {
        let network = json!({"networkId": NETWORK, "networkName": "Acme", "awsAccountId": "111122223333"});
        match self {
            Self::Networks => json!({"networks": [network]}),
            Self::Network => network,
            Self::History => json!({"history": []}),
            Self::Guests => json!({"guestlist": [guest(0)]}),
        }
    }
}

fn guest(number: usize) -> Value {
    json!({"billingPeriod": CLOSED, "username": format!("guest-{number:04}"), "usernameHash": format!("hash-{number:04}")})
}

/// Writes a whole answer.
fn answer(wire: &mut Wire, status: u16, headers: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    write!(wire, "HTTP/1.1 {status} -\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n")?;
    wire.write_all(body)
}

/// Writes the same bytes until the client has had enough.
fn without_end(wire: &mut Wire, bytes: &[u8]) -> io::Result<()> {
    let many = bytes.repeat(64 * 1024 / bytes.len() + 1);
    loop {
        wire.write_all(&many)?;
    }
}

/// A server that attacks where it is asked for one thing and is honest elsewhere, and who has to deal with it.
struct Siege {
    scene: Scene,
    server: RawServer,
}

impl Siege {
    fn at(place: Asked, attack: impl Fn(&str, &mut Wire) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::at_with_guests(place, attack, Asked::Guests.honest())
    }

    /// As [`Siege::at`], with another honest page of guests.
    fn at_with_guests(
        place: Asked,
        attack: impl Fn(&str, &mut Wire) -> io::Result<()> + Send + Sync + 'static,
        guests: Value,
    ) -> Self {
        let server = RawServer::start(move |head, wire| match Asked::of(head) {
            asked if asked == place => attack(head, wire),
            Asked::Guests => answer(wire, 200, "", guests.to_string().as_bytes()),
            asked => answer(wire, 200, "", asked.honest().to_string().as_bytes()),
        });
        Self { scene: Scene::new(small()), server }
    }

    /// A server that answers every page of guests with this body.
    fn with_page(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::at(Asked::Guests, move |_, wire| answer(wire, 200, "", &body))
    }

    fn job(&self, text: &str) -> Exporter {
        let exporter = self.scene.job(text).within_memory(MEMORY_KIB);
        exporter.env("AWS_ENDPOINT_URL_WICKR", &self.server.url())
    }

    fn export(&self, job: &str) -> Exporter {
        self.job(job).args(["--network", NETWORK, "--period", CLOSED])
    }

    /// Exports, holds the end against what it should be, and returns the reason.
    #[track_caller]
    fn ends(&self, exporter: Exporter, code: i32) -> String {
        let message = exporter.run().exits(code).message();
        self.assert_held(&message);
        message
    }

    #[track_caller]
    fn assert_held(&self, message: &str) {
        assert!(message.len() <= LONGEST_MESSAGE, "{} bytes of reason", message.len());
        self.scene.output().assert_holds_no_data();
    }

    /// Lists the account's networks, which fails before there is a summary.
    #[track_caller]
    fn listing_ends(&self, job: &str, code: i32) -> String {
        let fast = self.job(job).replacing("--max-requests-per-second", "10000");
        let run: Run = fast.args(["--network", "all", "--period", CLOSED]).run().exits(code);
        let error = run.error();
        self.assert_held(&error);
        error
    }
}

#[test]
fn a_run_that_wants_more_memory_than_it_may_have_fails_its_test() {
    let siege = Siege::at(Asked::Network, |_, wire| answer(wire, 404, "", b"{}"));
    let starved = std::panic::catch_unwind(|| siege.export(PATIENT).within_memory(1024).run().exits(78));
    assert!(starved.is_err(), "a megabyte is not enough");
    siege.export(PATIENT).run().exits(78);
}
