//! Attempts that have ended and whose end the database has not accepted yet. Nothing leaves before it is written
//! or known to be superseded, and nothing is told otherwise than it was but for what its own row is refused for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use gristmill_core::{Attempt, JobId, Outcome, Progress, Reason, Token};
use gristmill_store::Refusal;
use tracing::{error, warn};

use super::plan::TURN;
use crate::link::backoff;

/// A single end that the database refused this often for what it says loses what its handler printed.
const REFUSALS_BEFORE_SILENCING: u32 = 2;
/// Refusals of that kind after which an end is reduced to its bare fact.
const REFUSALS_BEFORE_REDUCING: u32 = 3;
/// Longest wait between two tries to write an end that the database refuses.
const LONGEST_REFUSAL: Duration = Duration::from_mins(1);

/// Longest wait between two tries to write an end whose row somebody holds; it begins with a tenth of a second.
const LONGEST_LOCK: Duration = Duration::from_secs(2);

/// An attempt that has ended, on its way into the database.
pub(crate) struct Completion {
    pub(crate) attempt: Attempt,
    /// From its claim to its end; none when it never started.
    pub(crate) took: Option<Duration>,
    /// The last that its handler said of itself: written before its end.
    said: Option<Progress>,
    /// Sent before, and no answer came: it may have been accepted.
    pub(crate) sent_before: bool,
    refusals: u32,
    /// Refusals that spoke of what it says.
    blamed: u32,
    /// Times that somebody's transaction was in its way.
    held: u32,
    /// Not tried again before, once it was refused or held by itself.
    not_before: Option<Instant>,
}

impl Completion {
    pub(crate) fn key(&self) -> (JobId, Token) {
        (self.attempt.claimed.id, self.attempt.claimed.token)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|instant| now >= instant)
    }

    // It says nothing against the end itself.
    fn put_off(&mut self, now: Instant) {
        self.not_before = Some(now + backoff(self.held, LONGEST_LOCK));
        self.held = self.held.saturating_add(1);
    }
}

/// Attempts whose end is to be written, oldest first, and those that are being sent.
pub(crate) struct Completions {
    waiting: VecDeque<Completion>,
    sending: Vec<Completion>,
    /// At most so many are sent at once; shrinks while the database refuses them.
    at_once: usize,
}

