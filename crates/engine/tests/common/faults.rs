//! A store whose connections fail when the test says so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gristmill_core::WorkerId;
use gristmill_engine::Sessions;
use gristmill_store::{Answer, Bind, Connection, Dialect, Error, LifeLock, Result, Row, Session, Store, WakeUps};

/// Sessions that pass through [`Faults`].
#[derive(Clone)]
pub struct Faulty {
    store: Store,
    faults: Arc<Faults>,
}

/// What goes wrong.
#[derive(Default)]
pub struct Faults {
    down: AtomicBool,
    lose: Mutex<Option<&'static str>>,
    refuse: Mutex<Option<&'static str>>,
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

    /// Whether the answer is still to be lost.
    pub fn is_armed(&self) -> bool {
        self.lose.lock().unwrap().is_some()
    }

    /// From now on every statement with a bind that contains `text` is refused.
    pub fn refuse_binds_with(&self, text: &'static str) {
        *self.refuse.lock().unwrap() = Some(text);
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
        self.faults.check()?;
        let inner = self.store.open().await?.into_connection();
        let connection = Leaky { inner, faults: Arc::clone(&self.faults), ran: Vec::new(), open: false };
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
}

impl Leaky {
    fn answer<T>(&mut self, answer: Result<T>) -> Result<T> {
        let ran = std::mem::take(&mut self.ran);
        if self.faults.loses(&ran) { Err(Error::Unavailable("planted loss of an answer".into())) } else { answer }
    }
}

impl Connection for Leaky {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            self.faults.check()?;
            let refused = *self.faults.refuse.lock().unwrap();
            let hit = |bind: &Bind<'_>| matches!(bind, Bind::Text(text) if refused.is_some_and(|no| text.contains(no)));
            if binds.iter().any(hit) {
                return Err(Error::Refused("planted refusal".into()));
            }
            self.ran.push(sql);
            let answer = self.inner.run(sql, binds).await;
            if self.open { answer } else { self.answer(answer) }
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.faults.check()?;
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
            self.answer(answer)
        })
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        self.open = false;
        self.ran.clear();
        self.inner.rollback()
    }
}
