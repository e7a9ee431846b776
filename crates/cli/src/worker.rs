//! `gristmill worker`: wires one worker together and sees it to its end.

use std::path::PathBuf;
use std::process::ExitCode;

use gristmill_engine::{Ending, Standing, Stopper, Worker, shutdown};
use gristmill_pool::{Lease, Pool};
use gristmill_store::{Error as StoreError, Store};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::config::Config;
use crate::logging;
use crate::signals::StopSignals;

/// Async jobs that one runner runs at once, unless it is told.
const ASYNC_JOBS: usize = 10;
/// The worker came up and could not go on; same as a crash of its own.
const CRASHED: u8 = 99;

pub(crate) fn run() -> Result<ExitCode, String> {
    let config = Config::inherited()?;
    logging::start(config.json_logs, config.verbosity);
    // One thread: the work is in the database and in the runners, and the thread that starts the zygote has to
    // live as long as this process.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(work(config))
}

async fn work(config: Config) -> Result<ExitCode, String> {
    let (stopper, stop) = shutdown::channel();
    let signals = StopSignals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    tokio::spawn(pass_on(signals, stopper));

    let store = Store::new(config.database.clone()).map_err(|error| error.to_string())?;
    check(&store).await?;

    let (lease, leases) = watch::channel(None);
    let pool = match Pool::start(pool_config(&config), leases).await {
        Ok(pool) => pool,
        Err(error) => {
            if let gristmill_pool::Error::Import { traceback, .. } = &error
                && config.verbosity > 1
            {
                eprintln!("{traceback}");
            }
            eprintln!("gristmill: {error}");
            return Ok(ExitCode::from(CRASHED));
        }
    };
    announce(&config, &pool);
    let worker = Worker::new(store, pool, config.engine_options());
    tokio::spawn(extend(worker.standing(), lease));
    match worker.run(stop).await {
        Ok(ending) => {
            if let Ending::Crashed(why) = &ending {
                eprintln!("gristmill: {why}");
            }
            Ok(ExitCode::from(ending.exit_status()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Says at once what trying again cannot mend; a database that is away is waited for.
async fn check(store: &Store) -> Result<(), String> {
    match store.open().await {
        Ok(_) => Ok(()),
        Err(StoreError::Unavailable(why) | StoreError::Refused(why)) if is_for_good(&why) => Err(refusal(&why)),
        Err(StoreError::Unavailable(why)) => {
            warn!("the database is not there yet ({why}); the worker waits for it");
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// What a server or a pooler before it says when it lets nobody in like this. A pooler says most of it with the same
/// SQLSTATE as what passes, so the words decide.
const REFUSALS: [&str; 8] = [
    "authentication failed",
    "no pg_hba.conf entry",
    "no such user",
    "no such database",
    "does not exist",
    "startup parameter",
    "does not support TLS",
    "without TLS support",
];

fn is_for_good(why: &str) -> bool {
    REFUSALS.iter().any(|words| why.contains(words))
}

fn refusal(why: &str) -> String {
    let why = why.trim_start_matches("error returned from database: ");
    let next = if why.contains("startup parameter") {
        "a worker's session needs these settings, so give the worker a database alias that leads to the server itself"
    } else {
        "correct the DATABASES setting or the server's, and start the worker again"
    };
    format!("the database does not let the worker in: {why}; {next}")
}

fn pool_config(config: &Config) -> gristmill_pool::Config {
    gristmill_pool::Config {
        python: config.python.clone(),
        python_path: config.python_path.iter().map(PathBuf::from).collect(),
        settings_module: Some(config.settings_module.clone()),
        backend: config.backend.clone(),
        processes: config.processes() as usize,
        max_jobs_per_runner: config.max_jobs_per_runner,
        max_runner_memory_mb: config.max_runner_memory_mb,
        concurrency: config.concurrency.unwrap_or(ASYNC_JOBS),
        unprefetched: config.unprefetched.clone(),
        dialect: config.database.dialect(),
        reload: config.reload,
        env: Vec::new(),
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
    let runners = match config.processes() {
        1 => "1 runner".to_owned(),
        many => format!("{many} runners"),
    };
    let at_once = config.concurrency.unwrap_or(ASYNC_JOBS);
    let each = if pool.runs_async() && at_once > 1 {
        format!(", up to {at_once} async jobs at once in each")
    } else {
        String::new()
    };
    info!("serving {queues}{without} with {runners}{each}; Ctrl-C stops it");
}

/// Each stop signal is one request; the engine knows what the second and third mean.
async fn pass_on(mut signals: StopSignals, stopper: Stopper) {
    loop {
        let signal = signals.next().await;
        let stage = stopper.request();
        info!("{signal}: {stage:?}");
    }
}

/// Tells the pool's fence of every acknowledged heartbeat, also while the mill waits for the database.
async fn extend(mut standing: watch::Receiver<Standing>, lease: watch::Sender<Option<Lease>>) {
    loop {
        let now = *standing.borrow_and_update();
        lease.send_replace(now.until.map(|until| Lease { worker_id: now.worker, until }));
        if standing.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_cannot_mend_is_told_from_what_it_can() {
        for why in [
            "error returned from database: password authentication failed for user \"shop\"",
            "error returned from database: database \"shop\" does not exist",
            "error returned from database: unsupported startup parameter: options",
            "error returned from database: no such database: shop",
        ] {
            assert!(is_for_good(why), "{why}");
            assert!(!refusal(why).contains("error returned"), "{why}");
        }
        for why in [
            "error communicating with database: Connection refused (os error 111)",
            "error returned from database: the database system is starting up",
            "error returned from database: sorry, too many clients already",
            "error returned from database: server login has been failing, cached error: connect failed",
        ] {
            assert!(!is_for_good(why), "{why}");
        }
    }
}
