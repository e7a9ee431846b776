//! What someone finds who looks at a stored schedule: the ticks to settle, and when to look again.

use super::{Definition, Error, Fate, Found, Micros, Overlap, Skipped, Tick, high_water, on_creation, plan};

/// How a schedule stands when someone looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// When it was made.
    pub created_at: Micros,
    /// Ticks up to and including this instant are settled; `None`: nobody has looked at it before.
    pub high_water: Option<Micros>,
    /// The database's clock.
    pub now: Micros,
    /// A job of an earlier tick has not ended.
    pub busy: bool,
}

/// What is to be written down, all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The ticks that are settled, oldest first.
    pub ticks: Vec<Tick>,
    /// Ticks up to and including this instant are settled then.
    pub high_water: Micros,
    /// The nominal instant that is due next; `None` when there is none.
    pub next_at: Option<Micros>,
}

impl Definition {
    /// Settles what has come due. A first look goes back to when the schedule was made, however late it comes; an error
    /// says what is wrong with the definition.
    pub fn look(&self, standing: Standing) -> Result<Look, Error> {
        let (schedule, policy) = (self.schedule()?, self.policy());
        let begins = self.run_on_creation && standing.high_water.is_none();
        let first = begins.then(|| on_creation(&schedule, standing.created_at)).flatten();
        let mut ticks = Vec::from_iter(first);
        if standing.busy && policy.overlap == Overlap::Skip {
            for tick in &mut ticks {
                tick.fate = Fate::Skip(Skipped::Overlapping);
            }
        }
        // A tick of the very instant at which it was made is not lost.
        let mark = standing.high_water.unwrap_or(standing.created_at.saturating_sub(1));
        let busy = standing.busy || !ticks.is_empty();
        ticks.extend(plan(&schedule, &policy, Found { high_water: mark, now: standing.now, busy }));
        let high_water = high_water(mark, &ticks);
        Ok(Look { next_at: schedule.next_after(standing.now.max(high_water)), ticks, high_water })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::CatchUp;

    const HOUR: Micros = 3_600_000_000;

    fn hourly() -> Definition {
        Definition { every: Some(3_600.0), ..Definition::default() }
    }

    fn made_at(created_at: Micros, now: Micros) -> Standing {
        Standing { created_at, high_water: None, now, busy: false }
    }

    fn run(nominal: Micros) -> Tick {
        Tick { nominal, fate: Fate::Run }
    }

    #[test]
    fn a_first_look_goes_back_to_when_the_schedule_was_made() {
        let look = hourly().look(made_at(10 * HOUR, 10 * HOUR + 5)).expect("is a schedule");
        assert_eq!(look, Look { ticks: vec![run(10 * HOUR)], high_water: 10 * HOUR, next_at: Some(11 * HOUR) });

        let look = hourly().look(made_at(10 * HOUR + 1, 10 * HOUR + 5)).expect("is a schedule");
        assert_eq!(look, Look { ticks: vec![], high_water: 10 * HOUR, next_at: Some(11 * HOUR) });
    }

    #[test]
    fn what_runs_on_creation_begins_with_the_tick_before_it_was_made() {
        let begins = Definition { run_on_creation: true, catch_up: CatchUp::All, ..hourly() };
        let look = begins.look(made_at(10 * HOUR, 11 * HOUR)).expect("is a schedule");
        assert_eq!(look.ticks, [run(9 * HOUR), run(10 * HOUR), run(11 * HOUR)]);

        let known = Standing { high_water: Some(9 * HOUR), ..made_at(10 * HOUR, 11 * HOUR) };
        assert_eq!(begins.look(known).expect("is a schedule").ticks, [run(10 * HOUR), run(11 * HOUR)]);
    }

    #[test]
    fn what_must_not_overlap_does_not_overlap_the_tick_it_begins_with() {
        let begins = Definition { run_on_creation: true, overlap: Overlap::Skip, ..hourly() };
        let look = begins.look(made_at(10 * HOUR, 10 * HOUR)).expect("is a schedule");
        let overlapping = |nominal| Tick { nominal, fate: Fate::Skip(Skipped::Overlapping) };
        assert_eq!(look.ticks, [run(9 * HOUR), overlapping(10 * HOUR)]);

        let busy = Standing { busy: true, ..made_at(10 * HOUR, 10 * HOUR) };
        let look = begins.look(busy).expect("is a schedule");
        assert_eq!(look.ticks, [overlapping(9 * HOUR), overlapping(10 * HOUR)]);
    }

    #[test]
    fn a_clock_that_went_back_settles_nothing_and_moves_no_mark() {
        let known = Standing { high_water: Some(20 * HOUR), ..made_at(0, 10 * HOUR) };
        let look = hourly().look(known).expect("is a schedule");
        assert_eq!(look, Look { ticks: vec![], high_water: 20 * HOUR, next_at: Some(21 * HOUR) });
    }

    #[test]
    fn a_schedule_by_hand_is_never_due() {
        let by_hand = Definition { cron: Some("manual".into()), run_on_creation: true, ..Definition::default() };
        let look = by_hand.look(made_at(10 * HOUR, 11 * HOUR)).expect("is a schedule");
        assert_eq!((look.ticks, look.next_at), (vec![], None));
    }
}
