//! What a runner may say, and what is more or less than that.

use proptest::prelude::*;

use super::*;

fn parse(kind: u8, rest: &[u8]) -> Result<FromRunner, BadFrame> {
    FromRunner::parse(kind, &[&[7; 24], rest].concat())
}

fn ended(kind: u8, rest: &str) -> Outcome {
    match parse(kind, rest.as_bytes()).unwrap() {
        FromRunner::Ended(_, outcome) | FromRunner::Cancelled(_, outcome) | FromRunner::ToWrite(_, outcome) => outcome,
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
fn text_with_a_nul_is_taken_as_it_was_said_and_left_to_who_stores_it() {
    let Outcome::Failed { traceback, .. } =
        ended(b'F', r#"{"reason": "error", "exception_class_path": "a.B", "traceback": "x\u0000y"}"#)
    else {
        panic!("not a failure");
    };
    assert_eq!(traceback, "x\0y");
    let FromRunner::Output(_, output) = parse(b'O', b"a\0b").unwrap() else { panic!("no output") };
    assert_eq!(output, "a\0b");
    let FromRunner::Progress(_, report) = parse(b'G', br#"{"message": "a\u0000b"}"#).unwrap() else { panic!() };
    assert_eq!(report.message.as_deref(), Some("a\0b"));
    let why = Outcome::Postponed { until: Until::Default, after: None, why: "\0".into() };
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
        Outcome::Postponed { after, .. } => after.iter().flatten().map(ToString::to_string).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let said = format!(r#"{{"after": 90, "preconditions": [{two:?}, {one:?}, {two:?}]}}"#);
    assert_eq!(after(b'P', &said), [one, two]);
    assert_eq!(after(b'T', &said.replace('{', r#"{"kind": "P", "#)), [one, two]);
    for (said, waits) in [("{}", false), (r#"{"preconditions": null}"#, false), (r#"{"preconditions": []}"#, true)] {
        let Outcome::Postponed { after, .. } = ended(b'P', said) else { panic!("{said}") };
        assert_eq!(after, waits.then(Vec::new), "{said}");
    }
    let dashed = "0198a7c4-f0e8-7aa0-b5d3-000000000001";
    for lie in [format!("[{dashed:?}]"), format!("[{one:?}, 7]"), "[\"\"]".into(), format!("{one:?}")] {
        assert!(parse(b'P', format!(r#"{{"preconditions": {lie}}}"#).as_bytes()).is_err(), "{lie}");
    }
}

#[test]
fn an_end_to_write_is_a_result_or_a_postponement() {
    assert_eq!(ended(b'T', r#"{"kind": "D", "value": "[1]"}"#), Outcome::Successful { return_value: "[1]".into() });
    let postponed = Outcome::Postponed { until: Until::After(Duration::from_secs(3)), after: None, why: "soon".into() };
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

#[test]
fn a_start_may_say_that_something_comes_before_the_handler() {
    let at = 7_u64.to_le_bytes();
    assert!(matches!(parse(b'S', &at), Ok(FromRunner::Started(_, 7))));
    assert!(matches!(parse(b'S', &[&at[..], b"~"].concat()), Ok(FromRunner::Preparing(_, 7))));
    for lie in [&at[1..], &[&at[..], b"~~"].concat(), &[&at[..], b"?"].concat()] {
        assert!(parse(b'S', lie).is_err(), "{lie:?}");
    }
}

#[test]
fn what_lingers_asks_or_does_not() {
    assert!(matches!(parse(b'A', b""), Ok(FromRunner::Lingers(_, false))));
    assert!(matches!(parse(b'A', b"?"), Ok(FromRunner::Lingers(_, true))));
    assert!(parse(b'A', b"??").is_err());
    assert!(matches!(parse(b'N', b""), Ok(FromRunner::Rested(_))));
}

#[test]
fn a_failure_whose_advice_is_asked_is_by_its_options_until_that_comes() {
    let said = failed(r#", "advice": "asked""#);
    let Ok(FromRunner::Asking(_, Outcome::Failed { advice, .. })) = parse(b'F', said.as_bytes()) else {
        panic!("it asks")
    };
    assert_eq!(advice, Advice::ByOptions);
}
