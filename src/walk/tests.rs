//! A walk in pieces finds what a walk at once finds, wherever it is interrupted and however often.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::guest::{Guests, NetworkId, PageToken};
use crate::roster::RunBound;
use crate::storage::{LocalDestination, RelativePath};
use crate::telemetry::{Progress, Silent};
use crate::wickr::{HistoryMonth, Network, NetworkPage, WickrAdmin};

/// A list of numbered guests, a few of them twice, in an order that is not that of their hashes. A token is the
/// number of a page.
struct Numbered {
    guests: u64,
    pages_asked: AtomicU64,
    stop_at: Option<(u64, CancellationToken)>,
}

impl Numbered {
    fn new(guests: u64) -> Self {
        Self { guests, pages_asked: AtomicU64::new(0), stop_at: None }
    }

    fn guest(number: u64) -> (String, String) {
        (format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)), format!("name of {number}"))
    }
}

#[async_trait]
impl WickrAdmin for Numbered {
    async fn list_guest_users(&self, request: &ListGuestUsers) -> Result<GuestPage, ApiError> {
        let asked = self.pages_asked.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((_, stop)) = self.stop_at.as_ref().filter(|(page, _)| *page == asked) {
            stop.cancel();
            std::future::pending::<()>().await;
        }
        let page: u64 = request.next_token.as_ref().map_or(0, |token| token.as_str().parse().unwrap());
        let (start, end) = (page * 100, ((page + 1) * 100).min(self.guests));
        let repeated = (start > 0).then(|| (Self::guest(start - 1).0, "another name".to_owned()));
        let guests = Guests::of((start..end).map(Self::guest).chain(repeated));
        let next = (end < self.guests).then(|| PageToken::new((page + 1).to_string()).unwrap());
        Ok(GuestPage { guests, next })
    }

    async fn guest_user_history_count(&self, _: NetworkId) -> Result<Vec<HistoryMonth>, ApiError> {
        unreachable!("a walk asks for pages")
    }

    async fn list_networks(&self, _: Option<&PageToken>) -> Result<NetworkPage, ApiError> {
        unreachable!("a walk asks for pages")
    }

    async fn get_network(&self, _: NetworkId) -> Result<Network, ApiError> {
        unreachable!("a walk asks for pages")
    }

    async fn mend(&self, _: &ApiError) -> bool {
        false
    }
}

/// Notes how many pages had been asked for whenever one was about to be taken in.
struct AskedMeanwhile<'a>(&'a Numbered, Mutex<Vec<u64>>);

impl Progress for AskedMeanwhile<'_> {
    fn expect(&self, _: Option<u64>) {}

    fn advance(&self, _: u64) {
        self.1.lock().unwrap().push(self.0.pages_asked.load(Ordering::SeqCst));
    }
}

fn runs_of(rows: u32) -> RunBound {
    RunBound { rows, bytes: usize::MAX }
}

fn plan() -> WalkPlan {
    WalkPlan {
        network: "12345678".parse().unwrap(),
        period: "2026-10".parse().unwrap(),
        spelling: PeriodSpelling::Hyphen,
        direction: Direction::Forward,
        page_size: 100,
        mode: RosterMode::Full,
    }
}

fn store() -> (tempfile::TempDir, RunStore) {
    let folder = tempfile::tempdir().unwrap();
    let place = Arc::new(LocalDestination::new(folder.path().to_owned()));
    let store = RunStore::new(place, RelativePath::new("runs").unwrap(), CancellationToken::new());
    (folder, store)
}

async fn at_once(guests: u64) -> Walked {
    let mut round = Round::begin(plan());
    let read =
        round.read(&Numbered::new(guests), &CancellationToken::new(), &Silent, runs_of(u32::MAX)).await;
    assert_eq!(read.unwrap(), Reached::End);
    only(round.finish(None).await.unwrap())
}

