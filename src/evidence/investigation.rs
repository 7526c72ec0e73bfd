//! Walks until the number is confirmed, or refused.
//!
//! Which spelling of the period the service understands is found out here, on the first walk: a spelling that
//! it does not know may look like a period without guests.
//!
//! What is found out is written down whenever there is a run of it, and when something stops it that another
//! process may outlive. A process that goes on knows all that its predecessor knew, the count before the first
//! walk too, and judges by the same rules; the count after the last walk it always reads itself.

use chrono::{DateTime, Utc};

use super::confirm::{ConfirmError, ConfirmSettings, Strategy, Surroundings};
use super::control_total::{ControlTotal, read_control_total};
use super::inquiry::{Findings, Inquiry};
use super::verdict::{Confirmation, Facts, Verdict, WalkFacts, judge};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::error_chain::error_chain;
use crate::pacing::RequestCount;
use crate::period::PeriodSpelling;
use crate::roster::{Held, RosterError, RunBound, RunStore, RunStoreError};
use crate::walk::{Direction, Reached, Round, WalkPlan, WalkPosition, Walked, blocking};

/// Everything that is known of one number, and what it is found out with.
pub(super) struct Investigation<'a> {
    surroundings: &'a Surroundings<'a>,
    settings: &'a ConfirmSettings,
    checkpoint: &'a mut Checkpoint,
    findings: Findings,
    // Only the last two walks are ever compared or published, so only they are kept.
    before: Option<Walked>,
    latest: Option<Walked>,
    earlier: RequestCount,
    resumed: bool,
    /// When the latest of it was found out.
    news_at: DateTime<Utc>,
}

impl<'a> Investigation<'a> {
    /// Goes on where an earlier process stopped, if it left something that fits, else begins.
    ///
    /// Returns the walks that it was on, too.
    pub(super) async fn open(
        surroundings: &'a Surroundings<'a>,
        settings: &'a ConfirmSettings,
        checkpoint: &'a mut Checkpoint,
    ) -> Result<(Self, Option<Round>), ConfirmError> {
        let own = Self {
            surroundings,
            settings,
            checkpoint,
            findings: Findings {
                state: settings.period.state_at(settings.now(surroundings.clock), settings.settle_days),
                started_at: surroundings.clock.now(),
                finished_at: surroundings.clock.now(),
                totals: Vec::new(),
                walks: Vec::new(),
            },
            before: None,
            latest: None,
            earlier: RequestCount::default(),
            resumed: false,
            news_at: surroundings.clock.now(),
        };
        let Some((inquiry, saved_at)) = own.checkpoint.load::<Inquiry>().await? else {
            return Ok((own, None));
        };
        if inquiry.findings.state != own.findings.state {
            own.checkpoint.discard("the state of its period has changed").await;
            return Ok((own, None));
        }
        let store = own.checkpoint.store().await?.clone();
        match restored(settings, &inquiry, &store).await {
            Ok((ended, _)) if !agree(&inquiry, &ended) => {
                own.checkpoint.discard("its cursor contradicts its runs").await;
                Ok((own, None))
            }
            Ok((ended, current)) => {
                tracing::info!(
                    walks = inquiry.findings.walks.len(),
                    pages = inquiry.kept().map(|walk| walk.pages).sum::<u64>(),
                    rows = inquiry.kept_rows(),
                    "going on where an earlier run stopped"
                );
                let [before, latest] = ended;
                Ok((
                    Self {
                        findings: inquiry.findings,
                        before,
                        latest,
                        earlier: inquiry.asked,
                        resumed: true,
                        news_at: saved_at,
                        ..own
                    },
                    current,
                ))
            }
            Err(RunStoreError::Rows(RosterError::Interrupted)) => Err(ConfirmError::Interrupted),
            Err(RunStoreError::Rows(RosterError::Damaged(run))) if run.is_damage() => {
                own.checkpoint.discard(&run.to_string()).await;
                Ok((own, None))
            }
            // What cannot be read at the moment may be whole.
            Err(error) => Err(CheckpointError::Runs(error).into()),
        }
    }

    pub(super) const fn findings(&self) -> &Findings {
        &self.findings
    }

    pub(super) const fn was_resumed(&self) -> bool {
        self.resumed
    }

    /// Counts what was asked, by earlier processes too.
    pub(super) fn asked(&self) -> RequestCount {
        self.earlier + (self.surroundings.asked)()
    }

