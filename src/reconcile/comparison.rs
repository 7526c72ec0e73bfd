//! The comparison: one line for each of whom the invoice, or the roster, has something in a period.
//!
//! The invoice is held against the guests published, and what explains a difference stands beside it: AWS's own count,
//! the number before a restatement, the period before. Where a line is coarser than a network, its guests are the sum of
//! its networks', as nothing says that AWS bills a guest of two networks once.

mod wording;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::invoice::{Bearer, Grain, Invoice};
use super::quantity::{Decimal, Price, Tolerance};
use super::verdict::Verdict;
use crate::exit::ExitStatus;
use crate::guest::NetworkId;
use crate::ledger::Ledger;
use crate::ledger::missed::{Attendance, Told};
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::{Manifest, SourceKind};
use crate::task::TaskKey;

/// The numbers of an output, as far as an invoice is compared with them.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// All of it: which networks a month misses is told by other months.
    pub ledger: Ledger,
    /// The guests of the revision before the one that is published, where there was one.
    pub before_restatement: BTreeMap<TaskKey, u64>,
}

/// What is compared, and how strictly.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The periods, each of which has to be on both sides.
    pub periods: BTreeSet<BillingPeriod>,
    /// How far a line may be off.
    pub tolerance: Tolerance,
    /// What a guest costs, if differences are shown as money.
    pub price: Option<Price>,
    /// Networks that are missed no more after the last month that was published of them.
    pub gone: BTreeSet<NetworkId>,
    /// The instant that decides which periods are closed.
    pub now: DateTime<Utc>,
    /// How many days a period settles.
    pub settle_days: u32,
}

/// One line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedLine {
    /// The billing period.
    pub period: BillingPeriod,
    /// The network, if lines are networks.
    pub network_id: Option<NetworkId>,
    /// Its name, where it is known.
    pub network_name: Option<String>,
    /// The AWS account, if lines tell accounts apart.
    pub aws_account_id: Option<String>,
    /// The region, if lines tell regions apart.
    pub region: Option<String>,
    /// The networks that are published in it.
    pub networks: u64,
    /// Those that should be in it, and are not published for the period.
    pub missing_networks: BTreeSet<NetworkId>,
    /// The state that the numbers were published in, the least final one.
    #[serde(rename = "published_as")]
    pub period_state: Option<PeriodState>,
    /// The guests published.
    pub guests: Option<u64>,
    /// AWS's own count of them, if it is known of all networks.
    pub api_guests: Option<u64>,
    /// What the invoice has.
    pub invoiced: Option<Decimal>,
    /// The rows of the invoice that this is made of.
    pub invoice_rows: u64,
    /// The files that those stand in.
    pub invoice_files: u64,
    /// What had been published before the latest restatement, if there was one.
    pub guests_before_restatement: Option<u64>,
    /// The guests published of the period before.
    pub guests_of_period_before: Option<u64>,
    /// The invoice less the guests published, a side without anything counted as none; absent if neither has anything,
    /// or nothing is published yet.
    pub difference: Option<Decimal>,
    /// The same as money.
    pub difference_amount: Option<Decimal>,
    /// What it says of the invoice.
    pub verdict: Verdict,
    /// The verdict in words; none for what agrees.
    pub message: Option<String>,
}

impl ComparedLine {
    /// Names whom the line is for.
    #[must_use]
    pub fn bearer(&self) -> String {
        let (account, region) = (self.aws_account_id.clone(), self.region.clone());
        Bearer { network: self.network_id, account, region }.to_string()
    }
}

/// All lines of one verdict, added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerdictTotal {
    /// The verdict.
    pub verdict: Verdict,
    /// How many lines have it.
    pub lines: u64,
    /// What they differ by; absent if they are not in the total.
    pub difference: Option<Decimal>,
    /// The same as money.
    pub difference_amount: Option<Decimal>,
}

/// An invoice held against an output.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What tells the lines apart.
    pub grain: Grain,
    /// The lines, by period, then by whom they are for.
    pub lines: Vec<ComparedLine>,
    /// What the lines of each verdict differ by.
    pub totals: Vec<VerdictTotal>,
    /// What all lines differ by whose numbers are final, those that one side alone has included.
    pub difference: Decimal,
    /// The same as money.
    pub difference_amount: Option<Decimal>,
    /// What a guest costs.
    pub price: Option<Price>,
    /// How far a line may be off.
    pub tolerance: Tolerance,
    /// What answered when the numbers were published; absent if nothing is published.
    pub source_kind: Option<SourceKind>,
    /// Networks that are said to be gone and that no month which is compared misses.
    pub gone_without_effect: Vec<NetworkId>,
    /// What is to be said of all lines.
    pub message: Option<String>,
}

