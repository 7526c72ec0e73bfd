//! What was foretold beside what was measured, as Markdown, and its place on the page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::machine::{self, grouped};
use crate::model::whole;
use crate::trial::{Aside, Figures, Trial};

const BEGIN: &str = "<!-- measured: `cargo bench --bench scaling` replaces what stands between here -->\n";
const END: &str = "<!-- and here -->\n";

/// Heads the table.
pub(crate) const HEAD: &str = "| what | predicted | measured | ratio |\n|---|---|---|---|\n";

/// Returns the rows of one trial, and in a line what nobody foretold.
pub(crate) fn of(trial: &Trial, (measured, aside): &(Figures, Aside)) -> (String, String) {
    let predicted = trial.predicted();
    let requests = |figures: &Figures| {
        let Figures { described, counts, pages, .. } = *figures;
        let shown = format!("{} + {} + {}", grouped(described), grouped(counts), grouped(pages));
        (shown, whole(described + counts + pages))
    };
    let seconds = |figures: &Figures| (format!("{:.1} s", figures.seconds), figures.seconds);
    let memory = |figures: &Figures| (format!("{:.1} MiB", figures.peak_mib), figures.peak_mib);
    let largest = |figures: &Figures| (grouped(figures.largest_share), whole(figures.largest_share));
    let shares = (trial.shards > 1).then(|| ("largest share", largest(&predicted), largest(measured)));
    let figures = [
        ("requests: networks + counts + pages", requests(&predicted), requests(measured)),
        ("time of the slowest process", seconds(&predicted), seconds(measured)),
        ("memory of the largest process", memory(&predicted), memory(measured)),
    ];
    let mut rows = format!("| **{trial}** | | | |\n");
    for (what, predicted, measured) in shares.into_iter().chain(figures) {
        let ratio = measured.1 / predicted.1;
        writeln!(rows, "| {what} | {} | {} | {ratio:.3} |", predicted.0, measured.0)
            .expect("a string takes everything");
    }
    let Aside { to_first_request, after_last_answer, cpu, tasks } = aside;
    let told = format!(
        "{:.0} ms to the first request, {after_last_answer:.2} s after the last answer, CPU {:.1} ms a task",
        to_first_request * 1e3,
        cpu * 1e3 / whole(*tasks)
    );
    (rows, told)
}

/// Returns what the figures depend on.
pub(crate) fn machine(version: &str) -> String {
    let facts: Vec<String> =
        machine::machine().into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("{version}; {}.\n", facts.join("; "))
}

/// Replaces what is measured on the page.
pub(crate) fn replace(page: &Path, measured: &str) {
    let text = fs::read_to_string(page).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("the mark where it begins");
    let (_, after) = rest.split_once(END).expect("the mark where it ends");
    fs::write(page, format!("{before}{BEGIN}\n{measured}\n{END}{after}")).expect("the page is written");
}
