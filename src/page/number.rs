//! Numbers as people read them, and what became of one: exact, in whole numbers, whatever their size.

use std::cmp::Ordering;
use std::fmt;

/// Writes a number with its thousands apart, such as `12,345`.
pub(super) fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The difference between two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    before: u128,
    after: u128,
}

impl Change {
    pub(super) const fn between(before: u128, after: u128) -> Self {
        Self { before, after }
    }

    /// Returns the number before.
    pub(super) const fn before(self) -> u128 {
        self.before
    }

    /// Says how much more or less it is than what something else says.
    pub(super) fn against(self, other: &str) -> String {
        let difference = grouped(self.after.abs_diff(self.before));
        match self.after.cmp(&self.before) {
            Ordering::Equal => format!("as many as {other}"),
            Ordering::Less => format!("{difference} fewer than {other}"),
            Ordering::Greater => format!("{difference} more than {other}"),
        }
    }

    /// Writes the difference, with a true minus sign for what fell.
    pub(super) fn difference(self) -> String {
        match self.sign() {
            Some(sign) => format!("{sign}{}", grouped(self.after.abs_diff(self.before))),
            None => "no change".to_owned(),
        }
    }

    /// Writes the difference as a share of what was before; none if it has no share or nothing changed.
    pub(super) fn share(self) -> Option<String> {
        let (sign, tenths) = (self.sign()?, self.tenths()?);
        // No line may end before the percent sign.
        Some(format!("{sign}{}.{}\u{a0}%", grouped(tenths / 10), tenths % 10))
    }

    fn sign(self) -> Option<char> {
        match self.after.cmp(&self.before) {
            Ordering::Equal => None,
            Ordering::Less => Some('−'),
            Ordering::Greater => Some('+'),
        }
    }

    /// Returns the change in tenths of a percent, rounded half away from zero, without its sign.
    fn tenths(self) -> Option<u128> {
        let difference = self.after.abs_diff(self.before).checked_mul(2000)?;
        let tenths = difference.checked_div(self.before)?;
        Some(tenths.div_ceil(2))
    }
}

impl fmt::Display for Change {
    /// Writes `+123 (+4.5 %)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.difference())?;
        match self.share() {
            Some(share) => write!(formatter, " ({share})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_change_is_exact_and_its_share_rounded() {
        for (before, after, text) in [
            (100, 100, "no change"),
            (0, 5, "+5"),
            (2_000, 2_001, "+1 (+0.1 %)"),
            (2_001, 2_000, "−1 (−0.0 %)"),
            (1_000, 1_045, "+45 (+4.5 %)"),
            (3, 2, "−1 (−33.3 %)"),
            (3, 5, "+2 (+66.7 %)"),
            (1, 1_234_568, "+1,234,567 (+123,456,700.0 %)"),
            (2_000, 2_003, "+3 (+0.2 %)"),
        ] {
            assert_eq!(
                Change::between(before, after).to_string().replace('\u{a0}', " "),
                text,
                "{before} {after}"
            );
        }
        assert_eq!(Change::between(u128::MAX, 0).to_string(), format!("−{}", grouped(u128::MAX)));
    }

    #[test]
    fn a_number_is_compared_in_words() {
        assert_eq!(Change::between(10, 8).against("AWS"), "2 fewer than AWS");
        assert_eq!(Change::between(10, 1_012).against("AWS"), "1,002 more than AWS");
    }
}
