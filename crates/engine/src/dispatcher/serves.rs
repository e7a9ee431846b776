//! What a worker takes, and what is its own to run that it cannot. Pure.

use std::collections::HashSet;
use std::time::Duration;

use gristmill_core::Lane;

use crate::Options;

/// What this worker takes.
#[derive(Debug)]
pub(crate) struct Serves {
    backend: String,
    queues: Option<HashSet<String>>,
    /// The worker was told which, so that all others are somebody else's.
    queues_are_chosen: bool,
    exclude_queues: HashSet<String>,
    tasks: HashSet<String>,
    /// Queues of which only so many jobs may be held.
    limited: HashSet<String>,
    /// How far away a deadline may be.
    pub(crate) horizon: Option<Duration>,
}

impl Serves {
    pub(crate) fn new(options: &Options, tasks: &[String]) -> Self {
        Self {
            backend: options.backend.clone(),
            queues: options.queues.as_ref().map(|queues| queues.iter().cloned().collect()),
            queues_are_chosen: options.queues_are_chosen,
            exclude_queues: options.exclude_queues.iter().cloned().collect(),
            tasks: tasks.iter().cloned().collect(),
            limited: options.queue_limits.keys().cloned().collect(),
            horizon: options.deadline_horizon,
        }
    }

    /// Whether jobs of it are to be claimed.
    pub(super) fn takes(&self, lane: &Lane) -> bool {
        lane.backend == self.backend
            && self.has_queue(lane)
            && !self.exclude_queues.contains(&lane.queue_name)
            && self.knows(&lane.task_name)
    }

    /// Whether jobs of it are this worker's to run, and it cannot: a task that its code does not have, or a queue that
    /// its backend's settings do not have.
    pub(crate) fn misses(&self, lane: &Lane) -> bool {
        lane.backend == self.backend
            && !self.exclude_queues.contains(&lane.queue_name)
            && if self.has_queue(lane) { !self.knows(&lane.task_name) } else { !self.queues_are_chosen }
    }

    pub(crate) fn has_queue(&self, lane: &Lane) -> bool {
        self.queues.as_ref().is_none_or(|queues| queues.contains(&lane.queue_name))
    }

    pub(crate) fn knows(&self, task_name: &str) -> bool {
        self.tasks.contains(task_name)
    }

    /// Whether its code has any task whose path begins so.
    pub(crate) fn knows_of(&self, module: &str) -> bool {
        self.tasks.iter().any(|task| task.rsplit_once('.').is_some_and(|(of, _)| of == module))
    }

    /// Whether it takes any number of them that there is room for. A claim cannot divide what it finds among limits.
    pub(crate) fn takes_any(&self, lane: &Lane) -> bool {
        self.takes(lane) && !self.limited.contains(&lane.queue_name)
    }
}
