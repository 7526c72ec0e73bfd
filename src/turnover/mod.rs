//! Turnover: the guests who came, went and stayed between two periods, or between two revisions of one.
//!
//! Rosters are sorted by hash, so two of them are joined while they stream by, network after network. Bytes that are
//! not those that were published are not compared: a wrong difference would look like any other. Where one of the two
//! has no roster, only its count is compared, and that is said rather than guessed.

mod edition;
mod lists;
mod report;
mod unique;

use std::collections::BTreeSet;
use std::io::BufReader;
use std::iter::Sum;
use std::ops::{AddAssign, ControlFlow};
use std::sync::Arc;

use arrow::array::RecordBatch;
use serde::Serialize;

pub use self::edition::{Edition, EditionError};
pub use self::lists::ListSettings;
use self::lists::Lists;
pub use self::report::{NetworkTurnover, PublishedSide, TurnoverReport, TurnoverStatus};
use self::unique::Unique;
use crate::dataset::{Dataset, Format, ReadError, changes, csv, parquet};
use crate::error_chain::error_chain;
use crate::guest::NetworkId;
use crate::period::PeriodState;
use crate::publish::{Manifest, PartError, RosterKind, TaskKey};
use crate::storage::{Destination, DestinationError, Measure};

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Question {
    /// The earlier edition.
    pub from: Edition,
    /// The later one.
    pub to: Edition,
    /// Only these networks; all without any.
    pub networks: BTreeSet<NetworkId>,
}

/// How many guests came, went and stayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Movement {
    /// Only in the later edition.
    pub added: u64,
    /// Only in the earlier one.
    pub gone: u64,
    /// In both.
    pub kept: u64,
}

impl Movement {
    /// Returns the guests of the earlier edition.
    #[must_use]
    pub const fn before(self) -> u64 {
        self.gone + self.kept
    }

    /// Returns the guests of the later edition.
    #[must_use]
    pub const fn after(self) -> u64 {
        self.added + self.kept
    }
}

impl AddAssign for Movement {
    fn add_assign(&mut self, other: Self) {
        self.added += other.added;
        self.gone += other.gone;
        self.kept += other.kept;
    }
}

impl Sum for Movement {
    fn sum<I: Iterator<Item = Self>>(movements: I) -> Self {
        movements.fold(Self::default(), |mut sum, movement| {
            sum += movement;
            sum
        })
    }
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum TurnoverError {
    /// The output, or where lists go.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// Revisions are numbered network by network (exit 2).
    #[error("revisions are numbered network by network; name the one network with --network")]
    OneNetwork,
    /// There is no such revision (exit 2).
    #[error("{task} has no revision {number} that is kept; the latest is {latest}")]
    NoRevision {
        /// The task.
        task: TaskKey,
        /// What was asked for.
        number: u32,
        /// What is published.
        latest: u32,
    },
    /// An edition of which nothing is there would make everybody come or go (exit 2).
    #[error(
        "{place} holds no publication of {edition}{of}; see what is published there, and whether it is the right output"
    )]
    Nothing {
        /// The output.
        place: String,
        /// The edition.
        edition: Edition,
        /// What was asked for of it.
        of: &'static str,
    },
    /// A list could not be encoded (exit 70).
    #[error("a list could not be encoded; this is a bug, please report it")]
    Encode(#[source] PartError),
    /// A reader panicked (exit 70).
    #[error("a reader of a roster panicked; this is a bug, please report it")]
    Panicked,
}

/// A network, and what is published of it on either side.
struct Pair {
    network: NetworkId,
    before: Option<Result<Manifest, String>>,
    after: Option<Result<Manifest, String>>,
}

/// Why the rosters of a network were not compared.
enum Obstacle {
    /// There are not two of them.
    CountsOnly(String),
    /// One of them cannot be believed.
    Untrusted(String),
}

/// A roster as it is read, a batch after the other.
type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ReadError>> + Send>;

/// What the joins of all networks leave behind.
struct Gathering {
    lists: Lists,
    unique: Unique,
}

/// Compares two editions network by network, and writes lists of guests where they are wanted.
///
/// # Errors
/// [`TurnoverError`]; what concerns one network alone is in the report.
pub async fn compare(
    output: &Arc<dyn Destination>,
    question: &Question,
    lists: Option<&ListSettings>,
) -> Result<TurnoverReport, TurnoverError> {
    let pairs = pairs(&**output, question).await?;
    let states = [least_final(&pairs, |pair| &pair.before), least_final(&pairs, |pair| &pair.after)];
    let (open, files) = Lists::open(lists, question);
    let gathering = Gathering { lists: open, unique: Unique::new() };
    let comparing = async {
        let mut gathering = Some(gathering);
        let mut networks = Vec::with_capacity(pairs.len());
        for pair in pairs {
            networks.push(compared(output, pair, &mut gathering).await?);
        }
        let unique = match gathering {
            // A list that broke off says why itself.
            None => None,
            Some(Gathering { lists, unique }) => {
                let counting = tokio::task::spawn_blocking(move || {
                    let _broken_off = lists.finish();
                    unique.count()
                });
                Some(counting.await.map_err(|_panic| TurnoverError::Panicked)?.map_err(temporary)?)
            }
        };
        Ok::<_, TurnoverError>((networks, unique))
    };
    let (compared, written) = tokio::join!(comparing, lists::write(lists, files));
    let written = written?;
    let (networks, unique) = compared?;
    let mut report = TurnoverReport::new(output.describe(), question, states, networks, unique);
    if let Some(settings) = lists
        && report.is_trusted()
    {
        if report.sum.is_some() {
            report.lists = written.install(&*settings.place).await?;
        }
        lists::remove_others(settings, question, &report.lists).await?;
    }
    Ok(report)
}

