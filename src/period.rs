//! Billing periods: one UTC calendar month, how it is written, how it is selected, and how far it is from final.
//!
//! AWS does not say in which time zone a Wickr billing period begins, so UTC is assumed throughout and the
//! README says so. The API spells a period `2026-10` in one operation and `2026_10` in another; everything
//! past the wire knows only [`BillingPeriod`].

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, TimeDelta, TimeZone, Utc};
use serde::{Deserialize, Serialize};

/// The most periods that one selector may name: ten years.
pub const MAX_SELECTED_PERIODS: u32 = 120;

/// One calendar month in UTC, ordered by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BillingPeriod {
    year: u16,
    month: u8,
}

/// How a billing period is written in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeriodSpelling {
    /// `2026-10`, as the reference of `ListGuestUsers` documents it.
    #[default]
    Hyphen,
    /// `2026_10`, as the reference of `GetGuestUserHistoryCount` documents it.
    Underscore,
}

impl PeriodSpelling {
    /// Returns the spelling that this one is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Hyphen => Self::Underscore,
            Self::Underscore => Self::Hyphen,
        }
    }

    const fn separator(self) -> char {
        match self {
            Self::Hyphen => '-',
            Self::Underscore => '_',
        }
    }
}

/// Why a text is not a billing period or not a selector of periods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// The text is not a month of the form `YYYY-MM`.
    #[error("`{0}` is not a billing period; write a month as YYYY-MM, such as 2026-10")]
    NotAPeriod(String),
    /// The text is no selector.
    #[error(
        "`{0}` selects no billing period; write a month (2026-10), a range (2026-08..2026-10), `current`, \
         `previous`, `last:N`, `closed:N` or `missing:N`"
    )]
    NotASelector(String),
    /// A range whose end lies before its beginning.
    #[error("the range {0}..{1} ends before it begins; write the earlier month first")]
    ReversedRange(BillingPeriod, BillingPeriod),
    /// A selector that names none or too many.
    #[error("`{0}` selects {1} billing periods; select between 1 and {MAX_SELECTED_PERIODS}")]
    BadCount(String, u64),
    /// A month that lies in the future.
    #[error("billing period {0} has not begun; it begins on {begins}", begins = .0.start().format("%Y-%m-%d"))]
    NotBegun(BillingPeriod),
}

impl BillingPeriod {
    /// Makes the period of `month` (1 to 12) in `year` (2000 to 9998).
    #[must_use]
    pub fn new(year: u16, month: u8) -> Option<Self> {
        ((2000..=9998).contains(&year) && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// Reads either wire spelling, `2026-10` or `2026_10`, and nothing else.
    ///
    /// # Errors
    /// [`PeriodError::NotAPeriod`] with the text as it stands.
    pub fn from_wire(text: &str) -> Result<Self, PeriodError> {
        let error = || PeriodError::NotAPeriod(text.chars().take(32).collect());
        let bytes = text.as_bytes();
        let shaped = bytes.len() == 7
            && matches!(bytes[4], b'-' | b'_')
            && bytes.iter().enumerate().all(|(at, byte)| at == 4 || byte.is_ascii_digit());
        if !shaped {
            return Err(error());
        }
        let year = text[..4].parse().map_err(|_| error())?;
        let month = text[5..].parse().map_err(|_| error())?;
        Self::new(year, month).ok_or_else(error)
    }

    /// Returns the period that contains `instant`.
    ///
    /// # Panics
    /// If the instant lies outside the years 2000 to 9998, which no clock of a working machine does.
    #[must_use]
    pub fn containing(instant: DateTime<Utc>) -> Self {
        u16::try_from(instant.year())
            .ok()
            .zip(u8::try_from(instant.month()).ok())
            .and_then(|(year, month)| Self::new(year, month))
            .expect("the clock stands between the years 2000 and 9998")
    }

    /// Writes the period in one of its wire spellings.
    #[must_use]
    pub fn spelled(self, spelling: PeriodSpelling) -> String {
        format!("{:04}{}{:02}", self.year, spelling.separator(), self.month)
    }

    /// Returns the first instant of the period.
    #[must_use]
    pub fn start(self) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(i32::from(self.year), u32::from(self.month), 1, 0, 0, 0)
            .single()
            .expect("the first of a month exists once in UTC")
    }

    /// Returns the first instant after the period.
    #[must_use]
    pub fn end(self) -> DateTime<Utc> {
        self.plus_months(1).start()
    }

    /// Returns the period `months` later (or earlier, if negative), held within the years it can express.
    #[must_use]
    pub fn plus_months(self, months: i64) -> Self {
        let earliest = 2000 * 12;
        let latest = 9999 * 12 + 11;
        let index = (i64::from(self.year) * 12 + i64::from(self.month) - 1 + months).clamp(earliest, latest);
        Self {
            year: u16::try_from(index / 12).expect("clamped"),
            month: u8::try_from(index % 12 + 1).expect("a remainder of twelve"),
        }
    }

    /// Returns the state of the period at an instant; it settles for `settle_days` after its end.
    #[must_use]
    pub fn state_at(self, instant: DateTime<Utc>, settle_days: u32) -> PeriodState {
        if instant < self.end() {
            PeriodState::Open
        } else if instant < self.end() + TimeDelta::days(i64::from(settle_days)) {
            PeriodState::Settling
        } else {
            PeriodState::Closed
        }
    }
}

impl FromStr for BillingPeriod {
    type Err = PeriodError;

