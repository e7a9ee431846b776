//! What a runner says.

use std::collections::BTreeSet;
use std::time::Duration;

use gristmill_core::backoff::bounded;
use gristmill_core::{Advice, JobId, Moment, Outcome, Reason, Until};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::codec::{BadFrame, Key, parse_json, text};
use super::kinds::FromRunner as Kind;

/// Longest class paths and traceback together that a runner may report; it bounds them to 64 KiB itself.
const MAX_FAILURE: usize = 256 * 1024;
/// Most classes that an exception may be said to be.
const MAX_CLASSES: usize = 100;
/// Most jobs that a handler may wait for when it postpones itself.
const MAX_PRECONDITIONS: usize = 10_000;
/// Longest output: a runner keeps 64 KiB of it, and says what it left out.
const MAX_OUTPUT: usize = 96 * 1024;
/// Longest metadata and message of a progress report.
const MAX_REPORT: usize = 16 * 1024;
/// Of a reason given for anything else, so much is kept. Not a bound on the runner: a job whose start failed would go
/// from one broken runner to the next.
const MAX_WHY: usize = 64 * 1024;

/// What a runner says.
#[derive(Debug, PartialEq)]
pub enum FromRunner {
    /// The runner is up and waits for work; the id of its process. It may have run a job before its zygote says that it forked it.
    Hello(u32),
    /// The handler's first instruction comes next; nanoseconds of `CLOCK_MONOTONIC`.
    Started(Key, u64),
    /// The same, but something comes before it that may take time, and then this is said once more.
    Preparing(Key, u64),
    /// What the handler printed and logged until now.
    Output(Key, String),
    /// What the handler says of itself.
    Progress(Key, Report),
    /// The job has ended by itself: successful, failed or postponed; or its transaction was undone, by a conflict or an outage.
    Ended(Key, Outcome),
    /// The job has failed, and its task is being asked how long to wait; what comes of that is said as its end. Where nothing
    /// comes of it, this is how it ended.
    Asking(Key, Outcome),
    /// The job says that it was cancelled; the failure that this is, where nobody asked.
    Cancelled(Key, Outcome),
    /// The handler of a transactional job has returned so, and its transaction is open.
    ToWrite(Key, Outcome),
    /// That transaction has been committed with the job's end in it.
    Kept(Key),
    /// That transaction has been undone: the job's end was not accepted.
    Undone(Key),
    /// Something is still called for this job after its end, which comes next: receivers of signals, hooks. Whether it
    /// waits with that until it has heard what became of the end. Said again, it is still at it.
    Lingers(Key, bool),
    /// That is over.
    Rested(Key),
    /// The runner did not start the job, because the arguments do not fit the function: why.
    Incompatible(Key, String),
    /// The runner did not start the job, and why if there is something to say.
    Back(Key, String),
    /// The runner is to run nothing more than what it has started. With a job: something of that one goes on in it, so it is to
    /// be killed, and the end that it says next counts when it is gone.
    Leaving(Option<Key>),
}

#[derive(Deserialize)]
struct Process {
    pid: u32,
}

/// What a handler says of itself.
#[derive(Debug, PartialEq)]
pub struct Report {
    /// How much is done.
    pub done: Option<f64>,
    /// Of how much.
    pub total: Option<f64>,
    /// For people.
    pub message: Option<String>,
    /// A JSON object.
    pub metadata: Option<String>,
}

