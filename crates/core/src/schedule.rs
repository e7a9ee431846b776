//! When a schedule ticks. A tick is a schedule and its nominal instant; timing is never its identity, so that any
//! number of workers that look at any time mean the same ticks.
//!
//! Instants are microseconds since 1970-01-01 00:00 UTC ([`crate::Moment::unix_micros`]); nominal ones are whole
//! seconds for cron, and multiples of the interval for [`Schedule::every`]. `docs/reference/cron.md` has the dialect.

mod cron;
mod days;
mod definition;
mod describe;
mod error;
mod field;
mod jitter;
mod look;
mod plan;
mod walk;
mod zone;

use std::time::Duration;

pub use cron::Cron;
pub use definition::{Announced, Announcement, Definition, JobTemplate};
pub use error::Error;
pub use field::Unit;
pub use jitter::jitter;
pub use look::{Look, Standing};
pub use plan::{CatchUp, Fate, Found, LATE, Overlap, Policy, Skipped, Tick, high_water, on_creation, plan};
pub use zone::{Data, Zone};

/// Microseconds since 1970-01-01 00:00 UTC.
pub type Micros = i64;

const SECOND: Micros = 1_000_000;

/// When something runs, and by whose clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    rule: Rule,
    zone: Zone,
}

/// When something runs, as local time knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// At the local times that an expression names.
    Cron(Box<Cron>),
    /// At each multiple of a whole number of microseconds since 1970-01-01 00:00 UTC: workers need not agree on when
    /// they began to count, and no change of a clock moves it.
    Every(Duration),
    /// Only by hand.
    Manual,
}

impl Schedule {
    /// From a cron expression, or `manual`, by the clocks of a zone.
    pub fn cron(text: &str, zone: Zone) -> Result<Self, Error> {
        if text.trim().eq_ignore_ascii_case("manual") {
            return Ok(Self { rule: Rule::Manual, zone });
        }
        Ok(Self { rule: Rule::Cron(Box::new(Cron::parse(text)?)), zone })
    }

    /// At a steady interval of 1 second to 366 days.
    pub fn every(period: Duration) -> Result<Self, Error> {
        let whole = Duration::from_micros(u64::try_from(period.as_micros()).unwrap_or(u64::MAX));
        let bounds = Duration::from_secs(1)..=Duration::from_hours(366 * 24);
        if whole != period || !bounds.contains(&period) {
            return Err(Error::Period(period));
        }
        Ok(Self { rule: Rule::Every(period), zone: Zone::utc() })
    }

    /// When it runs, as local time knows it.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// By whose clock.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The first nominal instant after `instant`. `None` when it runs by hand only, or when 50 years show none (the
    /// rarest expression that there is runs within 40; what can never run is no schedule).
    pub fn next_after(&self, instant: Micros) -> Option<Micros> {
        match &self.rule {
            Rule::Manual => None,
            Rule::Every(period) => {
                let period = micros(*period);
                instant.div_euclid(period).checked_add(1)?.checked_mul(period)
            }
            Rule::Cron(cron) => {
                let from = instant.div_euclid(SECOND) + 1;
                walk::first_at_or_after(cron, &self.zone, from)?.checked_mul(SECOND)
            }
        }
    }

    /// The last nominal instant before `instant`, in the same bounds.
    pub fn prev_before(&self, instant: Micros) -> Option<Micros> {
        let until = instant.checked_sub(1)?;
        match &self.rule {
            Rule::Manual => None,
            Rule::Every(period) => {
                let period = micros(*period);
                until.div_euclid(period).checked_mul(period)
            }
            Rule::Cron(cron) => {
                walk::last_at_or_before(cron, &self.zone, until.div_euclid(SECOND))?.checked_mul(SECOND)
            }
        }
    }

    /// The nominal instants after `instant`, in order. Endless for most schedules: take what is needed.
    pub fn upcoming(&self, instant: Micros) -> impl Iterator<Item = Micros> + '_ {
        std::iter::successors(self.next_after(instant), |nominal| self.next_after(*nominal))
    }

    /// The nominal instants before `instant`, newest first.
    pub fn past(&self, instant: Micros) -> impl Iterator<Item = Micros> + '_ {
        std::iter::successors(self.prev_before(instant), |nominal| self.prev_before(*nominal))
    }
}

fn micros(period: Duration) -> Micros {
    Micros::try_from(period.as_micros()).unwrap_or(Micros::MAX)
}

#[cfg(test)]
mod tests;
