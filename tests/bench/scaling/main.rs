//! The model of `deploy/SCALING.md` beside what a run takes: 1,000 networks, 12 months each.
//!
//! `cargo bench --bench scaling` exports them once in one process and once in four that share the job, then a month of
//! them where latency is the bound, and replaces the measured table of that page; on a smaller scale it only prints.
//! Nothing is asserted but that every month of every network was published with its number: how far a prediction is off
//! is for people, and a machine that does other things meanwhile makes times longer and requests no more.

#[allow(dead_code, reason = "the comparison's own, of which less is needed here")]
#[path = "../comparison/lists.rs"]
mod lists;
#[path = "../comparison/machine.rs"]
mod machine;
mod model;
#[path = "../comparison/process.rs"]
mod process;
#[allow(dead_code, reason = "the comparison's own, of which less is needed here")]
#[path = "../comparison/server.rs"]
mod server;
mod table;
mod trial;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;

use crate::trial::{Service, Trial};

const NETWORKS: u32 = 1000;
const MONTHS: u32 = 12;
const SHARDS: u32 = 4;

#[derive(Parser)]
struct Options {
    /// Networks of the account.
    #[arg(long, default_value_t = NETWORKS)]
    networks: u32,
    /// Months of each, the present one the last.
    #[arg(long, default_value_t = MONTHS)]
    months: u32,
    /// Processes that share the job, the second time.
    #[arg(long, default_value_t = SHARDS)]
    shards: u32,
    /// Measures this program in place of the one that would be built.
    #[arg(long)]
    exporter: Option<PathBuf>,
    /// Where it is published to, and removed again. A disk that discards what is removed takes minutes for that.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/scaling"))]
    folder: PathBuf,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if let Some(code) = process::measure_if_asked() {
        return code;
    }
    let options = Options::parse();
    let (networks, months, shards) = (options.networks.max(1), options.months.max(1), options.shards.max(1));
    let is_whole = (networks, months, shards) == (NETWORKS, MONTHS, SHARDS);
    let exporter = machine::exporter(options.exporter);
    let version = machine::said(Command::new(&exporter).arg("--version"));
    let backfill = Service { networks, months, latency: Duration::from_millis(20) };
    let month = Service { networks, months: 1, latency: Duration::from_millis(100) };
    let whole = Trial { service: backfill, rate: 400, concurrency: 16, shards: 1 };
    let alone = Trial { service: month, rate: 4000, concurrency: 4, shards: 1 };
    let trials = [whole, Trial { shards, ..whole }, alone, Trial { shards, ..alone }];
    let (mut page, mut asides) = (table::HEAD.to_owned(), Vec::new());
    for trial in trials {
        eprintln!("{trial}: {:.0} s expected", trial.predicted().seconds);
        let (rows, aside) = table::of(&trial, &trial.run(&exporter, &options.folder));
        eprint!("{rows}");
        page.push_str(&rows);
        asides.push(aside);
    }
    trial::remove(&options.folder);
    writeln!(page, "\nIn this order: {}.\n", asides.join("; ")).expect("a string takes everything");
    page.push_str(&table::machine(&version));
    print!("{page}");
    if is_whole {
        table::replace(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/SCALING.md"), &page);
    } else {
        eprintln!("deploy/SCALING.md stays as it is: this was not the whole measurement");
    }
    ExitCode::SUCCESS
}
