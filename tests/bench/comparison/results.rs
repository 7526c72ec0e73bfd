//! What was measured, as a page of Markdown: on the terminal always, in `RESULTS.md` if it is the whole of it.

use std::fmt::Write as _;

use crate::contenders::Built;
use crate::goals::{Goal, Line, Measured, Row, Scale, Spread};
use crate::machine::{grouped, machine};

/// Returns the page.
pub(crate) fn page(measured: &Measured, scale: Scale, built: &Built) -> String {
    let mut page = format!(
        "# Measured\n\n`cargo bench --bench comparison` wrote this page whole. What is measured, and how, is in \
         [README.md](README.md).\n\n{} guests on {} pages; medians of {} alternating runs without latency, of {} with \
         it.\n\n| what | goal | measured | | met |\n|---|---|---|---|---|\n",
        grouped(scale.guests),
        grouped(scale.guests.div_ceil(crate::lists::PAGE_ROWS as u64)),
        scale.rounds,
        scale.slow_rounds
    );
    for row in &measured.rows {
        page.push_str(&goal_line(row));
    }
    if !measured.lines.is_empty() {
        page.push_str(
            "\nWithout latency, median (least to most):\n\n\
             | | CPU s | wall s | peak MiB | first request ms | Parquet bytes |\n|---|---|---|---|---|---|\n",
        );
        for line in &measured.lines {
            page.push_str(&contender_line(line));
        }
    }
    page.push('\n');
    for note in &measured.notes {
        writeln!(page, "{note}\n").expect("a string takes everything");
    }
    page.push_str("| machine and versions | |\n|---|---|\n");
    for (name, value) in machine().into_iter().chain(built.versions()) {
        writeln!(page, "| {name} | {value} |").expect("a string takes everything");
    }
    page
}

fn goal_line(row: &Row) -> String {
    let goal = match row.goal {
        Goal::AtMost(most) => format!("at most {most}"),
        Goal::AtLeast(least) => format!("at least {least}"),
    };
    let (figure, detail) = match &row.figure {
        Ok(figure) => (format!("**{figure:.3}**"), row.detail.as_str()),
        Err(why) => ("not measured".to_owned(), why.as_str()),
    };
    let met = match row.is_met() {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    let goal = format!("{goal} {}", row.unit);
    format!("| {} | {} | {figure} | {detail} | {met} |\n", row.what, goal.trim_end())
}

fn contender_line(line: &Line) -> String {
    let shown = |spread: Spread, factor: f64, digits: usize| {
        let Spread { least, median, most } = spread;
        let (least, median, most) = (least * factor, median * factor, most * factor);
        format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
    };
    format!(
        "| {} | {} | {} | {} | {} | {:.0} |\n",
        line.contender.name(),
        shown(line.cpu, 1.0, 3),
        shown(line.wall, 1.0, 3),
        shown(line.peak_mib, 1.0, 1),
        shown(line.first_request, 1e3, 1),
        line.parquet_bytes
    )
}
