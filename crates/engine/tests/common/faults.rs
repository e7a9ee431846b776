//! A store whose connections fail when the test says so.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use gristmill_core::WorkerId;
use gristmill_engine::Sessions;
use gristmill_store::{
    Answer, Bind, Connection, Dialect, Error, LifeLock, Result, Row, Session, Store, WakeUps, codes,
};
use tokio::sync::watch;

/// Sessions that pass through [`Faults`].
#[derive(Clone)]
pub struct Faulty {
    store: Store,
    faults: Arc<Faults>,
}

/// How one call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not carried out.
    Before,
    /// It is carried out, and its answer is lost.
    Lost,
    /// It is carried out, and its answer never comes: the caller's patience has to end by itself.
    Late,
    /// The database refuses it.
    Refused,
}

/// What goes wrong.
#[derive(Default)]
pub struct Faults {
    down: AtomicBool,
    lose: Mutex<Option<&'static str>>,
    hold: watch::Sender<Option<Hold>>,
    refuse: Mutex<Option<(&'static str, &'static str)>>,
    refused: AtomicU64,
    nth: Mutex<Option<(u64, Fault)>>,
    spoils_opening: AtomicBool,
    opened: AtomicU64,
    tried: AtomicU64,
    ran: Mutex<Vec<&'static str>>,
}

/// Answers that are held back.
#[derive(Clone, Copy)]
struct Hold {
    /// To SQL that contains this.
    sql: &'static str,
    /// When the first of these had been carried out.
    since: Option<Instant>,
}

impl Faulty {
    pub fn new(store: &Store) -> (Self, Arc<Faults>) {
        let faults = Arc::new(Faults::default());
        (Self { store: store.clone(), faults: Arc::clone(&faults) }, faults)
    }
}

impl Faults {
    /// The database is away, or back.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// The next time a transaction or statement whose SQL contains `sql` has been carried out, its answer is lost.
    pub fn lose_answer_to(&self, sql: &'static str) {
        *self.lose.lock().unwrap() = Some(sql);
    }

    /// From now on answers to SQL that contains `sql` are held back until they are let go.
    pub fn hold_answers_to(&self, sql: &'static str) {
        self.hold.send_replace(Some(Hold { sql, since: None }));
    }

    /// Waits until there is one; gives when its SQL had been carried out.
    pub async fn until_one_is_held(&self) -> Instant {
        let mut changes = self.hold.subscribe();
        loop {
            if let Some(since) = changes.borrow_and_update().and_then(|hold| hold.since) {
                return since;
            }
            changes.changed().await.unwrap();
        }
    }

    /// All of them come now.
    pub fn let_answers_go(&self) {
        self.hold.send_replace(None);
    }

    async fn hold_back(&self, ran: &str) {
        let holds = |hold: &Option<Hold>| hold.is_some_and(|hold| ran.contains(hold.sql));
        self.hold.send_if_modified(|hold| {
            let begins = holds(hold);
            if let Some(hold) = hold.as_mut().filter(|_| begins) {
                hold.since.get_or_insert_with(Instant::now);
            }
            begins
        });
        let _ = self.hold.subscribe().wait_for(|hold| !holds(hold)).await;
    }

    /// The `n`th call from now on, the first being 1, goes wrong.
    pub fn spoil_call(&self, n: u64, fault: Fault) {
        *self.nth.lock().unwrap() = Some((n, fault));
    }

    /// No call goes wrong from now on.
    pub fn spoil_nothing(&self) {
        *self.nth.lock().unwrap() = None;
        *self.lose.lock().unwrap() = None;
    }

    /// Connections that someone tried to open so far.
    pub fn tried(&self) -> u64 {
        self.tried.load(Ordering::SeqCst)
    }

    /// Connections that were opened so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }

    /// How often SQL that contains `text` ran so far.
    pub fn ran(&self, text: &str) -> usize {
        self.ran.lock().unwrap().iter().filter(|sql| sql.contains(text)).count()
    }

    /// From now on to open a connection counts as a call too.
    pub fn count_opening(&self) {
        self.spoils_opening.store(true, Ordering::SeqCst);
    }

    /// Whether the call to be spoilt has not come yet.
    pub fn is_call_awaited(&self) -> bool {
        self.nth.lock().unwrap().is_some()
    }

