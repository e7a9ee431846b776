//! One simulated supervisor: a real dispatcher, rescuer and promoter, with heartbeats and runners around them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::schedule::Announcement;
use gristmill_core::{Lease, WorkerId};
use gristmill_store::{Asked, NewWorker, Result};
use tokio::sync::{Notify, watch};

use super::connection::SimSessions;
use super::rules::RETENTION_SECONDS;
use super::runners::{Runners, SimExecutor, TASKS};
use crate::dispatcher::turn::Done;
use crate::dispatcher::{Dispatcher, Parts};
use crate::events::Events;
use crate::heartbeat::Sent;
use crate::link::Link;
use crate::maintenance::Maintenance;
use crate::pulse::Counter;
use crate::schedules::Schedules;
use crate::watchdog::Liveness;
use crate::{Options, Stage, Standing, Stopper, shutdown};

pub(super) struct Supervisor {
    pub(super) dispatcher: Dispatcher<SimExecutor, SimSessions>,
    pub(super) runners: Runners,
    pub(super) stopper: Stopper,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) heart: Link<SimSessions>,
    pub(super) maintenance: Maintenance<SimSessions>,
    pub(super) ticker: Link<SimSessions>,
    pub(super) schedules: Schedules,
    pub(super) lease: Lease,
    pub(super) registered: bool,
    /// What people asked of it when it was heard of last.
    asked: Asked,
    pub(super) next_beat: i64,
    pub(super) next_keep: i64,
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
        let standing = watch::Sender::new(Standing::none(worker));
        let (stopper, shutdown) = shutdown::channel();
        let grace = Duration::from_secs(rng.u64(1..60));
        let retention = Duration::from_secs(RETENTION_SECONDS.unsigned_abs());
        let until_done = rng.u32(0..6) == 0;
        let options = Options { until_done, grace, queue_limits, retention, ..Options::default() };
        let lease = options.lease;
        let schedules = Schedules::new(&options, Some(code.clone()), shutdown.clone());
        let (hints, liveness) = (Arc::new(Notify::new()), Liveness::new("maintenance"));
        let counter = Arc::new(Counter::new());
        let link = Link::new(sessions.clone(), "maintenance");
        let maintenance = Maintenance::new(
            link,
            options.clone(),
            standing.subscribe(),
            Arc::clone(&hints),
            liveness,
            None,
            Arc::clone(&counter),
        );
        let dispatcher = Dispatcher::new(Parts {
            executor,
            options,
            link: Link::new(sessions.clone(), "dispatcher"),
            standing: standing.subscribe(),
            shutdown,
            hints,
            events: Arc::new(Events::new()),
            liveness: Liveness::new("dispatcher"),
            counter,
            schedules: None,
            knowledge: watch::Sender::new(Vec::new()),
            has_rescued: None,
        });
        Self {
            dispatcher,
            runners,
            stopper,
            standing,
            heart: Link::new(sessions.clone(), "heartbeat"),
            maintenance,
            ticker: Link::new(sessions.clone(), "ticker"),
            schedules,
            lease,
            registered: false,
            asked: Asked::default(),
            next_beat: now,
            next_keep: now,
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
        let sent = Sent::now();
        let worker = if self.registered { self.worker() } else { worker_id(rng, now) };
        let before = self.worker();
        let answer = match self.heart.session().await {
            Err(error) => Err(error),
            Ok(session) if self.registered => session.heartbeat(worker).await,
            Ok(session) => {
                let new = describe(worker, before, self.lease);
                session.register(&new).await.map(|()| Some(self.asked.clone()))
            }
        };
        let asked = match self.heart.judge(answer) {
            Ok(asked) => asked,
            Err(error) => {
                self.next_beat = now + rng.i64(100_000..5_000_000);
                return Err(error);
            }
        };
        let alive = asked.is_some();
        self.registered = alive;
        if matches!(asked, Some(Asked::Stop { .. })) {
            self.stopper.advance(Stage::Draining);
        }
        let standing = match asked {
            Some(asked) => {
                self.asked = asked;
                Standing::of(worker, sent, self.lease.fence()).asked(&self.asked)
            }
            None => Standing::none(worker),
        };
        self.standing.send_replace(standing);
        self.dispatcher.doubt();
        self.next_beat =
            if alive { now + i64::try_from(self.lease.heartbeat.as_micros()).expect("short") } else { now };
        Ok(!alive)
    }
}

fn worker_id(rng: &mut fastrand::Rng, now: i64) -> WorkerId {
    WorkerId(super::world::uuid(rng, now))
}

fn describe(id: WorkerId, before: WorkerId, lease: Lease) -> NewWorker {
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
        before: Some(before),
    }
}
