//! What an output has published and what it lacks, by period and network.
//!
//! It is told from manifests alone, on every destination, and changes nothing. Which networks a month misses is the
//! ledger's rule, [`crate::ledger::missed`]. What is wrong with a month that is not closed yet may still come right, so
//! it is shown and is no finding; what is wrong with a closed one ends with 3, and what is not to be believed with 65.

mod shown;

pub use self::shown::without_effect;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SubsecRound as _, Utc};
use serde::Serialize;

use crate::evidence::{ConfirmedBy, HISTORY_DAYS, Reconciliation};
use crate::exit::ExitStatus;
use crate::guest::NetworkId;
use crate::ledger::missed::{Absence, Attendance, Roll, Told};
use crate::ledger::{Closing, ClosingError, Ledger, staleness};
use crate::period::{BillingPeriod, PeriodState, latest_closed, months_between};
use crate::publish::{ClosedNetwork, ClosedPeriod, Manifest, SourceKind, read_closed};
use crate::report::closing::history_horizon;
use crate::storage::Destination;
use crate::task::TaskKey;

/// The version of the JSON that [`Status`] serialises to.
const STATUS_VERSION: u32 = 1;

/// The networks that are known to be there, with their names.
pub type KnownNetworks = BTreeMap<NetworkId, Option<String>>;

/// What is asked of an output.
#[derive(Clone, Debug)]
pub struct StatusQuestion {
    /// Which periods; without any, from the first that is published to the latest closed one, and what is published
    /// since.
    pub periods: BTreeSet<BillingPeriod>,
    /// The networks that should be there, if anybody knows.
    pub known: Option<KnownNetworks>,
    /// Networks that are missed no more after the last month that was published of them.
    pub gone: BTreeSet<NetworkId>,
    /// The instant that decides which periods are closed.
    pub now: DateTime<Utc>,
    /// How many days a period settles after its end.
    pub settle_days: u32,
}

/// What is published and what is not. What is not known is null.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The version of this form.
    pub status_version: u32,
    /// The output.
    pub output: String,
    /// The instant that decides which periods are closed.
    pub as_of: DateTime<Utc>,
    /// What the command ends with.
    pub exit_code: u8,
    /// Whose numbers they are.
    pub source_kind: Option<SourceKind>,
    /// All of it in a sentence.
    pub conclusion: String,
    /// The periods, latest first.
    pub periods: Vec<PeriodStatus>,
    /// Networks that are known and of which nothing is published at all.
    pub never_published: Vec<NetworkId>,
    /// Networks that are said to be gone, and that no period of these would miss if they were not.
    pub gone_without_effect: Vec<NetworkId>,
    #[serde(skip)]
    exit: ExitStatus,
}

/// One period.
#[derive(Clone, Debug, Serialize)]
pub struct PeriodStatus {
    /// Which.
    pub billing_period: BillingPeriod,
    /// Its state now.
    pub period_state: PeriodState,
    /// Set if nothing is published of it, and something before and after.
    pub is_gap: bool,
    /// How many networks are published.
    pub published: usize,
    /// How many should be.
    pub expected: usize,
    /// The guests of all networks: whoever was a guest of two counts twice, as on the invoice.
    pub guests: u64,
    /// When AWS's count history covers it no longer.
    pub history_ends_at: DateTime<Utc>,
    /// The days until then, at most those that the history has; negative afterwards.
    pub history_days_left: i64,
    /// The event that its numbers are all there.
    pub closed: Option<ClosedStatus>,
    /// Why that event is not to be believed.
    pub closed_problem: Option<String>,
    /// What the event waits for, if it is closed and has none.
    pub awaited: Option<String>,
    /// The networks.
    pub networks: Vec<NetworkStatus>,
}

/// The event that a period's numbers are all there, and what has become of them since.
#[derive(Clone, Debug, Serialize)]
pub struct ClosedStatus {
    /// When.
    pub closed_at: DateTime<Utc>,
    /// Of how many networks.
    pub networks: usize,
    /// The guests of all networks then.
    pub guests: u64,
    /// Networks whose guests are others since.
    pub restated_since: Vec<NetworkId>,
    /// Networks that were not among them and are published now.
    pub added_since: Vec<NetworkId>,
}