    /// Reads what a person types: `2026-10` only.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Self::from_wire(text) {
            Ok(period) if text.as_bytes()[4] == b'-' => Ok(period),
            _ => Err(PeriodError::NotAPeriod(text.chars().take(32).collect())),
        }
    }
}

impl TryFrom<String> for BillingPeriod {
    type Error = PeriodError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BillingPeriod> for String {
    fn from(period: BillingPeriod) -> Self {
        period.to_string()
    }
}

impl fmt::Display for BillingPeriod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}-{:02}", self.year, self.month)
    }
}

impl fmt::Debug for BillingPeriod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// How far a period is from final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeriodState {
    /// It has not ended: guests still arrive.
    Open,
    /// It ended within the settling days: AWS may still correct it.
    Settling,
    /// It ended longer ago than the settling days.
    Closed,
}

impl PeriodState {
    /// Says whether the period has ended, settled or not.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        match self {
            Self::Open => false,
            Self::Settling | Self::Closed => true,
        }
    }

    /// Returns the word used in manifests, tables and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Settling => "settling",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for PeriodState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// What a user writes to say which periods to export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PeriodSelector {
    /// One month.
    Month(BillingPeriod),
    /// All months from the first to the second, both included.
    Range(BillingPeriod, BillingPeriod),
    /// The month that contains now.
    Current,
    /// The month before it.
    Previous,
    /// The last N months, the current one included.
    Last(u32),
    /// The N latest closed months.
    Closed(u32),
    /// Those of the N latest closed months whose closing numbers are not yet published.
    Missing(u32),
}

/// One period that a selector names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SelectedPeriod {
    /// The period.
    pub period: BillingPeriod,
    /// Set if it is to be exported only where no manifest of its closed state exists.
    pub only_if_missing: bool,
}

impl PeriodSelector {
    /// Lists the periods that the selector names at an instant, earliest first.
    ///
    /// # Errors
    /// [`PeriodError::NotBegun`] for a month that begins after `now`.
    pub fn select(self, now: DateTime<Utc>, settle_days: u32) -> Result<Vec<SelectedPeriod>, PeriodError> {
        let current = BillingPeriod::containing(now);
        let run = |last: BillingPeriod, count: u32, only_if_missing: bool| {
            (0..i64::from(count))
                .rev()
                .map(|back| SelectedPeriod { period: last.plus_months(-back), only_if_missing })
                .collect::<Vec<_>>()
        };
        let selected = match self {
            Self::Month(period) => run(period, 1, false),
            Self::Range(first, last) => run(last, months_between(first, last), false),
            Self::Current => run(current, 1, false),
            Self::Previous => run(current.plus_months(-1), 1, false),
            Self::Last(count) => run(current, count, false),
            Self::Closed(count) => run(latest_closed(now, settle_days), count, false),
            Self::Missing(count) => run(latest_closed(now, settle_days), count, true),
        };
        match selected.iter().find(|selected| selected.period > current) {
            Some(future) => Err(PeriodError::NotBegun(future.period)),
            None => Ok(selected),
        }
    }
}

