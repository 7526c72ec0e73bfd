//! What is said of a line in words: each sentence has to be understood by whoever sees no other.

use std::collections::BTreeMap;

use super::{ComparedLine, Facts};
use crate::error_chain::excerpt;
use crate::guest::NetworkId;
use crate::ledger::named;
use crate::period::{BillingPeriod, PeriodState};
use crate::reconcile::invoice::parts;
use crate::reconcile::quantity::Decimal;
use crate::reconcile::verdict::Verdict;
use crate::task::TaskKey;

impl Facts<'_> {
    /// Says what a verdict means for a line; nothing of what agrees.
    pub(super) fn message(&self, line: &ComparedLine) -> Option<String> {
        let has = invoiced(line);
        let message = match line.verdict {
            Verdict::Match => return None,
            Verdict::WithinTolerance | Verdict::Mismatch | Verdict::Incomplete => {
                format!("{has}, {}{}", self.off_by(line), hint(line))
            }
            Verdict::NotClosed => match line.period_state {
                Some(state) => {
                    format!(
                        "the number is that of an {state} period, which is no verdict; compare it once it is closed"
                    )
                }
                None => "the period is not closed yet, and nothing is published of it".to_owned(),
            },
            Verdict::NotInvoiced => format!(
                "{} published, and the invoice has no line{}",
                counted(line.guests.unwrap_or_default()),
                self.money(line)
            ),
            Verdict::NotPublished => format!(
                "{has}, and nothing is published{}; export it, or find out what is charged",
                self.money(line)
            ),
            Verdict::NotBegun => format!(
                "the month begins on {} and is invoiced already: {has}{}; see whether another month is meant",
                line.period.start().format("%F"),
                self.money(line)
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
        Some(message + &self.lacking(line))
    }

    /// Says which networks are missed in a line, and what to do about it.
    fn lacking(&self, line: &ComparedLine) -> String {
        if line.missing_networks.is_empty() {
            return String::new();
        }
        let published_since = |network: &NetworkId| {
            let later = |task: TaskKey| task.network == *network && task.period > line.period;
            self.published.ledger.tasks().any(later)
        };
        let ended: Vec<&str> = line
            .missing_networks
            .iter()
            .filter(|network| !published_since(network))
            .map(NetworkId::as_str)
            .collect();
        let remedy = match ended.len() {
            0 => String::new(),
            1 => format!(", or leave it out with --gone {} if it is no more", ended[0]),
            _ => format!(", or leave out with --gone those that are no more of {}", ended.join(", ")),
        };
        if line.network_id.is_some() {
            return format!("; it was published for other months{remedy}");
        }
        let them = if line.missing_networks.len() == 1 { "it" } else { "them" };
        format!(
            "; {} missing: published for other months and not for this one, so that the number published is without \
             {them}; export {them}{remedy}",
            named(&line.missing_networks)
        )
    }

    fn off_by(&self, line: &ComparedLine) -> String {
        let difference = line.difference.clone().unwrap_or_default();
        if difference.is_zero() {
            return "as many as are published".to_owned();
        }
        let direction = if difference > Decimal::default() { "more" } else { "fewer" };
        let guests = counted(line.guests.unwrap_or_default());
        format!("{} {direction} than the {guests} published{}", difference.magnitude(), self.money(line))
    }

    fn money(&self, line: &ComparedLine) -> String {
        match (&self.terms.price, &line.difference_amount) {
            (Some(price), Some(amount)) => format!(" ({} {})", amount.signed(), price.currency),
            _ => String::new(),
        }
    }
}

fn counted(guests: u64) -> String {
    if guests == 1 { "1 guest".to_owned() } else { format!("{guests} guests") }
}

/// Says what the invoice has, and of what it is made.
fn invoiced(line: &ComparedLine) -> String {
    let quantity = line.invoiced.clone().unwrap_or_default();
    let parts = parts(line.invoice_rows, line.invoice_files);
    let parts = parts.map(|parts| format!(" in {parts}")).unwrap_or_default();
    format!("the invoice has {quantity}{parts}")
}

/// Says which other number the invoice has, which mostly is the reason.
fn hint(line: &ComparedLine) -> String {
    if line.difference.as_ref().is_none_or(Decimal::is_zero) {
        return String::new();
    }
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

/// Says of a line that the invoice alone has, and of one that the roster alone has, that they may be the same: those of
/// one month that have the same number, if there is one of each. A region in words is such a line.
pub(super) fn pair_up(lines: &mut [ComparedLine]) {
    let one_sided = |verdict: Verdict, lines: &[ComparedLine]| {
        let mut by_number = BTreeMap::<(BillingPeriod, Decimal), Vec<usize>>::new();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.verdict == verdict) {
            let number = line.invoiced.clone().or_else(|| line.guests.map(Decimal::from));
            by_number.entry((line.period, number.unwrap_or_default().shortest())).or_default().push(at);
        }
        by_number
    };
    let published = one_sided(Verdict::NotInvoiced, lines);
    for (number, invoiced) in one_sided(Verdict::NotPublished, lines) {
        let (&[of_invoice], Some(&[of_roster])) = (&*invoiced, published.get(&number).map(Vec::as_slice))
        else {
            continue;
        };
        let (billed, counted) = (lines[of_invoice].bearer(), lines[of_roster].bearer());
        let hints = [
            (
                of_invoice,
                format!("; {counted} has as many guests and is not invoiced: if that is meant, write it so"),
            ),
            (
                of_roster,
                format!(
                    "; the invoice has as many for {}, of which nothing is published",
                    excerpt(&billed, 100)
                ),
            ),
        ];
        for (at, hint) in hints {
            lines[at].message.get_or_insert_default().push_str(&hint);
        }
    }
}