/// Returns the state that one side of all pairs was published in, the least final one.
fn least_final(
    pairs: &[Pair],
    side: impl Fn(&Pair) -> &Option<Result<Manifest, String>>,
) -> Option<PeriodState> {
    pairs.iter().filter_map(|pair| Some(side(pair).as_ref()?.as_ref().ok()?.period_state)).min()
}

fn temporary(error: std::io::Error) -> DestinationError {
    let place = format!("{} (TMPDIR)", std::env::temp_dir().display());
    DestinationError::io("written", place, error)
}

async fn pairs(output: &dyn Destination, question: &Question) -> Result<Vec<Pair>, TurnoverError> {
    let mut sides = Vec::new();
    for edition in [question.from, question.to] {
        let side = edition.read(output, &question.networks).await?;
        if side.is_empty() {
            let of = if question.networks.is_empty() { "" } else { " of these networks" };
            return Err(TurnoverError::Nothing { place: output.describe(), edition, of });
        }
        sides.push(side);
    }
    let networks: BTreeSet<NetworkId> = sides.iter().flat_map(|side| side.keys().copied()).collect();
    let mut take = |side: usize, network| sides[side].remove(&network);
    let pair = |network| Pair { network, before: take(0, network), after: take(1, network) };
    Ok(networks.into_iter().map(pair).collect())
}

/// Compares one network. The gathering is none once a list could not be written.
async fn compared(
    output: &Arc<dyn Destination>,
    pair: Pair,
    gathering: &mut Option<Gathering>,
) -> Result<NetworkTurnover, TurnoverError> {
    let Pair { network, before, after } = pair;
    let (before, after) = match (before.transpose(), after.transpose()) {
        (Ok(before), Ok(after)) => (before, after),
        (before, after) => {
            let reasons: Vec<String> = [before.err(), after.err()].into_iter().flatten().collect();
            return Ok(NetworkTurnover::untrusted(network, None, None, reasons.join("; ")));
        }
    };
    let (Some(earlier), Some(later)) = (&before, &after) else {
        return Ok(NetworkTurnover::on_one_side(network, before.as_ref(), after.as_ref()));
    };
    let rosters = async {
        if let Some(reason) = counts_only(earlier, later) {
            return Err(Obstacle::CountsOnly(reason));
        }
        Ok((roster(output, earlier).await?, roster(output, later).await?))
    };
    let joined = match rosters.await {
        Ok((old, new)) => join(old, new, later, earlier, gathering).await?,
        Err(obstacle) => Err(obstacle),
    };
    Ok(match joined {
        Ok(movement) => NetworkTurnover::compared(network, earlier, later, movement),
        Err(Obstacle::CountsOnly(reason)) => NetworkTurnover::counts_only(network, earlier, later, &reason),
        Err(Obstacle::Untrusted(reason)) => {
            NetworkTurnover::untrusted(network, Some(earlier), Some(later), reason)
        }
    })
}

/// Joins two rosters on a thread for what computes and blocks.
async fn join(
    old: Batches,
    new: Batches,
    later: &Manifest,
    earlier: &Manifest,
    gathering: &mut Option<Gathering>,
) -> Result<Result<Movement, Obstacle>, TurnoverError> {
    let Some(mut gathered) = gathering.take() else {
        return Ok(Err(Obstacle::Untrusted("was not compared, as a list could not be written".to_owned())));
    };
    let (network, from, to) = (later.network_id, earlier.billing_period, later.billing_period);
    let joining = tokio::task::spawn_blocking(move || {
        let mut movement = Movement::default();
        let mut spilled = Ok(());
        let joined = changes::join(old, new, |fate, guest| {
            let period = match fate {
                changes::Fate::Added => {
                    movement.added += 1;
                    to
                }
                changes::Fate::Removed => {
                    movement.gone += 1;
                    from
                }
                changes::Fate::Kept => {
                    movement.kept += 1;
                    to
                }
            };
            spilled = gathered.unique.meet(fate, guest.username_hash);
            if spilled.is_err() {
                ControlFlow::Break(())
            } else {
                gathered.lists.add(fate, period, network, guest)
            }
        });
        (gathered, spilled, joined, movement)
    });
    let (gathered, spilled, joined, movement) = joining.await.map_err(|_panic| TurnoverError::Panicked)?;
    spilled.map_err(temporary)?;
    match joined {
        Ok(ControlFlow::Continue(())) => {
            *gathering = Some(gathered);
            let counts = (earlier.counts.guests, later.counts.guests);
            if (movement.before(), movement.after()) == counts {
                return Ok(Ok(movement));
            }
            Ok(Err(Obstacle::Untrusted(
                "its rosters have not the guests that its manifests count".to_owned(),
            )))
        }
        Ok(ControlFlow::Break(())) => {
            Ok(Err(Obstacle::Untrusted("was not compared, as a list could not be written".to_owned())))
        }
        Err(error) => {
            *gathering = Some(gathered);
            Ok(Err(Obstacle::Untrusted(error_chain(&error))))
        }
    }
}

