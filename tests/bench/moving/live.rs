//! A service whose list of guests moves by itself, in the time of the runtime.
//!
//! The simulator's lists move by the number of the request, which stands for time only where every walk asks
//! alike; here a walk that is done sooner meets fewer moves. An answer tells what stood in the middle of its
//! round trip.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;
use wickr_guest_export::guest::{Guest, Guests, NetworkId, PageToken};
use wickr_guest_export::wickr::{
    ApiError, GuestPage, HistoryMonth, ListGuestUsers, Network, NetworkPage, SortDirection, WickrAdmin,
};

use crate::walked::{PAGE_ROWS, period};

/// What a page token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    /// A number of rows: an arrival behind a walk repeats a row, a departure there skips one.
    Offset,
    /// The last row that was given: rows neither repeat nor get lost.
    Keyset,
}

/// Who moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moves {
    Arrivals,
    Departures,
    Both,
}

/// How a list moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Motion {
    pub(crate) moves: Moves,
    /// How many there are in the time of a round trip, on average.
    pub(crate) in_a_round_trip: f64,
    pub(crate) seed: u64,
}

/// One list of guests and the service's count of it.
pub(crate) struct LiveService {
    round_trip: Duration,
    paging: Paging,
    state: Mutex<State>,
}

struct State {
    /// A number for each guest, ascending: their usernames sort as the numbers do.
    list: Vec<u64>,
    moving: Option<Moving>,
    requests: u32,
    /// The list as it was when it was last counted.
    counted: Vec<u64>,
}

struct Moving {
    motion: Motion,
    draw: StdRng,
    next: Instant,
}

impl Moving {
    /// Draws the time until another move: that of a Poisson process.
    fn wait(motion: Motion, draw: &mut StdRng, round_trip: Duration) -> Duration {
        let unit: f64 = draw.random_range(f64::MIN_POSITIVE..1.0);
        round_trip.mul_f64(-unit.ln() / motion.in_a_round_trip)
    }
}

impl LiveService {
    /// Opens a service whose list has so many pages. It moves from now on, if it moves at all.
    pub(crate) fn open(pages: u32, round_trip: Duration, paging: Paging, motion: Option<Motion>) -> Self {
        let guests = u64::from(pages) * u64::from(PAGE_ROWS);
        let list = (0..guests).map(|place| place * (u64::MAX / guests)).collect();
        let moving = motion.filter(|motion| motion.in_a_round_trip > 0.0).map(|motion| {
            let mut draw = StdRng::seed_from_u64(motion.seed);
            let next = Instant::now() + Moving::wait(motion, &mut draw, round_trip);
            Moving { motion, draw, next }
        });
        let state = State { list, moving, requests: 0, counted: Vec::new() };
        Self { round_trip, paging, state: Mutex::new(state) }
    }

    /// Counts what was asked.
    pub(crate) fn requests(&self) -> u32 {
        self.state().requests
    }

    /// Returns who was on the list when it was last counted.
    pub(crate) fn counted(&self) -> Guests {
        guests(&self.state().counted)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers from the list as it stands halfway through a round trip.
    async fn answer<T>(&self, read: impl Fn(&mut State) -> T + Send + Sync) -> T {
        self.state().requests += 1;
        tokio::time::sleep(self.round_trip / 2).await;
        let answer = {
            let mut state = self.state();
            state.move_on(self.round_trip);
            read(&mut state)
        };
        tokio::time::sleep(self.round_trip / 2).await;
        answer
    }
}

impl State {
    fn move_on(&mut self, round_trip: Duration) {
        let Some(moving) = &mut self.moving else { return };
        while moving.next <= Instant::now() {
            let arrives = match moving.motion.moves {
                Moves::Arrivals => true,
                Moves::Departures => false,
                Moves::Both => moving.draw.random(),
            };
            if arrives {
                let guest = moving.draw.random();
                if let Err(place) = self.list.binary_search(&guest) {
                    self.list.insert(place, guest);
                }
            } else if !self.list.is_empty() {
                self.list.remove(moving.draw.random_range(0..self.list.len()));
            }
            moving.next += Moving::wait(moving.motion, &mut moving.draw, round_trip);
        }
    }

    /// Returns the rows after a token, and what the next token stands for.
    fn page(&self, paging: Paging, request: &ListGuestUsers) -> (Vec<u64>, Option<u64>) {
        let ascending = request.sort_direction == SortDirection::Ascending;
        let token: Option<u64> =
            request.next_token.as_ref().map(|token| token.as_str().parse().expect("a number"));
        let length = self.list.len();
        let start = match (token, paging) {
            (None, _) => 0,
            (Some(given), Paging::Offset) => usize::try_from(given).expect("a rank").min(length),
            (Some(last), Paging::Keyset) if ascending => self.list.partition_point(|guest| *guest <= last),
            (Some(last), Paging::Keyset) => length - self.list.partition_point(|guest| *guest < last),
        };
        let end = (start + usize::from(request.max_results)).min(length);
        let rows: Vec<u64> = if ascending {
            self.list[start..end].to_vec()
        } else {
            self.list[length - end..length - start].iter().rev().copied().collect()
        };
        let next = match paging {
            Paging::Offset => Some(end as u64),
            Paging::Keyset => rows.last().copied(),
        };
        (rows, next.filter(|_| end < length))
    }
}

fn guests(rows: &[u64]) -> Guests {
    let (mut hash, mut username) = (String::new(), String::new());
    let mut guests = Guests::default();
    for guest in rows {
        hash.clear();
        username.clear();
        // The order of hashes is not that of usernames.
        write!(hash, "{:016x}", guest.wrapping_mul(0x9E37_79B9_7F4A_7C15))
            .expect("a string takes everything");
        write!(username, "{guest:016x}").expect("a string takes everything");
        guests.push(Guest { username_hash: &hash, username: &username }).expect("a sound guest");
    }
    guests
}

#[async_trait]
impl WickrAdmin for LiveService {
    async fn list_guest_users(&self, request: &ListGuestUsers) -> Result<GuestPage, ApiError> {
        let (rows, next) = self.answer(|state| state.page(self.paging, request)).await;
        let next = next.map(|next| PageToken::new(next.to_string()).expect("digits"));
        Ok(GuestPage { guests: guests(&rows), next })
    }

    async fn guest_user_history_count(&self, _: NetworkId) -> Result<Vec<HistoryMonth>, ApiError> {
        let count = |state: &mut State| {
            state.counted.clone_from(&state.list);
            state.list.len() as u64
        };
        Ok(vec![HistoryMonth { period: period(), count: self.answer(count).await }])
    }

    async fn list_networks(&self, _: Option<&PageToken>) -> Result<NetworkPage, ApiError> {
        unreachable!("a number is confirmed by pages and counts")
    }

    async fn get_network(&self, _: NetworkId) -> Result<Network, ApiError> {
        unreachable!("a number is confirmed by pages and counts")
    }

    async fn mend(&self, _: &ApiError) -> bool {
        false
    }
}
