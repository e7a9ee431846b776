//! An executor whose jobs do what the test says: by the name of their task, or when the test ends them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use gristmill_core::schedule::Announcement;
use gristmill_core::{Advice, Claimed, JobId, Outcome, Progress, Reason, Token};
use gristmill_engine::{Ended, Event, Executor};
use tokio::sync::{Notify, watch};

/// Returns at once.
pub const WORK: &str = "tests.work";
/// Returns at once, in code that has it: the first does not.
pub const LATE: &str = "tests.late";
/// Runs until the test ends it.
pub const WAIT: &str = "tests.wait";
/// Raises.
pub const FAIL: &str = "tests.fail";
/// Kills its runner.
pub const CRASH: &str = "tests.crash";

/// Slots for running jobs and places for prefetched ones.
pub struct Fake {
    tasks: Vec<String>,
    slots: usize,
    prefetch: usize,
    announcement: Option<Announcement>,
    shared: Arc<Shared>,
}

/// What the test holds of a [`Fake`].
#[derive(Clone)]
pub struct Control(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<Inner>,
    happened: Notify,
    started: watch::Sender<Vec<JobId>>,
}

#[derive(Default)]
struct Inner {
    running: HashMap<JobId, Claimed>,
    prefetched: VecDeque<Claimed>,
    events: Vec<Event>,
    deaf: bool,
    imported: Option<Vec<String>>,
    panics: bool,
    interrupts: usize,
    cancels: Vec<(JobId, Token)>,
    settled: Vec<(JobId, Option<gristmill_core::State>)>,
    lingering: usize,
}

impl Fake {
    pub fn new(slots: usize, prefetch: usize) -> (Self, Control) {
        let shared = Arc::new(Shared::default());
        let tasks = [WORK, WAIT, FAIL, CRASH].map(str::to_owned).to_vec();
        (Self { tasks, slots, prefetch, announcement: None, shared: Arc::clone(&shared) }, Control(shared))
    }

    /// The same with schedules in its code.
    pub fn announcing(self, announcement: Option<Announcement>) -> Self {
        Self { announcement, ..self }
    }
}

impl Control {
    /// Ids of the jobs that have started, in order; one that started twice is there twice.
    pub fn started(&self) -> watch::Receiver<Vec<JobId>> {
        self.0.started.subscribe()
    }

    /// Its code is loaded anew, and has these tasks.
    pub fn import(&self, tasks: &[&str]) {
        self.0.state.lock().unwrap().imported = Some(tasks.iter().map(|task| (*task).to_owned()).collect());
        self.0.happened.notify_one();
    }

    /// Ends a running job.
    pub fn end(&self, id: JobId, outcome: Outcome) {
        self.end_as(id, |claimed| ended(claimed, outcome));
    }

    /// Ends a running job whose handler's own transaction has written the end.
    pub fn end_written(&self, id: JobId, outcome: Outcome) {
        self.end_as(id, |claimed| match ended(claimed, outcome) {
            Event::Ended(ended) => Event::Ended(Ended { written: true, ..ended }),
            other => other,
        });
    }

    /// Ends a running job, and asks what becomes of its end. The executor stays busy until it rests.
    pub fn end_asking(&self, id: JobId, outcome: Outcome) {
        self.0.state.lock().unwrap().lingering += 1;
        self.end_as(id, |claimed| match ended(claimed, outcome) {
            Event::Ended(ended) => Event::Ended(Ended { asks: true, ..ended }),
            other => other,
        });
    }

    /// The same where its handler's own transaction has written the end.
    pub fn end_written_asking(&self, id: JobId, outcome: Outcome) {
        self.0.state.lock().unwrap().lingering += 1;
        self.end_as(id, |claimed| match ended(claimed, outcome) {
            Event::Ended(ended) => Event::Ended(Ended { written: true, asks: true, ..ended }),
            other => other,
        });
    }

    /// What was called after an end is over.
    pub fn rest(&self) {
        let mut state = self.0.state.lock().unwrap();
        state.lingering -= 1;
        state.events.push(Event::Rested);
        drop(state);
        self.0.happened.notify_one();
    }

    /// What it was told of the ends that it asked about, in order.
    pub fn settled(&self) -> Vec<(JobId, Option<gristmill_core::State>)> {
        self.0.state.lock().unwrap().settled.clone()
    }

    /// Ends a running job that has printed something.
    pub fn end_printing(&self, id: JobId, outcome: Outcome, output: &str) {
        self.end_as(id, |claimed| match ended(claimed, outcome) {
            Event::Ended(ended) => Event::Ended(Ended { output: Some(output.into()), ..ended }),
            other => other,
        });
    }

    fn end_as(&self, id: JobId, event: impl FnOnce(Claimed) -> Event) {
        let mut state = self.0.state.lock().unwrap();
        let claimed = state.running.remove(&id).expect("the job runs");
        state.events.push(event(claimed));
        drop(state);
        self.0.happened.notify_one();
    }

    /// Ends a job if it runs at the moment.
    pub fn end_if_it_runs(&self, id: JobId, outcome: Outcome) {
        let mut state = self.0.state.lock().unwrap();
        let Some(claimed) = state.running.remove(&id) else { return };
        state.events.push(ended(claimed, outcome));
        drop(state);
        self.0.happened.notify_one();
    }

    /// The claim of a running job.
    pub fn claimed(&self, id: JobId) -> Claimed {
        self.0.state.lock().unwrap().running.get(&id).expect("the job runs").clone()
    }

