//! The simulated fleet: who acts next, what goes wrong, and what the oracle says to it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::schedule::Announcement;
use gristmill_core::{JobId, Token, WorkerId};
use gristmill_store::{Error, Session, Settings, Store};

use super::connection::{Defect, Shared, SimSessions, Weather};
use super::gates;
use super::oracle::Oracle;
use super::rows::NOTES;
use super::schedules;
use super::supervisor::Supervisor;
use super::tally::Tally;
use crate::dispatcher::turn::{Answer, Done, Order, carry_out};
use crate::link::Link;
use crate::maintenance::{Chore, Stepped};
use crate::{Sessions, clock};

/// When the simulated world begins: 2026-01-01.
const GENESIS: i64 = 1_767_225_600_000_000;
/// After the faults have ended, everything has to have ended within this many steps for each that there was before.
const HEALING: u64 = 2;
/// How long a chore may take, of the machine's own time.
const CHORE: Duration = Duration::from_secs(15);
/// Steps between two sweeps of the whole database.
const SWEEP: u64 = 500;

pub(super) struct World {
    pub(super) tally: Tally,
    pub(super) rng: fastrand::Rng,
    origin: Instant,
    pub(super) now: i64,
    defect: Option<Defect>,
    pub(super) shared: Arc<Shared>,
    sessions: SimSessions,
    pub(super) oracle: Oracle,
    pub(super) fleet: Vec<Supervisor>,
    /// What was deployed last; it is announced by whoever boots.
    pub(super) code: Announcement,
    pub(super) weather: Weather,
    pub(super) healthy: bool,
    /// What somebody's transaction holds, and until when.
    pub(super) held: Vec<(String, i64)>,
    /// Orders that their dispatcher has given up, and that the database carries out all the same, later.
    late: Vec<(i64, WorkerId, Order)>,
    story: VecDeque<String>,
    folder: PathBuf,
}

impl World {
    pub(super) async fn new(seed: u64, defect: Option<Defect>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Jitter in what is simulated comes from this thread's generator.
        fastrand::seed(rng.u64(..));
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = parent.join(format!("gristmill-sim-{}", JobId::new()));
        std::fs::create_dir(&folder).expect("a folder for the database");
        let store = Store::new(Settings::sqlite(folder.join("jobs.sqlite3"))).expect("an absolute path");
        store.migrate().await.expect("the schema");
        let connection = store.open().await.expect("the database").into_connection();
        let shared = Shared::new(connection, defect, rng.fork());
        for statement in NOTES {
            shared.ask(statement, &[]).await;
        }
        let sessions = SimSessions(Arc::clone(&shared));

        let (origin, now) = (Instant::now(), GENESIS);
        clock::simulated::set(origin, now);
        let code = schedules::code(&mut rng);
        let fleet = (0..rng.usize(2..=6)).map(|_| Supervisor::boot(&sessions, &mut rng, now, &code)).collect();
        Self {
            tally: Tally::default(),
            rng,
            origin,
            now,
            defect,
            shared,
            sessions,
            oracle: Oracle::default(),
            fleet,
            code,
            weather: Weather::default(),
            healthy: false,
            held: Vec::new(),
            late: Vec::new(),
            story: VecDeque::new(),
            folder,
        }
    }

    /// The last things that happened.
    pub(super) fn story(&self) -> String {
        Vec::from(self.story.clone()).join("\n")
    }

    /// Faults for three quarters of the steps, then health until every job has ended.
    pub(super) async fn run(&mut self, steps: u64) -> Result<(), String> {
        let verdict = self.live(steps).await;
        self.tally.faults = self.shared.faults();
        for supervisor in &self.fleet {
            self.tally.count_runners(supervisor);
        }
        #[allow(clippy::cast_precision_loss)]
        let seconds = (self.now - GENESIS) as f64 / 1e6;
        self.tally.virtual_seconds = seconds;
        self.tally.ends = self.oracle.ends();
        (self.tally.failed_by_gate, self.tally.circles) = (self.oracle.failed_by_gate, self.oracle.circles);

        verdict
    }

