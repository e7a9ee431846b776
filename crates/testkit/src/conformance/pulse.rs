//! What the pulse promises: counts of attempts that are appended once, put together without a loss, and kept for a while.

use std::time::Duration;

use gristmill_core::{Beat, Histogram, Lane, PulseId, Tally};
use gristmill_store::{NewJob, PulseRow, Session, Value};

use super::scene::{at, job, number, session};
use super::{Fixture, asks};

asks![
    counts_are_of_the_minute_that_they_were_gathered_in,
    an_append_that_is_sent_again_counts_once,
    a_restful_worker_appends_nothing,
    minutes_become_hours_and_hours_days_and_nothing_is_lost,
    two_versions_and_two_outcomes_are_never_put_together,
    what_cannot_be_put_back_is_not_taken,
    folders_do_not_wait_for_each_other,
    days_are_kept_for_ninety_days,
    the_depth_of_a_queue_is_sampled_once_a_minute,
    a_queue_that_has_become_empty_is_told_once,
    of_depths_that_are_put_together_the_greatest_stands,
];

const DAY: i64 = 86_400;
// `at(0)` is 40 seconds into a minute, 46 minutes into an hour.
const MINUTE: &str = "2030-03-17 17:46:00.000000";

fn beat(outcome: &str) -> Beat {
    let lane = Lane { backend: "default".into(), queue_name: "mail".into(), task_name: "app.tasks.send".into() };
    Beat { lane, outcome: outcome.into() }
}

/// So many attempts that waited and ran for so many seconds each.
fn row(outcome: &str, attempts: u64, seconds: u64) -> PulseRow {
    let mut histogram = Histogram::default();
    (0..attempts).for_each(|_| histogram.add(Duration::from_secs(seconds)));
    PulseRow {
        id: PulseId::new(),
        beat: beat(outcome),
        tally: Tally { attempts, waits: histogram.clone(), runs: histogram },
    }
}

/// Level, moment, outcome, attempts, seconds that they ran, and the buckets.
type Line = (i64, String, String, i64, f64, String);

async fn lines(session: &mut Session) -> Vec<Line> {
    let moment = match session.dialect() {
        gristmill_store::Dialect::Postgres => {
            "select level::bigint, to_char(at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'), outcome, attempts, run_seconds, runs
             from gristmill_pulse order by 1, 2, 3, 4"
        }
        gristmill_store::Dialect::Sqlite => {
            "select level, at, outcome, attempts, run_seconds, runs from gristmill_pulse order by 1, 2, 3, 4"
        }
    };
    let rows = session.connection().run(moment, &[]).await.expect("runs");
    let line = |row: Vec<Value>| match row.as_slice() {
        [
            Value::Int(level),
            Value::Text(at),
            Value::Text(outcome),
            Value::Int(attempts),
            seconds,
            Value::Text(runs),
        ] => {
            #[expect(clippy::cast_precision_loss)]
            let seconds = match seconds {
                Value::Float(seconds) => *seconds,
                Value::Int(seconds) => *seconds as f64,
                other => panic!("{other:?}"),
            };
            (*level, at.clone(), outcome.clone(), *attempts, seconds, runs.clone())
        }
        other => panic!("{other:?}"),
    };
    rows.into_iter().map(line).collect()
}

async fn append(session: &mut Session, seconds: i64, rows: &[PulseRow]) {
    session.set_now(Some(at(seconds)));
    session.append_pulse(rows, Duration::ZERO).await.expect("appends");
}

async fn counts_are_of_the_minute_that_they_were_gathered_in(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;

    session.append_pulse(&[row("successful", 2, 3)], Duration::from_secs(39)).await.expect("appends");
    session.append_pulse(&[row("failed", 1, 70)], Duration::from_secs(41)).await.expect("appends");

    let buckets = format!("[{}2]", "0,".repeat(11));
    let late = format!("[{}1]", "0,".repeat(15));
    assert_eq!(
        lines(&mut session).await,
        [
            (0, "2030-03-17 17:45:00.000000".into(), "failed".into(), 1, 70.0, late),
            (0, MINUTE.into(), "successful".into(), 2, 6.0, buckets),
        ]
    );
    assert_eq!(number(&mut session, "select count(*) from gristmill_pulse where version <> ''").await, 2);
}

async fn an_append_that_is_sent_again_counts_once(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let rows = [row("successful", 2, 3), row("failed", 1, 3)];

    append(&mut session, 0, &rows).await;
    append(&mut session, 90, &rows).await;

    let attempts: Vec<_> = lines(&mut session).await.into_iter().map(|line| (line.1, line.3)).collect();
    assert_eq!(attempts, [(MINUTE.to_owned(), 1), (MINUTE.to_owned(), 2)]);
}

