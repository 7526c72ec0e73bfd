//! The guests that the parts work on.

use std::sync::Arc;

use wickr_guest_export::period::BillingPeriod;
use wickr_guest_export::roster::{FingerprintKey, Roster, RosterBuilder, RosterMode, RosterOf, RosterRows};
use wickr_guest_export::wickr::{GuestPage, model};

use crate::lists::{Direction, Lists};

pub(crate) fn month() -> BillingPeriod {
    "2026-10".parse().expect("a month")
}

/// Returns the bodies of all pages of so many guests.
pub(crate) fn bodies(guests: u64) -> Vec<Vec<u8>> {
    let lists = Lists::new(guests, [month()]);
    (0..).map_while(|number| Some(lists.page(month(), Direction::Ascending, number)?.to_vec())).collect()
}

/// Returns the pages of so many guests.
pub(crate) fn pages(guests: u64) -> Vec<GuestPage> {
    let page = |body: Vec<u8>| model::guest_page(&body.into(), month()).expect("a page");
    bodies(guests).into_iter().map(page).collect()
}

pub(crate) fn of() -> RosterOf {
    RosterOf { network: "12345678".parse().expect("eight digits"), period: month(), mode: RosterMode::Full }
}

/// Returns a builder that has taken all guests of the pages.
pub(crate) fn absorbed(pages: &[GuestPage]) -> RosterBuilder {
    let mut builder = RosterBuilder::new(RosterMode::Full, FingerprintKey::random());
    for page in pages {
        builder.push_all(&page.guests).expect("guests with hashes");
    }
    builder
}

/// Returns the roster of so many guests, held in memory.
pub(crate) fn roster(guests: u64) -> Roster {
    let run = absorbed(&pages(guests)).take_rows().sorted();
    Roster::of(of(), guests, RosterRows::Memory(Arc::new(run))).expect("a roster")
}
