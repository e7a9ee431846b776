//! What goes wrong in the simulated world.

use crate::Stage;

use super::connection::Weather;
use super::schedules;
use super::world::World;

impl World {
    /// Now and then something does.
    pub(super) fn go_wrong(&mut self) {
        let n = self.rng.usize(..self.fleet.len());
        match self.rng.u32(0..1000) {
            0..6 => {
                self.pause(n);
            }
            6..10 => {
                self.tally.supervisor_crashes += 1;
                self.tell(n, "crashes");
                self.fleet[n].runners.vanish(&mut self.oracle);
                self.reboot(n);
                self.fleet[n].paused_until = self.now + self.rng.i64(0..60_000_000);
            }
            10..13 => {
                self.tally.stops += 1;
                self.tell(n, "is asked to stop");
                let stage = if self.rng.bool() { Stage::Draining } else { Stage::Stopping };
                self.fleet[n].stopper.advance(stage);
            }
            13..20 => {
                self.weather = match self.rng.u32(0..18) {
                    0..2 => Weather { fail_before: 1000, ..Weather::default() },
                    2..5 => Weather { fail_before: 100, lose_answer: 200, ..Weather::default() },
                    5..7 => Weather { closed: true, ..Weather::default() },
                    7..9 => Weather { faulty: 300, lose_answer: 10, ..Weather::default() },
                    9..14 => Weather { fail_before: 5, lose_answer: 10, ..Weather::default() },
                    _ => Weather::default(),
                };
            }
            20..40 => self.hold_something(),
            _ => {}
        }
        self.shared.set_weather(self.weather_now());
    }

    // A web request locks some rows of ours, of whatever table, and its transaction stays open for up to a minute.
    fn hold_something(&mut self) {
        let until = self.now + self.rng.i64(0..60_000_000);
        let jobs = self.oracle.known_ids();
        for _ in 0..self.rng.u32(1..4) {
            let held = match self.rng.u32(0..10) {
                0..5 if !jobs.is_empty() => jobs[self.rng.usize(..jobs.len())].to_string(),
                5..7 => format!("\"key {}\"", self.rng.u32(0..6)),
                7..9 => schedules::some_name(&mut self.rng),
                _ => self.fleet[self.rng.usize(..self.fleet.len())].worker().to_string(),
            };
            self.held.push((held, until));
        }
        self.shared.set_held(self.held.iter().map(|(held, _)| held.clone()).collect());
    }

    /// Transactions end.
    pub(super) fn let_go_of_what_is_over(&mut self) {
        let (now, before) = (self.now, self.held.len());
        self.held.retain(|(_, until)| *until > now);
        if self.held.len() < before {
            self.shared.set_held(self.held.iter().map(|(held, _)| held.clone()).collect());
        }
    }

    /// A supervisor is stopped by a signal, for a while.
    pub(super) fn pause(&mut self, n: usize) {
        self.tally.pauses += 1;
        let seconds = self.rng.i64(1..200);
        self.tell(n, &format!("is paused for {seconds} s"));
        self.fleet[n].paused_until = self.now + seconds * 1_000_000;
    }

    /// From now on nothing does.
    pub(super) fn heal(&mut self) {
        self.healthy = true;
        self.held.clear();
        self.shared.set_held(Vec::new());
        self.shared.set_weather(Weather::default());
        for n in 0..self.fleet.len() {
            self.fleet[n].paused_until = self.now;
            // Who was asked to stop sees to no schedule any more: somebody has lost patience, and it is started again.
            if self.fleet[n].stopper.stage() > Stage::Running {
                self.fleet[n].runners.vanish(&mut self.oracle);
                self.reboot(n);
            }
        }
    }

    pub(super) fn is_troubled(&self) -> bool {
        !self.healthy
    }

    pub(super) fn weather_now(&self) -> Weather {
        if self.healthy { Weather::default() } else { Weather { locked: true, ..self.weather } }
    }
}
