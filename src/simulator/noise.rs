//! Reproducible pseudo-random numbers that are computed from a place, not drawn from a stream.
//!
//! A generator with a state would have to be wound forward to guest nine million; a mixing function answers for
//! any place at once, whichever page is asked first. Nothing here is meant to resist an adversary.

/// A place in the simulated world, from the seed downwards: `Noise::seeded(7).at(network).at(row)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noise(u64);

impl Noise {
    pub(super) const fn seeded(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// Steps to a numbered place below this one.
    pub(super) const fn at(self, place: u64) -> Self {
        Self(mix(self.0 ^ mix(place)))
    }

    /// Steps to a named place below this one.
    pub(super) fn named(self, name: &str) -> Self {
        let place = self.at(name.len() as u64);
        name.bytes().fold(place, |place, byte| place.at(u64::from(byte)))
    }

    pub(super) const fn value(self) -> u64 {
        self.0
    }

    /// Returns a number below `bound`, evenly spread; 0 if `bound` is 0.
    pub(super) fn below(self, bound: u64) -> u64 {
        u64::try_from((u128::from(self.0) * u128::from(bound)) >> 64).expect("a product of u64s, halved")
    }

    /// Says yes at `per_thousand` of a thousand places.
    pub(super) fn hits(self, per_thousand: u32) -> bool {
        self.below(1000) < u64::from(per_thousand)
    }
}

/// The finaliser of `SplitMix64`, a bijection on 64 bits.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_always_gives_the_same_number_and_neighbours_differ() {
        let place = Noise::seeded(7).named("01234567").at(3);
        assert_eq!(place, Noise::seeded(7).named("01234567").at(3));
        assert_ne!(place, Noise::seeded(8).named("01234567").at(3));
        assert_ne!(place, Noise::seeded(7).named("01234568").at(3));
        assert_ne!(place, Noise::seeded(7).named("01234567").at(4));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_rates_are_kept() {
        let noise = Noise::seeded(1);
        assert_eq!(noise.below(0), 0);
        assert!((0..1000).all(|place| noise.at(place).below(10) < 10));
        let hits = (0..100_000).filter(|place| noise.at(*place).hits(250)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!((0..1000).all(|place| noise.at(place).hits(1000) && !noise.at(place).hits(0)));
    }
}
