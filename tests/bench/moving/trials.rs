//! Lists that move while they are walked: how often their number is confirmed, what that takes, and whether
//! it is right.
//!
//! Time is pretended, so that it is the same on every machine: a round trip takes a unit, and nothing else
//! takes any. Both strategies meet the same moves at the same times.

use std::num::NonZeroUsize;
use std::ops::AddAssign;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use wickr_guest_export::evidence::{
    ConfirmError, ConfirmedBy, ConfirmedRoster, Reconciliation, Refusal, Strategy,
};
use wickr_guest_export::guest::NetworkId;
use wickr_guest_export::roster::{FingerprintKey, Roster, RosterBuilder, RosterMode, RosterOf, RosterRows};

use crate::live::{LiveService, Motion, Moves, Paging};
use crate::walked::{STRATEGIES, confirmed, period};

/// Pages of every list before it moves.
pub(crate) const PAGES: u32 = 40;
/// The unit of time.
const ROUND_TRIP: Duration = Duration::from_secs(1);
/// Moves in a unit, and how many times fewer lists will do: one that never stands still is walked until it is
/// refused.
const RATES: [(f64, u32); 4] = [(0.01, 1), (0.05, 1), (0.2, 2), (1.0, 4)];
const NETWORK: &str = "12345678";

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Lists of each kind, or fewer where they take longer.
    pub(crate) trials: u32,
    pub(crate) seed: u64,
}

/// Lists of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) paging: Paging,
    /// Nobody moves where there is none.
    pub(crate) moves: Option<(Moves, f64)>,
    pub(crate) strategy: Strategy,
    fewer: u32,
}

/// What came of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) trials: u32,
    pub(crate) confirmed: u32,
    /// Those of them that took no second walk: as many as would be confirmed if the month were open.
    pub(crate) by_first_walk: u32,
    pub(crate) walks: u32,
    pub(crate) requests: u32,
    pub(crate) time: Duration,
    /// Confirmed numbers that the last count contradicts, as the manifest says of them.
    pub(crate) contradicted: u32,
    /// Confirmed numbers of as many guests as there were, but not the same.
    pub(crate) others: u32,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.trials += other.trials;
        self.confirmed += other.confirmed;
        self.by_first_walk += other.by_first_walk;
        self.walks += other.walks;
        self.requests += other.requests;
        self.time += other.time;
        self.contradicted += other.contradicted;
        self.others += other.others;
    }
}

impl Tally {
    pub(crate) fn per_trial(self, total: u32) -> f64 {
        f64::from(total) / f64::from(self.trials)
    }

    /// Returns how many round trips a confirmed number takes, if one that is refused is tried again at once.
    pub(crate) fn units_until_confirmed(self) -> Option<f64> {
        (self.confirmed > 0)
            .then(|| self.time.as_secs_f64() / ROUND_TRIP.as_secs_f64() / f64::from(self.confirmed))
    }
}

/// Lists every kind. Arrivals alone come to the same whatever a token stands for, but for repeated rows.
fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut add = |paging, moves, fewer| {
        kinds.extend(STRATEGIES.map(|strategy| Kind { paging, moves, strategy, fewer }));
    };
    add(Paging::Offset, None, 1);
    for (paging, moves) in [
        (Paging::Offset, Moves::Arrivals),
        (Paging::Offset, Moves::Departures),
        (Paging::Offset, Moves::Both),
        (Paging::Keyset, Moves::Departures),
        (Paging::Keyset, Moves::Both),
    ] {
        for (rate, fewer) in RATES {
            add(paging, Some((moves, rate)), fewer);
        }
    }
    kinds
}

/// Tries lists of every kind.
pub(crate) fn measured(scale: Scale) -> Vec<(Kind, Tally)> {
    kinds().into_iter().map(|kind| (kind, tried(scale, kind))).collect()
}

fn tried(scale: Scale, kind: Kind) -> Tally {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let share = |first: usize| {
            scope.spawn(move || {
                let runtime = Builder::new_current_thread()
                    .enable_time()
                    .start_paused(true)
                    .build()
                    .expect("a runtime");
                let mut tally = Tally::default();
                for trial in (0..scale.trials.div_ceil(kind.fewer)).skip(first).step_by(threads) {
                    tally += walked(&runtime, kind, scale.seed.wrapping_add(u64::from(trial)));
                }
                tally
            })
        };
        let shares: Vec<_> = (0..threads).map(share).collect();
        let mut tally = Tally::default();
        for share in shares {
            tally += share.join().expect("the trials of another thread");
        }
        tally
    })
}

fn walked(runtime: &Runtime, kind: Kind, seed: u64) -> Tally {
    let network: NetworkId = NETWORK.parse().expect("eight digits");
    runtime.block_on(async {
        let motion = kind.moves.map(|(moves, in_a_round_trip)| Motion { moves, in_a_round_trip, seed });
        let service = LiveService::open(PAGES, ROUND_TRIP, kind.paging, motion);
        let begun = Instant::now();
        let ended = confirmed(&service, network, kind.strategy).await;
        let mut tally =
            Tally { trials: 1, requests: service.requests(), time: begun.elapsed(), ..Tally::default() };
        match ended {
            Ok(confirmed) => judge(&mut tally, &confirmed, &roster(&service, network), kind, seed),
            Err(ConfirmError::Refused(Refusal::WalksDiffer { guests })) => {
                tally.walks = u32::try_from(guests.len()).expect("a few walks");
            }
            Err(error) => panic!("seed {seed}, {kind:?}: {error}"),
        }
        tally
    })
}

/// Holds what was confirmed against the list as it was when it was counted last.
fn judge(tally: &mut Tally, confirmed: &ConfirmedRoster, truth: &Roster, kind: Kind, seed: u64) {
    let confirmation = confirmed.confirmation();
    let by_count = confirmation.confirmed_by == Some(ConfirmedBy::ControlTotal);
    let is_said = !by_count && confirmation.reconciliation == Reconciliation::Mismatch;
    let same_number = confirmed.roster().guests() == truth.guests();
    let same_guests = confirmed.roster().same_guests(truth);
    assert!(same_number || is_said, "a wrong number was confirmed: seed {seed}, {kind:?}");
    // Of guests who only come, or only go, an equal count before and after says that nobody did.
    let one_way = kind.moves.is_none_or(|(moves, _)| moves != Moves::Both);
    let exact = !one_way || !by_count || same_guests;
    assert!(exact, "a guest was lost or made up: seed {seed}, {kind:?}");
    tally.confirmed = 1;
    tally.walks = confirmed.walk().walks;
    tally.by_first_walk = u32::from(confirmed.walk().walks == 1);
    tally.contradicted = u32::from(is_said);
    tally.others = u32::from(same_number && !same_guests);
}

/// Returns what a walk over a list that stood still would have found.
fn roster(service: &LiveService, network: NetworkId) -> Roster {
    let guests = service.counted();
    let mut builder = RosterBuilder::new(RosterMode::Full, FingerprintKey::random());
    for guest in guests.iter() {
        builder.push(guest.username_hash, guest.username).expect("a sound guest");
    }
    let of = RosterOf { network, period: period(), mode: RosterMode::Full };
    let rows = RosterRows::Memory(Arc::new(builder.take_rows().sorted()));
    Roster::of(of, guests.len() as u64, rows).expect("rows in memory")
}
