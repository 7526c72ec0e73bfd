//! What goes wrong, and when: a plan of faults, each with the requests that it strikes.
//!
//! Every fault counts the requests that match it for itself, whether or not another one strikes first; so adding
//! a fault to a plan never moves the others, and a test can predict what a walk will meet. Chance is computed
//! from the place and the attempt, not drawn, so that concurrent walks meet the same faults in any interleaving.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::DateTime;
use serde::Deserialize;

use super::config::SimulatorError;
use super::effects::Effect;
use super::noise::Noise;
use super::query::Direction;
use super::wire::Operation;
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// Something that goes wrong at some requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To which requests.
    #[serde(default)]
    pub when: When,
}

impl Fault {
    /// Plans a fault.
    #[must_use]
    pub const fn new(kind: FaultKind, when: When) -> Self {
        Self { kind, when }
    }
}

/// Which requests a fault strikes: those that match every field that is set, and of these, by their number, some.
/// The default is every `ListGuestUsers` request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The operation.
    pub operation: Operation,
    /// Only this network.
    pub network: Option<NetworkId>,
    /// Only this billing period, in either spelling.
    pub period: Option<BillingPeriod>,
    /// Only this direction.
    pub direction: Option<Direction>,
    /// Only this page, counted from 1; operations without pages have one.
    pub page: Option<u64>,
    /// Count the matching requests of each network, period, direction and page for themselves.
    pub each_page: bool,
    /// Matching requests that are spared first.
    pub skip: u64,
    /// Matching requests that are struck after those; all if unset.
    pub times: Option<u64>,
    /// Of these, strike so many in a thousand; all if unset.
    pub per_thousand: Option<u32>,
}

impl When {
    /// Every `ListGuestUsers` request.
    #[must_use]
    pub fn always() -> Self {
        Self::default()
    }

    /// The first `times` matching requests.
    #[must_use]
    pub fn first(times: u64) -> Self {
        Self { times: Some(times), ..Self::default() }
    }

    /// Only the matching request of this number, counted from 1.
    #[must_use]
    pub fn nth(number: u64) -> Self {
        Self { skip: number.saturating_sub(1), times: Some(1), ..Self::default() }
    }

    /// By chance, so many matching requests in a thousand.
    #[must_use]
    pub fn by_chance(per_thousand: u32) -> Self {
        Self { per_thousand: Some(per_thousand), ..Self::default() }
    }

    /// Narrows to an operation.
    #[must_use]
    pub fn of(self, operation: Operation) -> Self {
        Self { operation, ..self }
    }

    /// Narrows to a network.
    #[must_use]
    pub fn in_network(self, network: NetworkId) -> Self {
        Self { network: Some(network), ..self }
    }

    /// Narrows to a billing period.
    #[must_use]
    pub fn in_period(self, period: BillingPeriod) -> Self {
        Self { period: Some(period), ..self }
    }

    /// Narrows to a direction.
    #[must_use]
    pub fn towards(self, direction: Direction) -> Self {
        Self { direction: Some(direction), ..self }
    }

    /// Narrows to a page, counted from 1.
    #[must_use]
    pub fn on_page(self, page: u64) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Counts each page for itself.
    #[must_use]
    pub fn on_each_page(self) -> Self {
        Self { each_page: true, ..self }
    }

