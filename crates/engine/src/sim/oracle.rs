//! Judges every step: from what the database holds, from what was asked of it, and from what runs where.

use std::collections::{HashMap, HashSet};

use gristmill_core::{JobId, OnPreconditionFailure, State, Token, WorkerId};
use gristmill_store::{Bind, NewJob, Row};

use super::connection::Shared;
use super::gates;
use super::rows::{LOOK, Seen, id, int, seen, text};
use super::rules::{Asked, Counted};
use super::ticks::Ticks;

type Key = (JobId, Token);

#[derive(Default)]
pub(super) struct Oracle {
    /// What was asked of each job that is there.
    asked: HashMap<JobId, Asked>,
    /// The newest token that was given out for each job, and to whom.
    newest: HashMap<JobId, (Token, WorkerId)>,
    /// Jobs with an open attempt after the last step, when it was claimed, and whether it is not the first to start.
    open: HashMap<JobId, (Token, i64, bool)>,
    /// Where each job that has not ended was after the last step.
    places: HashMap<JobId, &'static str>,
    /// Enqueued and not ended.
    alive: HashSet<JobId>,
    /// Ended and not forgotten, and when.
    ended: HashMap<JobId, i64>,
    ends: u64,
    pub(super) ticks: Ticks,
    pub(super) failed_by_gate: u64,
    pub(super) circles: u64,
    /// Someone wants these to end.
    cancel_requests: HashSet<JobId>,
    /// Someone holds these.
    held: HashSet<JobId>,
    /// Someone has retried these, once.
    retried: HashSet<JobId>,
    paused: HashSet<String>,
    written: HashSet<Key>,
    /// Ends that receivers were told of.
    told: HashSet<Key>,
    /// How jobs ended, by the attempt that was the newest then: its own end comes first.
    ended_by: HashMap<Key, String>,
    /// Attempts whose handler runs, and in which supervisor's boot.
    running: HashMap<JobId, (Token, WorkerId)>,
    /// Attempts whose handler ran, ever.
    started: HashSet<Key>,
    /// How attempts ended, by those who ran them.
    offered: HashMap<Key, Vec<&'static str>>,
    last_result: i64,
    last_attempt: i64,
}

impl Oracle {
    // --- what it is told ---------------------------------------------------------------------------------

    /// Someone asked for a job and got this one; `existing` says that it was there and none was made.
    pub(super) fn enqueued(&mut self, job: &NewJob, got: JobId, existing: bool, now: i64) -> Result<(), String> {
        if !existing {
            self.asked.insert(got, Asked::of(job, now));
            self.alive.insert(got);
            self.places.insert(got, "ready");
            if job.held {
                self.held.insert(got);
            }
            return Ok(());
        }
        let place = self.places.get(&got).copied().unwrap_or("nowhere");
        match self.asked.get(&got) {
            Some(asked) if asked.holds_its_key(place) => Ok(()),
            _ => Err(format!("job {got} kept another with its key from being made, and was {place}")),
        }
    }

    /// Someone cancelled a job: where it waits, or asked its runner to.
    pub(super) fn cancelled(&mut self, id: JobId) {
        self.cancel_requests.insert(id);
        self.held.remove(&id);
    }

    pub(super) fn held(&mut self, id: JobId) {
        self.held.insert(id);
    }

    pub(super) fn released(&mut self, id: JobId) {
        self.held.remove(&id);
    }

    /// Someone began a new generation of a job that had ended.
    pub(super) fn retried(&mut self, id: JobId) -> Result<(), String> {
        self.cancel_requests.remove(&id);
        self.alive.insert(id);
        self.retried.insert(id);
        if let Some(asked) = self.asked.get_mut(&id) {
            asked.retried();
        }
        self.ended.remove(&id).map(drop).ok_or_else(|| format!("job {id} was retried and had not ended"))
    }

    pub(super) fn paused(&mut self, queue: &str, paused: bool) {
        if paused {
            self.paused.insert(queue.to_owned());
        } else {
            self.paused.remove(queue);
        }
    }

    // In an order that a seed repeats.
    pub(super) fn alive_ids(&self) -> Vec<JobId> {
        sorted(self.alive.iter())
    }

    pub(super) fn open_ids(&self) -> Vec<JobId> {
        sorted(self.open.keys())
    }

    pub(super) fn ended_ids(&self) -> Vec<JobId> {
        sorted(self.ended.keys())
    }

    pub(super) fn unreadable_ids(&self) -> Vec<JobId> {
        sorted(self.alive.iter().filter(|id| self.asked.get(id).is_some_and(|asked| asked.unreadable)))
    }

    pub(super) fn held_ids(&self) -> Vec<JobId> {
        sorted(self.held.iter())
    }

