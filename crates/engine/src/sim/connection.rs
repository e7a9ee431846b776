//! One real connection for the whole simulated fleet, with faults between, and defects planted in its SQL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use gristmill_core::WorkerId;
use gristmill_store::codes::{self, About};
use gristmill_store::{Answer, Bind, Connection, Dialect, Error, LifeLock, Result, Row, Session, WakeUps};

use crate::Sessions;

/// A defect that the oracle must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    /// An attempt is ended whatever its token.
    FinishWithoutToken,
    /// A claim does not count the token up.
    ClaimWithoutNewToken,
    /// A quarter of the lease is enough to be suspected, and who is suspected is lost.
    RescueTooSoon,
    /// An end inserts and does not delete.
    MoveWithoutDelete,
    /// Nobody kills the runners of a worker whose lease has passed.
    NoFence,
    /// A worker never asks what the database thinks it holds.
    NoAudit,
    /// Who asks what became of an end is told before the database has accepted it.
    TellsTooSoon,
    /// An end asks nobody whether the job was to be cancelled.
    FinishIgnoresCancelRequests,
    /// A cancel request that no attempt carries out is forgotten.
    CancelRequestsAreForgotten,
    /// A job that was claimed keeps the key that it had until it starts.
    ClaimKeepsKey,
    /// A job that is to run again gives up the key that it has until it has finished.
    FinishFreesKey,
    /// A retry sets the token back.
    RetrySetsTokenBack,
    /// What has expired is started.
    ExpiredStarts,
    /// Jobs are forgotten before their time.
    PruneTooEarly,
    /// A paused queue is claimed from.
    PauseIsIgnored,
    /// The failures of a job are not counted.
    FailuresAreNotCounted,
    /// Who resolves a gate does not tell the preconditions that somebody waits for them.
    ResolveMarksNothing,
    /// A gate counts each change of an edge twice.
    GateCountsTwice,
    /// An end does not notify who waits for it.
    FinishNotifiesNobody,
    /// Nor does a retry.
    RetryNotifiesNobody,
    /// Nobody looks whether a job waits for itself.
    CirclesAreNotSeen,
    /// The oldest tick of a round is not written down, and the mark passes it.
    TickIsLeftOut,
    /// The mark stays where it is, and a tick that is there counts as new.
    TickIsMadeAgain,
    /// What a job outlived is held against it for ever.
    LossesAreNotForgiven,
    /// Options that cannot be read are taken for the defaults.
    UnreadableOptionsAreDefaults,
    /// A server that lets nobody in is taken to speak of what was to be written.
    ClosedDoorsAreBlamedOnJobs,
    /// A fault of the server's is.
    ServerFaultsAreBlamedOnJobs,
    /// A lock that somebody holds is taken for an outage: a schedule that it keeps back ends the round of all.
    LocksAreOutages,
    /// A chore that a lock keeps back ends the round of all.
    ChoreEndsTheRound,
    /// Who ends when all is done takes a propagation that is put off for none.
    PutOffPropagationsAreForgotten,
    /// And an attempt that others run and jobs wait for.
    WhatRunsElsewhereIsForgotten,
}

impl Defect {
    fn is_in_sql(self) -> bool {
        let is_in_code = matches!(self, Self::NoFence | Self::NoAudit | Self::TellsTooSoon | Self::ChoreEndsTheRound);
        let misjudges = matches!(
            self,
            Self::ClosedDoorsAreBlamedOnJobs | Self::ServerFaultsAreBlamedOnJobs | Self::LocksAreOutages
        );
        !is_in_code && !misjudges
    }
}

/// What a pooler passes on at the first statement, of a server that does not let it in.
const CLOSED: [&str; 4] = ["28P01", "28000", "3D000", "55000"];
/// A disk that fails or is full, a broken page, a demoted primary.
const FAULTS: [&str; 5] = ["58030", "53100", "XX000", "XX001", "25006"];

/// What the connection does to the next statements.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Chance in a thousand that a verb fails before it is carried out.
    pub(super) fail_before: u32,
    /// Chance in a thousand that its answer is lost.
    pub(super) lose_answer: u32,
    /// The server lets nobody in, and nobody stay.
    pub(super) closed: bool,
    /// Chance in a thousand that the server has a fault.
    pub(super) faulty: u32,
    /// What somebody's transaction holds is out of reach.
    pub(super) locked: bool,
}

