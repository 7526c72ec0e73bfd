//! The service of the model: a list in a vector, sorted anew for each page, and the scripts of the plan.
//!
//! It shares nothing with the simulator save the words in which a plan is written, so that a mistake there is
//! found too.

use std::collections::{BTreeMap, BTreeSet};

use wickr_guest_export::period::PeriodSpelling;
use wickr_guest_export::simulator::{Change, Collation, FaultKind, PagingMode, PeriodAnswer};

use crate::schedule::{Case, FAR_TOO_LATE, Overlap, Place, period};

/// What a padded answer may weigh.
const READABLE: u64 = 2 * 1024 * 1024;
/// How far a clock may be off before it is set by the server's.
const TOLERATED_SKEW: i64 = 60;
/// How far the simulator lets a signature's time be off.
const ACCEPTED_SKEW: i64 = 300;

/// What one attempt comes to.
pub(crate) enum Reply<T> {
    Answer(T),
    Throttled,
    TooLate,
    Transient(&'static str),
    Mendable { name: &'static str, mends: bool },
    Permanent(&'static str),
}

/// A page: rows with the tokens that make it unlike any other, and what is wrong with one row.
pub(crate) struct Page {
    pub(crate) rows: Vec<(String, String)>,
    pub(crate) next: Option<Token>,
    pub(crate) defect: Option<(usize, &'static str)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Token {
    pub(crate) page: u64,
    turn: u64,
    cycle: u64,
    position: Position,
}

/// Where a walk goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Position {
    #[default]
    Start,
    /// After so many rows.
    Given(usize),
    /// After this row.
    After(Row),
}

/// What the username is sorted by, the username, the hash and a number of its own: the order of the list.
type Row = (String, String, String, usize);

pub(crate) struct Service<'a> {
    case: &'a Case,
    list: BTreeSet<Row>,
    arrived: usize,
    /// Authentic requests, whatever came of them.
    pub(crate) list_requests: u64,
    pub(crate) history_requests: u64,
    history_reads: i64,
    /// How many requests each page has had.
    asked_at: BTreeMap<Place, u64>,
    /// How many requests each script has met.
    pub(crate) met: Vec<u64>,
    pub(crate) moments: Vec<BTreeSet<String>>,
    clock_mended: bool,
}

impl<'a> Service<'a> {
    pub(crate) fn new(case: &'a Case) -> Self {
        let rows = case.rows.iter().enumerate();
        let list: BTreeSet<_> = rows.map(|(number, (hash, name))| row(case, name, hash, number)).collect();
        let mut service = Self {
            case,
            arrived: list.len(),
            list,
            list_requests: 0,
            history_requests: 0,
            history_reads: 0,
            asked_at: BTreeMap::new(),
            met: vec![0; case.scripts.len()],
            moments: Vec::new(),
            clock_mended: false,
        };
        service.moments.push(service.guests());
        service
    }

    /// A new process does not know yet what the service's clock says.
    pub(crate) fn meet_a_new_process(&mut self) {
        self.clock_mended = self.case.server_clock_ahead.abs() <= ACCEPTED_SKEW;
    }

    /// Returns how many requests a page has had.
    pub(crate) fn asked_at(&self, place: Place) -> u64 {
        self.asked_at.get(&place).copied().unwrap_or(0)
    }

    fn guests(&self) -> BTreeSet<String> {
        self.list.iter().map(|(_, _, hash, _)| hash.clone()).collect()
    }

    /// Says what the next request at a place meets.
    fn strike(&mut self, place: Place, has_token: bool) -> Option<FaultKind> {
        let index = self.case.scripts.iter().position(|script| script.place == place)?;
        let script = &self.case.scripts[index];
        let turn = self.met[index].checked_sub(script.spared);
        let kind = turn.and_then(|turn| {
            let turn = usize::try_from(turn).expect("small");
            script.strikes.get(turn).copied().or(script.for_ever)
        });
        if kind == Some(FaultKind::RejectedToken) && !has_token {
            return None;
        }
        self.met[index] += 1;
        kind
    }

    /// Says what a fault makes of a request, unless it alters or delays the true answer.
    fn reply<T>(&self, kind: FaultKind) -> Option<Reply<T>> {
        Some(match kind {
            FaultKind::ThrottledForSeconds(FAR_TOO_LATE) => Reply::TooLate,
            FaultKind::Throttled
            | FaultKind::ThrottledForSeconds(_)
            | FaultKind::ThrottledUntilDate(_)
            | FaultKind::ThrottledForMilliseconds(_) => Reply::Throttled,
            FaultKind::InternalServerError => Reply::Transient("Internal 500"),
            FaultKind::BadGateway => Reply::Transient("Internal 502"),
            FaultKind::ServiceUnavailable => Reply::Transient("Internal 503"),
            FaultKind::GatewayTimeout => Reply::Transient("Internal 504"),
            FaultKind::Garbage | FaultKind::HtmlPage => Reply::Transient("Unreadable"),
            FaultKind::WrongShape => Reply::Permanent("Shape Answer"),
            FaultKind::Redirect => Reply::Permanent("Unexpected 302"),
            FaultKind::PaymentRequired => Reply::Permanent("Unexpected 402"),
            FaultKind::RejectedToken | FaultKind::BadRequest => Reply::Permanent("BadRequest"),
            FaultKind::ValidationError => Reply::Permanent("Validation"),
            FaultKind::Forbidden | FaultKind::AccessDenied => Reply::Permanent("Forbidden"),
            FaultKind::NotFound => Reply::Permanent("NotFound"),
            FaultKind::Unauthorized => Reply::Mendable { name: "Unauthorized", mends: true },
            FaultKind::ExpiredToken => Reply::Mendable { name: "ExpiredCredentials", mends: true },
            FaultKind::ClockSkew => {
                let mends = self.case.server_clock_ahead.abs() > TOLERATED_SKEW;
                Reply::Mendable { name: "ClockSkewed", mends }
            }
            FaultKind::ConnectionReset
            | FaultKind::TruncatedBody
            | FaultKind::Stall
            | FaultKind::StallMidBody
            | FaultKind::Padded(_)
            | FaultKind::EmptyPage
            | FaultKind::RepeatedPage
            | FaultKind::TokenLoop(_)
            | FaultKind::ForeignPeriodRow
            | FaultKind::UnreadablePeriodRow
            | FaultKind::MissingUsernameHash
            | FaultKind::NullUsernameHash
            | FaultKind::EmptyUsernameHash
            | FaultKind::MissingUsername
            | FaultKind::MissingBillingPeriod => return None,
        })
    }

    /// Says what becomes of the true answer on its way.
    fn deliver<T>(kind: Option<FaultKind>, answer: T) -> Reply<T> {
        match kind {
            Some(FaultKind::ConnectionReset | FaultKind::TruncatedBody) => {
                Reply::Transient("Transport Broken")
            }
            Some(FaultKind::Stall | FaultKind::StallMidBody) => Reply::Transient("Transport Timeout"),
            Some(FaultKind::Padded(bytes)) if bytes > READABLE => Reply::Permanent("TooLarge"),
            _ => Reply::Answer(answer),
        }
    }

    /// A wrong clock is found out at the first request of all, before anything else is looked at.
    fn refuses_the_clock(&mut self) -> bool {
        !std::mem::replace(&mut self.clock_mended, true)
    }

    pub(crate) fn history(&mut self) -> Reply<Option<u64>> {
        if self.refuses_the_clock() {
            return Reply::Mendable { name: "ClockSkewed", mends: true };
        }
        self.history_requests += 1;
        let kind = self.strike(Place::History, false);
        if let Some(reply) = kind.and_then(|kind| self.reply(kind)) {
            return reply;
        }
        let habits = &self.case.history;
        let delta = habits.delta + habits.delta_per_read * self.history_reads;
        self.history_reads += 1;
        let listed = self.case.period_known && !habits.unlisted.contains(&period());
        let count = (self.guests().len() as u64).saturating_add_signed(delta);
        Self::deliver(kind, listed.then_some(count))
    }

    pub(crate) fn page(
        &mut self,
        spelling: PeriodSpelling,
        backward: bool,
        token: Option<&Token>,
    ) -> Reply<Page> {
        if self.refuses_the_clock() {
            return Reply::Mendable { name: "ClockSkewed", mends: true };
        }
        self.list_requests += 1;
        self.let_things_happen();
        let start = token.cloned().unwrap_or_else(|| Token { page: 1, ..Token::default() });
        let place = if backward { Place::Backward(start.page) } else { Place::Forward(start.page) };
        *self.asked_at.entry(place).or_default() += 1;
        let kind = self.strike(place, token.is_some());
        if let Some(reply) = kind.and_then(|kind| self.reply(kind)) {
            return reply;
        }
        let habit = match spelling {
            PeriodSpelling::Hyphen => self.case.answers.hyphen,
            PeriodSpelling::Underscore => self.case.answers.underscore,
        };
        let page = match habit {
            PeriodAnswer::Refused => return Reply::Permanent("Validation"),
            PeriodAnswer::Served if self.case.period_known => self.true_page(backward, &start),
            PeriodAnswer::Served | PeriodAnswer::Empty => Page { rows: Vec::new(), next: None, defect: None },
        };
        Self::deliver(kind, altered(kind, &start, page))
    }

    fn let_things_happen(&mut self) {
        for (moment, change) in &self.case.changes {
            if *moment != self.list_requests {
                continue;
            }
            match change {
                Change::Arrive { username_hash, username } => {
                    self.list.insert(row(self.case, username, username_hash, self.arrived));
                    self.arrived += 1;
                }
                Change::Leave { username_hash } => self.list.retain(|(_, _, hash, _)| hash != username_hash),
            }
            self.moments.push(self.guests());
        }
    }

    fn true_page(&self, backward: bool, start: &Token) -> Page {
        let mut rows: Vec<&Row> = self.list.iter().collect();
        if backward {
            rows.reverse();
        }
        let size = usize::from(self.case.page_size);
        let passed = |last: &Row| {
            rows.iter().take_while(|row| if backward { **row >= last } else { **row <= last }).count()
        };
        let mut offset = match &start.position {
            Position::Start => 0,
            Position::Given(given) => (*given).min(rows.len()),
            Position::After(row) => passed(row),
        };
        if self.case.overlap == Overlap::OneRow && size > 1 {
            offset = offset.saturating_sub(1);
        }
        let end = (offset + size).min(rows.len());
        let position = match (self.case.paging, rows[offset..end].last()) {
            (PagingMode::Keyset, Some(row)) => Position::After((*row).clone()),
            (PagingMode::Offset, Some(_)) => Position::Given(end),
            (_, None) => start.position.clone(),
        };
        let goes_on = end < rows.len() || (end - offset == size && self.case.answers.trailing_empty_page);
        let rows = rows[offset..end].iter().map(|(_, name, hash, _)| (hash.clone(), name.clone())).collect();
        let next = goes_on.then(|| Token { page: start.page + 1, turn: 0, cycle: 0, position });
        Page { rows, next, defect: None }
    }
}

fn row(case: &Case, name: &str, hash: &str, number: usize) -> Row {
    let sorted_by = match case.collation {
        Collation::Bytewise => name.to_owned(),
        Collation::CaseInsensitive => name.to_lowercase(),
    };
    (sorted_by, name.to_owned(), hash.to_owned(), number)
}

/// Says whether a fault is one of those of which a request survives only a few.
pub(crate) fn is_transient(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::InternalServerError
            | FaultKind::BadGateway
            | FaultKind::ServiceUnavailable
            | FaultKind::GatewayTimeout
            | FaultKind::ConnectionReset
            | FaultKind::TruncatedBody
            | FaultKind::Stall
            | FaultKind::StallMidBody
            | FaultKind::Garbage
            | FaultKind::HtmlPage
    )
}

/// Does to a page what a fault does to it.
fn altered(kind: Option<FaultKind>, start: &Token, mut page: Page) -> Page {
    let again = |turn, cycle| Some(Token { turn, cycle, ..start.clone() });
    let middle = page.rows.len() / 2 + 1;
    match kind {
        Some(FaultKind::EmptyPage) => {
            page.rows.clear();
            page.next = again(start.turn + 1, 0);
        }
        Some(FaultKind::RepeatedPage) => page.next = again(start.turn + 1, 0),
        // The first token of a loop leads into it; from there they go round.
        Some(FaultKind::TokenLoop(length)) if start.cycle == 0 => page.next = again(0, length),
        Some(FaultKind::TokenLoop(_)) => page.next = again((start.turn + 1) % start.cycle, start.cycle),
        Some(FaultKind::ForeignPeriodRow | FaultKind::UnreadablePeriodRow) => {
            page.defect = Some((middle, "ForeignPeriod"));
        }
        Some(FaultKind::MissingUsernameHash | FaultKind::NullUsernameHash) => {
            page.defect = Some((middle, "MissingField usernameHash"));
        }
        Some(FaultKind::EmptyUsernameHash) => page.defect = Some((middle, "BadText usernameHash")),
        Some(FaultKind::MissingUsername) => page.defect = Some((middle, "MissingField username")),
        Some(FaultKind::MissingBillingPeriod) => page.defect = Some((middle, "MissingField billingPeriod")),
        _ => {}
    }
    page
}
