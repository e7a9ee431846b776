//! The engine's handle to a pool of Python processes.
//!
//! What it stands for is a task of its own on the runtime (`actor`), so that runners stay fed while the engine waits
//! for the database; the two talk through channels.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use gristmill_core::schedule::Announcement;
use gristmill_core::{Claimed, JobId, State, Token};
use gristmill_engine::Executor;
use gristmill_engine::executor::Event;
use tokio::sync::{mpsc, oneshot, watch};

use crate::Error;
use crate::actor::{Actor, SCRATCH};
use crate::config::Config;
use crate::frame::{FromZygote, Hello};
use crate::messages::{Command, Lease, Said};
use crate::orphans;
use crate::zygote::{Stage, Zygote, status_in_words};

/// The engine's handle to a pool of Python processes.
pub struct Pool {
    tasks: Vec<String>,
    modules: usize,
    announcement: Option<Announcement>,
    runs_async: bool,
    assigned: usize,
    lingering: usize,
    capacity: Arc<AtomicUsize>,
    commands: mpsc::UnboundedSender<Command>,
    said: mpsc::UnboundedReceiver<Said>,
}

impl Pool {
    /// Starts the zygote and waits until it has imported the project; runners come up after that.
    ///
    /// To be called on a thread that lives as long as this process, on a tokio runtime. `lease` may hold `None`
    /// before the worker is registered; its extensions are passed on while this process's runtime runs.
    pub async fn start(config: Config, lease: watch::Receiver<Option<Lease>>) -> Result<Self, Error> {
        let (commands, orders) = mpsc::unbounded_channel();
        let (say, said) = mpsc::unbounded_channel();
        let capacity = Arc::new(AtomicUsize::new(0));
        orphans::adopt();
        let mut zygote = Zygote::start(&config, 1)?;
        let mut scratch = vec![0; SCRATCH].into_boxed_slice();
        let hello = poll_fn(|context| {
            if zygote.flush(context).is_err() {
                return Poll::Ready(None);
            }
            zygote.read(context, &mut scratch)
        })
        .await;
        let mut hello = match hello {
            Some(Ok(FromZygote::Hello(hello))) => hello,
            Some(Ok(FromZygote::Error(refusal))) => {
                zygote.end(&[]).await;
                return Err(Error::Import { message: refusal.message, traceback: refusal.traceback });
            }
            _ => {
                let how = status_in_words(zygote.end(&[]).await);
                return Err(Error::Ended { how });
            }
        };
        zygote.stage = Stage::Serving;
        tracing::debug!(pid = zygote.pid, tasks = hello.tasks.len(), "the project is imported");
        let announcement = hello.take_announcement();
        let Hello { tasks, modules, async_tasks, .. } = hello;
        let runs_async = !async_tasks.is_empty();
        let actor = Actor::new(config, zygote, async_tasks, lease.borrow().clone(), say, Arc::clone(&capacity));
        tokio::spawn(actor.run(orders, lease));
        Ok(Self { tasks, modules, announcement, runs_async, assigned: 0, lingering: 0, capacity, commands, said })
    }

    /// How many modules its tasks are in, as of when it started.
    pub fn modules(&self) -> usize {
        self.modules
    }

    /// Some of its tasks run many at a time in one runner, as of when it started.
    pub fn runs_async(&self) -> bool {
        self.runs_async
    }

    // The actor goes only when asked to close, and then there is nothing left to order.
    fn order(&self, command: Command) {
        drop(self.commands.send(command));
    }

    fn take_over(&mut self, said: Said, into: &mut Vec<Event>) {
        match said {
            Said::Imported(tasks, announcement) => {
                self.tasks = tasks;
                into.push(Event::Imported);
                into.extend(announcement.map(Event::Announced));
            }
            Said::Lingers => self.lingering += 1,
            Said::Event(event) => {
                match event {
                    Event::Ended(_) => self.assigned -= 1,
                    Event::Rested => self.lingering -= 1,
                    _ => {}
                }
                into.push(event);
            }
        }
    }
}

impl Executor for Pool {
    fn tasks(&self) -> &[String] {
        &self.tasks
    }

    fn announcement(&mut self) -> Option<Announcement> {
        self.announcement.take()
    }

    fn room(&self) -> usize {
        self.capacity.load(Ordering::Relaxed).saturating_sub(self.assigned)
    }

    fn start(&mut self, jobs: Vec<Claimed>) {
        self.assigned += jobs.len();
        self.order(Command::Start(jobs));
    }

    async fn events(&mut self, into: &mut Vec<Event>) {
        let before = into.len();
        while into.len() == before {
            match self.said.recv().await {
                Some(said) => self.take_over(said, into),
                // Closed: nothing will happen any more.
                None => std::future::pending().await,
            }
        }
        while let Ok(said) = self.said.try_recv() {
            self.take_over(said, into);
        }
    }

    fn cancel(&mut self, job: JobId, token: Token) {
        self.order(Command::Cancel(job, token));
    }

    fn settled(&mut self, job: JobId, token: Token, state: Option<State>) {
        self.order(Command::Settled(job, token, state));
    }

    fn is_busy(&self) -> bool {
        self.lingering > 0
    }

    fn recall(&mut self) {
        self.order(Command::Recall);
    }

    fn interrupt(&mut self) {
        self.order(Command::Interrupt);
    }

    async fn close(&mut self) {
        let (done, wait) = oneshot::channel();
        self.order(Command::Close(done));
        // It errs when the actor has gone already.
        drop(wait.await);
    }
}
