//! A service that is never the bottleneck: finished pages from blocking threads, one a connection.
//!
//! Latency counts from the moment a request is there, so that what the server itself takes is within it, and ends on
//! time: the last of it is not slept, as a sleep ends late. The limit admits requests as a token bucket does; a refused
//! one costs nothing and says nothing of when to come again.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use wickr_guest_export::period::BillingPeriod;

use crate::lists::{self, Direction, Lists, PAGE_ROWS, read_token};

/// How the service behaves.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    /// How long each answer takes.
    pub(crate) latency: Duration,
    /// How many requests it takes a second, if it refuses any.
    pub(crate) limit: Option<u32>,
    /// Of how many months, the newest first, it counts the guests.
    pub(crate) counted_months: usize,
    /// How many networks the account says it has.
    pub(crate) networks: u32,
}

/// What the service saw of one contender.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Requests that were answered.
    pub(crate) answered: u64,
    /// Of them, pages of guests.
    pub(crate) pages: u64,
    /// Of them, counts of guests.
    pub(crate) counts: u64,
    /// Requests that were refused with a 429.
    pub(crate) throttled: u64,
    /// When the first request was there, answered or not.
    pub(crate) first: Option<(SystemTime, Instant)>,
    /// When the last answer was due.
    pub(crate) last: Option<Instant>,
}

/// A service on a port of its own, until it is dropped.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
    listening: Option<thread::JoinHandle<()>>,
}

struct Shared {
    /// Networks have them in turn.
    lists: Vec<Arc<Lists>>,
    habits: Habits,
    state: Mutex<State>,
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    seen: Seen,
    /// When an ideally spaced request is due next.
    due: Option<Instant>,
}

impl Server {
    /// Serves networks that have these lists in turn: all of them the same, if there is one.
    pub(crate) fn start(lists: Vec<Arc<Lists>>, habits: Habits) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (state, is_over) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { lists, habits, state, is_over });
        let served = Arc::clone(&shared);
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                if served.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (stream, served) = (stream.expect("a connection"), Arc::clone(&served));
                // Whoever hangs up has had enough; a broken exchange shows on the other side.
                thread::spawn(move || drop(served.converse(stream)));
            }
        });
        Ok(Self { endpoint: format!("http://{address}"), address, shared, listening: Some(listening) })
    }

    /// Returns what was seen until now.
    pub(crate) fn seen(&self) -> Seen {
        self.shared.state().seen.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes whoever waits for the next connection.
        drop(TcpStream::connect(self.address));
        if let Some(listening) = self.listening.take() {
            drop(listening.join());
        }
    }
}

