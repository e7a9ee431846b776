//! Schedules: their jobs are made when they are due, once, by whichever worker is there.

use std::time::Duration;

use crate::common::{Database, Faulty, Running, WAIT, WORK, int, quick, soon, success, text, until_done};
use gristmill_core::schedule::{Announced, Announcement, Definition, JobTemplate};
use gristmill_engine::{Ending, Event, Options};

/// What the SQL that asks for the next tick says of itself.
const LOOK: &str = "from the backend's start to the first that is served";

/// A schedule each second, or as `cron` says.
fn schedule(name: &str, cron: &str) -> Announced {
    let definition = Definition { cron: Some(cron.into()), ..Definition::default() };
    Announced {
        name: name.into(),
        queue_name: "default".into(),
        task_name: WORK.into(),
        definition,
        job: JobTemplate::default(),
    }
}

fn code(schedules: &[Announced]) -> Announcement {
    Announcement { schedules: schedules.to_vec(), ..Announcement::default() }
}

fn each_second() -> Announced {
    schedule("each second", "* * * * * *")
}

/// It ticks as it is made, and then in years.
fn at_once(name: &str) -> Announced {
    let mut schedule = schedule(name, "0 0 1 1 *");
    schedule.definition.run_on_creation = true;
    schedule
}

/// Names of schedules that are not removed, in order.
async fn schedules(database: &Database) -> Vec<String> {
    let rows = database.sql("select name from gristmill_schedule where removed_at is null order by name").await;
    rows.iter().map(|row| text(&row[0])).collect()
}

