//! What one worker knows of schedules, and which of its loops sees to them.
//!
//! Where there are some, the [`ticker`](crate::ticker) does, over a session of its own. Where there are none the keeper
//! asks now and then whether that is still so, and the worker costs the database no connection more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::schedule::Announcement;
use gristmill_store::{Error, Registered, Result, Served, Ticked};
use tokio::sync::watch;
use tracing::{debug, info};

use crate::link::{Link, within};
use crate::ticker::Pace;
use crate::{Options, Sessions, Shutdown, Stage, clock};

/// Schedules that one transaction looks at: it locks their rows, and holds SQLite's only write lock.
const BATCH: u32 = 100;
/// An announcement that the database refuses is made again after this; schedules tick meanwhile.
const AFTER_A_REFUSAL: Duration = Duration::from_secs(5);

/// Shared by the loops of one worker that ticks.
pub(crate) struct Schedules {
    backend: String,
    queues: Option<Vec<String>>,
    exclude_queues: Vec<String>,
    shutdown: Shutdown,
    known: watch::Sender<Known>,
}

/// What is known of them.
pub(crate) struct Known {
    /// What has yet to be announced, and from when on.
    to_announce: Option<(Arc<Announcement>, Instant)>,
    /// There are some that this worker may tick.
    any: bool,
    /// What was due when the worker came up has its jobs.
    looked: bool,
    /// Schedules to look at in one transaction: fewer after one that failed, which may have been too much at once.
    batch: u32,
}

impl Schedules {
    pub(crate) fn new(options: &Options, announcement: Option<Announcement>, shutdown: Shutdown) -> Self {
        let to_announce = announcement.map(|announcement| (Arc::new(announcement), clock::now()));
        Self {
            backend: options.backend.clone(),
            queues: options.queues.clone(),
            exclude_queues: options.exclude_queues.clone(),
            shutdown,
            known: watch::Sender::new(Known { to_announce, any: false, looked: false, batch: BATCH }),
        }
    }

    /// The code was loaded anew, and these are its schedules.
    pub(crate) fn announce(&self, announcement: Announcement) {
        let now = clock::now();
        self.known.send_modify(|known| known.to_announce = Some((Arc::new(announcement), now)));
    }

    /// When the announcement is due that has not been made.
    pub(crate) fn announce_at(&self) -> Option<Instant> {
        self.known.borrow().to_announce.as_ref().map(|(_, at)| *at)
    }

    /// Whether the ticker sees to them: there are some, or there will be.
    pub(crate) fn are_the_tickers(&self) -> bool {
        let known = self.known.borrow();
        let announces_some = known.to_announce.as_ref().is_some_and(|(some, _)| !some.schedules.is_empty());
        !self.is_leaving() && (known.any || announces_some)
    }

    /// Whether the keeper does.
    pub(crate) fn are_the_keepers(&self) -> bool {
        !self.is_leaving() && !self.are_the_tickers()
    }

    // Who stops starts nothing any more: the jobs would wait for someone else all the same.
    fn is_leaving(&self) -> bool {
        self.shutdown.stage() > Stage::Running
    }

    /// Woken by every change of what is known.
    pub(crate) fn news(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Resolves once what was due when the worker came up has its jobs.
    pub(crate) fn first_look(&self) -> FirstLook {
        FirstLook(Some(self.known.subscribe()))
    }

    fn due_announcement(&self) -> Option<Arc<Announcement>> {
        let now = clock::now();
        let known = self.known.borrow();
        known.to_announce.as_ref().filter(|(_, at)| *at <= now).map(|(announcement, _)| Arc::clone(announcement))
    }

    // Unless another one has come meanwhile.
    fn announced(&self, this: &Arc<Announcement>, again: Option<Instant>) {
        self.known.send_modify(|known| {
            if known.to_announce.as_ref().is_some_and(|(other, _)| Arc::ptr_eq(this, other)) {
                known.to_announce = again.map(|at| (Arc::clone(this), at));
            }
        });
    }

    fn ticked(&self, ticked: &Ticked, is_done: bool) {
        self.known.send_if_modified(|known| {
            let any = ticked.next_due.is_some();
            let news = known.any != any || (is_done && !known.looked);
            known.any = any;
            known.looked |= is_done;
            known.batch = BATCH;
            news
        });
    }

    // What the database refuses keeps no worker from its jobs.
    fn failed(&self, error: &Error) {
        self.known.send_if_modified(|known| {
            known.batch = (known.batch / 10).max(1);
            let gives_up = matches!(error, Error::Refused(_)) && !known.looked;
            known.looked |= gives_up;
            gives_up
        });
    }
}

/// One look: announces what is to be announced, has the jobs of due ticks made, and says how that went.
pub(crate) async fn look<S: Sessions>(link: &mut Link<S>, schedules: &Schedules, pace: &mut Pace) -> Result<Ticked> {
    if let Some(announcement) = schedules.due_announcement() {
        match announce(link, schedules, &announcement).await {
            Ok(()) => schedules.announced(&announcement, None),
            Err(Error::Refused(_)) => {
                schedules.announced(&announcement, Some(clock::now() + AFTER_A_REFUSAL));
            }
            Err(error) => return Err(error),
        }
    }
    let ticked = tick(link, schedules).await.inspect_err(|error| schedules.failed(error))?;
    pace.looked(&ticked);
    schedules.ticked(&ticked, pace.is_done());
    Ok(ticked)
}

async fn announce<S: Sessions>(link: &mut Link<S>, schedules: &Schedules, announcement: &Announcement) -> Result<()> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.announce(&schedules.backend, announcement)).await,
        Err(error) => Err(error),
    };
    let Registered { created, changed, removed } = link.judge(answer)?;
    if created + changed + removed > 0 {
        info!(target: "gristmill::ticker", created, changed, removed, "announced schedules");
    }
    Ok(())
}

async fn tick<S: Sessions>(link: &mut Link<S>, schedules: &Schedules) -> Result<Ticked> {
    let deadline = link.deadline();
    let served = Served { queues: schedules.queues.as_deref(), exclude: &schedules.exclude_queues };
    let batch = schedules.known.borrow().batch;
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.tick(&schedules.backend, &served, batch)).await,
        Err(error) => Err(error),
    };
    let ticked = link.judge(answer)?;
    if ticked.jobs + ticked.skipped > 0 {
        debug!(target: "gristmill::ticker", jobs = ticked.jobs, skipped = ticked.skipped, "ticked");
    }
    Ok(ticked)
}

/// For who claims only once what was due has its jobs.
pub(crate) struct FirstLook(Option<watch::Receiver<Known>>);

impl FirstLook {
    /// For who need not wait for it.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(|known| known.borrow().looked)
    }

    /// Waits until it is. Cancel safe.
    pub(crate) async fn over(&mut self) {
        if let Some(known) = &mut self.0 {
            // Nobody is left to look: the worker ends.
            let _ = known.wait_for(|known| known.looked).await;
        }
    }
}
