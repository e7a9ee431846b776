//! One runner as the pool sees it: its socket, the jobs in its pipe, and what it may say next.

use std::collections::{HashSet, VecDeque};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use gristmill_core::{Claimed, Outcome};
use tokio::net::UnixStream;

use crate::frame::{self, BadFrame, FromRunner, Key, Parser};

/// A job that the pool was given and has not ended.
pub(crate) struct Held {
    pub(crate) claimed: Claimed,
    pub(crate) key: Key,
    /// When the pool was given it.
    pub(crate) taken: Instant,
    /// Seconds it is expected to take, where known; what it adds to a runner's load.
    expected: f64,
    /// It has been asked back, to go there, and the runner has not answered.
    asked: Option<To>,
}

impl Held {
    pub(crate) fn new(claimed: Claimed) -> Self {
        Self { key: Key::of(&claimed), claimed, taken: Instant::now(), expected: 0.0, asked: None }
    }
}

/// Why the pool ended a runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Killed {
    /// It was asked to interrupt everything.
    Interrupted,
    /// The runner is broken: how.
    Broken(String),
}

/// What a runner said that matters to the pool.
pub(crate) enum News {
    /// It came up.
    Up,
    /// Its first job has ended.
    Ended(Ended),
    /// It gives back a job that it did not start, and says why unless it was asked.
    Back(Held, To, String),
}

/// A job that has ended by itself.
pub(crate) struct Ended {
    pub(crate) held: Held,
    pub(crate) started: Option<Instant>,
    pub(crate) outcome: Outcome,
}

/// Where jobs go that a runner is asked to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum To {
    /// To the next runner that is free.
    Queue,
    /// To the database.
    Database,
}