impl Weather {
    /// Nothing is in the way but locks, perhaps.
    pub(super) fn is_fair(self) -> bool {
        let Self { fail_before, lose_answer, closed, faulty, .. } = self;
        fail_before + lose_answer + faulty == 0 && !closed
    }
}

pub(super) struct Shared {
    connection: tokio::sync::Mutex<Box<dyn Connection>>,
    defect: Option<Defect>,
    rewritten: Mutex<HashMap<&'static str, &'static str>>,
    state: Mutex<State>,
}

struct State {
    weather: Weather,
    /// Ids of jobs and workers, keys and names of schedules whose rows somebody's transaction holds.
    held: Vec<String>,
    rng: fastrand::Rng,
    faults: Faults,
}

/// What the connection has done to statements.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) failed_before: u64,
    pub(super) lost_answers: u64,
    pub(super) kept_out: u64,
    pub(super) of_the_server: u64,
    pub(super) locked: u64,
}

/// Opens sessions over the one connection.
#[derive(Clone)]
pub(super) struct SimSessions(pub(super) Arc<Shared>);

impl Shared {
    pub(super) fn new(connection: Box<dyn Connection>, defect: Option<Defect>, rng: fastrand::Rng) -> Arc<Self> {
        let state = State { weather: Weather::default(), held: Vec::new(), rng, faults: Faults::default() };
        Arc::new(Self {
            connection: tokio::sync::Mutex::new(connection),
            defect,
            rewritten: Mutex::default(),
            state: Mutex::new(state),
        })
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        self.state.lock().expect("no panic").weather = weather;
    }

    pub(super) fn set_held(&self, held: Vec<String>) {
        self.state.lock().expect("no panic").held = held;
    }

    /// How often which happened.
    pub(super) fn faults(&self) -> Faults {
        self.state.lock().expect("no panic").faults
    }