    fn matches(&self, site: &Site) -> bool {
        let narrowed = |wanted: bool, found: bool| !wanted || found;
        self.operation == site.operation
            && narrowed(self.network.is_some(), self.network == site.network)
            && narrowed(self.period.is_some(), self.period == site.period)
            && narrowed(self.direction.is_some(), self.direction == site.direction)
            && narrowed(self.page.is_some(), self.page == Some(site.page))
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 429 `RateLimitError` that says nothing about when to come again.
    Throttled,
    /// 429 with `Retry-After` in seconds.
    ThrottledForSeconds(u64),
    /// 429 with `Retry-After` as an HTTP date, so many seconds ahead.
    ThrottledUntilDate(u32),
    /// 429 with `x-amz-retry-after` in milliseconds.
    ThrottledForMilliseconds(u64),
    /// 500 `InternalServerError`.
    InternalServerError,
    /// 502 with an HTML body.
    BadGateway,
    /// 503 with an HTML body.
    ServiceUnavailable,
    /// 504 with an empty body.
    GatewayTimeout,
    /// The connection is reset in place of an answer.
    ConnectionReset,
    /// The true answer is announced whole and sent by half.
    TruncatedBody,
    /// No answer ever comes.
    Stall,
    /// Half of the true answer comes, and then nothing.
    StallMidBody,
    /// 200 with bytes that are no JSON.
    Garbage,
    /// 200 with an HTML page.
    HtmlPage,
    /// 200 with JSON of another shape.
    WrongShape,
    /// 200 with so many bytes of white space before the true answer.
    Padded(u64),
    /// 302 to another address.
    Redirect,
    /// No rows, and a new token for the same page.
    EmptyPage,
    /// The rows of the page, and a new token for the same page.
    RepeatedPage,
    /// From here on, tokens go round in a loop of this length: 1 is A→A, 2 is A→B→A.
    TokenLoop(u64),
    /// One row more, of the month before the one that was asked for.
    ForeignPeriodRow,
    /// One row more, whose period cannot be read.
    UnreadablePeriodRow,
    /// One row more, without `usernameHash`.
    MissingUsernameHash,
    /// One row more, whose `usernameHash` is null.
    NullUsernameHash,
    /// One row more, whose `usernameHash` is empty.
    EmptyUsernameHash,
    /// One row more, without `username`.
    MissingUsername,
    /// One row more, without `billingPeriod`.
    MissingBillingPeriod,
    /// 400 `BadRequestError` to a request that carries a token; others are not struck.
    RejectedToken,
    /// 400 `BadRequestError`.
    BadRequest,
    /// 401 `UnauthorizedError`.
    Unauthorized,
    /// 402 with a body that names no code.
    PaymentRequired,
    /// 403 `ForbiddenError`.
    Forbidden,
    /// 403 `AccessDeniedException`, as IAM answers.
    AccessDenied,
    /// 403 `ExpiredTokenException`.
    ExpiredToken,
    /// 403 `InvalidSignatureException` that says the signature has expired.
    ClockSkew,
    /// 404 `ResourceNotFoundError`.
    NotFound,
    /// 422 `ValidationError` about the billing period.
    ValidationError,
}

/// Where a request stands: what faults are matched against.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Site {
    pub(super) operation: Operation,
    pub(super) network: Option<NetworkId>,
    pub(super) period: Option<BillingPeriod>,
    pub(super) direction: Option<Direction>,
    pub(super) page: u64,
    pub(super) has_token: bool,
}

impl Site {
    fn noise(&self, noise: Noise) -> Noise {
        noise.named(&format!("{:?}", (self.operation, self.network, self.period, self.direction, self.page)))
    }
}

/// The faults of a simulator and how often each was matched.
#[derive(Debug)]
pub(super) struct FaultPlan {
    faults: Vec<Fault>,
    noise: Noise,
    matched: Mutex<HashMap<(usize, Option<Site>), u64>>,
}

impl FaultPlan {
    /// Takes the plan of a configuration.
    ///
    /// # Errors
    /// [`SimulatorError::MisplacedFault`] for one that alters a list of guests but is planned elsewhere.
    pub(super) fn new(faults: Vec<Fault>, seed: u64) -> Result<Self, SimulatorError> {
        let misplaced = |fault: &&Fault| {
            fault.when.operation != Operation::ListGuestUsers
                && matches!(fault.kind.effect(DateTime::UNIX_EPOCH), Effect::Alter(_))
        };
        if let Some(fault) = faults.iter().find(misplaced) {
            return Err(SimulatorError::MisplacedFault(fault.kind, fault.when.operation));
        }
        Ok(Self { faults, noise: Noise::seeded(seed).named("faults"), matched: Mutex::default() })
    }