    pub(super) fn scheduled_ids(&self) -> Vec<JobId> {
        sorted(self.places.iter().filter(|(_, place)| **place == "scheduled").map(|(id, _)| id))
    }

    /// All jobs there are.
    pub(super) fn known_ids(&self) -> Vec<JobId> {
        sorted(self.asked.keys())
    }

    pub(super) fn stranded_ids(&self) -> Vec<JobId> {
        sorted(self.places.iter().filter(|(_, place)| **place == "stranded").map(|(id, _)| id))
    }

    pub(super) fn stranded(&self) -> usize {
        self.places.values().filter(|place| **place == "stranded").count()
    }

    /// Who has not ended and could, in words.
    pub(super) async fn unfinished(&self, database: &Shared) -> String {
        let left = self.places.iter().filter(|(id, place)| self.alive.contains(id) && **place != "stranded");
        let mut story = vec![format!("{} propagations are left", gates::propagations(database).await)];
        for id in sorted(left.map(|(id, _)| id)).into_iter().take(5) {
            story.push(format!("job {id} is {}: {}", self.places[&id], gates::story(database, id).await));
        }
        story.join("\n")
    }

    pub(super) fn alive(&self) -> usize {
        self.alive.len()
    }

    pub(super) fn ends(&self) -> u64 {
        self.ends
    }

    /// All cancel requests were carried out that concern jobs which do not run.
    pub(super) fn cancel_requests_swept(&self) -> Result<(), String> {
        let waits = |id: &&JobId| self.alive.contains(*id) && !self.open.contains_key(*id);
        match self.cancel_requests.iter().find(waits) {
            Some(id) => Err(format!("job {id} was to be cancelled and waits to run again")),
            None => Ok(()),
        }
    }

    /// Once every job has ended that can, nobody else holds a key and no cancel request is open.
    pub(super) async fn nothing_is_left(&self, database: &Shared) -> Result<(), String> {
        let left = "select
            (select count(*) from gristmill_unique_key where job_id not in (select id from gristmill_waiting)),
            (select count(*) from gristmill_cancel_request)";
        let rows = database.ask(left, &[]).await;
        match (int(&rows[0][0]), int(&rows[0][1])) {
            (0, 0) => Ok(()),
            (keys, cancel_requests) => {
                Err(format!("every job has ended, and {keys} keys and {cancel_requests} cancel requests are left"))
            }
        }
    }

    /// A handler's first instruction is about to run.
    pub(super) fn started(&mut self, key: Key, by: WorkerId) -> Result<(), String> {
        let (id, token) = key;
        self.started.insert(key);
        if self.asked.get(&id).is_some_and(|asked| asked.unreadable) {
            return Err(format!("job {id} started, and nobody there can read its options"));
        }
        if let Some((other, whose)) = self.running.insert(id, (token, by)) {
            return Err(format!("two live attempts of job {id}: token {other} at {whose}, token {token} at {by}"));
        }
        let open = self.open.get(&id);
        match open {
            Some((open, claimed_at, started)) if *open == token => {
                if !started && self.asked[&id].expires_at.is_some_and(|at| *claimed_at >= at) {
                    return Err(format!("job {id} started though it had expired"));
                }
                Ok(())
            }
            _ => Err(format!("job {id} started with token {token}; its open attempt is {open:?}")),
        }
    }

    /// This is how it ended. A handler's own transaction may be answered late, and then both are true.
    pub(super) fn offered(&mut self, key: Key, outcome: &'static str) {
        self.offered.entry(key).or_default().push(outcome);
    }

    /// It runs no more: it has ended or was killed.
    pub(super) fn stopped(&mut self, key: Key) {
        if self.running.get(&key.0).is_some_and(|(token, _)| *token == key.1) {
            self.running.remove(&key.0);
        }
    }

    /// Receivers are told in which state a job has ended.
    pub(super) fn told(&mut self, key: Key, state: State) -> Result<(), String> {
        let (id, token) = key;
        let told = format!("receivers of job {id} heard that it ended {} with token {token}", state.word());
        if !self.told.insert(key) {
            return Err(format!("{told}, and had heard of that before"));
        }
        match self.ended_by.get(&key) {
            Some(ended) if ended == state.word() => Ok(()),
            Some(ended) => Err(format!("{told}; it ended {ended}")),
            None => Err(format!("{told}; it goes on, or its end is not accepted")),
        }
    }

    /// Attempts were put back as if they had never been: none of them may have started.
    pub(super) fn handed_back(&self, keys: &[Key]) -> Result<(), String> {
        match keys.iter().find(|key| self.started.contains(key)) {
            Some((id, token)) => Err(format!("job {id} started with token {token} and was handed back uncharged")),
            None => Ok(()),
        }
    }