fn only(walked: Vec<Walked>) -> Walked {
    let [walked] = <[Walked; 1]>::try_from(walked).unwrap();
    walked
}

/// Walks to the end, writing down every run.
async fn in_pieces(mut round: Round, rows: u32, api: &Numbered, store: &RunStore) -> Walked {
    while round.read(api, &CancellationToken::new(), &Silent, runs_of(rows)).await.unwrap() == Reached::Run {
        round.write_down(store).await.unwrap();
        assert_eq!(round.held().rows, 0);
        if round.has_many_runs() {
            round.merge_runs(store).await.unwrap();
        }
        assert!(!round.has_many_runs(), "runs are merged on the way");
    }
    only(round.finish(Some(store)).await.unwrap())
}

async fn resumed(position: RoundPosition, store: &RunStore) -> Round {
    Round::resume(|_| plan(), position, store).await.unwrap()
}

#[tokio::test]
async fn the_next_page_is_on_its_way_before_one_is_taken_in_where_it_is_sure_to_be_needed() {
    let asked = async |round: &mut Round, guests, rows| {
        let api = Numbered::new(guests);
        let watch = AskedMeanwhile(&api, Mutex::default());
        let reached = round.read(&api, &CancellationToken::new(), &watch, runs_of(rows)).await.unwrap();
        (reached, watch.1.into_inner().unwrap())
    };
    let alone = || Round::begin(plan()).alone();
    assert_eq!(asked(&mut alone(), 500, u32::MAX).await, (Reached::End, vec![2, 3, 4, 5, 5]));
    // Each page but the first has a row more: the third reaches the bound.
    assert_eq!(asked(&mut alone(), 500, 303).await, (Reached::Run, vec![2, 3, 4, 4]));
    assert_eq!(asked(&mut alone(), 500, 302).await, (Reached::Run, vec![2, 3, 3]));
    // What may end on any page, or turn out to be of no use, is asked for page by page.
    for accompanied in [Round::met_backward, Round::confirmed_backward] {
        let mut round = Round::begin(plan());
        assert_eq!(asked(&mut round, 500, 1).await, (Reached::Run, vec![1]));
        let (_, asked) = asked(&mut accompanied(round), 500, u32::MAX).await;
        assert_eq!(asked[0], 1, "{asked:?}");
    }
}

fn assert_same(pieces: &Walked, whole: &Walked) {
    assert!(pieces.roster.same_guests(&whole.roster));
    let facts = |walked: &Walked| {
        let Walked { roster, position } = walked;
        let counts = (roster.guests(), roster.duplicates(), roster.username_conflicts());
        (counts, roster.content_sha256(), position.pages, position.rows, position.edge_repeats)
    };
    assert_eq!(facts(pieces), facts(whole));
    let batches = |walked: &Walked| walked.roster.stream().unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert!(batches(pieces) == batches(whole), "the same rows in the same batches");
}

#[tokio::test]
async fn more_runs_than_are_merged_at_once_are_one_roster() {
    let (_folder, store) = store();
    let guests = 15_000;
    let pieces = in_pieces(Round::begin(plan()), 100, &Numbered::new(guests), &store).await;
    assert!(pieces.position.runs.len() <= MERGE_FAN_IN, "{}", pieces.position.runs.len());
    let whole = at_once(guests).await;
    assert_eq!((whole.roster.guests(), whole.roster.username_conflicts()), (15_000, 149));
    assert_same(&pieces, &whole);
}