async fn a_restful_worker_appends_nothing(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;

    session.append_pulse(&[], Duration::ZERO).await.expect("appends");
    assert_eq!(session.sample_depth().await.expect("samples").queues, 0);
    assert_eq!(session.fold_pulse(100).await.expect("folds"), 0);

    assert_eq!(number(&mut session, "select count(*) from gristmill_pulse").await, 0);
    assert_eq!(number(&mut session, "select count(*) from gristmill_depth").await, 0);
}

async fn minutes_become_hours_and_hours_days_and_nothing_is_lost(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let all = format!("[{}6]", "0,".repeat(11));
    // Two workers in one minute, and one a minute later.
    for (seconds, attempts) in [(0, 1), (0, 2), (60, 3)] {
        append(&mut session, seconds, &[row("successful", attempts, 3)]).await;
    }

    session.set_now(Some(at(200)));
    assert_eq!(session.fold_pulse(100).await.expect("folds"), 2, "the minute that is over for three minutes");
    session.set_now(Some(at(260)));
    session.fold_pulse(100).await.expect("folds");
    let minutes: Vec<_> = lines(&mut session).await.into_iter().map(|line| (line.0, line.1, line.3)).collect();
    assert_eq!(minutes, [(1, MINUTE.to_owned(), 3), (1, "2030-03-17 17:47:00.000000".to_owned(), 3)]);

    session.set_now(Some(at(DAY + 13 * 60)));
    assert_eq!(session.fold_pulse(100).await.expect("folds"), 0, "the hour is not over for a day");
    session.set_now(Some(at(DAY + 15 * 60)));
    assert_eq!(session.fold_pulse(100).await.expect("folds"), 2);
    let hour = "2030-03-17 17:00:00.000000".to_owned();
    assert_eq!(lines(&mut session).await, [(2, hour, "successful".into(), 6, 18.0, all.clone())]);

    session.set_now(Some(at(15 * DAY)));
    assert_eq!(session.fold_pulse(100).await.expect("folds"), 1);
    let day = "2030-03-17 00:00:00.000000".to_owned();
    assert_eq!(lines(&mut session).await, [(3, day, "successful".into(), 6, 18.0, all)]);
    assert_eq!(session.fold_pulse(100).await.expect("folds"), 0, "days stay");
}

async fn two_versions_and_two_outcomes_are_never_put_together(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    append(&mut session, 0, &[row("successful", 1, 3), row("failed", 1, 3)]).await;
    super::scene::meddle(&mut session, "update gristmill_pulse set version = 'old'").await;
    append(&mut session, 0, &[row("successful", 1, 3), row("successful", 1, 3)]).await;

    session.set_now(Some(at(600)));
    session.fold_pulse(100).await.expect("folds");

    let found: Vec<_> = lines(&mut session).await.into_iter().map(|line| (line.2, line.3)).collect();
    assert_eq!(found, [("failed".to_owned(), 1), ("successful".to_owned(), 1), ("successful".to_owned(), 2)]);
}

async fn what_cannot_be_put_back_is_not_taken(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    append(&mut session, 0, &[row("successful", 1, 3)]).await;
    let before = lines(&mut session).await;
    let refuses = match session.dialect() {
        gristmill_store::Dialect::Postgres => {
            "alter table gristmill_pulse add constraint gristmill_no_fold check (level <> 1)"
        }
        gristmill_store::Dialect::Sqlite => {
            "create trigger gristmill_no_fold before insert on gristmill_pulse when new.level = 1
             begin select raise(abort, 'refused'); end"
        }
    };
    super::scene::meddle(&mut session, refuses).await;

    session.set_now(Some(at(600)));
    session.fold_pulse(100).await.expect_err("is refused");

    assert_eq!(lines(&mut session).await, before);
}

async fn folders_do_not_wait_for_each_other(fixture: &dyn Fixture) {
    let (mut one, mut two) = (session(fixture).await, session(fixture).await);
    let rows: Vec<_> = (0..10).map(|_| row("successful", 1, 3)).collect();
    append(&mut one, 0, &rows).await;
    for session in [&mut one, &mut two] {
        session.set_now(Some(at(600)));
    }
    if !one.dialect().has_row_locks() {
        return;
    }

    one.begin().await.expect("begins");
    super::scene::meddle(&mut one, "select from gristmill_pulse order by id limit 4 for update").await;
    assert_eq!(two.fold_pulse(100).await.expect("folds the rest"), 6);
    one.end(Ok(())).await.expect("ends");

    assert_eq!(one.fold_pulse(100).await.expect("folds"), 4);
    assert_eq!(number(&mut one, "select sum(attempts)::bigint from gristmill_pulse where level = 1").await, 10);
}

