//! How a case is drawn.
//!
//! What is rare but matters (just-full pages, the instants at which a period changes its state, each lasting
//! fault where nobody can miss it) is drawn on purpose, not left to luck.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use wickr_guest_export::period::PeriodSpelling;
use wickr_guest_export::roster::RunBound;
use wickr_guest_export::simulator::{
    Answers, Change, Collation, FaultKind, History, LastToken, PagingMode, PeriodAnswer,
};

use super::{ATTEMPTS, Campaign, Case, FAR_TOO_LATE, Mode, Overlap, Place, Script, interrupting, period};
use crate::draw::Draw;
use crate::model::is_transient;

/// White space before an answer that makes it too large to be read.
const FAR_TOO_MUCH: u64 = 3 * 1024 * 1024;

impl Case {
    /// Draws the case of a number.
    pub(crate) fn draw(campaign: Campaign, seed: u64, number: u64) -> Self {
        let mut draw = Draw::new(campaign as u64, seed, number);
        let page_size = match draw.within(0, 3) {
            0 => draw.within(1, 4),
            1 => 100,
            _ => draw.within(5, 100),
        };
        let converges = draw.chance(40);
        // Two walks need a hundred usernames to meet at, which small worlds do not have.
        let rows = if converges && draw.chance(75) {
            many_names(&mut draw, page_size)
        } else {
            rows(&mut draw, campaign, page_size)
        };
        let served = draw.pick(&[
            (PeriodAnswer::Served, PeriodAnswer::Served),
            (PeriodAnswer::Served, PeriodAnswer::Refused),
            (PeriodAnswer::Served, PeriodAnswer::Empty),
            (PeriodAnswer::Refused, PeriodAnswer::Served),
            (PeriodAnswer::Empty, PeriodAnswer::Served),
        ]);
        let neither = draw.pick(&[
            (PeriodAnswer::Refused, PeriodAnswer::Refused),
            (PeriodAnswer::Empty, PeriodAnswer::Refused),
            (PeriodAnswer::Refused, PeriodAnswer::Empty),
            (PeriodAnswer::Empty, PeriodAnswer::Empty),
        ]);
        let (hyphen, underscore) = if draw.chance(95) { served } else { neither };
        let spellings = [PeriodSpelling::Hyphen, PeriodSpelling::Underscore];
        let mut case = Self {
            period_known: !rows.is_empty() || campaign == Campaign::Moving || draw.chance(50),
            as_of: as_of(&mut draw),
            page_size: u8::try_from(page_size).expect("at most a hundred"),
            mode: draw.pick(&[Mode::Full, Mode::Full, Mode::Pseudonymous, Mode::CountsOnly]),
            bound: bound(&mut draw),
            walk_attempts: u32::try_from(draw.within(1, 3)).expect("small"),
            converges,
            collation: if draw.chance(15) { Collation::CaseInsensitive } else { Collation::Bytewise },
            zero_accepted: draw.chance(30),
            asked: draw.pick(&spellings),
            answers: Answers {
                hyphen,
                underscore,
                rows: draw.pick(&spellings),
                last_token: draw.pick(&[LastToken::Omitted, LastToken::Null, LastToken::Empty]),
                trailing_empty_page: draw.chance(40),
                ..Answers::default()
            },
            history: if converges && draw.chance(45) {
                History { spelling: draw.pick(&spellings), ..History::default() }
            } else {
                history(&mut draw, &spellings)
            },
            paging: draw.pick(&[PagingMode::Offset, PagingMode::Keyset]),
            overlap: match draw.within(0, 3) {
                0 => Overlap::OneRow,
                1 if campaign == Campaign::Standing => Overlap::Some {
                    per_thousand: u32::try_from(draw.within(100, 1000)).expect("small"),
                    rows: draw.within(1, 12),
                },
                _ => Overlap::Never,
            },
            changes: Vec::new(),
            scripts: Vec::new(),
            interruptions: Vec::new(),
            reruns: 0,
            server_clock_ahead: if draw.chance(15) { draw.pick(&[-2000, -400, 400, 2000]) } else { 0 },
            variation: draw.within(0, u64::MAX - 1),
            rows,
        };
        match campaign {
            Campaign::Standing => case.scripts = scripts(&mut draw, &case, number),
            Campaign::Moving => case.changes = changes(&mut draw, &case),
        }
        interrupting::draw(&mut draw, &mut case, number);
        case
    }
}

