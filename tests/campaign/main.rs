//! The fault campaign: whatever happens, the exact roster is published, or nothing and for the reason foretold.
//!
//! **Schedules** run in this process. Each draws a list of guests, habits of the service, a script of faults, and
//! what befalls the processes that export one after the other: where they are killed, stopped or out of time, and
//! what happens to the state between them. The model (`model/`) walks the same plan in plain code with `BTreeMap`s
//! and says what must come of each process: the exact roster with its evidence, or the exact refusal, down to page,
//! row, number of requests and what is left for the next. Schedules that were drawn to be recoverable are besides
//! held against the drawn list itself, so that a mistake of the model cannot excuse the program.
//!
//! **Histories** run the real program, several times in a row: killed, torn or starved at a durable step by its fail
//! points, or signalled while a request is under way, and then left alone. What is published after each run is what
//! was before or what the list is now, and in the end everything is as if nobody ever had disturbed it.
//!
//! A campaign counts each fault, interruption, kill point, damage and outcome that it met, and fails if one of them
//! was never met. `CAMPAIGN_CASES` is the number of schedules, with a tenth of it in histories, or as many as
//! `CAMPAIGN_HISTORIES` says; `CAMPAIGN_SEED` moves them. A failure prints the case that is left after shrinking, and how to run it alone (`CAMPAIGN_CASE`).
#![cfg(feature = "simulator")]

mod draw;
mod history;
mod model;
mod schedule;
mod tally;
mod trial;

use std::fmt::{Debug, Display};
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use self::history::History;
use self::history::tally::Events;
use self::schedule::{Campaign, Case};
use self::tally::Tally;
use self::trial::{Bench, Held};

const DEFAULT_SEED: u64 = 0x5EED;
/// Schedules in the small campaign, which meets everything already.
const DEFAULT_CASES: u64 = 500;
/// More schedules than this at once only queue for the processor.
const AT_ONCE: usize = 24;
/// Histories at once: the program waits for its requests now and then.
const HISTORIES_AT_ONCE: usize = 3;
/// How long a failure is made smaller.
const SHRINKING: Duration = Duration::from_secs(30);

/// Reads a number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`; give a whole number")))
}

fn seed() -> u64 {
    setting("CAMPAIGN_SEED").unwrap_or(DEFAULT_SEED)
}

/// Returns the numbers of a part of the campaign: so many in a hundred cases, or the one that is asked for.
fn numbers(percent: u64) -> Range<u64> {
    let cases = setting("CAMPAIGN_CASES").unwrap_or(DEFAULT_CASES);
    up_to((cases * percent).div_ceil(100))
}

fn up_to(count: u64) -> Range<u64> {
    setting("CAMPAIGN_CASE").map_or(0..count, |number| number..number + 1)
}

/// Makes a folder in memory, where the system has a place for that: what is judged is what a process leaves, which is the
/// same there, and a disk would have to be waited for at each of ten thousand syncs.
fn scratch_folder() -> std::io::Result<TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
fn a_standing_list_is_published_exactly_or_refused_as_its_schedule_predicts() {
    run_schedules(Campaign::Standing, 60);
}

#[test]
fn a_moving_list_is_published_only_as_its_evidence_allows() {
    run_schedules(Campaign::Moving, 40);
}

#[test]
fn a_program_that_is_killed_torn_and_starved_publishes_the_old_or_the_new_and_makes_good_when_left_alone() {
    let (runtime, seed) = (runtime(), seed());
    let numbers = setting("CAMPAIGN_HISTORIES").map_or_else(|| numbers(10), up_to);
    let next = AtomicU64::new(numbers.start);
    let (mut events, mut failures) = (Events::default(), Vec::new());
    let work = || {
        let mut ended = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return ended;
            }
            let history = History::draw(seed, number);
            let held = catch_unwind(|| history.hold(runtime.handle()));
            let held = held.unwrap_or_else(|_| Err("the history panicked, as is said above".to_owned()));
            let held = held.inspect_err(|reason| report("a_program", number, reason));
            ended.push((number, history, held));
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..HISTORIES_AT_ONCE).map(|_| scope.spawn(work)).collect();
        for (number, history, held) in workers.into_iter().flat_map(|worker| worker.join().expect("no panic"))
        {
            match held {
                Ok(met) => events.add_history(met),
                Err(reason) => failures.push((number, history, reason)),
            }
        }
    });
    let hold = |history: &History| history.hold(runtime.handle()).map(drop);
    conclude("a_program", failures, &events, &events.missing(), History::smaller, hold);
}