    /// Walks and judges until there is something to publish. What stops it is written down first, where another
    /// process may go on.
    pub(super) async fn conclude(
        &mut self,
        mut current: Option<Round>,
    ) -> Result<(Walked, Confirmation), ConfirmError> {
        loop {
            if self.findings.totals.len() == self.findings.walks.len() {
                let total = self.read_total().await?;
                self.findings.totals.push(total);
                self.news_at = self.surroundings.clock.now();
            }
            if !self.findings.walks.is_empty() {
                match self.judged() {
                    Verdict::Publish(confirmation) => return Ok((self.published(), confirmation)),
                    Verdict::Refuse(refusal) => return Err(refusal.into()),
                    Verdict::WalkAgain => {}
                }
            }
            self.surroundings.progress.expect(self.findings.totals[0].count());
            let walked = match (current.take(), &self.latest) {
                (Some(round), Some(_)) => self.walk_to_the_end(round).await?,
                (None, Some(latest)) => self.walk_again(latest.position.spelling).await?,
                (current, None) => self.first_walks(current).await?,
            };
            self.add(walked).await?;
        }
    }

    async fn walk_again(&mut self, spelling: PeriodSpelling) -> Result<Vec<Walked>, ConfirmError> {
        let direction = Inquiry::direction_of(self.findings.walks.len());
        tracing::info!(
            walk = self.findings.walks.len() + 1,
            direction = direction.as_str(),
            "walking again to confirm"
        );
        self.walk_to_the_end(Round::begin(plan(self.settings, spelling, direction)).alone()).await
    }

    /// Has the first walk accompanied by a backward one, where that saves time.
    ///
    /// A number that the service does not count takes a walk in each direction, and they need not wait for each other.
    /// Later walks are made one by one, as each may agree with the one before it.
    fn accompanied(&self, forward: Round) -> Round {
        let counted = self.findings.totals.last().is_some_and(|total| total.count().is_some());
        if self.findings.state.has_ended() && !counted {
            return forward.confirmed_backward();
        }
        match self.settings.strategy {
            Strategy::Converge if counted => forward.met_backward(),
            Strategy::Converge | Strategy::Forward => forward.alone(),
        }
    }

    /// Returns how much may be read before it is written down. What the walks before hold in memory counts: a task must
    /// not hold more, and a killed process not have more to read again, however many walks were too small for a run.
    async fn bound_left(&mut self) -> Result<RunBound, ConfirmError> {
        let RunBound { rows, bytes } = self.settings.bound;
        let held = self.held_in_memory();
        if held.rows > rows / 2 || held.bytes > bytes / 2 {
            self.write_down(None).await?;
            return Ok(self.settings.bound);
        }
        Ok(RunBound { rows: rows - held.rows, bytes: bytes - held.bytes })
    }

    /// Counts what was read for walks that have ended and of which nothing is written down.
    fn held_in_memory(&self) -> Held {
        let ended = [&self.before, &self.latest].into_iter().flatten();
        ended
            .filter_map(|walked| {
                let run = walked.roster.in_memory()?;
                let rows = u32::try_from(walked.position.rows).unwrap_or(u32::MAX);
                Some(Held { rows, bytes: run.bytes() })
            })
            .sum()
    }

    async fn read_total(&mut self) -> Result<ControlTotal, ConfirmError> {
        let Surroundings { api, clock, stop, .. } = self.surroundings;
        let (network, period) = (self.settings.network, self.settings.period);
        let reading = read_control_total(*api, network, period, self.settings.now(clock));
        let error = match stop.run_until_cancelled(reading).await {
            Some(Ok(total)) => return Ok(total),
            Some(Err(error)) => ConfirmError::History(error),
            None => ConfirmError::Interrupted,
        };
        if self.latest.is_some() {
            self.keep(None).await;
        }
        Err(error)
    }

    fn judged(&self) -> Verdict {
        // Those confirm no other walk.
        let converged = self.findings.walks.iter().filter(|walk| walk.converged).count();
        judge(&Facts {
            has_ended: self.findings.state.has_ended(),
            zero_accepted: self.settings.zero_accepted,
            walks: &self.findings.walks,
            totals: &self.findings.totals,
            max_walks: 2 * self.settings.attempts as usize + converged,
        })
    }

    /// Adds walks that have ended to what is known.
    async fn add(&mut self, walked: Vec<Walked>) -> Result<(), ConfirmError> {
        self.findings.finished_at = self.surroundings.clock.now();
        for walked in walked {
            let converged = walked.position.overlap.is_some();
            // One that is half of each direction has its pages in common with either.
            let comparable = self.latest.as_ref().filter(|before| {
                !converged
                    && before.position.overlap.is_none()
                    && before.position.direction != walked.position.direction
            });
            let same_as_before = match comparable {
                Some(before) => {
                    let (roster, before) = (walked.roster.clone(), before.roster.clone());
                    blocking(move || roster.same_guests(&before)).await
                }
                None => false,
            };
            if self.findings.totals.len() == self.findings.walks.len() {
                // Of two walks at the same time, the count before the second is the count before both.
                self.findings.totals.extend(self.findings.totals.last().copied());
            }
            self.findings.walks.push(WalkFacts { guests: walked.roster.guests(), same_as_before, converged });
            self.before = self.latest.replace(walked);
        }
        if self.checkpoint.is_there() { self.write_down(None).await } else { Ok(()) }
    }

