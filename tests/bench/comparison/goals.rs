//! What is measured, row by row, and what is aimed at.
//!
//! Runs of one row alternate (A B C A B C …), so that whatever else the machine does meets all of them; a figure is the
//! median of its runs. A goal is a ratio to another contender, or to what no program could be faster than.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use wickr_guest_export::period::BillingPeriod;

use crate::contenders::Contender;
use crate::lists::{Lists, networks};
use crate::server::{Habits, Seen, Server};
use crate::trial::{Figures, Manner, Outcome, Stage, UNPACED};

/// What each answer takes where answers take time.
const LATENCY: Duration = Duration::from_millis(20);
/// What a job file says for both ends of a list at once.
const CONVERGING: &str = "strategy = \"converge\"";
const AT_ONCE: Habits =
    Habits { latency: Duration::ZERO, limit: None, counted_months: usize::MAX, networks: 0 };
const MANY_NETWORKS: u32 = 10;
const MANY_MONTHS: i64 = 12;
const MANY_REQUESTS_PER_SECOND: u32 = 200;
/// What the service takes a second where nobody is told.
const LIMIT: u32 = 100;
const NETWORKS_UNDER_LIMIT: u32 = 4;

/// A part of the comparison that can be measured without the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// All contenders, no latency: CPU, memory, start, size.
    Cpu,
    /// One period at 20 ms a page, forward.
    Forward,
    /// The same from both ends.
    Converging,
    /// The same, and nothing but a second walk confirms it.
    SecondWalk,
    /// 12 periods of 10 networks.
    Many,
    /// A limit that nobody is told.
    Limit,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) guests: u64,
    /// Runs of each contender where answers take no time.
    pub(crate) rounds: usize,
    /// Runs where they do.
    pub(crate) slow_rounds: usize,
}

/// What is aimed at.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) goal: Goal,
    /// What was measured, or why it was not.
    pub(crate) figure: Result<f64, String>,
    pub(crate) detail: String,
}

impl Row {
    fn new(what: &str, unit: &'static str, goal: Goal, figure: f64, detail: String) -> Self {
        Self { what: what.to_owned(), unit, goal, figure: Ok(figure), detail }
    }

    pub(crate) fn is_met(&self) -> Option<bool> {
        let figure = *self.figure.as_ref().ok()?;
        Some(match self.goal {
            Goal::AtMost(most) => figure <= most,
            Goal::AtLeast(least) => figure >= least,
        })
    }
}

/// What one contender took where answers take no time.
pub(crate) struct Line {
    pub(crate) contender: Contender,
    pub(crate) cpu: Spread,
    pub(crate) wall: Spread,
    pub(crate) peak_mib: Spread,
    pub(crate) first_request: Spread,
    pub(crate) parquet_bytes: f64,
}

/// A median, and between what.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    fn of<T>(runs: &[T], figure: impl Fn(&T) -> f64) -> Self {
        let mut figures: Vec<f64> = runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let median = if figures.len().is_multiple_of(2) {
            f64::midpoint(figures[middle - 1], figures[middle])
        } else {
            figures[middle]
        };
        Self { least: figures[0], median, most: figures[figures.len() - 1] }
    }
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) rows: Vec<Row>,
    pub(crate) lines: Vec<Line>,
    /// What else was seen, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// Measures the parts that are asked for.
pub(crate) fn measure(stage: &Stage, scale: Scale, parts: &[Part]) -> Measured {
    let month = latest_month();
    let bench = Bench { stage, scale, month, lists: Arc::new(Lists::new(scale.guests, [month])) };
    let mut measured = Measured::default();
    let asked = |part| parts.contains(&part);
    if asked(Part::Cpu) {
        bench.without_latency(&mut measured);
    }
    if asked(Part::Forward) || asked(Part::Converging) || asked(Part::SecondWalk) {
        bench.with_latency(&asked, &mut measured);
    }
    if asked(Part::Many) {
        bench.many(&mut measured);
    }
    if asked(Part::Limit) {
        bench.under_a_limit(&mut measured);
    }
    measured
}