/// What is wrong with one network in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// It should be published and is not.
    Missing,
    /// It was published while the period was in an earlier state than now.
    Stale,
    /// AWS's own count contradicts it.
    Mismatch,
    /// Its manifest is not to be believed.
    Damaged,
}

impl Problem {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Mismatch => "mismatch",
            Self::Damaged => "damaged",
        }
    }
}

/// One network in one period.
#[derive(Clone, Debug, Serialize)]
pub struct NetworkStatus {
    /// Which.
    pub network_id: NetworkId,
    /// Its name.
    pub network_name: Option<String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What there is to say of that.
    pub message: Option<String>,
    /// The state that the period had when it was published.
    pub published_as: Option<PeriodState>,
    /// Distinct guests.
    pub guests: Option<u64>,
    /// The service's own count.
    pub api_guests: Option<u64>,
    /// How the two compare.
    pub reconciliation: Option<Reconciliation>,
    /// What confirmed the number.
    pub confirmed_by: Option<ConfirmedBy>,
    /// The revision.
    pub revision: Option<u32>,
    /// When it was last found to be the same.
    pub checked_at: Option<DateTime<Utc>>,
}

/// `--as-of` beside real data (exit 2).
#[derive(Debug, thiserror::Error)]
#[error(
    "an instant to pretend is given, and the output holds real data, whose months end with the real day; leave out \
     --as-of, and as_of in the job file"
)]
pub struct PretendedDay;

/// Returns the instant that decides on the state of periods: only an output of the simulator may pretend one.
///
/// # Errors
/// [`PretendedDay`].
pub fn today(
    ledger: &Ledger,
    as_of: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, PretendedDay> {
    let Some(as_of) = as_of else { return Ok(now) };
    let mut sources = ledger.publications.values().map(|manifest| manifest.source.kind);
    if sources.any(|kind| kind == SourceKind::Wickr) { Err(PretendedDay) } else { Ok(as_of) }
}

/// A network is said to be gone that nothing is known of (exit 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--gone {0}: nothing is published of this network, so nothing misses it; check the id, or leave it out"
)]
pub struct NeverThere(NetworkId);

/// Gives the event for every closed period that is asked for, has none and waits for nothing. Returns what the others
/// wait for.
///
/// # Errors
/// [`ClosingError`].
pub async fn close_periods(
    output: &dyn Destination,
    ledger: &mut Ledger,
    question: &StatusQuestion,
    closed_at: DateTime<Utc>,
) -> Result<BTreeMap<BillingPeriod, String>, ClosingError> {
    let told = question.told();
    let mut awaited = BTreeMap::new();
    for period in question.periods_of(ledger) {
        let is_closed = question.state_of(period) == PeriodState::Closed;
        if !is_closed || ledger.closings.contains_key(&period) {
            continue;
        }
        match ledger.close(output, period, &told, closed_at).await? {
            Closing::Closed(closed) => {
                tracing::info!(%period, networks = closed.networks.len(), "period marked closed");
                ledger.closings.insert(period, Ok(closed));
            }
            Closing::ClosedBefore => {
                ledger.closings.extend(read_closed(output, period).await?.map(|closing| (period, closing)));
            }
            Closing::Waits(waits_for) => drop(awaited.insert(period, waits_for.to_string())),
        }
    }
    Ok(awaited)
}

impl StatusQuestion {
    fn state_of(&self, period: BillingPeriod) -> PeriodState {
        period.state_at(self.now, self.settle_days)
    }

    fn latest_closed(&self) -> BillingPeriod {
        latest_closed(self.now, self.settle_days)
    }

    /// Returns what is said of networks beside what is published.
    #[must_use]
    pub fn told(&self) -> Told {
        let roll = match &self.known {
            Some(known) => Roll::All(known.keys().copied().collect()),
            None => Roll::Unknown,
        };
        Told { roll, as_of: Some(self.latest_closed()), gone: self.gone.clone() }
    }

