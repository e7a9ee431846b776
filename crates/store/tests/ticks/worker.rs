//! One worker as far as schedules go: it announces, ticks, sleeps too long or too short, and dies.

use std::time::Duration;

use gristmill_core::Moment;
use gristmill_core::schedule::{Announcement, Micros};
use gristmill_store::{Error, Served, Session, Store};

use crate::faulty::{Faulty, PLANNED};

const SECOND: Micros = 1_000_000;

pub(crate) struct Worker {
    store: Store,
    announcement: Announcement,
    exclude: Vec<String>,
    session: Option<Session>,
    rng: fastrand::Rng,
    /// When it looks next.
    pub(crate) wakes_at: Micros,
    /// How often it has died.
    pub(crate) deaths: u32,
    /// Rounds that did something.
    pub(crate) rounds: u32,
}

impl Worker {
    pub(crate) fn new(store: Store, announcement: Announcement, exclude: &[&str], rng: fastrand::Rng) -> Self {
        let exclude = exclude.iter().map(|queue| (*queue).to_owned()).collect();
        Self { store, announcement, exclude, session: None, rng, wakes_at: 0, deaths: 0, rounds: 0 }
    }

    /// Looks once at `now`, or at the moment before that at which it was held up.
    pub(crate) async fn look(mut self, now: Micros) -> Self {
        let held_up = if self.rng.u8(..) < 10 { self.rng.i64(0..30 * SECOND) } else { 0 };
        let present = now - held_up;
        match self.tick(present).await {
            Ok(next_due) => {
                let next_due = next_due.unwrap_or(Duration::from_mins(1)).as_micros();
                let due = present + Micros::try_from(next_due).expect("is near");
                let asleep = if self.rng.u8(..) < 3 { self.rng.i64(0..120 * SECOND) } else { 0 };
                self.wakes_at = due + self.rng.i64(-2 * SECOND..=2 * SECOND) + asleep;
            }
            Err(Error::Unavailable(why)) if why == PLANNED => {
                // Dropped in the middle of what it did.
                self.session = None;
                self.deaths += 1;
            }
            // Another one stalls with locks in its hands; it announces and ticks anew.
            Err(Error::Locked(_)) => self.session = None,
            Err(error) => panic!("a worker met what nobody had planned: {error}"),
        }
        self
    }

    async fn tick(&mut self, present: Micros) -> Result<Option<Duration>, Error> {
        let moment = Some(Moment::from_unix_micros(present));
        let session = match &mut self.session {
            Some(session) => session,
            gone => {
                let connection = self.store.open().await?.into_connection();
                let faulty = Faulty::new(connection, self.rng.fork());
                let session = gone.insert(Session::over(Box::new(faulty)));
                session.set_now(moment.clone());
                session.announce("default", &self.announcement).await?;
                session
            }
        };
        session.set_now(moment);
        let served = Served { exclude: &self.exclude, ..Served::default() };
        let limit = self.rng.u32(1..12);
        let ticked = session.tick("default", &served, limit).await?;
        self.rounds += u32::from(ticked.jobs + ticked.skipped > 0);
        Ok(ticked.next_due)
    }
}
