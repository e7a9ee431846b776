//! What to do about the ticks between the high-water mark and now: normally one that has just come, after an outage
//! perhaps thousands.
//!
//! The plan lists every tick it settles, those that run and those that do not, with the reason; what is written down is
//! the caller's, in one transaction with the jobs, and (schedule, nominal instant) is unique there. The list is
//! bounded: where ticks lie beyond the window or the cap, the newest of them stands for itself and all before it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Micros, Schedule, micros};

/// A tick found later than this after its nominal instant was missed; what is found sooner is on time.
pub const LATE: Duration = Duration::from_mins(1);

/// What becomes of ticks that nobody was there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// One run, for the newest of them: what came before it is superseded.
    #[default]
    Latest,
    /// A run for each, within window and cap.
    All,
    /// No run for a tick that was missed.
    None,
}

/// Whether a tick may run while the job of an earlier one has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// The next job may run beside the one before it.
    #[default]
    Allow,
    /// The tick is left out.
    Skip,
}

/// How a schedule wants its ticks settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of missed ticks.
    pub catch_up: CatchUp,
    /// How old a missed tick may be and still be listed by itself. `Latest` runs the newest whatever its age: a
    /// monthly report is late after three days, not pointless. At least [`LATE`] is taken.
    pub window: Duration,
    /// How many ticks are listed by themselves, the newest; at least one. Two weeks of a tick every five seconds would
    /// be a quarter of a million jobs at once; users of River have met that flood.
    pub cap: usize,
    /// What becomes of a tick while an earlier one's job has not ended.
    pub overlap: Overlap,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            catch_up: CatchUp::default(),
            window: Duration::from_hours(7 * 24),
            cap: 100,
            overlap: Overlap::default(),
        }
    }
}

/// What is found when someone looks at a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Ticks up to and including this instant are settled. It never goes back.
    pub high_water: Micros,
    /// The database's clock.
    pub now: Micros,
    /// A job of an earlier tick has not ended.
    pub busy: bool,
}

/// One nominal instant of a schedule, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Which one: the instant that the schedule names, however late it was found.
    pub nominal: Micros,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The tick's job is enqueued.
    Run,
    /// The tick is recorded without a job.
    Skip(Skipped),
}

/// Why a tick has no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// A newer one ran in its place.
    Superseded,
    /// The tick was found late, and the schedule does not catch up.
    Late,
    /// The tick and all before it were older than the window.
    BeyondWindow,
    /// The tick and all before it were more than the cap.
    BeyondCap,
    /// The job of an earlier tick had not ended.
    Overlapping,
}

impl Skipped {
    /// The word stored in the database and shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Late => "late",
            Self::BeyondWindow => "beyond window",
            Self::BeyondCap => "beyond cap",
            Self::Overlapping => "overlapping",
        }
    }
}

/// Settles the ticks after the high-water mark, up to and including now; oldest first. Pure: the same question has one
/// answer. Nothing when the clock stands before the mark, so a clock that went back repeats no tick. At most the cap and
/// one more are listed, and no more are looked for.
pub fn plan(schedule: &Schedule, policy: &Policy, found: Found) -> Vec<Tick> {
    let window = micros(policy.window.max(LATE));
    let due = schedule.past(found.now.saturating_add(1)).take_while(|nominal| *nominal > found.high_water);
    let mut ticks = Vec::new();
    for nominal in due {
        let age = found.now.saturating_sub(nominal);
        let newest = ticks.is_empty();
        let fate = match policy.catch_up {
            CatchUp::Latest if newest => Fate::Run,
            _ if ticks.len() >= policy.cap.max(1) => Fate::Skip(Skipped::BeyondCap),
            _ if age > window => Fate::Skip(Skipped::BeyondWindow),
            CatchUp::Latest => Fate::Skip(Skipped::Superseded),
            CatchUp::None if age > micros(LATE) => Fate::Skip(Skipped::Late),
            CatchUp::All | CatchUp::None => Fate::Run,
        };
        ticks.push(Tick { nominal, fate });
        if matches!(fate, Fate::Skip(Skipped::BeyondCap | Skipped::BeyondWindow)) {
            break;
        }
    }
    ticks.reverse();
    if policy.overlap == Overlap::Skip {
        leave_out_overlapping(&mut ticks, found.busy);
    }
    ticks
}

/// Each job that is enqueued has not ended when the next tick of the plan comes.
fn leave_out_overlapping(ticks: &mut [Tick], mut busy: bool) {
    for tick in ticks.iter_mut().filter(|tick| tick.fate == Fate::Run) {
        if busy {
            tick.fate = Fate::Skip(Skipped::Overlapping);
        }
        busy = true;
    }
}

/// The tick that a new schedule with `run_on_creation` begins with: the one strictly before now.
pub fn on_creation(schedule: &Schedule, now: Micros) -> Option<Tick> {
    let nominal = schedule.prev_before(now)?;
    Some(Tick { nominal, fate: Fate::Run })
}

/// The mark once a plan is settled: its newest tick, or where it stood. A new schedule's mark is that of
/// [`on_creation`], else a microsecond before now, so that a tick of this very instant is not lost.
pub fn high_water(before: Micros, settled: &[Tick]) -> Micros {
    settled.iter().map(|tick| tick.nominal).fold(before, Micros::max)
}

#[cfg(test)]
mod tests;
