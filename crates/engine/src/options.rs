//! How a worker was asked to behave.

use std::collections::HashMap;
use std::time::Duration;

use gristmill_core::Lease;

/// The options of one worker; the defaults are those of `manage.py gristmill worker`.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one field an option of the command")]
pub struct Options {
    /// `TASKS` alias it serves.
    pub backend: String,
    /// Queues it serves; `None` serves any.
    pub queues: Option<Vec<String>>,
    /// Somebody chose these queues for this worker: what others have ready is not for it to tell.
    pub queues_are_chosen: bool,
    /// Queues it leaves alone.
    pub exclude_queues: Vec<String>,
    /// Shown to people.
    pub label: String,
    /// Runners.
    pub processes: u32,
    /// Claim what is due now, once for each runner, run it, end.
    pub once: bool,
    /// End when nothing is ready or running any more.
    pub until_done: bool,
    /// Jobs that nobody here can run are left without a word in the exit status.
    pub allow_unserved: bool,
    /// End after so many jobs.
    pub max_jobs: Option<u64>,
    /// Announce the schedules of the executor's code, and tick those of its backend whose queue it serves.
    pub schedules: bool,
    /// Longest wait between two looks while idle.
    pub poll_interval: Duration,
    /// How long a stop waits for running jobs.
    pub grace: Duration,
    /// How many jobs of a queue may run at once in this worker; a queue that is not named may use every runner.
    pub queue_limits: HashMap<String, u32>,
    /// The worker claims only jobs whose deadline is no further away; `None` is any.
    pub deadline_horizon: Option<Duration>,
    /// How long finished jobs are kept that have no retention of their own.
    pub retention: Duration,
    /// Heartbeat and all that follows from it.
    pub lease: Lease,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backend: "default".into(),
            queues: None,
            queues_are_chosen: false,
            exclude_queues: Vec::new(),
            label: String::new(),
            processes: 1,
            once: false,
            until_done: false,
            allow_unserved: false,
            max_jobs: None,
            schedules: true,
            poll_interval: Duration::from_secs(2),
            grace: Duration::from_secs(25),
            queue_limits: HashMap::new(),
            deadline_horizon: None,
            retention: Duration::from_hours(14 * 24),
            lease: Lease::new(Duration::from_secs(5)),
        }
    }
}
