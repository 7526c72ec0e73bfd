//! Rule 8: a roster is not replaced by one that lost too many of its guests.
//!
//! Lost are the guests of the old roster who are not in the new one, not the difference of the counts: a service
//! that suddenly hashes differently would otherwise replace everybody in silence. Only where the rosters cannot
//! be compared does the difference have to do.

use super::layout::TaskKey;

/// How much a roster may lose; only what exceeds both limits is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShrinkLimit {
    /// The share of its guests, from 0 to 1.
    pub share: f64,
    /// The number of its guests.
    pub guests: u64,
}

impl Default for ShrinkLimit {
    fn default() -> Self {
        Self { share: 0.10, guests: 10 }
    }
}

/// A roster that lost too many guests (exit 3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{lost} of the {before} guests published for {task} are gone, and the new roster has {after}, so the published \
     roster stays; if that is right, run again with --allow-shrink {task}"
)]
pub struct ShrinkRefused {
    /// The task.
    pub task: TaskKey,
    /// How many guests are published.
    pub before: u64,
    /// How many of them are gone.
    pub lost: u64,
    /// How many guests the new roster has.
    pub after: u64,
}

impl ShrinkLimit {
    /// Holds a loss against the limits.
    ///
    /// # Errors
    /// [`ShrinkRefused`] if it exceeds both.
    #[expect(clippy::cast_precision_loss, reason = "guests are counted in far fewer than 2^53")]
    pub fn check(self, task: TaskKey, before: u64, lost: u64, after: u64) -> Result<(), ShrinkRefused> {
        let too_many = lost > self.guests && lost as f64 > self.share * before as f64;
        if too_many { Err(ShrinkRefused { task, before, lost, after }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_refused_only_past_both_limits() {
        let task = TaskKey::new("12345678".parse().unwrap(), "2026-10".parse().unwrap());
        let limit = ShrinkLimit::default();
        for (before, lost, refused) in [
            (1000, 100, false),
            (1000, 101, true),
            (1000, 1000, true),
            (10, 10, false),
            (11, 11, true),
            (20, 10, false),
            (0, 0, false),
            (110, 11, false),
            (109, 11, true),
        ] {
            assert_eq!(
                limit.check(task, before, lost, before - lost).is_err(),
                refused,
                "{lost} of {before}"
            );
        }
        let none = ShrinkLimit { share: 0.0, guests: 0 };
        assert!(none.check(task, 5, 1, 4).is_err() && none.check(task, 5, 0, 5).is_ok());
        let error = limit.check(task, 1000, 500, 512).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "500 of the 1000 guests published for 12345678/2026-10 are gone, and the new roster has 512,"
            ) && error.contains("--allow-shrink 12345678/2026-10"),
            "{error}"
        );
    }
}
