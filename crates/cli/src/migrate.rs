//! `gristmill migrate`: brings a database's tables up to date without Django.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use clap::Args;
use gristmill_store::{Settings, Store};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Name of the environment variable that holds the database's URL
    /// (`postgres://user:password@host:port/name` or `sqlite:///path/to/file`).
    #[arg(long, default_value = "GRISTMILL_DATABASE_URL", value_name = "NAME")]
    url_env: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let url = std::env::var(&arguments.url_env).map_err(|_| {
        format!(
            "set {} to the database's URL; it is taken from the environment so that no password stands in argv",
            arguments.url_env
        )
    })?;
    let settings = Settings::from_url(&url).map_err(|error| error.to_string())?;
    if let Settings::Postgres(server) = &settings
        && let Some(root) = &server.sslrootcert
    {
        trust_alone(root)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let migrated =
        runtime.block_on(async { Store::new(settings)?.migrate().await }).map_err(|error| error.to_string())?;
    if migrated.wal_turned_on {
        println!("turned the database's write-ahead log on (journal_mode=wal); it stays on");
    }
    for name in &migrated.applied {
        println!("applied {name}");
    }
    if migrated.applied.is_empty() {
        println!("nothing to do: the tables are up to date");
    }
    Ok(ExitCode::SUCCESS)
}

/// Names the file of roots, as for a worker the management command does.
const ROOTS: &str = "SSL_CERT_FILE";

/// Starts again with these roots in place of the system's, to which the driver would add them.
fn trust_alone(root: &str) -> Result<(), String> {
    if std::env::var_os(ROOTS).is_some_and(|roots| roots == root) {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(ROOTS, root).env("SSL_CERT_DIR", "/dev/null");
    Err(format!("cannot start again: {}", command.exec()))
}
