//! An executor whose jobs do what the test says: by the name of their task, or when the test ends them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use gristmill_core::{Claimed, JobId, Outcome, Reason, Token};
use gristmill_engine::{Ended, Event, Executor};
use tokio::sync::{Notify, watch};

/// Returns at once.
pub const WORK: &str = "tests.work";
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
    shared: Arc<Shared>,
}

/// What the test holds of a [`Fake`].
#[derive(Clone)]
pub struct Control(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    happened: Notify,
    started: watch::Sender<Vec<JobId>>,
}

#[derive(Default)]
struct State {
    running: HashMap<JobId, Claimed>,
    prefetched: VecDeque<Claimed>,
    events: Vec<Event>,
    deaf: bool,
    panics: bool,
    interrupts: usize,
}

impl Fake {
    pub fn new(slots: usize, prefetch: usize) -> (Self, Control) {
        let shared = Arc::new(Shared::default());
        let tasks = [WORK, WAIT, FAIL, CRASH].map(str::to_owned).to_vec();
        (Self { tasks, slots, prefetch, shared: Arc::clone(&shared) }, Control(shared))
    }
}

impl Control {
    /// Ids of the jobs that have started, in order; one that started twice is there twice.
    pub fn started(&self) -> watch::Receiver<Vec<JobId>> {
        self.0.started.subscribe()
    }

    /// Ends a running job.
    pub fn end(&self, id: JobId, outcome: Outcome) {
        let mut state = self.0.state.lock().unwrap();
        let claimed = state.running.remove(&id).expect("the job runs");
        state.events.push(ended(claimed, outcome));
        drop(state);
        self.0.happened.notify_one();
    }

    /// From now on it does not listen to recall and interrupt.
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

fn ended(claimed: Claimed, outcome: Outcome) -> Event {
    Event::Ended(Ended { claimed, started_after: None, runner_pid: Some(1), outcome, output: None, written: false })
}

impl Fake {
    // Starts what there are slots for; what ends at once leaves its slot at once.
    fn fill(&self, state: &mut State) {
        while state.running.len() < self.slots {
            let Some(claimed) = state.prefetched.pop_front() else { break };
            self.shared.started.send_modify(|started| started.push(claimed.id));
            let outcome = match claimed.lane.task_name.as_str() {
                WORK => success(),
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
                if !state.events.is_empty() {
                    into.append(&mut state.events);
                    return;
                }
            }
            self.shared.happened.notified().await;
        }
    }

    fn cancel(&mut self, _job: JobId, _token: Token) {}

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
            let cut: Vec<Claimed> = state.running.drain().map(|(_, claimed)| claimed).collect();
            state.events.extend(cut.into_iter().map(|claimed| ended(claimed, Outcome::Interrupted)));
        }
        drop(state);
        self.shared.happened.notify_one();
    }

    async fn close(&mut self) {}
}
