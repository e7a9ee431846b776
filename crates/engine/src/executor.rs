//! What runs jobs: the engine's only view of it. A pool of Python processes is one, Rust tasks in this
//! process are another.

use std::future::Future;
use std::time::Duration;

use gristmill_core::schedule::Announcement;
use gristmill_core::{Claimed, JobId, Note, Outcome, Progress, State, Text, Token};

/// Runs claimed jobs and tells how each ended. Everything it is given comes back as exactly one
/// [`Event::Ended`], unless this process dies.
pub trait Executor: Send {
    /// Task names it can run; known before the first claim. [`Event::Imported`] says that there are others.
    fn tasks(&self) -> &[String];

    /// The schedules that its code defines, all of them: what is not among them is gone from the code. `None` leaves
    /// those in the database as they are. Asked once, before the first claim; [`Event::Announced`] brings later ones.
    fn announcement(&mut self) -> Option<Announcement> {
        None
    }

    /// How many more jobs it would take now: idle runners, and a small prefetch where jobs are short.
    fn room(&self) -> usize;

    /// Takes jobs over, in order. Never blocks; never more than there was [`Executor::room`] for when they were claimed.
    fn start(&mut self, jobs: Vec<Claimed>);

    /// Waits until something happened and appends it to `into`. Cancel safe.
    fn events(&mut self, into: &mut Vec<Event>) -> impl Future<Output = ()> + Send;

    /// Gives back everything it holds that has not started: each ends as [`Outcome::HandedBack`].
    fn recall(&mut self);

    /// Ends everything that runs, now: each ends as [`Outcome::Interrupted`] (or as it had just ended by itself).
    fn interrupt(&mut self);

    /// Ends one job that someone wants cancelled. What has not started ends at once; what runs is asked, and stopped
    /// with its runner when it has not ended within a grace. Each ends as [`Outcome::Cancelled`] (or as it had just
    /// ended by itself). Nothing happens for a claim that it does not hold.
    fn cancel(&mut self, job: JobId, token: Token);

    /// Hears what became of an end that it asked about ([`Ended::asks`]), once the database has accepted it: the state
    /// in which its job has ended. `None`: the job goes on, or the attempt was superseded.
    fn settled(&mut self, _job: JobId, _token: Token, _state: Option<State>) {}

    /// Something of jobs that have ended still goes on in it, such as what is called after an end. It says
    /// [`Event::Rested`] each time that is over, and [`Executor::interrupt`] ends it too.
    fn is_busy(&self) -> bool {
        false
    }

    /// Runs nothing more and ends its processes; resolves when they are gone.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// Something happened in an executor.
// Nearly every event is an end, so a box for it would only be one allocation more for each job.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Event {
    /// A job it was given has ended.
    Ended(Ended),
    /// What a running handler says of itself.
    Progress(Progress),
    /// The executor's code was loaded anew: [`Executor::tasks`] may have changed.
    Imported,
    /// The executor's code was loaded anew, and these are its schedules.
    Announced(Announcement),
    /// There is room again without a job having ended: a runner came up.
    Room,
    /// What still went on of a job that had ended is over.
    Rested,
    /// What was called after an end had something to say.
    Noted(Note),
    /// The executor cannot go on (its processes do not start): why, in one sentence. The worker stops.
    Broken(String),
}

/// How a job that was given to an executor ended.
#[derive(Debug)]
pub struct Ended {
    /// The claim it was given.
    pub claimed: Claimed,
    /// From [`Executor::start`] to the handler's first instruction, if it came so far.
    pub started_after: Option<Duration>,
    /// The process that ran it.
    pub runner_pid: Option<u32>,
    /// How it ended.
    pub outcome: Outcome,
    /// What the handler printed and logged, bounded.
    pub output: Option<Text>,
    /// The handler's own transaction has written this end: nothing is left to write.
    pub written: bool,
    /// What ran it waits for [`Executor::settled`].
    pub asks: bool,
}
