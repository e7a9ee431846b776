//! The pulse: counts of attempts and depths of queues, appended by the minute, folded to hours and days, and forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_core::{Beat, Histogram, Lane, Moment, PulseId, Tally};
use serde::Serialize;

use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::{Bind, Result, Row, Session};

static APPEND_PULSE: Sql = sql!("append_pulse");
static TAKE_PULSE: Sql = sql!("take_pulse");
static DEPTH: Sql = sql!("depth");
static APPEND_DEPTH: Sql = sql!("append_depth");
static TAKE_DEPTH: Sql = sql!("take_depth");
static PRUNE_PULSE: Sql = sql!("prune_pulse");

/// What a level is folded to the next one by: how long ago an hour or a day of it must be over, and how long that is; in
/// seconds. Minutes of single workers become minutes of all of them, these hours, and these days.
const FOLDS: [(i64, i64); 3] = [(180, 60), (86_400, 3_600), (14 * 86_400, 86_400)];
/// How long days are kept.
const KEPT: f64 = 90.0 * 86_400.0;
/// Claim cursors that are looked at for the depth of queues.
const CURSORS: i64 = 500;
/// Where the count of a queue's jobs stops.
const CAP: i64 = 10_001;

/// Attempts of one lane that ended alike, as one worker has counted them.
#[derive(Clone, Debug, PartialEq)]
pub struct PulseRow {
    /// So that an append whose answer was lost can be sent again.
    pub id: PulseId,
    /// What is counted.
    pub beat: Beat,
    /// The counts.
    pub tally: Tally,
}

/// A look at how deep the queues are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// Queues that were written down; none where somebody else had done that in this minute.
    pub queues: u64,
    /// Until the database's next minute begins.
    pub left: Duration,
}

