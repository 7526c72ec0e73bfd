//! The name of one run, by which its log lines, its summary and what it left elsewhere are found together.

use std::fmt;

use serde::{Serialize, Serializer};

/// A random number, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(u64);

impl RunId {
    /// Draws one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_has_sixteen_digits_however_small_it_is() {
        assert_eq!(RunId(0xab).to_string(), "00000000000000ab");
        assert_eq!(serde_json::to_string(&RunId(u64::MAX)).unwrap(), "\"ffffffffffffffff\"");
        assert_ne!(RunId::random(), RunId::random());
    }
}
