//! What needs somebody's attention before a number is used: gathered by kind, so that two hundred networks with one
//! trouble are one paragraph.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use super::months::{Month, Months, is_contradicted, spans};
use super::number::{Change, grouped};
use crate::guest::NetworkId;
use crate::ledger::missed::Absence;
use crate::ledger::{Attempts, Ledger, staleness};
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::SourceKind;
use crate::reconcile::comparison::{ComparedLine, Comparison};
use crate::reconcile::verdict::Verdict;

/// How many months back a network that ended is still a warning.
const RECENT_MONTHS: usize = 3;

/// A kind of trouble, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The numbers are the simulator's.
    Simulated,
    /// A manifest is not to be believed.
    Damaged,
    /// The invoice does not agree with what is published.
    Invoiced,
    /// AWS's own count contradicts the number of an ended month.
    Contradicted,
    /// A month has no publication at all.
    MissingMonth,
    /// A network is absent where it belongs.
    MissingNetwork,
    /// Neither the invoice nor the output has anything, and no other trouble says so.
    InvoiceGap,
    /// A run tried it, and it was never published.
    NeverPublished,
    /// A month is closed by now, and was published before it was.
    Stale,
    /// The summary cannot be believed.
    Summary,
    /// A month is not final yet, as it should be.
    NotFinal,
    /// A network has ended.
    Ended,
    /// The invoice that was held against the output agrees with it.
    InvoiceAgrees,
    /// Nothing of the invoice could be held against the output.
    InvoiceNotCompared,
}

impl Trouble {
    /// Says whether it is in order, and told only so that nobody takes a number for final.
    #[must_use]
    pub const fn is_note(self) -> bool {
        matches!(self, Self::NotFinal | Self::Ended | Self::InvoiceAgrees | Self::InvoiceNotCompared)
    }

    /// Names it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Simulated => "Not real guests",
            Self::Damaged => "Damaged: records that cannot be believed",
            Self::Invoiced => "The invoice says something else",
            Self::Contradicted => "Mismatch: AWS counts another number",
            Self::MissingMonth => "Missing: months without any number",
            Self::MissingNetwork => "Missing: networks without a number",
            Self::NeverPublished => "Tried and never exported",
            Self::Stale => "Stale: not exported since the month closed",
            Self::Summary => "The summary file cannot be read",
            Self::NotFinal => "Not final yet",
            Self::Ended => "Networks that are no longer exported",
            Self::InvoiceAgrees => "Nothing of the invoice disagrees",
            Self::InvoiceNotCompared => "Nothing of this invoice could be compared yet",
            Self::InvoiceGap => "Gap: neither published nor invoiced",
        }
    }

    /// Says what it means and what to do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Simulated => {
                "These numbers come from the simulator, for trying things out. Do not bill from them."
            }
            Self::Damaged => {
                "What they say may be right, but nothing vouches for it, so it is left out below. Run verify, which says \
                 what to restore."
            }
            Self::Invoiced => {
                "Each line says what the invoice has and what is published. Settle them before it is paid; reconcile \
                 shows all numbers side by side."
            }
            Self::Contradicted => {
                "The list of guests was read in full, twice with the same result, and the count that AWS keeps differs. \
                 Compare with the invoice before it is paid, and ask AWS."
            }
            Self::MissingMonth => {
                "Nothing is published for them, between months that are or after them. Export them while AWS still \
                 lists the guests."
            }
            Self::MissingNetwork => {
                "They were published before, so totals of these months are too low, unless the network was deleted. \
                 Export them, or see who deleted the network."
            }
            Self::NeverPublished => "The last run that tried failed. Its log says why; run it again.",
            Self::Stale => {
                "The number was read before the month was closed, and guests may have come since. Export the month again."
            }
            Self::Summary => {
                "What was tried and failed is not known. Make it anew with report --rebuild-summary."
            }
            Self::NotFinal => {
                "Guests may still be added. The next runs bring these months up to date; bill from them later."
            }
            Self::Ended => {
                "They have no number in any later month. That is right if the network was deleted."
            }
            Self::InvoiceAgrees => {
                "No line of it is further off than it may be. What is not closed, stale or damaged was not judged; \
                 reconcile shows each line."
            }
            Self::InvoiceNotCompared => {
                "A line is judged once its month is closed and its number final. Until then the invoice is neither right \
                 nor wrong."
            }
            Self::InvoiceGap => "Export them if there were guests, and ask for the invoice.",
        }
    }
}

