//! What was measured, as a page of Markdown: on the terminal always, in `RESULTS.md` if it is the whole of it.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::contenders::{Built, said};
use crate::goals::{Goal, Line, Measured, Row, Scale, Spread};

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

fn machine() -> Vec<(String, String)> {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        ("measured on".to_owned(), chrono::Utc::now().format("%Y-%m-%d").to_string()),
        ("processor".to_owned(), model.map_or("unknown", |(_, model)| model).to_owned()),
        ("processors at hand".to_owned(), cores.to_string()),
        ("system".to_owned(), said(Command::new("uname").arg("-sr"))),
    ]
}

/// Writes a number with a comma before every third digit from the right.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |(index, digit): (usize, char)| {
        let is_group = index > 0 && (digits.len() - index).is_multiple_of(3);
        is_group.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(comma).collect()
}
