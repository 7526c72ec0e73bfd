//! What a history is about: lists of guests that change from generation to generation, and the job that exports them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wickr_guest_export::guest::NetworkId;
use wickr_guest_export::period::BillingPeriod;
use wickr_guest_export::simulator::{
    Fault, FaultKind, History, PagingMode, Population, SimulatorConfig, When,
};

use crate::draw::Draw;
use crate::schedule::Mode;

/// The day of all histories: the first period is open, the second settles, the third is closed, and the last is too
/// old for the count history.
pub(super) const AS_OF: &str = "2025-11-02T09:00:00Z";
const PERIODS: [&str; 4] = ["2025-11", "2025-10", "2025-09", "2025-08"];
const NETWORKS: [&str; 3] = ["01234567", "12345678", "87654321"];

/// What may go wrong at the service while histories go on. Schedules draw everything.
pub(super) const SERVICE_FAULTS: [FaultKind; 6] = [
    FaultKind::Throttled,
    FaultKind::ThrottledForMilliseconds(20),
    FaultKind::ServiceUnavailable,
    FaultKind::ConnectionReset,
    FaultKind::TruncatedBody,
    FaultKind::Garbage,
];

/// A network in a period.
pub(super) type Task = (NetworkId, BillingPeriod);

/// One row of a list: hash and username.
pub(super) type Row = (String, String);

/// Every list at one time.
pub(super) type Generation = BTreeMap<Task, Vec<Row>>;

#[derive(Clone)]
pub(super) struct World {
    pub(super) networks: Vec<NetworkId>,
    pub(super) periods: Vec<BillingPeriod>,
    pub(super) generations: Vec<Generation>,
    /// What the service's own count is off by.
    pub(super) delta: i64,
    paging: PagingMode,
    edge_repeats: u32,
    /// What goes wrong at the service: each once, and all of it together no more than a request survives.
    faults: Vec<Fault>,
}