impl Comparison {
    /// Returns what the comparison ends with.
    #[must_use]
    pub fn exit(&self) -> ExitStatus {
        ExitStatus::of_all(self.lines.iter().map(|line| line.verdict.exit()))
    }
}

/// What is published of one line.
#[derive(Default)]
struct Side<'a> {
    manifests: Vec<&'a Manifest>,
    restated: bool,
    before_restatement: u64,
}

impl<'a> Side<'a> {
    fn add(&mut self, manifest: &'a Manifest, before_restatement: Option<u64>) {
        self.restated |= before_restatement.is_some();
        self.before_restatement += before_restatement.unwrap_or(manifest.counts.guests);
        self.manifests.push(manifest);
    }

    fn guests(&self) -> u64 {
        self.manifests.iter().map(|manifest| manifest.counts.guests).sum()
    }

    fn api_guests(&self) -> Option<u64> {
        self.manifests.iter().map(|manifest| manifest.counts.api_guests).sum()
    }

    fn state(&self) -> Option<PeriodState> {
        self.manifests.iter().map(|manifest| manifest.period_state).min()
    }
}

type LineKey = (BillingPeriod, Bearer);

/// Holds an invoice against what is published.
#[must_use]
pub fn compare(invoice: &Invoice, published: &Published, terms: &Terms) -> Comparison {
    let grain = invoice.grain;
    let sides = sides(published, grain);
    let names = names(published);
    let missed = missed(&published.ledger, grain, terms);
    let mut keys: BTreeSet<LineKey> =
        sides.keys().chain(invoice.lines.keys()).chain(missed.keys()).cloned().collect();
    keys.retain(|(period, _)| terms.periods.contains(period));
    let unreadable: BTreeSet<LineKey> =
        unreadable_lines(published, grain).filter(|(period, _)| terms.periods.contains(period)).collect();
    let is_due = |(period, _): &LineKey| period.start() <= terms.now;
    keys.extend(gaps(&keys, &unreadable, &terms.periods).into_iter().filter(is_due));
    keys.extend(unreadable);
    let facts = Facts { invoice, published, terms, sides: &sides, names: &names, missed: &missed };
    let mut lines: Vec<ComparedLine> = keys.into_iter().map(|key| facts.line(key)).collect();
    wording::pair_up(&mut lines);
    let totals: Vec<VerdictTotal> =
        Verdict::ALL.into_iter().filter_map(|verdict| total(verdict, &lines, terms.price.as_ref())).collect();
    let amounts = || totals.iter().filter_map(|total| total.difference_amount.as_ref());
    let difference = sum(totals.iter().filter_map(|total| total.difference.as_ref()));
    let ledger = &published.ledger;
    let told = Told { gone: terms.gone.clone(), ..Told::default() };
    let attendance = Attendance::of(ledger, &told);
    let has_effect = |network: &&NetworkId| attendance.excuses(**network, &terms.periods);
    Comparison {
        grain,
        lines,
        difference,
        difference_amount: terms.price.as_ref().map(|price| price.none().plus(&sum(amounts()))),
        totals,
        price: terms.price.clone(),
        tolerance: terms.tolerance.clone(),
        source_kind: ledger.source_kind(),
        gone_without_effect: terms.gone.iter().filter(|network| !has_effect(network)).copied().collect(),
        message: unpublished(ledger, terms),
    }
}

fn sum<'a>(numbers: impl Iterator<Item = &'a Decimal>) -> Decimal {
    numbers.fold(Decimal::default(), |sum, number| sum.plus(number))
}

/// Adds up the lines of one verdict, if there are any.
fn total(verdict: Verdict, lines: &[ComparedLine], price: Option<&Price>) -> Option<VerdictTotal> {
    let lines: Vec<&ComparedLine> = lines.iter().filter(|line| line.verdict == verdict).collect();
    if lines.is_empty() {
        return None;
    }
    let amounts = || lines.iter().filter_map(|line| line.difference_amount.as_ref());
    let difference = || sum(lines.iter().filter_map(|line| line.difference.as_ref())).shortest();
    Some(VerdictTotal {
        verdict,
        lines: lines.len() as u64,
        difference: verdict.counts().then(difference),
        difference_amount: price.filter(|_| verdict.counts()).map(|price| price.none().plus(&sum(amounts()))),
    })
}

