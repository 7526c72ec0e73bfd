//! The comparison: one line for each of whom the invoice, or the roster, has something in a period.
//!
//! The invoice is held against the guests published, and what explains a difference stands beside it: AWS's own count,
//! the number before a restatement, the period before. Where a line is coarser than a network, its guests are the sum of
//! its networks', as nothing says that AWS bills a guest of two networks once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::invoice::{Bearer, Grain, Invoice};
use super::quantity::{Decimal, Price, Tolerance};
use super::verdict::Verdict;
use crate::exit::ExitStatus;
use crate::guest::NetworkId;
use crate::ledger::Ledger;
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::Manifest;
use crate::task::TaskKey;

/// The numbers of an output, as far as an invoice is compared with them.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Of the periods compared, and of the one before each.
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
    /// The state that the numbers were published in, the least final one.
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
    /// The invoice less the guests published, a side without anything counted as none; absent if nothing is published.
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

/// An invoice held against an output.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What tells the lines apart.
    pub grain: Grain,
    /// The lines, by period, then by whom they are for.
    pub lines: Vec<ComparedLine>,
    /// What the final lines differ by in all.
    pub difference: Decimal,
    /// The same as money.
    pub difference_amount: Option<Decimal>,
    /// What a guest costs.
    pub price: Option<Price>,
    /// How far a line may be off.
    pub tolerance: Tolerance,
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
        let finality = |state: &PeriodState| match state {
            PeriodState::Open => 0,
            PeriodState::Settling => 1,
            PeriodState::Closed => 2,
        };
        self.manifests.iter().map(|manifest| manifest.period_state).min_by_key(finality)
    }
}

type LineKey = (BillingPeriod, Bearer);

/// Holds an invoice against what is published.
#[must_use]
pub fn compare(invoice: &Invoice, published: &Published, terms: &Terms) -> Comparison {
    let grain = invoice.grain;
    let sides = sides(published, grain);
    let names = names(published);
    let mut keys: BTreeSet<LineKey> = sides.keys().chain(invoice.lines.keys()).cloned().collect();
    keys.retain(|(period, _)| terms.periods.contains(period));
    let unreadable: BTreeSet<LineKey> =
        unreadable_lines(published, grain).filter(|(period, _)| terms.periods.contains(period)).collect();
    keys.extend(gaps(&keys, &unreadable, &terms.periods));
    keys.extend(unreadable);
    let facts = Facts { invoice, published, terms, sides: &sides, names: &names };
    let lines: Vec<ComparedLine> = keys.into_iter().map(|key| facts.line(key)).collect();
    let counting = lines.iter().filter(|line| line.verdict.counts());
    let sum = |total: Decimal, part: &Decimal| total.plus(part);
    let difference =
        counting.clone().filter_map(|line| line.difference.as_ref()).fold(Decimal::default(), sum);
    let difference_amount = terms.price.as_ref().map(|price| {
        let none = price.of(&Decimal::default());
        counting.filter_map(|line| line.difference_amount.as_ref()).fold(none, sum)
    });
    let (price, tolerance) = (terms.price.clone(), terms.tolerance.clone());
    Comparison { grain, lines, difference: difference.shortest(), difference_amount, price, tolerance }
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
}

