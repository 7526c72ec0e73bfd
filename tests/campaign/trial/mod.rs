//! Runs a case for real, process by process, and holds what comes of it against what was foretold.

pub(crate) mod datasets;
mod process;
mod state;
mod wording;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wickr_guest_export::evidence::{ConfirmedBy, ConfirmedRoster};
use wickr_guest_export::pacing::RequestCount;
use wickr_guest_export::roster::RunBound;
use wickr_guest_export::simulator::{
    Change, FaultKind, Operation, PagingMode, Population, RunningSimulator, Simulator, SimulatorConfig,
};
use wickr_guest_export::telemetry::Silent;
use wickr_guest_export::walk::{Direction, Round, WalkPlan};

pub(crate) use self::process::Bench;
use self::process::Ended;
use self::state::StateFolder;
use self::wording::refusal_of;
use crate::draw::Draw;
use crate::model::{Asked, Found, Outcome, Pages, Prophecy, Publication, drawn_guests, foretell};
use crate::schedule::{Case, Guise, Overlap, network, period};

/// How many requests the simulator remembers.
const MOST_TARGETS: usize = 2000;
/// A case that takes longer never ends: an export must not turn in circles.
const LONGEST_CASE: Duration = Duration::from_mins(5);

/// What holds, or what does not and how.
pub(crate) type Held<T> = Result<T, String>;

/// What came of a case that held.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) prophecy: Prophecy,
    /// What the simulator counted.
    pub(crate) struck: Vec<(FaultKind, u64)>,
    /// Whether a set was published that the list never was.
    pub(crate) never_was: bool,
}

/// Says that two things are the same, or how they differ.
pub(crate) fn ensure<T: PartialEq + Debug + ?Sized>(what: &str, found: &T, expected: &T) -> Held<()> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}:\n     found {found:?}\n  expected {expected:?}"))
}

impl Bench {
    /// Runs a case and holds it against the model, in a task of its own, which may panic or never end.
    ///
    /// # Errors
    /// The first thing that is not as foretold.
    pub(crate) async fn hold(&self, case: &Case) -> Held<Trial> {
        let (bench, owned) = (self.clone(), case.clone());
        let mut task = tokio::spawn(async move { bench.compare(&owned).await });
        match tokio::time::timeout(LONGEST_CASE, &mut task).await {
            Ok(Ok(held)) => held,
            Ok(Err(panic)) => Err(format!("the case panicked: {panic}")),
            Err(_elapsed) => {
                task.abort();
                Err(format!("the case did not end within {LONGEST_CASE:?}"))
            }
        }
    }

    async fn compare(&self, case: &Case) -> Held<Trial> {
        let prophecy = foretell(case);
        check_against_the_draw(case, &prophecy)?;

        let simulator = start(case.simulator()).await?;
        let state = Arc::new(StateFolder::new(case.goes_back())?);
        let mut never_was = false;
        for (number, course) in prophecy.courses.iter().enumerate() {
            let located = |error: String| format!("process {}: {error}", number + 1);
            let (ended, count) = self.process(case, number, &simulator, &state).await;
            never_was = self.hold_course(case, number, &prophecy, ended).await.map_err(located)?;
            ensure("whether anything is left to go on from", &state.has_cursor(), &course.leaves)
                .map_err(located)?;
            if can_be_counted(case) {
                ensure("what was asked", &asked(count), &course.asked).map_err(located)?;
            }
            if let Some(damage) = case.damage_after(number).filter(|_| number + 1 < prophecy.courses.len()) {
                state.suffer(damage);
            }
        }
        if !prophecy.courses.last().expect("one process at least").leaves {
            ensure("files of state after all is done", &state.files(), &Vec::new())?;
        }
        let counted = simulator.stats();
        simulator.shutdown().await;
        let struck: Vec<_> = counted.faults.iter().map(|fault| (fault.kind, fault.struck)).collect();
        if can_be_counted(case) {
            ensure("what struck", struck.as_slice(), prophecy.struck.as_slice())?;
            let requests = (
                counted.requests_of(Operation::ListGuestUsers),
                counted.requests_of(Operation::GetGuestUserHistoryCount),
            );
            ensure("authentic requests", &requests, &prophecy.requests)?;
        }
        hold_repeats(case, &prophecy, &counted.targets)?;
        Ok(Trial { prophecy, struck, never_was })
    }

