//! How a comparison is shown: a table for people, CSV for their spreadsheets, JSON for programs.
//!
//! All three hold the same facts. A number in CSV is a number, minus sign and all, and only texts are guarded against
//! being run as formulas: names are whatever the administrator of a network has typed.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::CellAlignment::{self, Left, Right};
use serde::Serialize;

use super::comparison::{ComparedLine, Comparison};
use super::invoice::Invoice;
use super::quantity::{Decimal, Price, Tolerance};
use super::verdict::Verdict;
use crate::dataset::csv::guarded;
use crate::error_chain::excerpt;
use crate::period::PeriodState;
use crate::report::laid_out;

/// The version of the JSON form.
pub const SUMMARY_VERSION: u32 = 1;

/// The longest name that is shown in a table, in characters.
const MAX_NAME: usize = 40;

/// A comparison, and what was compared.
#[derive(Clone, Debug, Serialize)]
pub struct ReconciliationSummary<'a> {
    summary_version: u32,
    output: &'a str,
    invoice: String,
    rows_read: u64,
    rows_compared: u64,
    compared_by: &'static str,
    tolerance: &'a Tolerance,
    price: Option<&'a Price>,
    exit_code: u8,
    difference: &'a Decimal,
    difference_amount: Option<&'a Decimal>,
    verdicts: BTreeMap<Verdict, usize>,
    lines: &'a [ComparedLine],
    #[serde(skip)]
    comparison: &'a Comparison,
}

impl<'a> ReconciliationSummary<'a> {
    /// Sums up a comparison of an invoice with an output.
    #[must_use]
    pub fn of(comparison: &'a Comparison, output: &'a str, file: &Path, invoice: &Invoice) -> Self {
        let mut verdicts = BTreeMap::new();
        for line in &comparison.lines {
            *verdicts.entry(line.verdict).or_default() += 1;
        }
        Self {
            summary_version: SUMMARY_VERSION,
            output,
            invoice: file.display().to_string(),
            rows_read: invoice.rows_read,
            rows_compared: invoice.rows_kept,
            compared_by: comparison.grain.as_str(),
            tolerance: &comparison.tolerance,
            price: comparison.price.as_ref(),
            exit_code: comparison.exit().code(),
            difference: &comparison.difference,
            difference_amount: comparison.difference_amount.as_ref(),
            verdicts,
            lines: &comparison.lines,
            comparison,
        }
    }

