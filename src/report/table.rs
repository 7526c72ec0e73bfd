//! The table that `run` prints for people.

use chrono::{DateTime, TimeDelta, Utc};
pub use comfy_table::CellAlignment as Alignment;
use comfy_table::{Cell, CellAlignment, Table, presets};

use super::{KeptWalkSummary, RunSummary, TaskStatus, TaskSummary};
use crate::period::PeriodState;
use crate::retention::{PurgeReport, PurgeStatus};

/// Lays out a run as text: one line a task, then the totals and what there is to say.
#[must_use]
pub fn table(summary: &RunSummary) -> String {
    let mut lines = Vec::new();
    if let Some(shard) = summary.shard.filter(|shard| shard.networks == 0) {
        lines.push(format!("Nothing to do: no network falls to this process. {shard}"));
    } else if !summary.tasks.is_empty() {
        lines.push(grid(&summary.tasks));
    } else if summary.failed_sources.is_empty() {
        lines.push("Nothing to do: no billing period is asked for that is not published already.".to_owned());
    }
    for source in &summary.failed_sources {
        lines.push(format!("failed: {} (exit {}): {}", source.name, source.exit_code, source.message));
    }
    if let Some(shard) = summary.shard.filter(|shard| shard.networks > 0) {
        lines.push(shard.to_string());
    }
    for task in &summary.tasks {
        if let Some(message) = &task.message {
            let word = match task.status {
                TaskStatus::Failed => "failed",
                _ if task.is_contradicted() => "mismatch",
                _ => "note",
            };
            lines.push(format!("{word}: {}/{}: {message}", task.network_id, task.billing_period));
        }
    }
    lines.push(format!(
        "{} requests, {} throttled ({:.1} %), {} repeated. Files in {}",
        summary.requests,
        summary.throttled,
        summary.throttled_share * 100.0,
        summary.retries,
        summary.output
    ));
    lines.join("\n")
}

fn grid(tasks: &[TaskSummary]) -> String {
    use CellAlignment::{Left, Right};
    let columns = [
        ("NETWORK", Left),
        ("PERIOD", Left),
        ("STATE", Left),
        ("GUESTS", Right),
        ("API COUNT", Right),
        ("CONFIRMED BY", Left),
        ("PAGES", Right),
        ("DUPLICATES", Right),
        ("STATUS", Left),
    ];
    let rows = tasks.iter().map(|task| {
        [
            task.network_id.to_string(),
            task.billing_period.to_string(),
            task.period_state.to_string(),
            number(task.guests),
            number(task.api_guests),
            task.confirmed_by.map_or("-", |confirmed| confirmed.as_str()).to_owned(),
            number(task.pages),
            number(task.duplicates),
            status_of(task),
        ]
    });
    laid_out(columns, rows)
}

pub(super) fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Lays out rows under their titles, without lines and without spaces at the ends.
#[must_use]
pub fn laid_out<const N: usize>(
    columns: [(&str, CellAlignment); N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    laid_out_as(&columns, rows.map(Vec::from))
}

/// Lays out rows of as many cells as there are columns, which are decided on as the rows are known.
#[must_use]
pub fn laid_out_as(columns: &[(&str, CellAlignment)], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    let titles = columns.iter().map(|(title, alignment)| Cell::new(title).set_alignment(*alignment));
    table.load_style(presets::NOTHING).set_header(titles);
    for row in rows {
        let cells = row.into_iter().zip(columns);
        table.add_row(cells.map(|(text, (_, alignment))| Cell::new(text).set_alignment(*alignment)));
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Lays out what interrupted runs have left, one line a task.
#[must_use]
pub fn kept_walks(walks: &[KeptWalkSummary], now: DateTime<Utc>) -> String {
    use CellAlignment::{Left, Right};
    let columns = [
        ("NETWORK", Left),
        ("PERIOD", Left),
        ("SAVED AT", Left),
        ("AGE", Right),
        ("PAGES", Right),
        ("ROWS", Right),
        ("BYTES", Right),
        ("OUTPUT", Left),
    ];
    let rows = walks.iter().map(|walk| {
        let known = walk.known.as_ref();
        [
            walk.task.network.to_string(),
            walk.task.period.to_string(),
            known.map_or_else(|| "-".to_owned(), |known| known.saved_at.format("%FT%TZ").to_string()),
            known.map_or_else(|| "-".to_owned(), |known| age(now - known.saved_at)),
            number(known.map(|known| known.pages)),
            number(known.map(|known| known.rows)),
            walk.bytes.to_string(),
            known.map_or_else(
                || "unusable, the next run begins anew".to_owned(),
                |known| known.output.clone(),
            ),
        ]
    });
    laid_out(columns, rows)
}

/// Lays out a purge: one line for each network and period whose rosters are concerned, and what there is to say.
#[must_use]
pub fn purged(report: &PurgeReport) -> String {
    use CellAlignment::{Left, Right};
    let columns = [
        ("NETWORK", Left),
        ("PERIOD", Left),
        ("STATE", Left),
        ("GUESTS", Right),
        ("FILES", Right),
        ("BYTES", Right),
        ("STATUS", Left),
    ];
    let is_shown = |status| !matches!(status, PurgeStatus::Before | PurgeStatus::Nothing);
    let shown: Vec<_> = report.tasks.iter().filter(|task| is_shown(task.status)).collect();
    let mut lines = Vec::new();
    if !shown.is_empty() {
        let rows = shown.iter().map(|task| {
            [
                task.network_id.to_string(),
                task.billing_period.to_string(),
                task.period_state.map_or("-", PeriodState::as_str).to_owned(),
                number(task.guests),
                task.files.to_string(),
                task.bytes.to_string(),
                task.status.words().to_owned(),
            ]
        });
        lines.push(laid_out(columns, rows));
    }
    for task in &shown {
        if let Some(message) = &task.message {
            lines.push(format!("failed: {}/{}: {message}", task.network_id, task.billing_period));
        }
    }
    lines.push(report.to_string());
    lines.join("\n")
}

/// Writes an age in its largest unit: what matters is whether it is minutes, hours or days.
fn age(age: TimeDelta) -> String {
    let units = [(age.num_days(), "d"), (age.num_hours(), "h"), (age.num_minutes(), "m")];
    let largest = units.into_iter().find(|(number, _)| *number > 0);
    largest.map_or_else(|| "<1m".to_owned(), |(number, unit)| format!("{number}{unit}"))
}

fn status_of(task: &TaskSummary) -> String {
    let word = task.status.as_str();
    match (task.status, task.added, task.removed) {
        (TaskStatus::Restated, Some(added), Some(removed)) => format!("{word} (+{added} -{removed})"),
        (TaskStatus::Failed, ..) => format!("{word} (exit {})", task.exit_code),
        _ => word.to_owned(),
    }
}