    /// Makes the first walks, in the spelling that the service understands.
    ///
    /// What its first page says decides: an empty list is asked for again in the other spelling, and so is one that is
    /// refused as invalid. Only if the other spelling has nothing to say either is the first answer the answer.
    async fn first_walks(&mut self, current: Option<Round>) -> Result<Vec<Walked>, ConfirmError> {
        if let Some(round) = current {
            match self.walk_to_the_end(round).await {
                // It was begun anew, and so its spelling is as doubtful as that of any first page.
                Ok(walked) if walked.iter().all(|walked| walked.roster.guests() == 0) => {}
                // One of two that had ended answered the question.
                Err(error) if self.latest.is_none() && refuses_the_question(&error) => {}
                ended => return ended,
            }
        }
        let asked = self.settings.spelling;
        let first = self.opened(asked).await;
        let is_an_answer = match &first {
            Ok(round) => round.rows() > 0,
            Err(error) => !refuses_the_question(error),
        };
        let round = if is_an_answer {
            first?
        } else {
            tracing::info!(
                spelling = self.settings.period.spelled(asked.other()),
                "asking again in the other spelling of the period"
            );
            match (first, self.opened(asked.other()).await) {
                (Ok(empty), Ok(round)) if round.rows() == 0 => empty,
                (_, Ok(round)) => round,
                (Ok(empty), Err(error)) if refuses_the_question(&error) => empty,
                (Err(refused), Err(error)) if refuses_the_question(&error) => return Err(refused),
                (_, Err(error)) => return Err(error),
            }
        };
        let round = if round.has_ended() { round } else { self.accompanied(round) };
        self.walk_to_the_end(round).await
    }

    /// Begins a forward walk and reads it until it has brought somebody, or has ended.
    async fn opened(&mut self, spelling: PeriodSpelling) -> Result<Round, ConfirmError> {
        const ANY_ROW: RunBound = RunBound { rows: 1, bytes: usize::MAX };
        let mut round = Round::begin(plan(self.settings, spelling, Direction::Forward));
        self.read(&mut round, ANY_ROW).await?;
        Ok(round)
    }