#[tokio::test]
async fn a_merge_that_is_stopped_on_the_way_loses_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let place = Arc::new(LocalDestination::new(folder.path().to_owned()));
    let stop = CancellationToken::new();
    let stopped = RunStore::new(place.clone(), RelativePath::new("runs").unwrap(), stop.clone());
    let api = Numbered::new(15_000);
    let mut round = Round::begin(plan());
    while !round.has_many_runs() {
        round.read(&api, &CancellationToken::new(), &Silent, runs_of(100)).await.unwrap();
        round.write_down(&stopped).await.unwrap();
    }
    stop.cancel();
    let error = round.merge_runs(&stopped).await.unwrap_err();
    assert!(error.can_be_resumed(), "{error:?}");
    let position = round.position();
    assert!(position.walks().all(|walk| walk.runs.len() == 2 * MERGE_FAN_IN));

    let store = RunStore::new(place, RelativePath::new("runs").unwrap(), CancellationToken::new());
    let mut resumed = resumed(position, &store).await;
    resumed.merge_runs(&store).await.unwrap();
    let pieces = in_pieces(resumed, 100, &Numbered::new(15_000), &store).await;
    assert_same(&pieces, &at_once(15_000).await);
}

#[tokio::test]
async fn a_walk_that_is_stopped_at_any_page_goes_on_where_it_was_written_down() {
    let whole = at_once(950).await;
    for page in 1..=10 {
        let (_folder, store) = store();
        let stop = CancellationToken::new();
        let stop_at = Some((page, stop.clone()));
        let api = Numbered { stop_at, ..Numbered::new(950) };
        let mut round = Round::begin(plan());
        let error = loop {
            match round.read(&api, &stop, &Silent, runs_of(250)).await {
                Ok(_) => round.write_down(&store).await.unwrap(),
                Err(error) => break error,
            }
        };
        assert!(error.can_be_resumed() && error.page == page, "{error:?}");
        round.write_down(&store).await.unwrap();
        let position = serde_json::to_string(&round.position()).unwrap();
        drop(round);

        let position: RoundPosition = serde_json::from_str(&position).unwrap();
        let round = resumed(position, &store).await;
        let rest = Numbered::new(950);
        let pieces = in_pieces(round, 250, &rest, &store).await;
        assert_eq!(rest.pages_asked.into_inner(), 10 - (page - 1), "no page is read twice");
        assert_same(&pieces, &whole);
    }
}

#[tokio::test]
async fn a_resumed_walk_still_knows_whom_it_met() {
    let (_folder, store) = store();
    let api = Numbered::new(500);
    let mut round = Round::begin(plan());
    round.read(&api, &CancellationToken::new(), &Silent, runs_of(100)).await.unwrap();
    round.write_down(&store).await.unwrap();
    let [RoundPosition::Alone(position)] = [round.position()] else { panic!("one walk") };
    let mut resumed = Walk::resume(plan(), position, &store).await.unwrap();
    let (hash, name) = Numbered::guest(5);
    let pushed = resumed.builder.push(&hash, &name).unwrap();
    assert!(!pushed.is_new);
}

#[tokio::test]
async fn a_merge_ends_where_the_program_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let place = Arc::new(LocalDestination::new(folder.path().to_owned()));
    let stop = CancellationToken::new();
    let store = RunStore::new(place, RelativePath::new("runs").unwrap(), stop.clone());
    let pieces = in_pieces(Round::begin(plan()), 100, &Numbered::new(500), &store).await;
    stop.cancel();
    let batches: Vec<_> = pieces.roster.stream().unwrap().collect();
    assert!(matches!(batches.as_slice(), [Err(RosterError::Interrupted)]), "nothing follows a failure");
}

#[tokio::test]
async fn a_backward_walk_that_reads_the_pages_of_the_forward_one_confirms_nothing() {
    // This list knows one direction only, whichever is asked for.
    let (api, stop) = (Numbered::new(950), CancellationToken::new());
    let mut round = Round::begin(plan());
    round.read(&api, &stop, &Silent, runs_of(1)).await.unwrap();
    let mut round = round.confirmed_backward();
    round.read(&api, &stop, &Silent, runs_of(u32::MAX)).await.unwrap();
    let walked = only(round.finish(None).await.unwrap());
    assert_eq!((walked.position.direction, walked.roster.guests()), (Direction::Forward, 950));
}