    /// Refuses networks that are said to be gone and were never there.
    ///
    /// # Errors
    /// [`NeverThere`] for the first of them.
    pub fn check_gone(&self, ledger: &Ledger) -> Result<(), NeverThere> {
        let told = self.told();
        let attendance = Attendance::of(ledger, &told);
        let unknown = self.gone.iter().find(|network| !attendance.knows(**network));
        unknown.map_or(Ok(()), |network| Err(NeverThere(*network)))
    }

    /// Lists the networks that are said to be gone, and that no month would miss if they were not.
    #[must_use]
    pub fn gone_without_effect(&self, ledger: &Ledger) -> Vec<NetworkId> {
        let (told, periods) = (self.told(), self.periods_of(ledger));
        let attendance = Attendance::of(ledger, &told);
        self.gone.iter().filter(|network| !attendance.excuses(**network, &periods)).copied().collect()
    }

    /// Counts the numbers that closed months miss.
    #[must_use]
    pub fn missing(&self, ledger: &Ledger) -> usize {
        let told = self.told();
        let attendance = Attendance::of(ledger, &told);
        let periods = self.periods_of(ledger).into_iter();
        let closed = periods.filter(|period| self.state_of(*period) == PeriodState::Closed);
        closed.map(|period| attendance.missed(period).len()).sum()
    }

    /// Lists the periods that the answer is about.
    fn periods_of(&self, ledger: &Ledger) -> BTreeSet<BillingPeriod> {
        if !self.periods.is_empty() {
            return self.periods.clone();
        }
        let latest = self.latest_closed();
        let mut periods = ledger.periods();
        if let Some(first) = periods.first().copied() {
            let months = (0..).map(|months| first.plus_months(months));
            periods.extend(months.take_while(|period| *period <= latest));
        }
        periods
    }

    /// Answers of an output, which is named. `awaited` is what periods were found to wait for that were to be closed.
    #[must_use]
    pub fn answer(
        &self,
        output: String,
        ledger: &Ledger,
        awaited: &BTreeMap<BillingPeriod, String>,
    ) -> Status {
        let told = self.told();
        let history = History::of(self, ledger, &told);
        let periods = self.periods_of(ledger).into_iter().rev();
        let periods: Vec<PeriodStatus> =
            periods.map(|period| history.period(period, ledger.closings.get(&period), awaited)).collect();
        let known = self.known.iter().flat_map(KnownNetworks::keys);
        let never = known.filter(|network| !history.attendance.has_published(**network)).copied().collect();
        let mut status = Status {
            status_version: STATUS_VERSION,
            output,
            as_of: self.now.trunc_subsecs(0),
            exit_code: 0,
            source_kind: ledger.source_kind(),
            conclusion: String::new(),
            periods,
            never_published: never,
            gone_without_effect: self.gone_without_effect(ledger),
            exit: ExitStatus::Success,
        };
        let tally = Tally::of(&status, !awaited.is_empty(), self.latest_closed());
        status.exit = tally.exit();
        status.exit_code = status.exit.code();
        status.conclusion = tally.to_string();
        status
    }
}

impl Status {
    /// Returns what the command ends with.
    #[must_use]
    pub const fn exit(&self) -> ExitStatus {
        self.exit
    }
}

/// What is published, and what is missed.
struct History<'a> {
    question: &'a StatusQuestion,
    ledger: &'a Ledger,
    told: &'a Told,
    attendance: Attendance<'a>,
    periods: BTreeSet<BillingPeriod>,
}

impl<'a> History<'a> {
    fn of(question: &'a StatusQuestion, ledger: &'a Ledger, told: &'a Told) -> Self {
        Self { question, ledger, told, attendance: Attendance::of(ledger, told), periods: ledger.periods() }
    }