/// One thing that is the matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matter {
    /// The network, if it is about one.
    pub network: Option<NetworkId>,
    /// The months, or the one.
    pub months: String,
    /// What is the matter; empty where the title says all.
    pub text: String,
}

impl fmt::Display for Matter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.network.map(|network| format!("network {network}"));
        let parts = [network.unwrap_or_default(), self.months.clone(), self.text.clone()];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        formatter.write_str(&parts.join(": "))
    }
}

/// All that is the matter, by kind, the gravest first.
pub type Attention = BTreeMap<Trouble, Vec<Matter>>;

/// Gathers what needs attention as of an instant.
pub(super) fn gather(
    months: &Months<'_>,
    ledger: &Ledger,
    attempts: &Attempts,
    as_of: DateTime<Utc>,
) -> Attention {
    let mut attention = Attention::new();
    let mut tell = |trouble, matter| attention.entry(trouble).or_default().push(matter);
    if ledger.publications.values().any(|manifest| manifest.source.kind == SourceKind::Simulator) {
        tell(Trouble::Simulated, Matter { network: None, months: String::new(), text: String::new() });
    }
    for (task, reason) in &ledger.unreadable {
        let (network, months) = (Some(task.network), task.period.to_string());
        tell(Trouble::Damaged, Matter { network, months, text: reason.clone() });
    }
    for (period, closing) in &ledger.closings {
        if let Err(reason) = closing {
            let text = format!("its closing {reason}");
            tell(Trouble::Damaged, Matter { network: None, months: period.to_string(), text });
        }
    }
    for month in &months.months {
        for (trouble, matter) in of_month(month, as_of) {
            tell(trouble, matter);
        }
    }
    let lacking = spans(months.months.iter().filter(|month| month.is_gap()).map(|month| month.period));
    if !lacking.is_empty() {
        tell(Trouble::MissingMonth, Matter { network: None, months: lacking, text: String::new() });
    }
    for (trouble, matter) in absent_networks(months) {
        tell(trouble, matter);
    }
    match attempts {
        Attempts::Known(tasks) => {
            let absent = |network, period| {
                months.month(period).is_some_and(|month| month.absent.contains_key(network))
            };
            let published =
                |task| ledger.publications.contains_key(task) || ledger.unreadable.contains_key(task);
            let tried = tasks.iter().filter(|task| !published(task) && !absent(&task.network, task.period));
            for task in tried {
                let (network, months) = (Some(task.network), task.period.to_string());
                tell(Trouble::NeverPublished, Matter { network, months, text: String::new() });
            }
        }
        Attempts::Unreadable(reason) => {
            tell(Trouble::Summary, Matter { network: None, months: String::new(), text: reason.clone() });
        }
    }
    attention
}

/// Returns what a line of an invoice is told under. What is damaged, stale or missing of the output is told of the output
/// and says nothing of the invoice.
fn trouble_of(line: &ComparedLine, months: &Months<'_>) -> Option<Trouble> {
    match line.verdict {
        Verdict::Mismatch
        | Verdict::Incomplete
        | Verdict::NotInvoiced
        | Verdict::NotPublished
        | Verdict::NotBegun => Some(Trouble::Invoiced),
        Verdict::Gap => {
            let is_month_told = months.month(line.period).is_some_and(Month::is_gap);
            (!is_month_told && line.missing_networks.is_empty()).then_some(Trouble::InvoiceGap)
        }
        Verdict::Match
        | Verdict::WithinTolerance
        | Verdict::NotClosed
        | Verdict::NotFinal
        | Verdict::Unbelievable => None,
    }
}

