//! One or two walks that are read at the same time.
//!
//! Two confirm each other if each reads all of the list, or go towards each other and read it together (see
//! [`Meeting`]). Where those do not meet, the forward one goes on alone: what the other has read is dropped, as rows of
//! a list that is not in order, or moved, are no part of one walk over it.

use tokio_util::sync::CancellationToken;

use super::asked::Asked;
use super::meeting::{Meeting, Standing};
use super::position::RoundPosition;
use super::{Direction, Walk, WalkError, WalkFailure, WalkPlan, WalkPosition, Walked};
use crate::period::PeriodSpelling;
use crate::roster::{Held, MERGE_FAN_IN, RosterMode, RunBound, RunStore, RunStoreError};
use crate::telemetry::Progress;
use crate::wickr::{GuestPage, ListGuestUsers, WickrAdmin};

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
    /// What the walks are to each other.
    relation: Relation,
    /// Pages that this process has taken in.
    taken_in: u64,
}

/// What the walks of a round are to each other.
enum Relation {
    /// There is one, which need not be held against another.
    Alone,
    /// There is one, of whose pages another one is to be told.
    Opening(Meeting),
    /// They read all of the list, and were found not to read it in the same order.
    Both,
    /// They are to read all of the list, once the backward one shows that it goes the other way.
    BothIfOpposite(Meeting),
    /// They go towards each other.
    Converging(Meeting),
}

impl Round {
    /// Begins with one walk, before its first page.
    #[must_use]
    pub fn begin(plan: WalkPlan) -> Self {
        Self { walks: vec![Walk::begin(plan)], relation: Relation::Opening(Meeting::begin()), taken_in: 0 }
    }