    fn period(
        &self,
        period: BillingPeriod,
        closed: Option<&Result<ClosedPeriod, String>>,
        awaited: &BTreeMap<BillingPeriod, String>,
    ) -> PeriodStatus {
        let question = self.question;
        let state = question.state_of(period);
        let mut networks: BTreeMap<NetworkId, NetworkStatus> = BTreeMap::new();
        for network in self.ledger.networks_of(period) {
            networks.insert(network, self.published(TaskKey::new(network, period), state));
        }
        let published = networks.len();
        for (network, absence) in self.attendance.missed(period) {
            networks.insert(network, self.without(network, Problem::Missing, absent(network, absence)));
        }
        let networks: Vec<NetworkStatus> = networks.into_values().collect();
        let is_between = |ends: (Option<&BillingPeriod>, Option<&BillingPeriod>)| {
            ends.0.is_some_and(|first| *first < period) && ends.1.is_some_and(|last| period < *last)
        };
        let waits_for = || match awaited.get(&period) {
            Some(found) => found.clone(),
            None => match self.ledger.awaited(period, self.told) {
                nothing if nothing.is_nothing() => {
                    "nothing but `status --mark-closed`, or the next run".to_owned()
                }
                awaited => awaited.to_string(),
            },
        };
        PeriodStatus {
            billing_period: period,
            period_state: state,
            is_gap: published == 0 && is_between((self.periods.first(), self.periods.last())),
            published,
            expected: networks.len(),
            guests: sum(networks.iter().filter_map(|network| network.guests)),
            history_ends_at: history_horizon(period),
            history_days_left: (history_horizon(period) - question.now).num_days().min(HISTORY_DAYS),
            closed: closed.and_then(|closed| Some(self.closed(closed.as_ref().ok()?))),
            closed_problem: closed.and_then(|closed| closed.as_ref().err().cloned()),
            awaited: (closed.is_none() && state == PeriodState::Closed).then(waits_for),
            networks,
        }
    }

    fn closed(&self, closed: &ClosedPeriod) -> ClosedStatus {
        let period = closed.billing_period;
        let then: BTreeMap<NetworkId, &ClosedNetwork> =
            closed.networks.iter().map(|network| (network.network_id, network)).collect();
        let mut status = ClosedStatus {
            closed_at: closed.closed_at,
            networks: closed.networks.len(),
            guests: sum(closed.networks.iter().map(|network| network.guests)),
            restated_since: Vec::new(),
            added_since: Vec::new(),
        };
        for network in self.ledger.networks_of(period) {
            let now = self.ledger.publications.get(&TaskKey::new(network, period));
            match (then.get(&network), now) {
                (None, _) => status.added_since.push(network),
                (Some(then), Some(now)) if now.content_sha256 != then.content_sha256 => {
                    status.restated_since.push(network);
                }
                (Some(_), _) => {}
            }
        }
        status.added_since.sort();
        status
    }

    /// Tells of a network that has a manifest.
    fn published(&self, task: TaskKey, state: PeriodState) -> NetworkStatus {
        match self.ledger.publications.get(&task) {
            Some(manifest) => NetworkStatus::published(manifest, state, self.question.now),
            None => self.without(
                task.network,
                Problem::Damaged,
                self.ledger.unreadable.get(&task).cloned().unwrap_or_default(),
            ),
        }
    }

    /// Tells of a network without a number.
    fn without(&self, network: NetworkId, problem: Problem, message: String) -> NetworkStatus {
        let known = self.question.known.as_ref().and_then(|known| known.get(&network));
        NetworkStatus {
            network_id: network,
            network_name: known.cloned().flatten(),
            problems: vec![problem],
            message: Some(message),
            published_as: None,
            guests: None,
            api_guests: None,
            reconciliation: None,
            confirmed_by: None,
            revision: None,
            checked_at: None,
        }
    }
}

/// Says why a network is missed.
fn absent(network: NetworkId, absence: Absence) -> String {
    let unless_gone = format!("if it is no more, say so with --gone {network}");
    match absence {
        Absence::Between => "the network is published for months before and after".to_owned(),
        Absence::Never => "the network is known, and was never published".to_owned(),
        Absence::Since { last, is_there: Some(true) } => {
            format!("the network was published for {last}, and not since")
        }
        Absence::Since { last, is_there: Some(false) } => format!(
            "the network was published for {last}, and is not among those that are known now; {unless_gone}"
        ),
        Absence::Since { last, is_there: None } => {
            format!("the network was published for {last}, and not since; {unless_gone}")
        }
    }
}

