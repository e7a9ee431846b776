//! A small Django project in a temporary folder, and a pool that runs its tasks.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test file uses a part of it")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gristmill_core::{Claimed, Counts, JobId, Lane, Moment, Outcome, Progress, StoredOptions, Token, WorkerId};
use gristmill_engine::Executor;
use gristmill_engine::executor::{Ended, Event};
use gristmill_pool::{Config, Lease, Pool};
use tokio::sync::watch;

/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Project {
    pub folder: PathBuf,
}

const SETTINGS: &str = r#"
SECRET_KEY = "test"
USE_TZ = True
INSTALLED_APPS = ["shop"]
DATABASES = {}
TASKS = {"default": {"BACKEND": "backend.Backend"}}
LOGGING_CONFIG = None
"#;

// Stands in for the real backend, which needs a database.
const BACKEND: &str = r"
from dataclasses import dataclass

from gristmill.compat import BaseTaskBackend, Task
from gristmill.tasks import registry


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredTask(Task):
    def __post_init__(self):
        Task.__post_init__(self)
        registry.register(self)


class Backend(BaseTaskBackend):
    task_class = RegisteredTask
    supports_defer = supports_async_task = supports_priority = True

    def enqueue(self, task, args, kwargs):
        raise NotImplementedError
";

impl Project {
    pub fn with_tasks(tasks: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gristmill-{}", JobId::new()));
        let project = Self { folder };
        std::fs::create_dir_all(project.folder.join("shop")).unwrap();
        project.write("settings.py", SETTINGS);
        project.write("backend.py", BACKEND);
        project.write("shop/__init__.py", "");
        project.write_tasks(tasks);
        project
    }

    pub fn write_tasks(&self, tasks: &str) {
        let head = "import os, signal, subprocess, sys, time\nfrom gristmill.compat import task\n\n";
        self.write("shop/tasks.py", &format!("{head}{tasks}"));
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn config(&self) -> Config {
        let python = std::env::var_os("GRISTMILL_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python").canonicalize().unwrap();
        // Only what the interpreter adds by itself is missing from this; PYTHONPATH brings the rest.
        Config {
            python: python.into(),
            python_options: Vec::new(),
            python_path: Vec::new(),
            settings_module: Some("settings".into()),
            backend: "default".into(),
            processes: 2,
            max_jobs_per_runner: None,
            reload: false,
            concurrency: 10,
            max_runner_memory_mb: None,
            unprefetched: std::collections::HashSet::new(),
            callback_timeout: Duration::from_secs(30),
            dialect: gristmill_store::Dialect::Sqlite,
            env: vec![
                ("PYTHONPATH".into(), Some(std::env::join_paths([source, self.folder.clone()]).unwrap())),
                ("PYTHONDONTWRITEBYTECODE".into(), Some("1".into())),
            ],
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

pub struct Worker {
    pub pool: Pool,
    pub lease: watch::Sender<Option<Lease>>,
    pub ended: HashMap<JobId, Ended>,
    pub broken: Option<String>,
    pub progress: Vec<Progress>,
    waited_for: Vec<JobId>,
}

impl Worker {
    pub async fn start(config: Config) -> Self {
        let (lease, watched) = watch::channel(None);
        let pool = Pool::start(config, watched).await.unwrap_or_else(|error| panic!("{error}"));
        let mut worker =
            Self { pool, lease, ended: HashMap::new(), broken: None, progress: Vec::new(), waited_for: Vec::new() };
        worker.until("runners are up", |worker| worker.pool.room() > 0).await;
        worker
    }

    pub fn vouch(&self, seconds: f64) {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        self.lease.send_replace(Some(Lease { worker_id: WorkerId::new(), until, life: None }));
    }

    /// Starts one job whatever the room; gives its id.
    pub fn run(&mut self, task: &str, args: &str) -> JobId {
        let claimed = claim(task, args);
        let id = claimed.id;
        self.pool.start(vec![claimed]);
        id
    }

    /// As [`Worker::run`], with options stored on the job; gives the claim.
    pub fn run_with(&mut self, task: &str, args: &str, options: &str) -> Claimed {
        let mut claimed = claim(task, args);
        claimed.stored_options = StoredOptions::of(Some(options.into()));
        self.pool.start(vec![claimed.clone()]);
        claimed
    }

    pub async fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut events = Vec::new();
        while !holds(self) {
            assert!(Instant::now() < deadline, "in vain: {what}");
            // The turn is short because `holds` may ask about the world, which sends no events.
            drop(tokio::time::timeout(Duration::from_millis(20), self.pool.events(&mut events)).await);
            for event in events.drain(..) {
                match event {
                    Event::Ended(ended) => {
                        let id = ended.claimed.id;
                        assert!(self.ended.insert(id, ended).is_none(), "job {id} ended twice");
                    }
                    Event::Imported | Event::Room | Event::Rested | Event::Noted(_) | Event::Announced(_) => {}
                    Event::Progress(progress) => self.progress.push(progress),
                    Event::Broken(why) => self.broken = Some(why),
                }
            }
        }
    }

    pub async fn end_of(&mut self, id: JobId) -> &Ended {
        self.until("a job ends", |worker| worker.ended.contains_key(&id)).await;
        &self.ended[&id]
    }

    pub async fn outcome(&mut self, task: &str, args: &str) -> Outcome {
        let id = self.run(task, args);
        self.end_of(id).await.outcome.clone()
    }

    pub async fn close(mut self) {
        self.pool.close().await;
    }

    /// Closes the pool and keeps what was told.
    pub async fn close_first(&mut self) {
        self.pool.close().await;
    }
}

pub fn claim(task: &str, args: &str) -> Claimed {
    let now = Moment("2026-01-01 10:00:00.000000".into());
    Claimed {
        id: JobId::new(),
        token: Token(1),
        lane: Lane { backend: "default".into(), queue_name: "default".into(), task_name: format!("shop.tasks.{task}") },
        priority: 0,
        deadline: now.clone(),
        run_after: None,
        enqueued_at: now.clone(),
        claimed_at: now,
        started_at: None,
        generation: 1,
        counts: Counts::default(),
        misfits: gristmill_core::Misfits::default(),
        args: args.into(),
        kwargs: "{}".into(),
        stored_options: StoredOptions::default(),
        worker_id: WorkerId::new(),
    }
}

pub fn crash(how: &str) -> Outcome {
    Outcome::Crashed { how: how.into() }
}

pub fn returned(json: &str) -> Outcome {
    Outcome::Successful { return_value: json.into() }
}

/// Whether a process exists and is no zombie.
pub fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

/// Every process whose environment names the project: the zygote, its runners and what they started.
pub fn processes_of(project: &Project) -> Vec<u32> {
    let needle = project.folder.to_str().unwrap().as_bytes().to_vec();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.windows(needle.len()).any(|window| window == needle) && lives(pid) {
            found.push(pid);
        }
    }
    found
}