    // A call begins: how it goes wrong, if it does.
    fn count(&self) -> Option<Fault> {
        let mut nth = self.nth.lock().unwrap();
        let (left, fault) = (*nth)?;
        *nth = (left > 1).then_some((left - 1, fault));
        (left <= 1).then_some(fault)
    }

    /// Whether the answer is still to be lost.
    pub fn is_armed(&self) -> bool {
        self.lose.lock().unwrap().is_some()
    }

    /// From now on every statement with a bind that contains `text` is refused, with a SQLSTATE.
    pub fn refuse_binds_with(&self, text: &'static str, sqlstate: &'static str) {
        *self.refuse.lock().unwrap() = Some((text, sqlstate));
    }

    /// And from now on no more.
    pub fn refuse_nothing(&self) {
        *self.refuse.lock().unwrap() = None;
    }

    /// Statements that were refused so.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<()> {
        if self.down.load(Ordering::SeqCst) { Err(Error::Unavailable("planted outage".into())) } else { Ok(()) }
    }

    fn loses(&self, ran: &[&'static str]) -> bool {
        let mut lose = self.lose.lock().unwrap();
        let hit = lose.is_some_and(|text| ran.iter().any(|sql| sql.contains(text)));
        if hit {
            *lose = None;
        }
        hit
    }
}

impl Sessions for Faulty {
    async fn open(&self) -> Result<Session> {
        self.faults.tried.fetch_add(1, Ordering::SeqCst);
        self.faults.check()?;
        self.faults.opened.fetch_add(1, Ordering::SeqCst);
        if self.faults.spoils_opening.load(Ordering::SeqCst) {
            match self.faults.count() {
                Some(Fault::Late) => std::future::pending().await,
                Some(_) => return Err(Error::Unavailable("planted failure to connect".into())),
                None => {}
            }
        }
        let inner = self.store.open().await?.into_connection();
        let connection = Leaky { inner, faults: Arc::clone(&self.faults), ran: Vec::new(), open: false, fault: None };
        Ok(Session::over(Box::new(connection)))
    }

    async fn wake_ups(&self) -> Result<WakeUps> {
        self.store.wake_ups().await
    }

    // None: so that leases are judged by the clock, as on PostgreSQL.
    fn hold_life(&self, _worker: WorkerId) -> Result<Option<LifeLock>> {
        Ok(None)
    }
}

struct Leaky {
    inner: Box<dyn Connection>,
    faults: Arc<Faults>,
    ran: Vec<&'static str>,
    open: bool,
    /// What becomes of the answer to the call that is under way.
    fault: Option<Fault>,
}

impl Leaky {
    fn begin_call(&mut self) -> Result<()> {
        self.faults.check()?;
        self.fault = self.faults.count();
        match self.fault {
            Some(Fault::Before) => Err(Error::Unavailable("planted failure".into())),
            Some(Fault::Refused) => Err(Error::Refused("planted refusal".into())),
            Some(Fault::Lost | Fault::Late) | None => Ok(()),
        }
    }

    async fn answer<T>(&mut self, answer: Result<T>) -> Result<T> {
        let ran = std::mem::take(&mut self.ran);
        let fault = self.fault.take();
        if fault == Some(Fault::Late) {
            return std::future::pending().await;
        }
        if self.faults.loses(&ran) || fault == Some(Fault::Lost) {
            return Err(Error::Unavailable("planted loss of an answer".into()));
        }
        answer
    }
}

impl Connection for Leaky {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            if self.open { self.faults.check() } else { self.begin_call() }?;
            let refuse = *self.faults.refuse.lock().unwrap();
            if let Some((no, sqlstate)) = refuse
                && binds.iter().any(|bind| matches!(bind, Bind::Text(text) if text.contains(no)))
            {
                self.faults.refused.fetch_add(1, Ordering::SeqCst);
                return Err(codes::postgres(sqlstate).error("planted refusal".into()));
            }
            self.ran.push(sql);
            self.faults.ran.lock().unwrap().push(sql);
            let answer = self.inner.run(sql, binds).await;
            self.faults.hold_back(sql).await;
            if self.open { answer } else { self.answer(answer).await }
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.begin_call()?;
            self.ran.clear();
            self.open = true;
            self.inner.begin().await
        })
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.open = false;
            if let Err(outage) = self.faults.check() {
                self.inner.rollback().await?;
                return Err(outage);
            }
            let answer = self.inner.commit().await;
            self.answer(answer).await
        })
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        self.open = false;
        self.ran.clear();
        self.inner.rollback()
    }
}
