//! What has become of the ends that an executor asked about: only what the database has accepted is told. Pure.

use std::collections::HashSet;

use gristmill_core::{Attempt, Claimed, JobId, Next, State, Token, decide};

type Key = (JobId, Token);

/// Ends that were asked about, and those of which the answer is known and not told yet.
#[derive(Default)]
pub(crate) struct Verdicts {
    asked: HashSet<Key>,
    known: Vec<(JobId, Token, Option<State>)>,
    /// Planted by a simulation.
    #[cfg(test)]
    pub(crate) are_hasty: bool,
}

impl Verdicts {
    /// The executor wants to hear about this attempt's end.
    pub(crate) fn asked(&mut self, claimed: &Claimed) {
        self.asked.insert((claimed.id, claimed.token));
        #[cfg(test)]
        if self.are_hasty {
            self.answer((claimed.id, claimed.token), Some(State::Failed));
        }
    }

    /// The end was accepted: the job is where `decide` has sent it.
    pub(crate) fn written(&mut self, attempt: &Attempt) {
        let claimed = &attempt.claimed;
        if self.asked.contains(&(claimed.id, claimed.token)) {
            let (_, next) = decide(claimed, claimed.options(), &attempt.outcome);
            let state = if let Next::Finished { state, .. } = next { Some(state) } else { None };
            self.answer((claimed.id, claimed.token), state);
        }
    }

    /// The end was accepted, and someone's cancel request has ended the job.
    pub(crate) fn cancelled(&mut self, key: Key) {
        self.answer(key, Some(State::Cancelled));
    }

    /// The attempt was not this worker's any more.
    pub(crate) fn superseded(&mut self, key: Key) {
        self.answer(key, None);
    }

    /// Nothing that was asked about is this worker's any more.
    pub(crate) fn give_up(&mut self) {
        self.known.extend(self.asked.drain().map(|(job, token)| (job, token, None)));
    }

    /// What is to be told.
    pub(crate) fn known(&mut self) -> Vec<(JobId, Token, Option<State>)> {
        std::mem::take(&mut self.known)
    }

    fn answer(&mut self, key: Key, state: Option<State>) {
        if self.asked.remove(&key) {
            self.known.push((key.0, key.1, state));
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_core::{Counts, Lane, Moment, Outcome, Reason, StoredOptions, WorkerId};

    use super::*;

    fn attempt(outcome: Outcome, options: &str) -> Attempt {
        let moment = Moment::from_unix_micros(0);
        let claimed = Claimed {
            id: JobId::new(),
            token: Token(1),
            lane: Lane { backend: "default".into(), queue_name: "default".into(), task_name: "work".into() },
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
            stored_options: StoredOptions::of(Some(options.to_owned())),
            worker_id: WorkerId::new(),
        };
        Attempt::unstarted(claimed, outcome)
    }

    fn failure() -> Outcome {
        let mut outcome = Outcome::failed(Reason::Error, "builtins.ValueError", "");
        if let Outcome::Failed { classes, .. } = &mut outcome {
            *classes = vec!["builtins.Exception".into()];
        }
        outcome
    }

    fn told(attempt: &Attempt, answer: impl FnOnce(&mut Verdicts, Key)) -> Vec<Option<State>> {
        let mut verdicts = Verdicts::default();
        verdicts.asked(&attempt.claimed);
        answer(&mut verdicts, (attempt.claimed.id, attempt.claimed.token));
        verdicts.known().into_iter().map(|(_, _, state)| state).collect()
    }

    #[test]
    fn who_asks_hears_in_which_state_the_job_has_ended_and_nothing_where_it_goes_on() {
        let done = attempt(Outcome::Successful { return_value: "null".into() }, "{}");
        assert_eq!(told(&done, |verdicts, _| verdicts.written(&done)), [Some(State::Successful)]);
        let failed = attempt(failure(), "{}");
        assert_eq!(told(&failed, |verdicts, _| verdicts.written(&failed)), [Some(State::Failed)]);
        let retried = attempt(failure(), r#"{"max_attempts": 2}"#);
        assert_eq!(told(&retried, |verdicts, _| verdicts.written(&retried)), [None]);
        assert_eq!(told(&retried, Verdicts::cancelled), [Some(State::Cancelled)]);
        assert_eq!(told(&done, Verdicts::superseded), [None]);
        assert_eq!(told(&done, |verdicts, _| verdicts.give_up()), [None]);
    }

    #[test]
    fn nobody_is_told_what_he_did_not_ask_nor_twice_nor_before_it_is_known() {
        let done = attempt(Outcome::Successful { return_value: "null".into() }, "{}");
        let mut verdicts = Verdicts::default();
        verdicts.written(&done);
        assert_eq!(verdicts.known(), []);
        verdicts.asked(&done.claimed);
        assert_eq!(verdicts.known(), []);
        verdicts.written(&done);
        verdicts.written(&done);
        assert_eq!(verdicts.known().len(), 1);
        assert_eq!(verdicts.known(), []);
    }
}
