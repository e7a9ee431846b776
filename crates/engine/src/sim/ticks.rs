//! What the oracle asks of schedules: that each nominal instant has one job or one reason and none is missing, and that
//! no mark goes back.

use std::collections::HashMap;

use gristmill_core::schedule::{Definition, Micros};
use gristmill_core::{Lane, Moment};
use gristmill_store::{Bind, NewJob, Row, UniqueUntil, Value};

use super::connection::Shared;
use super::rows::{id, int, text};

const SCHEDULES: &str = "
    select name, definition, removed_at is null and paused_at is null and problem is null, created_at, high_water, problem,
        origin = 'database'
    from gristmill_schedule
    order by name";

/// Ticks that are new, with what their jobs are like.
const TICKS: &str = "
    select seen.number, tick.schedule, tick.nominal, tick.job_id, tick.skipped, job.queue_name, job.task_name,
        job.unique_key, job.options, job.run_after, job.enqueued_at
    from tick_seen as seen
    join gristmill_tick as tick on tick.schedule = seen.schedule and tick.nominal = seen.nominal
    left join gristmill_job as job on job.id = tick.job_id
    where seen.number > ?1
    order by seen.number";

/// A job that a schedule made at this moment and that no tick has.
const TICKLESS: &str = "
    select job.id, json_extract(job.options, '$.schedule.name'), json_extract(job.options, '$.schedule.nominal')
    from gristmill_job as job
    where job.enqueued_at = ?1
        and json_extract(job.options, '$.schedule.name') is not null
        and not exists (select 1 from tick_seen as seen where seen.job_id = job.id)
    limit 1";

const OVERDUE: &str = "
    select name
    from gristmill_schedule
    where next_at <= ?1 and removed_at is null and paused_at is null and problem is null
    limit 1";

/// What is known of schedules after the last step.
#[derive(Default)]
pub(super) struct Ticks {
    last: i64,
    known: HashMap<String, Seen>,
    /// Each nominal instant that was settled.
    settled: HashMap<String, Vec<Micros>>,
}

/// A schedule after a step.
struct Seen {
    definition: Definition,
    ticks: bool,
    /// People keep it: who changes its rule wants nothing of the old one.
    is_kept: bool,
    created_at: Micros,
    high_water: Option<Micros>,
}

impl Ticks {
    /// Compares schedules and ticks after a step with those before it. Gives the jobs that were made, and when.
    pub(super) async fn look(&mut self, database: &Shared, now: Micros) -> Result<Vec<(NewJob, Micros)>, String> {
        let mut jobs = Vec::new();
        for row in database.ask(TICKS, &[Bind::Int(self.last)]).await {
            self.last = int(&row[0]);
            let (schedule, nominal) = (text(&row[1]).to_owned(), micros(&row[2]));
            let settled = self.settled.entry(schedule.clone()).or_default();
            if settled.contains(&nominal) {
                return Err(format!("{schedule} has ticked twice at {}", text(&row[2])));
            }
            settled.push(nominal);
            match (&row[3], &row[4]) {
                (Value::Null, Value::Text(_)) => {}
                (Value::Text(_), Value::Null) if row[6] != Value::Null => jobs.push(job(&row)),
                _ => return Err(format!("the tick of {schedule} at {} has neither a job nor a reason", text(&row[2]))),
            }
        }
        if let Some(row) = database.ask(TICKLESS, &[Moment::from_unix_micros(now).0.into()]).await.first() {
            return Err(format!("job {} of {} at {} is of no tick", id(&row[0]), text(&row[1]), text(&row[2])));
        }
        let mut known = HashMap::new();
        for row in database.ask(SCHEDULES, &[]).await {
            let (name, seen) = (text(&row[0]).to_owned(), Seen::of(&row));
            if let Value::Text(problem) = &row[5] {
                return Err(format!("schedule {name} has a problem: {problem}"));
            }
            let settled = self.settled.get(&name).map_or(&[][..], Vec::as_slice);
            if let Some(before) = self.known.get(&name).filter(|before| before.created_at == seen.created_at) {
                before.becomes(&seen, settled, now).map_err(|why| format!("schedule {name}: {why}"))?;
            }
            known.insert(name, seen);
        }
        self.known = known;
        Ok(jobs)
    }

    /// Everyone who ticks has just done so.
    pub(super) async fn nothing_is_due(&self, database: &Shared, now: Micros) -> Result<(), String> {
        match database.ask(OVERDUE, &[Moment::from_unix_micros(now).0.into()]).await.first() {
            Some(row) => Err(format!("schedule {} is due, and nobody ticks it", text(&row[0]))),
            None => Ok(()),
        }
    }
}

impl Seen {
    fn of(row: &Row) -> Self {
        Self {
            definition: serde_json::from_str(text(&row[1])).expect("a definition"),
            ticks: int(&row[2]) != 0,
            is_kept: int(&row[6]) != 0,
            created_at: micros(&row[3]),
            high_water: if row[4] == Value::Null { None } else { Some(micros(&row[4])) },
        }
    }

    fn becomes(&self, after: &Self, settled: &[Micros], now: Micros) -> Result<(), String> {
        if after.high_water < self.high_water {
            return Err("its mark went back".into());
        }
        let rule = |definition: &Definition| {
            (definition.cron.clone(), definition.every.map(f64::to_bits), definition.timezone.clone())
        };
        let changed = rule(&self.definition) != rule(&after.definition);
        if !self.ticks || (changed && after.is_kept) {
            // Nothing is owed for the time that it was away.
            return Ok(());
        }
        // Who changes the rule settles what the old one owes up to that moment.
        let Some(until) = (if changed { Some(now) } else { after.high_water }) else { return Ok(()) };
        let from = self.high_water.unwrap_or(self.created_at - 1);
        let schedule = self.definition.schedule().map_err(|error| error.to_string())?;
        match schedule.upcoming(from).take_while(|nominal| *nominal <= until).find(|due| !settled.contains(due)) {
            Some(missing) => Err(format!(
                "its tick at {} is missing: the mark went from {} to {}",
                Moment::from_unix_micros(missing),
                Moment::from_unix_micros(from),
                Moment::from_unix_micros(until),
            )),
            None => Ok(()),
        }
    }
}

fn job(row: &Row) -> (NewJob, Micros) {
    let lane =
        Lane { backend: "default".into(), queue_name: text(&row[5]).to_owned(), task_name: text(&row[6]).to_owned() };
    let optional = |value: &Value| if *value == Value::Null { None } else { Some(text(value).to_owned()) };
    let job = NewJob {
        id: id(&row[3]),
        run_after: optional(&row[9]).map(Moment),
        unique_key: optional(&row[7]),
        unique_until: UniqueUntil::Started,
        options_json: optional(&row[8]),
        ..NewJob::new(lane, "[]")
    };
    (job, micros(&row[10]))
}

fn micros(value: &Value) -> Micros {
    Moment(text(value).to_owned()).unix_micros().expect("a moment")
}
