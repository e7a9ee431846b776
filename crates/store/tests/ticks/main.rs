//! Thousands of ticks and eight workers that look too early and too late, stall, and die in the middle of a transaction:
//! every tick has exactly one job, or one reason why it has none.
//!
//! `GRISTMILL_TICKS` says how many (2,000 without it); `GRISTMILL_MODEL_SEED` (a number) repeats a run as far as the databases allow it.

mod faulty;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gristmill_core::schedule::{Announced, Announcement, CatchUp, Definition, JobTemplate, Micros, Overlap};
use gristmill_core::{Attempt, Lease, Moment, Outcome, WorkerId};
use gristmill_store::{Connection, NewWorker, Served, Session, Settings, Store, Value};
use gristmill_testkit::server::{Durability, Server};
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection};
use tokio::task::JoinSet;
use worker::Worker;

const WORKERS: usize = 8;
const SECOND: Micros = 1_000_000;
const BEGINNING: Micros = 1_900_000_000 * SECOND;

#[test]
fn every_tick_is_one_job_or_one_skip_on_sqlite() {
    let memory = std::path::Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let directory = parent.join(format!("gristmill-ticks-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory of its own");
    let store = Store::new(Settings::sqlite(directory.join("db.sqlite3"))).expect("settings");

    let answer = std::panic::catch_unwind(|| run("sqlite", &store));

    std::fs::remove_dir_all(&directory).expect("removes");
    answer.expect("every tick is there once");
}

#[test]
fn every_tick_is_one_job_or_one_skip_on_postgres() {
    let server = Server::start(Durability::Off);
    let name = format!("gristmill_ticks_{}", std::process::id());
    administer(&server, format!("create database {name}"));
    let store = Store::new(Settings::from_url(&server.url_of(&name)).expect("a URL")).expect("settings");

    let answer = std::panic::catch_unwind(|| run("postgres", &store));

    administer(&server, format!("drop database {name} with (force)"));
    answer.expect("every tick is there once");
}

fn administer(server: &Server, sql: String) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let mut connection = PgConnection::connect(server.url()).await.expect("connects");
        connection.execute(AssertSqlSafe(sql)).await.expect("may create and drop databases");
    });
}

/// A schedule, and what may become of its ticks beside a job.
struct Rule {
    announced: Announced,
    skips: &'static [&'static str],
}

/// Two of each kind.
fn rules() -> Vec<Rule> {
    ["one", "other"].into_iter().flat_map(kinds).collect()
}

fn kinds(prefix: &str) -> Vec<Rule> {
    let rule = |name: &str, definition: Definition, skips| {
        let job = JobTemplate::default();
        let definition = Definition { cap: Some(10_000), ..definition };
        let name = format!("{prefix} {name}");
        let (queue_name, task_name) = ("default".into(), "app.tasks.grind".into());
        Rule { announced: Announced { name, queue_name, task_name, definition, job }, skips }
    };
    let every = |seconds| Definition { every: Some(seconds), catch_up: CatchUp::All, ..Definition::default() };
    let mut rules = vec![
        rule("all", every(5.0), &[]),
        rule("latest", Definition { catch_up: CatchUp::Latest, ..every(7.0) }, &["superseded"]),
        rule("none", Definition { catch_up: CatchUp::None, ..every(11.0) }, &["late"]),
        rule("alone", Definition { overlap: Overlap::Skip, ..every(5.0) }, &["overlapping"]),
        rule("unique", every(6.0), &["unique"]),
        rule("mailed", Definition { catch_up: CatchUp::Latest, ..every(2.5) }, &["superseded"]),
        rule("jittered", Definition { jitter: 4.0, ..every(1.0) }, &[]),
        rule("cron", Definition { every: None, cron: Some("* * * * * */20".into()), ..every(1.0) }, &[]),
    ];
    rules[4].announced.job.unique_key = Some(prefix.into());
    rules[5].announced.queue_name = "mail".into();
    rules
}