enum Answer<'a> {
    Page(&'a [u8]),
    Count(String),
    Other(String),
    Refused(&'static str, &'static str),
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut received, mut sent) = (Vec::new(), Vec::new());
        loop {
            let Some(head) = read_head(&mut stream, &mut received)? else { return Ok(()) };
            let arrived = Instant::now();
            let due = arrived + self.habits.latency;
            let answer = if self.admits(arrived, due) { self.answer(&head) } else { THROTTLED };
            self.count(&answer);
            sent.clear();
            let date = httpdate::fmt_http_date(SystemTime::now());
            let (status, kind, body) = match &answer {
                Answer::Page(page) => ("200 OK", "", *page),
                Answer::Count(body) | Answer::Other(body) => ("200 OK", "", body.as_bytes()),
                Answer::Refused(status, kind) => (*status, *kind, &b"{\"message\":\"refused\"}"[..]),
            };
            write!(
                sent,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\ndate: {date}\r\n",
                body.len()
            )?;
            if !kind.is_empty() {
                write!(sent, "x-amzn-errortype: {kind}\r\n")?;
            }
            sent.extend_from_slice(b"\r\n");
            sent.extend_from_slice(body);
            wait_until(due);
            stream.write_all(&sent)?;
        }
    }

    /// Says whether the limit lets a request through.
    fn admits(&self, arrived: Instant, answered: Instant) -> bool {
        let mut state = self.state();
        state.seen.first.get_or_insert_with(|| (SystemTime::now(), arrived));
        state.seen.last = state.seen.last.max(Some(answered));
        let Some(limit) = self.habits.limit else { return true };
        let interval = Duration::from_secs(1) / limit;
        // A tenth of a second's requests at once, after a pause.
        let tolerance = interval * (limit / 10).saturating_sub(1);
        let ideal = state.due.map_or(arrived, |due| due.max(arrived));
        let admits = ideal.saturating_duration_since(arrived) <= tolerance;
        if admits {
            state.due = Some(ideal + interval);
        }
        admits
    }

    fn count(&self, answer: &Answer<'_>) {
        let mut state = self.state();
        match answer {
            Answer::Page(_) => {
                state.seen.pages += 1;
                state.seen.answered += 1;
            }
            Answer::Count(_) => {
                state.seen.counts += 1;
                state.seen.answered += 1;
            }
            Answer::Other(_) => state.seen.answered += 1,
            Answer::Refused(..) => state.seen.throttled += 1,
        }
    }

    fn answer(&self, head: &str) -> Answer<'_> {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let answer = match segments[..] {
            ["networks", network, "guest-users"] => self.page(network, query).map(Answer::Page),
            ["networks", network, "guest-users", "count"] => {
                self.lists_of(network).map(|lists| Answer::Count(lists.history(self.habits.counted_months)))
            }
            ["networks"] => Some(Answer::Other(self.account(query))),
            ["networks", network] => Some(Answer::Other(described(network))),
            _ => None,
        };
        answer.unwrap_or(Answer::Refused("404 Not Found", "ResourceNotFoundError"))
    }

    fn lists_of(&self, network: &str) -> Option<&Lists> {
        let number = lists::number_of_network(network)?;
        self.lists.get(number % self.lists.len()).map(Arc::as_ref)
    }

    fn page(&self, network: &str, query: &str) -> Option<&[u8]> {
        let month = BillingPeriod::from_wire(field(query, "billingPeriod")?).ok()?;
        let (direction, page) = match (field(query, "nextToken"), field(query, "sortDirection")) {
            (Some(token), _) => read_token(token)?,
            (None, Some("ASC")) => (Direction::Ascending, 0),
            (None, _) => (Direction::Descending, 0),
        };
        self.lists_of(network)?.page(month, direction, page)
    }

    /// Lists the networks of the account, a hundred at a time.
    fn account(&self, query: &str) -> String {
        let first: usize = field(query, "nextToken").and_then(|token| token.parse().ok()).unwrap_or(0);
        let networks = lists::networks(self.habits.networks);
        let page: Vec<String> =
            networks.iter().skip(first).take(PAGE_ROWS).map(|network| described(network)).collect();
        let end = first + page.len();
        let next = if end < networks.len() { format!(r#","nextToken":"{end}""#) } else { String::new() };
        format!(r#"{{"networks":[{}]{next}}}"#, page.join(","))
    }
}

/// Returns a field of a query, none of which is written otherwise than it means.
fn field<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

const THROTTLED: Answer<'static> = Answer::Refused("429 Too Many Requests", "RateLimitError");

fn described(network: &str) -> String {
    format!(
        r#"{{"networkId":"{network}","networkName":"Network {network}","accessLevel":"PREMIUM","awsAccountId":"111122223333","networkArn":"arn:aws:wickr:us-east-1:111122223333:network/{network}","standing":0,"migrationState":0}}"#
    )
}

/// Waits, and is not late: a fifth of a millisecond a page would count as the contender's.
fn wait_until(due: Instant) {
    const LATEST_WAKING: Duration = Duration::from_micros(500);
    if let Some(asleep) = due.saturating_duration_since(Instant::now()).checked_sub(LATEST_WAKING) {
        thread::sleep(asleep);
    }
    while Instant::now() < due {
        std::hint::spin_loop();
    }
}

/// Reads the head of a request, none at the end of the connection. Requests have no bodies and are not pipelined.
fn read_head(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<Option<String>> {
    received.clear();
    let mut block = [0; 4096];
    while !received.ends_with(b"\r\n\r\n") {
        match stream.read(&mut block)? {
            0 => return Ok(None),
            read => received.extend_from_slice(&block[..read]),
        }
    }
    Ok(Some(String::from_utf8_lossy(received).into_owned()))
}