/// Says why two publications can be compared by their counts alone, if so.
fn counts_only(before: &Manifest, after: &Manifest) -> Option<String> {
    for manifest in [before, after] {
        let (period, revision) = (manifest.billing_period, manifest.revision);
        if let Some(purged_at) = manifest.rosters_purged_at {
            return Some(format!("the rosters of {period} were purged on {}", purged_at.format("%F")));
        }
        if manifest.roster.mode == RosterKind::None {
            return Some(format!("revision {revision} of {period} was published without a roster"));
        }
    }
    let (one, other) = (&before.roster, &after.roster);
    if one.mode != other.mode {
        return Some("one roster is full and the other pseudonymous".to_owned());
    }
    (one != other).then(|| "the pseudonyms were made with two keys".to_owned())
}

/// Opens the roster of a publication, if its bytes are those that were published.
async fn roster(output: &Arc<dyn Destination>, manifest: &Manifest) -> Result<Batches, Obstacle> {
    let format =
        Format::ALL.into_iter().find(|format| manifest.file(Dataset::GuestRoster, *format).is_some());
    let record = format.and_then(|format| manifest.file(Dataset::GuestRoster, format));
    let record =
        record.ok_or_else(|| Obstacle::Untrusted("its manifest names no roster".to_owned()))?.clone();
    let path = record.path.clone();
    let untrusted = |reason: String| Obstacle::Untrusted(format!("{path} {reason}"));
    let file = match output.open(&record.path).await {
        Ok(Some(file)) => file,
        Ok(None) => {
            let reason = "is missing; if the job has output.roster_url, give it as --roster-url, else see what verify says";
            return Err(untrusted(reason.to_owned()));
        }
        Err(error) => return Err(untrusted(format!("cannot be read: {}", error_chain(&error)))),
    };
    let guarded = manifest.csv.is_some_and(|csv| csv.formula_guard);
    let recorded = Measure { bytes: record.bytes, sha256: record.sha256 };
    let opening = tokio::task::spawn_blocking(move || -> Result<Batches, PartError> {
        if Measure::of(&file)? != recorded {
            return Err("has other bytes than were published; see what verify says".into());
        }
        std::io::Seek::rewind(&mut &file)?;
        let schema = Dataset::GuestRoster.schema();
        Ok(match record.format {
            Format::Parquet => Box::new(parquet::read(file, &schema)?),
            Format::Csv => Box::new(csv::read(BufReader::with_capacity(128 * 1024, file), &schema, guarded)?),
        })
    });
    match opening.await {
        Ok(Ok(batches)) => Ok(batches),
        Ok(Err(error)) => Err(untrusted(error.to_string())),
        Err(_panicked) => Err(untrusted("cannot be decoded: its reader panicked".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::fixture::{Sample, local, task};

    #[tokio::test]
    async fn rosters_and_lists_of_many_batches_are_streamed_to_their_ends() {
        let (output, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (network, period, guests) in [
            ("12345678", "2026-09", 0..20_000),
            ("12345678", "2026-10", 9_000..29_000),
            ("87654321", "2026-09", 5_000..6_000),
            ("87654321", "2026-10", 5_000..9_500),
        ] {
            Sample::new(guests).of(task(network, period)).run(local(output.path())).await.unwrap();
        }
        let edition = |text: &str| text.parse::<Edition>().unwrap();
        let question =
            Question { from: edition("2026-09"), to: edition("2026-10"), networks: BTreeSet::new() };
        let lists = ListSettings { place: local(place.path()), formats: Format::ALL.to_vec(), kept: true };
        let report = compare(&local(output.path()), &question, Some(&lists)).await.unwrap();
        let sum = Movement { added: 9_000 + 3_500, gone: 9_000, kept: 11_000 + 1_000 };
        assert_eq!(report.sum, Some(sum));
        // From 5,000 to 9,500 some changed networks, or came to another one.
        let unique = Movement { added: 9_000, gone: 9_000 - 4_000, kept: 11_000 + 4_000 };
        assert_eq!(report.unique, Some(unique));
        for (name, rows) in [("added", sum.added), ("gone", sum.gone), ("kept", sum.kept)] {
            let path = place.path().join(format!("{name}_2026-09_2026-10.parquet"));
            let file = std::fs::File::open(path).unwrap();
            let batches = parquet::read(file, &Dataset::GuestRoster.schema()).unwrap();
            assert_eq!(batches.map(|batch| batch.unwrap().num_rows() as u64).sum::<u64>(), rows, "{name}");
        }
    }
}
