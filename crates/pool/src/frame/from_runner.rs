//! What a runner says.

use std::collections::BTreeSet;
use std::time::Duration;

use gristmill_core::backoff::bounded;
use gristmill_core::{Advice, JobId, Moment, Outcome, Reason, Until};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::codec::{BadFrame, Key, parse_json, text};

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
    /// It is up and waits for work.
    Hello,
    /// The handler's first instruction comes next; nanoseconds of `CLOCK_MONOTONIC`.
    Started(Key, u64),
    /// What the handler printed and logged until now.
    Output(Key, String),
    /// What the handler says of itself.
    Progress(Key, Report),
    /// It has ended by itself: successful, failed or postponed.
    Ended(Key, Outcome),
    /// It says that it was cancelled; the failure that this is, where nobody asked.
    Cancelled(Key, Outcome),
    /// The handler of a transactional job has returned so, and its transaction is open.
    ToWrite(Key, Outcome),
    /// That transaction has been committed with the job's end in it.
    Kept(Key),
    /// That transaction has been undone: the job's end was not accepted.
    Undone(Key),
    /// It did not start it, because the arguments do not fit the function: why.
    Incompatible(Key, String),
    /// It did not start it, and why if there is something to say.
    Back(Key, String),
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
        if kind == b'H' {
            return Ok(Self::Hello);
        }
        if !b"SOGDFPIBTKU".contains(&kind) {
            return Err(BadFrame(format!("a frame of unknown kind {kind}")));
        }
        let (key, rest) = Key::split(payload)?;
        Ok(match kind {
            b'S' => {
                let at = rest.try_into().map_err(|_| BadFrame("a started frame without its instant".into()))?;
                Self::Started(key, u64::from_le_bytes(at))
            }
            b'O' => Self::Output(key, output(rest)?),
            b'G' => Self::Progress(key, report(rest)?),
            b'D' => Self::Ended(key, successful(text(rest)?)?),
            b'F' => {
                let (failure, cancelled) = failure(rest)?;
                if cancelled { Self::Cancelled(key, failure) } else { Self::Ended(key, failure) }
            }
            b'P' => Self::Ended(key, postponed(parse_json(rest)?)?),
            b'I' => Self::Incompatible(key, storable(cut(text(rest)?))),
            b'B' => Self::Back(key, cut(text(rest)?)),
            b'T' => Self::ToWrite(key, to_write(rest)?),
            b'K' => Self::Kept(key),
            _ => Self::Undone(key),
        })
    }
}

fn output(bytes: &[u8]) -> Result<String, BadFrame> {
    if bytes.len() > MAX_OUTPUT {
        return Err(BadFrame("more output than a runner may report".into()));
    }
    text(bytes).map(storable)
}

fn cut(mut why: String) -> String {
    why.truncate(why.floor_char_boundary(MAX_WHY));
    why
}

