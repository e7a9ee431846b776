//! What a worker says on standard error: lines for people, or JSON for machines.
//!
//! A line is `moment level message key=value …`, and a traceback stands below it. The Python side writes the same, with
//! the same keys: `python/gristmill/worker/logs.py`.

use std::fmt::{Debug, Write as _};
use std::io::IsTerminal;

use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Sets it up for the whole process. Verbosity as in Django: 0 errors only, 1 what happens, 2 each job, 3 all.
pub(crate) fn start(json: bool, verbosity: u8, log_jobs: bool) {
    let level = match verbosity {
        0 => Level::ERROR,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    };
    // The runners tell Django's own log of each job's start and end; saying it twice costs more than the job's turn.
    let jobs = match verbosity {
        0 => Level::ERROR,
        1 if !log_jobs => Level::WARN,
        _ => level,
    };
    let others = level.min(Level::WARN);
    let ours = Targets::new().with_target("gristmill", level).with_target("gristmill::job", jobs).with_default(others);
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = if json {
        layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        layer.with_ansi(std::io::stderr().is_terminal()).fmt_fields(Plain).boxed()
    };
    // Refused only when a subscriber is set already, and then that one speaks.
    let _ = tracing_subscriber::registry().with(layer.with_filter(ours)).try_init();
}

/// A worker's last word where it cannot work: for people as every command says it, else as all else that is logged.
pub(crate) fn refuse(json: bool, sentence: &str) {
    if json {
        tracing::error!(target: "gristmill", "{sentence}");
    } else {
        eprintln!("gristmill: {sentence}");
    }
}

/// The fields of a line as people read them: the message, `key=value …`, and below the line a traceback.
struct Plain;

impl<'writer> FormatFields<'writer> for Plain {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> std::fmt::Result {
        let mut line = Line::default();
        fields.record(&mut line);
        writer.write_str(&line.text)?;
        line.below.map_or(Ok(()), |below| write!(writer, "\n{}", below.trim_end()))
    }
}

#[derive(Default)]
struct Line {
    text: String,
    below: Option<String>,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "traceback" => self.below = Some(value),
            "message" => self.text.insert_str(0, &value),
            name => {
                let _ = write!(self.text, " {name}={value}");
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" | "traceback" => self.record_debug(field, &format_args!("{value}")),
            _ if value.contains(|letter: char| letter.is_whitespace() || letter.is_control()) || value.is_empty() => {
                self.record_debug(field, &value);
            }
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }
}