/// Draws how much is held in memory: from a page, so that every page is a run, to all of it.
fn bound(draw: &mut Draw) -> RunBound {
    RunBound { rows: draw.pick(&[1, 7, 50, 50, 150, u32::MAX]), bytes: draw.pick(&[500, 4_000, usize::MAX]) }
}

/// Draws up to 400 guests, but no more than some forty pages of them.
fn rows(draw: &mut Draw, campaign: Campaign, page_size: u64) -> Vec<(String, String)> {
    let most = match campaign {
        Campaign::Standing => (page_size * 30).min(400),
        Campaign::Moving => (page_size * 12).min(120),
    };
    let guests = match draw.within(0, 9) {
        0 => 0,
        1 => draw.within(1, 3).min(most),
        // Where the last page is just full, or just not.
        2 | 3 => (page_size * draw.within(1, 4) + draw.within(0, 2)).saturating_sub(1).min(most),
        _ => draw.within(0, most),
    };
    let mut hashes = BTreeSet::new();
    let mut rows = Vec::new();
    let mut names: Vec<String> = vec![String::new(), "guest".to_owned()];
    while (hashes.len() as u64) < guests {
        let hash = hash(draw);
        if !hashes.insert(hash.clone()) {
            continue;
        }
        // Usernames are shared now and then, also with guests who are others.
        let name = if draw.chance(15) { draw.pick(&names) } else { draw.text() };
        names.push(name.clone());
        rows.push((hash.clone(), name.clone()));
        if draw.chance(8) {
            rows.push((hash.clone(), name));
        }
        if draw.chance(8) {
            rows.push((hash, if draw.chance(20) { String::new() } else { draw.text() }));
        }
    }
    draw.shuffle(&mut rows);
    rows
}

/// Draws up to 500 guests, no more than some forty pages of them, most of whom have a username of their own.
fn many_names(draw: &mut Draw, page_size: u64) -> Vec<(String, String)> {
    let guests = draw.within(150, 500).min(page_size * 40);
    let one_in = draw.pick(&[2, 20, u64::MAX - 1, u64::MAX - 1]);
    let mut rows: Vec<(String, String)> = (0..guests)
        .map(|number| {
            let letter = draw.pick(&["a", "A", "b", "B", "é"]);
            let shared = draw.within(0, one_in) == 0;
            let name =
                if shared { letter.to_owned() } else { format!("{letter}{}", draw.within(0, 1 << 40)) };
            (format!("{number:04x}{:016x}", draw.within(0, u64::MAX - 1)), name)
        })
        .collect();
    draw.shuffle(&mut rows);
    rows
}

fn hash(draw: &mut Draw) -> String {
    match draw.within(0, 9) {
        0 => format!("{}{}", draw.text(), draw.within(0, 999)),
        1 => format!("={}", draw.within(0, 999)),
        2 => "a".repeat(usize::try_from(draw.within(1, 60)).expect("small")),
        _ => format!("{:016x}", draw.within(0, u64::MAX - 1)),
    }
}

/// Draws an instant that makes the period open, settling, closed, or too old for the count history; also the
/// very instants at which one turns into the next.
fn as_of(draw: &mut Draw) -> DateTime<Utc> {
    let instants = [
        "2026-10-20T12:00:00Z",
        "2026-10-31T23:59:59Z",
        "2026-11-01T00:00:00Z",
        "2026-11-03T23:59:59Z",
        "2026-11-04T00:00:00Z",
        "2026-12-10T08:00:00Z",
        "2026-12-30T00:00:00Z",
        "2026-12-30T00:00:01Z",
        "2027-06-01T00:00:00Z",
    ];
    draw.pick(&instants).parse().expect("an instant")
}

