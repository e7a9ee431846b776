//! `gristmill worker`: wires one worker together and sees it to its end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use gristmill_engine::{Ending, Executor, REFUSED, Stage, Standing, Stopper, Worker, shutdown};
use gristmill_pool::{Lease, Pool};
use gristmill_store::{Error as StoreError, Session, Settings, Store};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::Config;
use crate::heartbeat_file::HeartbeatFile;
use crate::login::{Asking, Login};
use crate::signals::StopSignals;
use crate::{logging, refusal};

/// Async jobs that one runner runs at once, unless it is told.
const ASYNC_JOBS: usize = 10;
/// How soon it notices that the process that called for it is gone.
const NOTICES_ORPHANED: Duration = Duration::from_secs(1);
/// The worker came up and could not go on; same as a crash of its own.
const CRASHED: u8 = 99;

pub(crate) fn run() -> Result<ExitCode, String> {
    let config = Config::inherited()?;
    logging::start(config.json_logs, config.verbosity, config.log_jobs);
    let json = config.json_logs;
    // One thread: the work is in the database and in the runners, and the thread that starts the zygote has to
    // live as long as this process.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let ended = runtime.block_on(work(config));
    // A file system that does not answer keeps nobody from leaving.
    runtime.shutdown_background();
    Ok(ended.unwrap_or_else(|sentence| {
        logging::refuse(json, &sentence);
        ExitCode::from(REFUSED)
    }))
}

