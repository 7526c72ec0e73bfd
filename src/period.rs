//! Billing periods: one UTC calendar month, how it is written, how it is selected, and how far it is from final.
//!
//! AWS does not say in which time zone a Wickr billing period begins, so UTC is assumed throughout and the
//! README says so. The API spells a period `2026-10` in one operation and `2026_10` in another; everything
//! past the wire knows only [`BillingPeriod`].

mod selector;

pub use selector::{MAX_SELECTED_PERIODS, PeriodSelector, SelectedPeriod, latest_closed, months_between};

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, TimeDelta, TimeZone, Utc};
use serde::{Deserialize, Serialize};

/// How many days a period settles after its end unless a job says otherwise.
pub const DEFAULT_SETTLE_DAYS: u32 = 3;

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

    /// Returns the period that contains `instant`, held within the years that a period can express.
    #[must_use]
    pub fn containing(instant: DateTime<Utc>) -> Self {
        let months = (i64::from(instant.year()) - 2000) * 12 + i64::from(instant.month0());
        Self { year: 2000, month: 1 }.plus_months(months)
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

/// How far a period is from final, the farthest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an RFC 3339 instant")
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
}
