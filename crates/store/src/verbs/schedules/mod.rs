//! Schedules: what programs and people say of them, and the ticks that come of it.

use std::time::Duration;

use gristmill_core::JobId;
use gristmill_core::schedule::{Announced, Announcement};

use crate::{Error, Result, Session};

/// What an announcement changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Schedules that are new.
    pub created: u64,
    /// Schedules that are not what they were, or are back.
    pub changed: u64,
    /// Schedules that are not announced any more.
    pub removed: u64,
}

/// The queues whose schedules a worker ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served<'a> {
    /// These alone; `None` is all.
    pub queues: Option<&'a [String]>,
    /// But none of these.
    pub exclude: &'a [String],
}

/// What one round of ticks did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Jobs that were enqueued.
    pub jobs: u64,
    /// Ticks that were recorded without a job.
    pub skipped: u64,
    /// How long until the next tick is due; zero when some may be due already, `None` when there is none at all.
    pub next_due: Option<Duration>,
}

impl Session {
    /// Brings the schedules of a backend in line with what a program says of them.
    pub async fn announce(&mut self, backend: &str, announcement: &Announcement) -> Result<Registered> {
        let _ = (backend, announcement);
        not_yet().await
    }

    /// Settles the ticks of at most `limit` schedules that are due.
    pub async fn tick(&mut self, backend: &str, served: &Served<'_>, limit: u32) -> Result<Ticked> {
        let _ = (backend, served, limit);
        not_yet().await
    }

    /// Pauses a schedule, or gives the pause another reason. False: there is none of that name.
    pub async fn pause_schedule(&mut self, backend: &str, name: &str, reason: &str) -> Result<bool> {
        let _ = (backend, name, reason);
        not_yet().await
    }

    /// Ends a pause. False: it was not paused.
    pub async fn resume_schedule(&mut self, backend: &str, name: &str) -> Result<bool> {
        let _ = (backend, name);
        not_yet().await
    }

    /// Makes or changes a schedule of the database's own. `None`: the name belongs to code.
    pub async fn define_schedule(&mut self, backend: &str, schedule: &Announced) -> Result<Option<Defined>> {
        let _ = (backend, schedule);
        not_yet().await
    }

    /// Forgets a schedule of the database's own. False: there is none of that name.
    pub async fn remove_schedule(&mut self, backend: &str, name: &str) -> Result<bool> {
        let _ = (backend, name);
        not_yet().await
    }

    /// Records that someone asks for a job of a schedule at this moment. False: that instant is taken, ask again.
    pub async fn tick_by_hand(&mut self, backend: &str, schedule: &str, job: JobId) -> Result<bool> {
        let _ = (backend, schedule, job);
        not_yet().await
    }
}

/// What defining a schedule did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defined {
    /// It is new.
    Created,
    /// It was there, and is what was asked for.
    Changed,
}

async fn not_yet<T>() -> Result<T> {
    Err(Error::Refused("schedules cannot be kept yet".into()))
}