impl Session {
    /// Appends what a worker has counted, as of the database's minute that was `age` ago.
    pub async fn append_pulse(&mut self, rows: &[PulseRow], age: Duration) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = rows.iter().map(|row| Stored::of(row.id, 0, None, &row.beat, None, &row.tally)).collect();
        self.append(&rows, age, false).await
    }

    async fn append(&mut self, rows: &[Stored<'_>], age: Duration, within: bool) -> Result<()> {
        let version = env!("CARGO_PKG_VERSION").into();
        let binds = [json(&rows), self.now(), Bind::Float(age.as_secs_f64()), version];
        let answer =
            if within { self.run(&APPEND_PULSE, &binds).await } else { self.carry_out(&APPEND_PULSE, &binds).await };
        answer.map(drop)
    }

    /// Writes how deep the queues are, unless somebody has done that in this minute.
    pub async fn sample_depth(&mut self) -> Result<Sampled> {
        let rows = self.carry_out(&DEPTH, &[self.now(), Bind::Int(CURSORS), Bind::Int(CAP)]).await?;
        let (mut depths, mut left) = (Vec::new(), 60.0);
        for row in rows {
            let mut fields = Fields::of(row);
            let at = fields.moment()?;
            left = fields.optional_float()?.unwrap_or(left);
            if let Some(backend) = fields.optional_text()? {
                depths.push(Depth::read(1, at, backend, &mut fields)?);
            }
        }
        if !depths.is_empty() {
            self.carry_out(&APPEND_DEPTH, &[json(&depths)]).await?;
        }
        Ok(Sampled { queues: depths.len() as u64, left: Duration::from_secs_f64(left.clamp(0.0, 60.0)) })
    }

    /// Puts old rows together: minutes of single workers, minutes of hours that ended a day ago, hours of days that ended two
    /// weeks ago. At most `limit` of each are taken, in a transaction each. Gives the most that it took of one kind.
    pub async fn fold_pulse(&mut self, limit: u32) -> Result<u64> {
        let mut most = 0;
        for (level, (age, span)) in (0..).zip(FOLDS) {
            let binds = [Bind::Int(level), self.now(), Bind::Int(age), Bind::Int(span), Bind::Int(limit.into())];
            self.begin().await?;
            let taken = self.fold_counts(level + 1, &binds).await;
            most = most.max(self.end(taken).await?);
            if level > 0 {
                self.begin().await?;
                let taken = self.fold_depths(level + 1, &binds).await;
                most = most.max(self.end(taken).await?);
            }
        }
        Ok(most)
    }

    async fn fold_counts(&mut self, level: i64, binds: &[Bind<'_>]) -> Result<u64> {
        let rows = self.run(&TAKE_PULSE, binds).await?;
        let taken = rows.len() as u64;
        let mut folded: BTreeMap<(Moment, Beat, String), Tally> = BTreeMap::new();
        for row in rows {
            let (key, tally) = taken_row(row)?;
            folded.entry(key).or_default().merge(&tally);
        }
        let stored =
            |((at, beat, version), tally)| Stored::of(PulseId::new(), level, Some(at), beat, Some(version), tally);
        let rows: Vec<_> =
            folded.iter().map(|((at, beat, version), tally)| stored(((at, beat, version), tally))).collect();
        if !rows.is_empty() {
            self.append(&rows, Duration::ZERO, true).await?;
        }
        Ok(taken)
    }

    async fn fold_depths(&mut self, level: i64, binds: &[Bind<'_>]) -> Result<u64> {
        let rows = self.run(&TAKE_DEPTH, binds).await?;
        let taken = rows.len() as u64;
        let mut folded: BTreeMap<(Moment, String, String), Depth> = BTreeMap::new();
        for row in rows {
            let mut fields = Fields::of(row);
            let (at, backend) = (fields.moment()?, fields.text()?);
            let depth = Depth::read(level, at, backend, &mut fields)?;
            let key = (depth.at.clone(), depth.backend.clone(), depth.queue_name.clone());
            folded.entry(key).and_modify(|most| most.merge(&depth)).or_insert(depth);
        }
        if !folded.is_empty() {
            self.run(&APPEND_DEPTH, &[json(&folded.values().collect::<Vec<_>>())]).await?;
        }
        Ok(taken)
    }

    /// Forgets days that ended long ago, at most `limit` rows of each table. Gives how many it forgot.
    pub async fn prune_pulse(&mut self, limit: u32) -> Result<u64> {
        let binds = [self.now(), Bind::Float(KEPT), Bind::Int(limit.into())];
        Ok(self.carry_out(&PRUNE_PULSE, &binds).await?.len() as u64)
    }
}

/// What `append_pulse.sql` reads.
#[derive(Serialize)]
struct Stored<'a> {
    id: PulseId,
    level: i64,
    at: Option<&'a Moment>,
    #[serde(flatten)]
    beat: &'a Beat,
    version: Option<&'a str>,
    attempts: u64,
    wait_seconds: f64,
    run_seconds: f64,
    waits: Option<String>,
    runs: Option<String>,
}

impl<'a> Stored<'a> {
    fn of(
        id: PulseId,
        level: i64,
        at: Option<&'a Moment>,
        beat: &'a Beat,
        version: Option<&'a str>,
        tally: &Tally,
    ) -> Self {
        Self {
            id,
            level,
            at,
            beat,
            version,
            attempts: tally.attempts,
            wait_seconds: tally.waits.seconds,
            run_seconds: tally.runs.seconds,
            waits: tally.waits.stored(),
            runs: tally.runs.stored(),
        }
    }
}

fn taken_row(row: Row) -> Result<((Moment, Beat, String), Tally)> {
    let mut fields = Fields::of(row);
    let at = fields.moment()?;
    let lane = Lane { backend: fields.text()?, queue_name: fields.text()?, task_name: fields.text()? };
    let (beat, version) = (Beat { lane, outcome: fields.text()? }, fields.text()?);
    let attempts = fields.int()?;
    let (waited, ran) = (fields.optional_float()?.unwrap_or(0.0), fields.optional_float()?.unwrap_or(0.0));
    let waits = Histogram::read(fields.optional_text()?.as_deref(), waited);
    let runs = Histogram::read(fields.optional_text()?.as_deref(), ran);
    Ok(((at, beat, version), Tally { attempts, waits, runs }))
}

/// How deep a queue was: what `append_depth.sql` reads.
#[derive(Serialize)]
struct Depth {
    level: i64,
    at: Moment,
    backend: String,
    queue_name: String,
    ready: u32,
    scheduled: u32,
    oldest_seconds: f64,
}

impl Depth {
    fn read(level: i64, at: Moment, backend: String, fields: &mut Fields) -> Result<Self> {
        let queue_name = fields.text()?;
        let (ready, scheduled) = (fields.int()?, fields.int()?);
        let oldest_seconds = fields.optional_float()?.unwrap_or(0.0);
        Ok(Self { level, at, backend, queue_name, ready, scheduled, oldest_seconds })
    }

    fn merge(&mut self, other: &Self) {
        self.ready = self.ready.max(other.ready);
        self.scheduled = self.scheduled.max(other.scheduled);
        self.oldest_seconds = self.oldest_seconds.max(other.oldest_seconds);
    }
}
