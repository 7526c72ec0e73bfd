//! How invoices write a billing period.
//!
//! A form is recognised by its shape where only one reading is possible. `03/04/2026` has two, so it is read only by a
//! mapping that says which. An instant belongs to the month that it lies in in UTC, as everywhere in this program.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};
use serde::Deserialize;

use crate::error_chain::excerpt;
use crate::period::BillingPeriod;

/// How a billing period is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum WrittenPeriod {
    /// `2026-10` or `2026_10`.
    #[serde(rename = "YYYY-MM")]
    Month,
    /// `10/2026`.
    #[serde(rename = "MM/YYYY")]
    MonthFirst,
    /// Any day or instant of the month: `2026-10-01`, `2026-10-01T00:00:00Z`, `2026-10-01 00:00:00`.
    #[serde(rename = "YYYY-MM-DD")]
    Date,
    /// `10/31/2026`: any day of the month, the month first.
    #[serde(rename = "MM/DD/YYYY")]
    AmericanDate,
    /// `31/10/2026`: any day of the month, the day first.
    #[serde(rename = "DD/MM/YYYY")]
    EuropeanDate,
}

/// A text that is no billing period in the form that was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is `{0}`, which is no billing period such as 2026-10, 10/2026, 2026-10-01 or 2026-10-01T00:00:00Z; \
         period.written of the mapping says how it is written, if it is another form"
)]
pub struct WrittenPeriodError(String);

impl WrittenPeriod {
    /// Reads a billing period, in this form or in any that leaves no doubt.
    ///
    /// # Errors
    /// [`WrittenPeriodError`] with the text.
    pub fn read(form: Option<Self>, text: &str) -> Result<BillingPeriod, WrittenPeriodError> {
        let text = text.trim();
        let unmistakable = [Self::Month, Self::MonthFirst, Self::Date];
        let read = match form {
            Some(form) => form.parse(text),
            None => unmistakable.into_iter().find_map(|form| form.parse(text)),
        };
        read.ok_or_else(|| WrittenPeriodError(excerpt(text, 40)))
    }

    fn parse(self, text: &str) -> Option<BillingPeriod> {
        let of_date = |date: NaiveDate| {
            BillingPeriod::new(u16::try_from(date.year()).ok()?, u8::try_from(date.month()).ok()?)
        };
        let slashed = |form: &str| NaiveDate::parse_from_str(text, form).ok().and_then(of_date);
        match self {
            Self::Month => BillingPeriod::from_wire(text).ok(),
            Self::MonthFirst => {
                let (month, year) = text.split_once('/')?;
                BillingPeriod::from_wire(&format!("{year}-{month:0>2}")).ok()
            }
            Self::Date => {
                // RFC 3339, and what PostgreSQL and DuckDB make of it.
                let instant = DateTime::parse_from_rfc3339(text)
                    .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"));
                let in_utc = text.strip_suffix(" UTC").unwrap_or(text);
                let wall = |form| NaiveDateTime::parse_from_str(in_utc, form).map(|wall| wall.date());
                let date = instant
                    .map(|instant| instant.with_timezone(&Utc).date_naive())
                    .or_else(|_| NaiveDate::parse_from_str(text, "%Y-%m-%d"))
                    .or_else(|_| wall("%Y-%m-%dT%H:%M:%S%.f"))
                    .or_else(|_| wall("%Y-%m-%d %H:%M:%S%.f"));
                date.ok().and_then(of_date)
            }
            Self::AmericanDate => slashed("%m/%d/%Y"),
            Self::EuropeanDate => slashed("%d/%m/%Y"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: Option<WrittenPeriod>, text: &str) -> Option<String> {
        WrittenPeriod::read(form, text).ok().map(|period| period.to_string())
    }

    #[test]
    fn a_form_that_leaves_no_doubt_is_read_by_its_shape() {
        for text in [
            "2026-10",
            "2026_10",
            " 10/2026 ",
            "2026-10-01",
            "2026-10-31T23:59:59Z",
            "2026-10-01T00:00:00.000Z",
            "2026-10-01T00:00:00",
            "2026-10-01 00:00:00",
            "2026-10-01 00:00:00.000 UTC",
            "2026-11-01T00:30:00+02:00",
            "2026-10-01 00:00:00+00",
            "2026-10-01 00:00:00.000Z",
            "2026-11-01 00:30:00.5+02:00",
        ] {
            assert_eq!(read(None, text).as_deref(), Some("2026-10"), "{text}");
        }
        assert_eq!(read(None, "3/2026").as_deref(), Some("2026-03"));
        for text in ["", "2026", "202610", "13/2026", "03/04/2026", "2026-13-01", "October 2026", "1999-01"] {
            assert_eq!(read(None, text), None, "{text}");
        }
    }

    #[test]
    fn a_form_that_is_named_is_the_only_one() {
        let american = Some(WrittenPeriod::AmericanDate);
        assert_eq!(read(american, "03/04/2026").as_deref(), Some("2026-03"));
        assert_eq!(read(Some(WrittenPeriod::EuropeanDate), "03/04/2026").as_deref(), Some("2026-04"));
        assert_eq!(read(american, "2026-10"), None);
        assert_eq!(read(american, "31/10/2026"), None);
    }
}