    async fn live(&mut self, steps: u64) -> Result<(), String> {
        let faults_until = steps / 4 * 3;
        while self.tally.steps < faults_until {
            self.go_wrong();
            self.people_act().await?;
            self.step().await?;
        }
        self.heal();
        self.people_let_go().await?;
        self.end_schedules().await?;
        while self.oracle.alive() > self.oracle.stranded() || gates::propagations(&self.shared).await > 0 {
            if self.tally.steps > steps + steps * HEALING {
                let left = self.oracle.unfinished(&self.shared).await;
                return Err(format!("jobs have not ended, though all is well: {left}"));
            }
            self.step().await?;
        }
        self.oracle.nothing_is_left(&self.shared).await?;
        self.oracle.sweep(&self.shared).await
    }

    async fn step(&mut self) -> Result<(), String> {
        self.tally.steps += 1;
        self.pass_time();
        self.let_go_of_what_is_over();
        self.carry_out_late().await?;
        self.run_runners().await?;
        let awake: Vec<usize> = (0..self.fleet.len()).filter(|n| self.fleet[*n].paused_until <= self.now).collect();
        if !awake.is_empty() {
            let chosen = awake[self.rng.usize(..awake.len())];
            self.act(chosen).await?;
        }
        self.run_runners().await?;
        if self.tally.steps.is_multiple_of(SWEEP) {
            self.oracle.sweep(&self.shared).await?;
        }
        Ok(())
    }

    fn pass_time(&mut self) {
        self.now += match self.rng.u32(0..20) {
            0..2 => self.rng.i64(0..8_000_000),
            2..5 => self.rng.i64(0..2_000_000),
            _ => self.rng.i64(0..300_000),
        };
        clock::simulated::set(self.origin, self.now);
    }

    pub(super) fn wait_a_second(&mut self) {
        self.now += 1_000_000;
        clock::simulated::set(self.origin, self.now);
    }

    async fn run_runners(&mut self) -> Result<(), String> {
        for n in 0..self.fleet.len() {
            let supervisor = &self.fleet[n];
            let fence = supervisor.until().map_or(self.now, |until| micros(until, self.origin));
            let fence = (self.defect != Some(Defect::NoFence)).then_some(fence);
            supervisor.runners.end_until(self.now, fence);
            supervisor.runners.report(supervisor.worker(), &mut self.oracle)?;
            self.write_ends(n).await?;
        }
        let known = self.oracle.known_ids();
        for supervisor in &self.fleet {
            supervisor.runners.know(&known);
            supervisor.runners.start_waiting();
            supervisor.runners.report(supervisor.worker(), &mut self.oracle)?;
        }
        Ok(())
    }

    pub(super) async fn session(&self) -> Session {
        let mut session = self.sessions.open().await.expect("opens");
        session.set_now(clock::database());
        session
    }

    // --- what a supervisor does --------------------------------------------------------------------------

    async fn act(&mut self, n: usize) -> Result<(), String> {
        let now = self.now;
        let supervisor = &mut self.fleet[n];
        let mut happened = supervisor.runners.events();
        if self.defect == Some(Defect::TellsTooSoon) {
            supervisor.dispatcher.tell_too_soon();
        }
        supervisor.dispatcher.take_in(&mut happened);
        if supervisor.delivery.as_ref().is_some_and(|(at, _)| *at <= now)
            && let Some((_, done)) = supervisor.delivery.take()
        {
            supervisor.dispatcher.settle(done).map_err(|error| error.to_string())?;
        }
        supervisor.dispatcher.heed(clock::now());
        if supervisor.next_beat <= now {
            self.beat(n).await?;
        }
        if self.fleet[n].next_keep <= now && self.fleet[n].registered {
            self.keep(n).await?;
        }
        self.tick(n).await?;
        self.dispatcher(n).await
    }

    async fn beat(&mut self, n: usize) -> Result<(), String> {
        let beat = self.fleet[n].beat(&mut self.rng, self.now).await;
        if self.check(beat)? == Some(true) {
            self.tally.declared_lost += 1;
            self.tell(n, "learns that it was declared lost");
        }
        if self.defect == Some(Defect::NoAudit) {
            self.fleet[n].dispatcher.forget_doubt();
        }
        Ok(())
    }

    async fn keep(&mut self, n: usize) -> Result<(), String> {
        self.fleet[n].next_keep = self.now + self.rng.i64(2_000_000..6_000_000);
        if self.fleet[n].maintenance.rests() {
            return Ok(());
        }
        self.fleet[n].maintenance.is_stopped_by_locks = self.defect == Some(Defect::ChoreEndsTheRound);
        for chore in self.fleet[n].maintenance.due() {
            match self.do_chore(n, chore).await? {
                Stepped::Away if self.weather_now().is_fair() => {
                    return Err(format!(
                        "{chore:?} was kept back by somebody's lock, and what was due after it was left"
                    ));
                }
                Stepped::Away => return Ok(()),
                Stepped::Done(_) | Stepped::PutOff => {}
            }
        }
        Ok(())
    }

