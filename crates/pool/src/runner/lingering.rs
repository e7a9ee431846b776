//! What a runner still does for a job that has ended: receivers of signals and hooks are called. None of the job's
//! limits hold for that; it has one of its own.

use std::time::{Duration, Instant};

use gristmill_core::State;

use super::{Assigned, News, Runner, SOFT_FOLLOWS};
use crate::frame::{self, BadFrame, Key};

/// One job of which that is so.
pub(crate) struct Lingering {
    pub(crate) key: Key,
    pub(crate) is_async: bool,
    pub(super) alone: bool,
    pub(crate) task_name: String,
    /// When its handler started: so long it kept its runner busy.
    pub(crate) started: Instant,
    /// When it had ended.
    pub(super) ended: Instant,
    /// Since when something is called; `None` while the runner waits for what becomes of the end.
    pub(super) calling: Option<Instant>,
}

impl Lingering {
    pub(super) fn new(assigned: &Assigned, started: Instant, asks: bool) -> Self {
        let now = Instant::now();
        Self {
            key: assigned.key,
            is_async: assigned.is_async,
            alone: assigned.asks.alone,
            task_name: assigned.claimed.lane.task_name.clone(),
            started,
            ended: now,
            calling: (!asks).then_some(now),
        }
    }

    /// When it has gone on too long to be left alone. The runner itself cuts it off when its time is over; one that has
    /// not so long after that does not listen.
    pub(crate) fn ends(&self, timeout: Duration) -> Option<Instant> {
        self.calling?.checked_add(timeout)?.checked_add(SOFT_FOLLOWS)
    }
}

impl Runner {
    /// What lingers in it.
    pub(crate) fn lingering(&self) -> &[Lingering] {
        &self.lingering
    }

    /// Since when something has lingered in it.
    pub(crate) fn lingering_since(&self) -> Option<Instant> {
        self.lingering.iter().map(|lingering| lingering.ended).min()
    }

    /// Tells it what has become of an end that it asked about: the state in which the job has ended, if it has.
    pub(crate) fn settled(&mut self, key: Key, state: Option<State>) {
        let asking = |lingering: &&mut Lingering| lingering.key == key && lingering.calling.is_none();
        if let Some(lingering) = self.lingering.iter_mut().find(asking) {
            lingering.calling = Some(Instant::now());
            self.say(frame::settled(key, state));
        }
    }

    // Before the end of the job, or once more while it lingers.
    pub(super) fn lingers(&mut self, key: Key, asks: bool) -> Result<(), BadFrame> {
        let again = self.lingering.iter_mut().find(|lingering| lingering.key == key);
        match again {
            Some(Lingering { calling: Some(since), .. }) if !asks => *since = Instant::now(),
            Some(_) => return Err(BadFrame("a question asked out of turn".into())),
            None => self.running(key, "afterwards")?.lingers = Some(asks),
        }
        Ok(())
    }

    // Also before it has been told: it does not wait for ever.
    pub(super) fn rested(&mut self, key: Key) -> Result<News, BadFrame> {
        let place = self.lingering.iter().position(|lingering| lingering.key == key);
        let place = place.ok_or_else(|| BadFrame("the end of nothing that lingers".into()))?;
        Ok(News::Rested(self.lingering.swap_remove(place)))
    }
}
