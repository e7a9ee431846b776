//! What the zygote says.

use std::collections::BTreeMap;

use gristmill_core::schedule::{Announced, Announcement, JobTemplate};
use serde::Deserialize;

use super::codec::{BadFrame, parse_json};
use super::kinds::FromZygote as Kind;

/// What the zygote says.
#[derive(Debug, PartialEq)]
pub enum FromZygote {
    /// The zygote has imported the project.
    Hello(Hello),
    /// The zygote cannot serve.
    Error(Refusal),
    /// A runner has been forked.
    Spawned(Spawned),
    /// A runner has ended and its process group has been killed.
    Exited(Exited),
    /// A source file has changed: its path.
    Modified(String),
}

/// The zygote can fork.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Hello {
    /// Registered tasks.
    pub tasks: Vec<String>,
    /// How many modules they are in.
    #[serde(default)]
    pub modules: usize,
    /// Tasks that run many at a time in one runner.
    #[serde(default, rename = "async")]
    pub async_tasks: Vec<String>,
    /// The zygote's process.
    pub pid: u32,
    /// Version of the interpreter.
    pub python: String,
    /// Version of Django.
    pub django: String,
    /// The schedules of the project's code; `None` where the package does not know of schedules.
    #[serde(default)]
    schedules: Option<Vec<Announced>>,
    /// Tasks for which people may define schedules, and what their jobs are like.
    #[serde(default)]
    schedulable: BTreeMap<String, JobTemplate>,
}

impl Hello {
    /// What it says of schedules. A package that says nothing of them takes none away.
    pub fn take_announcement(&mut self) -> Option<Announcement> {
        let schedules = self.schedules.take()?;
        Some(Announcement { schedules, schedulable: std::mem::take(&mut self.schedulable) })
    }
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
    /// The runner's number.
    pub runner: u64,
    /// The runner's process.
    pub pid: u32,
}

/// A runner has ended.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Exited {
    /// The runner's number.
    pub runner: u64,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The exit status otherwise.
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
        match Kind::of(kind) {
            Some(Kind::Hello) => parse_json(payload).map(Self::Hello),
            Some(Kind::Error) => parse_json(payload).map(Self::Error),
            Some(Kind::Spawned) => parse_json(payload).map(Self::Spawned),
            Some(Kind::Exited) => parse_json(payload).map(Self::Exited),
            Some(Kind::Modified) => parse_json::<Modified>(payload).map(|modified| Self::Modified(modified.path)),
            None => Err(BadFrame(format!("a control frame of unknown kind {kind}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = r#""tasks": ["shop.report"], "pid": 1, "python": "3.14", "django": "6.1""#;

    fn announced(more: &str) -> Option<Announcement> {
        match FromZygote::parse(b'H', format!("{{{PLAIN}{more}}}").as_bytes()) {
            Ok(FromZygote::Hello(mut hello)) => hello.take_announcement(),
            other => panic!("no hello: {other:?}"),
        }
    }

    #[test]
    fn a_hello_announces_schedules_and_the_tasks_that_may_have_some() {
        let schedule =
            r#"{"name": "nightly", "task_name": "shop.report", "definition": {"cron": "@daily", "later": 1}}"#;
        let said = format!(r#", "schedules": [{schedule}], "schedulable": {{"shop.mail": {{"priority": 5}}}}"#);
        let announcement = announced(&said).expect("it does");
        assert_eq!(announcement.schedules[0].name, "nightly");
        assert_eq!(announcement.schedules[0].definition.cron.as_deref(), Some("@daily"));
        assert_eq!(announcement.schedulable["shop.mail"].priority, 5);
    }

    #[test]
    fn none_at_all_is_an_announcement_and_silence_is_not() {
        assert_eq!(announced(r#", "schedules": [], "schedulable": {}"#), Some(Announcement::default()));
        assert_eq!(announced(""), None);
    }
}