/// Says that the invoice and the output are of different months, if they are.
fn unpublished(ledger: &Ledger, Terms { periods, now, .. }: &Terms) -> Option<String> {
    let published = ledger.periods();
    // Of a month that has not begun nobody can export anything, which its lines say.
    if !published.is_disjoint(periods) || periods.iter().all(|period| period.start() > *now) {
        return None;
    }
    let (first, last) = (published.first()?, published.last()?);
    Some(format!(
        "Nothing is published of {}, which is all that is compared; the output has {}. Export the months of the invoice, \
         or say with --period which to compare.",
        months(*periods.first()?, *periods.last()?),
        months(*first, *last)
    ))
}

/// Names months from one to another.
pub(super) fn months(first: BillingPeriod, last: BillingPeriod) -> String {
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

/// Returns the lines that lack networks: those that are missed in months of which others are published. Whom a missed
/// network is for is what the latest month says that has it.
fn missed(ledger: &Ledger, grain: Grain, terms: &Terms) -> BTreeMap<LineKey, BTreeSet<NetworkId>> {
    let latest: BTreeMap<NetworkId, &Manifest> =
        ledger.publications.values().map(|manifest| (manifest.network_id, manifest)).collect();
    let mut missed = BTreeMap::<LineKey, BTreeSet<NetworkId>>::new();
    let told = Told { gone: terms.gone.clone(), ..Told::default() };
    let attendance = Attendance::of(ledger, &told);
    for period in ledger.periods().intersection(&terms.periods) {
        for network in attendance.missed(*period).into_keys() {
            let unknown = Bearer { network: grain.network.then_some(network), ..Bearer::default() };
            let bearer = latest.get(&network).map_or(unknown, |manifest| bearer_of(manifest, grain));
            missed.entry((*period, bearer)).or_default().insert(network);
        }
    }
    missed
}

fn bearer_of(manifest: &Manifest, grain: Grain) -> Bearer {
    let Grain { network, account, region } = grain;
    Bearer {
        network: network.then_some(manifest.network_id),
        account: manifest.source.aws_account_id.clone().filter(|_| account),
        region: region.then(|| manifest.source.region.to_ascii_lowercase()),
    }
}

fn sides(published: &Published, grain: Grain) -> BTreeMap<LineKey, Side<'_>> {
    let mut sides = BTreeMap::<LineKey, Side<'_>>::new();
    for (task, manifest) in &published.ledger.publications {
        let side = sides.entry((task.period, bearer_of(manifest, grain))).or_default();
        side.add(manifest, published.before_restatement.get(task).copied());
    }
    sides
}

/// Returns the latest name of each network.
fn names(published: &Published) -> BTreeMap<NetworkId, String> {
    let publications = published.ledger.publications.values();
    publications
        .filter_map(|manifest| Some((manifest.network_id, manifest.source.network_name.clone()?)))
        .collect()
}

/// Returns the lines that there are only because a manifest of them cannot be read: which account it is of is in it.
fn unreadable_lines(published: &Published, grain: Grain) -> impl Iterator<Item = LineKey> {
    published.ledger.unreadable.keys().map(move |task| {
        (task.period, Bearer { network: grain.network.then_some(task.network), ..Bearer::default() })
    })
}

/// Returns what neither side has: a period that has no line at all, and for each bearer the periods between two of its
/// own. What cannot be read is not absent.
fn gaps(
    keys: &BTreeSet<LineKey>,
    unreadable: &BTreeSet<LineKey>,
    periods: &BTreeSet<BillingPeriod>,
) -> Vec<LineKey> {
    let mut by_bearer = BTreeMap::<&Bearer, BTreeSet<BillingPeriod>>::new();
    for (period, bearer) in keys {
        by_bearer.entry(bearer).or_default().insert(*period);
    }
    let with_lines: BTreeSet<BillingPeriod> =
        keys.iter().chain(unreadable).map(|(period, _)| *period).collect();
    let mut gaps: Vec<LineKey> =
        periods.difference(&with_lines).map(|period| (*period, Bearer::default())).collect();
    for (bearer, own) in by_bearer {
        let (Some(first), Some(last)) = (own.first(), own.last()) else { continue };
        let between = with_lines.range(*first..=*last).filter(|period| !own.contains(period));
        let between = between.map(|period| (*period, bearer.clone()));
        gaps.extend(between.filter(|line| !unreadable.contains(line)));
    }
    gaps
}

