//! What a simulator is told to be: its guests, its habits, and what goes wrong.
//!
//! Every knob can stand in the `[simulator]` table of a job file, save explicit populations and their changes,
//! which only tests need. Rates are whole numbers per thousand, so that two readers of a configuration cannot
//! round them differently.

use std::net::SocketAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::faults::{Fault, FaultKind};
use super::population::{Mutation, Population};
use super::wire::Operation;
use crate::guest::NetworkId;
use crate::period::{BillingPeriod, PeriodSpelling};

/// The most guests that a generated network may have in a period.
pub const MAX_GUESTS: u64 = 100_000_000;
/// How many months a generated network has when no periods are named: the current one and those before it.
const DEFAULT_MONTHS: i64 = 6;

/// A simulator as it is configured. The default is the demonstration: three networks, six months, some thousand
/// guests a month, no faults and no rate limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatorConfig {
    /// The port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Decides everything that looks random.
    pub seed: u64,
    /// The region that signatures must name.
    pub region: String,
    /// If set, the session token that every request must carry.
    pub session_token: Option<String>,
    /// What the simulated service believes the time to be when it says which months its history covers and which
    /// month is the current one; the real time if unset. Signatures are always checked against the real time.
    pub now: Option<DateTime<Utc>>,
    /// How far the server's clock for signatures and `Date` headers runs ahead, in seconds.
    pub clock_offset_seconds: i64,

    /// The generated networks.
    pub networks: Vec<NetworkId>,
    /// The generated billing periods; the six months up to `now` if empty.
    pub periods: Vec<BillingPeriod>,
    /// Guests a network and period, at most [`MAX_GUESTS`].
    pub guests: u64,
    /// By how many percent below `guests` a period may lie; 0 makes all equal.
    pub guests_vary_percent: u32,
    /// How many places in a thousand are skipped by a month's guests: what makes months differ; at most 500.
    pub churn_per_thousand: u32,
    /// How many rows in a thousand stand twice, at most 1000.
    pub duplicates_per_thousand: u32,
    /// How many guests in a thousand have a second username, at most 500.
    pub conflicts_per_thousand: u32,
    /// How many usernames in a thousand are hostile or strange: formulas, quotes, line breaks, right-to-left
    /// marks, very long ones; one is empty. At most 1000.
    pub hostile_per_thousand: u32,
    /// Guests on the block list of each network.
    pub blocked_guests: u64,
    /// Where the guests come from.
    #[serde(skip)]
    pub population: Population,
    /// Guests of an explicit population who come and go while they are listed.
    #[serde(skip)]
    pub mutations: Vec<Mutation>,

    /// What a page token stands for.
    pub paging: PagingMode,
    /// How many pages in a thousand repeat rows of the page before.
    pub edge_repeats_per_thousand: u32,
    /// How many rows such a page repeats at most.
    pub edge_repeat_rows: u64,
    /// How long each answer takes, in milliseconds.
    pub latency_ms: u64,
    /// Requests a second that are allowed; all if unset.
    pub requests_per_second: Option<u32>,
    /// How many requests may come at once after a pause.
    pub burst: u32,
    /// What a refusal for rate says about when to come again.
    pub throttle_hint: ThrottleHint,

    /// Habits of `ListGuestUsers` that the reference leaves open.
    pub answers: Answers,
    /// Habits of `GetGuestUserHistoryCount`.
    pub history: History,
    /// What goes wrong; the first that applies to a request is what happens to it.
    pub faults: Vec<Fault>,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        let network = |digits: &str| digits.parse().expect("eight digits");
        Self {
            port: 0,
            seed: 1,
            region: "us-east-1".to_owned(),
            session_token: None,
            now: None,
            clock_offset_seconds: 0,
            networks: vec![network("01234567"), network("12345678"), network("87654321")],
            periods: Vec::new(),
            guests: 3000,
            guests_vary_percent: 20,
            churn_per_thousand: 60,
            duplicates_per_thousand: 3,
            conflicts_per_thousand: 1,
            hostile_per_thousand: 60,
            blocked_guests: 5,
            population: Population::Generated,
            mutations: Vec::new(),
            paging: PagingMode::Offset,
            edge_repeats_per_thousand: 50,
            edge_repeat_rows: 3,
            latency_ms: 0,
            requests_per_second: None,
            burst: 1,
            throttle_hint: ThrottleHint::None,
            answers: Answers::default(),
            history: History::default(),
            faults: Vec::new(),
        }
    }
}

