//! `gristmill sql`: the text of a migration, as Django's migrations run it, or of a verb, as its commands do.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use gristmill_store::{Dialect, MIGRATIONS, operation, operations};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The migration's name; all of them when left out.
    name: Option<String>,
    /// Print a verb that other programs carry out instead: cancel, hold, retry, …
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    verb: Option<String>,
    /// For which database.
    #[arg(long)]
    dialect: DialectName,
    /// Print a JSON list of statements.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum DialectName {
    Postgres,
    Sqlite,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let dialect = match arguments.dialect {
        DialectName::Postgres => Dialect::Postgres,
        DialectName::Sqlite => Dialect::Sqlite,
    };
    let statements = match &arguments.verb {
        Some(verb) => operation(dialect, verb).ok_or_else(|| {
            let known: Vec<_> = operations().collect();
            format!("there is no verb {verb:?} to print; there are: {}", known.join(", "))
        })?,
        None => migration(dialect, arguments.name.as_deref())?,
    };
    let text = if arguments.json {
        serde_json::to_string(&statements).map_err(|error| error.to_string())? + "\n"
    } else {
        let ended: Vec<_> = statements.iter().map(|statement| statement.trim_end_matches(';')).collect();
        ended.join(";\n\n") + ";\n"
    };
    // Whoever reads may have seen enough; that is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn migration(dialect: Dialect, name: Option<&str>) -> Result<Vec<&'static str>, String> {
    let wanted: Vec<_> = MIGRATIONS.iter().filter(|migration| name.is_none_or(|name| name == migration.name)).collect();
    if wanted.is_empty() {
        let known: Vec<_> = MIGRATIONS.iter().map(|migration| migration.name).collect();
        return Err(format!("there is no such migration; there are: {}", known.join(", ")));
    }
    Ok(wanted.iter().flat_map(|migration| migration.statements(dialect)).collect())
}
