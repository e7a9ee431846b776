//! What is called before a handler, and after the end of a job: it keeps its runner busy, has a limit of its own, and
//! changes nothing about how the job ends.

use std::time::{Duration, Instant};

use gristmill_core::{Advice, Outcome, Reason, State};
use serde_json::json;

use super::fake::{Fake, claim, null};
use crate::clock::monotonic_nanoseconds;
use crate::frame::Key;
use crate::messages::Command;

const SOON: Duration = Duration::from_millis(50);

impl Fake {
    /// The job has returned, and something is called after that.
    fn lingers(&mut self, runner: usize, key: Key, question: &[u8]) {
        let key_bytes = key.bytes();
        self.runners[runner].say_at_once(&[(b'A', &[&key_bytes, question]), (b'D', &[&key_bytes, b"null"])]);
        let ended = self.ended();
        assert_eq!((Key::of(&ended.claimed), &ended.outcome), (key, &null()));
        assert_eq!(ended.asks, question == b"?");
    }

    fn rests(&mut self, runner: usize, key: Key) {
        self.runners[runner].say(b'N', &[&key.bytes()]);
        self.rested();
    }

    /// That is told on the attempt.
    fn is_cut_off(&mut self, key: Key, why: &str) {
        let note = self.noted();
        assert_eq!((note.job, note.token), (key.job(), key.token()));
        assert_eq!(note.text, format!("what was called after this end was cut off: {why}\n"));
        self.rested();
    }

    fn prepares(&mut self, runner: usize, key: Key) {
        let at = monotonic_nanoseconds(Instant::now()).to_le_bytes();
        self.runners[runner].say(b'S', &[&key.bytes(), &at, b"~"]);
    }

    fn asks_its_task(&mut self, runner: usize, key: Key) {
        let json = json!({"reason": "error", "exception_class_path": "a.B", "traceback": "x", "classes": ["a.B"],
            "advice": "asked"});
        self.runners[runner].say(b'F', &[&key.bytes(), json.to_string().as_bytes()]);
    }
}

fn failure(advice: Advice) -> Outcome {
    Outcome::Failed {
        reason: Reason::Error,
        exception_class_path: "a.B".into(),
        traceback: "x".into(),
        classes: vec!["a.B".into()],
        advice,
    }
}

#[test]
fn a_runner_that_lingers_is_sent_nothing_and_claimed_nothing_for_until_it_rests() {
    let mut fake = Fake::start(1, |_| {});
    let first = fake.start_job(claim("sync"));
    fake.runners[0].runs(first);
    fake.lingers(0, first, b"");
    fake.until_room_is(0);
    let second = fake.start_job(claim("sync"));
    fake.has_settled_somehow();
    fake.runners[0].was_told_no_more();
    fake.rests(0, first);
    fake.runners[0].runs(second);
    fake.runners[0].returns(second);
    assert_eq!(fake.end_of(second), null());
}

#[test]
fn short_jobs_do_not_wait_behind_receivers_that_are_not() {
    let mut fake = Fake::start(2, |_| {});
    fake.learns(0, "sync");
    let jobs = [claim("sync"), claim("sync"), claim("sync")];
    let [first, second, third] = [0, 1, 2].map(|n| Key::of(&jobs[n]));
    fake.order(Command::Start(jobs.to_vec()));
    fake.runners[0].runs(first);
    fake.runners[0].takes(third);
    fake.runners[1].runs(second);
    fake.lingers(0, first, b"?");
    // It is asked back once it has waited too long, and goes to the other one.
    fake.runners[0].told_of('C', third);
    fake.runners[1].returns(second);
    assert_eq!(fake.end_of(second), null());
    fake.runners[1].runs(third);
    fake.runners[0].say(b'B', &[&third.bytes()]);
    fake.runners[1].returns(third);
    assert_eq!(fake.end_of(third), null());
    fake.rests(0, first);
}

#[test]
fn who_asks_what_became_of_an_end_is_told_and_nobody_else() {
    let mut fake = Fake::start(1, |_| {});
    for state in [Some(State::Successful), Some(State::Cancelled), None] {
        let job = claim("sync");
        let (id, token) = (job.id, job.token);
        let key = fake.start_job(job);
        fake.runners[0].runs(key);
        fake.lingers(0, key, b"?");
        fake.order(Command::Settled(id, token, state));
        assert_eq!(fake.runners[0].told_of('V', key), state.map_or("", State::word).as_bytes());
        // Once is enough.
        fake.order(Command::Settled(id, token, state));
        fake.rests(0, key);
        fake.order(Command::Settled(id, token, state));
        fake.runners[0].was_told_no_more();
    }
}