impl SimulatorConfig {
    /// Checks the bounds that types cannot.
    pub(super) fn validate(&self) -> Result<(), SimulatorError> {
        let bounds = [
            ("guests", self.guests, 0, MAX_GUESTS),
            ("guests_vary_percent", self.guests_vary_percent.into(), 0, 100),
            ("churn_per_thousand", self.churn_per_thousand.into(), 0, 500),
            ("duplicates_per_thousand", self.duplicates_per_thousand.into(), 0, 1000),
            ("conflicts_per_thousand", self.conflicts_per_thousand.into(), 0, 500),
            ("hostile_per_thousand", self.hostile_per_thousand.into(), 0, 1000),
            ("edge_repeats_per_thousand", self.edge_repeats_per_thousand.into(), 0, 1000),
            ("requests_per_second", self.requests_per_second.unwrap_or(1).into(), 1, 1_000_000),
            ("burst", self.burst.into(), 1, 1_000_000),
            ("clock_offset_seconds", self.clock_offset_seconds.unsigned_abs(), 0, 1_000_000_000),
        ];
        match bounds.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value)) {
            Some((key, value, low, high)) => Err(SimulatorError::OutOfBounds { key, value, low, high }),
            None => Ok(()),
        }
    }

    /// Returns the generated periods: those named, or the latest months at `now`.
    pub(super) fn effective_periods(&self, now: DateTime<Utc>) -> Vec<BillingPeriod> {
        if !self.periods.is_empty() {
            return self.periods.clone();
        }
        let current = BillingPeriod::containing(now);
        (0..DEFAULT_MONTHS).rev().map(|back| current.plus_months(-back)).collect()
    }

    /// Returns the time by the server's clock.
    pub(super) fn server_clock(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + TimeDelta::seconds(self.clock_offset_seconds)
    }
}

/// What a page token stands for, which decides what happens to rows while the list changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PagingMode {
    /// A number of rows: an arrival repeats a row at the edge, a departure skips one.
    #[default]
    Offset,
    /// The last row that was given: rows neither repeat nor get lost.
    Keyset,
}

/// What a refusal for rate says about when to come again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThrottleHint {
    /// Nothing.
    #[default]
    None,
    /// `Retry-After` in whole seconds.
    Seconds,
    /// `Retry-After` as an HTTP date.
    HttpDate,
    /// `x-amz-retry-after` in milliseconds.
    Milliseconds,
}

/// What comes of asking for a period in some spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodAnswer {
    /// The guests of the period.
    #[default]
    Served,
    /// A `ValidationError`.
    Refused,
    /// An empty list, as if there were none.
    Empty,
}

/// How the last page says that it is the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastToken {
    /// `nextToken` is absent.
    #[default]
    Omitted,
    /// `nextToken` is null.
    Null,
    /// `nextToken` is an empty string.
    Empty,
}

/// Habits of `ListGuestUsers` that the reference leaves open.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// A period asked as `2026-10`.
    pub hyphen: PeriodAnswer,
    /// A period asked as `2026_10`.
    pub underscore: PeriodAnswer,
    /// A `billingPeriod` that is no period; `served` counts as `empty` here.
    pub unreadable: PeriodAnswer,
    /// How rows spell their period.
    pub rows: PeriodSpelling,
    /// How the last page says that it is the last one.
    pub last_token: LastToken,
    /// Whether a list that ends with a full page still gives a token, to an empty page.
    pub trailing_empty_page: bool,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            hyphen: PeriodAnswer::Served,
            underscore: PeriodAnswer::Served,
            unreadable: PeriodAnswer::Refused,
            rows: PeriodSpelling::Hyphen,
            last_token: LastToken::Omitted,
            trailing_empty_page: false,
        }
    }
}