fn history(draw: &mut Draw, spellings: &[PeriodSpelling]) -> History {
    let mut history = History { spelling: draw.pick(spellings), ..History::default() };
    match draw.within(0, 9) {
        0 | 1 => history.delta = draw.pick(&[-3, -1, 1, 7]),
        2 => history.delta_per_read = draw.pick(&[-1, 1]),
        // It reaches the right number while the walk is under way, or leaves it.
        3 => (history.delta, history.delta_per_read) = draw.pick(&[(-1, 1), (1, -1), (2, -1)]),
        4 => history.unlisted.push(period()),
        _ => {}
    }
    history
}

/// Draws guests who come and go at any time until about the fourth walk.
fn changes(draw: &mut Draw, case: &Case) -> Vec<(u64, Change)> {
    let last = case.pages() * draw.within(1, 4) + 1;
    let mut hashes: Vec<String> = case.rows.iter().map(|(hash, _)| hash.clone()).collect();
    let mut changes: Vec<(u64, Change)> = Vec::new();
    let mut moments: Vec<u64> = (0..draw.within(1, 6)).map(|_| draw.within(1, last)).collect();
    moments.sort_unstable();
    for moment in moments {
        let known = (!hashes.is_empty()).then(|| draw.pick(&hashes));
        let change = match known {
            Some(username_hash) if draw.chance(50) => Change::Leave { username_hash },
            Some(username_hash) if draw.chance(15) => Change::Arrive { username_hash, username: draw.text() },
            _ => Change::Arrive { username_hash: hash(draw), username: draw.text() },
        };
        if let Change::Arrive { username_hash, .. } = &change {
            hashes.push(username_hash.clone());
        }
        changes.push((moment, change));
    }
    changes
}