    /// Reads on to the end, writing down what would not fit into memory.
    async fn walk_to_the_end(&mut self, mut round: Round) -> Result<Vec<Walked>, ConfirmError> {
        loop {
            if round.has_many_runs() {
                round.merge_runs(self.checkpoint.store().await?).await?;
                self.write_down(Some(&mut round)).await?;
            }
            let bound = self.bound_left().await?;
            match self.read(&mut round, bound).await {
                Ok(Reached::End) => return self.finish(round).await,
                Ok(Reached::Run) => self.write_down(Some(&mut round)).await?,
                Err(error) => {
                    // A wrong answer to one of two walks does not cost the other one, if that has ended.
                    if matches!(&error, ConfirmError::Walk(error) if !error.can_be_resumed())
                        && let Some(ended) = round.ended_forward()
                    {
                        let ended = self.finish(ended).await?;
                        self.add(ended).await?;
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn finish(&mut self, mut round: Round) -> Result<Vec<Walked>, ConfirmError> {
        if !round.has_runs() {
            return Ok(round.finish(None).await?);
        }
        self.write_down(Some(&mut round)).await?;
        Ok(round.finish(Some(self.checkpoint.store().await?)).await?)
    }

    /// Reads a run, or to the end. What stops it and another process may outlive is written down.
    async fn read(&mut self, round: &mut Round, bound: RunBound) -> Result<Reached, ConfirmError> {
        let Surroundings { api, stop, progress, .. } = self.surroundings;
        loop {
            let before = round.taken_in();
            let read = round.read(*api, stop, *progress, bound).await;
            if round.taken_in() > before {
                self.news_at = self.surroundings.clock.now();
            }
            match read {
                // A token may have grown old: while no process used it, or while one waited for its turn. A service that
                // refuses the tokens of a walk twice has another reason.
                Err(error) if error.refuses_the_token() && round.begin_anew(error.direction) => {
                    tracing::warn!(error = %error_chain(&error), "the service no longer takes the token, walking anew");
                }
                Err(error) if error.can_be_resumed() => {
                    self.keep(Some(round)).await;
                    return Err(error.into());
                }
                Err(error) if round.goes_on_without(error.direction) => {
                    tracing::warn!(error = %error_chain(&error), "walking on from one end alone");
                }
                read => return Ok(read?),
            }
        }
    }

    /// Writes down all that is known, so that another process could go on from here.
    async fn write_down(&mut self, mut round: Option<&mut Round>) -> Result<(), ConfirmError> {
        let store = self.checkpoint.store().await?;
        for ended in [&mut self.before, &mut self.latest].into_iter().flatten() {
            ended.write_down(store).await?;
        }
        if let Some(round) = &mut round {
            round.write_down(store).await?;
        }
        let ended = [&self.before, &self.latest].into_iter().flatten();
        let inquiry = Inquiry {
            findings: self.findings.clone(),
            asked: self.asked(),
            ended: ended.map(|walked| walked.position.clone()).collect(),
            current: round.map(|round| round.position()),
        };
        self.checkpoint.save(&inquiry, self.news_at).await?;
        tracing::debug!(walks = inquiry.findings.walks.len(), "checkpoint written");
        Ok(())
    }

    /// Writes down what is known because something stops the work, and says whether anything stays. If that fails
    /// too, what stopped it matters more.
    ///
    /// What brings no news is left as old as it is: a walk that never gets on is too old for another try some day.
    async fn keep(&mut self, round: Option<&mut Round>) -> bool {
        let round = round.filter(|round| round.rows() > 0);
        if round.is_none() && self.latest.is_none() {
            return false;
        }
        let kept = self.write_down(round).await;
        match &kept {
            Ok(()) if self.checkpoint.can_be_resumed() => {
                tracing::info!("what was read so far is kept, another run goes on from here");
            }
            Ok(()) => tracing::info!("resume.max_age is 0s, so no run goes on from what was read so far"),
            Err(error) => {
                tracing::warn!(error = %error_chain(error), "what was read so far could not be kept");
            }
        }
        kept.is_ok()
    }

    /// Leaves what another process can go on with after this error, and nothing else.
    pub(super) async fn leave(&mut self, error: &ConfirmError) {
        match error {
            // A wrong answer spoils the walk that it was given to, not those that had ended; nor is it news of them.
            ConfirmError::Walk(error) if !error.can_be_resumed() => {
                self.news_at = self.findings.finished_at;
                if self.latest.is_none() || !self.keep(None).await {
                    self.abandon().await;
                }
            }
            ConfirmError::Refused(_) => self.abandon().await,
            // What there was to keep was kept where it happened. A count that stops the walk too leaves the walks
            // themselves whole.
            ConfirmError::Walk(_)
            | ConfirmError::History(_)
            | ConfirmError::Checkpoint(_)
            | ConfirmError::Interrupted => {}
        }
    }

    /// Leaves nothing for another process to go on with.
    async fn abandon(&mut self) {
        if let Err(error) = self.checkpoint.clear().await {
            tracing::warn!(error = %error_chain(&error), "state of a refused walk could not be removed");
        }
    }

    /// Picks the forward walk of the two that agree: which of them is kept must not depend on how many were needed.
    fn published(&mut self) -> Walked {
        let latest = self.latest.take().expect("a walk was judged");
        match self.before.take() {
            Some(before)
                if before.position.direction == Direction::Forward
                    && before.roster.same_guests(&latest.roster) =>
            {
                before
            }
            Some(_) | None => latest,
        }
    }
}

/// Reads everything that an inquiry lists, and so finds out whether it is still what was written.
async fn restored(
    settings: &ConfirmSettings,
    inquiry: &Inquiry,
    store: &RunStore,
) -> Result<([Option<Walked>; 2], Option<Round>), RunStoreError> {
    let plan_of = |position: &WalkPosition| plan(settings, position.spelling, position.direction);
    let mut ended = [None, None];
    for (place, position) in ended.iter_mut().rev().zip(inquiry.ended.iter().rev()) {
        *place = Some(Walked::restore(plan_of(position), position.clone(), store).await?);
    }
    let current = match &inquiry.current {
        Some(position) => Some(Round::resume(plan_of, position.clone(), store).await?),
        None => None,
    };
    Ok((ended, current))
}

/// Says whether the rosters that were put together again have as many guests as were counted.
fn agree(inquiry: &Inquiry, ended: &[Option<Walked>; 2]) -> bool {
    let counted = inquiry.findings.walks.iter().rev().map(|walk| walk.guests);
    let found = ended.iter().flatten().rev().map(|walked| walked.roster.guests());
    counted.zip(found).all(|(counted, found)| counted == found)
}

fn plan(settings: &ConfirmSettings, spelling: PeriodSpelling, direction: Direction) -> WalkPlan {
    WalkPlan {
        network: settings.network,
        period: settings.period,
        spelling,
        direction,
        page_size: settings.page_size,
        mode: settings.mode.clone(),
    }
}

fn refuses_the_question(error: &ConfirmError) -> bool {
    match error {
        ConfirmError::Walk(error) => error.refuses_the_question(),
        ConfirmError::History(_)
        | ConfirmError::Refused(_)
        | ConfirmError::Checkpoint(_)
        | ConfirmError::Interrupted => false,
    }
}
