//! One connection with the verbs, and the rules all verbs share: who begins a transaction, and what time it is.

use gristmill_core::Moment;

use crate::hosted::present;
use crate::life::Lives;
use crate::statement::Sql;
use crate::{Bind, Connection, Dialect, Error, Result, Row, row};

/// One connection with the verbs. After an [`crate::Error::Unavailable`], or when the future of a verb was
/// dropped before its end, it is spent: drop it and open another.
pub struct Session {
    pub(crate) connection: Box<dyn Connection>,
    /// What the statements take for the present; the database's own clock when `None`.
    now: Option<Moment>,
    /// Where workers show by a lock that they live; only beside a SQLite file that we opened ourselves.
    pub(crate) lives: Option<Lives>,
    /// Between begin and commit.
    in_transaction: bool,
    /// Somebody held what a turn needed not long ago: so many more go around locks from the outset.
    wary: u32,
}

/// Turns that go around locks after one that met some. Who holds a lock for seconds is met by each turn meanwhile, and
/// to wait for it each time would slow all others down; to go around costs a statement more.
const WARY: u32 = 100;

impl Session {
    /// A session over any connection: a hosted one, or one that injects faults.
    pub fn over(connection: Box<dyn Connection>) -> Self {
        Self { connection, now: None, lives: None, in_transaction: false, wary: 0 }
    }

    /// The connection below, for who puts something between.
    pub fn into_connection(self) -> Box<dyn Connection> {
        self.connection
    }

    /// The connection below, for who asks what no verb does.
    pub fn connection(&mut self) -> &mut dyn Connection {
        &mut *self.connection
    }

    /// From now on the present is `now`; for virtual clocks.
    pub fn set_now(&mut self, now: Option<Moment>) {
        self.now = now;
    }

    /// Which SQL the database understands.
    pub fn dialect(&self) -> Dialect {
        self.connection.dialect()
    }

    /// The present, as every verb's SQL takes it.
    pub fn now(&self) -> Bind<'static> {
        match &self.now {
            Some(now) => Bind::Text(now.0.clone().into()),
            None => present(self.dialect()),
        }
    }

    /// Carries out a verb in a transaction of its own.
    pub async fn carry_out(&mut self, sql: &'static Sql, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
        self.refuse_if_spent()?;
        if sql.file(self.dialect()).statements == 1 {
            return self.run(sql, binds).await;
        }
        self.begin().await?;
        let rows = self.run(sql, binds).await;
        self.end(rows).await
    }

    /// Runs a verb in the transaction that is open.
    pub async fn run(&mut self, sql: &'static Sql, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
        let file = sql.file(self.dialect());
        let rows = self.connection.run(file.text, binds).await?;
        if file.is_packed { row::unpack(rows) } else { Ok(rows) }
    }

    /// Begins a transaction, for what is named `…_within` and for [`Session::run`]; [`Session::end`] ends it.
    pub async fn begin(&mut self) -> Result<()> {
        self.refuse_if_spent()?;
        self.in_transaction = true;
        let begun = self.connection.begin().await;
        // Where somebody else writes nothing has begun.
        self.in_transaction = !matches!(begun, Err(Error::Locked(_)));
        begun
    }

    /// Commits what went well and undoes what did not.
    pub async fn end<T>(&mut self, answer: Result<T>) -> Result<T> {
        let ended = match &answer {
            Ok(_) => self.connection.commit().await,
            Err(_) => self.connection.rollback().await,
        };
        self.in_transaction = ended.is_err();
        // The first error is the one to tell: a later one is about the connection that it left behind.
        answer.and_then(|value| ended.map(|()| value))
    }

    /// Whether a turn looks for locks before it acts.
    pub(crate) fn is_wary(&self) -> bool {
        self.wary > 0
    }

    /// Whether to carry a turn out again, around what someone holds: it was not wary and waited for that in vain, which
    /// has changed nothing. Where there is one writer at a time there is no way around.
    pub(crate) fn goes_around<T>(&mut self, answer: &Result<T>) -> bool {
        let was_wary = self.is_wary();
        self.wary = self.wary.saturating_sub(1);
        let is_held = matches!(answer, Err(Error::Locked(_))) && !self.in_transaction;
        if !is_held || !self.dialect().has_row_locks() {
            return false;
        }
        self.wary = WARY;
        !was_wary
    }

    // A verb's future that is dropped between begin and commit leaves its transaction open: whatever ran next
    // would become part of it.
    fn refuse_if_spent(&self) -> Result<()> {
        if self.in_transaction {
            return Err(Error::Unavailable("the session was left in the middle of a transaction".into()));
        }
        Ok(())
    }
}