/// Draws faults of which only a lasting one cannot be recovered from.
fn scripts(draw: &mut Draw, case: &Case, number: u64) -> Vec<Script> {
    let pages = if matches!(case.overlap, Overlap::Some { .. }) { 1 } else { case.pages() };
    let mut places: Vec<Place> = Vec::new();
    for _ in 0..draw.within(0, 3) {
        let page = if draw.chance(30) { 1 } else { draw.within(1, pages) };
        let place =
            draw.pick(&[Place::History, Place::Forward(page), Place::Forward(page), Place::Backward(page)]);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let mut scripts: Vec<Script> = places
        .into_iter()
        .map(|place| Script { place, spared: 0, strikes: recoverable(draw, case, place), for_ever: None })
        .collect();
    // In about half of the cases something stays: each kind in turn where every export meets it, and elsewhere.
    let turn = number / 5;
    match number % 5 {
        0 => stay(draw, at_place(&mut scripts, Place::Forward(1)), turn),
        1 if turn % 2 == 1 => stay(draw, at_place(&mut scripts, Place::History), turn),
        1 if !scripts.is_empty() => {
            let index = draw.index(scripts.len());
            stay(draw, &mut scripts[index], turn);
        }
        2 if turn.is_multiple_of(3) => stay(draw, at_place(&mut scripts, Place::Backward(1)), turn / 3),
        3 if turn.is_multiple_of(4) && pages > 1 => {
            at_place(&mut scripts, Place::Forward(2)).for_ever = Some(FaultKind::RejectedToken);
        }
        _ => {}
    }
    scripts
}

/// Finds the script of a place, or begins one.
fn at_place(scripts: &mut Vec<Script>, place: Place) -> &mut Script {
    let index = scripts.iter().position(|script| script.place == place).unwrap_or(scripts.len());
    if index == scripts.len() {
        scripts.push(Script { place, spared: 0, strikes: Vec::new(), for_ever: None });
    }
    &mut scripts[index]
}

/// Draws faults at one place that a single request may meet one after the other and still be answered.
fn recoverable(draw: &mut Draw, case: &Case, place: Place) -> Vec<FaultKind> {
    let mut kinds = vec![
        draw.pick(&[FaultKind::InternalServerError, FaultKind::GatewayTimeout]),
        draw.pick(&[FaultKind::BadGateway, FaultKind::ServiceUnavailable]),
        draw.pick(&[FaultKind::ConnectionReset, FaultKind::TruncatedBody]),
        draw.pick(&[FaultKind::Garbage, FaultKind::HtmlPage]),
        FaultKind::Throttled,
        FaultKind::ThrottledForSeconds(0),
        FaultKind::ThrottledUntilDate(0),
        FaultKind::ThrottledForMilliseconds(draw.within(0, 20)),
        FaultKind::Padded(draw.within(1, 100_000)),
    ];
    if place != Place::History {
        kinds.extend([FaultKind::EmptyPage, FaultKind::EmptyPage, FaultKind::RepeatedPage]);
    }
    draw.shuffle(&mut kinds);
    kinds.truncate(draw.index(5));
    // One failure must remain for a machine that was only slow.
    let transient = |kind: &FaultKind| is_transient(*kind);
    let mut spare = ATTEMPTS - 2;
    kinds.retain(|kind| {
        let kept = !transient(kind) || spare > 0;
        spare -= u32::from(kept && transient(kind));
        kept
    });
    if draw.chance(8) && !kinds.iter().any(transient) {
        kinds.push(draw.pick(&[FaultKind::Stall, FaultKind::StallMidBody]));
    }
    // What can be mended is mended once a request, and a skewed clock comes first of all.
    let first_request = matches!(place, Place::History | Place::Forward(1));
    if draw.chance(30) && !(first_request && case.server_clock_ahead != 0) {
        kinds.push(draw.pick(&[FaultKind::ExpiredToken, FaultKind::Unauthorized]));
    } else if draw.chance(40) && !first_request && case.server_clock_ahead != 0 {
        kinds.push(FaultKind::ClockSkew);
    }
    draw.shuffle(&mut kinds);
    kinds
}

/// Ends a script with a fault that stays.
fn stay(draw: &mut Draw, script: &mut Script, turn: u64) {
    // A page without a token could not meet a rejected one.
    let later = matches!(script.place, Place::Forward(2..) | Place::Backward(2..));
    let kinds = if script.place == Place::History { &LASTING[..LASTING_ANYWHERE] } else { &LASTING[..] };
    let index = usize::try_from(turn).expect("small") % kinds.len();
    script.for_ever = Some(if later && draw.chance(40) { FaultKind::RejectedToken } else { kinds[index] });
    // A padded answer is an answer: what follows it would never be met.
    script.strikes.retain(|kind| !matches!(kind, FaultKind::Padded(_)));
}

/// How many of the faults that stay can befall any operation.
const LASTING_ANYWHERE: usize = 17;

/// The faults that stay; those after the first [`LASTING_ANYWHERE`] alter a list of guests.
const LASTING: [FaultKind; 29] = [
    FaultKind::InternalServerError,
    FaultKind::ServiceUnavailable,
    FaultKind::ConnectionReset,
    FaultKind::Garbage,
    FaultKind::WrongShape,
    FaultKind::ThrottledForSeconds(FAR_TOO_LATE),
    FaultKind::Redirect,
    FaultKind::PaymentRequired,
    FaultKind::BadRequest,
    FaultKind::Unauthorized,
    FaultKind::Forbidden,
    FaultKind::AccessDenied,
    FaultKind::ExpiredToken,
    FaultKind::ClockSkew,
    FaultKind::NotFound,
    FaultKind::ValidationError,
    FaultKind::Padded(FAR_TOO_MUCH),
    FaultKind::TokenLoop(1),
    FaultKind::TokenLoop(2),
    FaultKind::TokenLoop(3),
    FaultKind::ForeignPeriodRow,
    FaultKind::UnreadablePeriodRow,
    FaultKind::MissingUsernameHash,
    FaultKind::NullUsernameHash,
    FaultKind::EmptyUsernameHash,
    FaultKind::MissingUsername,
    FaultKind::MissingBillingPeriod,
    FaultKind::EmptyPage,
    FaultKind::RepeatedPage,
];
