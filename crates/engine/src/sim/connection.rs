//! One real connection for the whole simulated fleet, with faults between, and defects planted in its SQL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use gristmill_core::WorkerId;
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
    /// An end asks nobody whether the job was to be cancelled.
    FinishIgnoresWishes,
    /// A wish to cancel that no attempt carries out is forgotten.
    WishesAreForgotten,
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
    /// Who settles a gate does not tell the preconditions that somebody waits for them.
    SettleMarksNothing,
    /// A gate counts each change of an edge twice.
    GateCountsTwice,
    /// An end is not spread to who waits for it.
    FinishSpreadsNothing,
    /// A retry is not.
    RetrySpreadsNothing,
    /// Nobody looks whether a job waits for itself.
    CirclesAreNotSeen,
    /// The oldest tick of a round is not written down, and the mark passes it.
    TickIsLeftOut,
    /// The mark stays where it is, and a tick that is there counts as new.
    TickIsMadeAgain,
}

/// What the connection does to the next statements.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Chance in a thousand that a verb fails before it is carried out.
    pub(super) fail_before: u32,
    /// Chance in a thousand that its answer is lost.
    pub(super) lose_answer: u32,
}

pub(super) struct Shared {
    connection: tokio::sync::Mutex<Box<dyn Connection>>,
    defect: Option<Defect>,
    rewritten: Mutex<HashMap<&'static str, &'static str>>,
    state: Mutex<State>,
}

struct State {
    weather: Weather,
    rng: fastrand::Rng,
    failed_before: u64,
    lost_answers: u64,
}

/// Opens sessions over the one connection.
#[derive(Clone)]
pub(super) struct SimSessions(pub(super) Arc<Shared>);

impl Shared {
    pub(super) fn new(connection: Box<dyn Connection>, defect: Option<Defect>, rng: fastrand::Rng) -> Arc<Self> {
        let state = State { weather: Weather::default(), rng, failed_before: 0, lost_answers: 0 };
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

    /// Verbs that failed before they were carried out, and answers that were lost.
    pub(super) fn faults(&self) -> (u64, u64) {
        let state = self.state.lock().expect("no panic");
        (state.failed_before, state.lost_answers)
    }

    /// A statement of the oracle's own: no faults, no defects.
    pub(super) async fn ask(&self, sql: &'static str, binds: &[Bind<'_>]) -> Vec<Row> {
        self.connection.lock().await.run(sql, binds).await.expect("the oracle's statement runs")
    }

    fn fails_before(&self) -> Result<()> {
        let mut state = self.state.lock().expect("no panic");
        let chance = state.weather.fail_before;
        if state.rng.u32(0..1000) < chance {
            state.failed_before += 1;
            return Err(Error::Unavailable("planted: before".into()));
        }
        Ok(())
    }

    fn loses_answer(&self) -> Result<()> {
        let mut state = self.state.lock().expect("no panic");
        let chance = state.weather.lose_answer;
        if state.rng.u32(0..1000) < chance {
            state.lost_answers += 1;
            return Err(Error::Unavailable("planted: answer lost".into()));
        }
        Ok(())
    }

