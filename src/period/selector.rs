//! Selectors: which billing periods a user means, relative to a day.
//!
//! A selector is resolved against an instant that is passed in, and a month that lies in the future is an error
//! rather than an empty list: it is always a slip of the pen.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::{BillingPeriod, PeriodError};

/// The most periods that one selector may name: ten years.
pub const MAX_SELECTED_PERIODS: u32 = 120;

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
#[must_use]
pub fn months_between(first: BillingPeriod, last: BillingPeriod) -> u32 {
    let index = |period: BillingPeriod| u32::from(period.year) * 12 + u32::from(period.month);
    index(last).saturating_sub(index(first)) + 1
}

/// Returns the latest period that is closed at an instant.
#[must_use]
pub fn latest_closed(now: DateTime<Utc>, settle_days: u32) -> BillingPeriod {
    BillingPeriod::containing(now - TimeDelta::days(i64::from(settle_days))).plus_months(-1)
}

impl FromStr for PeriodSelector {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(40).collect::<String>();
        let counted = |count: &str, make: fn(u32) -> Self| {
            let count: u64 = count.parse().map_err(|_| PeriodError::NotASelector(shown()))?;
            match u32::try_from(count) {
                Ok(within @ 1..=MAX_SELECTED_PERIODS) => Ok(make(within)),
                _ => Err(PeriodError::BadCount(shown(), count)),
            }
        };
        match text.split_once(':') {
            Some(("last", count)) => return counted(count, Self::Last),
            Some(("closed", count)) => return counted(count, Self::Closed),
            Some(("missing", count)) => return counted(count, Self::Missing),
            Some(_) => return Err(PeriodError::NotASelector(shown())),
            None => {}
        }
        if let Some((first, last)) = text.split_once("..") {
            let (first, last): (BillingPeriod, BillingPeriod) = (first.parse()?, last.parse()?);
            if last < first {
                return Err(PeriodError::ReversedRange(first, last));
            }
            let count = months_between(first, last);
            if count > MAX_SELECTED_PERIODS {
                return Err(PeriodError::BadCount(shown(), count.into()));
            }
            return Ok(Self::Range(first, last));
        }
        match text {
            "current" => Ok(Self::Current),
            "previous" => Ok(Self::Previous),
            _ => text.parse().map(Self::Month).map_err(|_| PeriodError::NotASelector(shown())),
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
        let error = "x".repeat(1000).parse::<PeriodSelector>().unwrap_err();
        assert!(error.to_string().len() < 300, "{error}");
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
