//! How to start Python, and how much of it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How to start Python, and how much of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The interpreter.
    pub python: PathBuf,
    /// The interpreter's own options, as on a command line: `-O`, `-Wdefault`, `-Xdev`.
    pub python_options: Vec<String>,
    /// `sys.path` of the process that asked for a worker; empty leaves the interpreter's own.
    pub python_path: Vec<PathBuf>,
    /// `DJANGO_SETTINGS_MODULE`; `None` leaves the environment's.
    pub settings_module: Option<String>,
    /// `TASKS` alias.
    pub backend: String,
    /// Runners.
    pub processes: usize,
    /// A runner is replaced after so many jobs.
    pub max_jobs_per_runner: Option<u64>,
    /// Async jobs that one runner runs at once.
    pub concurrency: usize,
    /// A runner that uses more memory than this after a job is replaced; MiB.
    pub max_runner_memory_mb: Option<u64>,
    /// Queues whose jobs are never sent to a runner to wait there behind another one.
    pub unprefetched: HashSet<String>,
    /// How long what is called besides handlers may take: receivers of signals, hooks, backoff functions.
    pub callback_timeout: Duration,
    /// What the SQL that ends transactional jobs is written in.
    pub dialect: gristmill_store::Dialect,
    /// Start afresh when a source file changes.
    pub reload: bool,
    /// Changed in the environment of the Python processes; `None` takes a name away.
    pub env: Vec<(OsString, Option<OsString>)>,
}
