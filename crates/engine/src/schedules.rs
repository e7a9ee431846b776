//! What one worker knows of schedules, and which of its loops sees to them.
//!
//! Where there are some, the ticker does, over a session of its own. Where there are none maintenance
//! asks now and then whether that is still so, and the worker costs the database no connection more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::schedule::Announcement;
use gristmill_store::{Error, Registered, Result, Served, Ticked};
use tokio::sync::watch;
use tracing::{debug, info};

use crate::link::{Link, within};
use crate::{Options, Sessions, Shutdown, Stage, clock};

/// Schedules that one transaction looks at: it locks their rows, and holds SQLite's only write lock.
const BATCH: u32 = 100;
/// An announcement that the database refuses is made again after this; schedules tick meanwhile.
const AFTER_A_REFUSAL: Duration = Duration::from_secs(5);
/// An announcement that somebody's lock keeps back is made again after this.
const AFTER_A_LOCK: Duration = Duration::from_millis(500);
/// A schedule whose way somebody's transaction bars: first and longest time that it is left alone. It doubles.
const BARRED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Schedules that are put off at most, so that memory and statements stay bounded; what is barred beyond is met again and again.
const MOST_BARRED: usize = 1_000;

/// Shared by the loops of one worker that ticks.
pub(crate) struct Schedules {
    backend: String,
    queues: Option<Vec<String>>,
    exclude_queues: Vec<String>,
    shutdown: Shutdown,
    known: watch::Sender<Known>,
}

/// What is known of them.
// Independent facts, not a state machine in disguise.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Known {
    /// What has yet to be announced, and from when on.
    to_announce: Option<(Arc<Announcement>, Instant)>,
    /// There are some that this worker may tick.
    any: bool,
    /// What was due when the worker came up has its jobs, as far as nobody stood in the way.
    looked: bool,
    /// Something is due all the same, or has yet to be announced.
    owes: bool,
    /// The database refuses the announcement.
    cannot_announce: bool,
    /// Schedules to look at in one transaction: fewer after one that failed, which may have been too much at once.
    batch: u32,
    barred: HashMap<String, Barred>,
}

/// A schedule that is put off.
struct Barred {
    until: Instant,
    /// For so long the next time.
    next: Duration,
}

impl Schedules {
    pub(crate) fn new(options: &Options, announcement: Option<Announcement>, shutdown: Shutdown) -> Self {
        let to_announce = announcement.map(|announcement| (Arc::new(announcement), clock::now()));
        Self {
            backend: options.backend.clone(),
            queues: options.queues.clone(),
            exclude_queues: options.exclude_queues.clone(),
            shutdown,
            known: watch::Sender::new(Known {
                to_announce,
                any: false,
                looked: false,
                owes: false,
                cannot_announce: false,
                batch: BATCH,
                barred: HashMap::new(),
            }),
        }
    }

    /// The code was loaded anew, and these are its schedules.
    pub(crate) fn announce(&self, announcement: Announcement) {
        let now = clock::now();
        self.known.send_modify(|known| {
            known.to_announce = Some((Arc::new(announcement), now));
            known.cannot_announce = false;
        });
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

    /// Whether maintenance does.
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

    /// When the first of those that are put off may be tried again.
    pub(crate) fn put_off_until(&self) -> Option<Instant> {
        self.known.borrow().barred.values().map(|barred| barred.until).min()
    }

    /// Whether something was due at the last look that has no job yet: others are at it, or somebody's lock is in its way.
    /// Who ends when all is done waits for it.
    pub(crate) fn owes(&self) -> bool {
        self.known.borrow().owes
    }

    /// What is known now, and whenever that changes.
    pub(crate) fn known(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
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
                known.cannot_announce = false;
                // The loop that announced them ticks them too: another that did so at the same time would find them locked,
                // and each of both would take what it left to the other for done.
                known.any |= !this.schedules.is_empty();
            }
        });
    }

    // Those that may not be tried now.
    fn put_off(&self) -> Vec<String> {
        let now = clock::now();
        let known = self.known.borrow();
        known.barred.iter().filter(|(_, barred)| barred.until > now).map(|(name, _)| name.clone()).collect()
    }

    fn ticked(&self, ticked: &Ticked, put_off: &[String]) {
        let now = clock::now();
        self.known.send_if_modified(|known| {
            // What was tried and is not barred any more is as good as any other.
            known.barred.retain(|name, _| put_off.contains(name) || ticked.barred.contains(name));
            for name in &ticked.barred {
                let wait = known.barred.get(name).map_or(BARRED.0, |barred| barred.next);
                if known.barred.contains_key(name) || known.barred.len() < MOST_BARRED {
                    let next = (wait * 2).min(BARRED.1);
                    let until = now + wait.mul_f64(0.75 + fastrand::f64() / 4.0);
                    known.barred.insert(name.clone(), Barred { until, next });
                }
            }
            let is_due = ticked.next_due == Some(Duration::ZERO);
            let announces = known.to_announce.is_some() && !known.cannot_announce;
            let owes = is_due || announces || ticked.elsewhere || !known.barred.is_empty();
            let any = ticked.next_due.is_some() || !known.barred.is_empty();
            let is_done = !is_due;
            let news = known.any != any || known.owes != owes || (is_done && !known.looked);
            known.any = any;
            known.owes = owes;
            known.looked |= is_done;
            known.batch = BATCH;
            news
        });
    }

    // What the database refuses keeps no worker from its jobs.
    fn failed(&self, error: &Error) {
        self.known.send_if_modified(|known| {
            known.batch = (known.batch / 10).max(1);
            let gives_up = matches!(error, Error::Refused(_)) && (!known.looked || known.owes);
            known.looked |= gives_up;
            known.owes &= !gives_up;
            gives_up
        });
    }
}

