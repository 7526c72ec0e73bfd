//! How a comparison is shown: a table for people, CSV for their spreadsheets, JSON for programs.
//!
//! All three hold the same facts. A number in CSV is a number, minus sign and all, and only texts are guarded against
//! being run as formulas: names are whatever the administrator of a network has typed.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::CellAlignment::{self, Left, Right};
use serde::Serialize;

use super::comparison::{ComparedLine, Comparison, VerdictTotal, months};
use super::invoice::{Invoice, parts, rows_in_words};
use super::quantity::{Decimal, Price, Tolerance};
use super::verdict::Verdict;
use crate::dataset::csv::guarded;
use crate::error_chain::excerpt;
use crate::guest::NetworkId;
use crate::ledger::named;
use crate::period::{BillingPeriod, PeriodState};
use crate::publish::SourceKind;
use crate::report::laid_out_as;

/// The version of the JSON form.
pub const SUMMARY_VERSION: u32 = 1;

/// The longest name that is shown in a table, in characters.
const MAX_NAME: usize = 40;

/// A comparison, and what was compared.
#[derive(Clone, Debug, Serialize)]
pub struct ReconciliationSummary<'a> {
    summary_version: u32,
    output: &'a str,
    source_kind: Option<SourceKind>,
    invoice: String,
    files_read: u64,
    files_skipped: Vec<String>,
    rows_read: u64,
    rows_compared: u64,
    compared_by: &'static str,
    tolerance: &'a Tolerance,
    price: Option<&'a Price>,
    exit_code: u8,
    gone_without_effect: &'a [NetworkId],
    message: Option<&'a str>,
    difference: &'a Decimal,
    difference_amount: Option<&'a Decimal>,
    totals: &'a [VerdictTotal],
    verdicts: BTreeMap<Verdict, u64>,
    lines: &'a [ComparedLine],
    #[serde(skip)]
    comparison: &'a Comparison,
}

/// A line of the table: one of the comparison, or several months of which nobody has anything.
struct Row<'a> {
    line: &'a ComparedLine,
    last: BillingPeriod,
    months: u64,
}

fn period(row: &Row<'_>) -> String {
    months(row.line.period, row.last)
}

/// A column of the table.
type Column<'a> = (&'a str, CellAlignment, Box<dyn Fn(&Row<'_>) -> String + 'a>);

impl<'a> ReconciliationSummary<'a> {
    /// Sums up a comparison of an invoice with an output.
    #[must_use]
    pub fn of(comparison: &'a Comparison, output: &'a str, file: &Path, invoice: &Invoice) -> Self {
        let verdicts = comparison.totals.iter().map(|total| (total.verdict, total.lines));
        Self {
            summary_version: SUMMARY_VERSION,
            output,
            source_kind: comparison.source_kind,
            invoice: file.display().to_string(),
            files_read: invoice.files,
            files_skipped: invoice.files_skipped.iter().map(|file| file.display().to_string()).collect(),
            rows_read: invoice.rows_read,
            rows_compared: invoice.rows_kept,
            compared_by: comparison.grain.as_str(),
            tolerance: &comparison.tolerance,
            price: comparison.price.as_ref(),
            exit_code: comparison.exit().code(),
            gone_without_effect: &comparison.gone_without_effect,
            message: comparison.message.as_deref(),
            difference: &comparison.difference,
            difference_amount: comparison.difference_amount.as_ref(),
            totals: &comparison.totals,
            verdicts: verdicts.collect(),
            lines: &comparison.lines,
            comparison,
        }
    }

