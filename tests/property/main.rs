//! Holds walk, evidence, roster and dataset, over real HTTP, against a plain model that is told the plan.
//!
//! Each case draws a list of guests, habits of the service and a script of faults. The model (`model.rs`) walks
//! the same plan in a few hundred lines of plain code with `BTreeMap`s and says what must come of it: the exact
//! roster with its evidence, or the exact refusal, down to page, row and number of requests. Cases that were
//! drawn to be recoverable are besides held against the drawn list itself, so that a mistake of the model cannot
//! excuse the program.
//!
//! `PROPERTY_CASES` enlarges the campaigns, `PROPERTY_SEED` moves them; a failure prints the case that is left
//! after shrinking and how to run it alone (`PROPERTY_CASE`).
#![cfg(feature = "simulator")]

mod datasets;
mod draw;
mod drawing;
mod model;
mod plan;
mod service;
mod tally;
mod trial;

use std::fmt::Write as _;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::time::Instant;

use self::plan::{Campaign, Case};
use self::tally::Tally;
use self::trial::Bench;

const DEFAULT_SEED: u64 = 0x5EED;
/// More than this many at once only queue for the processor.
const AT_ONCE: usize = 24;
/// How long a failure is made smaller.
const SHRINKING: Duration = Duration::from_secs(30);

/// Reads a number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`; give a whole number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standing_list_is_published_exactly_or_refused_as_its_faults_predict() {
    run(Campaign::Standing, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moving_list_is_published_only_as_its_evidence_allows() {
    run(Campaign::Moving, 200).await;
}

/// Runs a campaign, or the one case that the environment names.
async fn run(campaign: Campaign, default_cases: u64) {
    let bench = Bench::new();
    let seed = setting("PROPERTY_SEED").unwrap_or(DEFAULT_SEED);
    let one = setting("PROPERTY_CASE");
    let cases = setting("PROPERTY_CASES").unwrap_or(default_cases);
    let numbers = one.map_or(0..cases, |number| number..number + 1);

    let trials = numbers.map(|number| {
        let bench = bench.clone();
        let case = Case::draw(campaign, seed, number);
        async move {
            let outcome = bench.hold(&case).await;
            (number, case, outcome)
        }
    });
    let mut tally = Tally::new(campaign);
    let mut failures = Vec::new();
    let mut trials = stream::iter(trials).buffer_unordered(AT_ONCE);
    while let Some(trial) = trials.next().await {
        match trial {
            (_, case, Ok(held)) => tally.add(&case, &held),
            (number, case, Err(reason)) => failures.push((number, case, reason)),
        }
    }
    eprintln!("{tally}");
    let explanation =
        if failures.is_empty() { String::new() } else { explain(&bench, campaign, seed, failures).await };
    assert!(explanation.is_empty(), "{explanation}");
    if one.is_none() && cases >= default_cases {
        let missing = tally.missing();
        assert!(missing.is_empty(), "{campaign:?} never met {missing:?}; draw them more often");
    }
}

/// Tells the first failure, made as small as it gets, and where the others are.
async fn explain(
    bench: &Bench,
    campaign: Campaign,
    seed: u64,
    mut failures: Vec<(u64, Case, String)>,
) -> String {
    failures.sort_by_key(|(number, ..)| *number);
    let numbers: Vec<u64> = failures.iter().map(|(number, ..)| *number).collect();
    let (number, mut case, mut reason) = failures.swap_remove(0);
    let patience = Instant::now() + SHRINKING;
    'shrinking: loop {
        for smaller in case.smaller() {
            if Instant::now() > patience {
                break 'shrinking;
            }
            if let Err(still) = bench.hold(&smaller).await {
                (case, reason) = (smaller, still);
                continue 'shrinking;
            }
        }
        break;
    }
    let mut text = String::new();
    writeln!(text, "{} cases of {campaign:?} failed: {numbers:?}", numbers.len()).expect("a string");
    writeln!(text, "case {number}, shrunk: {case:#?}\n{reason}").expect("a string");
    writeln!(text, "run it again with PROPERTY_SEED={seed} PROPERTY_CASE={number}").expect("a string");
    text
}
