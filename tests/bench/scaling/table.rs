//! What was foretold beside what was measured, as Markdown, and its place on the page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::machine::{self, grouped};
use crate::model::whole;
use crate::trial::{Aside, Figures, Trial};

const BEGIN: &str = "<!-- measured: `cargo bench --bench scaling` replaces what stands between here -->\n";
const END: &str = "<!-- and here -->\n";

/// Returns the table of one trial.
pub(crate) fn of(trial: &Trial, (measured, aside): &(Figures, Aside)) -> String {
    let predicted = trial.predicted();
    let mut table = format!("\n{trial}:\n\n| what | predicted | measured | ratio |\n|---|---|---|---|\n");
    let count = |figures: u64| (grouped(figures), whole(figures));
    let requests = |figures: &Figures| figures.described + figures.counts + figures.pages;
    let largest = (trial.shards > 1).then(|| {
        ("networks of the largest share", count(predicted.largest_share), count(measured.largest_share))
    });
    let counts = [
        ("requests for networks", count(predicted.described), count(measured.described)),
        ("requests for counts", count(predicted.counts), count(measured.counts)),
        ("requests for pages", count(predicted.pages), count(measured.pages)),
        ("requests in all", count(requests(&predicted)), count(requests(measured))),
    ];
    let seconds = |figures: &Figures| (format!("{:.1} s", figures.seconds), figures.seconds);
    let memory = |figures: &Figures| (format!("{:.1} MiB", figures.peak_mib), figures.peak_mib);
    let rest = [
        ("wall, of the slowest process", seconds(&predicted), seconds(measured)),
        ("peak memory, of the largest process", memory(&predicted), memory(measured)),
    ];
    for (what, predicted, measured) in largest.into_iter().chain(counts).chain(rest) {
        let ratio = measured.1 / predicted.1;
        writeln!(table, "| {what} | {} | {} | {ratio:.3} |", predicted.0, measured.0)
            .expect("a string takes everything");
    }
    let Aside { to_first_request, after_last_answer, cpu, tasks } = aside;
    writeln!(
        table,
        "\nFirst request after {:.0} ms, end {after_last_answer:.2} s after the last answer, CPU {cpu:.1} s, {:.2} ms a task.",
        to_first_request * 1e3,
        cpu * 1e3 / whole(*tasks)
    )
    .expect("a string takes everything");
    table
}

/// Returns what the figures depend on.
pub(crate) fn machine(version: &str) -> String {
    let facts: Vec<String> =
        machine::machine().into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("\n{version}; {}.\n", facts.join("; "))
}

/// Replaces what is measured on the page.
pub(crate) fn replace(page: &Path, measured: &str) {
    let text = fs::read_to_string(page).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("the mark where it begins");
    let (_, after) = rest.split_once(END).expect("the mark where it ends");
    fs::write(page, format!("{before}{BEGIN}{measured}\n{END}{after}")).expect("the page is written");
}
