//! `gristmill sql`: the text of a migration, as Django's migrations run it, or of a verb.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use gristmill_store::{Dialect, MIGRATIONS};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The name of a migration or of a verb; all migrations when left out.
    name: Option<String>,
    /// For which database.
    #[arg(long, value_parser = dialect)]
    dialect: Dialect,
}

fn dialect(name: &str) -> Result<Dialect, String> {
    let known = || Dialect::ALL.iter().map(|dialect| dialect.name()).collect::<Vec<_>>().join(", ");
    Dialect::named(name).ok_or_else(|| format!("there is no such database; there are: {}", known()))
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let statements = match &arguments.name {
        None => MIGRATIONS.iter().flat_map(|migration| migration.statements(arguments.dialect)).collect(),
        Some(name) => named(arguments.dialect, name)?,
    };
    let ended: Vec<_> = statements.iter().map(|statement| statement.trim().trim_end_matches(';')).collect();
    // Whoever reads may have seen enough; that is no failure.
    let _ = writeln!(std::io::stdout(), "{};", ended.join(";\n\n"));
    Ok(ExitCode::SUCCESS)
}

fn named(dialect: Dialect, name: &str) -> Result<Vec<&'static str>, String> {
    let found = dialect.statements(&format!("migrations/{name}")).or_else(|| dialect.statements(name));
    found.ok_or_else(|| {
        let known: Vec<_> = MIGRATIONS.iter().map(|migration| migration.name).collect();
        format!("there is no such migration or verb; migrations there are: {}", known.join(", "))
    })
}