    /// Which of these ends carry a token that was superseded: they must change nothing. One that is sent together with the
    /// newest of its job, because somebody held it for long, is not told apart from that.
    pub(super) fn stale(&self, asked: &[Key]) -> Vec<Key> {
        let newest = |job: &JobId| asked.iter().any(|(id, token)| id == job && self.is_open(*id, *token));
        asked.iter().filter(|(id, _)| !newest(id)).copied().collect()
    }

    fn is_open(&self, id: JobId, token: Token) -> bool {
        self.open.get(&id).is_some_and(|(open, ..)| *open == token)
    }

    // --- what it sees ------------------------------------------------------------------------------------

    /// Compares what the database holds after a step with what it held before. `stale` are the ends in the step
    /// that had to be refused; `accepted` is what the database said it accepted.
    pub(super) async fn look(&mut self, database: &Shared, stale: &[Key], accepted: &[Key]) -> Result<(), String> {
        if let Some((id, token)) = stale.iter().find(|key| accepted.contains(key)) {
            return Err(format!("a stale end of job {id} with token {token} was accepted"));
        }
        let rows = database.ask(LOOK, &[Bind::Int(self.last_result), Bind::Int(self.last_attempt)]).await;
        let (attempts, rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| text(&row[1]) == "attempt");
        let results = rows.iter().filter(|row| text(&row[1]) == "result");
        self.last_result = results.map(|row| int(&row[8])).fold(self.last_result, i64::max);
        let rows: Vec<Seen> = rows.iter().map(seen).collect();
        let mut places: HashMap<JobId, &'static str> = HashMap::with_capacity(rows.len());
        let mut open = HashMap::new();
        for row in &rows {
            self.judge_place(row, stale, &mut open)?;
            if let Some(other) = places.insert(row.id, row.place) {
                return Err(format!("job {} is in two places: {other} and {}", row.id, row.place));
            }
        }
        if let Some(id) = self.alive.iter().find(|id| !places.contains_key(id)) {
            return Err(format!("job {id} is lost: it is in no place"));
        }
        for row in rows.iter().filter(|row| row.place == "result") {
            self.judge_end(row, database).await?;
        }
        let claimed: Vec<JobId> = open.keys().filter(|id| !self.open.contains_key(id)).copied().collect();
        gates::claimed(database, &claimed, &self.retried).await?;
        // A stale end of a job whose open attempt is gone after the step has closed what was not its own.
        if let Some((id, token)) = stale.iter().find(|(id, _)| self.open.contains_key(id) && !open.contains_key(id)) {
            return Err(format!("a stale end of job {id} with token {token} closed the attempt of another"));
        }
        self.judge_keys(&rows)?;
        let counts = rows.iter().map(|row| (row.id, &row.counts)).collect();
        self.judge_attempts(&attempts, &places, &counts)?;
        self.open = open;
        self.places = places;
        Ok(())
    }

    fn judge_place(
        &mut self,
        row: &Seen,
        stale: &[Key],
        open: &mut HashMap<JobId, (Token, i64, bool)>,
    ) -> Result<(), String> {
        let Seen { id, place, token, .. } = *row;
        if self.ended.contains_key(&id) {
            return Err(format!("job {id} has ended and came back"));
        }
        let Some(asked) = self.asked.get(&id) else { return Err(format!("nobody asked for job {id}")) };
        if row.generation != asked.generation {
            return Err(format!("job {id} is of generation {}; it was retried otherwise", row.generation));
        }
        asked.judge(place, &row.counts).map_err(|why| format!("job {id} is {place} after {why}"))?;
        let newest = self.newest.get(&id).map_or(Token(0), |(token, _)| *token);
        if place == "running" {
            let worker: WorkerId = row.whose.parse().expect("an id");
            let known = self.is_open(id, token);
            if known && self.newest[&id].1 != worker {
                return Err(format!("token {token} of job {id} changed hands"));
            }
            if !known && token <= newest {
                return Err(format!("token {token} of job {id} was given out twice"));
            }
            if !known && self.paused.contains(&row.queue) {
                return Err(format!("job {id} was claimed from the paused queue {}", row.queue));
            }
            if self.held.contains(&id) {
                return Err(format!("job {id} was claimed though someone holds it"));
            }
            self.newest.insert(id, (token, worker));
            open.insert(id, (token, row.at.unwrap_or(i64::MAX), row.started));
            return Ok(());
        }
        if token != newest {
            return Err(format!("job {id} is {place} with token {token}; the newest is {newest}"));
        }
        if let Some((_, stale)) = stale.iter().find(|(stale, _)| *stale == id)
            && self.open.contains_key(&id)
        {
            return Err(format!("a stale end of job {id} with token {stale} ended the attempt of another"));
        }
        // Who is held fails with its preconditions all the same, where it was to.
        if place != "result" && self.held.contains(&id) != (place == "held") {
            return Err(format!("job {id} is {place}; somebody holds it: {}", self.held.contains(&id)));
        }
        Ok(())
    }