async fn days_are_kept_for_ninety_days(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    for _ in 0..3 {
        append(&mut session, 0, &[row("successful", 1, 3)]).await;
        super::scene::meddle(&mut session, "update gristmill_pulse set level = 3").await;
    }
    let depths =
        "insert into gristmill_depth select 3, at, backend, queue_name, 1, 1, 1.0 from gristmill_pulse limit 1";
    super::scene::meddle(&mut session, depths).await;

    session.set_now(Some(at(90 * DAY - 41)));
    assert_eq!(session.prune_pulse(2).await.expect("prunes"), 0);
    session.set_now(Some(at(90 * DAY + 40)));
    assert_eq!(session.prune_pulse(2).await.expect("prunes"), 3);
    assert_eq!(session.prune_pulse(2).await.expect("prunes"), 1);
    assert_eq!(number(&mut session, "select count(*) from gristmill_depth").await, 0);
}

/// Level, moment, queue, ready, scheduled and seconds.
async fn depths(session: &mut Session) -> Vec<(i64, String, i64, i64, i64)> {
    let sql = match session.dialect() {
        gristmill_store::Dialect::Postgres => {
            "select level::bigint, queue_name, ready::bigint, scheduled::bigint, round(oldest_seconds)::bigint
             from gristmill_depth order by level, at, queue_name"
        }
        gristmill_store::Dialect::Sqlite => {
            "select level, queue_name, ready, scheduled, cast(round(oldest_seconds) as integer)
             from gristmill_depth order by level, at, queue_name"
        }
    };
    let rows = session.connection().run(sql, &[]).await.expect("runs");
    let line = |row: Vec<Value>| match row.as_slice() {
        [Value::Int(level), Value::Text(queue), Value::Int(ready), Value::Int(scheduled), Value::Int(oldest)] => {
            (*level, queue.clone(), *ready, *scheduled, *oldest)
        }
        other => panic!("{other:?}"),
    };
    rows.into_iter().map(line).collect()
}

fn queued(queue: &str) -> NewJob {
    let job = job();
    NewJob { lane: Lane { queue_name: queue.into(), ..job.lane.clone() }, ..job }
}

async fn the_depth_of_a_queue_is_sampled_once_a_minute(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let later = NewJob { run_after: Some(at(500)), ..queued("mail") };
    session.enqueue(&[queued("mail"), queued("mail"), later, queued("video")]).await.expect("enqueues");

    session.set_now(Some(at(5)));
    let sampled = session.sample_depth().await.expect("samples");
    assert_eq!((sampled.queues, sampled.left), (2, Duration::from_secs(15)));
    let first = depths(&mut session).await;
    assert_eq!(first, [(1, "mail".to_owned(), 2, 1, 5), (1, "video".to_owned(), 1, 0, 5)]);

    session.enqueue(&[queued("audio")]).await.expect("enqueues");
    assert_eq!(session.sample_depth().await.expect("samples").queues, 0, "this minute has been looked at");
    assert_eq!(depths(&mut session).await, first);
    session.set_now(Some(at(30)));
    assert_eq!(session.sample_depth().await.expect("samples").queues, 3);
}

async fn a_queue_that_has_become_empty_is_told_once(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = super::scene::worker(&mut session).await;
    session.enqueue(&[job()]).await.expect("enqueues");
    session.sample_depth().await.expect("samples");
    super::scene::claim_one(&mut session, worker).await;

    let mut queues = Vec::new();
    for minute in 1..4 {
        session.set_now(Some(at(minute * 60)));
        queues.push(session.sample_depth().await.expect("samples").queues);
    }

    assert_eq!(queues, [1, 0, 0]);
    let deep: Vec<_> = depths(&mut session).await.into_iter().map(|depth| depth.2).collect();
    assert_eq!(deep, [1, 0]);
}

async fn of_depths_that_are_put_together_the_greatest_stands(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    for minute in 0..3 {
        session.set_now(Some(at(minute * 60)));
        session.enqueue(&[queued("mail")]).await.expect("enqueues");
        session.sample_depth().await.expect("samples");
    }
    assert_eq!(depths(&mut session).await.len(), 3);

    session.set_now(Some(at(DAY + 3_600)));
    assert_eq!(session.fold_pulse(2).await.expect("folds"), 2, "a batch");
    assert_eq!(session.fold_pulse(2).await.expect("folds"), 1);
    assert_eq!(depths(&mut session).await, [(2, "mail".to_owned(), 3, 0, 120)]);
    session.set_now(Some(at(16 * DAY)));
    session.fold_pulse(2).await.expect("folds");
    assert_eq!(depths(&mut session).await, [(3, "mail".to_owned(), 3, 0, 120)]);
}