    /// Holds the end of a process against what was foretold, and says whether a set was published that never was.
    async fn hold_course(&self, case: &Case, number: usize, prophecy: &Prophecy, ended: Ended) -> Held<bool> {
        let course = &prophecy.courses[number];
        match (ended, &course.outcome) {
            (Ended::Confirmed(roster), Outcome::Published(expected)) => {
                let guise = case.guise(number);
                hold_publication(case, &roster, expected)?;
                ensure("whether it was resumed", &roster.walk().resumed, &(course.found == Found::Usable))?;
                if can_be_counted(case) {
                    ensure("what the walk asked", &asked(roster.walk().asked), &course.asked_for_the_roster)?;
                }
                let bom = case.variation.is_multiple_of(2);
                datasets::hold(roster.roster(), &expected.guests, guise, bom)?;
                hold_bounds(case, expected, prophecy)?;
                if case.changes.is_empty() {
                    self.hold_independence(case, guise, &roster).await?;
                }
                let guests: BTreeSet<String> = expected.guests.keys().cloned().collect();
                Ok(!prophecy.moments.contains(&guests))
            }
            (Ended::Refused(error), Outcome::Refused(expected)) => {
                ensure("the refusal", &refusal_of(error), expected)?;
                Ok(false)
            }
            (Ended::Killed, Outcome::Killed) => Ok(false),
            (Ended::Confirmed(roster), foretold) => {
                Err(format!("published {roster:?}\nwhere this was foretold: {foretold:?}"))
            }
            (Ended::Refused(error), foretold) => {
                Err(format!("refused as {:?}\nwhere this was foretold: {foretold:?}", refusal_of(error)))
            }
            (Ended::Killed, foretold) => Err(format!("killed\nwhere this was foretold: {foretold:?}")),
        }
    }

    /// The roster's bytes and digest are those of another row order, page size, direction and paging.
    async fn hold_independence(&self, case: &Case, guise: Guise, confirmed: &ConfirmedRoster) -> Held<()> {
        let mut draw = Draw::new(u64::MAX, case.variation, 0);
        let mut rows = if confirmed.roster().guests() == 0 { Vec::new() } else { case.rows.clone() };
        draw.shuffle(&mut rows);
        let config = SimulatorConfig {
            population: Population::explicit([(network(), period(), rows)]),
            paging: draw.pick(&[PagingMode::Offset, PagingMode::Keyset]),
            edge_repeats_per_thousand: 500,
            edge_repeat_rows: 5,
            seed: case.variation,
            ..SimulatorConfig::default()
        };
        let simulator = start(config).await?;
        let plan = WalkPlan {
            network: network(),
            period: period(),
            spelling: case.asked,
            direction: draw.pick(&[Direction::Forward, Direction::Backward]),
            page_size: u8::try_from(draw.within(10, 100)).expect("at most a hundred"),
            mode: datasets::roster_mode(guise.mode, guise.other_key),
        };
        let mut round = Round::begin(plan);
        let (api, stop) = (self.api(&simulator, false), CancellationToken::new());
        let all = RunBound { rows: u32::MAX, bytes: usize::MAX };
        let walked = match round.read(&api, &stop, &Silent, all).await {
            Ok(_end) => round.finish(None).await,
            Err(error) => Err(error),
        };
        simulator.shutdown().await;
        let walked = walked.map_err(|error| format!("walking once more: {error}"))?;
        let (first, second) = (confirmed.roster(), &walked[0].roster);
        ensure("the digest of another walk", &second.content_sha256(), &first.content_sha256())?;
        ensure("whether another walk found the same", &second.same_guests(first), &true)?;
        if datasets::parquet_file(second)? != datasets::parquet_file(first)? {
            return Err("another walk of the same list gave other bytes".to_owned());
        }
        Ok(())
    }
}

async fn start(config: SimulatorConfig) -> Held<RunningSimulator> {
    Simulator::start(config).await.map_err(|error| format!("the simulator: {error}"))
}

/// The model itself may be wrong: what was drawn to be recoverable must come out as it was drawn.
fn check_against_the_draw(case: &Case, prophecy: &Prophecy) -> Held<()> {
    let outcome = prophecy.outcome();
    let published = match outcome {
        Outcome::Published(publication) => Some(&publication.guests),
        Outcome::Refused(_) | Outcome::Killed => None,
    };
    if case.must_be_published() {
        ensure("what the model makes of a recoverable plan", &published, &Some(&drawn_guests(case)))?;
    }
    if case.must_be_refused() {
        ensure("what the model publishes of a plan that has no way out", &published, &None)?;
    }
    if case.interruptions_change_no_answer() {
        let undisturbed = foretell(&Case { interruptions: Vec::new(), ..case.clone() });
        ensure("what the model makes of an interrupted plan", outcome, undisturbed.outcome())?;
    }
    Ok(())
}

