//! One or two walks that are read at the same time.
//!
//! Two confirm each other if each reads all of the list, or go towards each other and read it together (see
//! [`Meeting`]). Where those do not meet, the forward one goes on alone: what the other has read is dropped, as rows of
//! a list that is not in order, or moved, are no part of one walk over it.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::meeting::{Meeting, Standing};
use super::position::RoundPosition;
use super::{Direction, Walk, WalkError, WalkFailure, WalkPlan, WalkPosition, Walked};
use crate::period::PeriodSpelling;
use crate::roster::{Held, MERGE_FAN_IN, RosterMode, RunBound, RunStore, RunStoreError};
use crate::telemetry::Progress;
use crate::wickr::{GuestPage, WickrAdmin};

/// How far [`Round::read`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// There is a run to be written down; the list goes on.
    Run,
    /// The end.
    End,
}

/// One or two walks on their way.
pub struct Round {
    /// The forward one first, if there are two.
    walks: Vec<Walk>,
    /// Whether they have met, if they go towards each other.
    meeting: Option<Meeting>,
}

impl Round {
    /// Begins with one walk, before its first page.
    #[must_use]
    pub fn begin(plan: WalkPlan) -> Self {
        Self { walks: vec![Walk::begin(plan)], meeting: None }
    }

    /// Adds a walk in the other direction that reads all of the list as well.
    ///
    /// # Panics
    /// If the round is not of one forward walk.
    #[must_use]
    pub fn confirmed_backward(mut self) -> Self {
        self.walks.push(self.opposite());
        self
    }

    /// Adds a walk in the other direction that is to meet this one, which has read these pages so far.
    ///
    /// # Panics
    /// If the round is not of one forward walk.
    #[must_use]
    pub fn met_backward(mut self, meeting: Meeting) -> Self {
        self.walks.push(self.opposite());
        self.meeting = Some(meeting);
        self
    }

    fn opposite(&self) -> Walk {
        let [forward] = self.walks.as_slice() else { panic!("a round is of two walks at most") };
        assert_eq!(forward.plan.direction, Direction::Forward, "the forward walk comes first");
        Walk::begin(WalkPlan { direction: Direction::Backward, ..forward.plan.clone() })
    }

    /// Goes on from where another process stopped, after reading everything that it has written down. `plan_of` gives
    /// the plan of a walk.
    ///
    /// # Errors
    /// [`RunStoreError`] if anything of it is missing or not as it was written.
    pub async fn resume(
        plan_of: impl Fn(&WalkPosition) -> WalkPlan,
        position: RoundPosition,
        store: &RunStore,
    ) -> Result<Self, RunStoreError> {
        let (walks, meeting) = match position {
            RoundPosition::Alone(walk) => (vec![walk], None),
            RoundPosition::Both(forward, backward) => (vec![forward, backward], None),
            RoundPosition::Converging(forward, _, None) => (vec![forward], None),
            RoundPosition::Converging(forward, backward, meeting) => (vec![forward, backward], meeting),
        };
        let mut round = Self { walks: Vec::new(), meeting };
        for position in walks {
            round.walks.push(Walk::resume(plan_of(&position), position, store).await?);
        }
        Ok(round)
    }

    /// Returns where the round stands, for another process.
    #[must_use]
    pub fn position(&self) -> RoundPosition {
        let position = |walk: &Walk| walk.position().clone();
        match (self.walks.as_slice(), &self.meeting) {
            ([forward, backward], None) => RoundPosition::Both(position(forward), position(backward)),
            ([forward, backward], Some(meeting)) => {
                let keeps_names = matches!(forward.plan.mode, RosterMode::Full);
                let meeting = keeps_names.then(|| meeting.clone());
                RoundPosition::Converging(position(forward), position(backward), meeting)
            }
            (walks, _) => RoundPosition::Alone(position(walks.first().expect("a round has a walk"))),
        }
    }

    /// Returns how the period is written in the requests.
    #[must_use]
    pub fn spelling(&self) -> PeriodSpelling {
        self.walks[0].position.spelling
    }

