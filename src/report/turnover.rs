//! The table that `diff` prints for people.

use comfy_table::CellAlignment;

use super::table::{laid_out, number};
use crate::period::PeriodState;
use crate::publish::SourceKind;
use crate::turnover::{Movement, TurnoverReport, TurnoverStatus};

/// Lays out who came and went: one line a network, then all of them together, then what there is to say.
#[must_use]
pub fn turnover(report: &TurnoverReport) -> String {
    use CellAlignment::{Left, Right};
    let columns = [
        ("NETWORK", Left),
        (report.from.as_str(), Right),
        (report.to.as_str(), Right),
        ("DIFFERENCE", Right),
        ("ADDED", Right),
        ("GONE", Right),
        ("KEPT", Right),
    ];
    let mut rows: Vec<[String; 7]> = report
        .networks
        .iter()
        .map(|network| {
            let (before, after) =
                (network.before.map(|side| side.guests), network.after.map(|side| side.guests));
            row(network.network_id.to_string(), before, after, network.guests)
        })
        .collect();
    let is_on_both = |status| matches!(status, TurnoverStatus::Compared | TurnoverStatus::CountsOnly);
    let both = report.networks.iter().filter(|network| is_on_both(network.status)).count();
    let compared =
        report.networks.iter().filter(|network| network.status == TurnoverStatus::Compared).count();
    if both > 0 && compared < both {
        let (before, after) = report.counts_of_both();
        rows.push(row(format!("sum of {both}"), Some(before), Some(after), None));
    }
    if let Some(sum) = report.sum {
        rows.push(row(format!("sum of {compared}"), Some(sum.before()), Some(sum.after()), Some(sum)));
    }
    if let Some(unique) = report.unique {
        rows.push(row("unique".to_owned(), Some(unique.before()), Some(unique.after()), Some(unique)));
    }
    let caveat = report.source_kind.and_then(SourceKind::caveat);
    let mut lines: Vec<String> = caveat.into_iter().map(str::to_owned).collect();
    lines.extend(unsettled(report));
    lines.push(laid_out(columns, rows.into_iter()));
    for network in &report.networks {
        if let Some(message) = &network.message {
            let failed = if network.status == TurnoverStatus::Untrusted { "failed: " } else { "" };
            lines.push(format!("{failed}{}: {message}", network.network_id));
        }
    }
    lines.push(verdict(report));
    if !report.lists.is_empty() {
        let networks = if compared == 1 { "1 network".to_owned() } else { format!("{compared} networks") };
        lines.push(format!("Lists of {networks}: {}", report.lists.join(", ")));
    }
    lines.join("\n")
}

/// Says what cannot be known yet, as a month was not over or not settled when it was published.
fn unsettled(report: &TurnoverReport) -> impl Iterator<Item = String> {
    let said = |edition: &str, state: Option<PeriodState>, unknown: &str| match state? {
        PeriodState::Open => {
            Some(format!("{edition} is open, or was when it was published: {unknown} is not known yet"))
        }
        PeriodState::Settling => {
            Some(format!("{edition} was settling when it was published: AWS may have corrected it since"))
        }
        PeriodState::Closed => None,
    };
    let from = said(&report.from, report.from_published_as, "who came later");
    let to = said(&report.to, report.to_published_as, "who is gone");
    from.into_iter().chain(to)
}

/// Counts guests in words.
fn guests(number: u64) -> String {
    if number == 1 { "1 guest".to_owned() } else { format!("{number} guests") }
}

fn row(name: String, before: Option<u64>, after: Option<u64>, guests: Option<Movement>) -> [String; 7] {
    let difference =
        before.zip(after).map_or_else(|| "-".to_owned(), |(before, after)| signed(before, after));
    let moved = |of: fn(Movement) -> u64| number(guests.map(of));
    [
        name,
        number(before),
        number(after),
        difference,
        moved(|guests| guests.added),
        moved(|guests| guests.gone),
        moved(|guests| guests.kept),
    ]
}

fn signed(before: u64, after: u64) -> String {
    match after.checked_sub(before) {
        Some(0) => "0".to_owned(),
        Some(more) => format!("+{more}"),
        None => format!("-{}", before - after),
    }
}

fn verdict(report: &TurnoverReport) -> String {
    let TurnoverReport { output, from, to, .. } = report;
    match (report.is_trusted(), report.sum, report.unique) {
        (false, ..) => format!("{output}: what is published cannot all be believed, so no list is written"),
        (true, None, _) => format!(
            "{output}: no roster of {from} and {to} can be compared, so there are counts and no lists"
        ),
        (true, Some(_), Some(unique)) => format!(
            "{output}: from {from} to {to} {} came, {} went and {} stayed, each counted once in however many \
             networks",
            guests(unique.added),
            unique.gone,
            unique.kept
        ),
        (true, Some(sum), None) => format!(
            "{output}: from {from} to {to} {} came, {} went and {} stayed, each counted in each of its networks; \
             their rosters are of several kinds, so nobody can be found in two of them",
            guests(sum.added),
            sum.gone,
            sum.kept
        ),
    }
}
