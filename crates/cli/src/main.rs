//! The `gristmill` command. Django projects reach it through `manage.py gristmill …`, which hands over the
//! settings; the rest is for people and for Rust programs.

mod config;
mod cron;
mod heartbeat_file;
mod host;
mod logging;
mod login;
mod migrate;
mod refusal;
mod signals;
mod sql;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Background tasks and goals on the database you already have.
#[derive(Parser)]
#[command(name = "gristmill", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run jobs. Started by `manage.py gristmill worker`, which has the options.
    Worker,
    /// Run jobs on the connection of the process that started this. For tests; Python starts it.
    #[command(hide = true)]
    Host,
    /// Say what a cron expression or an interval means and when it ticks: questions on standard input, as JSON.
    Cron(cron::Arguments),
    /// Bring a database's Gristmill tables up to date. Django projects use `manage.py migrate` instead.
    Migrate(migrate::Arguments),
    /// Print the SQL of a migration.
    Sql(sql::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Worker => worker::run(),
        Command::Host => host::run(),
        Command::Cron(arguments) => cron::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Sql(arguments) => sql::run(&arguments),
    };
    outcome.unwrap_or_else(|sentence| {
        eprintln!("gristmill: {sentence}");
        ExitCode::from(USAGE)
    })
}

/// Something is wrong with how the command was called or with what it was given; nothing was done.
const USAGE: u8 = 2;