/// Counts the months from `first` to `last`, both included.
fn months_between(first: BillingPeriod, last: BillingPeriod) -> u32 {
    let index = |period: BillingPeriod| u32::from(period.year) * 12 + u32::from(period.month);
    index(last).saturating_sub(index(first)) + 1
}

fn latest_closed(now: DateTime<Utc>, settle_days: u32) -> BillingPeriod {
    BillingPeriod::containing(now - TimeDelta::days(i64::from(settle_days))).plus_months(-1)
}

impl FromStr for PeriodSelector {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let counted = |count: &str, make: fn(u32) -> Self| {
            let count: u64 = count.parse().map_err(|_| PeriodError::NotASelector(text.to_owned()))?;
            match u32::try_from(count) {
                Ok(within @ 1..=MAX_SELECTED_PERIODS) => Ok(make(within)),
                _ => Err(PeriodError::BadCount(text.to_owned(), count)),
            }
        };
        match text.split_once(':') {
            Some(("last", count)) => return counted(count, Self::Last),
            Some(("closed", count)) => return counted(count, Self::Closed),
            Some(("missing", count)) => return counted(count, Self::Missing),
            Some(_) => return Err(PeriodError::NotASelector(text.to_owned())),
            None => {}
        }
        if let Some((first, last)) = text.split_once("..") {
            let (first, last): (BillingPeriod, BillingPeriod) = (first.parse()?, last.parse()?);
            if last < first {
                return Err(PeriodError::ReversedRange(first, last));
            }
            let count = months_between(first, last);
            if count > MAX_SELECTED_PERIODS {
                return Err(PeriodError::BadCount(text.to_owned(), count.into()));
            }
            return Ok(Self::Range(first, last));
        }
        match text {
            "current" => Ok(Self::Current),
            "previous" => Ok(Self::Previous),
            _ => text.parse().map(Self::Month).map_err(|_| PeriodError::NotASelector(text.to_owned())),
        }
    }
}