/// Tells of an invoice that was held against the output.
pub(super) fn of_invoice(comparison: &Comparison, months: &Months<'_>) -> Vec<(Trouble, Matter)> {
    let findings = comparison.lines.iter().filter_map(|line| Some((trouble_of(line, months)?, line)));
    let mut told: Vec<_> = findings
        .map(|(trouble, line)| {
            let whose =
                if line.network_id.is_some() { String::new() } else { format!("{}: ", line.bearer()) };
            let text = format!("{whose}{}", line.message.as_deref().unwrap_or(line.verdict.as_str()));
            (trouble, Matter { network: line.network_id, months: line.period.to_string(), text })
        })
        .collect();
    if told.iter().any(|(trouble, _)| *trouble == Trouble::Invoiced) {
        return told;
    }
    let agrees = |line: &ComparedLine| matches!(line.verdict, Verdict::Match | Verdict::WithinTolerance);
    let is_judged = comparison.lines.iter().any(agrees);
    let trouble = if is_judged { Trouble::InvoiceAgrees } else { Trouble::InvoiceNotCompared };
    let counted = |verdict: &Verdict| {
        let lines = comparison.lines.iter().filter(|line| line.verdict == *verdict).count();
        (lines > 0).then(|| format!("{lines} {verdict}"))
    };
    let verdicts: Vec<String> = Verdict::ALL.iter().filter_map(counted).collect();
    let text = format!("lines by {}: {}", comparison.grain.as_str(), verdicts.join(", "));
    told.push((trouble, Matter { network: None, months: String::new(), text }));
    told
}

/// Tells of the numbers of one month.
fn of_month(month: &Month<'_>, as_of: DateTime<Utc>) -> Vec<(Trouble, Matter)> {
    let mut told = Vec::new();
    let months = month.period.to_string();
    for (network, manifest) in &month.publications {
        if is_contradicted(manifest) {
            let (found, counted) = (manifest.counts.guests, manifest.counts.api_guests.unwrap_or_default());
            let change = Change::between(u128::from(counted), u128::from(found));
            let text = format!(
                "the export found {} guests, AWS counts {} ({})",
                grouped(found.into()),
                grouped(counted.into()),
                change.against("AWS")
            );
            told.push((
                Trouble::Contradicted,
                Matter { network: Some(*network), months: months.clone(), text },
            ));
        }
        if month.calendar == PeriodState::Closed && manifest.period_state != PeriodState::Closed {
            let text = staleness(manifest, as_of);
            told.push((Trouble::Stale, Matter { network: Some(*network), months: months.clone(), text }));
        }
    }
    if month.calendar != PeriodState::Closed && !month.publications.is_empty() {
        let state = match month.calendar {
            PeriodState::Open => format!("open until {}", last_day(month.period)),
            PeriodState::Settling | PeriodState::Closed => "ended, and AWS may still correct it".to_owned(),
        };
        let text = match month.absent.len() {
            0 => state,
            1 => format!("{state}; 1 network is not exported for it yet"),
            networks => format!("{state}; {networks} networks are not exported for it yet"),
        };
        told.push((Trouble::NotFinal, Matter { network: None, months, text }));
    }
    told
}

fn last_day(period: BillingPeriod) -> String {
    (period.end() - TimeDelta::days(1)).format("%Y-%m-%d").to_string()
}