async fn until_schedules(database: &Database, names: &[&str]) {
    soon(async {
        while schedules(database).await != names {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn count(database: &Database, sql: &'static str) -> i64 {
    int(&database.sql(sql).await[0][0])
}

async fn until_ticks(database: &Database, ticks: i64) {
    soon(async {
        while count(database, "select count(*) from gristmill_tick").await < ticks {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// How many milliseconds after its nominal instant each tick was found, those on creation left out.
async fn lateness(database: &Database) -> Vec<i64> {
    let rows = database.sql("select cast(nominal as text), cast(found_at as text) from gristmill_tick").await;
    let micros = |value: &_| gristmill_core::Moment(text(value).replace("+00", "")).unix_micros().unwrap();
    rows.iter().map(|row| (micros(&row[1]) - micros(&row[0])) / 1_000).collect()
}

#[tokio::test]
async fn a_tick_is_found_when_it_is_due_and_its_job_runs_at_once() {
    let database = Database::fresh().await;
    // A poll would come far too late.
    let options = Options { poll_interval: Duration::from_hours(1), ..Options::default() };
    let mut worker = Running::announce(&database.store, options, code(&[each_second()]));
    worker.until(|progress| progress.done == 3).await;
    assert_eq!(worker.stop().await, Ending::Drained);
    let late = lateness(&database).await;
    assert!(late.len() >= 3 && late.iter().all(|millis| (0..500).contains(millis)), "{late:?}");
}

#[tokio::test]
async fn several_workers_make_one_job_a_tick() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    let announcement = code(&[each_second()]);
    let workers: Vec<Running> =
        (0..4).map(|_| Running::announce(&sessions, Options::default(), announcement.clone())).collect();
    until_ticks(&database, 3).await;
    for worker in workers {
        worker.stop().await;
    }
    let jobs = count(&database, "select count(*) from gristmill_job").await;
    assert_eq!(jobs, count(&database, "select count(*) from gristmill_tick").await);
    assert_eq!(jobs, count(&database, "select count(distinct nominal) from gristmill_tick").await);
    // Those who come second do not go round and round until the first is through.
    let looks = faults.ran(LOOK);
    assert!(looks < 150, "{looks} looks for {jobs} ticks by 4 workers");
}

#[tokio::test]
async fn an_idle_worker_without_schedules_opens_no_connection_for_them_and_asks_once_in_five_seconds() {
    let mut opened = Vec::new();
    for schedules in [false, true] {
        let database = Database::fresh().await;
        let (sessions, faults) = Faulty::new(&database.store);
        let mut worker = Running::start(&sessions, 1, 0, Options { schedules, ..quick() });
        worker.until(|progress| progress.idle).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(faults.ran(LOOK), usize::from(schedules));
        opened.push(faults.opened());
        worker.stop().await;
    }
    assert_eq!(opened[0], opened[1]);
}

#[tokio::test]
async fn a_schedule_that_someone_makes_is_found_by_a_worker_that_had_none() {
    let database = Database::fresh().await;
    let worker = Running::start(&database.store, 1, 0, quick());
    let mut session = database.store.open().await.unwrap();
    session.define_schedule("default", &each_second()).await.unwrap();
    until_ticks(&database, 2).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_broken_definition_disturbs_nobody() {
    let database = Database::fresh().await;
    let mut urgent = schedule("priority", "* * * * * *");
    urgent.job.priority = 500;
    let mut far = schedule("zone", "@daily");
    far.definition.timezone = "Mars/Base".into();
    let all = [schedule("minute", "75 * * * *"), urgent, far, each_second()];
    let mut worker = Running::announce(&database.store, quick(), code(&all));
    worker.until(|progress| progress.done == 2).await;
    worker.stop().await;
    let rows =
        database.sql("select name, problem from gristmill_schedule where problem is not null order by name").await;
    let named: Vec<String> = rows.iter().map(|row| text(&row[0])).collect();
    assert_eq!(named, ["minute", "priority", "zone"]);
}

#[tokio::test]
async fn code_that_is_loaded_anew_is_announced_anew() {
    let database = Database::fresh().await;
    let worker = Running::announce(&database.store, quick(), code(&[at_once("one"), at_once("two")]));
    until_schedules(&database, &["one", "two"]).await;
    worker.control.say(Event::Announced(code(&[at_once("three"), at_once("two")])));
    until_schedules(&database, &["three", "two"]).await;
    worker.control.say(Event::Announced(Announcement::default()));
    until_schedules(&database, &[]).await;
    worker.stop().await;
}

#[tokio::test]
async fn who_announces_nothing_takes_nobodys_schedules_away_and_ticks_them() {
    let database = Database::fresh().await;
    let first = Running::announce(&database.store, quick(), code(&[each_second()]));
    until_schedules(&database, &["each second"]).await;
    first.stop().await;
    let ticks = count(&database, "select count(*) from gristmill_tick").await;
    let other = Running::start(&database.store, 1, 0, quick());
    until_ticks(&database, ticks + 2).await;
    other.stop().await;
    assert_eq!(schedules(&database).await, ["each second"]);
}

#[tokio::test]
async fn who_ends_when_all_is_done_first_has_the_jobs_made_that_are_due() {
    for options in [until_done(), Options { once: true, processes: 2, ..Options::default() }] {
        let database = Database::fresh().await;
        let worker = Running::announce(&database.store, options.clone(), code(&[at_once("one"), at_once("two")]));
        assert_eq!(worker.ending().await, Ending::Drained);
        assert_eq!(database.states().await, "successful 2");
        // And those of schedules that are there, without code that has any.
        database.sql("update gristmill_schedule set high_water = null, next_at = created_at where name = 'one'").await;
        database.sql("delete from gristmill_tick where schedule = 'one'").await;
        assert_eq!(Running::start(&database.store, 2, 0, options).ending().await, Ending::Drained);
        assert_eq!(database.states().await, "successful 3");
    }
}

#[tokio::test]
async fn who_is_not_to_see_to_schedules_neither_announces_nor_ticks() {
    let database = Database::fresh().await;
    database.store.open().await.unwrap().define_schedule("default", &at_once("kept")).await.unwrap();
    let options = Options { schedules: false, ..until_done() };
    let worker = Running::announce(&database.store, options, code(&[at_once("new")]));
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(schedules(&database).await, ["kept"]);
    assert_eq!(count(&database, "select count(*) from gristmill_tick").await, 0);
}

#[tokio::test]
async fn a_worker_ticks_the_schedules_of_its_queues_alone() {
    let database = Database::fresh().await;
    let mut other = at_once("other");
    other.queue_name = "other".into();
    let options = Options { exclude_queues: vec!["other".into()], ..until_done() };
    let worker = Running::announce(&database.store, options, code(&[at_once("one"), other]));
    assert_eq!(worker.ending().await, Ending::Drained);
    assert_eq!(database.states().await, "successful 1");
}

#[tokio::test]
async fn a_worker_that_stops_ticks_nothing_while_its_jobs_end() {
    let database = Database::fresh().await;
    let mut waits = each_second();
    waits.task_name = WAIT.into();
    let worker = Running::announce(&database.store, Options::default(), code(&[waits]));
    let id = worker.until_started(1).await[0];
    worker.stopper.request();
    // What was under way when it was asked is through.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ticks = count(&database, "select count(*) from gristmill_tick").await;
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert_eq!(count(&database, "select count(*) from gristmill_tick").await, ticks);
    worker.control.end_if_it_runs(id, success());
    worker.stopper.advance(gristmill_engine::Stage::Stopping);
    worker.ending().await;
}

#[tokio::test]
async fn a_round_whose_answer_was_lost_is_made_again_and_makes_nothing_twice() {
    let database = Database::fresh().await;
    let (sessions, faults) = Faulty::new(&database.store);
    faults.lose_answer_to("insert into gristmill_tick");
    let mut worker = Running::announce(&sessions, quick(), code(&[each_second()]));
    worker.until(|progress| progress.done == 3).await;
    assert!(!faults.is_armed());
    faults.set_down(true);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    faults.set_down(false);
    let ticks = count(&database, "select count(*) from gristmill_tick").await;
    until_ticks(&database, ticks + 2).await;
    worker.stop().await;
    let jobs = count(&database, "select count(*) from gristmill_job").await;
    assert_eq!(jobs, count(&database, "select count(*) from gristmill_tick where job_id is not null").await);
    // None is missing between the first and the last.
    let seconds = count(&database, "select count(distinct nominal) from gristmill_tick").await;
    assert_eq!(seconds, count(&database, "select count(*) from gristmill_tick").await);
}
