//! Answers questions about cron expressions: a JSON object a line on stdin, its answer a line on stdout.
//!
//! ```sh
//! echo '{"cron": "30 2 * * *", "zone": "Europe/Berlin", "after": 1774746000}' | cargo run --example cron
//! {"describe":"at 02:30 every day, Europe/Berlin","next":[1774830600]}
//! ```
//!
//! `after` (or `before`, for the ticks before it) and the answers are seconds since 1970-01-01 00:00 UTC; `count` asks
//! for more than one. What is no schedule is answered with `error`. `--data` says which time zone data is in use.

use std::error::Error;
use std::io::{self, BufRead, Write};

use gristmill_core::schedule::{Data, Schedule, Zone};
use serde::{Deserialize, Serialize};

const MICROS: i64 = 1_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    cron: String,
    zone: String,
    after: Option<f64>,
    before: Option<f64>,
    #[serde(default = "one")]
    count: usize,
}

fn one() -> usize {
    1
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Error(String),
    #[serde(untagged)]
    Ticks {
        describe: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        next: Vec<i64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        previous: Vec<i64>,
    },
}

fn answer(question: &Question) -> Answer {
    let schedule = Zone::named(&question.zone).and_then(|zone| Schedule::cron(&question.cron, zone));
    match schedule {
        Err(error) => Answer::Error(error.to_string()),
        Ok(schedule) => {
            let seconds = |ticks: &mut dyn Iterator<Item = i64>| ticks.map(|tick| tick / MICROS).collect();
            let next = question.after.map(|after| seconds(&mut schedule.upcoming(micros(after)).take(question.count)));
            let previous =
                question.before.map(|before| seconds(&mut schedule.past(micros(before)).take(question.count)));
            Answer::Ticks {
                describe: schedule.describe(),
                next: next.unwrap_or_default(),
                previous: previous.unwrap_or_default(),
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "instants of this era are far from the bounds")]
fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some("--data") {
        println!("{}; {}", Data::System, Data::Bundled);
        return Ok(());
    }
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?) {
            Ok(question) => answer(&question),
            Err(error) => Answer::Error(format!("a question is {{\"cron\", \"zone\", \"after\"}}: {error}")),
        };
        serde_json::to_writer(&mut stdout, &answer)?;
        stdout.write_all(b"\n")?;
    }
    Ok(stdout.flush()?)
}