impl Facts<'_> {
    fn line(&self, (period, bearer): LineKey) -> ComparedLine {
        let key = (period, bearer.clone());
        let side = self.sides.get(&key);
        let found = self.invoice.lines.get(&key);
        let invoiced = found.map(|line| line.quantity.clone());
        let guests = side.map(Side::guests);
        let difference =
            guests.map(|guests| invoiced.clone().unwrap_or_default().minus(&guests.into()).shortest());
        let difference_amount = match (&self.terms.price, guests) {
            (Some(price), Some(guests)) => {
                Some(price.of(&invoiced.clone().unwrap_or_default()).minus(&price.of(&guests.into())))
            }
            _ => None,
        };
        let before = (period.plus_months(-1), bearer.clone());
        let mut line = ComparedLine {
            period,
            network_id: bearer.network,
            network_name: bearer.network.and_then(|network| self.names.get(&network).cloned()),
            aws_account_id: bearer.account,
            region: bearer.region,
            networks: side.map_or(0, |side| side.manifests.len() as u64),
            period_state: side.and_then(Side::state),
            guests,
            api_guests: side.and_then(Side::api_guests),
            invoiced,
            invoice_rows: found.map_or(0, |line| line.rows),
            invoice_files: found.map_or(0, |line| line.files),
            guests_before_restatement: side.filter(|side| side.restated).map(|side| side.before_restatement),
            guests_of_period_before: self.sides.get(&before).map(Side::guests),
            difference,
            difference_amount,
            verdict: Verdict::Match,
            message: None,
        };
        line.verdict = self.verdict(&line);
        line.message = self.message(&line);
        line
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
            Some(PeriodState::Open | PeriodState::Settling) | None => return Verdict::NotClosed,
        }
        match (line.guests, &line.invoiced, &line.difference) {
            (Some(guests), Some(_), Some(difference)) => {
                if difference.is_zero() {
                    Verdict::Match
                } else if self.terms.tolerance.allows(difference, guests) {
                    Verdict::WithinTolerance
                } else {
                    Verdict::Mismatch
                }
            }
            // Nobody is charged for nobody.
            (Some(0), None, _) => Verdict::Match,
            (Some(_), ..) => Verdict::NotInvoiced,
            (None, Some(_), _) => Verdict::NotPublished,
            (None, None, _) => Verdict::Gap,
        }
    }

    fn message(&self, line: &ComparedLine) -> Option<String> {
        let guests = counted(line.guests);
        let invoiced = line.invoiced.clone().unwrap_or_default();
        let message = match line.verdict {
            Verdict::Match => return None,
            Verdict::WithinTolerance | Verdict::Mismatch => {
                format!("the invoice has {invoiced}, {}{}", self.off_by(line), hint(line))
            }
            Verdict::NotClosed => match line.period_state {
                Some(state) => {
                    format!(
                        "the number is that of an {state} period, which is no verdict; compare it once it is closed"
                    )
                }
                None => "the period is not closed yet, and nothing is published of it".to_owned(),
            },
            Verdict::NotInvoiced => {
                format!("{guests} published, and the invoice has no line{}", self.money(line))
            }
            Verdict::NotPublished => format!(
                "the invoice has {invoiced}, and nothing is published; export it, or find out what is charged"
            ),
            Verdict::Gap => {
                "nothing is published and nothing is invoiced; export it, and ask for the invoice".to_owned()
            }
            Verdict::NotFinal => {
                let state = line.period_state.map_or("not closed", PeriodState::as_str);
                format!(
                    "the number was read while the period was {state}, and it has closed since; run the export \
                     again, then compare"
                )
            }
            Verdict::Unbelievable => {
                format!("the manifest {}", self.unreadable(line).unwrap_or_default())
            }
        };
        Some(message)
    }

    fn off_by(&self, line: &ComparedLine) -> String {
        let difference = line.difference.clone().unwrap_or_default();
        let direction = if difference > Decimal::default() { "more" } else { "fewer" };
        let (off, guests, money) = (difference.magnitude(), counted(line.guests), self.money(line));
        format!("{off} {direction} than the {guests} published{money}")
    }

    fn money(&self, line: &ComparedLine) -> String {
        match (&self.terms.price, &line.difference_amount) {
            (Some(price), Some(amount)) => format!(" ({} {})", amount.signed(), price.currency),
            _ => String::new(),
        }
    }
}

fn counted(guests: Option<u64>) -> String {
    match guests.unwrap_or_default() {
        1 => "1 guest".to_owned(),
        guests => format!("{guests} guests"),
    }
}

/// Says which other number the invoice has, which mostly is the reason.
fn hint(line: &ComparedLine) -> String {
    let is_invoiced = |guests: Option<u64>| guests.is_some() && guests.map(Decimal::from) == line.invoiced;
    if is_invoiced(line.api_guests) {
        "; that is AWS's own count".to_owned()
    } else if is_invoiced(line.guests_before_restatement) {
        "; that is what was published before it was restated".to_owned()
    } else if is_invoiced(line.guests_of_period_before) {
        format!("; that is the number of {}", line.period.plus_months(-1))
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests;
