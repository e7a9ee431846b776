//! Where the engine's sessions come from: a store whose login is asked of Python anew when it is refused.
//!
//! A password may be rotated, or a token expire, while a worker runs; a database backend of the project's own knows the next
//! one. What Python has no better answer for either is final after a while, and ends the worker.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gristmill_core::WorkerId;
use gristmill_engine::Sessions;
use gristmill_store::{Error, LifeLock, Result, Session, Settings, Store, WakeUps};
use tracing::{info, warn};

use crate::refusal;

/// As the zygote is started: not with `-m`, which looks for modules in the current directory first.
const START: &str = "import sys; sys.path[:1] = [] if sys.path[:1] == [''] else sys.path[:1]; \
                     from gristmill.worker.connecting.fresh_login import main; main()";
/// Between two questions to Python, which imports the project for each.
const PAUSE: Duration = Duration::from_secs(10);
/// A login that is refused for so long, fresh answers included, will not be let in by waiting.
const PATIENCE: Duration = Duration::from_secs(40);

/// How Python is asked.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) python: PathBuf,
    pub(crate) python_options: Vec<String>,
    pub(crate) python_path: Vec<String>,
    pub(crate) settings_module: String,
    pub(crate) alias: String,
    /// What it finds in its environment in place of what this process was given; `None` is nothing.
    pub(crate) environment: HashMap<String, Option<String>>,
}

/// Opens sessions; cheap to clone.
#[derive(Clone)]
pub(crate) struct Login {
    asking: Arc<Asking>,
    state: Arc<Mutex<State>>,
    /// What the zygote is to keep open as long as anything of it runs.
    life: Arc<Mutex<Option<Arc<OwnedFd>>>>,
}

struct State {
    store: Store,
    /// Since when nobody is let in.
    refused: Option<Instant>,
    asked: Option<Instant>,
}

impl Login {
    pub(crate) fn new(store: Store, asking: Asking) -> Self {
        let state = State { store, refused: None, asked: None };
        Self { asking: Arc::new(asking), state: Arc::new(Mutex::new(state)), life: Arc::default() }
    }

    /// A copy of the lock that the worker holds now, where it has one.
    pub(crate) fn life(&self) -> Option<Arc<OwnedFd>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> Store {
        self.state().store.clone()
    }

    /// What an answer says of the login; a refusal has Python asked, and is fatal once it has lasted.
    fn judge<T>(&self, answer: Result<T>) -> Result<T> {
        let why = match &answer {
            Ok(_) => {
                self.state().refused = None;
                return answer;
            }
            Err(Error::Unavailable(why)) => why.clone(),
            Err(Error::Refused(why)) => why.to_string(),
            Err(_) => return answer,
        };
        if !refusal::is_for_good(&why) {
            return answer;
        }
        let mut state = self.state();
        let now = Instant::now();
        let since = *state.refused.get_or_insert(now);
        if now.duration_since(since) >= PATIENCE {
            return Err(Error::Settings(refusal::sentence(&why)));
        }
        if state.asked.is_none_or(|at| now.duration_since(at) >= PAUSE) {
            state.asked = Some(now);
            drop(state);
            self.ask();
        }
        answer.map_err(|_| Error::Unavailable(why))
    }

    /// In a thread of its own: whoever wants a session does not wait for an import.
    fn ask(&self) {
        let this = self.clone();
        tokio::task::spawn_blocking(move || match this.asking.settings().and_then(|settings| this.take(settings)) {
            Ok(true) => info!("the login was refused; Python gave another one"),
            Ok(false) => warn!("the login was refused, and Python knows no other"),
            Err(why) => warn!("the login was refused, and Python could not be asked for another one: {why}"),
        });
    }

    /// Whether it is another login.
    fn take(&self, settings: Settings) -> std::result::Result<bool, String> {
        let mut state = self.state();
        if *state.store.settings() == settings {
            return Ok(false);
        }
        state.store = Store::new(settings).map_err(|error| error.to_string())?;
        Ok(true)
    }
}

impl Asking {
    fn settings(&self) -> std::result::Result<Settings, String> {
        let path = std::env::join_paths(&self.python_path).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.python);
        command.args(&self.python_options).args(["-c", START, &self.alias]);
        command.env("PYTHONPATH", path).env("DJANGO_SETTINGS_MODULE", &self.settings_module);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let answer = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&answer.stdout);
        // What the project prints while it is imported comes before.
        let line = said.trim_end().rsplit('\n').next().unwrap_or_default();
        serde_json::from_str(line).map_err(|_| {
            let complaint = String::from_utf8_lossy(&answer.stderr);
            complaint.trim_end().rsplit('\n').next().unwrap_or_default().to_owned()
        })
    }
}

impl Sessions for Login {
    async fn open(&self) -> Result<Session> {
        let answer = self.store().open().await;
        self.judge(answer)
    }

    async fn wake_ups(&self) -> Result<WakeUps> {
        self.store().wake_ups().await
    }

    fn hold_life(&self, worker: WorkerId) -> Result<Option<LifeLock>> {
        let lock = Sessions::hold_life(&self.store(), worker)?;
        let shared = lock.as_ref().map(LifeLock::share).transpose();
        let shared = shared.map_err(|error| Error::Settings(format!("the worker's lock cannot be shared: {error}")))?;
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = shared.flatten().map(Arc::new);
        Ok(lock)
    }
}
