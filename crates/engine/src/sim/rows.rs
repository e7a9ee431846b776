//! How the oracle reads the database.

use gristmill_core::{Counts, JobId, Moment, Token};
use gristmill_store::{Row, Value};

use super::rules::Counted;

/// The oracle's own notes of results, attempts and ticks, in the order in which they were written.
pub(super) const NOTES: [&str; 6] = [
    "create table result_seen
        (number integer primary key, id text, queue_name text, token integer, generation integer, counts text,
         finished_at text, state text, reason text)",
    "create trigger note_result after insert on gristmill_result begin
        insert into result_seen
            (id, queue_name, token, generation, counts, finished_at, state, reason)
        values (new.id, new.queue_name, new.token, new.generation, new.counts, new.finished_at, new.state, new.reason);
    end",
    "create table attempt_seen (number integer primary key, job_id text, token integer, outcome text)",
    "create trigger note_attempt after insert on gristmill_attempt begin
        insert into attempt_seen (job_id, token, outcome) values (new.job_id, new.token, new.outcome);
    end",
    "create table tick_seen (number integer primary key, schedule text, nominal text, job_id text)",
    "create trigger note_tick after insert on gristmill_tick begin
        insert into tick_seen (schedule, nominal, job_id) values (new.schedule, new.nominal, new.job_id);
    end",
];

/// Every place row of a job that has not ended, and the ends since the last look: those are read once, by their
/// number. One statement, as the oracle looks after every step. The columns are those of [`Seen`].
pub(super) const LOOK: &str = "
    select id, 'ready', token, queue_name, generation, counts, null, null, 0
    from gristmill_ready
    union all
    select id, 'scheduled', token, queue_name, generation, counts, null, null, 0
    from gristmill_scheduled
    union all
    select id, case when held then 'held' when stranded then 'stranded' else 'waiting' end, token, queue_name, generation, counts, null, null, 0
    from gristmill_waiting
    union all
    select id, 'running', token, queue_name, generation, counts, claimed_at, worker_id, started_at is not null
    from gristmill_running
    union all
    select id, 'result', token, queue_name, generation, counts, finished_at, case reason when 'cycle' then reason when 'precondition failed' then reason else state end, number
    from result_seen
    where number > ?1
    union all
    select job_id, 'attempt', token, outcome, 0, null, null, null, number
    from attempt_seen
    where number > ?2";

/// One place row.
pub(super) struct Seen {
    pub(super) id: JobId,
    pub(super) place: &'static str,
    pub(super) token: Token,
    pub(super) queue: String,
    pub(super) generation: i64,
    pub(super) counts: Counted,
    /// When it was claimed, or ended.
    pub(super) at: Option<i64>,
    /// Who runs it, or in which state it has ended; why, if that has to do with what it waited for.
    pub(super) whose: String,
    /// It has started before.
    pub(super) started: bool,
}

pub(super) fn seen(row: &Row) -> Seen {
    Seen {
        id: id(&row[0]),
        place: match text(&row[1]) {
            "ready" => "ready",
            "scheduled" => "scheduled",
            "held" => "held",
            "waiting" => "waiting",
            "stranded" => "stranded",
            "running" => "running",
            _ => "result",
        },
        token: Token(int(&row[2])),
        queue: text(&row[3]).to_owned(),
        generation: int(&row[4]),
        counts: counted(&row[5]),
        at: if row[6] == Value::Null { None } else { Moment(text(&row[6]).to_owned()).unix_micros() },
        whose: if row[7] == Value::Null { String::new() } else { text(&row[7]).to_owned() },
        started: int(&row[8]) != 0,
    }
}

fn counted(value: &Value) -> Counted {
    let stored = (*value != Value::Null).then(|| text(value));
    let Counts { failures, crashes, losses, postpones, interruptions } = Counts::read(stored).expect("counts");
    let [failures, crashes, losses, postpones, interruptions] =
        [failures, crashes, losses, postpones, interruptions].map(i64::from);
    Counted { failures, crashes, losses, postpones, interruptions }
}

pub(super) fn id(value: &Value) -> JobId {
    text(value).parse().expect("an id")
}

pub(super) fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        other => panic!("not text: {other:?}"),
    }
}

pub(super) fn int(value: &Value) -> i64 {
    match value {
        Value::Int(int) => *int,
        other => panic!("not a number: {other:?}"),
    }
}