    async fn do_chore(&mut self, n: usize, chore: Chore) -> Result<Stepped, String> {
        let maintenance = &mut self.fleet[n].maintenance;
        let stepped = maintenance.step(chore, CHORE).await.map_err(|error| error.to_string())?;
        let did = if let Stepped::Done(did) = stepped { did } else { 0 };
        match chore {
            Chore::Rescue if did > 0 => {
                self.tally.rescued += did;
                self.tell(n, &format!("rescues {did}"));
            }
            Chore::SweepCancels if did > 0 => {
                self.tally.cancel_requests += did;
                self.tell(n, &format!("sweeps up {did} cancel requests"));
            }
            // While there are more, its other chores come between.
            Chore::Propagate => {
                if let Some(propagated) = self.fleet[n].maintenance.propagated.take() {
                    self.tally.propagated(&propagated);
                    if propagated.more {
                        self.fleet[n].next_keep = self.now;
                    }
                }
            }
            Chore::Prune => {
                self.tally.pruned += self.oracle.pruned(&self.shared, self.now).await? as u64;
                return Ok(stepped);
            }
            _ => {}
        }
        self.oracle.look(&self.shared, &[], &[]).await?;
        if chore == Chore::SweepCancels && did > 0 {
            self.oracle.cancel_requests_swept()?;
        }
        Ok(stepped)
    }

    async fn dispatcher(&mut self, n: usize) -> Result<(), String> {
        let now = clock::now();
        let supervisor = &mut self.fleet[n];
        supervisor.dispatcher.heed(now);
        if supervisor.dispatcher.is_over(now, supervisor.delivery.is_some()) {
            return self.leave(n).await;
        }
        if supervisor.delivery.is_some() {
            return Ok(());
        }
        let Some((link, worker, order)) = supervisor.dispatcher.next_order(now) else { return Ok(()) };
        if supervisor.standing.borrow().is_quiet
            && matches!(order, Order::Turn { claim: Some(_), .. } | Order::Survey { .. })
        {
            return Err("a worker that is to be quiet looks for jobs".into());
        }
        let (kind, delay) = (self.rng.u32(0..100), self.rng.i64(0..15_000_000));
        let troubled = self.oracle.alive() > 0 && self.is_troubled();
        let done = if troubled && kind < 3 {
            self.give_up(n, link, worker, order)
        } else {
            self.carry_out(n, link, worker, order).await?
        };
        let delivered = if troubled && (3..15).contains(&kind) {
            self.tally.delayed_answers += 1;
            self.now + delay
        } else {
            self.now
        };
        let supervisor = &mut self.fleet[n];
        if delivered > self.now {
            supervisor.delivery = Some((delivered, done));
            // The worst moment to be stopped by a signal: what was claimed is started, or not, long after.
            if self.rng.u32(0..8) == 0 {
                self.pause(n);
            }
            return Ok(());
        }
        supervisor.dispatcher.settle(done).map_err(|error| error.to_string())
    }

    async fn carry_out(
        &mut self,
        n: usize,
        link: Link<SimSessions>,
        worker: WorkerId,
        order: Order,
    ) -> Result<Done<SimSessions>, String> {
        let stale = self.oracle.stale(&asked(&order));
        let done = carry_out(link, worker, order).await;
        if let Err(error @ Error::Refused(_)) = &done.answer
            && self.defect.is_none()
        {
            return Err(error.to_string());
        }
        let accepted = match &done.answer {
            Ok(Answer::Surveyed(found)) if matches!(done.order, Order::Survey { to_end: true, .. }) => {
                if !found.under_way && gates::to_come(&self.shared).await > 0 {
                    return Err("who ends when all is done is told that nothing is to come, and something is".into());
                }
                self.tally.looks_for_the_end += 1;
                Vec::new()
            }
            Ok(Answer::Propagated(propagated, _)) => {
                self.tally.propagated(propagated);
                Vec::new()
            }
            Ok(Answer::Turned(turned)) => {
                self.tally.turned(turned, &done.order);
                if !turned.claimed.is_empty() {
                    self.tell(n, &format!("claims {}", turned.claimed.len()));
                }
                turned.finished.accepted.clone()
            }
            Ok(Answer::HandedBack(handed_back)) => {
                self.tally.handed_back_unheld += handed_back.len() as u64;
                self.oracle.handed_back(handed_back)?;
                handed_back.clone()
            }
            _ => Vec::new(),
        };
        if done.answer.is_ok() {
            self.tally.stale_refused += stale.len() as u64;
        }
        if changes_jobs(&done.order) {
            self.oracle.look(&self.shared, &stale, &accepted).await?;
        }
        Ok(done)
    }