/// The nominal instants of a rule, the beginning included.
fn nominals(rule: &Rule, end: Micros) -> BTreeSet<Micros> {
    let schedule = rule.announced.definition.schedule().expect("is one");
    schedule.upcoming(BEGINNING - 1).take_while(|nominal| *nominal <= end).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|number| number.parse().expect("a number"))
}

fn run(database: &str, store: &Store) {
    let seed = number("GRISTMILL_MODEL_SEED").unwrap_or_else(|| fastrand::u64(..));
    let wanted = usize::try_from(number("GRISTMILL_TICKS").unwrap_or(2_000)).expect("a number");
    println!("{database}: GRISTMILL_MODEL_SEED={seed} GRISTMILL_TICKS={wanted}");
    let rules = rules();
    let mut end = BEGINNING;
    while rules.iter().map(|rule| nominals(rule, end).len()).sum::<usize>() < wanted {
        end += 10 * SECOND;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let started = Instant::now();
        store.migrate().await.expect("migrates");
        let told = live(store, &rules, end, fastrand::Rng::with_seed(seed)).await;
        let ticks = check(store, &rules, end).await;
        println!("{database}: {ticks} ticks, {told}, in {:.1} s", started.elapsed().as_secs_f64());
    });
}

/// Lets the workers live until the end; what became of them.
async fn live(store: &Store, rules: &[Rule], end: Micros, mut rng: fastrand::Rng) -> String {
    let announcement = Announcement {
        schedules: rules.iter().map(|rule| rule.announced.clone()).collect(),
        ..Announcement::default()
    };
    let mut session = store.open().await.expect("opens");
    session.set_now(Some(Moment::from_unix_micros(BEGINNING)));
    session.announce("default", &announcement).await.expect("announces");
    let mut tables = store.open().await.expect("opens").into_connection();
    let mut consumer = Consumer::new(store).await;
    let mut workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            let exclude: &[&str] = if n % 2 == 0 { &["mail"] } else { &[] };
            Worker::new(store.clone(), announcement.clone(), exclude, rng.fork())
        })
        .collect();

    let (mut now, mut marks) = (BEGINNING, BTreeMap::new());
    while now < end {
        // Now and then nobody is there for ten minutes at most.
        now += if rng.u16(..1_000) == 0 { rng.i64(0..600 * SECOND) } else { rng.i64(0..6 * SECOND) };
        now = now.min(end);
        let mut looking = JoinSet::new();
        let (due, mut resting): (Vec<_>, Vec<_>) = workers.into_iter().partition(|worker| worker.wakes_at <= now);
        for worker in due {
            looking.spawn(worker.look(now));
        }
        while let Some(worker) = looking.join_next().await {
            resting.push(worker.expect("a worker goes on or dies as planned"));
        }
        workers = resting;
        if rng.u8(..) < 20 {
            consumer.work(now).await;
            never_goes_back(&mut *tables, &mut marks).await;
        }
    }
    session.set_now(Some(Moment::from_unix_micros(end)));
    while session.tick("default", &Served::default(), 100).await.expect("ticks").next_due.is_some_and(is_soon) {}
    never_goes_back(&mut *tables, &mut marks).await;
    let (deaths, rounds) = workers.iter().fold((0, 0), |sum, worker| (sum.0 + worker.deaths, sum.1 + worker.rounds));
    format!("{rounds} rounds, {deaths} deaths")
}

/// What a dead worker still holds is let go within a moment.
fn is_soon(next_due: Duration) -> bool {
    next_due < Duration::from_secs(1)
}

async fn never_goes_back(tables: &mut dyn Connection, marks: &mut BTreeMap<String, String>) {
    let sql = "select name, cast(high_water as text) from gristmill_schedule where high_water is not null";
    for row in tables.run(sql, &[]).await.expect("reads") {
        let (name, mark) = (text(&row[0]), text(&row[1]));
        let before = marks.insert(name.clone(), mark.clone());
        assert!(before.as_ref() <= Some(&mark), "{name}: the mark went from {before:?} back to {mark}");
    }
}

