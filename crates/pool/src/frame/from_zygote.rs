//! What the zygote says.

use serde::Deserialize;

use super::codec::{BadFrame, parse_json};

/// What the zygote says.
#[derive(Debug, PartialEq, Eq)]
pub enum FromZygote {
    /// It has imported the project.
    Hello(Hello),
    /// It cannot serve.
    Error(Refusal),
    /// A runner has been forked.
    Spawned(Spawned),
    /// A runner has ended and its process group has been killed.
    Exited(Exited),
    /// A source file has changed: its path.
    Modified(String),
}

/// The zygote can fork.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Hello {
    /// Registered tasks.
    pub tasks: Vec<String>,
    /// Those of them that run many at a time in one runner.
    #[serde(default, rename = "async")]
    pub async_tasks: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// Version of the interpreter.
    pub python: String,
    /// Version of Django.
    pub django: String,
}

/// Why the zygote cannot serve.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// One sentence for people.
    pub message: String,
    /// As Python formats it; may be empty.
    pub traceback: String,
}

/// A runner has been forked.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Spawned {
    /// Which.
    pub runner: u64,
    /// Its process.
    pub pid: u32,
}

/// A runner has ended.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Exited {
    /// Which.
    pub runner: u64,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Its exit status otherwise.
    pub status: Option<i32>,
    /// Set when the zygote killed it.
    pub killed: Option<KilledFor>,
}

/// Why the zygote killed a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KilledFor {
    /// A `K` frame asked for it.
    Kill,
    /// The lease ran out.
    Lease,
}

impl Exited {
    /// In words, for people: `signal 9 (SIGKILL)`, `exit status 3`.
    pub fn how(&self) -> String {
        match (self.signal, self.status) {
            (Some(number), _) => signal_in_words(number),
            (None, Some(status)) => format!("exit status {status}"),
            (None, None) => "an unknown cause".into(),
        }
    }
}

/// `signal 9 (SIGKILL)`.
pub fn signal_in_words(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {number}"),
    };
    format!("signal {number} ({name})")
}

impl FromZygote {
    /// Parses one frame.
    pub fn parse(kind: u8, payload: &[u8]) -> Result<Self, BadFrame> {
        #[derive(Deserialize)]
        struct Modified {
            path: String,
        }
        match kind {
            b'H' => parse_json(payload).map(Self::Hello),
            b'E' => parse_json(payload).map(Self::Error),
            b'P' => parse_json(payload).map(Self::Spawned),
            b'X' => parse_json(payload).map(Self::Exited),
            b'M' => parse_json::<Modified>(payload).map(|modified| Self::Modified(modified.path)),
            other => Err(BadFrame(format!("a control frame of unknown kind {other}"))),
        }
    }
}