// PostgreSQL refuses NUL in text, and recording what happened must not fail.
fn storable(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

fn successful(return_value: String) -> Result<Outcome, BadFrame> {
    // A database may parse it: what is not JSON would cost the whole batch it is written with.
    serde_json::from_str::<serde::de::IgnoredAny>(&return_value)
        .map_err(|error| BadFrame(format!("a result that is not JSON: {error}")))?;
    Ok(Outcome::Successful { return_value })
}

// Whether it calls itself cancelled is told apart: that counts only where someone asked.
fn failure(json: &[u8]) -> Result<(Outcome, bool), BadFrame> {
    #[derive(Deserialize)]
    struct Failure {
        reason: String,
        exception_class_path: String,
        traceback: String,
        #[serde(default)]
        classes: Vec<String>,
        #[serde(default)]
        advice: Option<Said>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Word(String),
        Wait { after: f64 },
    }
    let failure: Failure = parse_json(json)?;
    let reason = match failure.reason.as_str() {
        "error" | "cancelled" => Reason::Error,
        "bad result" => Reason::BadResult,
        "timeout" => Reason::Timeout,
        "memory" => Reason::Memory,
        other => return Err(BadFrame(format!("a failure for the unknown reason {other:?}"))),
    };
    let advice = match failure.advice {
        None => Advice::ByOptions,
        Some(Said::Word(word)) if word == "give up" => Advice::GiveUp,
        Some(Said::Word(word)) => return Err(BadFrame(format!("the unknown advice {word:?}"))),
        Some(Said::Wait { after }) => Advice::After(wait(after)?),
    };
    let names = failure.classes.iter().map(String::len).sum::<usize>();
    let length = failure.exception_class_path.len() + failure.traceback.len() + names;
    if length > MAX_FAILURE || failure.classes.len() > MAX_CLASSES {
        return Err(BadFrame("a failure longer than a runner may report".into()));
    }
    let outcome = Outcome::Failed {
        reason,
        exception_class_path: storable(failure.exception_class_path),
        traceback: storable(failure.traceback),
        classes: failure.classes,
        advice,
    };
    Ok((outcome, failure.reason == "cancelled"))
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
    let after = preconditions(&said.preconditions.unwrap_or_default())?;
    Ok(Outcome::Postponed { until, after, why: storable(cut(said.why.unwrap_or_default())) })
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
    Ok(Report { done: said.done, total: said.total, message: said.message.map(storable), metadata })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(kind: u8, rest: &[u8]) -> Result<FromRunner, BadFrame> {
        FromRunner::parse(kind, &[&[7; 24], rest].concat())
    }

    fn ended(kind: u8, rest: &str) -> Outcome {
        match parse(kind, rest.as_bytes()).unwrap() {
            FromRunner::Ended(_, outcome) | FromRunner::Cancelled(_, outcome) | FromRunner::ToWrite(_, outcome) => {
                outcome
            }
            other => panic!("{other:?}"),
        }
    }

    type Json = fn(&str) -> String;

    fn failed(more: &str) -> String {
        format!(r#"{{"reason": "error", "exception_class_path": "a.B", "traceback": "x"{more}}}"#)
    }

    #[test]
    fn a_result_that_is_not_json_is_a_bad_frame() {
        for lie in [&b"{"[..], b"", b"NaN", b"1 2", b"\"\x00\"", b"\xff"] {
            assert!(parse(b'D', lie).is_err(), "{lie:?}");
        }
        assert_eq!(ended(b'D', r#"{"a": [1]}"#), Outcome::Successful { return_value: r#"{"a": [1]}"#.into() });
    }

    #[test]
    fn nul_is_replaced_wherever_it_would_be_stored_as_text() {
        let Outcome::Failed { traceback, .. } =
            ended(b'F', r#"{"reason": "error", "exception_class_path": "a.B", "traceback": "x\u0000y"}"#)
        else {
            panic!("not a failure");
        };
        assert_eq!(traceback, "x\u{fffd}y");
        let FromRunner::Output(_, output) = parse(b'O', b"a\0b").unwrap() else { panic!("no output") };
        assert_eq!(output, "a\u{fffd}b");
        let FromRunner::Progress(_, report) = parse(b'G', br#"{"message": "a\u0000b"}"#).unwrap() else { panic!() };
        assert_eq!(report.message.as_deref(), Some("a\u{fffd}b"));
        let why = Outcome::Postponed { until: Until::Default, after: Vec::new(), why: "\u{fffd}".into() };
        assert_eq!(ended(b'P', r#"{"after": null, "until": null, "why": "\u0000"}"#), why);
    }

    #[test]
    fn a_failure_has_one_of_the_reasons_there_are() {
        for (word, reason) in [
            ("error", Reason::Error),
            ("bad result", Reason::BadResult),
            ("timeout", Reason::Timeout),
            ("memory", Reason::Memory),
            ("cancelled", Reason::Error),
        ] {
            let json = failed("").replace("\"error\"", &format!("{word:?}"));
            let Outcome::Failed { reason: read, .. } = ended(b'F', &json) else { panic!("not a failure") };
            assert_eq!(read, reason);
            let is_cancelled = matches!(parse(b'F', json.as_bytes()), Ok(FromRunner::Cancelled(..)));
            assert_eq!(is_cancelled, word == "cancelled");
        }
        assert!(parse(b'F', failed("").replace("error", "mood").as_bytes()).is_err());
    }

    #[test]
    fn advice_is_nothing_a_wait_or_to_give_up() {
        for (json, advice) in [
            ("", Advice::ByOptions),
            (r#", "advice": null"#, Advice::ByOptions),
            (r#", "advice": "give up""#, Advice::GiveUp),
            (r#", "advice": {"after": 2.5}"#, Advice::After(Duration::from_millis(2_500))),
            (r#", "advice": {"after": -1}"#, Advice::After(Duration::ZERO)),
        ] {
            let Outcome::Failed { advice: read, .. } = ended(b'F', &failed(json)) else { panic!("not a failure") };
            assert_eq!(read, advice, "{json}");
        }
        for lie in ["\"later\"", "{\"after\": 1e999}", "{\"after\": null}", "3", "{}"] {
            assert!(parse(b'F', failed(&format!(", \"advice\": {lie}")).as_bytes()).is_err(), "{lie}");
        }
    }

    #[test]
    fn a_postponed_job_waits_for_a_while_until_a_date_or_as_its_options_say() {
        let until = |json: &str| match ended(b'P', json) {
            Outcome::Postponed { until, .. } => until,
            other => panic!("{other:?}"),
        };
        assert_eq!(until(r#"{"after": null, "until": null, "why": ""}"#), Until::Default);
        assert_eq!(until(r#"{"after": 90, "until": null, "why": ""}"#), Until::After(Duration::from_secs(90)));
        let date = Until::At(Moment("2026-03-01 10:00:00.500000".into()));
        assert_eq!(until(r#"{"until": "2026-03-01T10:00:00.5"}"#), date);
        for lie in [
            r#"{"after": 1, "until": "2026-03-01 10:00:00"}"#,
            r#"{"until": "2026-03-01"}"#,
            r#"{"until": "2026-03-01 10:00:00+00:00"}"#,
            r#"{"until": "2026-13-01 10:00:00"}"#,
            r#"{"until": "0000-01-01 10:00:00"}"#,
            r#"{"until": "9999-12-32 10:00:00"}"#,
            r#"{"after": 1e999}"#,
        ] {
            assert!(parse(b'P', lie.as_bytes()).is_err(), "{lie}");
        }
    }

    #[test]
    fn a_postponed_job_names_the_jobs_that_it_waits_for_each_once() {
        let (one, two) = ("0198a7c4f0e87aa0b5d3000000000001", "0198a7c4f0e87aa0b5d3000000000002");
        let after = |kind: u8, json: &str| match ended(kind, json) {
            Outcome::Postponed { after, .. } => after.iter().map(ToString::to_string).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let said = format!(r#"{{"after": 90, "preconditions": [{two:?}, {one:?}, {two:?}]}}"#);
        assert_eq!(after(b'P', &said), [one, two]);
        assert_eq!(after(b'T', &said.replace('{', r#"{"kind": "P", "#)), [one, two]);
        for none in ["{}", r#"{"preconditions": null}"#, r#"{"preconditions": []}"#] {
            assert!(after(b'P', none).is_empty(), "{none}");
        }
        let dashed = "0198a7c4-f0e8-7aa0-b5d3-000000000001";
        for lie in [format!("[{dashed:?}]"), format!("[{one:?}, 7]"), "[\"\"]".into(), format!("{one:?}")] {
            assert!(parse(b'P', format!(r#"{{"preconditions": {lie}}}"#).as_bytes()).is_err(), "{lie}");
        }
    }

    #[test]
    fn an_end_to_write_is_a_result_or_a_postponement() {
        assert_eq!(ended(b'T', r#"{"kind": "D", "value": "[1]"}"#), Outcome::Successful { return_value: "[1]".into() });
        let postponed =
            Outcome::Postponed { until: Until::After(Duration::from_secs(3)), after: Vec::new(), why: "soon".into() };
        assert_eq!(ended(b'T', r#"{"kind": "P", "after": 3, "until": null, "why": "soon"}"#), postponed);
        for lie in [r#"{"kind": "D"}"#, r#"{"kind": "D", "value": "["}"#, r#"{"kind": "F"}"#, r#"{"value": "1"}"#] {
            assert!(parse(b'T', lie.as_bytes()).is_err(), "{lie}");
        }
    }

    #[test]
    fn progress_is_numbers_words_and_an_object() {
        let said = br#"{"done": 3, "total": 4.5, "message": "half", "metadata": {"page": [1, 2]}}"#;
        let report = Report {
            done: Some(3.0),
            total: Some(4.5),
            message: Some("half".into()),
            metadata: Some(r#"{"page": [1, 2]}"#.into()),
        };
        let FromRunner::Progress(_, read) = parse(b'G', said).unwrap() else { panic!("no progress") };
        assert_eq!(read, report);
        let nothing = Report { done: None, total: None, message: None, metadata: None };
        let said = br#"{"done": null, "total": null, "message": null, "metadata": null}"#;
        let FromRunner::Progress(_, read) = parse(b'G', said).unwrap() else { panic!("no progress") };
        assert_eq!(read, nothing);
        for lie in [r#"{"metadata": [1]}"#, r#"{"metadata": "{}"}"#, r#"{"done": 1e999}"#, r#"{"done": "1"}"#] {
            assert!(parse(b'G', lie.as_bytes()).is_err(), "{lie}");
        }
    }

    #[test]
    fn what_is_longer_than_a_runner_may_say_is_a_bad_frame() {
        let long = |length: usize| "x".repeat(length);
        let most: [(u8, usize, Json); 3] = [
            (b'O', MAX_OUTPUT, str::to_owned),
            (b'G', MAX_REPORT, |message| format!(r#"{{"message": {message:?}}}"#)),
            (b'G', MAX_REPORT - 9, |text| format!(r#"{{"metadata": {{"a": {text:?}}}}}"#)),
        ];
        for (kind, length, json) in most {
            assert!(parse(kind, json(&long(length)).as_bytes()).is_ok(), "{}", char::from(kind));
            assert!(parse(kind, json(&long(length + 1)).as_bytes()).is_err(), "{}", char::from(kind));
        }
        let classes = |count: usize| failed(&format!(", \"classes\": {:?}", vec!["a.B"; count]));
        assert!(parse(b'F', classes(MAX_CLASSES).as_bytes()).is_ok());
        assert!(parse(b'F', classes(MAX_CLASSES + 1).as_bytes()).is_err());
        let waits = |count: usize| format!("{{\"preconditions\": {:?}}}", vec!["0".repeat(32); count]);
        assert!(parse(b'P', waits(MAX_PRECONDITIONS).as_bytes()).is_ok());
        assert!(parse(b'P', waits(MAX_PRECONDITIONS + 1).as_bytes()).is_err());
        let names = failed(&format!(", \"classes\": [{:?}]", long(MAX_FAILURE)));
        assert!(parse(b'F', names.as_bytes()).is_err());
    }

    #[test]
    fn of_a_long_reason_the_beginning_is_kept() {
        let long = format!("x{}", "é".repeat(MAX_WHY));
        let FromRunner::Incompatible(_, why) = parse(b'I', long.as_bytes()).unwrap() else { panic!("it fits") };
        assert_eq!(why, long[..MAX_WHY - 1]);
        let FromRunner::Back(_, why) = parse(b'B', long.as_bytes()).unwrap() else { panic!("it is kept") };
        assert_eq!(why, long[..MAX_WHY - 1]);
        let Outcome::Postponed { why, .. } = ended(b'P', &format!(r#"{{"why": {long:?}}}"#)) else { panic!("it ends") };
        assert_eq!(why, long[..MAX_WHY - 1]);
    }

    proptest! {
        #[test]
        fn no_date_makes_parsing_panic(date in "[0-9T :.-]{0,28}", year in "[0-9]{4}", rest in "[0-9]{2}") {
            drop(moment(&date));
            drop(moment(&format!("{year}-{rest}-{rest} {rest}:{rest}:{rest}.{rest}")));
        }
    }
}
