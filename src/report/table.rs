//! The table that `run` prints for people.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::{RunSummary, TaskStatus, TaskSummary};

/// Lays out a run as text: one line a task, then the totals and what there is to say.
#[must_use]
pub fn table(summary: &RunSummary) -> String {
    let mut lines = Vec::new();
    if summary.tasks.is_empty() {
        lines.push("Nothing to do: no billing period is asked for that is not published already.".to_owned());
    } else {
        lines.push(grid(&summary.tasks));
    }
    for task in &summary.tasks {
        if let Some(message) = &task.message {
            let word = if task.status == TaskStatus::Failed { "failed" } else { "mismatch" };
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
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(
        [
            ("NETWORK", CellAlignment::Left),
            ("PERIOD", CellAlignment::Left),
            ("STATE", CellAlignment::Left),
            ("GUESTS", CellAlignment::Right),
            ("API COUNT", CellAlignment::Right),
            ("CONFIRMED BY", CellAlignment::Left),
            ("PAGES", CellAlignment::Right),
            ("DUPLICATES", CellAlignment::Right),
            ("STATUS", CellAlignment::Left),
        ]
        .map(|(title, alignment)| Cell::new(title).set_alignment(alignment)),
    );
    for task in tasks {
        let number = |value: Option<u64>| {
            Cell::new(value.map_or_else(|| "-".to_owned(), |value| value.to_string()))
                .set_alignment(CellAlignment::Right)
        };
        table.add_row(vec![
            Cell::new(task.network_id),
            Cell::new(task.billing_period),
            Cell::new(task.period_state),
            number(task.guests),
            number(task.api_guests),
            Cell::new(task.confirmed_by.map_or("-", |confirmed| confirmed.as_str())),
            number(task.pages),
            number(task.duplicates),
            Cell::new(status_of(task)),
        ]);
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn status_of(task: &TaskSummary) -> String {
    let word = task.status.as_str();
    match (task.status, task.added, task.removed) {
        (TaskStatus::Restated, Some(added), Some(removed)) => format!("{word} (+{added} -{removed})"),
        (TaskStatus::Failed, ..) => format!("{word} (exit {})", task.exit_code),
        _ => word.to_owned(),
    }
}
