//! The page for people: one HTML file that says what is published, what confirmed it, and what is missing.
//!
//! It is made of the ledger and of comparisons of rosters, and of nothing else; no clock is read, so that the same
//! output as of the same instant is the same page. Template and style are files of their own beside this one, and the
//! template escapes what it is given: names of networks are other people's texts. It is well-formed XML too, so that a
//! test can take it apart. No guest is on it, neither by name nor by hash, only how many there are.

pub mod arrivals;
pub mod attention;
mod chart;
pub mod file;
mod months;
mod number;
#[cfg(test)]
mod sample;
mod view;

use askama::Template as _;
use chrono::{DateTime, Utc};

pub use self::arrivals::Arrivals;
pub use self::attention::Attention;
use self::months::Months;
use self::view::View;
use crate::ledger::missed::Told;
use crate::ledger::{Attempts, Ledger, NothingPublished};
use crate::reconcile::comparison::Comparison;

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct PageFacts<'a> {
    /// Where the output is, for people.
    pub output: &'a str,
    /// The instant that decides what should be there.
    pub as_of: DateTime<Utc>,
    /// How many days a month settles after its end.
    pub settle_days: u32,
    /// What is published.
    pub ledger: &'a Ledger,
    /// What is said of networks beside it.
    pub told: &'a Told,
    /// What was tried and is not.
    pub attempts: &'a Attempts,
    /// Who came and went, as far as that was compared.
    pub arrivals: &'a Arrivals,
    /// The invoice that was held against the output, if one was.
    pub invoice: Option<&'a Comparison>,
}

/// A page, and what it says first.
#[derive(Clone, Debug)]
pub struct Page {
    /// The page.
    pub html: String,
    /// What needs attention.
    pub attention: Attention,
    /// How many months something is published of.
    pub months: usize,
    /// How many networks something is published of.
    pub networks: usize,
}

/// Why there is nothing to make a page of (exit 65).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NothingToShow {
    /// There is no manifest.
    #[error(transparent)]
    Published(#[from] NothingPublished),
    /// There is none that can be believed.
    #[error("{place}: {none}, so there is no number to show: {first}", none = none_of(*manifests))]
    Believed {
        /// Where.
        place: String,
        /// How many there are.
        manifests: usize,
        /// What is wrong with the first.
        first: String,
    },
}

fn none_of(manifests: usize) -> String {
    match manifests {
        1 => "its manifest cannot be believed".to_owned(),
        manifests => format!("none of its {manifests} manifests can be believed"),
    }
}

impl NothingToShow {
    /// Refuses an output of which nothing can be shown.
    ///
    /// # Errors
    /// [`NothingToShow`] if it has no publication that can be believed.
    pub fn check(ledger: &Ledger, output: &str) -> Result<(), Self> {
        if !ledger.publications.is_empty() {
            return Ok(());
        }
        NothingPublished::unless(!ledger.is_empty(), output)?;
        let first = ledger.unreadable.values().next().cloned().unwrap_or_default();
        Err(Self::Believed { place: output.to_owned(), manifests: ledger.unreadable.len(), first })
    }
}

/// Makes the page of an output that has something to show.
///
/// # Errors
/// [`NothingToShow`] if it has not.
pub fn make(facts: PageFacts<'_>) -> Result<Page, NothingToShow> {
    NothingToShow::check(facts.ledger, facts.output)?;
    let months = Months::of(facts.ledger, facts.told, facts.as_of, facts.settle_days);
    let mut attention = attention::gather(&months, facts.ledger, facts.attempts, facts.as_of);
    let of_invoice = facts.invoice.map(|comparison| attention::of_invoice(comparison, &months));
    for (trouble, matter) in of_invoice.unwrap_or_default() {
        attention.entry(trouble).or_default().push(matter);
    }
    let html = View::of(facts, &months, &attention).render().expect("a text takes every page");
    let published = months.months.iter().filter(|month| !month.publications.is_empty()).count();
    Ok(Page { html, attention, months: published, networks: months.networks().len() })
}

#[cfg(test)]
mod tests;
