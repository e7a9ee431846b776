//! Who is busy, who gets the next job, and what becomes of jobs when a process dies. What was ordered is here; what
//! processes say is in `hear`, who gets what in `dispatch`, what must not go on in `limits`, what becomes of jobs in
//! `ends`, what is called after that in `lingering`, and whom to start and look after in `staff`.

mod dispatch;
mod ends;
mod hear;
mod limits;
mod lingering;
mod staff;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use gristmill_core::Claimed;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::config::Config;
use crate::messages::{Command, Lease, Said};
use crate::pace::Pace;
use crate::runner::{Assigned, Killed, Runner, To};
use crate::zygote::{Stage, Zygote};

/// How long runners may take to quit by themselves when the pool closes.
const QUIT_FOLLOWS: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);
/// Failures to start in a row after which a person is needed.
const FAILURES: u32 = 5;
/// Bytes read at once.
pub(crate) const SCRATCH: usize = 256 * 1024;

/// Failures in a row, and how long to wait before the next try.
#[derive(Default)]
struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Counts a failure; those of one try, seen together, count once. True when it is time to call a person.
    fn fail(&mut self) -> bool {
        if self.waits() {
            return false;
        }
        let wait = FIRST_BACKOFF * 2_u32.saturating_pow(self.failures.min(16));
        self.until = Some(Instant::now() + wait.min(LONGEST_BACKOFF));
        self.failures += 1;
        self.failures == FAILURES
    }

    fn waits(&self) -> bool {
        self.until.is_some_and(|until| until > Instant::now())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Whether a runner runs a job beside others. A transaction is no place to wait in.
fn is_async(assigned: &Assigned, async_tasks: &HashSet<String>) -> bool {
    !assigned.asks.transactional && async_tasks.contains(&assigned.claimed.lane.task_name)
}

struct Closing {
    done: oneshot::Sender<()>,
    kill_at: Option<Instant>,
}

pub(crate) struct Actor {
    config: Config,
    say: mpsc::UnboundedSender<Said>,
    capacity: Arc<AtomicUsize>,
    lease: Option<Lease>,
    // Tasks that run many at a time in one runner.
    async_tasks: HashSet<String>,
    // How many more async jobs a runner that has some may be claimed for.
    eagerness: usize,
    // The newest is last; the others retire.
    zygotes: Vec<Zygote>,
    // Zygotes that have died, by generation, until nothing that came from them is left.
    endings: Vec<(u64, JoinHandle<()>)>,
    runners: Vec<Runner>,
    queue: VecDeque<Assigned>,
    pace: Pace,
    numbers: u64,
    generations: u64,
    runner_failures: Backoff,
    zygote_failures: Backoff,
    closing: Option<Closing>,
    // What the newest zygote said before it ended.
    refusal: Option<String>,
    scratch: Box<[u8]>,
    alarm: Pin<Box<Sleep>>,
}

impl Actor {
    pub(crate) fn new(
        mut config: Config,
        zygote: Zygote,
        async_tasks: Vec<String>,
        lease: Option<Lease>,
        say: mpsc::UnboundedSender<Said>,
        capacity: Arc<AtomicUsize>,
    ) -> Self {
        config.concurrency = config.concurrency.max(1);
        Self {
            eagerness: config.concurrency,
            config,
            say,
            capacity,
            lease,
            async_tasks: async_tasks.into_iter().collect(),
            zygotes: vec![zygote],
            endings: Vec::new(),
            runners: Vec::new(),
            queue: VecDeque::new(),
            pace: Pace::default(),
            numbers: 0,
            generations: 1,
            runner_failures: Backoff::default(),
            zygote_failures: Backoff::default(),
            closing: None,
            refusal: None,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            alarm: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    pub(crate) async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<Command>,
        mut lease: watch::Receiver<Option<Lease>>,
    ) {
        if let Some(lease) = self.lease.clone() {
            self.vouch(lease);
        }
        let mut lease_is_kept = true;
        loop {
            tokio::select! {
                changed = lease.changed(), if lease_is_kept => match changed {
                    Ok(()) => {
                        let lease = lease.borrow_and_update().clone();
                        if let Some(lease) = lease {
                            self.vouch(lease);
                        }
                    }
                    // Nobody extends it any more; the zygote acts when it runs out.
                    Err(_) => lease_is_kept = false,
                },
                order = orders.recv() => match order {
                    Some(Command::Start(jobs)) => self.take_on(jobs),
                    Some(Command::Cancel(job, token)) => self.cancel(job, token),
                    Some(Command::Settled(job, token, state)) => self.settled(job, token, state),
                    Some(Command::Recall) => self.recall(),
                    Some(Command::Interrupt) => self.interrupt(),
                    Some(Command::Close(done)) => self.begin_to_close(done),
                    // The handle was dropped: as this falls, control sockets close and everything is killed.
                    None => break,
                },
                () = poll_fn(|context| self.poll(context)) => break,
            }
        }
        self.capacity.store(0, Ordering::Relaxed);
        for zygote in std::mem::take(&mut self.zygotes) {
            let forked = self.forked_by(zygote.generation);
            zygote.end(&forked).await;
        }
        for (_, ending) in std::mem::take(&mut self.endings) {
            // It fails only where the runtime ends.
            drop(ending.await);
        }
        if let Some(closing) = self.closing.take() {
            // The handle may not wait for it any more.
            let _ = closing.done.send(());
        }
    }

    /// Does whatever can be done now; ready when the pool has closed.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            self.poll_zygotes(context);
            self.endings.retain_mut(|(_, ending)| Pin::new(ending).poll(context).is_pending());
            self.poll_runners(context);
            self.look_after_runners();
            let grown = self.staff();
            self.dispatch();
            // Of a socket that was never read nobody is woken.
            if self.flush(context) || grown {
                continue;
            }
            if self.closing.is_some() && self.runners.is_empty() {
                return Poll::Ready(());
            }
            self.publish_capacity();
            let Some(next) = self.next_alarm() else { return Poll::Pending };
            self.alarm.as_mut().reset(next.into());
            if self.alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// The processes that a zygote has forked, and that have not been reaped as far as is known.
    fn forked_by(&self, generation: u64) -> Vec<u32> {
        self.runners.iter().filter(|runner| runner.generation == generation).filter_map(|runner| runner.pid).collect()
    }

    // -- what was ordered ---------------------------------------------------------------------------------------

    fn vouch(&mut self, lease: Lease) {
        for zygote in &mut self.zygotes {
            if matches!(zygote.stage, Stage::Serving | Stage::Retiring) {
                zygote.vouch(&lease);
            }
        }
        self.lease = Some(lease);
    }

    fn take_on(&mut self, jobs: Vec<Claimed>) {
        for job in jobs {
            let mut assigned = Assigned::new(job);
            assigned.is_async = is_async(&assigned, &self.async_tasks);
            if self.closing.is_none() {
                self.queue.push_back(assigned);
            } else {
                self.hand_back(assigned);
            }
        }
    }

    fn recall(&mut self) {
        for runner in &mut self.runners {
            self.queue.extend(runner.recall(To::Database));
        }
        // What the runners have is settled in `flush`.
        for assigned in std::mem::take(&mut self.queue) {
            self.hand_back(assigned);
        }
    }

    fn interrupt(&mut self) {
        self.recall();
        for index in 0..self.runners.len() {
            let runner = &mut self.runners[index];
            if runner.started().is_empty() && runner.lingering().is_empty() {
                runner.interrupting = runner.is_settling();
            } else {
                self.kill(index, Killed::Interrupted);
            }
        }
    }

    fn begin_to_close(&mut self, done: oneshot::Sender<()>) {
        self.recall();
        self.closing = Some(Closing { done, kill_at: Some(Instant::now() + QUIT_FOLLOWS) });
        for runner in &mut self.runners {
            runner.quit();
        }
    }
}
