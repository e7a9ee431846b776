//! One simulated supervisor: a real mill, rescuer and promoter, with heartbeats and runners around them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::schedule::Announcement;
use gristmill_core::{Lease, WorkerId};
use gristmill_store::{NewWorker, Result};
use tokio::sync::{Notify, watch};

use super::connection::SimSessions;
use super::runners::{Runners, SimExecutor, TASKS};
use crate::events::Events;
use crate::link::Link;
use crate::mill::{Mill, Parts};
use crate::schedules::Schedules;
use crate::ticker::Pace;
use crate::turn::Done;
use crate::watchdog::Pulse;
use crate::{Options, Standing, Stopper, clock, shutdown};

pub(super) struct Supervisor {
    pub(super) mill: Mill<SimExecutor, SimSessions>,
    pub(super) runners: Runners,
    pub(super) stopper: Stopper,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) heart: Link<SimSessions>,
    pub(super) keeper: Link<SimSessions>,
    pub(super) ticker: Link<SimSessions>,
    pub(super) schedules: Schedules,
    pub(super) pace: Pace,
    pub(super) lease: Lease,
    pub(super) registered: bool,
    pub(super) next_beat: i64,
    pub(super) next_keep: i64,
    pub(super) next_prune: i64,
    pub(super) next_tick: i64,
    /// An answer on its way, and when it arrives.
    pub(super) delivery: Option<(i64, Done<SimSessions>)>,
    /// Does nothing before: stopped by a signal, or not yet booted.
    pub(super) paused_until: i64,
}

impl Supervisor {
    pub(super) fn boot(sessions: &SimSessions, rng: &mut fastrand::Rng, now: i64, code: &Announcement) -> Self {
        let queue_limits = if rng.bool() { HashMap::new() } else { HashMap::from([("mail".into(), rng.u32(1..4))]) };
        let (runners, executor) = Runners::new(rng.fork(), rng.usize(1..8), queue_limits.clone());
        let worker = worker_id(rng, now);
        let standing = watch::Sender::new(Standing { worker, until: None });
        let (stopper, shutdown) = shutdown::channel();
        let grace = Duration::from_secs(rng.u64(1..60));
        let options = Options { grace, queue_limits, ..Options::default() };
        let lease = options.lease;
        let schedules = Schedules::new(&options, Some(code.clone()), shutdown.clone());
        let mill = Mill::new(Parts {
            executor,
            options,
            link: Link::new(sessions.clone(), "mill"),
            standing: standing.subscribe(),
            shutdown,
            hints: Arc::new(Notify::new()),
            events: Arc::new(Events::new()),
            pulse: Pulse::new("mill"),
            schedules: None,
        });
        Self {
            mill,
            runners,
            stopper,
            standing,
            heart: Link::new(sessions.clone(), "heartbeat"),
            keeper: Link::new(sessions.clone(), "keeper"),
            ticker: Link::new(sessions.clone(), "ticker"),
            schedules,
            pace: Pace::default(),
            lease,
            registered: false,
            next_beat: now,
            next_keep: now,
            next_prune: now,
            next_tick: now,
            delivery: None,
            paused_until: now,
        }
    }

    pub(super) fn worker(&self) -> WorkerId {
        self.standing.borrow().worker
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.standing.borrow().until
    }

    /// One heartbeat, or one try to register. True: it was declared lost.
    pub(super) async fn beat(&mut self, rng: &mut fastrand::Rng, now: i64) -> Result<bool> {
        let sent = clock::now();
        let worker = if self.registered { self.worker() } else { worker_id(rng, now) };
        let answer = match self.heart.session().await {
            Err(error) => Err(error),
            Ok(session) if self.registered => session.heartbeat(worker).await,
            Ok(session) => session.register(&describe(worker, self.lease)).await.map(|()| true),
        };
        let alive = match self.heart.judge(answer) {
            Ok(alive) => alive,
            Err(error) => {
                self.next_beat = now + rng.i64(100_000..5_000_000);
                return Err(error);
            }
        };
        self.registered = alive;
        let until = alive.then(|| sent + self.lease.fence());
        self.standing.send_replace(Standing { worker, until });
        self.mill.doubt();
        self.next_beat =
            if alive { now + i64::try_from(self.lease.heartbeat.as_micros()).expect("short") } else { now };
        Ok(!alive)
    }
}

fn worker_id(rng: &mut fastrand::Rng, now: i64) -> WorkerId {
    WorkerId(super::world::uuid(rng, now))
}

fn describe(id: WorkerId, lease: Lease) -> NewWorker {
    NewWorker {
        id,
        label: "sim".into(),
        host: "sim".into(),
        pid: 1,
        backend: "default".into(),
        queues_json: "{}".into(),
        tasks_json: serde_json::json!(TASKS).to_string(),
        processes: 1,
        lease,
    }
}