fn run_schedules(campaign: Campaign, percent: u64) {
    let (runtime, seed, bench) = (runtime(), seed(), Bench::new());
    let name = if campaign == Campaign::Standing { "a_standing" } else { "a_moving" };
    let trials = numbers(percent).map(|number| {
        let bench = bench.clone();
        async move {
            let case = Case::draw(campaign, seed, number);
            let held = bench.hold(&case).await.inspect_err(|reason| report(name, number, reason));
            (number, case, held)
        }
    });
    let (mut tally, mut failures) = (Tally::new(campaign), Vec::new());
    runtime.block_on(async {
        let mut trials = stream::iter(trials).buffer_unordered(AT_ONCE);
        while let Some((number, case, held)) = trials.next().await {
            match held {
                Ok(trial) => tally.add(&case, &trial),
                Err(reason) => failures.push((number, case, reason)),
            }
        }
    });
    let hold = |case: &Case| runtime.block_on(bench.hold(case)).map(drop);
    conclude(name, failures, &tally, &tally.missing(), Case::smaller, hold);
}

/// Says at once what does not hold: a large campaign takes its time.
fn report(test: &str, number: u64, reason: &str) {
    eprintln!("{test} {number}: {}", reason.lines().take(3).collect::<Vec<_>>().join(" / "));
}

/// Says what was met, and fails if anything did not hold or was never met.
fn conclude<T: Debug>(
    test: &str,
    failures: Vec<(u64, T, String)>,
    met: &dyn Display,
    missing: &[String],
    smaller: impl Fn(&T) -> Vec<T>,
    hold: impl Fn(&T) -> Held<()>,
) {
    eprintln!("{met}");
    let explanation =
        if failures.is_empty() { String::new() } else { explain(test, failures, smaller, hold) };
    assert!(explanation.is_empty(), "{explanation}");
    let is_whole = setting("CAMPAIGN_CASE").is_none()
        && setting("CAMPAIGN_CASES").unwrap_or(DEFAULT_CASES) >= DEFAULT_CASES;
    assert!(!is_whole || missing.is_empty(), "never met, draw them more often: {missing:#?}");
}

/// Tells the first failure, made as small as it gets, and where the others are.
fn explain<T: Debug>(
    test: &str,
    mut failures: Vec<(u64, T, String)>,
    smaller: impl Fn(&T) -> Vec<T>,
    hold: impl Fn(&T) -> Held<()>,
) -> String {
    failures.sort_by_key(|(number, ..)| *number);
    let numbers: Vec<u64> = failures.iter().map(|(number, ..)| *number).collect();
    let (number, mut case, mut reason) = failures.swap_remove(0);
    let patience = Instant::now() + SHRINKING;
    'shrinking: loop {
        for smaller in smaller(&case) {
            if Instant::now() > patience {
                break 'shrinking;
            }
            if let Err(still) = hold(&smaller) {
                (case, reason) = (smaller, still);
                continue 'shrinking;
            }
        }
        break;
    }
    format!(
        "{} failed: {numbers:?}\ncase {number}, shrunk: {case:#?}\n{reason}\nrun it again with CAMPAIGN_SEED={} \
         CAMPAIGN_CASE={number} cargo test --test campaign {test}",
        numbers.len(),
        seed()
    )
}
