//! A connection that looks at each statement's plans before it runs it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gristmill_store::{Answer, Bind, Connection, Dialect, Result, Row, Session, Store, Value};
use gristmill_testkit::conformance::{Databases, Fixture, Pending};

use crate::explained::{Plan, given};
use crate::files::{File, Files};

/// Statistics that are made up: what there is to say of tables that is wrong by the time a statement runs.
const STATISTICS: [&str; 5] = ["never", "empty", "tiny", "huge", "used"];
/// Sessions of the engine's own (see `postgres/login.rs`), and of a web process, which sets nothing.
const SESSIONS: [(&str, &str); 2] = [
    ("a worker's", "select ''"),
    (
        "a web process's",
        "select set_config(name, setting, true) from (values ('enable_seqscan', 'on'), ('enable_bitmapscan', 'on'),
            ('enable_hashjoin', 'on'), ('enable_mergejoin', 'on'), ('plan_cache_mode', 'force_custom_plan'))
            as settings (name, setting)",
    ),
];
/// How often a statement is looked at with a few things to do, and how often with many.
const LOOKS: (u32, u32) = (2, 1);
/// After so many looks that failed there are no more: each costs a while.
const FAILURES: u32 = 10;
/// So many are many.
const MANY: usize = 200;

/// What has been looked at so far.
pub(crate) struct Watcher {
    files: Files,
    looks: Mutex<BTreeMap<String, (u32, u32)>>,
    /// How often looking at a file failed, and why the last time.
    failures: Mutex<BTreeMap<String, (u32, String)>>,
    complaints: Mutex<Vec<String>>,
}

impl Watcher {
    pub(crate) fn new(files: Files) -> Self {
        Self { files, looks: Mutex::default(), failures: Mutex::default(), complaints: Mutex::default() }
    }

    /// What is wrong with plans, and which statements nobody has asked anything of.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let looks = held(&self.looks);
        let verbs = self.files.0.iter().filter(|file| !file.is_of_migrations());
        let unseen = verbs.filter(|file| !looks.contains_key(&file.name));
        let failures = held(&self.failures);
        let unseen = unseen.map(|file| match failures.get(&file.name) {
            Some((_, why)) => format!("{}.sql could not be looked at: {why}", file.name),
            None => format!("{}.sql: no question of the conformance suite runs it", file.name),
        });
        held(&self.complaints).iter().cloned().chain(unseen).collect()
    }

    /// The file to look at, unless it has been looked at often enough.
    fn wants(&self, sql: &str, many: bool) -> Option<&File> {
        let file = self.files.0.iter().find(|file| file.text == sql && !file.is_of_migrations())?;
        let looks = *held(&self.looks).get(&file.name).unwrap_or(&(0, 0));
        let enough = if many { looks.1 >= LOOKS.1 } else { looks.0 >= LOOKS.0 };
        let enough = enough || held(&self.failures).get(&file.name).is_some_and(|(times, _)| *times >= FAILURES);
        (!enough).then_some(file)
    }

    fn looked(&self, file: &File, many: bool, found: Vec<String>) {
        let mut looks = held(&self.looks);
        let looks = looks.entry(file.name.clone()).or_default();
        if many {
            looks.1 += 1;
        } else {
            looks.0 += 1;
        }
        held(&self.complaints).extend(found);
    }
}

impl Watcher {
    fn failed(&self, file: &File, why: &str) {
        let mut failures = held(&self.failures);
        let failure = failures.entry(file.name.clone()).or_default();
        *failure = (failure.0 + 1, why.to_owned());
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Databases whose connections are watched.
pub(crate) struct Watched<'a> {
    pub(crate) databases: &'a dyn Databases,
    pub(crate) watcher: Arc<Watcher>,
}

impl Databases for Watched<'_> {
    fn fresh(&self) -> Pending<'_, Box<dyn Fixture>> {
        Box::pin(async {
            let own = self.databases.fresh().await;
            let mut connection = own.session().await.into_connection();
            for statement in include_str!("statistics.sql").split(";\n\n") {
                connection.run(statement, &[]).await.expect("makes what makes statistics up");
            }
            Box::new(WatchedFixture { own, watcher: Arc::clone(&self.watcher) }) as Box<dyn Fixture>
        })
    }
}

struct WatchedFixture {
    own: Box<dyn Fixture>,
    watcher: Arc<Watcher>,
}

impl Fixture for WatchedFixture {
    fn session(&self) -> Pending<'_, Session> {
        Box::pin(async {
            let mut own = self.own.session().await.into_connection();
            // While one session's statement is looked at, another one's transaction stands open for longer than workers bear.
            own.run("set idle_in_transaction_session_timeout = 0", &[]).await.expect("is set");
            let watcher = Arc::clone(&self.watcher);
            Session::over(Box::new(WatchedConnection { own, watcher, in_transaction: false }))
        })
    }

    fn store(&self) -> Option<Store> {
        self.own.store()
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        self.own.close()
    }
}

