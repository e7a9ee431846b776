//! `gristmill cron`: answers questions about schedules, a JSON object a line on standard input, its answer a line on
//! standard output. Python asks it what the engine would say; `tests/cron` holds it against croniter.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use gristmill_core::schedule::{Data, Schedule, Zone};
use serde::{Deserialize, Serialize};

const MICROS: f64 = 1e6;
/// Ticks that one question may ask for.
const MOST: usize = 10_000;

#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// Print which time zone data is in use, and answer nothing.
    #[arg(long)]
    data: bool,
}

const EXAMPLE: &str = r#"A question is a JSON object on a line of standard input, its answer one on a line of standard output:

  {"cron": "30 2 * * *", "zone": "Europe/Berlin", "after": 1774746000, "count": 2}
  {"describe":"at 02:30 every day, Europe/Berlin","next":[1774830600,1774917000],"previous":[]}

"every" (seconds) may stand in place of "cron". "after" asks for the ticks after an instant, "before" for those before
one; instants are seconds since 1970-01-01 00:00 UTC. "zone" is UTC and "count" 1 where they are left out. What is no
schedule is answered with {"error": "…"}."#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    cron: Option<String>,
    every: Option<f64>,
    zone: Option<String>,
    after: Option<f64>,
    before: Option<f64>,
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Error(String),
    #[serde(untagged)]
    Ticks {
        describe: String,
        next: Vec<Second>,
        previous: Vec<Second>,
    },
}

/// Of Unix time; whole ones, which nearly all are, without a fraction.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Second {
    Whole(i64),
    Part(f64),
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    if arguments.data {
        println!("{}; {}", Data::System, Data::Bundled);
        return Ok(ExitCode::SUCCESS);
    }
    converse(io::stdin().lock(), io::stdout().lock()).map_err(|error| format!("cannot go on: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Each answer leaves before the next question is waited for, so that a conversation may last.
fn converse(questions: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    for line in questions.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let text = serde_json::to_string(&answer_line(&line))? + "\n";
        answers.write_all(text.as_bytes())?;
        answers.flush()?;
    }
    Ok(())
}

fn answer_line(line: &str) -> Answer {
    match serde_json::from_str(line) {
        Ok(question) => answer(&question),
        Err(error) => Answer::Error(format!(r#"a question is {{"cron", "zone", "after", "count"}}: {error}"#)),
    }
}

fn answer(question: &Question) -> Answer {
    let schedule = match schedule(question) {
        Ok(schedule) => schedule,
        Err(why) => return Answer::Error(why),
    };
    let count = question.count.min(MOST);
    let next = question.after.map(|after| schedule.upcoming(micros(after)).take(count).map(second).collect());
    let previous = question.before.map(|before| schedule.past(micros(before)).take(count).map(second).collect());
    Answer::Ticks {
        describe: schedule.describe(),
        next: next.unwrap_or_default(),
        previous: previous.unwrap_or_default(),
    }
}

fn schedule(question: &Question) -> Result<Schedule, String> {
    let made = match (&question.cron, question.every) {
        (Some(cron), None) => {
            Zone::named(question.zone.as_deref().unwrap_or("UTC")).and_then(|zone| Schedule::cron(cron, zone))
        }
        (None, Some(seconds)) => {
            let period = Duration::try_from_secs_f64(seconds).map_err(|error| format!("every {seconds}: {error}"))?;
            // What is given as a binary fraction means the microsecond next to it.
            let micros = u64::try_from((period.as_nanos() + 500) / 1_000).unwrap_or(u64::MAX);
            Schedule::every(Duration::from_micros(micros))
        }
        _ => return Err(r#"a schedule has either "cron" or "every""#.into()),
    };
    made.map_err(|error| error.to_string())
}

#[expect(clippy::cast_possible_truncation, reason = "instants of this era are far from the bounds")]
fn micros(seconds: f64) -> i64 {
    (seconds * MICROS).round() as i64
}

#[expect(clippy::cast_precision_loss, reason = "instants of this era are far from the bounds")]
fn second(micros: i64) -> Second {
    if micros % 1_000_000 == 0 { Second::Whole(micros / 1_000_000) } else { Second::Part(micros as f64 / MICROS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(questions: &str) -> Vec<String> {
        let mut answers = Vec::new();
        converse(questions.as_bytes(), &mut answers).expect("a vector takes all");
        String::from_utf8(answers).expect("JSON").lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_is_answered_with_a_line_also_after_one_that_is_no_question() {
        let answers = asked(
            "{\"cron\": \"30 2 * * *\", \"zone\": \"Europe/Berlin\", \"after\": 1774746000, \"count\": 2}\nnonsense\n\
             {\"cron\": \"0 0 * * *\", \"before\": 86401}\n",
        );
        let first = r#"{"describe":"at 02:30 every day, Europe/Berlin","next":[1774830600,1774917000],"previous":[]}"#;
        assert_eq!(answers[0], first);
        assert!(answers[1].starts_with(r#"{"error":"a question is "#), "{}", answers[1]);
        assert!(answers[2].ends_with(r#""next":[],"previous":[86400]}"#), "{}", answers[2]);
    }

    #[test]
    fn intervals_are_answered_too_and_keep_their_fractions() {
        let answers = asked("{\"every\": 1.1, \"after\": 0, \"count\": 3}\n{\"every\": 30, \"after\": 31.5}");
        assert!(answers[0].contains(r#""next":[1.1,2.2,3.3]"#), "{}", answers[0]);
        assert!(answers[1].contains(r#""next":[60]"#), "{}", answers[1]);
    }

    #[test]
    fn what_is_no_schedule_is_answered_with_a_sentence() {
        for question in [
            r#"{"cron": "75 * * * *"}"#,
            r#"{"cron": "* * * * *", "zone": "Mars/Base"}"#,
            r#"{"every": 0.5}"#,
            r#"{"every": -1}"#,
            r#"{"cron": "* * * * *", "every": 5}"#,
            "{}",
        ] {
            assert!(asked(question)[0].starts_with(r#"{"error":""#), "{question}");
        }
    }
}
