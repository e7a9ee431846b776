//! One runner as the pool sees it: its socket, the jobs that were sent to it and that run in it, and what it may say
//! next.

mod assigned;
mod hear;
mod lingering;
mod recall;
mod socket;

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use gristmill_core::Outcome;
use tokio::net::UnixStream;

pub(crate) use self::assigned::{Assigned, Ended, Killed, Left, News, Running, Stage, To};
pub(crate) use self::lingering::Lingering;
use crate::frame::kinds::ToRunner;
use crate::frame::{self, Key, Parser, TooLong};

/// What has a limit is cut off by the runner itself when its time is over; what goes on so long after that does not listen.
const SOFT_FOLLOWS: Duration = Duration::from_secs(2);

struct Unsent {
    bytes: Vec<u8>,
    // Set on a job's `R` frame.
    key: Option<Key>,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; any mixture can be")]
pub(crate) struct Runner {
    pub(crate) number: u64,
    /// Which zygote it was forked from.
    pub(crate) generation: u64,
    pub(crate) pid: Option<u32>,
    /// The runner said hello.
    pub(crate) up: bool,
    /// The runner was told to quit, so it gets nothing more.
    pub(crate) quitting: bool,
    /// The runner has grown too big, or is not fit to run another job, and gets nothing more.
    pub(crate) spent: bool,
    /// Jobs it has been sent and not been asked to give back; with the bound on them, when it is worn out.
    pub(crate) sent: u64,
    pub(crate) killed: Option<Killed>,
    /// When its end of the socket was seen closed.
    pub(crate) closed: Option<Instant>,
    /// When a kill was asked for.
    pub(crate) kill_asked: Option<Instant>,
    /// A job has ended since its memory was last looked at.
    pub(crate) to_measure: bool,
    /// When its memory was last looked at.
    pub(crate) measured: Instant,
    /// The job that was over its limit of memory then.
    pub(crate) over: Option<Key>,
    stream: UnixStream,
    parser: Parser,
    unsent: VecDeque<Unsent>,
    // Of the first one in `unsent`, how much has been written.
    written: usize,
    // Sent and not started, in order.
    pipe: VecDeque<Assigned>,
    // At most one, unless they are async. A runner never has jobs of both kinds.
    started: Vec<Running>,
    // Ended, with something still to be called after that.
    lingering: Vec<Lingering>,
    load: f64,
    // Given to others; whatever is said of them until their `B` means nothing.
    recalled: HashSet<Key>,
    /// Whatever turns out to run when a recall is settled is to be killed.
    pub(crate) interrupting: bool,
    // It has said that it runs nothing more: what it gives back was meant for another runner here.
    leaving: bool,
    // A job that goes on in it after its end: that counts when the runner is gone.
    goes_on: Option<Key>,
    // There are requests that are settled when everything has been written.
    settling: bool,
    // It is to be alerted when everything has been written.
    alerting: bool,
    /// Since when it is known that its zygote has died.
    pub(crate) orphaned: Option<Instant>,
}

impl Runner {
    pub(crate) fn new(number: u64, generation: u64, stream: UnixStream) -> Self {
        Self {
            number,
            generation,
            pid: None,
            up: false,
            quitting: false,
            spent: false,
            sent: 0,
            killed: None,
            closed: None,
            kill_asked: None,
            to_measure: false,
            measured: Instant::now(),
            over: None,
            stream,
            parser: Parser::default(),
            unsent: VecDeque::new(),
            written: 0,
            pipe: VecDeque::new(),
            started: Vec::new(),
            lingering: Vec::new(),
            load: 0.0,
            recalled: HashSet::new(),
            interrupting: false,
            leaving: false,
            goes_on: None,
            settling: false,
            alerting: false,
            orphaned: None,
        }
    }

    // -- what it is at ------------------------------------------------------------------------------------------

    /// Whether the runner takes jobs.
    pub(crate) fn serves(&self) -> bool {
        self.up && !self.quitting && !self.spent && self.killed.is_none() && self.closed.is_none()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.has_no_job() && self.lingering.is_empty()
    }

    /// How many jobs it has, those that run and those that linger included.
    pub(crate) fn len(&self) -> usize {
        self.pipe.len() + self.started.len() + self.lingering.len()
    }

    fn has_no_job(&self) -> bool {
        self.pipe.is_empty() && self.started.is_empty()
    }

    // Of any of its jobs, whether it is async and whether it has to be alone: that holds for all of them.
    fn kind(&self) -> Option<(bool, bool)> {
        let assigned = self.started.first().map(|running| &running.assigned).or_else(|| self.pipe.front());
        let lingering = self.lingering.first().map(|lingering| (lingering.is_async, lingering.alone));
        assigned.map(|assigned| (assigned.is_async, assigned.asks.alone)).or(lingering)
    }

    /// What it has are async jobs.
    pub(crate) fn is_async(&self) -> bool {
        self.kind().is_some_and(|(is_async, _)| is_async)
    }

    /// What it has is one job that tolerates no other.
    pub(crate) fn is_taken_alone(&self) -> bool {
        self.kind().is_some_and(|(_, alone)| alone)
    }

