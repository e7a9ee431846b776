//! What ticking promises.

use std::time::Duration;

use gristmill_core::schedule::{Announced, Announcement, CatchUp, Definition, JobTemplate, Overlap};
use gristmill_core::{Claimed, JobId, Moment};
use gristmill_store::{Served, Session, Ticked, UniqueUntil};

use super::scene::{at, claim_one, ended, meddle, number, session, success, texts, unique, worker};
use super::{Fixture, asks};

asks![
    a_tick_has_one_job_whoever_finds_it_and_however_often,
    a_job_is_as_its_schedule_says_and_knows_its_tick,
    jitter_delays_a_job_and_not_its_tick,
    missed_ticks_are_settled_as_the_schedule_wants,
    what_runs_on_creation_begins_with_the_tick_before_it_was_made,
    a_tick_that_was_written_down_is_never_made_again,
    what_must_not_overlap_is_left_out_until_the_job_has_ended,
    a_job_whose_key_another_holds_is_not_made,
    schedules_of_other_queues_and_backends_are_left_to_others,
];

/// A schedule of the usual task that ticks at the beginning and every so many seconds.
pub(super) fn every(seconds: u32) -> Announced {
    Announced {
        name: "mill".into(),
        queue_name: "default".into(),
        task_name: "app.tasks.grind".into(),
        definition: Definition { every: Some(seconds.into()), ..Definition::default() },
        job: JobTemplate::default(),
    }
}

/// The same with another definition.
pub(super) fn defined(change: impl FnOnce(&mut Definition)) -> Announced {
    let mut schedule = every(10);
    change(&mut schedule.definition);
    schedule
}

pub(super) async fn announce(session: &mut Session, schedules: &[Announced]) {
    let announcement = Announcement { schedules: schedules.to_vec(), ..Announcement::default() };
    session.announce("default", &announcement).await.expect("announces");
}

/// A round of a worker that serves every queue.
pub(super) async fn tick(session: &mut Session) -> Ticked {
    session.tick("default", &Served::default(), 100).await.expect("ticks")
}

/// Moves the present, and ticks.
pub(super) async fn tick_at(session: &mut Session, seconds: i64) -> Ticked {
    session.set_now(Some(at(seconds)));
    tick(session).await
}

/// Every tick: how many seconds after the beginning, and what became of it.
pub(super) async fn ticks(session: &mut Session) -> Vec<(i64, String)> {
    let sql = "select cast(nominal as text), coalesce(skipped, 'job') from gristmill_tick order by schedule, nominal";
    texts(session, sql).await.into_iter().map(|(nominal, fate)| (seconds(&nominal), fate)).collect()
}

/// The high-water mark and the next nominal instant of the only schedule, in seconds after the beginning.
pub(super) async fn marks(session: &mut Session) -> (Option<i64>, Option<i64>) {
    let sql =
        "select coalesce(cast(high_water as text), ''), coalesce(cast(next_at as text), '') from gristmill_schedule";
    let (high_water, next_at) = texts(session, sql).await.remove(0);
    let known = |text: String| (!text.is_empty()).then(|| seconds(&text));
    (known(high_water), known(next_at))
}

fn seconds(text: &str) -> i64 {
    let micros = |moment: &Moment| moment.unix_micros().expect("is a moment");
    (micros(&Moment(text.trim_end_matches("+00").into())) - micros(&at(0))).div_euclid(1_000_000)
}

pub(super) fn jobs(jobs: u64) -> Ticked {
    Ticked { jobs, next_due: Some(Duration::from_secs(10)), ..Ticked::default() }
}

async fn a_tick_has_one_job_whoever_finds_it_and_however_often(fixture: &dyn Fixture) {
    let (mut first, mut second) = (session(fixture).await, session(fixture).await);
    announce(&mut first, &[every(10)]).await;

    assert_eq!(tick(&mut first).await, jobs(1));
    assert_eq!(tick(&mut second).await, jobs(0));
    assert_eq!(tick_at(&mut second, 7).await, Ticked { next_due: Some(Duration::from_secs(3)), ..jobs(0) });
    assert_eq!(tick_at(&mut second, 10).await, jobs(1));
    assert_eq!(tick_at(&mut first, 10).await, jobs(0));

    assert_eq!(ticks(&mut first).await, [(0, "job".into()), (10, "job".into())]);
    let made = "select count(*) from gristmill_tick t join gristmill_ready r on r.id = t.job_id";
    assert_eq!(number(&mut first, made).await, 2);
    assert_eq!(marks(&mut first).await, (Some(10), Some(20)));
}