/// Serves the guests of the latest month that has ended until it is killed.
pub(crate) fn serve(guests: u64, latency: Duration) -> ! {
    let month = latest_month();
    let habits = Habits { latency, ..AT_ONCE };
    let server = Server::start(vec![Arc::new(Lists::new(guests, [month]))], habits).expect("a server");
    println!("AWS_ENDPOINT_URL_WICKR={} serves {guests} guests of {month} in any network", server.endpoint);
    loop {
        std::thread::park();
    }
}

/// Returns a month whose number has to be confirmed, and that the service still counts.
fn latest_month() -> BillingPeriod {
    BillingPeriod::containing(chrono::Utc::now()).plus_months(-1)
}

struct Bench<'a> {
    stage: &'a Stage,
    scale: Scale,
    month: BillingPeriod,
    lists: Arc<Lists>,
}

impl Bench<'_> {
    fn run(&self, contender: Contender, habits: Habits, manner: Manner) -> Outcome {
        self.stage.run(contender, &self.lists, habits, &networks(1), &[self.month], manner)
    }

    fn without_latency(&self, measured: &mut Measured) {
        let mut runs: HashMap<Contender, Vec<Figures>> = HashMap::new();
        for round in 1..=self.scale.rounds {
            eprintln!("no latency, round {round} of {}", self.scale.rounds);
            for contender in Contender::ALL {
                let figures = self.run(contender, AT_ONCE, UNPACED).expected(contender);
                runs.entry(contender).or_default().push(figures);
            }
        }
        measured.lines.extend(Contender::ALL.map(|contender| line(contender, &runs[&contender])));
        let of = |contender| {
            let line = |line: &&Line| line.contender == contender;
            measured.lines.iter().find(line).expect("every contender has a line")
        };
        let exporter = of(Contender::Exporter);
        let rows = &mut measured.rows;
        for (goal, other) in
            [(0.45, Contender::AwsSdk), (0.12, Contender::Boto3), (1.6, Contender::FloorSocket)]
        {
            rows.push(Row::new(
                &format!("CPU, to {}", other.name()),
                "×",
                Goal::AtMost(goal),
                exporter.cpu.median / of(other).cpu.median,
                format!("{:.3} s to {:.3} s", exporter.cpu.median, of(other).cpu.median),
            ));
        }
        rows.push(Row::new(
            "peak memory",
            "MiB",
            Goal::AtMost(40.0),
            exporter.peak_mib.median,
            format!("{:.1} to {:.1} MiB", exporter.peak_mib.least, exporter.peak_mib.most),
        ));
        rows.push(Row::new(
            "start to first request, credentials from the environment",
            "ms",
            Goal::AtMost(25.0),
            exporter.first_request.median * 1e3,
            format!(
                "{:.1} to {:.1} ms",
                exporter.first_request.least * 1e3,
                exporter.first_request.most * 1e3
            ),
        ));
        for other in [Contender::AwsSdk, Contender::Boto3] {
            rows.push(Row::new(
                &format!("size of the Parquet roster, to {}", other.name()),
                "×",
                Goal::AtMost(0.55),
                exporter.parquet_bytes / of(other).parquet_bytes,
                format!("{:.0} to {:.0} bytes", exporter.parquet_bytes, of(other).parquet_bytes),
            ));
        }
    }

    fn with_latency(&self, asked: &dyn Fn(Part) -> bool, measured: &mut Measured) {
        let habits = Habits { latency: LATENCY, ..AT_ONCE };
        let least = LATENCY.as_secs_f64() * pages(&self.lists);
        let converging = Manner { walk: CONVERGING, ..UNPACED };
        let uncounted = Habits { counted_months: 0, ..habits };
        let variants = [
            (Part::Forward, habits, UNPACED),
            (Part::Converging, habits, converging),
            (Part::SecondWalk, uncounted, UNPACED),
        ];
        let mut runs: Vec<(Part, Result<Vec<Figures>, String>)> = Vec::new();
        for round in 1..=self.scale.slow_rounds {
            eprintln!("20 ms a page, round {round} of {}", self.scale.slow_rounds);
            for (part, habits, manner) in variants {
                // The converging walk is held against the forward one.
                let is_asked = asked(part) || (part == Part::Forward && asked(Part::Converging));
                if !is_asked {
                    continue;
                }
                let outcome = self.run(Contender::Exporter, habits, manner);
                note(&mut runs, part, outcome);
            }
        }
        if asked(Part::Forward) {
            for peer in [Contender::AwsSdk, Contender::Boto3, Contender::FloorSocket] {
                let figures = self.run(peer, habits, UNPACED).expected(peer);
                measured.notes.push(format!(
                    "At 20 ms a page {} takes {:.2} s, {:.3} of pages × latency.",
                    peer.name(),
                    figures.taken.wall.as_secs_f64(),
                    figures.taken.wall.as_secs_f64() / least
                ));
            }
        }
        let found = |part| runs.iter().find(|(of, _)| *of == part).map(|(_, figures)| figures);
        let wall = |figures: &Vec<Figures>| Spread::of(figures, |run| run.taken.wall.as_secs_f64()).median;
        for (part, what, goal) in [
            (Part::Forward, "wall, one period, 20 ms a page, forward walk", 1.03),
            (Part::Converging, "wall, one period, 20 ms a page, converging walk", 0.55),
            (Part::SecondWalk, "wall, second walk instead of a control total", 1.06),
        ] {
            let Some(figures) = found(part).filter(|_| asked(part)) else { continue };
            let detail = figures.as_ref().map_or_else(
                |_| String::new(),
                |figures| format!("{:.2} s to {least:.2} s, {}", wall(figures), requests(&figures[0].seen)),
            );
            measured.rows.push(Row {
                what: what.to_owned(),
                unit: "× pages × latency",
                goal: Goal::AtMost(goal),
                figure: figures.as_ref().map(|figures| wall(figures) / least).map_err(Clone::clone),
                detail,
            });
        }
        if let (Some(Ok(forward)), Some(Ok(converging))) = (found(Part::Forward), found(Part::Converging)) {
            let count = |figures: &Vec<Figures>| Spread::of(figures, |run| whole(run.seen.answered)).median;
            measured.rows.push(Row::new(
                "requests of the converging walk beyond those of the forward walk",
                "",
                Goal::AtMost(6.0),
                count(converging) - count(forward),
                format!("{} to {}", count(converging), count(forward)),
            ));
        }
    }

    fn many(&self, measured: &mut Measured) {
        let months: Vec<BillingPeriod> =
            (1..=MANY_MONTHS).map(|ago| self.month.plus_months(1 - ago)).collect();
        let lists = Arc::new(Lists::new(self.scale.guests / 100, months.iter().copied()));
        let habits = Habits { latency: LATENCY, ..AT_ONCE };
        let manner = Manner { requests_per_second: MANY_REQUESTS_PER_SECOND, concurrency: 8, ..UNPACED };
        eprintln!("{MANY_MONTHS} periods of {MANY_NETWORKS} networks");
        let figures = self
            .stage
            .run(Contender::Exporter, &lists, habits, &networks(MANY_NETWORKS), &months, manner)
            .expected(Contender::Exporter);
        // What the count history no longer covers is walked in both directions.
        let chain = LATENCY.as_secs_f64() * 2.0 * pages(&lists);
        let rate = whole(figures.seen.answered) / f64::from(MANY_REQUESTS_PER_SECOND);
        let wall = figures.taken.wall.as_secs_f64();
        measured.rows.push(Row::new(
            "wall, 12 periods × 10 networks, 20 ms a page",
            "× max(longest chain, requests ÷ rate)",
            Goal::AtMost(1.1),
            wall / chain.max(rate),
            format!(
                "{wall:.2} s to max({chain:.2}, {rate:.2}) s, {} at {MANY_REQUESTS_PER_SECOND} a second",
                requests(&figures.seen)
            ),
        ));
    }

    fn under_a_limit(&self, measured: &mut Measured) {
        let lists = Arc::new(Lists::new(self.scale.guests / 2, [self.month]));
        let habits = Habits { latency: LATENCY, limit: Some(LIMIT), ..AT_ONCE };
        let networks = networks(NETWORKS_UNDER_LIMIT);
        eprintln!("a limit that nobody is told");
        let run = |contender| self.stage.run(contender, &lists, habits, &networks, &[self.month], UNPACED);
        let figures = run(Contender::Exporter).expected(Contender::Exporter);
        let seen = &figures.seen;
        let (first, last) = (seen.first.expect("a request").1, seen.last.expect("an answer"));
        let seconds = last.duration_since(first).as_secs_f64();
        let throughput = whole(seen.answered) / seconds;
        measured.rows.push(Row::new(
            &format!("throughput against an unknown limit of {LIMIT} a second"),
            "× the limit",
            Goal::AtLeast(0.93),
            throughput / f64::from(LIMIT),
            format!("{throughput:.1} a second for {seconds:.1} s, {}", requests(seen)),
        ));
        measured.rows.push(Row::new(
            "requests throttled meanwhile",
            "%",
            Goal::AtMost(3.0),
            100.0 * whole(seen.throttled) / whole(seen.answered + seen.throttled),
            format!("{} of {}", seen.throttled, seen.answered + seen.throttled),
        ));
        // Alone and one page after the other a peer stays below that limit: it is asked for half of what it does.
        let habits = Habits { limit: Some(LIMIT / 4), ..habits };
        for peer in [Contender::AwsSdk, Contender::Boto3] {
            let outcome = self.stage.run(peer, &lists, habits, &networks, &[self.month], UNPACED);
            measured.notes.push(match outcome {
                Outcome::Failed { code, seen, said } => format!(
                    "At a limit of {} a second {} ends with {} after {} pages and {} refusals: `{said}`",
                    LIMIT / 4,
                    peer.name(),
                    code.map_or("a signal".to_owned(), |code| code.to_string()),
                    seen.pages,
                    seen.throttled
                ),
                Outcome::Did(figures) => format!(
                    "At a limit of {} a second {} succeeds: {}.",
                    LIMIT / 4,
                    peer.name(),
                    requests(&figures.seen)
                ),
            });
        }
    }
}