    fn rewrite(&self, sql: &'static str) -> &'static str {
        let Some(defect) = self.defect else { return sql };
        self.rewritten.lock().expect("no panic").entry(sql).or_insert_with(|| plant(defect, sql))
    }
}

// The text of a defective statement lives as long as the process: there are a handful of them.
fn plant(defect: Defect, sql: &'static str) -> &'static str {
    let ends = sql.contains("into temp.gristmill_ended");
    let planted = match defect {
        Defect::FinishWithoutToken if ends => {
            sql.replace("and running.token = json_extract(ended.value, '$.token')", "")
        }
        Defect::ClaimWithoutNewToken if sql.contains("into gristmill_running") => {
            sql.replace("ready.token + 1", "max(ready.token, 1)")
        }
        Defect::RescueTooSoon if sql.contains("set suspect_at = ?2") => {
            sql.replace(">= lease_seconds", ">= lease_seconds / 4")
        }
        Defect::RescueTooSoon if sql.contains("set lost_at = ?2") => {
            sql.replace("heartbeat_at < suspect_at", "suspect_at is not null").replace("heartbeat_seconds *", "0 *")
        }
        Defect::MoveWithoutDelete if ends => sql
            .replace("delete from gristmill_running\nwhere id in", "delete from gristmill_running\nwhere 0 and id in"),
        Defect::FinishIgnoresWishes if ends => sql.replace("wish.token <= running.token", "0"),
        Defect::WishesAreForgotten if sql.contains("into temp.gristmill_stray") => sql
            .replace("cross join gristmill_ready as place", "cross join gristmill_ready as place on 0")
            .replace("delete from gristmill_ready\nwhere", "delete from gristmill_ready\nwhere 0 and"),
        Defect::ClaimKeepsKey if sql.contains("into gristmill_running") => {
            sql.replace("delete from gristmill_unique_key\nwhere", "delete from gristmill_unique_key\nwhere 0 and")
        }
        Defect::FinishFreesKey if ends => sql.replace(
            "(select id from temp.gristmill_ended where next = 'result')\n    and until",
            "(select id from temp.gristmill_ended)\n    and until",
        ),
        Defect::RetrySetsTokenBack if sql.contains("result.generation + 1") => {
            sql.replace("result.token, result.generation + 1", "0, result.generation + 1")
        }
        Defect::ExpiredStarts if sql.contains("into gristmill_running") => {
            sql.replace("    running.claimed_at,", "    '2001-01-01 00:00:00.000000',")
        }
        Defect::PruneTooEarly if sql.contains("'-60 seconds'") => {
            sql.replace("max(60, min(3162240000, ?2))", "min(10, ?2)")
        }
        Defect::PauseIsIgnored if sql.contains("into gristmill_running") => {
            sql.replace("from gristmill_queue as paused", "from (select '' as backend, '' as queue_name) as paused")
        }
        Defect::FailuresAreNotCounted if ends => {
            sql.replace("json_extract(ended.value, '$.failures')", "running.failures")
        }
        Defect::SettleMarksNothing if sql.contains("set awaited = 1") => {
            sql.replace("awaited = 1", "awaited = awaited")
        }
        Defect::GateCountsTwice if sql.contains("update gristmill_gate\nset (open, successful, failed)") => {
            sql.replace("gristmill_gate.open\n            + sum", "gristmill_gate.open\n            + 2 * sum")
        }
        Defect::FinishSpreadsNothing if ends => {
            sql.replace("where (next = 'result' and awaited)", "where (next = 'result' and 0)")
        }
        Defect::RetrySpreadsNothing if sql.contains("result.generation + 1") => {
            sql.replace("    and result.awaited\n", "    and 0\n")
        }
        Defect::CirclesAreNotSeen if sql.contains("into temp.gristmill_checked") => {
            sql.replace("where above.id = picked.job_id", "where 0")
        }
        Defect::TickIsLeftOut if sql.contains("into gristmill_tick") && sql.contains("on conflict do nothing") => {
            sql.replace("where true", "where new.key > 0")
        }
        Defect::TickIsMadeAgain if sql.contains("into gristmill_tick") && sql.contains("new.value") => {
            sql.replace("on conflict do nothing", "on conflict do update set found_at = excluded.found_at")
        }
        Defect::TickIsMadeAgain if sql.contains("set high_water = coalesce(max(gristmill_schedule.high_water") => {
            sql.replace("set high_water = coalesce(max(", "set high_water = coalesce(min(")
        }
        _ => return sql,
    };
    assert_ne!(planted, sql, "{defect:?} found nothing to spoil in its statement");
    Box::leak(planted.into_boxed_str())
}

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
