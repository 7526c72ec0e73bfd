//! How interruptions are drawn: one after the other, each where the model says that the process before it would go.
//!
//! So the rare moments, such as the count between two walks, are as likely as the many pages.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use wickr_guest_export::roster::RunBound;
use wickr_guest_export::simulator::FaultKind;

use super::{
    Case, DIFFERENCES, Damage, Difference, Interruption, Manner, Mode, Moment, Overlap, Place, Script, Site,
    period,
};
use crate::draw::Draw;
use crate::model::{Attempt, Found, foretell};

/// How many requests make an export that is not worth to be made many times over.
const LONG: usize = 300;
/// How many kinds of damage take turns.
const KINDS_OF_DAMAGE: u64 = 18 + DIFFERENCES.len() as u64;

/// Draws what befalls the processes of most cases; every other one is to leave something that is damaged.
pub(super) fn draw(draw: &mut Draw, case: &mut Case, number: u64) {
    case.reruns = u32::try_from(draw.within(0, 2)).expect("small") / 2;
    if draw.chance(10) {
        outage(draw, case);
    }
    let is_long = foretell(case).courses[0].trace.len() > LONG;
    if is_long {
        // A checkpoint of every page would make minutes of it.
        (case.reruns, case.bound) = (0, RunBound { rows: u32::MAX, bytes: usize::MAX });
    }
    // Where answers are late for reasons of the machine, attempts cannot be counted.
    let damaged = number % 2 == 1;
    let is_secret = matches!(case.overlap, Overlap::Some { .. });
    if case.stalls() || (is_long && is_secret) || !(damaged || draw.chance(60)) {
        return;
    }
    if is_long {
        case.bound.rows = 10_000;
    } else if is_secret {
        // Which page ends a run is the simulator's secret, unless every page does.
        case.bound = RunBound { rows: 1, bytes: usize::MAX };
    } else if damaged || draw.chance(60) {
        case.bound = RunBound { rows: draw.pick(&[1, 1, 7, 50]), bytes: usize::MAX };
    }
    let turns = if is_long { 1 } else { draw.pick(&[1, 1, 1, 2, 2, 3, 5]) };
    for turn in 0..turns {
        let tries = if damaged && turn == 0 { 6 } else { 1 };
        if !interrupt(draw, case, tries) {
            return;
        }
        let process = case.interruptions.len() - 1;
        if !leaves(case, process) {
            continue;
        }
        match draw.within(0, 3) {
            _ if damaged && turn == 0 => {
                case.interruptions[process].damage = Some(damage(draw, case, number / 2));
            }
            0 => {
                let any = draw.within(0, KINDS_OF_DAMAGE);
                case.interruptions[process].damage = Some(damage(draw, case, any));
            }
            1 => reject_the_token(case),
            _ => {}
        }
    }
}

/// Draws one more interruption, several times over until one leaves something.
fn interrupt(draw: &mut Draw, case: &mut Case, tries: u32) -> bool {
    let process = case.interruptions.len();
    for _ in 0..tries {
        let Some((site, nth, label)) = point(draw, case) else { return false };
        // Only who was answered has come to the end.
        let answered = if label == "at the end of a walk" { 80 } else { 50 };
        let manner = draw.pick(&[Manner::Killed, Manner::Stopped, Manner::OutOfTime]);
        let is_late = manner != Manner::OutOfTime && draw.chance(answered);
        let moment = if is_late { Moment::After } else { Moment::Before };
        case.interruptions.push(Interruption { site, nth, moment, manner, damage: None });
        if tries == 1 || leaves(case, process) {
            return true;
        }
        case.interruptions.pop();
    }
    interrupt(draw, case, 1)
}

/// Says whether the process of a number leaves something to go on from.
fn leaves(case: &Case, process: usize) -> bool {
    foretell(case).courses.get(process).is_some_and(|course| course.leaves)
}

/// A fault that outlasts a process.
fn outage(draw: &mut Draw, case: &mut Case) {
    let pages = if matches!(case.overlap, Overlap::Some { .. }) { 1 } else { case.pages() };
    let place = match draw.within(0, 3) {
        0 => Place::History,
        1 => Place::Backward(draw.within(1, pages)),
        _ => Place::Forward(draw.within(1, pages)),
    };
    if case.scripts.iter().any(|script| script.place == place) {
        return;
    }
    let kinds = [FaultKind::ServiceUnavailable, FaultKind::InternalServerError, FaultKind::ConnectionReset];
    let strikes = (0..draw.within(4, 9)).map(|_| draw.pick(&kinds)).collect();
    case.scripts.push(Script { place, spared: 0, strikes, for_ever: None });
    case.reruns += u32::try_from(draw.within(1, 2)).expect("small");
}