    /// A running job says how far it is.
    pub fn progress(&self, id: JobId, done: f64) {
        let mut state = self.0.state.lock().unwrap();
        let token = state.running.get(&id).expect("the job runs").token;
        let progress = Progress { job: id, token, done: Some(done), total: None, message: None, metadata: None };
        state.events.push(Event::Progress(progress));
        drop(state);
        self.0.happened.notify_one();
    }

    /// What the engine has asked it to cancel, in order.
    pub fn cancels(&self) -> Vec<(JobId, Token)> {
        self.0.state.lock().unwrap().cancels.clone()
    }

    /// From now on it does not listen to recall, interrupt and cancel.
    pub fn turn_deaf(&self) {
        self.0.state.lock().unwrap().deaf = true;
    }

    pub fn hear_again(&self) {
        self.0.state.lock().unwrap().deaf = false;
    }

    /// From now on its first step panics.
    pub fn panic_next(&self) {
        self.0.state.lock().unwrap().panics = true;
        self.0.happened.notify_one();
    }

    pub fn say(&self, event: Event) {
        self.0.state.lock().unwrap().events.push(event);
        self.0.happened.notify_one();
    }

    pub fn interrupts(&self) -> usize {
        self.0.state.lock().unwrap().interrupts
    }
}

pub fn success() -> Outcome {
    Outcome::Successful { return_value: "null".into() }
}

/// What a handler raises that may be tried again.
pub fn error() -> Outcome {
    let classes = ["builtins.ValueError", "builtins.Exception"].map(str::to_owned).to_vec();
    Outcome::Failed {
        reason: Reason::Error,
        exception_class_path: "builtins.ValueError".into(),
        traceback: "ValueError: no".into(),
        classes,
        advice: Advice::ByOptions,
    }
}

fn ended(claimed: Claimed, outcome: Outcome) -> Event {
    Event::Ended(Ended {
        claimed,
        started_after: None,
        runner_pid: Some(1),
        outcome,
        output: None,
        written: false,
        asks: false,
    })
}

impl Fake {
    // Starts what there are slots for; what ends at once leaves its slot at once.
    fn fill(&self, state: &mut Inner) {
        while state.running.len() < self.slots {
            let Some(claimed) = state.prefetched.pop_front() else { break };
            self.shared.started.send_modify(|started| started.push(claimed.id));
            let outcome = match claimed.lane.task_name.as_str() {
                WORK | LATE => success(),
                FAIL => Outcome::failed(Reason::Error, "builtins.ValueError", "ValueError: no"),
                CRASH => Outcome::Crashed { how: "signal 9 (SIGKILL)".into() },
                _ => {
                    state.running.insert(claimed.id, claimed);
                    continue;
                }
            };
            state.events.push(ended(claimed, outcome));
        }
    }
}

impl Executor for Fake {
    fn tasks(&self) -> &[String] {
        &self.tasks
    }

    fn announcement(&mut self) -> Option<Announcement> {
        self.announcement.take()
    }

    fn room(&self) -> usize {
        let state = self.shared.state.lock().unwrap();
        (self.slots + self.prefetch).saturating_sub(state.running.len() + state.prefetched.len())
    }

    fn start(&mut self, jobs: Vec<Claimed>) {
        assert!(jobs.len() <= self.room(), "never more than there is room for");
        let mut state = self.shared.state.lock().unwrap();
        state.prefetched.extend(jobs);
        self.fill(&mut state);
        drop(state);
        self.shared.happened.notify_one();
    }

    async fn events(&mut self, into: &mut Vec<Event>) {
        loop {
            {
                let mut state = self.shared.state.lock().unwrap();
                assert!(!state.panics, "planted");
                self.fill(&mut state);
                if let Some(tasks) = state.imported.take() {
                    self.tasks = tasks;
                    state.events.push(Event::Imported);
                }
                if !state.events.is_empty() {
                    into.append(&mut state.events);
                    return;
                }
            }
            self.shared.happened.notified().await;
        }
    }

    fn cancel(&mut self, job: JobId, token: Token) {
        let mut state = self.shared.state.lock().unwrap();
        state.cancels.push((job, token));
        let how = || Outcome::Cancelled { how: "asked".into() };
        if !state.deaf {
            if let Some(at) = state.prefetched.iter().position(|claimed| claimed.id == job) {
                let claimed = state.prefetched.remove(at).unwrap();
                state.events.push(ended(claimed, how()));
            } else if let Some(claimed) = state.running.remove(&job) {
                state.events.push(ended(claimed, how()));
            }
        }
        drop(state);
        self.shared.happened.notify_one();
    }

    fn settled(&mut self, job: JobId, _token: Token, ended: Option<gristmill_core::State>) {
        self.shared.state.lock().unwrap().settled.push((job, ended));
        self.shared.happened.notify_one();
    }

    fn is_busy(&self) -> bool {
        self.shared.state.lock().unwrap().lingering > 0
    }

    fn recall(&mut self) {
        let mut state = self.shared.state.lock().unwrap();
        if !state.deaf {
            let back: Vec<Claimed> = state.prefetched.drain(..).collect();
            state.events.extend(back.into_iter().map(|claimed| ended(claimed, Outcome::HandedBack)));
        }
        drop(state);
        self.shared.happened.notify_one();
    }

    fn interrupt(&mut self) {
        let mut state = self.shared.state.lock().unwrap();
        state.interrupts += 1;
        if !state.deaf {
            let rested = std::mem::take(&mut state.lingering);
            state.events.extend((0..rested).map(|_| Event::Rested));
            let cut: Vec<Claimed> = state.running.drain().map(|(_, claimed)| claimed).collect();
            state.events.extend(cut.into_iter().map(|claimed| ended(claimed, Outcome::Interrupted)));
        }
        drop(state);
        self.shared.happened.notify_one();
    }

    async fn close(&mut self) {}
}