/// Tells of networks that closed months miss; of one that ended long ago only that it did.
fn absent_networks(months: &Months<'_>) -> Vec<(Trouble, Matter)> {
    // What misses all networks is told as a month.
    let of_some = || months.months.iter().filter(|month| !month.is_gap());
    let recent = of_some().rev().nth(RECENT_MONTHS - 1).map(|month| month.period);
    let mut between: BTreeMap<NetworkId, BTreeSet<BillingPeriod>> = BTreeMap::new();
    let mut since: BTreeMap<NetworkId, (BillingPeriod, BillingPeriod)> = BTreeMap::new();
    for month in of_some().filter(|month| month.calendar == PeriodState::Closed) {
        for (network, absence) in &month.absent {
            match absence {
                Absence::Since { last, .. } => drop(since.insert(*network, (month.period, *last))),
                Absence::Between | Absence::Never => {
                    between.entry(*network).or_default().insert(month.period);
                }
            }
        }
    }
    let mut told = Vec::new();
    for (network, (month, last)) in since {
        let is_recent = recent.is_none_or(|recent| month >= recent);
        let trouble = if is_recent { Trouble::MissingNetwork } else { Trouble::Ended };
        let text = format!("published up to {last}, and not since");
        told.push((trouble, Matter { network: Some(network), months: month.to_string(), text }));
    }
    for (network, absent) in between {
        let (months, text) = (spans(absent), "published before and after".to_owned());
        told.push((Trouble::MissingNetwork, Matter { network: Some(network), months, text }));
    }
    told.sort_by_key(|(_, matter)| matter.network);
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{ConfirmedBy, Reconciliation};
    use crate::ledger::missed::Told;
    use crate::page::sample::{ledger, manifest};
    use crate::publish::Manifest;

    const AS_OF: &str = "2026-12-02T09:00:00Z";

    fn told(manifests: Vec<Manifest>, attempts: &Attempts) -> Vec<String> {
        let mut ledger = ledger(manifests);
        ledger.publications.retain(|task, manifest| {
            let is_damaged = manifest.revision == 666;
            if is_damaged {
                ledger.unreadable.insert(*task, "altered".to_owned());
            }
            !is_damaged
        });
        let as_of = AS_OF.parse().unwrap();
        let months = Months::of(&ledger, &Told::default(), as_of, 3);
        let attention = gather(&months, &ledger, attempts, as_of);
        let line = |(trouble, matters): (&Trouble, &Vec<Matter>)| {
            matters.iter().map(|matter| format!("{trouble:?}: {matter}")).collect::<Vec<_>>()
        };
        attention.iter().flat_map(line).collect()
    }

    fn nothing() -> Attempts {
        Attempts::Known(BTreeSet::new())
    }

    #[test]
    fn what_is_in_order_is_not_told() {
        let manifests = vec![manifest("12345678", "2026-09", 9), manifest("12345678", "2026-10", 9)];
        assert_eq!(told(manifests, &nothing()), Vec::<String>::new(), "November still settles");
    }

    #[test]
    fn every_trouble_is_told_with_network_and_month() {
        let one = |period| manifest("11111111", period, 100);
        let two = |period| manifest("22222222", period, 100);
        let mut contradicted = one("2026-06");
        contradicted.counts.api_guests = Some(1_104);
        contradicted.counts.reconciliation = Reconciliation::Mismatch;
        contradicted.counts.confirmed_by = Some(ConfirmedBy::SecondWalk);
        let damaged = Manifest { revision: 666, ..two("2026-06") };
        let stale = Manifest { period_state: PeriodState::Open, ..one("2026-09") };
        let settling = Manifest { period_state: PeriodState::Settling, ..one("2026-11") };
        let manifests =
            vec![one("2026-03"), two("2026-03"), contradicted, damaged, two("2026-08"), stale, settling];
        let tried = ["11111111/2026-08", "33333333/2026-11", "11111111/2026-09"];
        let attempts = Attempts::Known(tried.iter().map(|task| task.parse().unwrap()).collect());
        assert_eq!(
            told(manifests, &attempts),
            [
                "Damaged: network 22222222: 2026-06: altered",
                "Contradicted: network 11111111: 2026-06: the export found 100 guests, AWS counts 1,104 \
                 (1,004 fewer than AWS)",
                "MissingMonth: 2026-04 to 2026-05, 2026-07, 2026-10",
                "MissingNetwork: network 11111111: 2026-08: published before and after",
                "MissingNetwork: network 22222222: 2026-09: published up to 2026-08, and not since",
                "NeverPublished: network 33333333: 2026-11",
                "Stale: network 11111111: 2026-09: read on 2026-11-05 while the month was open; AWS's count could \
                 confirm it until 2026-11-30, and now only two walks can",
                "NotFinal: 2026-11: ended, and AWS may still correct it",
            ]
        );
    }

    #[test]
    fn months_after_the_last_are_missed_once_they_are_closed() {
        let manifests = |period| vec![manifest("12345678", period, 9)];
        assert_eq!(told(manifests("2026-09"), &nothing()), ["MissingMonth: 2026-10"]);
        assert_eq!(told(manifests("2026-07"), &nothing()), ["MissingMonth: 2026-08 to 2026-10"]);
    }

    #[test]
    fn a_network_that_ended_long_ago_is_a_note() {
        let mut manifests: Vec<Manifest> =
            (5..=10).map(|n| manifest("11111111", &format!("2026-{n:02}"), 9)).collect();
        manifests.push(manifest("22222222", "2026-05", 9));
        let ended = "Ended: network 22222222: 2026-06: published up to 2026-05, and not since";
        assert_eq!(told(manifests, &nothing()), [ended]);
        assert!(Trouble::Ended.is_note());
    }

    #[test]
    fn a_summary_that_cannot_be_read_is_told() {
        let attempts = Attempts::Unreadable("no Parquet".to_owned());
        assert_eq!(told(vec![manifest("12345678", "2026-10", 9)], &attempts), ["Summary: no Parquet"]);
    }
}