    /// Goes on with this walk alone.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { relation: Relation::Alone, ..self }
    }

    /// Adds a walk in the other direction that reads all of the list as well. If its first page has a row of that of this
    /// one, the service may not know the other direction: then it is dropped, as two walks that read the same pages at the
    /// same moment miss the same guests. (A list of less than two pages is as soon read twice one after the other.)
    ///
    /// # Panics
    /// If the round is not of one forward walk that was begun here.
    #[must_use]
    pub fn confirmed_backward(self) -> Self {
        self.accompanied(Relation::BothIfOpposite)
    }

    /// Adds a walk in the other direction that is to meet this one.
    ///
    /// # Panics
    /// If the round is not of one forward walk that was begun here.
    #[must_use]
    pub fn met_backward(self) -> Self {
        self.accompanied(Relation::Converging)
    }

    fn accompanied(mut self, relation: fn(Meeting) -> Relation) -> Self {
        let Relation::Opening(meeting) = self.relation else {
            panic!("what the forward walk has read is not known")
        };
        self.walks.push(opposite(&self.walks));
        Self { relation: relation(meeting), ..self }
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
        let (walks, relation) = match position {
            RoundPosition::Alone(walk) => (vec![walk], Relation::Alone),
            RoundPosition::Both(forward, backward) => {
                // Before its first row a backward walk has not shown that it goes the other way.
                let relation = if backward.rows > 0 { Relation::Both } else { Relation::Alone };
                (vec![forward, backward], relation)
            }
            RoundPosition::Converging(forward, backward, meeting) => {
                (vec![forward, backward], meeting.map_or(Relation::Alone, Relation::Converging))
            }
        };
        let goes_on_alone = matches!(relation, Relation::Alone);
        let mut round = Self { walks: Vec::new(), relation, taken_in: 0 };
        // All of them, as what was written down is whole or of no use.
        for position in walks {
            round.walks.push(Walk::resume(plan_of(&position), position, store).await?);
        }
        if goes_on_alone {
            round.drop_backward();
        }
        Ok(round)
    }

    /// Returns where the round stands, for another process.
    #[must_use]
    pub fn position(&self) -> RoundPosition {
        let position = |walk: &Walk| walk.position().clone();
        match (self.walks.as_slice(), &self.relation) {
            ([forward, backward], Relation::Converging(meeting)) => {
                let keeps_names = matches!(forward.plan.mode, RosterMode::Full);
                let meeting = keeps_names.then(|| meeting.clone());
                RoundPosition::Converging(position(forward), position(backward), meeting)
            }
            ([forward, backward], _) => RoundPosition::Both(position(forward), position(backward)),
            (walks, _) => RoundPosition::Alone(position(walks.first().expect("a round has a walk"))),
        }
    }

    /// Returns how the period is written in the requests.
    #[must_use]
    pub fn spelling(&self) -> PeriodSpelling {
        self.walks[0].position.spelling
    }

    /// Counts the pages that this process has taken in, also for walks that have gone.
    #[must_use]
    pub const fn taken_in(&self) -> u64 {
        self.taken_in
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
        let met =
            matches!(&self.relation, Relation::Converging(meeting) if meeting.standing() == Standing::Met);
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
        let ask = async |request| stop.run_until_cancelled(api.list_guest_users(&request)).await;
        let mut asked = Asked::nothing();
        loop {
            if self.has_ended() {
                return Ok(Reached::End);
            }
            // Those that are on their way are still taken in: no page is asked for twice.
            if !bound.is_reached_by(self.held()) {
                for (at, walk) in self.walks.iter().enumerate() {
                    if asked.has(at) {
                        continue;
                    }
                    if let Some(request) = walk.request() {
                        asked.ask(at, ask(request));
                    }
                }
            }
            let Some((at, answer)) = asked.next().await else { return Ok(Reached::Run) };
            let page = answer
                .ok_or(WalkFailure::Interrupted)
                .and_then(|answer| Ok(answer?))
                .map_err(|reason| self.walks[at].failed(reason))?;
            if let Some(next) = self.request_beyond(at, &page, bound) {
                asked.ask(at, ask(next));
                asked.leave(at).await;
            }
            progress.advance(page.guests.len() as u64);
            self.admit(at, page)?;
            if self.settle_relation() {
                self.drop_backward();
                asked.withdraw(1);
            }
        }
    }

    /// Returns the request for what comes after a page that was not taken in yet, if it can be told before that it will
    /// be made: not of walks that may meet on this page, reach the bound with it, or be stopped by it.
    fn request_beyond(&self, at: usize, page: &GuestPage, bound: RunBound) -> Option<ListGuestUsers> {
        let goes_on = matches!(self.relation, Relation::Opening(_) | Relation::Alone | Relation::Both);
        let fits = !bound.is_reached_by(self.held() + Held::of(&page.guests));
        let walk = &self.walks[at];
        let next =
            page.next.as_ref().filter(|next| goes_on && fits && !walk.position.guard.may_refuse(next))?;
        Some(walk.request_for(Some(next.clone())))
    }

    fn admit(&mut self, at: usize, page: GuestPage) -> Result<(), WalkError> {
        let walk = &mut self.walks[at];
        let direction = walk.plan.direction;
        match &mut self.relation {
            Relation::Opening(meeting) | Relation::Converging(meeting) => {
                meeting.admit(direction, &page.guests);
            }
            // Its first page is held against that of the forward one.
            Relation::BothIfOpposite(meeting) if direction == Direction::Backward => {
                meeting.admit(direction, &page.guests);
            }
            Relation::Alone | Relation::Both | Relation::BothIfOpposite(_) => {}
        }
        self.taken_in += 1;
        walk.admit(page).map_err(|reason| self.walks[at].failed(reason))
    }

    /// Finds out what two walks are to each other, as far as the latest page tells, and says whether they are of no further
    /// use to each other.
    fn settle_relation(&mut self) -> bool {
        let [forward, backward] = self.walks.as_slice() else { return false };
        match &self.relation {
            Relation::Converging(meeting) => {
                let standing = meeting.standing();
                let apart = standing == Standing::Apart;
                standing == Standing::Refuted || (apart && forward.position.has_ended())
            }
            Relation::BothIfOpposite(meeting) if backward.position.rows > 0 => {
                let same = meeting.have_a_row_in_common();
                self.relation = Relation::Both;
                same
            }
            Relation::Alone | Relation::Opening(_) | Relation::Both | Relation::BothIfOpposite(_) => false,
        }
    }

    fn drop_backward(&mut self) {
        self.walks.truncate(1);
        self.relation = Relation::Alone;
    }

    /// Goes on without the walk in this direction, whose answers broke the contract, if the other one of two that go
    /// towards each other can: that one will read what this one was to read.
    #[must_use]
    pub fn goes_on_without(&mut self, direction: Direction) -> bool {
        let can = direction == Direction::Backward && matches!(self.relation, Relation::Converging(_));
        if can {
            self.drop_backward();
        }
        can
    }

    /// Returns the forward one of two walks that confirm each other, if it has read all of the list.
    #[must_use]
    pub fn ended_forward(mut self) -> Option<Self> {
        let both = matches!(self.relation, Relation::Both | Relation::BothIfOpposite(_));
        if !both || !self.walks[0].position.has_ended() {
            return None;
        }
        self.drop_backward();
        Some(self)
    }

    /// Begins the walk in this direction once more before its first page, unless that was done before.
    #[must_use]
    pub fn begin_anew(&mut self, direction: Direction) -> bool {
        let walk = self.walks.iter_mut().find(|walk| walk.plan.direction == direction);
        let Some(walk) = walk.filter(|walk| !walk.began_anew) else { return false };
        *walk = Walk { began_anew: true, ..Walk::begin(walk.plan.clone()) };
        if let Relation::Opening(meeting)
        | Relation::BothIfOpposite(meeting)
        | Relation::Converging(meeting) = &mut self.relation
        {
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
        if let Relation::Converging(meeting) = self.relation
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

fn opposite(walks: &[Walk]) -> Walk {
    let [forward] = walks else { panic!("a round is of two walks at most") };
    assert_eq!(forward.plan.direction, Direction::Forward, "the forward walk comes first");
    Walk::begin(WalkPlan { direction: Direction::Backward, ..forward.plan.clone() })
}