/// Lists are told by their lengths.
impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = |task: &Task| {
            self.generations.iter().map(|generation| generation[task].len()).collect::<Vec<_>>()
        };
        let lists: Vec<_> =
            self.tasks().map(|task| format!("{}/{} {:?}", task.0, task.1, lengths(&task))).collect();
        formatter
            .debug_struct("World")
            .field("lists", &lists)
            .field("delta", &self.delta)
            .field("paging", &self.paging)
            .field("edge_repeats", &self.edge_repeats)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl World {
    /// Draws lists for so many generations; long ones if there are to be runs of them.
    pub(super) fn draw(draw: &mut Draw, generations: usize, long: bool) -> Self {
        let periods = draw.within(1, 2);
        let mut periods: Vec<BillingPeriod> =
            (0..periods).map(|_| draw.pick(&PERIODS).parse().expect("a period")).collect();
        periods.sort_unstable();
        periods.dedup();
        let networks =
            NETWORKS[..draw.pick(&[1, 1, 2, 3])].iter().map(|id| id.parse().expect("an id")).collect();
        let mut world = Self {
            networks,
            periods,
            generations: Vec::new(),
            delta: draw.pick(&[0, 0, 0, 2]),
            paging: draw.pick(&[PagingMode::Offset, PagingMode::Keyset]),
            edge_repeats: draw.pick(&[0, 300]),
            faults: Vec::new(),
        };
        for _ in 0..draw.within(0, 3) {
            world.faults.push(Fault::new(draw.pick(&SERVICE_FAULTS), When::nth(draw.within(1, 12))));
        }
        for number in 0..generations {
            let generation = world.tasks().map(|task| {
                let before = world.generations.last().map(|generation: &Generation| &generation[&task]);
                (task, list(draw, before, number, long))
            });
            let generation = generation.collect();
            world.generations.push(generation);
        }
        world
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = Task> {
        let of_network = |network: NetworkId| self.periods.iter().map(move |period| (network, *period));
        self.networks.iter().flat_map(move |network| of_network(*network)).collect::<Vec<_>>().into_iter()
    }

    /// Returns the simulator of a generation. All of them take each other's tokens.
    pub(super) fn simulator(&self, generation: usize) -> SimulatorConfig {
        let lists = self.generations[generation].iter();
        SimulatorConfig {
            population: Population::explicit(
                lists.map(|((network, period), rows)| (*network, *period, rows.clone())),
            ),
            now: Some(AS_OF.parse().expect("an instant")),
            paging: self.paging,
            edge_repeats_per_thousand: self.edge_repeats,
            history: History { delta: self.delta, ..History::default() },
            faults: self.faults.clone(),
            ..SimulatorConfig::default()
        }
    }

    /// Says how many guests a walk may find at most that began in some generation before this one: all who ever were.
    /// How few it may find nobody can say, as the simulator's tokens count rows, and those of another generation are
    /// others.
    pub(super) fn everybody(&self, task: Task, generation: usize) -> usize {
        let lists = self.generations[..=generation].iter().map(|lists| guests_of(&lists[&task]));
        lists.flat_map(BTreeMap::into_keys).collect::<BTreeSet<String>>().len()
    }

    /// Says whether a list that changed in the middle of a walk is always found out: by a count that was right before
    /// and is right after, and not the same.
    pub(super) fn a_change_is_found_out(&self, task: Task, from: usize, to: usize) -> bool {
        let covered_and_ended = [PERIODS[1], PERIODS[2]].contains(&task.1.to_string().as_str());
        let guests = |generation: usize| guests_of(&self.generations[generation][&task]).len();
        covered_and_ended && self.delta == 0 && guests(from) != guests(to)
    }
}

/// Draws a list, or lets some guests leave and arrive: never so many that a shrink would be refused.
fn list(draw: &mut Draw, before: Option<&Vec<Row>>, generation: usize, long: bool) -> Vec<Row> {
    let guest = |draw: &mut Draw, number: u64| {
        (format!("{:08x}-{generation}-{number}", draw.within(0, u64::from(u32::MAX))), draw.text())
    };
    let Some(before) = before else {
        let lengths: &[u64] = if long { &[250, 430, 640] } else { &[1, 99, 100, 101, 250, 430, 640] };
        let guests = draw.pick(lengths);
        let mut rows: Vec<Row> = (0..guests).map(|number| guest(draw, number)).collect();
        for _ in 0..draw.within(0, 3) {
            let (hash, _) = draw.pick(&rows);
            rows.push((hash, draw.text()));
        }
        return rows;
    };
    let mut rows = before.clone();
    for _ in 0..draw.within(0, 5) {
        if rows.len() > 1 {
            let gone = draw.pick(&rows).0;
            rows.retain(|(hash, _)| *hash != gone);
        }
    }
    rows.extend((0..draw.within(1, 20)).map(|number| guest(draw, number)));
    rows
}

/// Returns each guest once, under the smaller username.
pub(super) fn guests_of(rows: &[Row]) -> BTreeMap<String, String> {
    let mut guests: BTreeMap<String, String> = BTreeMap::new();
    for (hash, name) in rows {
        let kept = guests.entry(hash.clone()).or_insert_with(|| name.clone());
        if name < kept {
            kept.clone_from(name);
        }
    }
    guests
}

/// What is published, and how.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) mode: Mode,
    pub(super) formats: Vec<&'static str>,
    pub(super) concurrency: u64,
    /// How many rows of a walk are held in memory.
    pub(super) rows: u64,
}

/// The key of pseudonymous rosters, in the environment of every run.
pub(super) const KEY: &str = "campaign tests only, 32 bytes...";

impl Job {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        Self {
            mode: draw.pick(&[Mode::Full, Mode::Full, Mode::Pseudonymous, Mode::CountsOnly]),
            formats: formats(draw),
            concurrency: draw.within(1, 4),
            rows: draw.pick(&[100, 100, 100, 200, 1000]),
        }
    }

    pub(super) fn to_toml(&self, world: &World) -> String {
        let mode = match self.mode {
            Mode::Full => "\"full\"",
            Mode::Pseudonymous => "\"pseudonymous\"\npseudonym_key_env = \"CAMPAIGN_PSEUDONYM_KEY\"",
            Mode::CountsOnly => "\"none\"",
        };
        let texts = |texts: Vec<String>| format!("{texts:?}");
        let periods = texts(world.periods.iter().map(ToString::to_string).collect());
        let networks = texts(world.networks.iter().map(ToString::to_string).collect());
        let (formats, concurrency, rows) = (&self.formats, self.concurrency, self.rows);
        format!(
            "periods = {periods}\nconcurrency = {concurrency}\nmax_requests_per_second = 10000\n\
             max_shrink_rows = 100\n[source]\nnetworks = {networks}\n[output]\nformats = {formats:?}\n\
             roster = {mode}\n[resume]\nrows = {rows}\n[request]\nattempts = 4\ntimeout = \"30s\"\n"
        )
    }
}

pub(super) fn formats(draw: &mut Draw) -> Vec<&'static str> {
    draw.pick(&[vec!["parquet", "csv"], vec!["parquet", "csv"], vec!["parquet"], vec!["csv"]])
}
