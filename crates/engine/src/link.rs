//! One loop's line to the database: a session that is opened when needed and dropped when it fails.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use gristmill_store::{Error, Result, Session};
use tracing::{debug, error, info, warn};

use crate::{Sessions, clock};

/// No call to the database takes longer; one that does counts as [`Error::Unavailable`].
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// First wait after a failure; it doubles from there.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait between two tries, so that a worker is back within 5 s of its database.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long the same refusal stays unmentioned after it was logged.
const REFUSAL_SILENCE: Duration = Duration::from_mins(1);
/// Distinct refusals remembered; more than this starts afresh, so that memory stays bounded.
const REFUSALS: usize = 64;

/// A session, or the wait for the next one. After an error the session is dropped: what state a failed statement left it
/// in is not worth knowing. But a lock that somebody holds says nothing of the database, and nothing was done: who met it
/// puts that off, and the session goes on.
pub(crate) struct Link<S> {
    sessions: S,
    of: &'static str,
    session: Option<Session>,
    /// A call was begun and its end not judged: its future was dropped, and the session with it is unusable.
    calling: bool,
    deadline: Duration,
    longest_wait: Duration,
    failures: u32,
    not_before: Option<Instant>,
    refusals: HashMap<String, Instant>,
}

impl<S: Sessions> Link<S> {
    /// A link of the loop named `of`; nothing is opened yet.
    pub(crate) fn new(sessions: S, of: &'static str) -> Self {
        Self {
            sessions,
            of,
            session: None,
            calling: false,
            deadline: DEADLINE,
            longest_wait: LONGEST_WAIT,
            failures: 0,
            not_before: None,
            refusals: HashMap::new(),
        }
    }

    /// The same with a shorter deadline, which also bounds the wait between two tries.
    pub(crate) fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline.min(DEADLINE);
        self.longest_wait = deadline.min(LONGEST_WAIT);
        self
    }

    /// The session for one call, opened if there is none.
    pub(crate) async fn session(&mut self) -> Result<&mut Session> {
        let cut_short = std::mem::replace(&mut self.calling, true);
        let session = match self.session.take().filter(|_| !cut_short) {
            Some(session) => session,
            // To connect takes more round trips than any verb.
            None => within(self.deadline.max(Duration::from_secs(1)), self.sessions.open()).await.map_err(kept_out)?,
        };
        let session = self.session.insert(session);
        session.set_now(clock::database());
        Ok(session)
    }

    /// Closes the session until it is needed again.
    pub(crate) fn hang_up(&mut self) {
        self.session = None;
    }

    /// How long one call may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Takes note of how a call ended. Every call's answer goes through here.
    pub(crate) fn judge<T>(&mut self, answer: Result<T>) -> Result<T> {
        self.calling = false;
        match &answer {
            Ok(_) => {
                if self.failures > 0 {
                    info!(target: "gristmill::link", link = self.of, "reconnected");
                }
                self.failures = 0;
                self.not_before = None;
            }
            Err(Error::Locked(why)) => {
                debug!(target: "gristmill::link", link = self.of, why, "held by another transaction");
                self.failures = 0;
                self.not_before = None;
            }
            Err(failure) => {
                self.session = None;
                let wait = backoff(self.failures, self.longest_wait);
                self.not_before = Some(clock::now() + wait);
                self.report(failure);
                self.failures = self.failures.saturating_add(1);
            }
        }
        answer
    }

    /// The earliest instant at which the next try makes sense; `None` after a success.
    pub(crate) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// Waits until the next try makes sense.
    pub(crate) async fn rest(&mut self) {
        if let Some(instant) = self.not_before {
            tokio::time::sleep_until(instant.into()).await;
        }
    }

    // An outage is told once, by its first failure; a refusal once a minute for each distinct text.
    fn report(&mut self, failure: &Error) {
        let now = clock::now();
        match failure {
            Error::Unavailable(_) if self.failures == 0 => {
                warn!(target: "gristmill::link", link = self.of, error = %failure, "reconnecting");
            }
            Error::Unavailable(_) => {}
            _ => {
                let text = failure.to_string();
                let told = self.refusals.get(&text).is_some_and(|at| now.duration_since(*at) < REFUSAL_SILENCE);
                if !told {
                    error!(target: "gristmill::link", link = self.of, error = %failure, "refused");
                    if self.refusals.len() >= REFUSALS {
                        self.refusals.clear();
                    }
                    self.refusals.insert(text, now);
                }
            }
        }
    }
}

/// Who is not let in has said nothing yet that could have been refused.
fn kept_out(error: Error) -> Error {
    match error {
        Error::Refused(why) => Error::Unavailable(why.to_string()),
        Error::Locked(why) => Error::Unavailable(why),
        other => other,
    }
}

/// Whether trying again cannot help, so that the worker has to end.
pub(crate) fn is_fatal(error: &Error) -> bool {
    matches!(error, Error::Settings(_) | Error::Schema(_) | Error::Moved(_))
}

/// Bounds a call to the database. What a call over its deadline did is unknown.
pub(crate) async fn within<T>(deadline: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(deadline, call).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Unavailable(format!("no answer within {:.1} s", deadline.as_secs_f64()))),
    }
}

/// The wait after `failures` failures in a row, between half and the whole of its step.
pub(crate) fn backoff(failures: u32, longest: Duration) -> Duration {
    let step = SHORTEST_WAIT.saturating_mul(1 << failures.min(10)).min(longest);
    step.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Nobody;

    impl Sessions for Nobody {
        async fn open(&self) -> Result<Session> {
            Err(Error::Locked("a row of the schema's is held".into()))
        }

        async fn wake_ups(&self) -> Result<gristmill_store::WakeUps> {
            unreachable!("nobody listens")
        }

        fn hold_life(&self, _worker: gristmill_core::WorkerId) -> Result<Option<gristmill_store::LifeLock>> {
            Ok(None)
        }
    }

    #[tokio::test]
    async fn a_lock_is_no_outage_once_there_is_a_session() {
        let mut link = Link::new(Nobody, "test");
        let opened = link.session().await.map(drop);
        assert!(matches!(link.judge(opened), Err(Error::Unavailable(_))));
        assert!(link.not_before().is_some());
        let held: Result<()> = link.judge(Err(Error::Locked("a row of ours is held".into())));
        assert!(matches!(held, Err(Error::Locked(_))) && link.not_before().is_none());
    }

    #[test]
    fn waits_double_from_a_tenth_of_a_second_and_stay_within_the_longest() {
        for failures in 0..40 {
            let wait = backoff(failures, LONGEST_WAIT);
            assert!(wait >= SHORTEST_WAIT / 2 && wait <= LONGEST_WAIT);
        }
        assert!(backoff(0, LONGEST_WAIT) <= SHORTEST_WAIT);
        assert!(backoff(40, LONGEST_WAIT) >= LONGEST_WAIT / 2);
    }
}
