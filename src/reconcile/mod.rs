//! Does the invoice agree with what was published?
//!
//! [`mapping`] says which columns of an invoice mean what, [`invoice`] reads them, [`comparison`] holds them against the
//! numbers of the ledger, line by line, and [`rendering`] shows the result. A number that is not final is compared and
//! never judged: neither an open month nor an unreadable manifest makes an invoice right or wrong.

pub mod comparison;
pub mod invoice;
pub mod mapping;
pub mod quantity;
pub mod rendering;
pub mod verdict;
pub mod written_period;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use self::comparison::{Comparison, Published, Terms, compare};
use self::invoice::Invoice;
use crate::ledger::{self, Ledger};
use crate::period::{BillingPeriod, MAX_SELECTED_PERIODS};
use crate::publish::Manifest;
use crate::storage::{Destination, DestinationError};
use crate::task::TaskKey;

/// How many networks' earlier revisions are looked at at once.
const READ_AT_ONCE: usize = 16;

/// An invoice of more months than anybody compares: mostly a cell with a wrong year (exit 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the invoice has lines from {first} to {last}, more than {MAX_SELECTED_PERIODS} months; say with --period which to \
     compare"
)]
pub struct LongInvoice {
    first: BillingPeriod,
    last: BillingPeriod,
}

/// Lists the months from the first to the last of an invoice. Of those that have not begun nobody has anything but the
/// invoice, so they are only those that it has lines of: mostly a cell with a wrong year.
///
/// # Errors
/// [`LongInvoice`] if there are too many.
pub fn months_of(invoice: &Invoice, now: DateTime<Utc>) -> Result<BTreeSet<BillingPeriod>, LongInvoice> {
    let Some((first, last)) = invoice.span() else { return Ok(BTreeSet::new()) };
    let invoiced: BTreeSet<BillingPeriod> = invoice.lines.keys().map(|(period, _)| *period).collect();
    let begun = last.min(BillingPeriod::containing(now));
    let months = (0..).map(|months| first.plus_months(months)).take_while(|period| *period <= begun);
    let most = MAX_SELECTED_PERIODS as usize;
    let mut periods: BTreeSet<BillingPeriod> = months.take(most + 1).collect();
    periods.extend(invoiced);
    if periods.len() > most { Err(LongInvoice { first, last }) } else { Ok(periods) }
}

/// Holds an invoice against an output, of which the whole ledger has been read.
///
/// # Errors
/// [`DestinationError`] if the output does not answer.
pub async fn reconcile(
    output: &dyn Destination,
    ledger: Ledger,
    invoice: &Invoice,
    terms: &Terms,
) -> Result<Comparison, DestinationError> {
    let restated = ledger.publications.iter().filter(|(_, manifest)| manifest.revision > 1);
    let restated: Vec<(TaskKey, u32)> = restated
        .filter(|(task, _)| terms.periods.contains(&task.period))
        .map(|(task, manifest)| (*task, manifest.revision))
        .collect();
    let earlier = stream::iter(restated).map(async |(task, revision)| {
        let kept = ledger::revisions(output, task).await?;
        Ok::<_, DestinationError>(guests_before(kept.values(), revision).map(|guests| (task, guests)))
    });
    let earlier: Vec<_> = earlier.buffer_unordered(READ_AT_ONCE).try_collect().await?;
    let before_restatement: BTreeMap<TaskKey, u64> = earlier.into_iter().flatten().collect();
    Ok(compare(invoice, &Published { ledger, before_restatement }, terms))
}

/// Returns the guests of the latest revision before one, of those that are kept.
fn guests_before<'a>(kept: impl Iterator<Item = &'a Manifest>, revision: u32) -> Option<u64> {
    let earlier = kept.filter(|manifest| manifest.revision < revision);
    earlier.max_by_key(|manifest| manifest.revision).map(|manifest| manifest.counts.guests)
}