struct WatchedConnection {
    own: Box<dyn Connection>,
    watcher: Arc<Watcher>,
    in_transaction: bool,
}

impl WatchedConnection {
    /// Looks at the statement's plans, and leaves everything as it was.
    async fn look(&mut self, sql: &'static str, binds: &[Bind<'_>]) -> Result<()> {
        let batch = given(binds);
        let watcher = Arc::clone(&self.watcher);
        let Some(file) = watcher.wants(sql, batch >= MANY) else { return Ok(()) };
        if !self.in_transaction {
            self.own.begin().await?;
        }
        self.own.run("savepoint looking", &[]).await?;
        let found = self.complaints(file, binds, batch).await;
        self.own.run("rollback to savepoint looking", &[]).await?;
        self.own.run("release savepoint looking", &[]).await?;
        if !self.in_transaction {
            self.own.rollback().await?;
        }
        match found {
            Ok(found) => watcher.looked(file, batch >= MANY, found),
            // What the question expects to be refused, or to wait for, has no plan that ran.
            Err(why) => watcher.failed(file, &why.to_string()),
        }
        Ok(())
    }

    async fn complaints(&mut self, file: &File, binds: &[Bind<'_>], batch: usize) -> Result<Vec<String>> {
        let mut complaints = Vec::new();
        // Autovacuum gives way to who waits for it, after a second; on a busy machine it may be there for longer than that.
        self.own.run("set local lock_timeout = '20s'", &[]).await?;
        self.own.run("select strange_rows()", &[]).await?;
        let switched_on = switched_on(&file.text, binds);
        // What a routine reads of the catalogs when a session first calls it, it keeps.
        self.own.run("savepoint one", &[]).await?;
        let first = self.explained(&file.text, binds).await;
        self.own.run("rollback to savepoint one", &[]).await?;
        first?;
        for statistics in STATISTICS {
            for (session, settings) in SESSIONS {
                for (how, binds) in [("", Some(binds)), (", switched on", switched_on.as_deref())] {
                    let Some(binds) = binds else { continue };
                    self.own.run("savepoint one", &[]).await?;
                    self.own.run("select made_up($1)", &[Bind::from(statistics)]).await?;
                    self.own.run(settings, &[]).await?;
                    // What a question has locked for the statement to meet stays locked meanwhile.
                    self.own.run("set local lock_timeout = '500ms'", &[]).await?;
                    let plan = self.explained(&file.text, binds).await;
                    self.own.run("rollback to savepoint one", &[]).await?;
                    let wrong = plan?.complaints(file, batch);
                    complaints.extend(wrong.into_iter().map(|wrong| {
                        let file = &file.name;
                        format!("{file}.sql, statistics {statistics:?}, {session} session, {batch} given{how}: {wrong}")
                    }));
                }
            }
        }
        Ok(complaints)
    }

    /// As a driver has it done: prepared, and run with values.
    async fn explained(&mut self, sql: &str, binds: &[Bind<'_>]) -> Result<Plan> {
        let types = vec!["text"; binds.len()].join(", ");
        let types = if types.is_empty() { types } else { format!("({types})") };
        let values: Vec<String> = binds.iter().map(literal).collect();
        let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
        self.own.run("select prepared($1)", &[Bind::from(format!("prepare looked_at{types} as {sql}"))]).await?;
        let statement = Bind::from(format!("execute looked_at{values}"));
        let rows = self.own.run("select explained($1)", &[statement]).await;
        match rows?.first().and_then(|row| row.first()) {
            Some(Value::Text(json)) => Ok(Plan::of(json)),
            other => panic!("explain gave {other:?}"),
        }
    }
}

/// The binds with every switch on, of a statement that was asked with one off: parts of it run in no other way.
fn switched_on<'a>(sql: &str, binds: &[Bind<'a>]) -> Option<Vec<Bind<'a>>> {
    let is_switch = |index: usize| sql.contains(&format!("${}::boolean", index + 1));
    let all: Vec<Bind<'a>> = binds
        .iter()
        .enumerate()
        .map(|(index, bind)| if is_switch(index) { Bind::Int(1) } else { bind.clone() })
        .collect();
    (all != binds).then_some(all)
}

fn literal(bind: &Bind<'_>) -> String {
    match bind {
        Bind::Null => "null".into(),
        Bind::Int(int) => format!("'{int}'"),
        Bind::Float(float) => format!("'{float}'"),
        Bind::Text(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

impl Connection for WatchedConnection {
    fn dialect(&self) -> Dialect {
        self.own.dialect()
    }

    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            self.look(sql, binds).await?;
            self.own.run(sql, binds).await
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        self.in_transaction = true;
        self.own.begin()
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        self.in_transaction = false;
        self.own.commit()
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        self.in_transaction = false;
        self.own.rollback()
    }
}
