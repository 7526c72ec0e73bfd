//! `reconcile`: does the invoice agree with what is published?

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::places::{self, PlaceSettings};
use super::print;
use crate::cli::{ComparisonFormat, ReconcileArguments};
use crate::clock::{Clock as _, SystemClock};
use crate::exit::ExitStatus;
use crate::job::UsageError;
use crate::ledger::{Ledger, NothingPublished};
use crate::period::BillingPeriod;
use crate::reconcile::comparison::Terms;
use crate::reconcile::invoice::Invoice;
use crate::reconcile::mapping::{Mapping, MappingError};
use crate::reconcile::quantity::Price;
use crate::reconcile::rendering::ReconciliationSummary;
use crate::reconcile::{months_of, reconcile as hold_against};
use crate::status::{NeverThere, StatusQuestion};

pub(super) async fn reconcile(arguments: ReconcileArguments) -> anyhow::Result<ExitStatus> {
    let now = SystemClock.now();
    let invoice = Invoice::read(&arguments.invoice, &mapping(arguments.mapping.as_deref())?)?;
    let mut periods = months_of_selectors(&arguments, now)?;
    if periods.is_empty() {
        periods = months_of(&invoice, now)?;
    }
    let terms = Terms {
        periods,
        tolerance: arguments.tolerance.clone(),
        price: price(&arguments),
        gone: arguments.gone.iter().copied().collect(),
        now,
        settle_days: arguments.settle_days,
    };
    let output = places::open_output(&arguments.output, None, &PlaceSettings::default()).await?;
    let ledger = Ledger::read(&*output, |_| true).await?;
    NothingPublished::unless(!ledger.is_empty(), &output.describe())?;
    check_gone(&ledger, &terms).map_err(|error| UsageError(error.to_string()))?;
    let comparison = hold_against(&*output, ledger, &invoice, &terms).await?;
    let summary = ReconciliationSummary::of(&comparison, &arguments.output, &arguments.invoice, &invoice);
    print(&match arguments.summary {
        ComparisonFormat::Text => summary.to_text(),
        ComparisonFormat::Csv => summary.to_csv(),
        ComparisonFormat::Json => serde_json::to_string_pretty(&summary)?,
    })?;
    Ok(comparison.exit())
}

/// Refuses networks that are said to be gone and were never there, as `status` does.
fn check_gone(ledger: &Ledger, terms: &Terms) -> Result<(), NeverThere> {
    let question = StatusQuestion {
        periods: BTreeSet::new(),
        known: None,
        gone: terms.gone.clone(),
        now: terms.now,
        settle_days: terms.settle_days,
    };
    question.check_gone(ledger)
}

/// Reads what an invoice's columns mean, or takes them by their names.
pub(super) fn mapping(file: Option<&Path>) -> Result<Mapping, MappingError> {
    file.map_or_else(|| Ok(Mapping::default()), Mapping::read)
}

fn months_of_selectors(
    arguments: &ReconcileArguments,
    now: DateTime<Utc>,
) -> Result<BTreeSet<BillingPeriod>, UsageError> {
    let mut periods = BTreeSet::new();
    for selector in &arguments.period {
        let selected =
            selector.select(now, arguments.settle_days).map_err(|error| UsageError(error.to_string()))?;
        periods.extend(selected.into_iter().map(|selected| selected.period));
    }
    Ok(periods)
}

fn price(arguments: &ReconcileArguments) -> Option<Price> {
    let (per_guest, currency) = (arguments.price_per_guest.clone()?, arguments.currency.clone()?);
    Some(Price { per_guest, currency, free: arguments.free.unwrap_or_default() })
}
