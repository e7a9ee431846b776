//! One runner as the pool sees it: its socket, the jobs that were sent to it and that run in it, and what it may say
//! next.

mod clock;
mod hear;
mod held;
mod recall;
mod socket;

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use gristmill_core::Outcome;
use tokio::net::UnixStream;

pub(crate) use self::clock::monotonic_nanoseconds;
pub(crate) use self::held::{Ended, Held, Killed, Left, News, Running, To};
use crate::frame::{self, Key, Parser, TooLong};

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
    /// It said hello.
    pub(crate) up: bool,
    /// It was told to quit, so it gets nothing more.
    pub(crate) quitting: bool,
    /// It has grown too big, and gets nothing more.
    pub(crate) bloated: bool,
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
    pipe: VecDeque<Held>,
    // At most one, unless they are async. A runner never has jobs of both kinds.
    started: Vec<Running>,
    load: f64,
    // Given to others; whatever is said of them until their `B` means nothing.
    recalled: HashSet<Key>,
    /// Whatever turns out to run when a recall is settled is to be killed.
    pub(crate) interrupting: bool,
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
            bloated: false,
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
            load: 0.0,
            recalled: HashSet::new(),
            interrupting: false,
            settling: false,
            alerting: false,
            orphaned: None,
        }
    }

    // -- what it is at ------------------------------------------------------------------------------------------

    /// It takes jobs.
    pub(crate) fn serves(&self) -> bool {
        self.up && !self.quitting && !self.bloated && self.killed.is_none() && self.closed.is_none()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pipe.is_empty() && self.started.is_empty()
    }

    /// How many jobs it has, those that run included.
    pub(crate) fn len(&self) -> usize {
        self.pipe.len() + self.started.len()
    }

    // Any of its jobs: what it says of the kind holds for all of them.
    fn any_job(&self) -> Option<&Held> {
        self.started.first().map(|running| &running.held).or_else(|| self.pipe.front())
    }

    /// What it has are async jobs.
    pub(crate) fn is_async(&self) -> bool {
        self.any_job().is_some_and(|held| held.is_async)
    }

    /// What it has is one job that tolerates no other.
    pub(crate) fn is_taken_alone(&self) -> bool {
        self.any_job().is_some_and(|held| held.asks.alone)
    }

    /// Seconds of work that was sent to it, as expected; async jobs are none.
    pub(crate) fn load(&self) -> f64 {
        self.load
    }

    /// What it was sent has been written: a runner that does not read gets nothing more.
    pub(crate) fn reads(&self) -> bool {
        self.unsent.is_empty()
    }

    /// It has answered every recall. One that has not is busy in a handler that lets nothing else run.
    pub(crate) fn answers(&self) -> bool {
        self.recalled.is_empty() && !self.settling
    }

    /// What runs in it.
    pub(crate) fn started(&self) -> &[Running] {
        &self.started
    }

    pub(crate) fn running_job(&mut self, key: Key) -> Option<&mut Running> {
        self.started.iter_mut().find(|running| running.held.key == key)
    }

    /// Its job with this claim, if it has it: started or not.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.pipe.iter().chain(self.started.iter().map(|running| &running.held)).any(|held| held.key == key)
    }

    /// Since when something has run in it.
    pub(crate) fn running_since(&self) -> Option<Instant> {
        self.started.iter().map(|running| running.since).min()
    }

    /// Since when jobs have waited for what runs, if any do that have not been asked back: behind the one that runs,
    /// or to be started beside others.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        let running = self.running_since()?;
        let first = self.pipe.iter().find(|held| held.asked.is_none())?;
        Some(if first.is_async { first.sent } else { running })
    }

    // -- what it is told ----------------------------------------------------------------------------------------

    /// Puts a job into its pipe; it is written by [`Runner::flush`].
    pub(crate) fn send(&mut self, mut held: Held, frame: Vec<u8>, expected: Option<f64>) {
        held.expected = if held.is_async { 0.0 } else { expected.unwrap_or(f64::INFINITY) };
        held.sent = Instant::now();
        self.load += held.expected;
        self.sent += 1;
        self.unsent.push_back(Unsent { bytes: frame, key: Some(held.key) });
        self.pipe.push_back(held);
    }

    /// Tells it to end when nothing is left to run.
    pub(crate) fn quit(&mut self) {
        if !self.quitting {
            self.quitting = true;
            self.say(frame::pack(b'Q', &[]));
        }
    }

    /// Asks a job that runs to end; the alert follows when this has been written. Asking once is enough.
    pub(crate) fn cancel(&mut self, key: Key) {
        let Some(running) = self.running_job(key).filter(|running| running.cancelled.is_none()) else { return };
        running.cancelled = Some(Instant::now());
        // It may yet turn out not to have started.
        running.held.asked = running.held.asked.max(running.held.asked.and(Some(To::Cancelled)));
        self.say(frame::pack(b'X', &[&key.bytes()]));
        self.alerting = true;
    }

    /// It is to be alerted now: what it should read has been written.
    pub(crate) fn take_alert(&mut self) -> bool {
        self.unsent.is_empty() && std::mem::take(&mut self.alerting)
    }

    /// The end that a transactional job is to write: what it was claimed as, since when it runs, how it ends, and its
    /// output so far.
    pub(crate) fn to_be_written(&self, key: Key) -> Option<(&Held, Instant, &Outcome, Option<&str>)> {
        let running = self.started.iter().find(|running| running.held.key == key)?;
        Some((&running.held, running.since, running.writing.as_ref()?, running.output.as_deref()))
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
        let waiting = self.pipe.drain(..).map(|mut held| (held.asked.take().unwrap_or(To::Queue), held)).collect();
        Left { ran: std::mem::take(&mut self.started), waiting }
    }

    fn weigh(&mut self) {
        let started = self.started.iter().map(|running| &running.held);
        self.load = self.pipe.iter().chain(started).map(|held| held.expected).sum();
    }

    fn forget(&mut self, held: &Held) {
        if self.is_empty() {
            self.load = 0.0;
        } else if held.expected.is_finite() {
            self.load -= held.expected;
        } else {
            self.weigh();
        }
    }
}