async fn work(config: Config) -> Result<ExitCode, String> {
    let (stopper, stop) = shutdown::channel();
    let signals = StopSignals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    if let Some(parent) = config.parent {
        tokio::spawn(end_with(parent, stopper.clone()));
    }
    let engine_options = config.engine_options();
    let grace = engine_options.grace;
    let heartbeat_file = match &config.heartbeat_file {
        Some(path) => Some(HeartbeatFile::prepare(path, engine_options.lease)?),
        None => None,
    };
    tokio::spawn(pass_on(signals, stopper, grace));

    let store = Store::new(config.database.clone()).map_err(|error| error.to_string())?;
    check(&store).await?;

    let (lease, leases) = watch::channel(None);
    let pool = match Pool::start(pool_config(&config), leases).await {
        Ok(pool) => pool,
        Err(error) => {
            if let gristmill_pool::Error::Import { traceback, .. } = &error
                && config.verbosity > 1
            {
                tracing::error!(target: "gristmill", traceback = %traceback, "the project cannot be imported");
            }
            logging::refuse(config.json_logs, &error.to_string());
            let is_for_good =
                matches!(error, gristmill_pool::Error::Import { .. } | gristmill_pool::Error::Python { .. });
            return Ok(ExitCode::from(if is_for_good { REFUSED } else { CRASHED }));
        }
    };
    announce(&config, &pool);
    let login = Login::new(store, asking(&config));
    let worker = Worker::new(login.clone(), pool, engine_options);
    tokio::spawn(extend(worker.standing(), login, lease));
    let heartbeat_file = heartbeat_file.map(|file| (file.clone(), tokio::spawn(file.keep(worker.standing()))));
    match worker.run(stop).await {
        Ok(ending) => {
            if let Ending::Crashed(why) = &ending {
                logging::refuse(config.json_logs, why);
            } else if let Some((file, kept)) = heartbeat_file {
                file.remove(kept).await;
            }
            Ok(ExitCode::from(ending.exit_status()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Says at once what trying again cannot mend; a database that is away is waited for.
async fn check(store: &Store) -> Result<(), String> {
    match store.open().await {
        Ok(session) => agree(store, session).await,
        Err(StoreError::Unavailable(why)) if refusal::is_for_good(&why) => Err(refusal::sentence(&why)),
        Err(StoreError::Refused(why)) if refusal::is_for_good(&why.to_string()) => {
            Err(refusal::sentence(&why.to_string()))
        }
        Err(StoreError::Unavailable(why)) => {
            warn!("the database is not there yet ({why}); the worker waits for it");
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Two sessions that read different tables, or as different roles, are two queues to everybody but this worker.
async fn agree(store: &Store, mut session: Session) -> Result<(), String> {
    let Settings::Postgres(server) = store.settings() else { return Ok(()) };
    let Some(expected) = &server.whereabouts else { return Ok(()) };
    // What goes wrong now is the worker's to wait for.
    let Ok(Some(found)) = session.whereabouts().await else { return Ok(()) };
    match expected.difference(&found) {
        None => Ok(()),
        Some(what) => Err(format!(
            "Django's session and the worker's own do not agree on the {what}; whatever sets it for Django alone (a signal \
             connection_created, a database backend of the project's) has to stand in OPTIONS of DATABASES"
        )),
    }
}

fn pool_config(config: &Config) -> gristmill_pool::Config {
    gristmill_pool::Config {
        python: config.python.clone(),
        python_options: config.python_options.clone(),
        python_path: config.python_path.iter().map(PathBuf::from).collect(),
        settings_module: Some(config.settings_module.clone()),
        backend: config.backend.clone(),
        processes: config.processes() as usize,
        max_jobs_per_runner: config.max_jobs_per_runner,
        max_runner_memory_mb: config.max_runner_memory_mb,
        concurrency: config.concurrency.unwrap_or(ASYNC_JOBS),
        unprefetched: config.unprefetched.clone(),
        callback_timeout: config.callback_timeout(),
        dialect: config.database.dialect(),
        reload: config.reload,
        env: config.environment.iter().map(|(name, value)| (name.into(), value.as_ref().map(Into::into))).collect(),
    }
}

fn asking(config: &Config) -> Asking {
    Asking {
        python: config.python.clone(),
        python_options: config.python_options.clone(),
        python_path: config.python_path.clone(),
        settings_module: config.settings_module.clone(),
        alias: config.database_alias.clone(),
        environment: config.environment.clone(),
    }
}

fn announce(config: &Config, pool: &Pool) {
    let queues = match &config.queues {
        Some(queues) => format!("queues {}", queues.join(", ")),
        None => "any queue".to_owned(),
    };
    let without = if config.exclude_queues.is_empty() {
        String::new()
    } else {
        format!(" without {}", config.exclude_queues.join(", "))
    };
    let runners = counted(config.processes() as usize, "runner");
    let at_once = config.concurrency.unwrap_or(ASYNC_JOBS);
    let each = if pool.runs_async() && at_once > 1 {
        format!(", up to {at_once} async jobs at once in each")
    } else {
        String::new()
    };
    let (tasks, modules) = (counted(pool.tasks().len(), "task"), counted(pool.modules(), "module"));
    info!("serving {queues}{without} with {runners}{each}, {tasks} of {modules}; Ctrl-C stops it");
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Each stop signal is one request; the engine knows what the second and third mean.
async fn pass_on(mut signals: StopSignals, stopper: Stopper, grace: Duration) {
    let mut told = Stage::Running;
    loop {
        let signal = signals.next().await;
        let stage = stopper.request();
        // A storm of signals is one request, and told once.
        if stage > told {
            info!("{signal}: {}", what_happens(stage, grace));
        }
        told = stage;
    }
}

/// What a request does, and what the next ones would.
fn what_happens(stage: Stage, grace: Duration) -> String {
    match stage {
        Stage::Running => "goes on".into(),
        Stage::Draining => format!(
            "stopping: claims nothing more, and lets what runs finish for up to {} s. Once more, 2 s from now or later: \
             hands it back, to run again elsewhere. A third time: ends at once",
            grace.as_secs_f64()
        ),
        Stage::Stopping => "hands back what runs, now. Once more: ends at once".into(),
        Stage::Exiting => "ends at once; what ran is taken over by other workers".into(),
    }
}

/// Who called for this worker is gone, as after a `kill -9`: nobody waits for it any more, so it drains.
async fn end_with(parent: u32, stopper: Stopper) {
    let is_there = || rustix::process::getppid().is_some_and(|pid| pid.as_raw_pid().unsigned_abs() == parent);
    while is_there() {
        tokio::time::sleep(NOTICES_ORPHANED).await;
    }
    warn!("the process that called for this worker is gone");
    stopper.advance(Stage::Draining);
}

/// Tells the pool's fence of every acknowledged heartbeat, also while the dispatcher waits for the database.
async fn extend(mut standing: watch::Receiver<Standing>, login: Login, lease: watch::Sender<Option<Lease>>) {
    loop {
        let now = *standing.borrow_and_update();
        let until = now.runs_until();
        lease.send_replace(until.map(|until| Lease { worker_id: now.worker, until, life: login.life() }));
        if standing.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ctrl_c_says_what_happens_now_and_what_the_next_ones_do() {
        let said = what_happens(Stage::Draining, Duration::from_secs(25));
        for words in ["claims nothing more", "up to 25 s", "Once more", "hands it back", "A third time: ends at once"] {
            assert!(said.contains(words), "{said}");
        }
        assert!(what_happens(Stage::Stopping, Duration::ZERO).contains("Once more: ends at once"));
    }
}