    /// Lays it out for people: the table, what does not agree in words, and the sum of it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut paragraphs = vec![self.grid()];
        for line in self.lines {
            // A month that still runs is no finding, and would be one line a network.
            if let Some(message) = line.message.as_ref().filter(|_| line.verdict != Verdict::NotClosed) {
                let (verdict, bearer, period) = (line.verdict, line.bearer(), line.period);
                paragraphs.push(format!("{verdict}: {} in {period}: {message}", excerpt(&bearer, 200)));
            }
        }
        if self.verdicts.contains_key(&Verdict::NotClosed) {
            let note =
                "What is not closed is shown and not judged: compare it again once its period is closed.";
            paragraphs.push(note.to_owned());
        }
        if !self.comparison.grain.network {
            let note =
                "The guests of a line are the sum of its networks': a guest of two networks counts twice.";
            paragraphs.push(note.to_owned());
        }
        paragraphs.push(self.totals());
        paragraphs.join("\n")
    }

    fn grid(&self) -> String {
        let by = self.compared_by.to_uppercase();
        let first: [(&str, CellAlignment); 6] = [
            ("PERIOD", Left),
            (&by, Left),
            ("ROSTER", Right),
            ("API COUNT", Right),
            ("INVOICE", Right),
            ("DIFFERENCE", Right),
        ];
        let last = [("BEFORE RESTATED", Right), ("PERIOD BEFORE", Right), ("STATE", Left), ("VERDICT", Left)];
        let [period, bearer, roster, api, invoice, difference] = first;
        let [restated, before, state, verdict] = last;
        let Some(price) = self.price else {
            let columns =
                [period, bearer, roster, api, invoice, difference, restated, before, state, verdict];
            return laid_out(columns, self.lines.iter().map(cells));
        };
        let amount = (price.currency.as_str(), Right);
        let columns =
            [period, bearer, roster, api, invoice, difference, amount, restated, before, state, verdict];
        let rows = self.lines.iter().map(|line| {
            let [period, bearer, roster, api, invoice, difference, restated, before, state, verdict] =
                cells(line);
            let amount = line.difference_amount.as_ref().map_or_else(absent, Decimal::signed);
            [period, bearer, roster, api, invoice, difference, amount, restated, before, state, verdict]
        });
        laid_out(columns, rows)
    }

    fn totals(&self) -> String {
        let counted = |verdict: &Verdict| Some(format!("{} {verdict}", self.verdicts.get(verdict)?));
        let verdicts: Vec<String> = Verdict::ALL.iter().filter_map(counted).collect();
        let money = match (self.difference_amount, self.price) {
            (Some(amount), Some(price)) => format!(", {} {}", amount.signed(), price.currency),
            _ => String::new(),
        };
        let lines = if self.lines.len() == 1 { "line" } else { "lines" };
        format!(
            "{} {lines} by {}: {}. Invoice less roster, where both are final: {}{money}. {}: {} of {} rows. Files in {}",
            self.lines.len(),
            self.compared_by,
            verdicts.join(", "),
            self.difference.signed(),
            self.invoice,
            self.rows_compared,
            self.rows_read,
            self.output
        )
    }

    /// Writes the lines as CSV in the dialect of the datasets: texts quoted, numbers bare, what is not known empty.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let decimal = |number: &Option<Decimal>| number.as_ref().map(Decimal::to_string).unwrap_or_default();
        let mut records = vec![CSV_COLUMNS.map(|title| text(Some(title)))];
        records.extend(self.lines.iter().map(|line| {
            let network = line.network_id.map(|network| network.to_string());
            [
                text(Some(&line.period.to_string())),
                text(network.as_deref()),
                text(line.network_name.as_deref()),
                text(line.aws_account_id.as_deref()),
                text(line.region.as_deref()),
                line.networks.to_string(),
                text(line.period_state.map(PeriodState::as_str)),
                number(line.guests),
                number(line.api_guests),
                decimal(&line.invoiced),
                decimal(&line.difference),
                decimal(&line.difference_amount),
                text(self.price.map(|price| price.currency.as_str())),
                number(line.guests_before_restatement),
                number(line.guests_of_period_before),
                text(Some(&line.verdict.as_str().to_lowercase())),
                text(line.message.as_deref()),
            ]
        }));
        records.into_iter().map(|record| record.join(",")).collect::<Vec<_>>().join("\n")
    }
}

/// The columns of the CSV.
const CSV_COLUMNS: [&str; 17] = [
    "period",
    "network_id",
    "network_name",
    "aws_account_id",
    "region",
    "networks",
    "period_state",
    "guests",
    "api_guests",
    "invoiced",
    "difference",
    "difference_amount",
    "currency",
    "guests_before_restatement",
    "guests_of_period_before",
    "verdict",
    "message",
];

/// Writes a text as a cell of CSV.
fn text(text: Option<&str>) -> String {
    let quoted = |text: &str| format!("\"{}\"", guarded(text).replace('"', "\"\""));
    text.map(quoted).unwrap_or_default()
}

/// Returns the cells of a line that every table has.
fn cells(line: &ComparedLine) -> [String; 10] {
    let number = |number: Option<u64>| number.map_or_else(absent, |number| number.to_string());
    let name = line.network_name.as_ref().map(|name| format!(" {}", excerpt(name, MAX_NAME)));
    [
        line.period.to_string(),
        format!("{}{}", excerpt(&line.bearer(), 100), name.unwrap_or_default()),
        number(line.guests),
        number(line.api_guests),
        line.invoiced.as_ref().map_or_else(absent, Decimal::to_string),
        line.difference.as_ref().map_or_else(absent, Decimal::signed),
        number(line.guests_before_restatement),
        number(line.guests_of_period_before),
        line.period_state.map_or_else(absent, |state| state.to_string()),
        line.verdict.to_string(),
    ]
}

fn absent() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_spreadsheet_would_run_is_guarded_and_a_line_stays_a_line() {
        assert_eq!(text(Some("=Acme \"EU\"")), "\"'=Acme \"\"EU\"\"\"");
        assert_eq!((text(Some("")), text(None)), ("\"\"".to_owned(), String::new()));
    }
}
