//! What is said in the log of an attempt that did not succeed: what went wrong, which attempt it was, and what comes next.
//! Pure.

use gristmill_core::{Attempt, Next, Outcome, State, decide};

/// Characters of an error's last line that stand in a message; the traceback has all of it.
const SHOWN: usize = 300;

pub(crate) struct Told {
    /// The error in one line, with the attempt and what comes next.
    pub(crate) sentence: String,
    /// Nothing comes next: a person should look.
    pub(crate) is_final: bool,
    pub(crate) traceback: Option<String>,
}

/// Of an end that the database has accepted.
pub(crate) fn told(attempt: &Attempt) -> Told {
    let (claimed, outcome) = (&attempt.claimed, &attempt.outcome);
    let (_, next) = decide(claimed, claimed.options(), outcome);
    let mut sentence = match outcome {
        Outcome::Failed { traceback, exception_class_path, .. } => {
            format!("failed: {}", last_line(traceback).unwrap_or(exception_class_path))
        }
        Outcome::Conflict { traceback, exception_class_path, .. } => {
            format!("conflict: {}", last_line(traceback).unwrap_or(exception_class_path))
        }
        Outcome::Lost => "lost with its worker".to_owned(),
        Outcome::Crashed { how } | Outcome::Cancelled { how } => format!("{}: {how}", outcome.word()),
        Outcome::Incompatible { why } | Outcome::Postponed { why, .. } if !why.is_empty() => {
            format!("{}: {why}", outcome.word())
        }
        _ => outcome.word().to_owned(),
    };
    if let Some((end, _)) = sentence.char_indices().nth(SHOWN) {
        sentence.truncate(end);
        sentence.push('…');
    }
    let mut more = Vec::new();
    if matches!(outcome, Outcome::Failed { .. }) {
        let number = claimed.counts.failures.saturating_add(1);
        more.push(match claimed.options().max_attempts {
            Some(most) => format!("attempt {number} of {most}"),
            None => format!("attempt {number}"),
        });
    }
    more.extend(what_next(&next));
    let told = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    let traceback = match outcome {
        Outcome::Failed { traceback, .. } | Outcome::Conflict { traceback, .. } => Some(traceback.clone()),
        _ => None,
    };
    let is_final =
        matches!(next, Next::Finished { state, .. } if state != State::Successful && state != State::Cancelled);
    Told { sentence: sentence + &told, is_final, traceback }
}

fn what_next(next: &Next) -> Option<String> {
    match next {
        Next::Finished { state: State::Successful | State::Cancelled, .. } => None,
        Next::Finished { state: State::Poisoned, .. } => Some("poisoned: not run again".into()),
        Next::Finished { .. } => Some("not tried again".into()),
        Next::Ready => Some("runs again at once".into()),
        Next::Scheduled { delay } => Some(format!("runs again in {}", seconds(delay.as_secs_f64()))),
        Next::ScheduledAt(moment) => Some(format!("runs again at {} UTC", moment.0)),
        Next::Waiting { .. } | Next::WaitingUntil(_) => Some("runs again when what it waits for has ended".into()),
    }
}

fn last_line(traceback: &str) -> Option<&str> {
    traceback.lines().rev().map(str::trim).find(|line| !line.is_empty())
}

fn seconds(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_core::{
        Advice, Claimed, Counts, JobId, Lane, Misfits, Moment, Reason, StoredOptions, Token, WorkerId,
    };

    fn attempt(options: &str, failures: u32, outcome: Outcome) -> Attempt {
        let moment = Moment("2026-01-01 00:00:00.000000".into());
        let claimed = Claimed {
            id: JobId::new(),
            token: Token(1),
            lane: Lane { backend: "default".into(), queue_name: "mail".into(), task_name: "shop.send".into() },
            priority: 0,
            deadline: moment.clone(),
            run_after: None,
            enqueued_at: moment.clone(),
            claimed_at: moment,
            started_at: None,
            generation: 1,
            counts: Counts { failures, ..Counts::default() },
            args: "[]".into(),
            kwargs: "{}".into(),
            stored_options: StoredOptions::of(Some(options.into())),
            worker_id: WorkerId::new(),
            misfits: Misfits::default(),
        };
        Attempt::unstarted(claimed, outcome)
    }

    fn error() -> Outcome {
        Outcome::Failed {
            reason: Reason::Error,
            exception_class_path: "builtins.ValueError".into(),
            traceback: "Traceback (most recent call last):\nValueError: no\n\n".into(),
            classes: vec!["builtins.ValueError".into()],
            advice: Advice::ByOptions,
        }
    }

    #[test]
    fn a_failure_says_its_last_line_which_attempt_it_was_and_what_comes_next() {
        let steady = r#"{"max_attempts": 3, "backoff": {"kind": "constant", "seconds": 30.0}, "retry_on": ["builtins.ValueError"]}"#;
        let first = told(&attempt(steady, 0, error()));
        assert_eq!(first.sentence, "failed: ValueError: no (attempt 1 of 3, runs again in 30 s)");
        assert!(!first.is_final);
        let last = told(&attempt(steady, 2, error()));
        assert_eq!(last.sentence, "failed: ValueError: no (attempt 3 of 3, not tried again)");
        assert!(last.is_final);
        assert!(last.traceback.is_some_and(|text| text.starts_with("Traceback")));
        let endless = told(&attempt(r#"{"max_attempts": null, "retry_on": ["builtins.ValueError"]}"#, 7, error()));
        assert!(
            endless.sentence.starts_with("failed: ValueError: no (attempt 8, runs again in "),
            "{}",
            endless.sentence
        );
    }

    #[test]
    fn what_is_no_failure_says_what_comes_next_too() {
        let crashed = || Outcome::Crashed { how: "signal 9 (SIGKILL)".into() };
        let told_of = |options: &str, outcome| told(&attempt(options, 0, outcome));
        assert_eq!(told_of("{}", crashed()).sentence, "crashed: signal 9 (SIGKILL) (runs again at once)");
        let once = told_of(r#"{"on_crash": "fail"}"#, crashed());
        assert_eq!((once.sentence.as_str(), once.is_final), ("crashed: signal 9 (SIGKILL) (not tried again)", true));
        let cancelled = told_of("{}", Outcome::Cancelled { how: "asked by lea".into() });
        assert_eq!((cancelled.sentence.as_str(), cancelled.is_final), ("cancelled: asked by lea", false));
    }

    #[test]
    fn a_long_error_is_cut_in_the_message_and_whole_in_the_traceback() {
        let long = "ValueError: ".to_owned() + &"größer".repeat(1_000);
        let outcome = Outcome::failed(Reason::Error, "builtins.ValueError", &long);
        let told = told(&attempt("{}", 0, outcome));
        assert!(told.sentence.contains("… (attempt 1 of 1"), "{}", told.sentence);
        assert_eq!(told.traceback.as_deref(), Some(long.as_str()));
    }
}