    /// Counts the pages that were read.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.walks.iter().map(|walk| walk.position.pages).sum()
    }

    /// Counts the rows that were read.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.walks.iter().map(|walk| walk.position.rows).sum()
    }

    /// Returns what was read and is not written down.
    #[must_use]
    pub fn held(&self) -> Held {
        self.walks.iter().map(|walk| walk.builder.held()).sum()
    }

    /// Says whether anything is written down.
    #[must_use]
    pub fn has_runs(&self) -> bool {
        self.walks.iter().any(|walk| !walk.position.runs.is_empty())
    }

    /// Says whether nothing is left to be read.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let met = self.meeting.as_ref().is_some_and(|meeting| meeting.standing() == Standing::Met);
        met || self.walks.iter().all(|walk| walk.position.has_ended())
    }

    /// Reads pages until so much is held that a run should be written, or the round has ended.
    ///
    /// # Errors
    /// [`WalkError`], which names walk and page; the pages before it are still there to be written down.
    pub async fn read(
        &mut self,
        api: &dyn WickrAdmin,
        stop: &CancellationToken,
        progress: &dyn Progress,
        bound: RunBound,
    ) -> Result<Reached, WalkError> {
        let mut asked = FuturesUnordered::new();
        let mut is_asked = [false; 2];
        loop {
            if self.has_ended() {
                return Ok(Reached::End);
            }
            // Those that are on their way are still taken in: no page is asked for twice.
            if !bound.is_reached_by(self.held()) {
                for (at, walk) in self.walks.iter().enumerate() {
                    let Some(request) = walk.request().filter(|_| !is_asked[at]) else { continue };
                    asked.push(async move {
                        (at, stop.run_until_cancelled(api.list_guest_users(&request)).await)
                    });
                    is_asked[at] = true;
                }
            }
            let Some((at, answer)) = asked.next().await else { return Ok(Reached::Run) };
            is_asked[at] = false;
            let page = answer
                .ok_or(WalkFailure::Interrupted)
                .and_then(|answer| Ok(answer?))
                .map_err(|reason| self.walks[at].failed(reason))?;
            progress.advance(page.guests.len() as u64);
            self.admit(at, page)?;
            if self.goes_on_alone() {
                self.walks.truncate(1);
                self.meeting = None;
                if at == 0 {
                    // All that is on its way is for the other one.
                    asked.clear();
                }
                is_asked[1] = false;
            }
        }
    }

    fn admit(&mut self, at: usize, page: GuestPage) -> Result<(), WalkError> {
        let walk = &mut self.walks[at];
        if let Some(meeting) = &mut self.meeting {
            meeting.admit(walk.plan.direction, &page.guests);
        }
        walk.admit(page).map_err(|reason| self.walks[at].failed(reason))
    }

    /// Says whether two walks that go towards each other are of no further use to each other.
    fn goes_on_alone(&self) -> bool {
        let standing = self.meeting.as_ref().map(Meeting::standing);
        let apart = standing == Some(Standing::Apart);
        standing == Some(Standing::Refuted) || (apart && self.walks[0].position.has_ended())
    }

    /// Begins the walk in this direction once more before its first page, unless that was done before.
    #[must_use]
    pub fn begin_anew(&mut self, direction: Direction) -> bool {
        let walk = self.walks.iter_mut().find(|walk| walk.plan.direction == direction);
        let Some(walk) = walk.filter(|walk| !walk.began_anew) else { return false };
        *walk = Walk { began_anew: true, ..Walk::begin(walk.plan.clone()) };
        if let Some(meeting) = &mut self.meeting {
            meeting.begin_anew(direction);
        }
        true
    }

    /// Writes down what was read since the last run. Only then does the position stand for all of it.
    ///
    /// # Errors
    /// [`WalkError`]; what was to be written is lost, and so is the walk.
    pub async fn write_down(&mut self, store: &RunStore) -> Result<(), WalkError> {
        for walk in &mut self.walks {
            walk.write_down(store).await?;
        }
        Ok(())
    }

    /// Says whether there are so many runs that some should become one before more are written.
    #[must_use]
    pub fn has_many_runs(&self) -> bool {
        self.walks.iter().any(Walk::has_many_runs)
    }

    /// Makes one run of many. The runs that it replaces are there until another position is written down.
    ///
    /// # Errors
    /// [`WalkError`]; the runs stay as they are.
    pub async fn merge_runs(&mut self, store: &RunStore) -> Result<(), WalkError> {
        for walk in self.walks.iter_mut().filter(|walk| walk.has_many_runs()) {
            walk.merge_smallest(MERGE_FAN_IN, store).await?;
        }
        Ok(())
    }

    /// Ends a round that has ended: of two walks that have met one is made. What they found stays in memory if nothing
    /// of it was written down.
    ///
    /// # Errors
    /// [`WalkError`] if what was written down cannot be read.
    pub async fn finish(self, store: Option<&RunStore>) -> Result<Vec<Walked>, WalkError> {
        let mut walks = self.walks;
        if let Some(meeting) = self.meeting
            && let (Some(backward), Some(forward)) = (walks.pop(), walks.pop())
        {
            walks.push(forward.joined_by(backward, meeting.overlap()));
        }
        let mut walked = Vec::with_capacity(walks.len());
        for walk in walks {
            walked.push(walk.finish(store).await?);
        }
        Ok(walked)
    }
}