/// What a dead runner had.
pub(crate) struct Left {
    /// The job that ran, and since when.
    pub(crate) ran: Option<(Held, Instant)>,
    /// Those that had not started, and where they go.
    pub(crate) waiting: Vec<(To, Held)>,
}

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
    /// Jobs it has been sent and not been asked to give back; with the bound on them, when it is worn out.
    pub(crate) sent: u64,
    pub(crate) killed: Option<Killed>,
    /// When its end of the socket was seen closed.
    pub(crate) closed: Option<Instant>,
    /// When a kill was asked for.
    pub(crate) kill_asked: Option<Instant>,
    stream: UnixStream,
    parser: Parser,
    unsent: VecDeque<Unsent>,
    // Of the first one in `unsent`, how much has been written.
    written: usize,
    pipe: VecDeque<Held>,
    // Since when the first job in the pipe runs.
    started: Option<Instant>,
    load: f64,
    // Given to others; whatever is said of them until their `B` means nothing.
    recalled: HashSet<Key>,
    /// Whatever turns out to run when a recall is settled is to be killed.
    pub(crate) interrupting: bool,
    // There are requests that are settled when everything has been written.
    settling: bool,
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
            sent: 0,
            killed: None,
            closed: None,
            kill_asked: None,
            stream,
            parser: Parser::default(),
            unsent: VecDeque::new(),
            written: 0,
            pipe: VecDeque::new(),
            started: None,
            load: 0.0,
            recalled: HashSet::new(),
            interrupting: false,
            settling: false,
            orphaned: None,
        }
    }

    /// It takes jobs.
    pub(crate) fn serves(&self) -> bool {
        self.up && !self.quitting && self.killed.is_none() && self.closed.is_none()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pipe.is_empty()
    }

    /// Seconds of work in its pipe, as expected.
    pub(crate) fn load(&self) -> f64 {
        self.load
    }

    pub(crate) fn pipe_len(&self) -> usize {
        self.pipe.len()
    }

    /// What it was sent has been written: a runner that does not read gets nothing more.
    pub(crate) fn reads(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Since when its first job runs.
    pub(crate) fn running_since(&self) -> Option<Instant> {
        self.started
    }

    /// Jobs wait behind the one that runs, and have not been asked back.
    pub(crate) fn has_waiting(&self) -> bool {
        self.pipe.iter().skip(usize::from(self.started.is_some())).any(|held| held.asked.is_none())
    }

    /// Puts a job into its pipe; it is written by [`Runner::flush`].
    pub(crate) fn send(&mut self, mut held: Held, frame: Vec<u8>, expected: Option<f64>) {
        held.expected = expected.unwrap_or(f64::INFINITY);
        self.load += held.expected;
        self.sent += 1;
        self.unsent.push_back(Unsent { bytes: frame, key: Some(held.key) });
        self.pipe.push_back(held);
    }

    /// Tells it to end when nothing is left to run.
    pub(crate) fn quit(&mut self) {
        if !self.quitting {
            self.quitting = true;
            self.unsent.extend(frame::pack(b'Q', &[]).ok().map(|bytes| Unsent { bytes, key: None }));
        }
    }

    /// Asks back every job that has not started. Returns those that were never on their way; the others come from
    /// [`Runner::settle`] once the request has been written.
    pub(crate) fn recall(&mut self, to: To) -> Vec<Held> {
        let mut back = Vec::new();
        let mut position = usize::from(self.started.is_some());
        while let Some(held) = self.pipe.get_mut(position) {
            let key = held.key;
            if held.asked.is_some() {
                held.asked = held.asked.max(Some(to));
                position += 1;
                continue;
            }
            let on_its_way = match self.unsent.iter().position(|unsent| unsent.key == Some(key)) {
                None => true,
                Some(place) => place == 0 && self.written > 0,
            };
            if on_its_way {
                held.asked = Some(to);
                self.settling = true;
                let ask = frame::pack(b'C', &[&key.bytes()]).ok();
                self.unsent.extend(ask.map(|bytes| Unsent { bytes, key: None }));
                position += 1;
            } else {
                self.unsent.retain(|unsent| unsent.key != Some(key));
                self.sent -= 1;
                back.extend(self.pipe.remove(position));
            }
        }
        self.weigh();
        back
    }

    /// Settles a recall: everything was written, *then* everything it said was read. The runner has yet to say the
    /// start of what it has not started now, and will find the request after that. What it has started, it may have
    /// started before it could find the request, or it will give it back: that is for the runner to say.
    /// [`Runner::drain`] comes between the two.
    pub(crate) fn settle(&mut self) -> Vec<(To, Held)> {
        let mut back = Vec::new();
        if self.to_settle() {
            self.settling = false;
            let mut position = usize::from(self.started.is_some());
            while let Some(held) = self.pipe.get_mut(position) {
                match held.asked.take() {
                    // Sent after the request was made.
                    None => position += 1,
                    Some(to) => back.extend(self.pipe.remove(position).map(|held| (to, held))),
                }
            }
            self.recalled.extend(back.iter().map(|(_, held)| held.key));
            self.sent -= back.len() as u64;
            self.weigh();
        }
        back
    }

    /// It was asked to give jobs back.
    pub(crate) fn is_settling(&self) -> bool {
        self.settling
    }

    /// It was asked to give jobs back, in so many bytes.
    pub(crate) fn to_settle(&self) -> bool {
        self.settling && self.unsent.is_empty()
    }

    /// Takes everything out, when it is dead.
    pub(crate) fn take_all(&mut self) -> Left {
        let ran = self.started.take().and_then(|since| Some((self.pipe.pop_front()?, since)));
        let waiting = self.pipe.drain(..).map(|mut held| (held.asked.take().unwrap_or(To::Queue), held)).collect();
        Left { ran, waiting }
    }

    fn weigh(&mut self) {
        self.load = self.pipe.iter().map(|held| held.expected).sum();
    }

    /// Writes what there is to write, as far as the socket takes it.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.unsent.is_empty() {
            if self.stream.poll_write_ready(context)?.is_pending() {
                return Ok(());
            }
            let mut slices = Vec::with_capacity(self.unsent.len().min(64));
            for (place, unsent) in self.unsent.iter().take(64).enumerate() {
                slices.push(IoSlice::new(&unsent.bytes[if place == 0 { self.written } else { 0 }..]));
            }
            match self.stream.try_write_vectored(&slices) {
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.unsent.front() {
            let left = first.bytes.len() - self.written;
            if count < left {
                self.written += count;
                return;
            }
            count -= left;
            self.written = 0;
            self.unsent.pop_front();
        }
    }

    /// Reads once and appends what was said; pending when there is nothing to read now.
    pub(crate) fn read(
        &mut self,
        context: &mut Context<'_>,
        scratch: &mut [u8],
        news: &mut Vec<News>,
    ) -> Poll<Result<(), BadFrame>> {
        loop {
            if self.closed.is_some() {
                return Poll::Pending;
            }
            if ready!(self.stream.poll_read_ready(context)).is_err() {
                self.closed = Some(Instant::now());
                return Poll::Pending;
            }
            match self.stream.try_read(scratch) {
                Ok(count) if count > 0 => {
                    self.parser.feed(&scratch[..count]);
                    return Poll::Ready(self.hear(news));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => self.closed = Some(Instant::now()),
            }
        }
    }

    /// Reads everything that lies in the socket at this moment. Not through the event loop, which may not have been
    /// told of it yet: a recall is settled by what has been written, not by what has been noticed.
    pub(crate) fn drain(&mut self, scratch: &mut [u8], news: &mut Vec<News>) -> Result<(), BadFrame> {
        while self.closed.is_none() {
            match rustix::net::recv(&self.stream, &mut *scratch, rustix::net::RecvFlags::DONTWAIT) {
                Ok((count, _)) if count > 0 => {
                    self.parser.feed(&scratch[..count]);
                    self.hear(news)?;
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => self.closed = Some(Instant::now()),
            }
        }
        Ok(())
    }

    // What was said before a bad frame still holds.
    fn hear(&mut self, news: &mut Vec<News>) -> Result<(), BadFrame> {
        loop {
            let said = match self.parser.next_frame() {
                Ok(Some((kind, payload))) => FromRunner::parse(kind, payload)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            };
            match said {
                FromRunner::Hello if !self.up => {
                    self.up = true;
                    news.push(News::Up);
                }
                FromRunner::Hello => return Err(BadFrame("a second hello".into())),
                FromRunner::Started(key, at) => self.start(key, at)?,
                FromRunner::Ended(key, outcome) => news.push(News::Ended(self.end(key, outcome)?)),
                FromRunner::Back(key, why) => {
                    if !self.recalled.remove(&key) {
                        let (held, to) = self.back(key)?;
                        news.push(News::Back(held, to, why));
                    }
                }
            }
        }
    }

    fn start(&mut self, key: Key, at: u64) -> Result<(), BadFrame> {
        if self.recalled.contains(&key) {
            return Ok(());
        }
        match self.pipe.front() {
            Some(held) if held.key == key && self.started.is_none() => {
                self.started = Some(instant_of(at).clamp(held.taken, Instant::now()));
                Ok(())
            }
            _ => Err(BadFrame("the start of a job that was not its to start".into())),
        }
    }

    fn end(&mut self, key: Key, outcome: Outcome) -> Result<Ended, BadFrame> {
        match (self.pipe.front(), self.started) {
            (Some(held), Some(_)) if held.key == key => {}
            _ => return Err(BadFrame("the end of a job that it does not run".into())),
        }
        let started = self.started.take();
        let held = self.pipe.pop_front().ok_or_else(|| BadFrame("the end of no job".into()))?;
        self.forget(&held);
        Ok(Ended { held, started, outcome })
    }

    // What runs can be given back only if it was asked for: then its start and the request have crossed.
    fn back(&mut self, key: Key) -> Result<(Held, To), BadFrame> {
        let not_its = || BadFrame("a job given back that was not its to give".into());
        let place = self.pipe.iter().position(|held| held.key == key).ok_or_else(not_its)?;
        let asked = self.pipe[place].asked;
        if place == 0 && self.started.is_some() {
            if asked.is_none() {
                return Err(not_its());
            }
            self.started = None;
        }
        let mut held = self.pipe.remove(place).ok_or_else(not_its)?;
        held.asked = None;
        self.forget(&held);
        Ok((held, asked.unwrap_or(To::Database)))
    }

    fn forget(&mut self, held: &Held) {
        if self.pipe.is_empty() {
            self.load = 0.0;
        } else if held.expected.is_finite() {
            self.load -= held.expected;
        } else {
            self.weigh();
        }
    }
}

/// An instant of this process for nanoseconds of `CLOCK_MONOTONIC`.
fn instant_of(nanoseconds: u64) -> Instant {
    let now = Instant::now();
    let ago = monotonic_nanoseconds(now).saturating_sub(nanoseconds);
    now.checked_sub(Duration::from_nanos(ago)).unwrap_or(now)
}

/// Nanoseconds of `CLOCK_MONOTONIC` at an instant of this process, which counts by the same clock.
pub(crate) fn monotonic_nanoseconds(instant: Instant) -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let clock = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0));
    let now = Instant::now();
    let then = if instant >= now { clock + (instant - now) } else { clock.saturating_sub(now - instant) };
    u64::try_from(then.as_nanos()).unwrap_or(u64::MAX)
}
