//! Walks until the number is confirmed, or refused.
//!
//! Which spelling of the period the service understands is found out here, on the first walk: a spelling that
//! it does not know may look like a period without guests.
//!
//! What is found out is written down whenever there is a run of it, and when something stops it that another
//! process may outlive. A process that goes on knows all that its predecessor knew, the count before the first
//! walk too, and judges by the same rules; the count after the last walk it always reads itself.

use chrono::{DateTime, Utc};

use super::confirm::{ConfirmError, ConfirmSettings, Surroundings};
use super::control_total::{ControlTotal, read_control_total};
use super::inquiry::{Findings, Inquiry};
use super::verdict::{Confirmation, Facts, Verdict, WalkFacts, judge};
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::error_chain::error_chain;
use crate::pacing::RequestCount;
use crate::period::PeriodSpelling;
use crate::roster::{RosterError, RunBound, RunStore, RunStoreError};
use crate::walk::{Direction, Reached, Walk, WalkPlan, WalkPosition, Walked};

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
    /// Returns the walk that it was on, too.
    pub(super) async fn open(
        surroundings: &'a Surroundings<'a>,
        settings: &'a ConfirmSettings,
        checkpoint: &'a mut Checkpoint,
    ) -> Result<(Self, Option<Walk>), ConfirmError> {
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
        mut current: Option<Walk>,
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
                (Some(walk), Some(_)) => self.walk_to_the_end(walk).await?,
                (None, Some(latest)) => {
                    let again = Walk::begin(self.plan_again(latest.position.spelling).await?);
                    self.walk_to_the_end(again).await?
                }
                (current, None) => self.first_walk(current).await?,
            };
            self.add(walked).await?;
        }
    }

    /// Plans another walk. What the walks before it hold in memory counts towards its first run: a task must not hold
    /// more, and a killed process not have more to read again, however many walks were too small for a run.
    async fn plan_again(&mut self, spelling: PeriodSpelling) -> Result<WalkPlan, ConfirmError> {
        let direction = Inquiry::direction_of(self.findings.walks.len());
        tracing::info!(
            walk = self.findings.walks.len() + 1,
            direction = direction.as_str(),
            "walking again to confirm"
        );
        let mut again = plan(self.settings, spelling, direction);
        let held = self.held_in_memory();
        if held.rows <= again.bound.rows / 2 && held.bytes <= again.bound.bytes / 2 {
            again.bound.rows -= held.rows;
            again.bound.bytes -= held.bytes;
        } else {
            self.write_down(None).await?;
        }
        Ok(again)
    }

    /// Counts the rows that were read for walks of which nothing is written down, and the bytes that they take.
    fn held_in_memory(&self) -> RunBound {
        let mut held = RunBound { rows: 0, bytes: 0 };
        for walked in [&self.before, &self.latest].into_iter().flatten() {
            if let Some(run) = walked.roster.in_memory() {
                held.rows = held.rows.saturating_add(u32::try_from(walked.position.rows).unwrap_or(u32::MAX));
                held.bytes += run.bytes();
            }
        }
        held
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
        judge(&Facts {
            has_ended: self.findings.state.has_ended(),
            zero_accepted: self.settings.zero_accepted,
            walks: &self.findings.walks,
            totals: &self.findings.totals,
            max_walks: 2 * self.settings.attempts as usize,
        })
    }

    /// Adds a walk that has ended to what is known.
    async fn add(&mut self, walked: Walked) -> Result<(), ConfirmError> {
        let same_as_before =
            self.latest.as_ref().is_some_and(|before| walked.roster.same_guests(&before.roster));
        self.findings.finished_at = self.surroundings.clock.now();
        self.findings.walks.push(WalkFacts { guests: walked.roster.guests(), same_as_before });
        self.before = self.latest.replace(walked);
        if self.checkpoint.is_there() { self.write_down(None).await } else { Ok(()) }
    }

    /// Walks forward in the spelling that the service understands.
    ///
    /// An empty answer is asked again in the other spelling, and so is one that is refused as invalid: only if the
    /// other spelling has nothing to say either is the first answer the answer.
    async fn first_walk(&mut self, current: Option<Walk>) -> Result<Walked, ConfirmError> {
        let asked = self.settings.spelling;
        let in_spelling = |spelling| Walk::begin(plan(self.settings, spelling, Direction::Forward));
        // What was kept may be in the other spelling already, and have found nobody when it was begun anew.
        let walk = current.unwrap_or_else(|| in_spelling(asked));
        let other = walk.position().spelling.other();
        let other_walk = in_spelling(other);
        let first = self.walk_to_the_end(walk).await;
        let is_an_answer = match &first {
            Ok(walked) => walked.roster.guests() > 0,
            Err(error) => !refuses_the_question(error),
        };
        if is_an_answer {
            return first;
        }
        tracing::info!(
            spelling = self.settings.period.spelled(other),
            "asking again in the other spelling of the period"
        );
        match (first, self.walk_to_the_end(other_walk).await) {
            (Ok(empty), Ok(walked)) if walked.roster.guests() == 0 => Ok(empty),
            (_, Ok(walked)) => Ok(walked),
            (Ok(empty), Err(error)) if refuses_the_question(&error) => Ok(empty),
            (Err(refused), Err(error)) if refuses_the_question(&error) => Err(refused),
            (_, Err(error)) => Err(error),
        }
    }

    /// Walks on to the end of the list, writing down what would not fit into memory.
    async fn walk_to_the_end(&mut self, mut walk: Walk) -> Result<Walked, ConfirmError> {
        let Surroundings { api, stop, progress, .. } = self.surroundings;
        // A token may have grown old: while no process used it, or while one waited for its turn. A service that
        // refuses the tokens of a walk twice has another reason.
        let mut may_begin_anew = true;
        loop {
            if walk.has_many_runs() {
                walk.merge_runs(self.checkpoint.store().await?).await?;
                self.write_down(Some(&mut walk)).await?;
            }
            let before = walk.position().pages;
            let read = walk.read(*api, stop, *progress).await;
            if walk.position().pages > before {
                self.news_at = self.surroundings.clock.now();
            }
            match read {
                Ok(Reached::End) => break,
                Ok(Reached::Run) => self.write_down(Some(&mut walk)).await?,
                Err(error) if may_begin_anew && error.refuses_the_token() => {
                    may_begin_anew = false;
                    tracing::warn!(error = %error_chain(&error), "the service no longer takes the token, walking anew");
                    walk = walk.anew();
                }
                Err(error) if error.can_be_resumed() => {
                    self.keep(Some(walk)).await;
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        if walk.position().runs.is_empty() {
            return Ok(walk.finish(None).await?);
        }
        self.write_down(Some(&mut walk)).await?;
        Ok(walk.finish(Some(self.checkpoint.store().await?)).await?)
    }

    /// Writes down all that is known, so that another process could go on from here.
    async fn write_down(&mut self, mut walk: Option<&mut Walk>) -> Result<(), ConfirmError> {
        let store = self.checkpoint.store().await?;
        for ended in [&mut self.before, &mut self.latest].into_iter().flatten() {
            ended.write_down(store).await?;
        }
        if let Some(walk) = &mut walk {
            walk.write_down(store).await?;
        }
        let ended = [&self.before, &self.latest].into_iter().flatten();
        let inquiry = Inquiry {
            findings: self.findings.clone(),
            asked: self.asked(),
            ended: ended.map(|walked| walked.position.clone()).collect(),
            current: walk.map(|walk| walk.position().clone()),
        };
        self.checkpoint.save(&inquiry, self.news_at).await?;
        tracing::debug!(walks = inquiry.findings.walks.len(), "checkpoint written");
        Ok(())
    }

    /// Writes down what is known because something stops the work, and says whether anything stays. If that fails
    /// too, what stopped it matters more.
    ///
    /// What brings no news is left as old as it is: a walk that never gets on is too old for another try some day.
    async fn keep(&mut self, walk: Option<Walk>) -> bool {
        let mut walk = walk.filter(|walk| walk.position().rows > 0);
        if walk.is_none() && self.latest.is_none() {
            return false;
        }
        let kept = self.write_down(walk.as_mut()).await;
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
) -> Result<([Option<Walked>; 2], Option<Walk>), RunStoreError> {
    let plan_of = |position: &WalkPosition| plan(settings, position.spelling, position.direction);
    let mut ended = [None, None];
    for (place, position) in ended.iter_mut().rev().zip(inquiry.ended.iter().rev()) {
        *place = Some(Walked::restore(plan_of(position), position.clone(), store).await?);
    }
    let current = match &inquiry.current {
        Some(position) => Some(Walk::resume(plan_of(position), position.clone(), store).await?),
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
        bound: settings.bound,
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
