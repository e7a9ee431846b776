//! One connection with the verbs, and the rules all verbs share: who begins a transaction, and what time it is.

use gristmill_core::Moment;

use crate::hosted::this_machines_clock;
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
}

impl Session {
    /// A session over any connection: a hosted one, or one that injects faults.
    pub fn over(connection: Box<dyn Connection>) -> Self {
        Self { connection, now: None, lives: None, in_transaction: false }
    }

    /// The connection below, for who puts something between.
    pub fn into_connection(self) -> Box<dyn Connection> {
        self.connection
    }

    /// From now on the present is `now`; for virtual clocks.
    pub fn set_now(&mut self, now: Option<Moment>) {
        self.now = now;
    }

    /// Which SQL the database understands.
    pub fn dialect(&self) -> Dialect {
        self.connection.dialect()
    }

    /// The present, as every verb's SQL takes it. SQLite's clock is this machine's, and a verb there is several
    /// statements that must agree on the time, so it is read here, once.
    pub(crate) fn now(&self) -> Bind<'static> {
        match (&self.now, self.dialect()) {
            (Some(now), _) => Bind::Text(now.0.clone().into()),
            (None, Dialect::Postgres) => Bind::Null,
            (None, Dialect::Sqlite) => Bind::Text(this_machines_clock().0.into()),
        }
    }

    /// Carries out a verb in a transaction of its own.
    pub(crate) async fn carry_out(&mut self, sql: &'static Sql, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
        self.refuse_if_spent()?;
        if !sql.is_several(self.dialect()) {
            return self.run(sql, binds).await;
        }
        self.begin().await?;
        let rows = self.run(sql, binds).await;
        self.end(rows).await
    }

    /// Runs a verb in the transaction that is open.
    pub(crate) async fn run(&mut self, sql: &'static Sql, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
        let text = sql.text(self.connection.dialect());
        let rows = self.connection.run(text, binds).await?;
        if row::is_packed(text) { row::unpack(rows) } else { Ok(rows) }
    }

    pub(crate) async fn begin(&mut self) -> Result<()> {
        self.refuse_if_spent()?;
        self.in_transaction = true;
        self.connection.begin().await
    }

    /// Commits what went well and undoes what did not.
    pub(crate) async fn end<T>(&mut self, answer: Result<T>) -> Result<T> {
        let ended = match &answer {
            Ok(_) => self.connection.commit().await,
            Err(_) => self.connection.rollback().await,
        };
        self.in_transaction = ended.is_err();
        // The first error is the one to tell: a later one is about the connection that it left behind.
        answer.and_then(|value| ended.map(|()| value))
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