/// One look: announces what is to be announced, has the jobs of due ticks made, and says how that went. What somebody's lock
/// keeps back is put off, each by itself.
pub(crate) async fn look<S: Sessions>(link: &mut Link<S>, schedules: &Schedules) -> Result<Ticked> {
    if let Some(announcement) = schedules.due_announcement() {
        match announce(link, schedules, &announcement).await {
            Ok(()) => schedules.announced(&announcement, None),
            Err(Error::Refused(_)) => {
                schedules.announced(&announcement, Some(clock::now() + AFTER_A_REFUSAL));
                schedules.known.send_modify(|known| known.cannot_announce = true);
            }
            Err(Error::Locked(_)) => schedules.announced(&announcement, Some(clock::now() + AFTER_A_LOCK)),
            Err(error) => return Err(error),
        }
    }
    let put_off = schedules.put_off();
    let ticked = tick(link, schedules, &put_off).await.inspect_err(|error| schedules.failed(error))?;
    schedules.ticked(&ticked, &put_off);
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

async fn tick<S: Sessions>(link: &mut Link<S>, schedules: &Schedules, put_off: &[String]) -> Result<Ticked> {
    let deadline = link.deadline();
    let served = Served { queues: schedules.queues.as_deref(), exclude: &schedules.exclude_queues, put_off };
    let batch = schedules.known.borrow().batch;
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.tick(&schedules.backend, &served, batch)).await,
        Err(error) => Err(error),
    };
    let ticked = link.judge(answer)?;
    if ticked.jobs + ticked.skipped > 0 {
        debug!(target: "gristmill::ticker", jobs = ticked.jobs, skipped = ticked.skipped, "ticked");
    }
    for schedule in &ticked.barred {
        debug!(target: "gristmill::ticker", schedule, "put off: somebody's transaction holds what its job needs");
    }
    Ok(ticked)
}

/// What a worker's first claim waits for: that what is older than all that is ready has been seen.
pub(crate) struct FirstLook {
    /// For who claims only once what was due has its jobs.
    pub(crate) schedules: Option<watch::Receiver<Known>>,
    /// For who claims only once what vanished workers have left is ready again.
    pub(crate) rescue: Option<watch::Receiver<bool>>,
}

impl FirstLook {
    pub(crate) fn is_over(&self) -> bool {
        self.schedules.as_ref().is_none_or(|known| known.borrow().looked)
            && self.rescue.as_ref().is_none_or(|rescued| *rescued.borrow())
    }

    /// Waits until it is. Cancel safe.
    pub(crate) async fn over(&mut self) {
        // Where nobody is left to look, the worker ends.
        if let Some(known) = &mut self.schedules {
            let _ = known.wait_for(|known| known.looked).await;
        }
        if let Some(rescued) = &mut self.rescue {
            let _ = rescued.wait_for(|rescued| *rescued).await;
        }
    }
}
