//! Taking back what has not started, without waiting for the runner: `docs/design/wire.md` has the rule.

use super::{Assigned, Runner, To, Unsent};
use crate::frame::kinds::ToRunner;
use crate::frame::{self, Key};

impl Runner {
    /// Asks back every job that has not started. Returns those that were never on their way; the others come from
    /// [`Runner::settle`] once the request has been written.
    pub(crate) fn recall(&mut self, to: To) -> Vec<Assigned> {
        let mut back = Vec::new();
        let mut position = 0;
        while position < self.pipe.len() {
            match self.ask_back(position, to) {
                Some(assigned) => back.push(assigned),
                None => position += 1,
            }
        }
        self.weigh();
        back
    }

    /// Asks back one job, if it is in the pipe; as [`Runner::recall`] does.
    pub(crate) fn recall_one(&mut self, key: Key, to: To) -> Option<Assigned> {
        let position = self.pipe.iter().position(|assigned| assigned.key == key)?;
        let back = self.ask_back(position, to);
        self.weigh();
        back
    }

    fn ask_back(&mut self, position: usize, to: To) -> Option<Assigned> {
        let assigned = self.pipe.get_mut(position)?;
        let key = assigned.key;
        if assigned.asked.is_some() {
            assigned.asked = assigned.asked.max(Some(to));
            return None;
        }
        let on_its_way = match self.unsent.iter().position(|unsent| unsent.key == Some(key)) {
            None => true,
            Some(place) => place == 0 && self.written > 0,
        };
        if on_its_way {
            assigned.asked = Some(to);
            self.settling = true;
            let ask = frame::pack(ToRunner::Recall, &[&key.bytes()]).ok();
            self.unsent.extend(ask.map(|bytes| Unsent { bytes, key: None }));
            return None;
        }
        self.unsent.retain(|unsent| unsent.key != Some(key));
        self.sent -= 1;
        self.pipe.remove(position)
    }

    /// Settles a recall: everything was written, *then* everything it said was read. The runner has yet to say the
    /// start of what it has not started now, and will find the request after that. What it has started, it may have
    /// started before it could find the request, or it will give it back: that is for the runner to say.
    /// [`Runner::drain`] comes between the two.
    pub(crate) fn settle(&mut self) -> Vec<(To, Assigned)> {
        let mut back = Vec::new();
        if self.to_settle() {
            self.settling = false;
            let mut position = 0;
            while let Some(assigned) = self.pipe.get_mut(position) {
                match assigned.asked.take() {
                    // Sent after the request was made.
                    None => position += 1,
                    Some(to) => back.extend(self.pipe.remove(position).map(|assigned| (to, assigned))),
                }
            }
            self.recalled.extend(back.iter().map(|(_, assigned)| assigned.key));
            self.sent -= back.len() as u64;
            self.weigh();
        }
        back
    }

    /// Whether the runner was asked to give jobs back.
    pub(crate) fn is_settling(&self) -> bool {
        self.settling
    }

    /// Whether the runner was asked to give jobs back, in so many bytes.
    pub(crate) fn to_settle(&self) -> bool {
        self.settling && self.unsent.is_empty()
    }

    /// Jobs that were to be cancelled before they started, and started all the same.
    pub(crate) fn crossed(&self) -> Vec<Key> {
        let crossed =
            self.started.iter().filter(|job| job.assigned.asked == Some(To::Cancelled) && job.cancelled.is_none());
        crossed.map(|running| running.assigned.key).collect()
    }
}
