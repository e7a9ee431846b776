//! `gristmill migrate`: brings a database's tables up to date without Django.

use std::process::ExitCode;

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
