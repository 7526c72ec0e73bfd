//! When it pays to walk a list from both ends: while guests come and go, and by what a list has to wait for.
//!
//! `cargo bench --bench moving` replaces `tests/bench/MOVING.md`; with other trials or another seed it
//! only prints. All of it but one column is pretended time, so that a debug build and a busy machine give the same
//! figures; they are for people. Nothing is asserted but that no wrong number was confirmed, and nobody lost
//! where guests move one way only.

mod live;
mod page;
mod timing;
mod trials;
mod walked;

use std::path::Path;

use clap::Parser;

use crate::trials::Scale;

const WHOLE: Scale = Scale { trials: 100, seed: 1 };

#[derive(Parser)]
struct Options {
    /// Lists of each kind, or fewer where they take longer.
    #[arg(long, default_value_t = WHOLE.trials, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    trials: u32,
    /// The seed of the first list of each kind; the next have the next.
    #[arg(long, default_value_t = WHOLE.seed)]
    seed: u64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let scale = Scale { trials: options.trials, seed: options.seed };
    let page = page::page(scale, &trials::measured(scale), &timing::measured());
    print!("{page}");
    if scale == WHOLE {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/MOVING.md");
        std::fs::write(&results, page).expect("the page is written");
    } else {
        eprintln!("tests/bench/MOVING.md stays as it is: this was not the whole measurement");
    }
}