#[test]
fn no_limit_of_the_jobs_and_no_cancel_reaches_what_is_called_after_its_end() {
    let mut fake = Fake::start(1, |_| {});
    let (key, job) = fake.job("sync", &json!({"timeout": 0.001}));
    fake.runners[0].runs(key);
    fake.lingers(0, key, b"?");
    fake.cancel(&job);
    // Its timeout, and the two seconds after which its runner would be killed.
    std::thread::sleep(Duration::from_millis(2_200));
    fake.runners[0].was_told_no_more();
    fake.rests(0, key);
    let next = fake.start_job(claim("sync"));
    fake.runners[0].runs(next);
}

#[test]
fn what_does_not_end_in_a_time_of_its_own_is_ended_with_its_runner() {
    let mut fake = Fake::start(1, |config| config.callback_timeout = SOON);
    let first = fake.start_job(claim("async"));
    let second = fake.start_job(claim("async too"));
    fake.runners[0].runs(first);
    fake.runners[0].runs(second);
    fake.lingers(0, first, b"");
    fake.is_killed(0);
    assert_eq!(fake.end_of(second), Outcome::Interrupted);
    fake.is_cut_off(first, "it took too long");
}

#[test]
fn the_time_counts_from_when_something_is_called() {
    let mut fake = Fake::start(1, |config| config.callback_timeout = SOON);
    let job = claim("sync");
    let (id, token) = (job.id, job.token);
    let key = fake.start_job(job);
    fake.runners[0].runs(key);
    fake.lingers(0, key, b"?");
    // The database may be away for long.
    std::thread::sleep(Duration::from_millis(2_200));
    fake.order(Command::Settled(id, token, Some(State::Successful)));
    fake.runners[0].told_of('V', key);
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1_200));
        // And from each hook that is called.
        fake.runners[0].say(b'A', &[&key.bytes()]);
    }
    fake.rests(0, key);
}

#[test]
fn what_it_says_is_added_to_the_attempt() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    fake.lingers(0, key, b"");
    fake.runners[0].say(b'O', &[&key.bytes(), b"a hook failed\n"]);
    let note = fake.noted();
    assert_eq!((note.job, note.token, note.text.as_str()), (key.job(), key.token(), "a hook failed\n"));
    fake.rests(0, key);
}

#[test]
fn a_runner_that_dies_while_it_lingers_has_told_how_its_job_ended() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    fake.lingers(0, key, b"?");
    fake.dies(0, false);
    fake.is_cut_off(key, "its runner died (signal 9 (SIGKILL))");
    let runner = fake.fork();
    let next = fake.start_job(claim("sync"));
    fake.runners[runner].runs(next);
}

#[test]
fn an_end_that_lies_in_the_socket_of_a_dead_runner_counts_with_what_was_to_follow_it() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    let key_bytes = key.bytes();
    fake.runners[0].say_at_once(&[(b'A', &[&key_bytes, b"?"]), (b'D', &[&key_bytes, b"null"])]);
    fake.dies(0, false);
    assert_eq!(fake.end_of(key), null());
    fake.is_cut_off(key, "its runner died (signal 9 (SIGKILL))");
}

#[test]
fn a_worker_that_must_stop_now_cuts_it_off() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    fake.lingers(0, key, b"");
    fake.order(Command::Interrupt);
    fake.is_killed(0);
    fake.is_cut_off(key, "the worker had to stop");
}

#[test]
fn a_runner_that_is_not_fit_for_another_job_rests_first() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("async"));
    fake.runners[0].runs(key);
    fake.lingers(0, key, b"?");
    fake.runners[0].say(b'L', &[]);
    fake.has_settled_somehow();
    fake.runners[0].was_told_no_more();
    fake.rests(0, key);
    assert_eq!(fake.runners[0].told().0, 'Q');
}

#[test]
fn the_end_that_counts_when_its_runner_is_gone_is_the_one_after_its_task_was_asked() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    fake.asks_its_task(0, key);
    fake.runners[0].say(b'L', &[&key.bytes()]);
    let json = json!({"reason": "error", "exception_class_path": "a.B", "traceback": "x", "classes": ["a.B"],
        "advice": {"after": 7}});
    fake.runners[0].say(b'F', &[&key.bytes(), json.to_string().as_bytes()]);
    fake.is_killed(0);
    assert_eq!(fake.end_of(key), failure(Advice::After(Duration::from_secs(7))));
}

#[test]
fn a_worn_runner_is_replaced_when_it_rests() {
    let mut fake = Fake::start(1, |config| config.max_jobs_per_runner = Some(1));
    let key = fake.start_job(claim("sync"));
    fake.runners[0].runs(key);
    fake.lingers(0, key, b"");
    fake.has_settled_somehow();
    fake.runners[0].was_told_no_more();
    fake.rests(0, key);
    assert_eq!(fake.runners[0].told().0, 'Q');
}

