//! The requests of a round that are on their way: one of each walk at most.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::{MaybeDone, maybe_done};

/// What was asked for walks that are told apart by their number, 0 or 1. Dropping it withdraws all of it.
pub(super) struct Asked<F: Future> {
    requests: [MaybeDone<Pin<Box<F>>>; 2],
    /// Whose answer is taken first if there are two: not whose was taken last, or one walk would wait for the other.
    turn: usize,
}

impl<F: Future> Asked<F> {
    pub(super) const fn nothing() -> Self {
        Self { requests: [MaybeDone::Gone, MaybeDone::Gone], turn: 0 }
    }

    /// Says whether something was asked for this walk whose answer was not taken.
    pub(super) const fn has(&self, walk: usize) -> bool {
        !matches!(self.requests[walk], MaybeDone::Gone)
    }

    /// Asks, as soon as [`Self::next`] or [`Self::leave`] is waited for. Nothing must be under way for this walk.
    pub(super) fn ask(&mut self, walk: usize, request: F) {
        debug_assert!(!self.has(walk), "its answer would be lost");
        self.requests[walk] = maybe_done(Box::pin(request));
    }

    /// Withdraws what was asked for this walk.
    pub(super) fn withdraw(&mut self, walk: usize) {
        self.requests[walk] = MaybeDone::Gone;
    }

    /// Waits for the next answer, none if nothing was asked.
    pub(super) async fn next(&mut self) -> Option<(usize, F::Output)> {
        poll_fn(|context| {
            for walk in [self.turn, 1 - self.turn] {
                if let Poll::Ready(answer) = self.poll(walk, context) {
                    self.turn = 1 - walk;
                    return Poll::Ready(Some((walk, answer)));
                }
            }
            if self.has(0) || self.has(1) { Poll::Pending } else { Poll::Ready(None) }
        })
        .await
    }

    /// Lets what was asked for this walk leave before what the caller does next, if nothing keeps it: the connection is
    /// another task's, which gets its turn here. What has to wait, for the pace or for a connection, goes on with
    /// [`Self::next`]. An answer that is there already is kept.
    pub(super) async fn leave(&mut self, walk: usize) {
        poll_fn(|context| {
            // Done or not, it stays.
            let _ = self.requests[walk].poll_unpin(context);
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
    }

    /// Takes the answer for this walk, if it is there.
    fn poll(&mut self, walk: usize, context: &mut Context<'_>) -> Poll<F::Output> {
        if !self.has(walk) || self.requests[walk].poll_unpin(context).is_pending() {
            return Poll::Pending;
        }
        Pin::new(&mut self.requests[walk]).take_output().map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn answers_come_in_turns_and_an_early_one_is_kept() {
        let mut asked = Asked::nothing();
        assert_eq!(asked.next().now_or_never(), Some(None));
        for _ in 0..3 {
            for walk in [0, 1] {
                if !asked.has(walk) {
                    asked.ask(walk, std::future::ready(walk));
                }
            }
            assert_eq!(asked.leave(0).now_or_never(), None, "it gives way once");
            assert!(asked.has(0) && asked.has(1));
            let first = asked.next().now_or_never().flatten().unwrap();
            asked.ask(first.0, std::future::ready(first.0));
            let second = asked.next().now_or_never().flatten().unwrap();
            assert_ne!(first, second);
        }
    }

    #[test]
    fn what_was_withdrawn_is_not_answered_and_the_other_is() {
        let mut asked = Asked::nothing();
        let ((answer_first, first), (answer_second, second)) = (oneshot::channel(), oneshot::channel());
        asked.ask(0, first);
        asked.ask(1, second);
        assert_eq!(asked.next().now_or_never(), None);
        asked.withdraw(1);
        assert!(answer_second.send(2).is_err());
        answer_first.send(1).unwrap();
        assert_eq!(asked.next().now_or_never(), Some(Some((0, Ok(1)))));
        assert_eq!(asked.next().now_or_never(), Some(None));
    }
}