    /// Seconds of work that was sent to it, as expected; async jobs are none.
    pub(crate) fn load(&self) -> f64 {
        self.load
    }

    /// What it was sent has been written: a runner that does not read gets nothing more.
    pub(crate) fn reads(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Whether the runner has answered every recall. One that has not is busy in a handler that lets nothing else run.
    pub(crate) fn answers(&self) -> bool {
        self.recalled.is_empty() && !self.settling
    }

    /// What runs in it.
    pub(crate) fn started(&self) -> &[Running] {
        &self.started
    }

    pub(crate) fn running_job(&mut self, key: Key) -> Option<&mut Running> {
        self.started.iter_mut().find(|running| running.assigned.key == key)
    }

    /// Its job with this claim, if it has it: started or not.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.pipe.iter().chain(self.started.iter().map(|running| &running.assigned)).any(|assigned| assigned.key == key)
    }

    /// Since when something has run in it.
    pub(crate) fn running_since(&self) -> Option<Instant> {
        self.started.iter().map(|running| running.since).min()
    }

    /// Since when something has run in it, or gone on after its end.
    pub(crate) fn busy_since(&self) -> Option<Instant> {
        self.running_since().into_iter().chain(self.lingering_since()).min()
    }

    /// Since when jobs have waited for what runs, if any do that have not been asked back: behind the one that runs,
    /// or to be started beside others.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let busy = self.busy_since()?;
        let first = self.pipe.iter().find(|assigned| assigned.asked.is_none())?;
        Some(if first.is_async { first.sent } else { busy })
    }

    // -- what it is told ----------------------------------------------------------------------------------------

    /// Puts a job into its pipe; it is written by [`Runner::flush`].
    pub(crate) fn send(&mut self, mut assigned: Assigned, frame: Vec<u8>, expected: Option<f64>) {
        assigned.expected = if assigned.is_async { 0.0 } else { expected.unwrap_or(f64::INFINITY) };
        assigned.sent = Instant::now();
        self.load += assigned.expected;
        self.sent += 1;
        self.unsent.push_back(Unsent { bytes: frame, key: Some(assigned.key) });
        self.pipe.push_back(assigned);
    }

    /// Tells it to end when nothing is left to run.
    pub(crate) fn quit(&mut self) {
        if !self.quitting {
            self.quitting = true;
            self.say(frame::pack(ToRunner::Quit, &[]));
        }
    }

    /// Asks a job that runs to end; the alert follows when this has been written. Asking once is enough.
    pub(crate) fn cancel(&mut self, key: Key) {
        let Some(running) = self.running_job(key).filter(|running| running.cancelled.is_none()) else { return };
        running.cancelled = Some(Instant::now());
        // It may yet turn out not to have started.
        running.assigned.asked = running.assigned.asked.max(running.assigned.asked.and(Some(To::Cancelled)));
        self.say(frame::pack(ToRunner::Cancel, &[&key.bytes()]));
        self.alerting = true;
    }

    /// Whether the runner is to be alerted now: what it should read has been written.
    pub(crate) fn take_alert(&mut self) -> bool {
        self.unsent.is_empty() && std::mem::take(&mut self.alerting)
    }

    /// The end that a transactional job is to write: what it was claimed as, since when it runs, how it ends, and its
    /// output so far.
    pub(crate) fn to_be_written(&self, key: Key) -> Option<(&Assigned, Instant, &Outcome, Option<&str>)> {
        let running = self.started.iter().find(|running| running.assigned.key == key)?;
        Some((&running.assigned, running.since, running.writing.as_ref()?, running.output.as_deref()))
    }

    /// Sends the statements that a transactional job waits for.
    pub(crate) fn answer(&mut self, key: Key, frame: Vec<u8>) {
        if let Some(running) = self.running_job(key) {
            running.answered = true;
            self.say(Ok(frame));
        }
    }

    // The frames said here are short or have been measured: none is too long.
    fn say(&mut self, frame: Result<Vec<u8>, TooLong>) {
        self.unsent.extend(frame.ok().map(|bytes| Unsent { bytes, key: None }));
    }

    // -- what it has --------------------------------------------------------------------------------------------

    /// Takes everything out, when it is dead.
    pub(crate) fn take_all(&mut self) -> Left {
        let waiting =
            self.pipe.drain(..).map(|mut assigned| (assigned.asked.take().unwrap_or(To::Queue), assigned)).collect();
        Left { ran: std::mem::take(&mut self.started), waiting, lingering: std::mem::take(&mut self.lingering) }
    }

    fn weigh(&mut self) {
        let started = self.started.iter().map(|running| &running.assigned);
        self.load = self.pipe.iter().chain(started).map(|assigned| assigned.expected).sum();
    }

    fn forget(&mut self, assigned: &Assigned) {
        if self.has_no_job() {
            self.load = 0.0;
        } else if assigned.expected.is_finite() {
            self.load -= assigned.expected;
        } else {
            self.weigh();
        }
    }
}
