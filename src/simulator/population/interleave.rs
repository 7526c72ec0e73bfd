//! A sequence with an extra element after some of its elements, every position of which is found by arithmetic.
//!
//! It is what lets ten million guests have duplicates and aliases without a table of them: the extras stand at
//! even distances (as the dots of a sloped line do), so that position and element convert into each other with
//! one division. The phase shifts where they stand.

/// Says which of the original elements are followed by an extra one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interleave {
    per_thousand: u64,
    phase: u64,
}

/// What stands at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// The original element of this number.
    Original(u64),
    /// The extra element of number `extra`, directly after original element `after`.
    Extra { extra: u64, after: u64 },
}

impl Interleave {
    /// Puts an extra element after `per_thousand` (at most 1000) of each thousand originals.
    pub(super) fn new(per_thousand: u32, phase: u64) -> Self {
        Self { per_thousand: u64::from(per_thousand.min(1000)), phase: phase % 1000 }
    }

    /// Returns how many extras stand before original element `original`.
    pub(super) fn extras_before(self, original: u64) -> u64 {
        (original * self.per_thousand + self.phase) / 1000
    }

    /// Returns where original element `original` stands; of the number of originals, the whole length.
    pub(super) fn position(self, original: u64) -> u64 {
        original + self.extras_before(original)
    }

    /// Returns what stands at a position.
    pub(super) fn at(self, position: u64) -> Element {
        let original = (1000 * position + 999 - self.phase) / (1000 + self.per_thousand);
        if self.position(original) == position {
            Element::Original(original)
        } else {
            Element::Extra { extra: self.extras_before(original), after: original }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_elements_convert_into_each_other() {
        for per_thousand in [0, 1, 3, 333, 500, 999, 1000] {
            for phase in [0, 1, 500, 999] {
                let interleave = Interleave::new(per_thousand, phase);
                let mut position = 0;
                let mut extras = 0;
                for original in 0..3000 {
                    assert_eq!(interleave.position(original), position);
                    assert_eq!(interleave.at(position), Element::Original(original));
                    position += 1;
                    if interleave.extras_before(original + 1) > extras {
                        let element = Element::Extra { extra: extras, after: original };
                        assert_eq!(interleave.at(position), element, "{per_thousand} {phase}");
                        extras += 1;
                        position += 1;
                    }
                }
                assert_eq!(interleave.position(3000), position);
                assert!(extras.abs_diff(3 * u64::from(per_thousand)) <= 1);
            }
        }
    }

    #[test]
    fn an_extra_never_precedes_the_original_of_its_own_number() {
        let interleave = Interleave::new(500, 999);
        for position in 0..10_000 {
            if let Element::Extra { extra, after } = interleave.at(position) {
                assert!(extra <= after);
            }
        }
    }
}