    pub(super) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Counts a request against every fault that it matches, and returns the first that strikes it.
    pub(super) fn strike(&self, site: &Site) -> Option<(usize, FaultKind)> {
        let mut matched = self.matched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut struck = None;
        for (number, fault) in self.faults.iter().enumerate() {
            let concerns = fault.kind != FaultKind::RejectedToken || site.has_token;
            if !concerns || !fault.when.matches(site) {
                continue;
            }
            let mut count = |site: Option<Site>| {
                let count = matched.entry((number, site)).or_default();
                *count += 1;
                *count
            };
            // Chance is tied to the attempt at this very page, whatever the fault itself counts.
            let needs_attempt = fault.when.each_page || fault.when.per_thousand.is_some();
            let attempt = if needs_attempt { count(Some(site.clone())) } else { 0 };
            let turn = if fault.when.each_page { attempt } else { count(None) };
            let within = turn > fault.when.skip
                && fault.when.times.is_none_or(|times| turn - fault.when.skip <= times);
            let noise = site.noise(self.noise.at(number as u64)).at(attempt);
            let lucky = fault.when.per_thousand.is_none_or(|per_thousand| noise.hits(per_thousand));
            if within && lucky && struck.is_none() {
                struck = Some((number, fault.kind));
            }
        }
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(page: u64) -> Site {
        Site {
            operation: Operation::ListGuestUsers,
            network: Some("01234567".parse().unwrap()),
            period: Some("2026-10".parse().unwrap()),
            direction: Some(Direction::Ascending),
            page,
            has_token: page > 1,
        }
    }

    fn struck(when: When, sites: impl IntoIterator<Item = Site>) -> Vec<bool> {
        let plan = FaultPlan::new(vec![Fault::new(FaultKind::Throttled, when)], 1).unwrap();
        sites.into_iter().map(|site| plan.strike(&site).is_some()).collect()
    }

    #[test]
    fn requests_are_counted_overall_or_on_each_page() {
        let sites = || [1, 1, 2, 2, 2].map(site);
        assert_eq!(struck(When::always(), sites()), [true; 5]);
        assert_eq!(struck(When::nth(3), sites()), [false, false, true, false, false]);
        assert_eq!(struck(When::first(2), sites()), [true, true, false, false, false]);
        assert_eq!(struck(When::first(1).on_each_page(), sites()), [true, false, true, false, false]);
        assert_eq!(struck(When::nth(2).on_page(2), sites()), [false, false, false, true, false]);
    }

    #[test]
    fn every_field_narrows() {
        for when in [
            When::always().of(Operation::GetNetwork),
            When::always().in_network("12345678".parse().unwrap()),
            When::always().in_period("2026-09".parse().unwrap()),
            When::always().towards(Direction::Descending),
            When::always().on_page(2),
        ] {
            assert_eq!(struck(when.clone(), [site(1)]), [false], "{when:?}");
        }
        let all = When::always()
            .in_network("01234567".parse().unwrap())
            .in_period("2026-10".parse().unwrap())
            .towards(Direction::Ascending)
            .on_page(1);
        assert_eq!(struck(all, [site(1)]), [true]);
    }

    #[test]
    fn one_fault_never_moves_another() {
        let faults = vec![
            Fault::new(FaultKind::Throttled, When::first(1)),
            Fault::new(FaultKind::Garbage, When::nth(2)),
        ];
        let plan = FaultPlan::new(faults, 1).unwrap();
        assert_eq!(plan.strike(&site(1)), Some((0, FaultKind::Throttled)));
        assert_eq!(plan.strike(&site(1)), Some((1, FaultKind::Garbage)));
        assert_eq!(plan.strike(&site(1)), None);
    }

    #[test]
    fn chance_depends_on_place_and_attempt_only() {
        let walk = || (1..200).map(site);
        let forward = struck(When::by_chance(300), walk());
        let mut backward = struck(When::by_chance(300), walk().rev());
        backward.reverse();
        assert_eq!(forward, backward);
        let hits = forward.iter().filter(|hit| **hit).count();
        assert!((30..90).contains(&hits), "{hits}");
        let again = struck(When::by_chance(300), std::iter::repeat_n(site(1), 50));
        assert!(again.contains(&true) && again.contains(&false), "each attempt has its own luck");
    }

    #[test]
    fn a_token_is_rejected_only_where_there_is_one() {
        let plan = FaultPlan::new(vec![Fault::new(FaultKind::RejectedToken, When::first(1))], 1).unwrap();
        assert_eq!(plan.strike(&site(1)), None);
        assert_eq!(plan.strike(&site(2)), Some((0, FaultKind::RejectedToken)));
    }

    #[test]
    fn a_list_of_guests_can_only_be_altered_where_there_is_one() {
        let fault = Fault::new(FaultKind::EmptyPage, When::always().of(Operation::GetNetwork));
        assert!(matches!(FaultPlan::new(vec![fault], 1), Err(SimulatorError::MisplacedFault(..))));
    }
}