    // The dispatcher's patience ends; what it asked lies in a socket buffer and is carried out later all the same.
    fn give_up(&mut self, n: usize, mut link: Link<SimSessions>, worker: WorkerId, order: Order) -> Done<SimSessions> {
        self.tally.late_orders += 1;
        self.tell(n, "gives an order up that is carried out later");
        self.late.push((self.now + self.rng.i64(0..150_000_000), worker, order.clone()));
        let answer = link.judge(Err(Error::Unavailable("planted: late".into())));
        Done { link, worker, order, answer }
    }

    async fn carry_out_late(&mut self) -> Result<(), String> {
        let now = self.now;
        let (due, rest) = std::mem::take(&mut self.late).into_iter().partition(|(at, ..)| *at <= now);
        self.late = rest;
        let due: Vec<(i64, WorkerId, Order)> = due;
        for (_, worker, order) in due {
            let stale = self.oracle.stale(&asked(&order));
            let done = carry_out(Link::new(self.sessions.clone(), "late"), worker, order).await;
            let accepted = match &done.answer {
                Ok(Answer::Turned(turned)) => turned.finished.accepted.clone(),
                _ => Vec::new(),
            };
            if done.answer.is_ok() {
                self.tally.stale_refused += stale.len() as u64;
            }
            self.oracle.look(&self.shared, &stale, &accepted).await?;
        }
        Ok(())
    }

    async fn leave(&mut self, n: usize) -> Result<(), String> {
        self.tell(n, "has stopped and boots again");
        let supervisor = &mut self.fleet[n];
        supervisor.runners.vanish(&mut self.oracle);
        let worker = supervisor.worker();
        let answer = match supervisor.heart.session().await {
            Ok(session) => session.sign_off(worker, 0, None).await,
            Err(error) => Err(error),
        };
        let answer = supervisor.heart.judge(answer);
        self.check(answer)?;
        self.reboot(n);
        Ok(())
    }

    pub(super) fn reboot(&mut self, n: usize) {
        self.tally.count_runners(&self.fleet[n]);
        self.fleet[n] = Supervisor::boot(&self.sessions, &mut self.rng, self.now, &self.code);
    }

    // An outage is part of the game; a refusal is a finding.
    pub(super) fn check<T>(&self, answer: gristmill_store::Result<T>) -> Result<Option<T>, String> {
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(Error::Unavailable(_) | Error::Locked(_)) => Ok(None),
            Err(_) if self.defect.is_some() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn tell(&mut self, n: usize, what: &str) {
        if self.story.len() >= 40 {
            self.story.pop_front();
        }
        let at = Duration::from_micros((self.now - GENESIS).unsigned_abs());
        self.story.push_back(format!("{:9.3} supervisor {n} {what}", at.as_secs_f64()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn asked(order: &Order) -> Vec<(JobId, Token)> {
    match order {
        Order::Turn { attempts, .. } => {
            attempts.iter().map(|attempt| (attempt.claimed.id, attempt.claimed.token)).collect()
        }
        Order::HandBack(attempts) => attempts.clone(),
        _ => Vec::new(),
    }
}

fn changes_jobs(order: &Order) -> bool {
    matches!(order, Order::Turn { .. } | Order::HandBack(_) | Order::Survey { to_end: true, .. } | Order::Propagate)
}

fn micros(instant: Instant, origin: Instant) -> i64 {
    i64::try_from(instant.saturating_duration_since(origin).as_micros()).expect("soon")
}

/// A version 7 id from virtual time and seeded randomness.
pub(super) fn uuid(rng: &mut fastrand::Rng, now: i64) -> uuid::Uuid {
    let mut bytes = [0; 10];
    rng.fill(&mut bytes);
    uuid::Builder::from_unix_timestamp_millis((now / 1000).unsigned_abs(), &bytes).into_uuid()
}