impl TryFrom<String> for PeriodSelector {
    type Error = PeriodError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for PeriodSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Month(period) => write!(formatter, "{period}"),
            Self::Range(first, last) => write!(formatter, "{first}..{last}"),
            Self::Current => write!(formatter, "current"),
            Self::Previous => write!(formatter, "previous"),
            Self::Last(count) => write!(formatter, "last:{count}"),
            Self::Closed(count) => write!(formatter, "closed:{count}"),
            Self::Missing(count) => write!(formatter, "missing:{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an RFC 3339 instant")
    }

    fn names(selector: &str, now: &str) -> Vec<String> {
        let selector: PeriodSelector = selector.parse().expect(selector);
        let selected = selector.select(at(now), 3).expect("all have begun");
        selected.iter().map(|selected| selected.period.to_string()).collect()
    }

    #[test]
    fn a_period_reads_both_wire_spellings_and_prints_the_first() {
        for text in ["2026-10", "2026_10"] {
            assert_eq!(BillingPeriod::from_wire(text).unwrap().to_string(), "2026-10");
        }
        let period: BillingPeriod = "2026-10".parse().unwrap();
        assert_eq!(period.spelled(PeriodSpelling::Underscore), "2026_10");
        assert!("2026_10".parse::<BillingPeriod>().is_err(), "people write the hyphen");
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for text in [
            "",
            "2026",
            "2026-1",
            "2026-13",
            "2026-00",
            "2026/10",
            "1999-12",
            "+026-10",
            "2026-1０",
            "2026-10 ",
        ] {
            assert_eq!(
                BillingPeriod::from_wire(text),
                Err(PeriodError::NotAPeriod(text.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn a_period_ends_where_the_next_begins() {
        let december: BillingPeriod = "2026-12".parse().unwrap();
        assert_eq!(december.end(), at("2027-01-01T00:00:00Z"));
        assert_eq!(december.plus_months(-12).to_string(), "2025-12");
        assert_eq!(BillingPeriod::containing(at("2026-12-31T23:59:59.999Z")), december);
    }

    #[test]
    fn a_period_is_open_then_settling_then_closed() {
        let october: BillingPeriod = "2026-10".parse().unwrap();
        for (now, state) in [
            ("2026-10-31T23:59:59Z", PeriodState::Open),
            ("2026-11-01T00:00:00Z", PeriodState::Settling),
            ("2026-11-03T23:59:59Z", PeriodState::Settling),
            ("2026-11-04T00:00:00Z", PeriodState::Closed),
        ] {
            assert_eq!(october.state_at(at(now), 3), state, "{now}");
        }
        assert_eq!(october.state_at(at("2026-11-01T00:00:00Z"), 0), PeriodState::Closed);
    }

    #[test]
    fn every_selector_names_its_periods_earliest_first() {
        let now = "2026-11-23T12:00:00Z";
        assert_eq!(names("2026-10", now), ["2026-10"]);
        assert_eq!(names("2025-11..2026-02", now), ["2025-11", "2025-12", "2026-01", "2026-02"]);
        assert_eq!(names("current", now), ["2026-11"]);
        assert_eq!(names("previous", now), ["2026-10"]);
        assert_eq!(names("last:3", now), ["2026-09", "2026-10", "2026-11"]);
        assert_eq!(names("closed:2", now), ["2026-09", "2026-10"]);
        assert_eq!(
            names("closed:2", "2026-11-03T12:00:00Z"),
            ["2026-08", "2026-09"],
            "October still settles"
        );
    }

    #[test]
    fn missing_names_the_closed_periods_conditionally() {
        let selected = PeriodSelector::Missing(2).select(at("2026-11-23T12:00:00Z"), 3).unwrap();
        assert!(selected.iter().all(|selected| selected.only_if_missing));
        assert_eq!(selected[0].period.to_string(), "2026-09");
        assert_eq!(selected.len(), 2);
    }

    #[test]
    fn selectors_that_mean_nothing_are_refused() {
        for text in ["", "last", "last:", "last:x", "last:-1", "next", "2026-10..", "closed:1:2", "Current"] {
            assert!(text.parse::<PeriodSelector>().is_err(), "{text}");
        }
        for text in ["last:0", "closed:121", "missing:4294967297"] {
            assert!(matches!(text.parse::<PeriodSelector>(), Err(PeriodError::BadCount(..))), "{text}");
        }
        assert!(matches!("2026-10..2026-08".parse::<PeriodSelector>(), Err(PeriodError::ReversedRange(..))));
        assert!(matches!("2000-01..2026-08".parse::<PeriodSelector>(), Err(PeriodError::BadCount(..))));
    }

    #[test]
    fn a_month_that_has_not_begun_is_refused() {
        let selector: PeriodSelector = "2026-11..2026-12".parse().unwrap();
        let error = selector.select(at("2026-11-23T12:00:00Z"), 3).unwrap_err();
        assert_eq!(error.to_string(), "billing period 2026-12 has not begun; it begins on 2026-12-01");
    }

    #[test]
    fn a_selector_prints_as_it_is_written() {
        for text in ["2026-10", "2026-08..2026-10", "current", "previous", "last:3", "closed:2", "missing:3"]
        {
            assert_eq!(text.parse::<PeriodSelector>().unwrap().to_string(), text);
        }
    }
}
