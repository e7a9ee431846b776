//! From local times to instants: what a cron expression means where a zone's clocks are set.
//!
//! A zone's history is a row of stretches in which its clocks run on undisturbed. Within one, local times and
//! instants go hand in hand; all that needs a rule is where two stretches meet.
//!
//! - **Clocks set forward**: local times are missing. Where an expression names any of them, it runs once, at the first
//!   instant after the gap. An expression that runs in every hour (`15 * * * *`) does not: its next hour's run is as
//!   near to the one before as ever, and a run in between would be one too many.
//! - **Clocks set back**: local times come twice. A fixed time of day runs the first time only; an interval, an
//!   expression with an asterisk or a step in minute or hour, runs each time, else it would be silent for an hour.
//!
//! So a fixed time runs exactly once, at the first instant at which the local clock shows it or has passed it. Vixie
//! cron does as much for changes of less than three hours (its larger ones are corrections of a clock, which no rule of
//! a zone is), with two differences in the gap: it runs a job for each missing time at once, where this runs it once,
//! and it lets intervals of chosen hours (`*/10 2 * * *`) lose all runs of that day. Every instant that comes out is
//! greater than the one before.

use super::cron::{Cron, YEARS};
use super::zone::{Stretch, Zone};

const HORIZON: i64 = YEARS * 366 * 86_400;

/// The first second of Unix time at or after `from` at which the expression runs.
pub(super) fn first_at_or_after(cron: &Cron, zone: &Zone, from: i64) -> Option<i64> {
    let horizon = from.checked_add(HORIZON)?;
    let mut at = from;
    loop {
        let stretch = zone.stretch(at)?;
        if stretch.start == at && makes_up(cron, &stretch) {
            return Some(at);
        }
        let end = stretch.end.unwrap_or(i64::MAX).min(horizon);
        let local = (at + stretch.offset).max(first_local(cron, &stretch));
        if let Some(found) = cron.first_at_or_after(local, end + stretch.offset) {
            return Some(found - stretch.offset);
        }
        if end == horizon {
            return None;
        }
        at = end;
    }
}

/// The last second of Unix time at or before `until` at which the expression runs.
pub(super) fn last_at_or_before(cron: &Cron, zone: &Zone, until: i64) -> Option<i64> {
    let horizon = until.checked_sub(HORIZON)?;
    let mut at = until;
    loop {
        let stretch = zone.stretch(at)?;
        let start = stretch.start.max(horizon);
        let first = (start + stretch.offset).max(first_local(cron, &stretch));
        if let Some(found) = cron.last_at_or_before(at + stretch.offset, first) {
            return Some(found - stretch.offset);
        }
        if start == horizon {
            return None;
        }
        if makes_up(cron, &stretch) {
            return Some(start);
        }
        at = start - 1;
    }
}

/// Whether the stretch begins with a run for local times that were left out.
fn makes_up(cron: &Cron, stretch: &Stretch) -> bool {
    let shown = stretch.start + stretch.offset;
    stretch.reached < shown && !cron.is_hourly() && cron.first_at_or_after(stretch.reached, shown).is_some()
}

/// The first local time of a stretch that counts: for fixed times those that were shown before do not.
fn first_local(cron: &Cron, stretch: &Stretch) -> i64 {
    if cron.is_fixed() { stretch.reached } else { i64::MIN }
}

#[cfg(test)]
mod tests;
