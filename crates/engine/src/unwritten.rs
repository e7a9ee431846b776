//! Attempts that have ended and whose end the database has not accepted yet. Nothing leaves before it is written
//! or known to be superseded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gristmill_core::{Attempt, JobId, Outcome, Progress, Reason, Token};
use tracing::error;

use crate::link::backoff;
use crate::plan::TURN;

/// A single end that the database refused this often is reduced to its bare fact.
const REFUSALS_BEFORE_REDUCING: u32 = 3;
/// Longest wait between two tries to write an end that the database refuses.
const LONGEST_REFUSAL: Duration = Duration::from_mins(1);

/// One of them.
pub(crate) struct Unwritten {
    pub(crate) attempt: Attempt,
    /// From its claim to its end; none when it never started.
    pub(crate) took: Option<Duration>,
    /// The last that its handler said of itself: written before its end.
    said: Option<Progress>,
    /// It was sent and no answer came: it may have been accepted.
    pub(crate) sent_before: bool,
    refusals: u32,
    /// Not tried again before, once it was refused by itself.
    not_before: Option<Instant>,
}

impl Unwritten {
    pub(crate) fn key(&self) -> (JobId, Token) {
        (self.attempt.claimed.id, self.attempt.claimed.token)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|instant| now >= instant)
    }
}

/// All of them, oldest first, and those that are being sent.
pub(crate) struct Queue {
    waiting: VecDeque<Unwritten>,
    sending: Vec<Unwritten>,
    /// At most so many are sent at once; shrinks while the database refuses them.
    at_once: usize,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), sending: Vec::new(), at_once: TURN }
    }

    pub(crate) fn push(&mut self, attempt: Attempt, took: Option<Duration>, said: Option<Progress>) {
        let unwritten = Unwritten { attempt, took, said, sent_before: false, refusals: 0, not_before: None };
        self.waiting.push_back(unwritten);
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.sending.len()
    }

    pub(crate) fn contains(&self, key: (JobId, Token)) -> bool {
        self.waiting.iter().chain(&self.sending).any(|unwritten| unwritten.key() == key)
    }

    /// How many may be sent now.
    pub(crate) fn due(&self, now: Instant) -> usize {
        self.waiting.iter().filter(|unwritten| unwritten.is_due(now)).count()
    }

    /// When the next one that was refused is tried again.
    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|unwritten| unwritten.not_before).min()
    }

    /// Takes up to `limit` to be sent; they stay here until one of the next three says how that went.
    pub(crate) fn send(&mut self, limit: usize, now: Instant) -> Vec<Attempt> {
        let limit = limit.min(self.at_once);
        let mut rest = VecDeque::with_capacity(self.waiting.len());
        for unwritten in self.waiting.drain(..) {
            if self.sending.len() < limit && unwritten.is_due(now) {
                self.sending.push(unwritten);
            } else {
                rest.push_back(unwritten);
            }
        }
        self.waiting = rest;
        self.sending.iter().map(|unwritten| unwritten.attempt.clone()).collect()
    }

    /// The last words of those that are being sent.
    pub(crate) fn said(&self) -> Vec<Progress> {
        self.sending.iter().filter_map(|unwritten| unwritten.said.clone()).collect()
    }

    /// The database answered: these are done with, accepted or not.
    pub(crate) fn answered(&mut self) -> Vec<Unwritten> {
        self.at_once = (self.at_once * 2).min(TURN);
        std::mem::take(&mut self.sending)
    }

    /// No answer came: sent again, first. They may have been accepted.
    pub(crate) fn unanswered(&mut self) {
        self.take_back(true);
    }

    /// The database refused them. With `alone` they are to blame: their number is halved, down to the one that
    /// spoils the turn. That one waits longer and longer, and is at last reduced to its bare fact.
    pub(crate) fn refused(&mut self, alone: bool, now: Instant) {
        if alone {
            self.at_once = (self.sending.len() / 2).max(1);
            if let [only] = self.sending.as_mut_slice() {
                only.refusals = only.refusals.saturating_add(1);
                // From 0.8 s on: what stands in the way may be someone who alters a table.
                only.not_before = Some(now + backoff(only.refusals + 2, LONGEST_REFUSAL));
                if only.refusals == REFUSALS_BEFORE_REDUCING {
                    reduce(&mut only.attempt);
                }
            }
        }
        self.take_back(false);
    }

    fn take_back(&mut self, maybe_accepted: bool) {
        for mut unwritten in std::mem::take(&mut self.sending).into_iter().rev() {
            unwritten.sent_before |= maybe_accepted;
            self.waiting.push_front(unwritten);
        }
    }
}

