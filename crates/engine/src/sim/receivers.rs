//! Receivers of simulated jobs: called once an end is accepted, and in no hurry. Meanwhile they keep their runner.

use gristmill_core::{JobId, Token};

type Key = (JobId, Token);

#[derive(Default)]
pub(super) struct Receivers {
    /// Ends that were asked about.
    asking: Vec<Key>,
    /// When those that are being called are done.
    called: Vec<i64>,
}

impl Receivers {
    /// How many runners they keep.
    pub(super) fn len(&self) -> usize {
        self.asking.len() + self.called.len()
    }

    pub(super) fn asks(&mut self, key: Key) {
        self.asking.push(key);
    }

    /// Whether this end was asked about, and nobody has answered or given up; asked once.
    pub(super) fn was_asked(&mut self, key: Key) -> bool {
        let place = self.asking.iter().position(|asked| *asked == key);
        place.map(|place| self.asking.swap_remove(place)).is_some()
    }

    pub(super) fn are_called(&mut self, until: i64) {
        self.called.push(until);
    }

    /// How many are done by now.
    pub(super) fn done(&mut self, now: i64) -> usize {
        let before = self.called.len();
        self.called.retain(|until| *until > now);
        before - self.called.len()
    }

    /// They end with their runners; how many there were.
    pub(super) fn cut_off(&mut self) -> usize {
        let cut_off = self.len();
        *self = Self::default();
        cut_off
    }
}
