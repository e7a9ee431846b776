//! One run of a job, from claim to end, and how it ended.

use std::time::Duration;

use crate::{Claimed, Reason};

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
    /// The word stored on the attempt and used in logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Successful { .. } => "successful",
            Self::Failed { .. } => "failed",
            Self::Crashed { .. } => "crashed",
            Self::Lost => "lost",
            Self::Interrupted => "interrupted",
            Self::HandedBack => "handed back",
        }
    }
}
