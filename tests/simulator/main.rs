//! The simulator over real HTTP: that it answers as the reference says, and that each fault and habit does what
//! its name says. Everything else is tested against it, so it is tested against the reference alone.
#![cfg(feature = "simulator")]

mod authenticity;
mod client;
mod faults;
mod habits;
mod operations;

use wickr_guest_export::guest::NetworkId;
use wickr_guest_export::period::BillingPeriod;
use wickr_guest_export::simulator::{Population, SimulatorConfig};

const GUESTS: &str = "/networks/01234567/guest-users?billingPeriod=2026-10";

fn network() -> NetworkId {
    "01234567".parse().expect("eight digits")
}

fn october() -> BillingPeriod {
    "2026-10".parse().expect("a period")
}

/// Guests `a`, `b`, … of one network and period, without repeats at the edges of pages.
fn letters(count: u8) -> SimulatorConfig {
    let rows = (b'a'..b'a' + count).map(char::from).map(|name| (format!("hash-{name}"), name.to_string()));
    SimulatorConfig {
        population: Population::explicit([(network(), october(), rows.collect())]),
        edge_repeats_per_thousand: 0,
        ..SimulatorConfig::default()
    }
}