/// All that lines are made of.
struct Facts<'a> {
    invoice: &'a Invoice,
    published: &'a Published,
    terms: &'a Terms,
    sides: &'a BTreeMap<LineKey, Side<'a>>,
    names: &'a BTreeMap<NetworkId, String>,
    missed: &'a BTreeMap<LineKey, BTreeSet<NetworkId>>,
}

impl Facts<'_> {
    fn line(&self, (period, bearer): LineKey) -> ComparedLine {
        let key = (period, bearer.clone());
        let side = self.sides.get(&key);
        let found = self.invoice.lines.get(&key);
        let invoiced = found.map(|line| line.quantity.clone());
        let guests = side.map(Side::guests);
        let before = (period.plus_months(-1), bearer.clone());
        let mut line = ComparedLine {
            period,
            network_id: bearer.network,
            network_name: bearer.network.and_then(|network| self.names.get(&network).cloned()),
            aws_account_id: bearer.account,
            region: bearer.region,
            networks: side.map_or(0, |side| side.manifests.len() as u64),
            missing_networks: self.missed.get(&key).cloned().unwrap_or_default(),
            period_state: side.and_then(Side::state),
            guests,
            api_guests: side.and_then(Side::api_guests),
            invoiced,
            invoice_rows: found.map_or(0, |line| line.rows),
            invoice_files: found.map_or(0, |line| line.files),
            guests_before_restatement: side.filter(|side| side.restated).map(|side| side.before_restatement),
            guests_of_period_before: self.sides.get(&before).map(Side::guests),
            difference: None,
            difference_amount: None,
            verdict: Verdict::Match,
            message: None,
        };
        if let Some(guests) = guests {
            self.differ(&mut line, guests);
        }
        line.verdict = self.verdict(&line);
        if matches!(line.verdict, Verdict::NotPublished | Verdict::NotBegun) {
            self.differ(&mut line, 0);
        }
        line.message = self.message(&line);
        line
    }

    /// Sets what a line differs by from so many guests.
    fn differ(&self, line: &mut ComparedLine, guests: u64) {
        let (invoiced, guests) = (line.invoiced.clone().unwrap_or_default(), Decimal::from(guests));
        line.difference = Some(invoiced.minus(&guests).shortest());
        let price = self.terms.price.as_ref();
        line.difference_amount = price.map(|price| price.of(&invoiced).minus(&price.of(&guests)));
    }

    /// Says why what is published of a line is not known.
    fn unreadable(&self, line: &ComparedLine) -> Option<String> {
        let concerns = |task: &TaskKey| {
            // Where networks are added up, any of them may belong to any line.
            task.period == line.period && line.network_id.is_none_or(|network| network == task.network)
        };
        let mut found = self.published.ledger.unreadable.iter().filter(|(task, _)| concerns(task));
        found.next().map(|(task, reason)| format!("of {task} {reason}"))
    }

    fn verdict(&self, line: &ComparedLine) -> Verdict {
        if self.unreadable(line).is_some() {
            return Verdict::Unbelievable;
        }
        let is_over = line.period.state_at(self.terms.now, self.terms.settle_days) == PeriodState::Closed;
        match line.period_state {
            Some(PeriodState::Closed) => {}
            Some(PeriodState::Open | PeriodState::Settling) if is_over => return Verdict::NotFinal,
            None if is_over => {}
            None if line.period.start() > self.terms.now => return Verdict::NotBegun,
            Some(PeriodState::Open | PeriodState::Settling) | None => return Verdict::NotClosed,
        }
        match (line.guests, &line.invoiced, &line.difference) {
            (Some(guests), Some(_), Some(difference)) => {
                if !self.terms.tolerance.allows(difference, guests) {
                    Verdict::Mismatch
                } else if !line.missing_networks.is_empty() {
                    Verdict::Incomplete
                } else if difference.is_zero() {
                    Verdict::Match
                } else {
                    Verdict::WithinTolerance
                }
            }
            // Nobody is charged for nobody.
            (Some(0), None, _) if line.missing_networks.is_empty() => Verdict::Match,
            (Some(_), ..) => Verdict::NotInvoiced,
            (None, Some(_), _) => Verdict::NotPublished,
            (None, None, _) => Verdict::Gap,
        }
    }
}

#[cfg(test)]
mod tests;