/// Habits of `GetGuestUserHistoryCount`. It lists the months that the past 90 days touch; that it cannot be had
/// at all is a [`Fault`] on that operation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Added to every count; the sum does not fall below 0.
    pub delta: i64,
    /// Added once more with each further time that the network's history is read.
    pub delta_per_read: i64,
    /// Periods that are left out.
    pub unlisted: Vec<BillingPeriod>,
    /// How months are spelled.
    pub spelling: PeriodSpelling,
    /// What becomes of the month that began before the 90 days did.
    pub oldest_month: OldestMonth,
}

impl Default for History {
    fn default() -> Self {
        Self {
            delta: 0,
            delta_per_read: 0,
            unlisted: Vec::new(),
            spelling: PeriodSpelling::Underscore,
            oldest_month: OldestMonth::Partial,
        }
    }
}

/// What the history says of a month that only partly lies within the past 90 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldestMonth {
    /// The share of its guests that the days within the 90 have of all its days.
    #[default]
    Partial,
    /// All of its guests.
    Whole,
    /// Nothing.
    Omitted,
}

/// Why a simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// A knob is set to something that makes no sense.
    #[error("`{key}` of the simulator is {value}; set it between {low} and {high}")]
    OutOfBounds {
        /// The knob.
        key: &'static str,
        /// What it is set to.
        value: u64,
        /// The least that it may be.
        low: u64,
        /// The most that it may be.
        high: u64,
    },
    /// A mutation names a list that is not explicit.
    #[error("network {0} has no explicit guests in {1} that could change; add the list to the population")]
    NothingToChange(NetworkId, BillingPeriod),
    /// A fault alters lists of guests, and is planned for an operation that gives none.
    #[error("the fault {0:?} is planned for {1}, which lists no guests; plan it for ListGuestUsers")]
    MisplacedFault(FaultKind, Operation),
    /// The port cannot be had.
    #[error("the simulator cannot listen on {address}; choose another `port`, or 0 for any free one")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_file_can_set_the_knobs_and_plan_faults() {
        let text = r#"
            seed = 9
            networks = ["01234567"]
            periods = ["2026-09", "2026-10"]
            guests = 12
            requests_per_second = 20
            throttle_hint = "http_date"
            answers = { hyphen = "refused", rows = "underscore", last_token = "null" }
            history = { delta = -1, unlisted = ["2026-09"] }
            [[faults]]
            kind = "internal_server_error"
            when = { page = 2, times = 1 }
            [[faults]]
            kind = { throttled_for_seconds = 2 }
            when = { operation = "GetGuestUserHistoryCount", direction = "DESC" }
        "#;
        let config: SimulatorConfig = toml::from_str(text).unwrap();
        assert_eq!(config.answers.hyphen, PeriodAnswer::Refused);
        assert_eq!(config.answers.underscore, PeriodAnswer::Served);
        assert_eq!((config.history.delta, config.faults.len()), (-1, 2));
        assert!(config.validate().is_ok());
        let error = toml::from_str::<SimulatorConfig>("guest = 1").unwrap_err();
        assert!(error.to_string().contains("unknown field `guest`"), "{error}");
    }

    #[test]
    fn senseless_rates_are_refused_by_name() {
        let config = SimulatorConfig { conflicts_per_thousand: 501, ..SimulatorConfig::default() };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "`conflicts_per_thousand` of the simulator is 501; set it between 0 and 500"
        );
        let config = SimulatorConfig { requests_per_second: Some(0), ..SimulatorConfig::default() };
        assert!(config.validate().is_err());
    }

    #[test]
    fn without_periods_the_latest_six_months_are_simulated() {
        let now = "2026-02-23T00:00:00Z".parse().unwrap();
        let periods = SimulatorConfig::default().effective_periods(now);
        let names: Vec<String> = periods.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["2025-09", "2025-10", "2025-11", "2025-12", "2026-01", "2026-02"]);
    }
}