impl Completions {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), sending: Vec::new(), at_once: TURN }
    }

    pub(crate) fn push(&mut self, attempt: Attempt, took: Option<Duration>, said: Option<Progress>) {
        let completion =
            Completion { attempt, took, said, sent_before: false, refusals: 0, blamed: 0, held: 0, not_before: None };
        self.waiting.push_back(completion);
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.sending.len()
    }

    pub(crate) fn contains(&self, key: (JobId, Token)) -> bool {
        self.waiting.iter().chain(&self.sending).any(|completion| completion.key() == key)
    }

    /// How many may be sent now.
    pub(crate) fn due(&self, now: Instant) -> usize {
        self.waiting.iter().filter(|completion| completion.is_due(now)).count()
    }

    /// When the next one that was refused is tried again.
    pub(crate) fn next_try(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|completion| completion.not_before).min()
    }

    /// Takes up to `limit` to be sent; they stay here until one of the next three says how that went.
    pub(crate) fn send(&mut self, limit: usize, now: Instant) -> Vec<Attempt> {
        let limit = limit.min(self.at_once);
        let mut rest = VecDeque::with_capacity(self.waiting.len());
        for completion in self.waiting.drain(..) {
            if self.sending.len() < limit && completion.is_due(now) {
                self.sending.push(completion);
            } else {
                rest.push_back(completion);
            }
        }
        self.waiting = rest;
        self.sending.iter().map(|completion| completion.attempt.clone()).collect()
    }

    /// The last words of those that are being sent.
    pub(crate) fn said(&self) -> Vec<Progress> {
        self.sending.iter().filter_map(|completion| completion.said.clone()).collect()
    }

    /// The database answered: these are done with, accepted or not. Those that somebody's transaction holds stay, each put
    /// off by itself.
    pub(crate) fn answered(&mut self, held: &[(JobId, Token)], now: Instant) -> Vec<Completion> {
        self.at_once = (self.at_once * 2).min(TURN);
        let (kept, done) = std::mem::take(&mut self.sending).into_iter().partition(|it| held.contains(&it.key()));
        self.sending = kept;
        self.sending.iter_mut().for_each(|completion| completion.put_off(now));
        self.take_back(false);
        done
    }

    /// Somebody's transaction holds what one of them needs, and nothing was done. Their number is halved, down to the one
    /// that is put off.
    pub(crate) fn held(&mut self, now: Instant) {
        self.at_once = (self.sending.len() / 2).max(1);
        if let [only] = self.sending.as_mut_slice() {
            only.put_off(now);
        }
        self.take_back(false);
    }

    /// Nothing was done with them, and it is not known on whose account: they are sent again, first.
    pub(crate) fn not_sent(&mut self) {
        self.take_back(false);
    }

    /// No answer came: sent again, first. They may have been accepted.
    pub(crate) fn unanswered(&mut self) {
        self.take_back(true);
    }

    /// The database refused them. With `alone` nothing else was sent: their number is halved, down to the one that
    /// spoils the turn. That one waits longer and longer; where it is refused for what it says, it is at last reduced
    /// to its bare fact.
    pub(crate) fn refused(&mut self, why: &Refusal, alone: bool, now: Instant) {
        if alone {
            self.at_once = (self.sending.len() / 2).max(1);
            if let [only] = self.sending.as_mut_slice() {
                only.refusals = only.refusals.saturating_add(1);
                // From 0.8 s on: what stands in the way may be someone who alters a table.
                only.not_before = Some(now + backoff(only.refusals + 2, LONGEST_REFUSAL));
                if why.is_about_the_row() {
                    only.blamed = only.blamed.saturating_add(1);
                    match only.blamed {
                        REFUSALS_BEFORE_SILENCING => silence(&mut only.attempt),
                        REFUSALS_BEFORE_REDUCING => reduce(&mut only.attempt),
                        _ => {}
                    }
                }
            }
        }
        self.take_back(false);
    }

    fn take_back(&mut self, maybe_accepted: bool) {
        for mut completion in std::mem::take(&mut self.sending).into_iter().rev() {
            completion.sent_before |= maybe_accepted;
            self.waiting.push_front(completion);
        }
    }
}

// What it printed on the way matters less than how it ended.
fn silence(attempt: &mut Attempt) {
    warn!(
        target: "gristmill::dispatcher",
        { job.id = %attempt.claimed.id, task.name = %attempt.claimed.lane.task_name },
        "the end of this attempt cannot be stored; it is tried without what its handler printed"
    );
    attempt.runner_pid = None;
    attempt.output = None;
}

// What the handler gave cannot be stored; that it ended can.
fn reduce(attempt: &mut Attempt) {
    error!(
        target: "gristmill::dispatcher",
        { job.id = %attempt.claimed.id, task.name = %attempt.claimed.lane.task_name, outcome = attempt.outcome.word() },
        "the end of this attempt cannot be stored; it is reduced to a failure"
    );
    attempt.outcome = Outcome::failed(
        Reason::Error,
        "gristmill.exceptions.Unstorable",
        "The database refused to store how this attempt ended; the worker's log says why.",
    );
}

