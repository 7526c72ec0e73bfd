//! What was measured, as a page of Markdown.

use std::fmt::Write as _;

use crate::live::{Moves, Paging};
use crate::timing::{self, Line, Times};
use crate::trials::{self, Kind, Scale, Tally};

const CAPTIONS: [(Paging, &str); 2] = [
    (
        Paging::Offset,
        "stands for a number of rows: an arrival behind a walk repeats a row, a departure skips one",
    ),
    (Paging::Keyset, "stands for the last row that was given: rows neither repeat nor get lost"),
];

/// Returns the page.
pub(crate) fn page(scale: Scale, trials: &[(Kind, Tally)], lines: &[Line]) -> String {
    let mut page = format!(
        "# Lists that move, and both ends of a list\n\n`cargo bench --bench moving` wrote this page whole. \
         What is measured, and how, is in [README.md](README.md).\n\n## While a list moves\n\nLists of {} \
         pages, counted by the service; at most {} of each kind, seeds from {}. The unit \
         of time is a round trip. No number was confirmed that was wrong.\n",
        trials::PAGES,
        scale.trials,
        scale.seed
    );
    for (paging, caption) in CAPTIONS {
        write!(
            page,
            "\nA token {caption}.\n\n| who moves, per unit | lists | walk | confirmed | by the first walk \
             | refused | walks | requests | units until confirmed | contradicted, and said \
             | right number, other guests |\n|{}\n",
            "---|".repeat(11)
        )
        .expect("a string takes everything");
        for (kind, tally) in trials.iter().filter(|(kind, _)| kind.paging == paging) {
            page.push_str(&trial_line(kind, *tally));
        }
    }
    write!(
        page,
        "\n## How long a list takes\n\nLists of {} pages that stand still. Seconds forward → from both \
         ends, and what the second is of the first.\n\n| lists at once | requests a second | round trip ms \
         | by arithmetic | in pretended time | over a socket |\n|---|---|---|---|---|---|\n",
        timing::PAGES
    )
    .expect("a string takes everything");
    for line in lines {
        page.push_str(&time_line(line));
    }
    page
}

fn trial_line(kind: &Kind, tally: Tally) -> String {
    let who = match kind.moves {
        None => "nobody".to_owned(),
        Some((Moves::Arrivals, rate)) => format!("arrivals, {rate}"),
        Some((Moves::Departures, rate)) => format!("departures, {rate}"),
        Some((Moves::Both, rate)) => format!("both, {rate}"),
    };
    let share = |count: u32| format!("{:.1} %", 100.0 * tally.per_trial(count));
    let units = tally.units_until_confirmed().map_or("never".to_owned(), |units| format!("{units:.1}"));
    format!(
        "| {who} | {} | {} | {} | {} | {} | {:.2} | {:.1} | {units} | {} | {} |\n",
        tally.trials,
        kind.strategy.as_str(),
        share(tally.confirmed),
        share(tally.by_first_walk),
        share(tally.trials - tally.confirmed),
        tally.per_trial(tally.walks),
        tally.per_trial(tally.requests),
        tally.contradicted,
        tally.others
    )
}

fn time_line(line: &Line) -> String {
    let shown =
        |times: Times| format!("{:.2} → {:.2}: **{:.2}**", times.forward, times.converge, times.ratio());
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        line.load.tasks,
        line.load.rate,
        line.load.round_trip_ms,
        shown(line.by_arithmetic),
        shown(line.pretended),
        line.over_a_socket.map_or(String::new(), shown)
    )
}
