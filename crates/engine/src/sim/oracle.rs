//! Judges every step: from what the database holds, from what was asked of it, and from what runs where.

use std::collections::{HashMap, HashSet};

use gristmill_core::{JobId, Token, WorkerId, state};
use gristmill_store::{Bind, Row, Value};

use super::connection::Shared;

type Key = (JobId, Token);

/// The oracle's own notes of results and attempts, in the order in which they were written.
pub(super) const NOTES: [&str; 4] = [
    "create table result_seen
        (number integer primary key, id text, token integer, crashes integer, losses integer, interruptions integer)",
    "create trigger note_result after insert on gristmill_result begin
        insert into result_seen (id, token, crashes, losses, interruptions)
        values (new.id, new.token, new.crashes, new.losses, new.interruptions);
    end",
    "create table attempt_seen (number integer primary key, job_id text, token integer)",
    "create trigger note_attempt after insert on gristmill_attempt begin
        insert into attempt_seen (job_id, token) values (new.job_id, new.token);
    end",
];

/// Every place row of a job that has not ended, and the ends since the last look: those are read once, by their
/// number. One statement, as the oracle looks after every step.
const LOOK: &str = "
    select id, 'ready', token, null, crashes, losses, interruptions, 0 from gristmill_ready
    union all
    select id, 'scheduled', token, null, crashes, losses, interruptions, 0 from gristmill_scheduled
    union all
    select id, 'running', token, worker_id, crashes, losses, interruptions, 0 from gristmill_running
    union all
    select id, 'result', token, null, crashes, losses, interruptions, number from result_seen where number > ?1
    union all
    select job_id, 'attempt', token, null, 0, 0, 0, number from attempt_seen where number > ?2";

#[derive(Default)]
pub(super) struct Oracle {
    /// The newest token that was given out for each job, and to whom.
    newest: HashMap<JobId, (Token, WorkerId)>,
    /// Jobs with an open attempt after the last step.
    open: HashMap<JobId, Token>,
    /// Enqueued and not ended.
    alive: HashSet<JobId>,
    ended: HashSet<JobId>,
    written: HashSet<Key>,
    /// Attempts whose handler runs, and in which supervisor's boot.
    running: HashMap<JobId, (Token, WorkerId)>,
    /// Attempts whose handler ran, ever.
    started: HashSet<Key>,
    last_result: i64,
    last_attempt: i64,
}

impl Oracle {
    pub(super) fn enqueued(&mut self, ids: impl IntoIterator<Item = JobId>) {
        self.alive.extend(ids);
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.len()
    }

    pub(super) fn ended(&self) -> usize {
        self.ended.len()
    }

    /// A handler's first instruction is about to run.
    pub(super) fn started(&mut self, key: Key, by: WorkerId) -> Result<(), String> {
        let (id, token) = key;
        self.started.insert(key);
        if let Some((other, whose)) = self.running.insert(id, (token, by)) {
            return Err(format!("two live attempts of job {id}: token {other} at {whose}, token {token} at {by}"));
        }
        let open = self.open.get(&id);
        if open != Some(&token) {
            return Err(format!("job {id} started with token {token}; its open attempt is {open:?}"));
        }
        Ok(())
    }

    /// It runs no more: it has ended or was killed.
    pub(super) fn stopped(&mut self, key: Key) {
        if self.running.get(&key.0).is_some_and(|(token, _)| *token == key.1) {
            self.running.remove(&key.0);
        }
    }

    /// Attempts were put back as if they had never been: none of them may have started.
    pub(super) fn handed_back(&self, keys: &[Key]) -> Result<(), String> {
        match keys.iter().find(|key| self.started.contains(key)) {
            Some((id, token)) => Err(format!("job {id} started with token {token} and was handed back uncharged")),
            None => Ok(()),
        }
    }

    /// Which of these ends carry a token that was superseded: they must change nothing.
    pub(super) fn stale(&self, asked: &[Key]) -> Vec<Key> {
        asked.iter().filter(|(id, token)| self.open.get(id) != Some(token)).copied().collect()
    }