    async fn judge_end(&mut self, row: &Seen, database: &Shared) -> Result<(), String> {
        let Seen { id, whose: state, token, .. } = row;
        // Who retries a job and cancels it before it is claimed ends it once more under the same token.
        self.ended_by.entry((*id, *token)).or_insert_with(|| state.clone());
        self.held.remove(id);
        if !self.alive.remove(id) {
            return Err(format!("job {id} ended and was not alive"));
        }
        match (self.cancel_requests.contains(id), state.as_str()) {
            (true, "successful" | "cancelled") => {}
            (true, _) => return Err(format!("job {id} was to be cancelled and ended {state}")),
            (false, "cancelled") => return Err(format!("job {id} ended cancelled, and nobody wanted that")),
            (false, "precondition failed") if self.asked[id].on_precondition_failure != OnPreconditionFailure::Fail => {
                return Err(format!("job {id} failed with its preconditions, and was not to"));
            }
            (false, "cycle") if !gates::is_on_a_circle(database, *id).await => {
                return Err(format!("job {id} failed for waiting for itself, and does not"));
            }
            (false, _) => {}
        }
        self.failed_by_gate += u64::from(state == "precondition failed");
        self.circles += u64::from(state == "cycle");
        self.ends += 1;
        self.ended.insert(*id, row.at.expect("a moment"));
        Ok(())
    }

    // At most one job for each key, while it is in the states that it declared.
    fn judge_keys(&self, rows: &[Seen]) -> Result<(), String> {
        let mut holders: HashMap<&str, JobId> = HashMap::new();
        for row in rows {
            let asked = &self.asked[&row.id];
            // Who was claimed has given its key up for good, or it got it back, if nobody else had taken it.
            let Some(key) = asked.key.as_deref().filter(|_| asked.holds_its_key_for_sure(row.place, row.token)) else {
                continue;
            };
            if let Some(other) = holders.insert(key, row.id) {
                return Err(format!("jobs {other} and {} have the same key {key}", row.id));
            }
        }
        Ok(())
    }

    // An accepted end is an attempt row: of the attempt that was open before the step, and there is one.
    fn judge_attempts(
        &mut self,
        rows: &[Row],
        places: &HashMap<JobId, &'static str>,
        counts: &HashMap<JobId, &Counted>,
    ) -> Result<(), String> {
        for row in rows {
            let (id, token, outcome) = (id(&row[0]), Token(int(&row[2])), text(&row[3]));
            self.last_attempt = self.last_attempt.max(int(&row[8]));
            if !self.written.insert((id, token)) {
                return Err(format!("token {token} of job {id} ended twice"));
            }
            if !self.is_open(id, token) {
                let open = self.open.get(&id);
                return Err(format!("job {id} was ended with token {token}; the open one is {open:?}"));
            }
            // Others may only say that they do not know.
            if let Some(told) = self.offered.remove(&(id, token))
                && outcome != "lost"
                && !told.contains(&outcome)
            {
                return Err(format!("token {token} of job {id} ended {told:?} and was written down as {outcome}"));
            }
            let place = places.get(&id).copied().unwrap_or("nowhere");
            let asked = self.asked.get_mut(&id).ok_or_else(|| format!("nobody asked for job {id}"))?;
            asked.attempted(outcome, place, counts.get(&id).copied()).map_err(|why| format!("job {id} {why}"))?;
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
        let asked = self.asked.iter().flat_map(|(job, asked)| asked.after.iter().map(|above| (*above, *job)));
        gates::sweep(database, asked).await
    }

    /// Takes note of the jobs that were forgotten: their time must have been over. Says how many there were.
    pub(super) async fn pruned(&mut self, database: &Shared, now: i64) -> Result<usize, String> {
        let rows = database.ask("select id from gristmill_job", &[]).await;
        let there: HashSet<JobId> = rows.iter().map(|row| id(&row[0])).collect();
        if let Some(id) = self.alive.iter().find(|id| !there.contains(id)) {
            return Err(format!("job {id} was forgotten before it had ended"));
        }
        let gone: Vec<JobId> = self.ended.keys().filter(|id| !there.contains(id)).copied().collect();
        gates::forgotten(database, &gone).await?;
        for id in &gone {
            let age = now - self.ended[id];
            // SQLite counts on dates in milliseconds.
            if age + 1_000 < self.asked[id].kept {
                return Err(format!("job {id} was forgotten {age} µs after its end, not {} µs", self.asked[id].kept));
            }
            self.ended.remove(id);
            self.asked.remove(id);
        }
        Ok(gone.len())
    }
}

fn sorted<'a>(ids: impl Iterator<Item = &'a JobId>) -> Vec<JobId> {
    let mut ids: Vec<JobId> = ids.copied().collect();
    ids.sort();
    ids
}