    /// A statement of the oracle's own: no faults, no defects.
    pub(super) async fn ask(&self, sql: &'static str, binds: &[Bind<'_>]) -> Vec<Row> {
        self.connection.lock().await.run(sql, binds).await.expect("the oracle's statement runs")
    }

    fn fails_before(&self) -> Result<()> {
        let mut state = self.state.lock().expect("no panic");
        let Weather { fail_before, closed, faulty, .. } = state.weather;
        if closed {
            state.faults.kept_out += 1;
            let code = CLOSED[state.rng.usize(..CLOSED.len())];
            return Err(self.error(code, Defect::ClosedDoorsAreBlamedOnJobs));
        }
        if state.rng.u32(0..1000) < faulty {
            state.faults.of_the_server += 1;
            let code = FAULTS[state.rng.usize(..FAULTS.len())];
            return Err(self.error(code, Defect::ServerFaultsAreBlamedOnJobs));
        }
        if state.rng.u32(0..1000) < fail_before {
            state.faults.failed_before += 1;
            return Err(Error::Unavailable("planted: before".into()));
        }
        Ok(())
    }

    // A statement that writes waits for the rows that somebody holds, in vain. What it names it touches; the engine's own
    // selections go around locks where the database can.
    fn waits_in_vain(&self, sql: &str, binds: &[Bind<'_>]) -> Result<()> {
        let mut state = self.state.lock().expect("no panic");
        let writes = ["insert into gristmill_", "update gristmill_", "delete from gristmill_"];
        if !state.weather.locked || state.held.is_empty() || !writes.iter().any(|write| sql.contains(write)) {
            return Ok(());
        }
        let names = |held: &String| binds.iter().any(|bind| matches!(bind, Bind::Text(text) if text.contains(held)));
        let Some(held) = state.held.iter().find(|held| names(held)).cloned() else { return Ok(()) };
        state.faults.locked += 1;
        let why = format!("planted: {held} is held");
        Err(if self.defect == Some(Defect::LocksAreOutages) { Error::Unavailable(why) } else { Error::Locked(why) })
    }

    // What the store makes of a server's code, unless it is planted that it misjudges such.
    fn error(&self, code: &str, misjudged: Defect) -> Error {
        let about = if self.defect == Some(misjudged) { About::Row } else { codes::postgres(code) };
        about.error(format!("planted: {code}"))
    }

    fn loses_answer(&self) -> Result<()> {
        let mut state = self.state.lock().expect("no panic");
        let chance = state.weather.lose_answer;
        if state.rng.u32(0..1000) < chance {
            state.faults.lost_answers += 1;
            return Err(Error::Unavailable("planted: answer lost".into()));
        }
        Ok(())
    }

    fn rewrite(&self, sql: &'static str) -> &'static str {
        let Some(defect) = self.defect else { return sql };
        self.rewritten.lock().expect("no panic").entry(sql).or_insert_with(|| plant(defect, sql))
    }

    /// Whether the defect has come into play: where it is one of a statement, that was carried out.
    pub(super) fn is_spoiled(&self) -> bool {
        let rewritten = self.rewritten.lock().expect("no panic");
        !self.defect.is_some_and(Defect::is_in_sql) || rewritten.iter().any(|(own, spoiled)| own != spoiled)
    }
}

// The text of a defective statement lives as long as the process: there are a handful of them.
fn plant(defect: Defect, sql: &'static str) -> &'static str {
    let ends = sql.contains("into gristmill_attempt");
    let planted = match defect {
        Defect::FinishWithoutToken if ends => sql
            .replace("and running.token = json_extract(ended.value, '$.token')", "")
            .replace("and running.worker_id = json_extract(ended.value, '$.worker_id')", ""),
        Defect::ClaimWithoutNewToken if sql.contains("into gristmill_running") => {
            sql.replace("ready.token + 1", "max(ready.token, 1)")
        }
        Defect::RescueTooSoon if sql.contains("set suspect_at = ?2") => {
            sql.replace(">= lease_seconds", ">= lease_seconds / 4")
        }
        Defect::RescueTooSoon if sql.contains("set lost_at = ?2") => {
            sql.replace("heartbeat_at < suspect_at", "suspect_at is not null").replace("heartbeat_seconds * 3", "0")
        }
        Defect::MoveWithoutDelete if ends => sql
            .replace("delete from gristmill_running\nwhere id in", "delete from gristmill_running\nwhere 0 and id in"),
        Defect::FinishIgnoresCancelRequests if ends => sql.replace("request.token <= running.token", "0"),
        Defect::CancelRequestsAreForgotten if sql.contains("into temp.gristmill_stray") => sql
            .replace("cross join gristmill_ready as place", "cross join gristmill_ready as place on 0")
            .replace("delete from gristmill_ready\nwhere", "delete from gristmill_ready\nwhere 0 and"),
        Defect::ClaimKeepsKey if sql.contains("into gristmill_running") => {
            sql.replace("gristmill_unique_key_job\nwhere", "gristmill_unique_key_job\nwhere 0 and")
        }
        Defect::FinishFreesKey if ends => {
            sql.replace("            ended.next = 'result',\n", "            ended.next is not null,\n")
        }
        Defect::RetrySetsTokenBack if sql.contains("result.generation + 1") => {
            sql.replace("result.token, result.generation + 1", "0, result.generation + 1")
        }
        Defect::ExpiredStarts if sql.contains("into gristmill_running") => {
            sql.replace("    running.claimed_at,", "    '2001-01-01 00:00:00.000000',")
        }
        Defect::PruneTooEarly if sql.contains("'-60 seconds'") && sql.contains("gristmill_pruned") => {
            sql.replace("max(60, min(3162240000, ?2))", "min(10, ?2)")
        }
        Defect::PauseIsIgnored if sql.contains("into gristmill_running") => {
            sql.replace("from gristmill_queue as paused", "from (select '' as backend, '' as queue_name) as paused")
        }
        Defect::FailuresAreNotCounted if ends => {
            sql.replace(COUNTS, &format!("nullif(json_remove({COUNTED}, '$.failures'), '{{}}')"))
        }
        Defect::ResolveMarksNothing if sql.contains("set awaited = 1") => {
            sql.replace("awaited = 1", "awaited = awaited")
        }
        Defect::GateCountsTwice if sql.contains("into temp.gristmill_verdict") => sql.replace(
            "gristmill_gate.open + coalesce(\n            sum",
            "gristmill_gate.open + coalesce(\n            2 * sum",
        ),
        Defect::FinishNotifiesNobody if ends => {
            sql.replace("where next = 'result'\n    and awaited", "where next = 'result'\n    and 0")
        }
        Defect::RetryNotifiesNobody if sql.contains("result.generation + 1") => {
            sql.replace("    and result.awaited\n", "    and 0\n")
        }
        Defect::CirclesAreNotSeen if sql.contains("into temp.gristmill_checked") => {
            sql.replace("where walk.id = walk.start", "where 0")
        }
        Defect::TickIsLeftOut if sql.contains("into gristmill_tick") && sql.contains("on conflict do nothing") => {
            sql.replace("where true", "where new.key > 0")
        }
        Defect::TickIsMadeAgain if sql.contains("into gristmill_tick") && sql.contains("new.value") => {
            sql.replace("on conflict do nothing", "on conflict do update set found_at = excluded.found_at")
        }
        Defect::TickIsMadeAgain if sql.contains("max(gristmill_schedule.high_water, json_extract") => {
            sql.replace("max(gristmill_schedule.high_water", "min(gristmill_schedule.high_water")
        }
        Defect::LossesAreNotForgiven if ends => {
            let before = "coalesce(json_extract(running.counts, '$.losses'), 0)";
            let after = format!("coalesce(json_extract({COUNTED}, '$.losses'), 0)");
            sql.replace(COUNTS, &format!("json_set({COUNTED}, '$.losses', max({before}, {after}))"))
        }
        Defect::UnreadableOptionsAreDefaults if sql.contains("into gristmill_running") => {
            sql.replace("job.options,", "iif(job.options like '%\"ask\"%', null, job.options),")
        }
        Defect::PutOffPropagationsAreForgotten if sql.contains("as are_under_way") => {
            let any = |kind: &str| format!("propagation_due where kind = '{kind}')");
            let due = |kind: &str| format!("propagation_due where kind = '{kind}' and due_at <= ?6)");
            ["notify", "resolve", "evaluate"]
                .iter()
                .fold(sql.to_owned(), |sql, kind| sql.replace(&any(kind), &due(kind)))
        }
        Defect::WhatRunsElsewhereIsForgotten if sql.contains("as are_under_way") => {
            sql.replace("where running.awaited\n                    or worker.id is null", "where 0")
        }
        _ => return sql,
    };
    assert_ne!(planted, sql, "{defect:?} found nothing to spoil in its statement");
    Box::leak(planted.into_boxed_str())
}

/// What `finish.sql` has a row carry of what its job has been through.
const COUNTS: &str = "nullif(coalesce(json_extract(ended.value, '$.counts'), running.counts), '')";
/// The same as an object.
const COUNTED: &str = "case json_extract(ended.value, '$.counts') when '' then '{}'
    else coalesce(json_extract(ended.value, '$.counts'), running.counts, '{}') end";

impl Sessions for SimSessions {
    async fn open(&self) -> Result<Session> {
        Ok(Session::over(Box::new(Seam { shared: Arc::clone(&self.0), open: false })))
    }

    async fn wake_ups(&self) -> Result<WakeUps> {
        Err(Error::Unavailable("nobody listens here".into()))
    }

    fn hold_life(&self, _worker: WorkerId) -> Result<Option<LifeLock>> {
        Ok(None)
    }
}

struct Seam {
    shared: Arc<Shared>,
    open: bool,
}

impl Connection for Seam {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            if !self.open {
                self.shared.fails_before()?;
            }
            self.shared.waits_in_vain(sql, binds)?;
            let rewritten = self.shared.rewrite(sql);
            let answer = self.shared.connection.lock().await.run(rewritten, binds).await;
            // A defect is to be found by what it does, not because its SQL does not run.
            if let (Err(error @ Error::Refused(_)), false) = (&answer, std::ptr::eq(sql, rewritten)) {
                assert!(error.to_string().contains("constraint"), "{error}: {rewritten}");
            }
            let answer = answer?;
            if !self.open {
                self.shared.loses_answer()?;
            }
            Ok(answer)
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.shared.fails_before()?;
            self.open = true;
            self.shared.connection.lock().await.begin().await
        })
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.open = false;
            self.shared.connection.lock().await.commit().await?;
            self.shared.loses_answer()
        })
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            if std::mem::take(&mut self.open) {
                self.shared.connection.lock().await.rollback().await?;
            }
            Ok(())
        })
    }
}