impl FromRunner {
    /// Parses one frame.
    pub fn parse(kind: u8, payload: &[u8]) -> Result<Self, BadFrame> {
        let unknown = || BadFrame(format!("a frame of unknown kind {kind}"));
        let kind = Kind::of(kind).ok_or_else(unknown)?;
        // What is not about a claim.
        match kind {
            Kind::Hello => return parse_json(payload).map(|Process { pid }| Self::Hello(pid)),
            Kind::Leaving if payload.is_empty() => return Ok(Self::Leaving(None)),
            _ => {}
        }
        let (key, rest) = Key::split(payload)?;
        Ok(match kind {
            Kind::Started => {
                let at = rest.split_first_chunk().map(|(at, more)| (u64::from_le_bytes(*at), more));
                match at {
                    Some((at, b"")) => Self::Started(key, at),
                    Some((at, b"~")) => Self::Preparing(key, at),
                    _ => return Err(BadFrame("a started frame without its instant".into())),
                }
            }
            Kind::Output => Self::Output(key, output(rest)?),
            Kind::Progress => Self::Progress(key, report(rest)?),
            Kind::Done => Self::Ended(key, successful(text(rest)?)?),
            Kind::Failed => {
                let (failure, kind) = failure(rest)?;
                match kind {
                    Said::Raised => Self::Ended(key, failure),
                    Said::Cancelled => Self::Cancelled(key, failure),
                    Said::Asking => Self::Asking(key, failure),
                }
            }
            Kind::Postponed => Self::Ended(key, postponed(parse_json(rest)?)?),
            Kind::Incompatible => Self::Incompatible(key, cut(text(rest)?)),
            Kind::Back => Self::Back(key, cut(text(rest)?)),
            Kind::ToWrite => Self::ToWrite(key, to_write(rest)?),
            Kind::Kept => Self::Kept(key),
            Kind::Undone => Self::Undone(key),
            Kind::Lingers => Self::Lingers(key, asks(rest)?),
            Kind::Rested => Self::Rested(key),
            Kind::Leaving | Kind::Hello => Self::Leaving(Some(key)),
        })
    }
}

fn output(bytes: &[u8]) -> Result<String, BadFrame> {
    if bytes.len() > MAX_OUTPUT {
        return Err(BadFrame("more output than a runner may report".into()));
    }
    text(bytes)
}

fn asks(bytes: &[u8]) -> Result<bool, BadFrame> {
    match bytes {
        b"" => Ok(false),
        b"?" => Ok(true),
        _ => Err(BadFrame("a question that is none".into())),
    }
}

fn cut(mut why: String) -> String {
    why.truncate(why.floor_char_boundary(MAX_WHY));
    why
}

fn successful(return_value: String) -> Result<Outcome, BadFrame> {
    // A database may parse it: what is not JSON would cost the whole batch it is written with.
    serde_json::from_str::<serde::de::IgnoredAny>(&return_value)
        .map_err(|error| BadFrame(format!("a result that is not JSON: {error}")))?;
    Ok(Outcome::Successful { return_value })
}

/// What a failure says of itself.
#[derive(Clone, Copy)]
enum Said {
    Raised,
    /// That counts only where someone asked.
    Cancelled,
    /// The task's advice is still to come.
    Asking,
}