/// Keeps a run of a variant; a failure counts for all of them.
fn note(runs: &mut Vec<(Part, Result<Vec<Figures>, String>)>, part: Part, outcome: Outcome) {
    let known = runs.iter_mut().find(|(of, _)| *of == part);
    match (known, outcome) {
        (Some((_, Ok(figures))), Outcome::Did(run)) => figures.push(run),
        (Some((_, Err(_))), _) => {}
        (Some((_, figures)), Outcome::Failed { code, said, .. }) => *figures = Err(refusal(code, &said)),
        (None, Outcome::Did(run)) => runs.push((part, Ok(vec![run]))),
        (None, Outcome::Failed { code, said, .. }) => runs.push((part, Err(refusal(code, &said)))),
    }
}

fn refusal(code: Option<i32>, said: &str) -> String {
    match code {
        Some(2) => format!("this program has no such option ({said})"),
        code => format!("it failed ({code:?}): {said}"),
    }
}

fn line(contender: Contender, runs: &[Figures]) -> Line {
    Line {
        contender,
        cpu: Spread::of(runs, |run| run.taken.cpu.as_secs_f64()),
        wall: Spread::of(runs, |run| run.taken.wall.as_secs_f64()),
        peak_mib: Spread::of(runs, |run| whole(run.taken.peak_kib) / 1024.0),
        first_request: Spread::of(runs, |run| run.to_first_request().as_secs_f64()),
        parquet_bytes: Spread::of(runs, |run| whole(run.parquet_bytes)).median,
    }
}

fn requests(seen: &Seen) -> String {
    format!("{} requests answered, {} of them pages", seen.answered, seen.pages)
}

fn pages(lists: &Lists) -> f64 {
    whole(lists.pages())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a measurement, far below 2^52")]
const fn whole(count: u64) -> f64 {
    count as f64
}
