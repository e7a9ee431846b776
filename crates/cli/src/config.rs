//! What `manage.py gristmill worker` hands over: settings and options as JSON on an inherited descriptor,
//! so that no password ever stands in an argument list.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use gristmill_core::Lease;
use serde::Deserialize;

/// Names the environment variable that holds the descriptor's number.
const DESCRIPTOR: &str = "GRISTMILL_CONFIG_FD";

/// The whole of it.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "one field an option of the command")]
pub(crate) struct Config {
    pub(crate) database: gristmill_store::Settings,
    /// Its alias in DATABASES.
    pub(crate) database_alias: String,
    /// What runners find in their environment in place of what this process was given; null is nothing.
    #[serde(default)]
    pub(crate) environment: HashMap<String, Option<String>>,
    pub(crate) python: PathBuf,
    #[serde(default)]
    pub(crate) python_options: Vec<String>,
    pub(crate) python_path: Vec<String>,
    pub(crate) settings_module: String,
    pub(crate) backend: String,
    pub(crate) queues: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) queues_are_chosen: bool,
    #[serde(default)]
    pub(crate) exclude_queues: Vec<String>,
    #[serde(default)]
    pub(crate) label: String,
    pub(crate) processes: Option<u32>,
    #[serde(default)]
    pub(crate) once: bool,
    #[serde(default)]
    pub(crate) until_done: bool,
    #[serde(default)]
    pub(crate) allow_unserved: bool,
    pub(crate) max_jobs: Option<u64>,
    #[serde(default = "yes")]
    pub(crate) schedules: bool,
    pub(crate) poll_interval: Option<f64>,
    pub(crate) grace: Option<f64>,
    pub(crate) heartbeat: Option<f64>,
    /// Written anew whenever the lease is renewed, for probes.
    pub(crate) heartbeat_file: Option<PathBuf>,
    pub(crate) max_jobs_per_runner: Option<u64>,
    pub(crate) max_runner_memory_mb: Option<u64>,
    pub(crate) concurrency: Option<usize>,
    /// Seconds.
    pub(crate) callback_timeout: Option<f64>,
    /// Seconds.
    pub(crate) retention: Option<f64>,
    pub(crate) deadline_horizon_seconds: Option<f64>,
    #[serde(default)]
    pub(crate) queue_limits: HashMap<String, u32>,
    #[serde(default)]
    pub(crate) unprefetched: HashSet<String>,
    #[serde(default)]
    pub(crate) reload: bool,
    #[serde(default)]
    pub(crate) json_logs: bool,
    /// Say each job's success too.
    #[serde(default)]
    pub(crate) log_jobs: bool,
    /// The process that called for this worker and waits for it; `None` where it has become this one.
    #[serde(default)]
    pub(crate) parent: Option<u32>,
    #[serde(default = "normal")]
    pub(crate) verbosity: u8,
}

fn yes() -> bool {
    true
}

fn normal() -> u8 {
    1
}

impl Config {
    /// Reads it to the end of the descriptor.
    pub(crate) fn inherited() -> Result<Self, String> {
        let descriptor = std::env::var(DESCRIPTOR)
            .ok()
            .and_then(|number| number.parse::<u32>().ok())
            .ok_or("start a worker with `manage.py gristmill worker`; it hands over the project's settings")?;
        let mut text = String::new();
        File::open(format!("/proc/self/fd/{descriptor}"))
            .and_then(|mut file| file.read_to_string(&mut text))
            .map_err(|error| format!("cannot read the settings handed over by manage.py: {error}"))?;
        serde_json::from_str(&text)
            .map_err(|error| format!("cannot understand the settings handed over by manage.py: {error}"))
    }

    /// Runners: as asked, else one a core.
    pub(crate) fn processes(&self) -> u32 {
        self.processes.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
        })
    }

    /// How long receivers of signals, hooks and backoff functions may take.
    pub(crate) fn callback_timeout(&self) -> Duration {
        let given = self.callback_timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        given.unwrap_or(Duration::from_secs(30))
    }

    /// What the engine is to do.
    pub(crate) fn engine_options(&self) -> gristmill_engine::Options {
        let defaults = gristmill_engine::Options::default();
        let seconds = |given: Option<f64>, default: Duration| {
            given.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(default)
        };
        gristmill_engine::Options {
            backend: self.backend.clone(),
            queues: self.queues.clone(),
            queues_are_chosen: self.queues_are_chosen,
            exclude_queues: self.exclude_queues.clone(),
            label: self.label.clone(),
            processes: self.processes(),
            once: self.once,
            until_done: self.until_done,
            allow_unserved: self.allow_unserved,
            max_jobs: self.max_jobs,
            schedules: self.schedules,
            poll_interval: seconds(self.poll_interval, defaults.poll_interval),
            grace: seconds(self.grace, defaults.grace),
            queue_limits: self.queue_limits.clone(),
            // One that is longer than a duration can be is none.
            deadline_horizon: self.deadline_horizon_seconds.and_then(|given| Duration::try_from_secs_f64(given).ok()),
            retention: seconds(self.retention, defaults.retention),
            lease: Lease::new(seconds(self.heartbeat, defaults.lease.heartbeat)),
        }
    }
}
