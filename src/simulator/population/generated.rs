//! The guests of one generated network and period, any row of which is computed when it is asked for.
//!
//! Three interleaved sequences stand on top of each other: *guests*, each one hash; *slots*, the guests and here
//! and there an alias (an earlier guest's hash under a later username); *rows*, the slots and here and there a
//! repeated one. Aliases always sort after the guest's own slot, so "the smaller username wins" is known without
//! looking. A guest's place skips along with the period's phase, so that months differ in a few guests only.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::Row;
use super::interleave::{Element, Interleave};
use super::names::{Names, Place};
use crate::simulator::config::SimulatorConfig;
use crate::simulator::noise::Noise;

/// The guests of one network in one period.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct GeneratedList {
    noise: Noise,
    names: Names,
    guests: u64,
    aliases: Interleave,
    repeats: Interleave,
    skips: Interleave,
}

impl GeneratedList {
    /// Lays out a network: one list for each of the periods named.
    pub(super) fn network(config: &SimulatorConfig, network: &str, periods: &[String]) -> Vec<Self> {
        let noise = Noise::seeded(config.seed).named(network);
        let aliases = Interleave::new(config.conflicts_per_thousand, noise.named("aliases").below(1000));
        let repeats = Interleave::new(config.duplicates_per_thousand, noise.named("repeats").below(1000));
        let guests = |period: &String| {
            let variation = config.guests * u64::from(config.guests_vary_percent) / 100;
            config.guests - noise.named("guests").named(period).below(variation + 1)
        };
        let counts: Vec<u64> = periods.iter().map(guests).collect();
        let slots = |count: Option<&u64>| aliases.position(count.copied().unwrap_or(0));
        let churn = |phase| Interleave::new(config.churn_per_thousand, phase);
        let middle = churn(999).position(slots(counts.iter().max())) + 1;
        let smallest = slots(counts.iter().filter(|count| **count > 0).min());
        let names = Names::new(noise, middle, smallest, config.hostile_per_thousand);
        let list = |(period, guests): (&String, u64)| Self {
            noise,
            names,
            guests,
            aliases,
            repeats,
            skips: churn(noise.named("skips").named(period).below(1000)),
        };
        periods.iter().zip(counts).map(list).collect()
    }

    pub(super) const fn guests(&self) -> u64 {
        self.guests
    }

    /// Returns how many guests have a second username.
    pub(super) fn conflicts(&self) -> u64 {
        self.aliases.extras_before(self.guests)
    }

    /// Returns how many rows repeat another one entirely.
    pub(super) fn duplicates(&self) -> u64 {
        self.repeats.extras_before(self.slots())
    }

    pub(super) fn rows(&self) -> u64 {
        self.repeats.position(self.slots())
    }

    fn slots(&self) -> u64 {
        self.aliases.position(self.guests)
    }

    /// Returns a row by its rank in the order of usernames.
    pub(super) fn row(&self, rank: u64) -> Row {
        let slot = match self.repeats.at(rank) {
            Element::Original(slot) | Element::Extra { after: slot, .. } => slot,
        };
        let owner = match self.aliases.at(slot) {
            Element::Original(_) => slot,
            Element::Extra { extra: guest, .. } => self.aliases.position(guest),
        };
        Row { username_hash: self.hash(self.place(owner)), username: self.names.name(self.place(slot)) }
    }

    /// Returns only the username of a row, which costs no digest.
    pub(super) fn username(&self, rank: u64) -> String {
        let (Element::Original(slot) | Element::Extra { after: slot, .. }) = self.repeats.at(rank);
        self.names.name(self.place(slot))
    }

    /// Returns a guest under the smallest of their usernames, in the order of usernames.
    pub(super) fn guest(&self, guest: u64) -> Row {
        let place = self.place(self.aliases.position(guest));
        Row { username_hash: self.hash(place), username: self.names.name(place) }
    }

    fn place(&self, slot: u64) -> Place {
        let slots = self.slots();
        let front = self.names.front().min(slots / 3);
        let back = slots - self.names.back().min(slots / 3);
        if slot < front {
            Place::Front(slot)
        } else if slot < back {
            Place::Middle(self.skips.position(slot - front))
        } else {
            Place::Back(slot - back)
        }
    }

    fn hash(&self, place: Place) -> String {
        let (region, index) = match place {
            Place::Front(index) => (0_u64, index),
            Place::Middle(index) => (1, index),
            Place::Back(index) => (2, index),
        };
        let mut digest = Sha256::new();
        for number in [self.noise.value(), region, index] {
            digest.update(number.to_be_bytes());
        }
        digest.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes everything");
            text
        })
    }
}
