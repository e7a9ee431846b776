//! Databases whose sessions are carried by Python, on Django's connections: psycopg and Python's own SQLite.
//!
//! One Python process serves them all, a thread each, as `carrier.py` tells; it ends with this process.

use std::io::{BufRead as _, BufReader as StdReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use gristmill_store::hosted::{Carrier, Hosted};
use gristmill_store::{Answer, Bind, Error, Host, Result, Row, Session, Settings};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Databases, Fixture, Pending};

/// Names a Python that has Django and the drivers.
pub(super) const INTERPRETER: &str = "GRISTMILL_TEST_PYTHON";

pub(super) struct PythonDatabases<'a> {
    databases: &'a dyn Databases,
    server: Server,
}

impl<'a> PythonDatabases<'a> {
    /// None where no interpreter is named.
    pub(super) fn over(databases: &'a dyn Databases) -> Option<Self> {
        let interpreter = std::env::var(INTERPRETER).ok().filter(|path| !path.is_empty())?;
        Some(Self { databases, server: Server::start(&interpreter) })
    }
}

impl Databases for PythonDatabases<'_> {
    fn fresh(&self) -> Pending<'_, Box<dyn Fixture>> {
        Box::pin(async {
            let own = self.databases.fresh().await;
            Box::new(PythonFixture { own, socket: self.server.socket.clone() }) as Box<dyn Fixture>
        })
    }
}

/// The process, and where it listens.
struct Server {
    process: Mutex<Child>,
    socket: String,
}

impl Server {
    fn start(interpreter: &str) -> Self {
        let here = env!("CARGO_MANIFEST_DIR");
        let mut process = Command::new(interpreter)
            .arg(format!("{here}/src/conformance/carrier.py"))
            .env("PYTHONPATH", format!("{here}/../../python"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut socket = String::new();
        StdReader::new(process.stdout.take().expect("piped")).read_line(&mut socket).expect("it says where");
        Self { process: Mutex::new(process), socket: socket.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends when its standard input does.
        if let Ok(process) = self.process.get_mut() {
            drop(process.stdin.take());
            drop(process.wait());
        }
    }
}

struct PythonFixture {
    own: Box<dyn Fixture>,
    socket: String,
}

impl Fixture for PythonFixture {
    fn session(&self) -> Pending<'_, Session> {
        Box::pin(async {
            let store = self.own.store().expect("a database that can be named");
            let stream = BufReader::new(UnixStream::connect(&self.socket).await.expect("it listens"));
            let mut python = Python { stream };
            let opening = match store.settings() {
                Settings::Sqlite { path, .. } => json!({"sqlite": path}),
                Settings::Postgres(server) => {
                    let Host { host, port, password } = &server.hosts[0];
                    json!({
                        "host": host, "port": port, "user": server.user, "password": password, "name": server.name
                    })
                }
            };
            python.ask(&opening).await.expect("connects");
            Session::over(Box::new(Hosted::new(store.settings().dialect(), Box::new(python))))
        })
    }

    fn close(self: Box<Self>) -> Pending<'static, ()> {
        self.own.close()
    }
}

/// One connection of Django's, at the other end of a socket; it closes when the socket does.
struct Python {
    stream: BufReader<UnixStream>,
}

impl Python {
    /// A line each way.
    async fn ask(&mut self, request: &serde_json::Value) -> Result<Vec<Row>> {
        let gone = |error: std::io::Error| Error::Unavailable(error.to_string());
        self.stream.write_all(format!("{request}\n").as_bytes()).await.map_err(gone)?;
        let mut line = String::new();
        self.stream.read_line(&mut line).await.map_err(gone)?;
        let answer: serde_json::Value =
            serde_json::from_str(&line).map_err(|error| Error::Refused(error.to_string().into()))?;
        match answer.get("refused").and_then(serde_json::Value::as_str) {
            Some(why) => Err(Error::Refused(why.into())),
            None => serde_json::from_value(answer).map_err(|error| Error::Refused(error.to_string().into())),
        }
    }
}

impl Carrier for Python {
    fn run<'a>(&'a mut self, statements: Vec<&'static str>, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            let binds: Vec<_> = binds.iter().map(Bind::as_json).collect();
            self.ask(&json!({"run": statements, "binds": binds})).await
        })
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        Box::pin(async { self.ask(&json!("begin")).await.map(drop) })
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        Box::pin(async { self.ask(&json!("commit")).await.map(drop) })
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        Box::pin(async { self.ask(&json!("rollback")).await.map(drop) })
    }
}