    /// Lays it out for people: what holds for all of it, the table, what does not agree in words, and the sum of it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let caveat = self.source_kind.and_then(SourceKind::caveat);
        let mut paragraphs: Vec<String> =
            [caveat, self.message].into_iter().flatten().map(str::to_owned).collect();
        let rows = folded(self.lines);
        paragraphs.push(self.grid(&rows));
        for row in &rows {
            // A month that still runs is no finding, and would be one line a network.
            if let Some(message) =
                row.line.message.as_ref().filter(|_| row.line.verdict != Verdict::NotClosed)
            {
                let (verdict, bearer, period) = (row.line.verdict, row.line.bearer(), period(row));
                let months = if row.months > 1 { format!(", {} months", row.months) } else { String::new() };
                paragraphs
                    .push(format!("{verdict}: {} in {period}{months}: {message}", excerpt(&bearer, 200)));
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
        if !self.gone_without_effect.is_empty() {
            let networks = self.gone_without_effect.iter().copied().collect();
            paragraphs.push(format!(
                "--gone without effect: {} missed in no month that is compared; check the id, or leave it out",
                named(&networks)
            ));
        }
        paragraphs.push(self.total());
        paragraphs.push(self.closing());
        paragraphs.extend(self.skipped());
        paragraphs.join("\n")
    }

    fn grid(&self, rows: &[Row<'_>]) -> String {
        let number = |number: Option<u64>| number.map_or_else(absent, |number| number.to_string());
        let signed = |number: Option<&Decimal>| number.map_or_else(absent, Decimal::signed);
        let by = self.compared_by.to_uppercase();
        let mut columns: Vec<Column<'_>> =
            vec![("PERIOD", Left, Box::new(period)), (&by, Left, Box::new(|row| bearer_and_name(row.line)))];
        if !self.comparison.grain.network {
            columns.push(("NETWORKS", Right, Box::new(|row| networks(row.line))));
        }
        columns.push(("ROSTER", Right, Box::new(move |row| number(row.line.guests))));
        columns.push(("API COUNT", Right, Box::new(move |row| number(row.line.api_guests))));
        columns.push((
            "INVOICE",
            Right,
            Box::new(|row| row.line.invoiced.as_ref().map_or_else(absent, Decimal::to_string)),
        ));
        if self.lines.iter().any(|line| line.invoice_rows > 1) {
            let made_of = |line: &ComparedLine| match line.invoice_rows {
                0 => absent(),
                1 => "1 row".to_owned(),
                rows => parts(rows, line.invoice_files).unwrap_or_default(),
            };
            columns.push(("MADE OF", Left, Box::new(move |row| made_of(row.line))));
        }
        columns.push(("DIFFERENCE", Right, Box::new(move |row| signed(row.line.difference.as_ref()))));
        if let Some(price) = self.price {
            let amount = move |row: &Row<'_>| signed(row.line.difference_amount.as_ref());
            columns.push((&price.currency, Right, Box::new(amount)));
        }
        if self.lines.iter().any(|line| line.guests_before_restatement.is_some()) {
            let before = move |row: &Row<'_>| number(row.line.guests_before_restatement);
            columns.push(("BEFORE RESTATED", Right, Box::new(before)));
        }
        columns.push(("PERIOD BEFORE", Right, Box::new(move |row| number(row.line.guests_of_period_before))));
        let state = |row: &Row<'_>| row.line.period_state.map_or_else(absent, |state| state.to_string());
        columns.push(("PUBLISHED AS", Left, Box::new(state)));
        columns.push(("VERDICT", Left, Box::new(|row| row.line.verdict.to_string())));
        let titles: Vec<(&str, CellAlignment)> =
            columns.iter().map(|(title, alignment, _)| (*title, *alignment)).collect();
        laid_out_as(&titles, rows.iter().map(|row| columns.iter().map(|(.., cell)| cell(row)).collect()))
    }

    /// Says what the invoice has too much or too little in all, and which kinds of lines make it so.
    fn total(&self) -> String {
        let differs = |difference: &Decimal, amount: Option<&Decimal>| {
            let money = amount.zip(self.price);
            let money = money.map(|(amount, price)| format!(" ({} {})", amount.signed(), price.currency));
            format!("{}{}", difference.signed(), money.unwrap_or_default())
        };
        let counted = |total: &VerdictTotal| {
            let lines = if total.lines == 1 { "line" } else { "lines" };
            format!("{}, {} {lines}", total.verdict, total.lines)
        };
        let all = differs(self.difference, self.difference_amount);
        let mut text = vec![format!("Invoice less roster, in guests: {all} in all.")];
        for total in self.totals.iter().filter(|total| total.verdict != Verdict::Match) {
            if let Some(difference) = &total.difference {
                let difference = differs(difference, total.difference_amount.as_ref());
                text.push(format!("  {}: {difference}", counted(total)));
            }
        }
        let left_out: Vec<String> =
            self.totals.iter().filter(|total| total.difference.is_none()).map(counted).collect();
        if !left_out.is_empty() {
            text.push(format!("  not in it, as there is no final number: {}", left_out.join("; ")));
        }
        text.join("\n")
    }

    /// Names the files beside those of the invoice that were not read.
    fn skipped(&self) -> Option<String> {
        const NAMED: usize = 5;
        let skipped = &self.files_skipped;
        let mut named: Vec<String> = skipped.iter().take(NAMED).map(|file| excerpt(file, 200)).collect();
        if skipped.len() > NAMED {
            named.push(format!("and {} more", skipped.len() - NAMED));
        }
        (!named.is_empty()).then(|| format!("Not read, by how they are called: {}", named.join(", ")))
    }

    fn closing(&self) -> String {
        let verdicts: Vec<String> =
            self.totals.iter().map(|total| format!("{} {}", total.lines, total.verdict)).collect();
        let lines = if self.lines.len() == 1 { "line" } else { "lines" };
        let files =
            if self.files_read == 1 { String::new() } else { format!(" in {} files", self.files_read) };
        format!(
            "{} {lines} by {}: {}. {}: {} of {}{files}. Files in {}",
            self.lines.len(),
            self.compared_by,
            verdicts.join(", "),
            self.invoice,
            self.rows_compared,
            rows_in_words(self.rows_read),
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
                text(listed(line).as_deref()),
                text(line.period_state.map(PeriodState::as_str)),
                number(line.guests),
                number(line.api_guests),
                decimal(&line.invoiced),
                line.invoice_rows.to_string(),
                line.invoice_files.to_string(),
                decimal(&line.difference),
                decimal(&line.difference_amount),
                text(self.price.map(|price| price.currency.as_str())),
                number(line.guests_before_restatement),
                number(line.guests_of_period_before),
                text(Some(&line.verdict.as_str().to_lowercase())),
                text(line.message.as_deref()),
                text(self.source_kind.map(SourceKind::as_str)),
            ]
        }));
        records.into_iter().map(|record| record.join(",")).collect::<Vec<_>>().join("\n")
    }
}