async fn a_job_is_as_its_schedule_says_and_knows_its_tick(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let mut schedule = defined(|definition| {
        definition.args = "[1, \"ü\"]".into();
        definition.kwargs = r#"{"a": 1.50}"#.into();
        definition.datetime_kwarg = Some("when".into());
    });
    let options = serde_json::json!({"timeout": 3, "schedule": "mine"});
    schedule.job = JobTemplate {
        queue_name: "slow".into(),
        priority: 7,
        options: options.as_object().cloned(),
        deadline_after: Some(90.5),
        unique_key: Some("k".into()),
        unique_until: Some(UniqueUntil::Finished),
        ..JobTemplate::default()
    };
    announce(&mut session, &[schedule]).await;
    tick(&mut session).await;

    let mut cursor = super::scene::cursor_of("app.tasks.grind", 7);
    cursor.lane.queue_name = "slow".into();
    let claimed = session.claim(worker, &[cursor], 1, None).await.expect("claims").remove(0);

    assert_eq!((claimed.args.as_str(), claimed.kwargs.as_str()), ("[1, \"ü\"]", r#"{"a": 1.50}"#));
    assert_eq!((claimed.run_after.clone(), claimed.enqueued_at.clone()), (None, at(0)));
    assert_eq!(claimed.deadline.since(&at(0)), Some(Duration::from_millis(90_500)));
    let says = serde_json::json!({"name": "mill", "nominal": at(0), "datetime_kwarg": "when"});
    let expected = serde_json::json!({"timeout": 3, "schedule": says});
    assert_eq!(options_of(&claimed), expected);
    assert_eq!(super::scene::keys(&mut session).await, [("k".into(), claimed.id)]);
}

fn options_of(claimed: &Claimed) -> serde_json::Value {
    serde_json::from_str(claimed.stored_options.json().expect("has options")).expect("are JSON")
}

async fn jitter_delays_a_job_and_not_its_tick(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    announce(&mut session, &[defined(|definition| definition.jitter = 8.0)]).await;
    tick(&mut session).await;
    assert_eq!(ticks(&mut session).await, [(0, "job".into())]);
    assert_eq!(number(&mut session, "select count(*) from gristmill_scheduled").await, 1);

    session.set_now(Some(at(8)));
    assert_eq!(session.promote(10).await.expect("promotes").moved, 1);
    let claimed = claim_one(&mut session, worker).await;
    let wait = claimed.run_after.expect("has a date").since(&at(0)).expect("are moments");
    let nominal = at(0).unix_micros().expect("is a moment");
    assert_eq!(wait, gristmill_core::schedule::jitter("mill", nominal, Duration::from_secs(8)));

    tick_at(&mut session, 18).await;
    assert_eq!(number(&mut session, "select count(*) from gristmill_ready").await, 1, "its wait is over");
}

async fn missed_ticks_are_settled_as_the_schedule_wants(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    for (name, catch_up, fates) in [
        ("a", CatchUp::Latest, ["job", "superseded", "superseded", "job"]),
        ("b", CatchUp::All, ["job", "beyond cap", "job", "job"]),
        ("c", CatchUp::None, ["job", "late", "job", "job"]),
    ] {
        let cap = (catch_up == CatchUp::All).then_some(2);
        let definition = Definition { every: Some(50.0), catch_up, cap, ..Definition::default() };
        announce(&mut session, &[Announced { name: name.into(), definition, ..every(50) }]).await;
        let start = tick(&mut session).await;
        assert_eq!((start.jobs, start.skipped), (1, 0));

        let skipped = fates.iter().filter(|fate| **fate != "job").count() as u64;
        let late = tick_at(&mut session, 150).await;
        assert_eq!((late.jobs, late.skipped), (3 - skipped, skipped), "{catch_up:?}");
        let found = ticks(&mut session).await;
        assert_eq!(found.iter().map(|(_, fate)| fate.as_str()).collect::<Vec<_>>(), fates, "{catch_up:?}");
        meddle(&mut session, "delete from gristmill_tick").await;
        session.set_now(Some(at(0)));
    }
}

async fn what_runs_on_creation_begins_with_the_tick_before_it_was_made(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    session.set_now(Some(at(3)));
    announce(&mut session, &[defined(|definition| definition.run_on_creation = true)]).await;

    tick_at(&mut session, 4).await;
    assert_eq!(ticks(&mut session).await, [(0, "job".into())]);
    assert_eq!(tick_at(&mut session, 10).await, jobs(1));
    assert_eq!(ticks(&mut session).await, [(0, "job".into()), (10, "job".into())]);
}

async fn a_tick_that_was_written_down_is_never_made_again(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    announce(&mut session, &[defined(|definition| definition.catch_up = CatchUp::All)]).await;
    tick(&mut session).await;
    tick_at(&mut session, 20).await;
    let made = ticks(&mut session).await;

    meddle(&mut session, "update gristmill_schedule set high_water = null, next_at = created_at").await;
    assert_eq!(tick(&mut session).await, jobs(0));

    assert_eq!(ticks(&mut session).await, made);
    assert_eq!(number(&mut session, "select count(*) from gristmill_job").await, 3);
}

async fn what_must_not_overlap_is_left_out_until_the_job_has_ended(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    announce(&mut session, &[defined(|definition| definition.overlap = Overlap::Skip)]).await;
    tick(&mut session).await;
    let claimed = claim_one(&mut session, worker).await;
    for seconds in [10, 20] {
        assert_eq!(tick_at(&mut session, seconds).await, Ticked { skipped: 1, ..jobs(0) });
    }
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    assert_eq!(tick_at(&mut session, 30).await, jobs(1));

    let claimed = claim_one(&mut session, worker).await;
    session.finish(&[ended(&claimed, success())]).await.expect("finishes");
    session.set_now(Some(at(31)));
    by_hand(&mut session).await;
    assert_eq!(tick_at(&mut session, 40).await, Ticked { skipped: 1, ..jobs(0) });

    let fates = ["job", "overlapping", "overlapping", "job", "job", "overlapping"];
    assert_eq!(ticks(&mut session).await.iter().map(|(_, fate)| fate.as_str()).collect::<Vec<_>>(), fates);
}

async fn a_job_whose_key_another_holds_is_not_made(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    session.enqueue(&[unique("k", UniqueUntil::Started)]).await.expect("enqueues");
    let mut schedule = defined(|definition| definition.catch_up = CatchUp::All);
    schedule.job.unique_key = Some("k".into());
    announce(&mut session, &[schedule]).await;

    assert_eq!(tick(&mut session).await, Ticked { skipped: 1, ..jobs(0) });
    claim_one(&mut session, worker).await;
    assert_eq!(tick_at(&mut session, 20).await, Ticked { jobs: 1, skipped: 1, ..jobs(0) });

    assert_eq!(ticks(&mut session).await, [(0, "unique".into()), (10, "job".into()), (20, "unique".into())]);
    assert_eq!(number(&mut session, "select count(*) from gristmill_job").await, 2);
}

async fn schedules_of_other_queues_and_backends_are_left_to_others(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let mail = Announced { queue_name: "mail".into(), ..every(10) };
    announce(&mut session, std::slice::from_ref(&mail)).await;
    let (queue, other) = (["mail".to_owned()], ["default".to_owned()]);

    for (backend, queues, exclude) in [
        ("default", Some(&other[..]), &[][..]),
        ("default", None, &queue[..]),
        ("default", Some(&queue[..]), &queue[..]),
        ("default", Some(&[][..]), &[][..]),
        ("other", None, &[][..]),
    ] {
        let served = Served { queues, exclude, ..Served::default() };
        assert_eq!(
            session.tick(backend, &served, 100).await.expect("ticks"),
            Ticked::default(),
            "{backend} {served:?}"
        );
    }
    let served = Served { queues: Some(&queue), exclude: &other, ..Served::default() };
    assert_eq!(session.tick("default", &served, 100).await.expect("ticks"), jobs(1));
    let there = "select count(*) from gristmill_ready where queue_name = 'default'";
    assert_eq!(number(&mut session, there).await, 1, "the job goes to its own queue");
}

/// A job of the usual task that someone asks for by hand.
pub(super) async fn by_hand(session: &mut Session) -> JobId {
    let job = super::scene::job();
    assert!(session.tick_by_hand("default", "mill", job.id).await.expect("writes"));
    session.enqueue(std::slice::from_ref(&job)).await.expect("enqueues");
    job.id
}