// What the handler gave cannot be stored; that it ended can.
fn reduce(attempt: &mut Attempt) {
    error!(
        target: "gristmill::mill",
        { job.id = %attempt.claimed.id, task.name = %attempt.claimed.lane.task_name, outcome = attempt.outcome.word() },
        "the end of this attempt cannot be stored; it is reduced to a failure"
    );
    attempt.runner_pid = None;
    attempt.output = None;
    attempt.outcome = Outcome::failed(
        Reason::Error,
        "gristmill.exceptions.Unstorable",
        "The database refused to store how this attempt ended; the worker's log says why.",
    );
}

#[cfg(test)]
mod tests {
    use gristmill_core::{Claimed, Counts, Lane, Moment};

    use super::*;

    fn ended(n: i64) -> Attempt {
        let moment = Moment::from_unix_micros(n);
        let lane = Lane { backend: "default".into(), queue_name: "default".into(), task_name: "work".into() };
        let claimed = Claimed {
            id: JobId::new(),
            token: Token(n),
            lane,
            priority: 0,
            deadline: moment.clone(),
            run_after: None,
            enqueued_at: moment.clone(),
            claimed_at: moment,
            started_at: None,
            generation: 1,
            counts: Counts::default(),
            args: "[]".into(),
            kwargs: "{}".into(),
            options_json: None,
        };
        let outcome = Outcome::Successful { return_value: "null".into() };
        Attempt::unstarted(claimed, outcome)
    }

    fn tokens(attempts: &[Attempt]) -> Vec<i64> {
        attempts.iter().map(|attempt| attempt.claimed.token.0).collect()
    }

    fn queue(of: i64) -> Queue {
        let mut queue = Queue::new();
        (0..of).for_each(|n| queue.push(ended(n), None, None));
        queue
    }

    #[test]
    fn what_got_no_answer_is_sent_again_first_and_known_to_have_been_sent() {
        let now = Instant::now();
        let mut queue = queue(3);
        assert_eq!(tokens(&queue.send(2, now)), [0, 1]);
        queue.unanswered();
        assert_eq!(tokens(&queue.send(3, now)), [0, 1, 2]);
        let sent_before: Vec<bool> = queue.answered().iter().map(|unwritten| unwritten.sent_before).collect();
        assert_eq!(sent_before, [true, true, false]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn one_attempt_that_the_database_refuses_keeps_no_other_from_being_written() {
        let mut now = Instant::now();
        let mut queue = queue(64);
        let (mut written, mut turns) = (Vec::new(), 0);
        while queue.due(now) > 0 {
            turns += 1;
            let sent = queue.send(TURN, now);
            if sent.iter().any(|attempt| attempt.claimed.token == Token(13)) {
                queue.refused(true, now);
            } else {
                written.extend(queue.answered().iter().map(|unwritten| unwritten.attempt.claimed.token.0));
            }
            now += Duration::from_millis(1);
        }
        assert_eq!(written.len(), 63);
        assert!(turns < 30, "{turns}");
        assert!(queue.next_try().is_some_and(|instant| instant > now));
    }

    #[test]
    fn an_end_that_is_refused_again_and_again_is_reduced_to_its_bare_fact_and_never_dropped() {
        let mut now = Instant::now();
        let mut queue = queue(1);
        for _ in 0..REFUSALS_BEFORE_REDUCING {
            assert!(matches!(queue.send(1, now)[0].outcome, Outcome::Successful { .. }));
            queue.refused(true, now);
            assert_eq!(queue.due(now), 0);
            now += LONGEST_REFUSAL;
        }
        assert!(matches!(queue.send(1, now)[0].outcome, Outcome::Failed { .. }));
        queue.refused(true, now);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_refused_claim_is_not_blamed_on_the_ends_that_were_sent_with_it() {
        let now = Instant::now();
        let mut queue = queue(1);
        for _ in 0..10 {
            queue.send(1, now);
            queue.refused(false, now);
        }
        assert!(matches!(queue.send(1, now)[0].outcome, Outcome::Successful { .. }));
    }
}
