//! The exporter side by side with what could be used in its place, and with the least that the work takes.
//!
//! `cargo bench --bench comparison` builds all contenders, measures everything and replaces `tests/bench/RESULTS.md`;
//! with any option it measures less and only prints. Nothing is asserted but that every run found all guests: figures
//! are for people, as no machine but one's own says anything about one's own.

mod contenders;
mod goals;
mod lists;
mod machine;
mod process;
#[allow(dead_code, reason = "the interop tests' own, of which only one environment is needed here")]
#[path = "../../interop/python.rs"]
mod python;
mod results;
mod server;
mod trial;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum as _};

use crate::contenders::Built;
use crate::goals::{Part, Scale, measure};
use crate::trial::Stage;

/// What is measured unless less is asked for.
const WHOLE: Scale = Scale { guests: 100_000, rounds: 9, slow_rounds: 3 };
/// What takes less than a minute, and shows only that everything works.
const QUICK: Scale = Scale { guests: 5_000, rounds: 3, slow_rounds: 1 };

#[derive(Parser)]
struct Options {
    /// Measures everything with few guests, in less than a minute.
    #[arg(long)]
    quick: bool,
    /// Guests of each list.
    #[arg(long)]
    guests: Option<u64>,
    /// Runs of each contender where answers take no time.
    #[arg(long)]
    rounds: Option<usize>,
    /// Runs where they do.
    #[arg(long)]
    slow_rounds: Option<usize>,
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Part>,
    /// Measures this program in place of the one that would be built.
    #[arg(long)]
    exporter: Option<PathBuf>,
    /// Only serves the guests, each answer after so many milliseconds, to whoever a profiler runs.
    #[arg(long, value_name = "MILLISECONDS", num_args = 0..=1, default_missing_value = "0")]
    serve: Option<u64>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if let Some(code) = process::measure_if_asked() {
        return code;
    }
    let options = Options::parse();
    let base = if options.quick { QUICK } else { WHOLE };
    let scale = Scale {
        guests: options.guests.unwrap_or(base.guests).max(1),
        rounds: options.rounds.unwrap_or(base.rounds).max(1),
        slow_rounds: options.slow_rounds.unwrap_or(base.slow_rounds).max(1),
    };
    if let Some(latency) = options.serve {
        goals::serve(scale.guests, Duration::from_millis(latency));
    }
    let parts = if options.rows.is_empty() { Part::value_variants() } else { &options.rows };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("comparison");
    let is_whole =
        scale == WHOLE && parts.len() == Part::value_variants().len() && options.exporter.is_none();
    let stage = Stage { built: Built::new(options.exporter), folder };
    let measured = measure(&stage, scale, parts);
    let page = results::page(&measured, scale, &stage.built);
    print!("{page}");
    if is_whole {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/RESULTS.md");
        std::fs::write(&results, page).expect("the page is written");
    } else {
        eprintln!("tests/bench/RESULTS.md stays as it is: this was not the whole comparison");
    }
    ExitCode::SUCCESS
}
