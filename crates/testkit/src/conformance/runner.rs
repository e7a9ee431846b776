//! Asks questions and reports, as a test binary without the standard harness: it can then end what it started.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::hosted::HostedDatabases;
use super::python::{INTERPRETER, PythonDatabases};
use super::{Databases, Question, questions};

/// Many times what any question takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks all questions, and those that only these databases are asked; then all of them over hosted connections, and over
/// connections of Python's.
///
/// Understands the common arguments of a test binary: words that a name must contain, `--exact`, `--skip WORD`,
/// `--list`, `--test-threads N`. Output is never captured.
pub fn run(databases: &dyn Databases, own_questions: Vec<Question>) -> ExitCode {
    let arguments = Arguments::read(std::env::args().skip(1));
    let hosted = HostedDatabases(databases);
    let own = questions().into_iter().chain(own_questions);
    let own = own.map(|question| (question.name.to_owned(), question, databases));
    let again = questions().into_iter();
    let again = again.map(|question| (format!("hosted::{}", question.name), question, &hosted as &dyn Databases));
    let python = if arguments.list { None } else { PythonDatabases::over(databases) };
    if python.is_none() {
        println!("not asked over Python's drivers: {INTERPRETER} names no interpreter");
    }
    let thirdly = python.iter().flat_map(|python| {
        questions()
            .into_iter()
            .map(|question| (format!("python::{}", question.name), question, python as &dyn Databases))
    });
    let chosen: Vec<_> = own.chain(again).chain(thirdly).filter(|(name, ..)| arguments.choose(name)).collect();
    if arguments.list {
        for (name, ..) in &chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }

    ask_all(&chosen, arguments.threads)
}

/// Asks all questions of these databases alone; the arguments are the same.
pub fn run_plain(databases: &dyn Databases) -> ExitCode {
    let arguments = Arguments::read(std::env::args().skip(1));
    let questions = questions().into_iter().map(|question| (question.name.to_owned(), question, databases));
    let chosen: Vec<_> = questions.filter(|(name, ..)| arguments.choose(name)).collect();
    ask_all(&chosen, arguments.threads)
}

fn ask_all(chosen: &[(String, Question, &dyn Databases)], threads: usize) -> ExitCode {
    println!("\nrunning {} questions", chosen.len());
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((name, question, databases)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answered = ask(name, question, *databases);
                    println!("test {name} ... {}", if answered { "ok" } else { "FAILED" });
                    if !answered && let Ok(mut failed) = failed.lock() {
                        failed.push(name.as_str());
                    }
                }
            });
        }
    });

    let failed = failed.into_inner().unwrap_or_default();
    println!("\n{} asked, {} failed {}\n", chosen.len(), failed.len(), failed.join(" "));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// In a thread of the question's name, so that a panic says which one it was.
fn ask(name: &str, question: &Question, databases: &dyn Databases) -> bool {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        let answer = thread.spawn_scoped(scope, || answer(question, databases)).expect("a thread");
        answer.join().is_ok_and(|answered| answered)
    })
}

fn answer(question: &Question, databases: &dyn Databases) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let fixture = runtime.block_on(databases.fresh());
    let answer = catch_unwind(AssertUnwindSafe(|| {
        let asked = async { tokio::time::timeout(PATIENCE, (question.ask)(fixture.as_ref())).await };
        runtime.block_on(asked).expect("an answer, and no wait for a lock that nobody will give up");
    }));
    runtime.block_on(fixture.close());
    answer.is_ok()
}

struct Arguments {
    words: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
    threads: usize,
}

impl Arguments {
    fn read(mut given: impl Iterator<Item = String>) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let mut this = Self { words: Vec::new(), skipped: Vec::new(), exact: false, list: false, threads };
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--exact" => this.exact = true,
                "--list" => this.list = true,
                "--skip" => this.skipped.extend(given.next()),
                "--test-threads" => {
                    this.threads = given.next().and_then(|number| number.parse().ok()).unwrap_or(threads);
                }
                "--format" | "--color" => drop(given.next()),
                option if option.starts_with("--") => {}
                word => this.words.push(word.to_owned()),
            }
        }
        this
    }

    fn choose(&self, name: &str) -> bool {
        let fits = |word: &String| if self.exact { name == word } else { name.contains(word.as_str()) };
        (self.words.is_empty() || self.words.iter().any(fits)) && !self.skipped.iter().any(fits)
    }
}
