//! Quantities and amounts: exact decimals, as they are written on an invoice.
//!
//! No float is made of them on the way: what is added up in any order gives the same sum, and what is compared is what
//! was written. A text is bounded before it becomes a number, because `1e999999999` is short and its digits are not.

use std::fmt;
use std::str::FromStr;

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, Zero as _};
use serde::{Serialize, Serializer};

use crate::error_chain::excerpt;

/// The longest number that is read, in bytes.
const MAX_BYTES: usize = 64;
/// Quantities and prices are smaller than ten to this power, in either direction.
const MAX_DIGITS_BEFORE_POINT: u32 = 15;
/// The most digits behind the point, trailing zeros aside: a float of 17 digits fits from some billionths on.
const MAX_DIGITS_BEHIND_POINT: i64 = 40;
/// The largest exponent that is read, in either direction.
const MAX_EXPONENT: i64 = 60;

/// An exact decimal number.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(BigDecimal);

/// Why a text is no number that is believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// There is nothing.
    #[error("is empty, where a number should be")]
    Empty,
    /// It is something else than a number.
    #[error("is `{0}`, which is not a number such as 3000, 3000.0 or 3E3, without separators of thousands")]
    NotANumber(String),
    /// No invoice has so many guests.
    #[error("is `{0}`, which is beyond a thousand million million")]
    TooLarge(String),
    /// It has more digits than anything that was counted.
    #[error("is `{0}`, which has more than {MAX_DIGITS_BEHIND_POINT} digits behind the point")]
    TooFine(String),
}

impl Decimal {
    /// Subtracts.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Adds.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self(&self.0 + &other.0)
    }

    /// Multiplies; what is money keeps the digits that its price is written with.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        Self(&self.0 * &other.0)
    }

    /// Returns the number without its sign.
    #[must_use]
    pub fn magnitude(&self) -> Self {
        Self(self.0.abs())
    }

    /// Says whether it is nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// Says whether it has no fraction.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.is_integer()
    }

    /// Returns the number without the zeros that end its fraction.
    #[must_use]
    pub fn shortest(&self) -> Self {
        let shortest = self.0.normalized();
        if shortest.fractional_digit_count() < 0 { Self(shortest.with_scale(0)) } else { Self(shortest) }
    }

    /// Writes the number with its sign, also if that is a plus.
    #[must_use]
    pub fn signed(&self) -> String {
        if self.0 > BigDecimal::zero() { format!("+{self}") } else { self.to_string() }
    }
}

/// Says whether a text is a number to two readers: `2.054` is two and a fraction, or more than two thousand.
#[must_use]
pub fn may_separate_thousands(text: &str) -> bool {
    let digits = text.trim().trim_start_matches(['-', '+']);
    let Some((thousands, rest)) = digits.split_once('.') else { return false };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (1..=3).contains(&thousands.len())
        && !thousands.starts_with('0')
        && rest.len() == 3
        && are_digits(thousands)
        && are_digits(rest)
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Self {
        Self(number.into())
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    /// Reads digits with an optional sign, fraction and exponent, and nothing else: `3,000` means two different numbers
    /// to two readers.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DecimalError::Empty);
        }
        let shown = || excerpt(text, MAX_BYTES);
        let not_a_number = || DecimalError::NotANumber(shown());
        if text.len() > MAX_BYTES {
            return Err(not_a_number());
        }
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse().map_err(|_| not_a_number())?),
            None => (text, 0_i64),
        };
        let (is_negative, digits) = match number.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(not_a_number());
        }
        let magnitude: BigInt = all.parse().map_err(|_| not_a_number())?;
        if magnitude.is_zero() {
            return Ok(Self(BigDecimal::new(magnitude, i64::try_from(fraction.len()).unwrap_or(0))));
        }
        if exponent > MAX_EXPONENT {
            return Err(DecimalError::TooLarge(shown()));
        }
        if exponent < -MAX_EXPONENT {
            return Err(DecimalError::TooFine(shown()));
        }
        let behind_point = i64::try_from(fraction.len()).map_err(|_| not_a_number())? - exponent;
        let number = BigDecimal::new(if is_negative { -magnitude } else { magnitude }, behind_point);
        // What 3E3 means, and not how it is written.
        let number = if behind_point < 0 { number.with_scale(0) } else { number };
        if number.abs() >= 10_u64.pow(MAX_DIGITS_BEFORE_POINT) {
            return Err(DecimalError::TooLarge(shown()));
        }
        if number.normalized().fractional_digit_count() > MAX_DIGITS_BEHIND_POINT {
            return Err(DecimalError::TooFine(shown()));
        }
        Ok(Self(number))
    }
}

impl fmt::Display for Decimal {
    /// Writes digits, never an exponent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0.to_plain_string())
    }
}

impl Serialize for Decimal {
    /// As a text: whoever reads a number of JSON makes a float of it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How far an invoice may be from the roster without being wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// So many guests.
    Guests(Decimal),
    /// So many hundredths of the guests published.
    Percent(Decimal),
}

impl Tolerance {
    /// Says whether a difference is within it.
    #[must_use]
    pub fn allows(&self, difference: &Decimal, guests: u64) -> bool {
        match self {
            Self::Guests(most) => difference.magnitude() <= *most,
            Self::Percent(most) => {
                difference.magnitude().times(&Decimal::from(100)) <= most.times(&guests.into())
            }
        }
    }
}

impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, make): (&str, fn(Decimal) -> Self) = match text.strip_suffix('%') {
            Some(number) => (number, Self::Percent),
            None => (text, Self::Guests),
        };
        match number.parse::<Decimal>() {
            Ok(most) if most >= Decimal::default() => Ok(make(most)),
            _ => Err(format!(
                "`{}` is no tolerance; write a number of guests such as 5, or a share of the roster such as 0.5%, of 0 \
                 or more",
                excerpt(text, 40)
            )),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guests(most) => most.fmt(formatter),
            Self::Percent(most) => write!(formatter, "{most}%"),
        }
    }
}

impl Serialize for Tolerance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a guest costs, to show differences as money as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Of one guest in one period.
    pub per_guest: Decimal,
    /// The currency's three letters.
    pub currency: String,
    /// Guests of each compared line that cost nothing.
    pub free: u64,
}

impl Price {
    /// Returns no money at all, in the digits of the price.
    #[must_use]
    pub fn none(&self) -> Decimal {
        self.per_guest.times(&Decimal::default())
    }

    /// Returns what is charged for so many guests.
    #[must_use]
    pub fn of(&self, guests: &Decimal) -> Decimal {
        let charged = guests.minus(&self.free.into()).shortest();
        self.per_guest.times(&charged.max(Decimal::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_read_exactly_as_they_are_written() {
        for (text, plain) in [
            ("3000", "3000"),
            (" 3000.0 ", "3000"),
            ("3E3", "3000"),
            ("3.0000e+3", "3000"),
            ("+5", "5"),
            ("-12.50", "-12.5"),
            (".5", "0.5"),
            ("7.", "7"),
            ("0.0001344086021505376", "0.0001344086021505376"),
            ("1e-7", "0.0000001"),
            ("0E-30", "0"),
            ("-0", "0"),
            ("999999999999999", "999999999999999"),
        ] {
            assert_eq!(decimal(text).shortest().to_string(), plain, "{text}");
        }
        assert_eq!(decimal("0.1").plus(&decimal("0.2")), decimal("0.3"));
    }

    #[test]
    fn what_is_no_number_that_anybody_counted_is_refused() {
        use DecimalError::{Empty, NotANumber, TooFine, TooLarge};
        assert_eq!(" ".parse::<Decimal>(), Err(Empty));
        for text in
            ["NaN", "inf", "-inf", "1,000", "1 000", "0x10", "--1", "1e", "e1", ".", "-", "１", "1e1e1"]
        {
            assert_eq!(text.parse::<Decimal>(), Err(NotANumber(text.to_owned())), "{text}");
        }
        for text in ["1e15", "-1000000000000000", "1e60", "1e61", "1e999999999"] {
            assert_eq!(text.parse::<Decimal>(), Err(TooLarge(text.to_owned())), "{text}");
        }
        for text in ["1e-41", "1e-61", "1e-999999999"] {
            assert_eq!(text.parse::<Decimal>(), Err(TooFine(text.to_owned())), "{text}");
        }
        let endless = "9".repeat(1_000_000);
        let Err(NotANumber(shown)) = endless.parse::<Decimal>() else { panic!("it is no number") };
        assert!(shown.len() < 100, "{shown}");
    }

    #[test]
    fn a_point_before_three_digits_may_separate_thousands() {
        for text in ["2.054", " -12.000 ", "+999.999"] {
            assert!(may_separate_thousands(text), "{text}");
        }
        for text in
            ["0.054", "2054", "2.05", "2.0540", "1234.567", "12.0000000", ".054", "2.0e3", "2.054.000"]
        {
            assert!(!may_separate_thousands(text), "{text}");
        }
        assert!(decimal("12.0000000").is_whole() && decimal("3E3").is_whole() && !decimal("2.5").is_whole());
    }

    #[test]
    fn a_tolerance_is_a_number_of_guests_or_a_share_of_the_roster() {
        let tolerance = |text: &str| text.parse::<Tolerance>().unwrap();
        assert!(tolerance("2").allows(&decimal("-2"), 0) && !tolerance("2").allows(&decimal("2.01"), 1000));
        let half_a_percent = tolerance("0.5%");
        assert!(half_a_percent.allows(&decimal("5"), 1000) && !half_a_percent.allows(&decimal("5"), 999));
        assert!(tolerance("0").allows(&decimal("0.0"), 3) && !tolerance("100%").allows(&decimal("1"), 0));
        for text in ["", "%", "-1", "-0.5%", "5 guests", "NaN%"] {
            assert!(text.parse::<Tolerance>().is_err(), "{text}");
        }
    }

    #[test]
    fn money_is_exact_and_what_is_free_costs_nothing() {
        let price = Price { per_guest: decimal("5.00"), currency: "USD".to_owned(), free: 100 };
        let costs = |guests: &str| price.of(&decimal(guests)).to_string();
        assert_eq!(
            (costs("103.0"), costs("100"), costs("7")),
            ("15.00".into(), "0.00".into(), "0.00".into())
        );
        assert_eq!(costs("100.5"), "2.500");
    }
}