#[test]
fn async_jobs_go_on_beside_one_that_lingers_and_it_keeps_its_place() {
    let mut fake = Fake::start(1, |config| config.concurrency = 2);
    let first = fake.start_job(claim("async"));
    fake.runners[0].runs(first);
    fake.lingers(0, first, b"?");
    let second = fake.start_job(claim("async"));
    fake.runners[0].runs(second);
    let third = fake.start_job(claim("async"));
    fake.has_settled(0, second);
    fake.runners[0].was_told_no_more();
    fake.rests(0, first);
    fake.runners[0].runs(third);
}

#[test]
fn a_handlers_time_counts_from_when_it_begins() {
    let mut fake = Fake::start(1, |_| {});
    let (key, _) = fake.job("sync", &json!({"timeout": 0.001}));
    fake.runners[0].takes(key);
    fake.prepares(0, key);
    std::thread::sleep(Duration::from_millis(2_200));
    fake.runners[0].starts(key);
    fake.has_settled(0, key);
    fake.is_killed(0);
    assert!(matches!(fake.end_of(key), Outcome::Failed { reason: Reason::Timeout, .. }));
}

#[test]
fn what_never_comes_to_its_handler_goes_back_uncharged() {
    let mut fake = Fake::start(1, |config| config.callback_timeout = SOON);
    let (key, _) = fake.job("sync", &json!({"on_crash": "fail"}));
    fake.runners[0].takes(key);
    fake.prepares(0, key);
    fake.is_killed(0);
    let ended = fake.ended();
    assert_eq!((Key::of(&ended.claimed), ended.outcome), (key, Outcome::HandedBack));
    assert_eq!(ended.started_after, None);
}

#[test]
fn a_stop_before_the_handler_begins_is_no_interruption_and_a_death_is_a_crash() {
    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].takes(key);
    fake.prepares(0, key);
    fake.has_settled(0, key);
    fake.order(Command::Interrupt);
    fake.is_killed(0);
    assert_eq!(fake.end_of(key), Outcome::HandedBack);

    let mut fake = Fake::start(1, |_| {});
    let key = fake.start_job(claim("sync"));
    fake.runners[0].takes(key);
    fake.prepares(0, key);
    fake.dies(0, false);
    assert_eq!(fake.end_of(key), Outcome::Crashed { how: "signal 9 (SIGKILL)".into() });
}

#[test]
fn a_failure_counts_whatever_becomes_of_its_backoff_function() {
    let asked = || {
        let mut fake = Fake::start(1, |config| config.callback_timeout = SOON);
        let (key, job) = fake.job("sync", &json!({"timeout": 600}));
        fake.runners[0].runs(key);
        fake.asks_its_task(0, key);
        fake.has_settled(0, key);
        (fake, key, job)
    };
    let (mut fake, key, _) = asked();
    fake.dies(0, false);
    assert_eq!(fake.end_of(key), failure(Advice::ByOptions));

    let (mut fake, key, _) = asked();
    fake.is_killed(0);
    assert_eq!(fake.end_of(key), failure(Advice::ByOptions));

    let (mut fake, key, _) = asked();
    fake.order(Command::Interrupt);
    fake.is_killed(0);
    assert_eq!(fake.end_of(key), failure(Advice::ByOptions));

    let (mut fake, key, job) = asked();
    fake.cancel(&job);
    let json = json!({"reason": "error", "exception_class_path": "a.B", "traceback": "x", "classes": ["a.B"],
        "advice": {"after": 7}});
    fake.runners[0].say(b'F', &[&key.bytes(), json.to_string().as_bytes()]);
    assert_eq!(fake.end_of(key), failure(Advice::After(Duration::from_secs(7))));
}

#[test]
fn what_makes_no_sense_around_a_job_is_a_broken_runner() {
    let at = monotonic_nanoseconds(Instant::now()).to_le_bytes();
    // The second start, the second question, what lingers of nothing, a rest of nothing.
    let lies: [&[(u8, &[u8])]; 6] = [
        &[(b'S', &at)],
        &[(b'A', b"!")],
        &[(b'N', b"")],
        &[(b'A', b""), (b'D', b"null"), (b'A', b"?")],
        &[(b'A', b"?"), (b'D', b"null"), (b'A', b"")],
        &[(b'D', b"null"), (b'A', b"")],
    ];
    for lie in lies {
        let mut fake = Fake::start(1, |_| {});
        let key = fake.start_job(claim("sync"));
        fake.runners[0].runs(key);
        for (kind, rest) in lie {
            fake.runners[0].say(*kind, &[&key.bytes(), rest]);
        }
        let outcome = if lie.iter().any(|(kind, _)| *kind == b'D') {
            let outcome = fake.end_of(key);
            fake.is_killed(0);
            outcome
        } else {
            fake.is_killed(0);
            fake.end_of(key)
        };
        assert!(outcome == null() || matches!(outcome, Outcome::Crashed { .. }));
    }
}