#[cfg(test)]
mod tests {
    use gristmill_core::{Claimed, Counts, Lane, Moment, StoredOptions, WorkerId};
    use gristmill_store::{Error, codes};

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
            misfits: gristmill_core::Misfits::default(),
            args: "[]".into(),
            kwargs: "{}".into(),
            stored_options: StoredOptions::default(),
            worker_id: WorkerId::new(),
        };
        let outcome = Outcome::Successful { return_value: "null".into() };
        Attempt::unstarted(claimed, outcome)
    }

    fn tokens(attempts: &[Attempt]) -> Vec<i64> {
        attempts.iter().map(|attempt| attempt.claimed.token.0).collect()
    }

    fn refusal(sqlstate: &str) -> Refusal {
        match codes::postgres(sqlstate).error("planted".into()) {
            Error::Refused(why) => why,
            other => panic!("{sqlstate} is no refusal: {other}"),
        }
    }

    /// Of a character that the database does not store.
    fn of_the_row() -> Refusal {
        refusal("22P05")
    }

    fn queue(of: i64) -> Completions {
        let mut queue = Completions::new();
        (0..of).for_each(|n| queue.push(ended(n), None, None));
        queue
    }

    #[test]
    fn an_end_that_someone_holds_is_put_off_by_itself_and_never_reduced() {
        let mut now = Instant::now();
        let mut queue = queue(3);
        let held = queue.send(3, now)[1].clone();
        let key = (held.claimed.id, held.claimed.token);
        assert_eq!(queue.answered(&[key], now).len(), 2);
        for _ in 0..50 {
            assert_eq!((queue.len(), queue.due(now)), (1, 0));
            now = queue.next_try().expect("it is tried again");
            assert_eq!(tokens(&queue.send(3, now)), [held.claimed.token.0]);
            queue.held(now);
        }
        let left = queue.send(3, queue.next_try().expect("it is tried again")).remove(0);
        assert!(matches!(left.outcome, Outcome::Successful { .. }));
        queue.held(now);
        assert!(queue.next_try().expect("it is tried again") <= now + LONGEST_LOCK);
    }

    #[test]
    fn of_many_one_of_which_is_held_the_others_are_written() {
        let now = Instant::now();
        let mut queue = queue(9);
        let mut written = Vec::new();
        for _ in 0..40 {
            let sent = tokens(&queue.send(TURN, now));
            if sent.contains(&4) {
                queue.held(now);
            } else {
                written.extend(sent);
                queue.answered(&[], now);
            }
        }
        written.sort_unstable();
        assert_eq!((written, queue.len()), (vec![0, 1, 2, 3, 5, 6, 7, 8], 1));
    }

    #[test]
    fn what_got_no_answer_is_sent_again_first_and_known_to_have_been_sent() {
        let now = Instant::now();
        let mut queue = queue(3);
        assert_eq!(tokens(&queue.send(2, now)), [0, 1]);
        queue.unanswered();
        assert_eq!(tokens(&queue.send(3, now)), [0, 1, 2]);
        let sent_before: Vec<bool> = queue.answered(&[], now).iter().map(|completion| completion.sent_before).collect();
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
                queue.refused(&of_the_row(), true, now);
            } else {
                written.extend(queue.answered(&[], now).iter().map(|completion| completion.attempt.claimed.token.0));
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
            queue.refused(&of_the_row(), true, now);
            assert_eq!(queue.due(now), 0);
            now += LONGEST_REFUSAL;
        }
        assert!(matches!(queue.send(1, now)[0].outcome, Outcome::Failed { .. }));
        queue.refused(&of_the_row(), true, now);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn what_a_handler_printed_is_given_up_before_how_it_ended() {
        let mut now = Instant::now();
        let mut queue = Completions::new();
        queue.push(Attempt { output: Some("unspeakable".into()), ..ended(0) }, None, None);
        for _ in 0..REFUSALS_BEFORE_SILENCING {
            assert!(queue.send(1, now)[0].output.is_some());
            queue.refused(&of_the_row(), true, now);
            now += LONGEST_REFUSAL;
        }
        let sent = queue.send(1, now).remove(0);
        assert!(matches!((sent.output, sent.outcome), (None, Outcome::Successful { .. })));
    }

    #[test]
    fn an_end_that_is_refused_for_anything_but_what_it_says_is_kept_as_it_is_and_keeps_no_other() {
        let mut now = Instant::now();
        // A table that someone changed, a right that was taken away, a trigger of someone's.
        for sqlstate in ["42P01", "42501", "P0001"] {
            let mut queue = queue(2);
            for _ in 0..20 {
                queue.send(2, now);
                queue.refused(&refusal(sqlstate), true, now);
            }
            assert_eq!(queue.due(now), 0, "both wait, each for itself");
            now += LONGEST_REFUSAL;
            assert_eq!(queue.send(2, now).len(), 1);
            assert_eq!(queue.answered(&[], now).len(), 1);
            let last = queue.send(2, now).remove(0);
            assert!(matches!(last.outcome, Outcome::Successful { .. }), "{sqlstate}");
        }
    }

    #[test]
    fn a_refused_claim_is_not_blamed_on_the_ends_that_were_sent_with_it() {
        let now = Instant::now();
        let mut queue = queue(1);
        for _ in 0..10 {
            queue.send(1, now);
            queue.refused(&of_the_row(), false, now);
        }
        assert!(matches!(queue.send(1, now)[0].outcome, Outcome::Successful { .. }));
    }
}