/// Picks an attempt of the process that would be the last one now, the rarer its kind the likelier.
fn point(draw: &mut Draw, case: &Case) -> Option<(Site, u64, &'static str)> {
    let prophecy = foretell(case);
    let trace = &prophecy.courses.last().expect("one process at least").trace;
    let by_number = !matches!(case.overlap, Overlap::Some { .. });
    let mut kinds: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
    for (index, attempt) in trace.iter().enumerate() {
        if by_number || attempt.site != Site::LaterPage {
            kinds.entry(attempt.label()).or_default().push(index);
        }
    }
    let labels: Vec<_> = kinds.keys().copied().collect();
    if labels.is_empty() {
        return None;
    }
    let label = draw.pick(&labels);
    let index = draw.pick(&kinds[label]);
    let site = if by_number { Site::Any } else { trace[index].site };
    let nth = trace[..=index].iter().filter(|attempt| site.covers(attempt.site)).count();
    Some((site, nth as u64, label))
}

fn damage(draw: &mut Draw, case: &mut Case, turn: u64) -> Damage {
    let any = draw.within(0, 1_000_000);
    let some_back = draw.within(1, 4);
    let turn = usize::try_from(turn % KINDS_OF_DAMAGE).expect("few");
    match turn {
        0 => Damage::CursorByteFlipped(any),
        1 => Damage::CursorCut(any),
        2 => Damage::CursorRemoved,
        3 => Damage::CursorOfAnotherTask,
        4 => Damage::CursorOfAnotherVersion,
        5 => Damage::CursorContradictsItself,
        6 => Damage::RunByteFlipped(any),
        7 => Damage::RunCut(any),
        8 => Damage::RunLengthened,
        9 => Damage::RunRemoved(any),
        10 => Damage::RunExchanged(any),
        11 => Damage::OlderCursorWithoutRun(some_back),
        12 => Damage::OlderState(some_back),
        13 => Damage::StrayRun,
        14 => Damage::TimePasses(draw.pick(&[350, -350])),
        15 => Damage::TimePasses(draw.pick(&[370, -370, 10_000])),
        16 | 17 => another_day(draw, case, turn == 17),
        _ => Damage::WasOf(other_than(case, DIFFERENCES[turn - 18])),
    }
}

/// Makes sure that what is said to differ does.
fn other_than(case: &mut Case, difference: Difference) -> Difference {
    match difference {
        Difference::Mode(mode) if mode == case.mode => Difference::Endpoint,
        Difference::Key => {
            case.mode = Mode::Pseudonymous;
            Difference::Key
        }
        difference => difference,
    }
}

/// A day on which the history covers the period as it does on the day of the case, in the same state or another.
fn another_day(draw: &mut Draw, case: &Case, in_another_state: bool) -> Damage {
    if !case.history_covers_the_period() {
        return Damage::StrayRun;
    }
    let state_of = |day: DateTime<Utc>| (day >= period().end(), day >= period().end() + TimeDelta::days(3));
    let days = ["2026-10-19T12:00:00Z", "2026-11-02T00:00:00Z", "2026-12-09T08:00:00Z"];
    let mut days: Vec<DateTime<Utc>> = days.iter().map(|day| day.parse().expect("an instant")).collect();
    days.retain(|day| (state_of(*day) != state_of(case.as_of)) == in_another_state);
    Damage::WasAnotherDay(draw.pick(&days))
}

/// Makes the service refuse the token that the last process would go on with.
fn reject_the_token(case: &mut Case) {
    if matches!(case.overlap, Overlap::Some { .. }) {
        return;
    }
    let prophecy = foretell(case);
    let course = prophecy.courses.last().expect("one process at least");
    let Some(Attempt { site: Site::LaterPage, backward, page, met, .. }) = course.trace.first() else {
        return;
    };
    let place = if *backward { Place::Backward(*page) } else { Place::Forward(*page) };
    if course.found == Found::Usable && !case.scripts.iter().any(|script| script.place == place) {
        let strikes = vec![FaultKind::RejectedToken];
        case.scripts.push(Script { place, spared: *met, strikes, for_ever: None });
    }
}
