//! One run of a job, from claim to end, and how it ended.

use std::time::Duration;

use crate::{Claimed, JobId, Moment, Reason, Token};

/// Text from a handler, already bounded by whoever made it.
pub type Text = String;

/// An open attempt that has ended: what the engine asks the store to write down.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The claim it ends.
    pub claimed: Claimed,
    /// How long after the claim the handler's first instruction ran, on this machine's monotonic clock.
    pub started_after: Option<Duration>,
    /// The process that ran it.
    pub runner_pid: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
    /// What the handler printed and logged, bounded.
    pub output: Option<Text>,
}

impl Attempt {
    /// One that never started.
    pub fn unstarted(claimed: Claimed, outcome: Outcome) -> Self {
        Self { claimed, started_after: None, runner_pid: None, outcome, output: None }
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handler returned; its value as JSON text, passed on unread.
    Successful {
        /// JSON text.
        return_value: Text,
    },
    /// The handler raised, overran a limit, or returned what JSON cannot hold.
    Failed {
        /// Which of these it was.
        reason: Reason,
        /// `module.qualname` of the exception's class; never imported by the engine.
        exception_class_path: Text,
        /// The formatted traceback, bounded.
        traceback: Text,
        /// `module.qualname` of the exception's class and of all that it derives from: what `retry_on` is held against.
        classes: Vec<Text>,
        /// What the task's own backoff function said.
        advice: Advice,
    },
    /// The database undid the handler's transaction, which was to end its job, for the sake of another one: nothing of it
    /// was kept. Not a failure, and not an attempt that counts.
    Conflict {
        /// `module.qualname` of the exception's class.
        exception_class_path: Text,
        /// The formatted traceback, bounded.
        traceback: Text,
    },
    /// The handler asked to be run later. Not a failure, and not an attempt that counts.
    Postponed {
        /// When.
        until: Until,
        /// Jobs that it waits for from now on besides those that it was ever given, until then at least; none that has
        /// ended counts. `None` where it waits for no job at all, whatever is still open.
        after: Option<Vec<JobId>>,
        /// Why, in the handler's words.
        why: Text,
    },
    /// The stored arguments do not fit the handler that this worker knows: it never started, and another version of
    /// the code may know it.
    Incompatible {
        /// In words, for people.
        why: Text,
    },
    /// Claimed after it was too old to start; it never did.
    Expired,
    /// Someone asked to cancel it, and it stopped or was stopped.
    Cancelled {
        /// In words, for people.
        how: Text,
    },
    /// The runner died while it ran the job: "signal 9 (SIGKILL)", "exit status 3".
    Crashed {
        /// In words, for people.
        how: Text,
    },
    /// The worker vanished; another one says so.
    Lost,
    /// The worker had to stop and ended the run.
    Interrupted,
    /// Claimed and never started: goes back as if nothing had happened.
    HandedBack,
}

impl Outcome {
    /// A failure that nothing tries again: it is not the handler's.
    pub fn failed(reason: Reason, exception_class_path: &str, traceback: impl Into<Text>) -> Self {
        Self::Failed {
            reason,
            exception_class_path: exception_class_path.into(),
            traceback: traceback.into(),
            classes: Vec::new(),
            advice: Advice::ByOptions,
        }
    }

    /// Whether the handler came to its end. No cancel request wins over that.
    pub fn is_successful(&self) -> bool {
        matches!(self, Self::Successful { .. })
    }

    /// The word stored on the attempt and used in logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Successful { .. } => "successful",
            Self::Failed { .. } => "failed",
            Self::Conflict { .. } => "conflict",
            Self::Postponed { .. } => "postponed",
            Self::Incompatible { .. } => "incompatible",
            Self::Expired => "expired",
            Self::Cancelled { .. } => "cancelled",
            Self::Crashed { .. } => "crashed",
            Self::Lost => "lost",
            Self::Interrupted => "interrupted",
            Self::HandedBack => "handed back",
        }
    }
}

/// What a task's own backoff function said about an exception.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Advice {
    /// There is none, or it was not asked: the options decide.
    #[default]
    ByOptions,
    /// Wait so long, if it may be tried again at all.
    After(Duration),
    /// Do not try again.
    GiveUp,
}

/// When a postponed job is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// After the delay that its options name; at once when it waits for other jobs.
    Default,
    /// So long after the end of this attempt.
    After(Duration),
    /// At a moment of the database's clock.
    At(Moment),
}

/// Lines for the output of an attempt that has ended, of what was called after its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The job.
    pub job: JobId,
    /// The attempt's.
    pub token: Token,
    /// Whole lines, bounded.
    pub text: Text,
}

/// What a handler says of itself while it runs. Each replaces the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The job.
    pub job: JobId,
    /// The attempt's.
    pub token: Token,
    /// How much is done, in whatever the handler counts.
    pub done: Option<f64>,
    /// Of how much.
    pub total: Option<f64>,
    /// For people.
    pub message: Option<Text>,
    /// A JSON object of the handler's own.
    pub metadata: Option<Text>,
}