/// Adds up guests; whoever can seal a document may have it claim anything.
fn sum(guests: impl Iterator<Item = u64>) -> u64 {
    guests.fold(0, u64::saturating_add)
}

impl NetworkStatus {
    fn published(manifest: &Manifest, state: PeriodState, now: DateTime<Utc>) -> Self {
        let counts = &manifest.counts;
        let (mut problems, mut messages) = (Vec::new(), Vec::new());
        if manifest.period_state < state {
            problems.push(Problem::Stale);
            messages.push(format!("the number was {}", staleness(manifest, now)));
        }
        if counts.reconciliation == Reconciliation::Mismatch && manifest.period_state.has_ended() {
            problems.push(Problem::Mismatch);
            let (api, walks) = (counts.api_guests.unwrap_or_default(), manifest.walk.walks);
            messages.push(format!("AWS counts {api}, and {walks} walks found {}", counts.guests));
        }
        Self {
            network_id: manifest.network_id,
            network_name: manifest.source.network_name.clone(),
            problems,
            message: (!messages.is_empty()).then(|| messages.join("; ")),
            published_as: Some(manifest.period_state),
            guests: Some(counts.guests),
            api_guests: counts.api_guests,
            reconciliation: Some(counts.reconciliation),
            confirmed_by: counts.confirmed_by,
            revision: Some(manifest.revision),
            checked_at: Some(manifest.checked_at),
        }
    }
}

/// How many findings there are, of each kind.
struct Tally {
    closed_periods: usize,
    missing: usize,
    stale: usize,
    mismatched: usize,
    damaged: usize,
    /// Closed periods that were named and of which nothing is known at all.
    unpublished_periods: Vec<BillingPeriod>,
    /// How many of the latest closed months hold all that is to be exported.
    months_to_export: u32,
    /// The day to export as of, if the numbers are the simulator's: a job mostly pins another.
    simulated_day: Option<DateTime<Utc>>,
    /// Periods that were to be closed and still wait.
    waiting: usize,
}

impl Tally {
    fn of(status: &Status, was_to_close: bool, latest_closed: BillingPeriod) -> Self {
        let closed: Vec<&PeriodStatus> =
            status.periods.iter().filter(|period| period.period_state == PeriodState::Closed).collect();
        let networks = |period: &&PeriodStatus| period.networks.clone();
        let count = |problem| {
            closed.iter().flat_map(networks).filter(|network| network.problems.contains(&problem)).count()
        };
        let lacks = |period: &&PeriodStatus| {
            let problems = |network: &NetworkStatus| {
                network.problems.contains(&Problem::Missing) || network.problems.contains(&Problem::Stale)
            };
            period.networks.is_empty() || period.networks.iter().any(problems)
        };
        let damaged = status.periods.iter().map(|period| {
            let networks = period.networks.iter().filter(|network| network.problems == [Problem::Damaged]);
            networks.count() + usize::from(period.closed_problem.is_some())
        });
        Self {
            closed_periods: closed.len(),
            missing: count(Problem::Missing),
            stale: count(Problem::Stale),
            mismatched: count(Problem::Mismatch),
            damaged: damaged.sum(),
            unpublished_periods: closed
                .iter()
                .filter(|period| period.networks.is_empty())
                .map(|period| period.billing_period)
                .collect(),
            months_to_export: closed
                .iter()
                .rfind(|period| lacks(period))
                .map_or(0, |oldest| months_between(oldest.billing_period, latest_closed)),
            simulated_day: (status.source_kind == Some(SourceKind::Simulator)).then_some(status.as_of),
            waiting: if was_to_close {
                closed.iter().filter(|period| period.awaited.is_some()).count()
            } else {
                0
            },
        }
    }

    fn exit(&self) -> ExitStatus {
        let is_refused = self.missing + self.stale + self.mismatched + self.waiting > 0
            || !self.unpublished_periods.is_empty();
        let refused = if is_refused { ExitStatus::Refused } else { ExitStatus::Success };
        let untrusted = if self.damaged > 0 { ExitStatus::Untrusted } else { ExitStatus::Success };
        ExitStatus::of_all([refused, untrusted])
    }
}