    /// Compares what the database holds after a step with what it held before. `stale` are the ends in the step
    /// that had to be refused; `accepted` is what the database said it accepted.
    pub(super) async fn look(&mut self, database: &Shared, stale: &[Key], accepted: &[Key]) -> Result<(), String> {
        if let Some((id, token)) = stale.iter().find(|key| accepted.contains(key)) {
            return Err(format!("a stale end of job {id} with token {token} was accepted"));
        }
        let rows = database.ask(LOOK, &[Bind::Int(self.last_result), Bind::Int(self.last_attempt)]).await;
        let (attempts, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| text(&row[1]) == "attempt");
        let mut seen: HashMap<JobId, &'static str> = HashMap::with_capacity(rows.len());
        let mut open = HashMap::new();
        for row in &rows {
            let place = self.judge_place(row, stale, &mut open)?;
            let id = id(&row[0]);
            if let Some(other) = seen.insert(id, place) {
                return Err(format!("job {id} is in two places: {other} and {place}"));
            }
        }
        for id in &self.alive {
            if !seen.contains_key(id) {
                return Err(format!("job {id} is lost: it is in no place"));
            }
        }
        for (id, place) in seen {
            if place == "result" {
                if !self.alive.remove(&id) {
                    return Err(format!("job {id} ended and was not alive"));
                }
                self.ended.insert(id);
            }
        }
        // A stale end of a job whose open attempt is gone after the step has closed what was not its own.
        if let Some((id, token)) = stale.iter().find(|(id, _)| self.open.contains_key(id) && !open.contains_key(id)) {
            return Err(format!("a stale end of job {id} with token {token} closed the attempt of another"));
        }
        self.last_result = rows.iter().map(|row| int(&row[7])).fold(self.last_result, i64::max);
        self.judge_attempts(&attempts)?;
        self.open = open;
        Ok(())
    }

    fn judge_place(
        &mut self,
        row: &Row,
        stale: &[Key],
        open: &mut HashMap<JobId, Token>,
    ) -> Result<&'static str, String> {
        let (id, token) = (id(&row[0]), Token(int(&row[2])));
        if self.ended.contains(&id) {
            return Err(format!("job {id} has ended and came back"));
        }
        let newest = self.newest.get(&id).map_or(Token(0), |(token, _)| *token);
        let place = match text(&row[1]) {
            "running" => {
                let worker: WorkerId = text(&row[3]).parse().expect("an id");
                let known = self.open.get(&id) == Some(&token);
                if known && self.newest[&id].1 != worker {
                    return Err(format!("token {token} of job {id} changed hands"));
                }
                if !known && token <= newest {
                    return Err(format!("token {token} of job {id} was given out twice"));
                }
                self.newest.insert(id, (token, worker));
                open.insert(id, token);
                "running"
            }
            place => {
                if token != newest {
                    return Err(format!("job {id} is {place} with token {token}; the newest is {newest}"));
                }
                if let Some((_, stale)) = stale.iter().find(|(stale, _)| *stale == id)
                    && self.open.contains_key(&id)
                {
                    return Err(format!("a stale end of job {id} with token {stale} ended the attempt of another"));
                }
                match place {
                    "ready" => "ready",
                    "scheduled" => "scheduled",
                    _ => "result",
                }
            }
        };
        let (crashes, losses, interruptions) = (int(&row[4]), int(&row[5]), int(&row[6]));
        let within = |count: i64, cap: u32| if place == "result" { count <= cap.into() } else { count < cap.into() };
        if !within(crashes, state::CRASHES_IN_A_ROW)
            || !within(losses, state::LOSSES)
            || !within(interruptions, state::INTERRUPTIONS)
        {
            return Err(format!("job {id} is {place} after {crashes} crashes, {losses} losses, {interruptions} stops"));
        }
        Ok(place)
    }

    // An accepted end is an attempt row: of the attempt that was open before the step, and there is one.
    fn judge_attempts(&mut self, rows: &[Row]) -> Result<(), String> {
        for row in rows {
            let key = (id(&row[0]), Token(int(&row[2])));
            self.last_attempt = self.last_attempt.max(int(&row[7]));
            if !self.written.insert(key) {
                return Err(format!("token {} of job {} ended twice", key.1, key.0));
            }
            let open = self.open.get(&key.0);
            if open != Some(&key.1) {
                return Err(format!("job {} was ended with token {}; the open one is {open:?}", key.0, key.1));
            }
        }
        Ok(())
    }

    /// What the whole database has to show, now and then: nothing was enqueued that is nowhere, and the read view
    /// shows every job once.
    pub(super) async fn sweep(&self, database: &Shared) -> Result<(), String> {
        let rows = database.ask("select count(*), count(distinct id) from gristmill_jobs", &[]).await;
        let (rows, jobs) = (int(&rows[0][0]), int(&rows[0][1]));
        let known = i64::try_from(self.alive.len() + self.ended.len()).expect("few");
        if rows != known || jobs != known {
            return Err(format!("{known} jobs were enqueued; the view has {rows} rows of {jobs} jobs"));
        }
        Ok(())
    }
}

fn id(value: &Value) -> JobId {
    text(value).parse().expect("an id")
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        other => panic!("not text: {other:?}"),
    }
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(int) => *int,
        other => panic!("not a number: {other:?}"),
    }
}