/// The columns of the CSV.
const CSV_COLUMNS: [&str; 21] = [
    "period",
    "network_id",
    "network_name",
    "aws_account_id",
    "region",
    "networks",
    "missing_networks",
    "published_as",
    "guests",
    "api_guests",
    "invoiced",
    "invoice_rows",
    "invoice_files",
    "difference",
    "difference_amount",
    "currency",
    "guests_before_restatement",
    "guests_of_period_before",
    "verdict",
    "message",
    "source_kind",
];

/// Writes a text as a cell of CSV.
fn text(text: Option<&str>) -> String {
    let quoted = |text: &str| format!("\"{}\"", guarded(text).replace('"', "\"\""));
    text.map(quoted).unwrap_or_default()
}

/// Makes one row of the months in a row of which nobody has anything, and one of every other line.
fn folded(lines: &[ComparedLine]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut gaps: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines {
        if line.verdict == Verdict::Gap {
            let last = gaps.insert(line.bearer(), rows.len());
            if let Some((at, row)) = last.and_then(|at| Some((at, rows.get_mut(at)?)))
                && row.last.plus_months(1) == line.period
                && row.line.message == line.message
            {
                (row.last, row.months) = (line.period, row.months + 1);
                gaps.insert(line.bearer(), at);
                continue;
            }
        }
        rows.push(Row { line, last: line.period, months: 1 });
    }
    rows
}

fn bearer_and_name(line: &ComparedLine) -> String {
    let name = line.network_name.as_ref().map(|name| format!(" {}", excerpt(name, MAX_NAME)));
    format!("{}{}", excerpt(&line.bearer(), 100), name.unwrap_or_default())
}

/// Counts the networks of a line, and those that it should have.
fn networks(line: &ComparedLine) -> String {
    match line.missing_networks.len() as u64 {
        0 => line.networks.to_string(),
        missing => format!("{} of {}", line.networks, line.networks + missing),
    }
}

/// Lists the networks that are missed in a line.
fn listed(line: &ComparedLine) -> Option<String> {
    let networks: Vec<&str> = line.missing_networks.iter().map(NetworkId::as_str).collect();
    (!networks.is_empty()).then(|| networks.join(" "))
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