/// Ends jobs, so that what must not overlap gets its turn and keys are free again.
struct Consumer {
    session: Session,
    worker: WorkerId,
}

impl Consumer {
    async fn new(store: &Store) -> Self {
        let mut session = Session::over(store.open().await.expect("opens").into_connection());
        session.set_now(Some(Moment::from_unix_micros(BEGINNING)));
        let worker = WorkerId::new();
        let row = NewWorker {
            id: worker,
            label: "consumer".into(),
            host: "localhost".into(),
            pid: 1,
            backend: "default".into(),
            queues_json: r#"{"include": null, "exclude": []}"#.into(),
            tasks_json: "[]".into(),
            processes: 1,
            lease: Lease::new(Duration::from_hours(1)),
            before: None,
        };
        session.register(&row).await.expect("registers");
        Self { session, worker }
    }

    async fn work(&mut self, now: Micros) {
        self.session.set_now(Some(Moment::from_unix_micros(now)));
        for cursor in self.session.survey(None).await.expect("surveys").cursors {
            let claimed = self.session.claim(self.worker, &[cursor], 1_000, None).await.expect("claims");
            let success = || Outcome::Successful { return_value: "null".into() };
            let ended: Vec<_> = claimed.into_iter().map(|job| Attempt::unstarted(job, success())).collect();
            self.session.finish(&ended).await.expect("finishes");
        }
    }
}

/// Holds the tables against the rules; how many ticks there are.
async fn check(store: &Store, rules: &[Rule], end: Micros) -> usize {
    let mut tables = store.open().await.expect("opens").into_connection();
    let sql = "select schedule, cast(nominal as text), skipped, cast(job_id as text) from gristmill_tick";
    let mut ticks: BTreeMap<String, BTreeMap<Micros, Row>> = BTreeMap::new();
    for row in tables.run(sql, &[]).await.expect("reads") {
        let nominal = Moment(text(&row[1]).trim_end_matches("+00").into()).unix_micros().expect("is a moment");
        let (skipped, job) = (optional(&row[2]), optional(&row[3]));
        let twice = ticks.entry(text(&row[0])).or_default().insert(nominal, Row { skipped, job });
        assert!(twice.is_none(), "a tick is there twice: {row:?}");
    }
    let mut jobs = BTreeMap::new();
    for row in tables.run("select cast(id as text), options from gristmill_job", &[]).await.expect("reads") {
        let options: serde_json::Value = serde_json::from_str(&text(&row[1])).expect("is JSON");
        let nominal = Moment(options["schedule"]["nominal"].as_str().expect("is text").into());
        let tick = (options["schedule"]["name"].as_str().expect("is text").to_owned(), nominal.unix_micros());
        jobs.insert(text(&row[0]), tick);
    }
    for rule in rules {
        let name = &rule.announced.name;
        let found = ticks.get(name).expect("has ticked");
        let nominals = nominals(rule, end);
        assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), nominals, "{name}");
        for (nominal, row) in found {
            match (&row.job, &row.skipped) {
                (Some(job), None) => {
                    assert_eq!(jobs.remove(job), Some((name.clone(), Some(*nominal))), "{name} {nominal}");
                }
                (None, Some(why)) => assert!(rule.skips.contains(&why.as_str()), "{name} {nominal}: {why}"),
                other => panic!("{name} {nominal}: {other:?}"),
            }
        }
        assert!(found.values().any(|row| row.job.is_some()), "{name} never ran");
    }
    assert_eq!(jobs, BTreeMap::new(), "jobs without a tick");
    ticks.values().map(BTreeMap::len).sum()
}

#[derive(Debug)]
struct Row {
    skipped: Option<String>,
    job: Option<String>,
}

fn text(value: &Value) -> String {
    optional(value).expect("is text")
}

fn optional(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) => Some(text.clone()),
        other => panic!("{other:?} is no text"),
    }
}
