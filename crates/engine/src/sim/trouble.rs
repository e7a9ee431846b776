//! What goes wrong in the simulated world.

use crate::Stage;

use super::connection::Weather;
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
                self.weather = match self.rng.u32(0..10) {
                    0..2 => Weather { fail_before: 1000, lose_answer: 0 },
                    2..5 => Weather { fail_before: 100, lose_answer: 200 },
                    _ => Weather { fail_before: 5, lose_answer: 10 },
                };
            }
            _ => {}
        }
        self.shared.set_weather(self.weather_now());
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
        self.shared.set_weather(Weather::default());
        for supervisor in &mut self.fleet {
            supervisor.paused_until = self.now;
        }
    }

    pub(super) fn is_troubled(&self) -> bool {
        !self.healthy
    }

    pub(super) fn weather_now(&self) -> Weather {
        if self.healthy { Weather::default() } else { self.weather }
    }
}