fn failure(json: &[u8]) -> Result<(Outcome, Said), BadFrame> {
    #[derive(Deserialize)]
    struct Failure {
        reason: String,
        exception_class_path: String,
        traceback: String,
        #[serde(default)]
        classes: Vec<String>,
        #[serde(default)]
        advice: Option<Told>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Told {
        Word(String),
        Wait { after: f64 },
    }
    let failure: Failure = parse_json(json)?;
    let reason = match failure.reason.as_str() {
        "error" | "cancelled" => Reason::Error,
        "bad result" => Reason::BadResult,
        "timeout" => Reason::Timeout,
        "memory" => Reason::Memory,
        "conflict" => Reason::Conflict,
        "interrupted" => Reason::Interrupted,
        other => return Err(BadFrame(format!("a failure for the unknown reason {other:?}"))),
    };
    let mut said = if failure.reason == "cancelled" { Said::Cancelled } else { Said::Raised };
    let advice = match failure.advice {
        None => Advice::ByOptions,
        Some(Told::Word(word)) if word == "give up" => Advice::GiveUp,
        Some(Told::Word(word)) if word == "asked" => {
            said = Said::Asking;
            Advice::ByOptions
        }
        Some(Told::Word(word)) => return Err(BadFrame(format!("the unknown advice {word:?}"))),
        Some(Told::Wait { after }) => Advice::After(wait(after)?),
    };
    let names = failure.classes.iter().map(String::len).sum::<usize>();
    let length = failure.exception_class_path.len() + failure.traceback.len() + names;
    if length > MAX_FAILURE || failure.classes.len() > MAX_CLASSES {
        return Err(BadFrame("a failure longer than a runner may report".into()));
    }
    let Failure { exception_class_path, traceback, classes, .. } = failure;
    let outcome = match reason {
        Reason::Conflict => Outcome::Conflict { exception_class_path, traceback },
        Reason::Interrupted => Outcome::Interrupted,
        _ => Outcome::Failed { reason, exception_class_path, traceback, classes, advice },
    };
    Ok((outcome, said))
}

// JSON cannot hold what is not a number, but a parser may make an infinity of many digits.
fn wait(seconds: f64) -> Result<Duration, BadFrame> {
    if seconds.is_finite() { Ok(bounded(seconds)) } else { Err(BadFrame("a wait that does not end".into())) }
}

#[derive(Deserialize)]
struct Postponed {
    #[serde(default)]
    after: Option<f64>,
    #[serde(default)]
    until: Option<String>,
    #[serde(default)]
    preconditions: Option<Vec<String>>,
    #[serde(default)]
    why: Option<String>,
}

fn postponed(said: Postponed) -> Result<Outcome, BadFrame> {
    let until = match (said.after, said.until) {
        (None, None) => Until::Default,
        (Some(after), None) => Until::After(wait(after)?),
        (None, Some(until)) => Until::At(moment(&until)?),
        (Some(_), Some(_)) => return Err(BadFrame("a job postponed both for a while and until a date".into())),
    };
    let after = said.preconditions.as_deref().map(preconditions).transpose()?;
    Ok(Outcome::Postponed { until, after, why: cut(said.why.unwrap_or_default()) })
}

/// The jobs to wait for, each once.
fn preconditions(said: &[String]) -> Result<Vec<JobId>, BadFrame> {
    if said.len() > MAX_PRECONDITIONS {
        return Err(BadFrame("a job postponed until more jobs have ended than it may wait for".into()));
    }
    let id = |text: &String| (text.len() == 32).then(|| text.parse().ok()).flatten();
    let ids: Option<BTreeSet<JobId>> = said.iter().map(id).collect();
    let ids = ids.ok_or_else(|| BadFrame("a job postponed until what is no job has ended".into()))?;
    Ok(ids.into_iter().collect())
}

/// A moment as both databases take it, whatever way of writing it came in.
fn moment(said: &str) -> Result<Moment, BadFrame> {
    let shape = |byte: (usize, &u8)| match byte {
        (4 | 7, b'-') | (10, b' ' | b'T') | (13 | 16, b':') | (19, b'.') => true,
        (4 | 7 | 10 | 13 | 16 | 19, _) => false,
        (_, digit) => digit.is_ascii_digit(),
    };
    let fits = matches!(said.len(), 19 | 21..=26) && said.as_bytes().iter().enumerate().all(shape);
    let read = fits.then(|| Moment(said.to_owned()).unix_micros()).flatten().map(Moment::from_unix_micros);
    read.filter(|moment| moment.0.len() == 26 && *moment >= Moment::earliest())
        .ok_or_else(|| BadFrame("a job postponed until what is no date".into()))
}

fn to_write(json: &[u8]) -> Result<Outcome, BadFrame> {
    #[derive(Deserialize)]
    struct ToWrite {
        kind: String,
        #[serde(default)]
        value: Option<String>,
        #[serde(flatten)]
        postponed: Postponed,
    }
    let said: ToWrite = parse_json(json)?;
    match (said.kind.as_str(), said.value) {
        ("D", Some(value)) => successful(value),
        ("P", None) => postponed(said.postponed),
        _ => Err(BadFrame("an end to write that is none".into())),
    }
}

fn report(json: &[u8]) -> Result<Report, BadFrame> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(default)]
        done: Option<f64>,
        #[serde(default)]
        total: Option<f64>,
        #[serde(default)]
        message: Option<String>,
        #[serde(default, borrow)]
        metadata: Option<&'a RawValue>,
    }
    let said: Said<'_> = parse_json(json)?;
    let metadata = said.metadata.map(|raw| raw.get().to_owned());
    let is_finite = |number: Option<f64>| number.is_none_or(f64::is_finite);
    if !is_finite(said.done) || !is_finite(said.total) {
        return Err(BadFrame("progress without an end".into()));
    }
    if metadata.as_ref().is_some_and(|text| !text.starts_with('{')) {
        return Err(BadFrame("metadata that is no object".into()));
    }
    let is_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > MAX_REPORT);
    if is_long(&said.message) || is_long(&metadata) {
        return Err(BadFrame("progress longer than a runner may report".into()));
    }
    Ok(Report { done: said.done, total: said.total, message: said.message, metadata })
}

#[cfg(test)]
mod tests;
