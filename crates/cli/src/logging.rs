//! What a worker says on standard error: lines for people, or JSON for machines.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Sets it up for the whole process. Verbosity as in Django: 0 problems only, 1 what happens, 2 each job, 3 all.
pub(crate) fn start(json: bool, verbosity: u8) {
    let level = match verbosity {
        0 => Level::WARN,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    };
    // The runners tell Django's own log of each job's start and end; saying it twice costs more than the job's turn.
    let jobs = if verbosity < 2 { Level::WARN } else { level };
    let ours =
        Targets::new().with_target("gristmill", level).with_target("gristmill::job", jobs).with_default(Level::WARN);
    let layer = fmt::layer().with_writer(std::io::stderr);
    let layer = if json {
        layer.json().flatten_event(true).boxed()
    } else {
        layer.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    // Refused only when a subscriber is set already, and then that one speaks.
    let _ = tracing_subscriber::registry().with(layer.with_filter(ours)).try_init();
}