fn hold_publication(case: &Case, confirmed: &ConfirmedRoster, expected: &Publication) -> Held<()> {
    let (roster, walk) = (confirmed.roster(), confirmed.walk());
    let confirmation = confirmed.confirmation();
    let mut pages = Pages {
        count: walk.pages,
        rows: walk.rows,
        duplicates: roster.duplicates(),
        edge_repeats: walk.edge_repeats,
    };
    ensure("rows less duplicates", &(pages.rows - pages.duplicates), &roster.guests())?;
    if matches!(case.overlap, Overlap::Some { .. }) {
        pages = expected.pages;
    }
    ensure("the number of guests", &roster.guests(), &(expected.guests.len() as u64))?;
    let found = Publication {
        guests: expected.guests.clone(),
        state: confirmed.state().as_str(),
        confirmed_by: confirmation.confirmed_by.map(ConfirmedBy::as_str),
        reconciliation: confirmation.reconciliation.as_str(),
        api_guests: confirmation.api_guests,
        stable: confirmation.stable,
        strategy: walk.strategy,
        walks: walk.walks,
        username_conflicts: roster.username_conflicts(),
        empty_usernames: roster.empty_usernames(),
        pages,
    };
    ensure("the publication", &found, expected)
}

/// What holds of a moving list whatever the model says: nobody is invented, and keyset paging loses nobody who
/// was there all the time.
fn hold_bounds(case: &Case, published: &Publication, prophecy: &Prophecy) -> Held<()> {
    if let Some(stranger) =
        published.guests.keys().find(|hash| !prophecy.moments.iter().any(|moment| moment.contains(*hash)))
    {
        return Err(format!("published {stranger:?}, who never was in the list"));
    }
    let left: BTreeSet<&String> = case
        .changes
        .iter()
        .filter_map(|(_, change)| match change {
            Change::Leave { username_hash } => Some(username_hash),
            Change::Arrive { .. } => None,
        })
        .collect();
    let stayed = || prophecy.moments[0].iter().filter(|hash| !left.contains(hash));
    let skipped = stayed().find(|hash| !published.guests.contains_key(*hash));
    match skipped {
        // A service that understands neither spelling, or answers empty, hides everybody.
        Some(hash) if case.paging == PagingMode::Keyset && !published.guests.is_empty() => {
            Err(format!("keyset paging, and {hash:?} was lost, who never left"))
        }
        _ => Ok(()),
    }
}

/// Says whether the number of requests is known: it is not where pages repeat rows by chance, or where an answer
/// may be late for reasons of the machine.
fn can_be_counted(case: &Case) -> bool {
    !matches!(case.overlap, Overlap::Some { .. }) && !case.stalls()
}

fn asked(count: RequestCount) -> Asked {
    Asked { requests: count.requests, throttled: count.throttled, retries: count.retries }
}

/// Whatever the model says: who goes on reads no page more often than there were interruptions, and after a kill no
/// more pages again than a run has.
fn hold_repeats(case: &Case, prophecy: &Prophecy, targets: &[String]) -> Held<()> {
    // Who walks from both ends may read the rest of the list again.
    let is_plain = case.interruptions_change_no_answer() && case.state_stays_usable() && !case.converges;
    if !is_plain || !can_be_counted(case) || targets.len() >= MOST_TARGETS {
        return Ok(());
    }
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for target in targets.iter().filter(|target| target.contains("sortDirection")) {
        *times.entry(target).or_default() += 1;
    }
    let mut allowed = 0;
    let (_last, followed) = prophecy.courses.split_last().expect("one process at least");
    for course in followed {
        // The page in hand is one more; the last of each walk need not be full, and one may follow that is empty.
        let walks = course.trace.last().map_or(0, |attempt| attempt.walks as u64);
        let in_a_run = u64::from(case.bound.rows).div_ceil(case.page_size.into());
        allowed += match (&course.outcome, course.interrupted) {
            (Outcome::Killed, _) => in_a_run + 1 + 2 * (walks + 1),
            // An answer without guests, in the other spelling of the period, is nothing to keep.
            (Outcome::Refused(_), true) => 2,
            // What was refused is asked for again from the beginning.
            (Outcome::Refused(_) | Outcome::Published(_), _) => course.asked.requests,
        };
    }
    let followed = followed.len() as u64;
    let most = times.values().copied().max().unwrap_or(0);
    let repeated: u64 = times.values().map(|times| times - 1).sum();
    if most > 1 + followed || repeated > allowed {
        return Err(format!(
            "{repeated} pages were read again, one of them {most} times in all; {followed} processes that \
             were followed by another allow for {allowed}"
        ));
    }
    Ok(())
}
