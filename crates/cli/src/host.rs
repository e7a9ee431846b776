//! `gristmill host`: the engine's decisions and SQL for a process that keeps its own database connection.
//!
//! Frames come on standard input and leave on standard output, as `docs/design/wire.md` tells. One request at a
//! time: the statements of a run are carried out by the other side, which calls the tasks too. Ends with its parent.

use std::collections::{BTreeMap, HashSet};
use std::future::ready;
use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gristmill_core::schedule::Announcement;
use gristmill_core::{Attempt, Claimed, Moment, Next, Outcome, Progress, WorkerId};
use gristmill_engine::inline::{self, Called, Caller, Go};
use gristmill_pool::frame::{self, FromRunner, Key, Parser};
use gristmill_store::hosted::{Carrier, Hosted};
use gristmill_store::{Answer, Bind, Dialect, Error, Result, Row, Session, Value};
use serde::Deserialize;
use serde_json::json;

pub(crate) fn run() -> Result<ExitCode, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().map_err(|error| format!("cannot start: {error}"))?;
    let pipe = Pipe::default();
    loop {
        let request = pipe.lock().request();
        let request = match request {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(error.to_string()),
        };
        let end = match runtime.block_on(serve(&pipe, &request)) {
            Ok(left) => json!({"more": left.more, "unserved": left.unserved}),
            Err(error) => json!({"error": error.to_string()}),
        };
        if write(b'E', &[end.to_string().as_bytes()]).is_err() {
            // Nobody is left to tell: a test run that was stopped.
            return Ok(ExitCode::FAILURE);
        }
    }
}

/// What the other side asks for.
#[derive(Deserialize)]
struct Request {
    dialect: String,
    backends: HashSet<String>,
    queues: Option<HashSet<String>>,
    tasks: HashSet<String>,
    max_jobs: u64,
    /// What to announce to each backend that is to tick; left out, nothing ticks.
    #[serde(default)]
    schedules: Option<BTreeMap<String, Announcement>>,
    label: String,
    host: String,
    pid: u32,
}

async fn serve(pipe: &Pipe, request: &Request) -> Result<inline::Left> {
    let dialect = Dialect::named(&request.dialect)
        .ok_or_else(|| Error::Settings(format!("there is no SQL for {:?}", request.dialect)))?;
    let options = inline::Options {
        backends: request.backends.clone(),
        queues: request.queues.clone(),
        tasks: request.tasks.clone(),
        max_jobs: request.max_jobs,
        schedules: request.schedules.clone().unwrap_or_default(),
        label: request.label.clone(),
        host: request.host.clone(),
        pid: request.pid,
    };
    let session = Session::over(Box::new(Hosted::new(dialect, Box::new(pipe.clone()))));
    inline::run(session, &mut pipe.clone(), &options).await
}

/// The two ends of the conversation, shared by who runs statements and who calls tasks: never both at once.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    parser: Parser,
    /// The other side's clock, as it said last.
    now: Option<Moment>,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ends {
    /// The next frame but those that tell the time; `None` when the other side has ended.
    fn read(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let mut data = vec![0; 64 * 1024];
        loop {
            while let Some((kind, payload)) = self.parser.next_frame().map_err(bad)? {
                if kind != b'N' {
                    return Ok(Some((kind, payload.to_vec())));
                }
                let now = str::from_utf8(payload).map_err(bad)?;
                self.now = Some(Moment(now.to_owned()));
            }
            match std::io::stdin().lock().read(&mut data) {
                Ok(0) => return Ok(None),
                Ok(length) => self.parser.feed(&data[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(gone(error)),
            }
        }
    }

    fn answer(&mut self) -> Result<(u8, Vec<u8>)> {
        self.read()?.ok_or_else(|| Error::Unavailable("the process that asked has ended".into()))
    }

    fn request(&mut self) -> Result<Option<Request>> {
        match self.read()? {
            None => Ok(None),
            Some((b'J', payload)) => serde_json::from_slice(&payload).map(Some).map_err(bad),
            Some((kind, _)) => Err(unexpected(kind)),
        }
    }

    /// Has the other side do something with its connection.
    fn ask(&mut self, kind: u8, payload: &[u8]) -> Result<Vec<Row>> {
        write(kind, &[payload])?;
        match self.answer()? {
            (b'A', payload) => {
                let rows: Vec<Vec<serde_json::Value>> = serde_json::from_slice(&payload).map_err(bad)?;
                Ok(rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect())
            }
            (kind, _) => Err(unexpected(kind)),
        }
    }
}

fn write(kind: u8, parts: &[&[u8]]) -> Result<()> {
    send(&frame::pack(kind, parts).map_err(|error| Error::Refused(error.to_string().into()))?)
}

fn send(frame: &[u8]) -> Result<()> {
    let mut output = std::io::stdout().lock();
    output.write_all(frame).and_then(|()| output.flush()).map_err(gone)
}

fn value(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(bool) => Value::Int(bool.into()),
        serde_json::Value::Number(number) => {
            number.as_i64().map(Value::Int).or_else(|| number.as_f64().map(Value::Float)).unwrap_or(Value::Null)
        }
        serde_json::Value::String(text) => Value::Text(text),
        list @ (serde_json::Value::Array(_) | serde_json::Value::Object(_)) => Value::Text(list.to_string()),
    }
}

fn gone(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!("the process that asked is gone: {error}"))
}

fn bad(error: impl std::fmt::Display) -> Error {
    Error::Refused(format!("a frame that cannot be read: {error}").into())
}

fn unexpected(kind: u8) -> Error {
    Error::Refused(format!("a frame of kind {:?} that was not asked for", char::from(kind)).into())
}

impl Carrier for Pipe {
    fn run<'a>(&'a mut self, statements: Vec<&'static str>, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        let binds: Vec<serde_json::Value> = binds.iter().map(Bind::as_json).collect();
        let script = json!({"statements": statements, "binds": binds}).to_string();
        Box::pin(ready(self.lock().ask(b'V', script.as_bytes())))
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        self.control(b'(')
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        self.control(b')')
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        self.control(b'~')
    }
}

impl Pipe {
    fn control(&self, kind: u8) -> Answer<'_, ()> {
        Box::pin(ready(self.lock().ask(kind, &[]).map(drop)))
    }
}

impl Caller for Pipe {
    fn now(&self) -> Moment {
        self.lock().now.clone().unwrap_or_else(Moment::earliest)
    }

    fn call(&mut self, claimed: &Claimed, worker: WorkerId) -> Result<Option<Called>> {
        let mut ends = self.lock();
        let frame =
            frame::run(claimed, &worker.to_string()).map_err(|error| Error::Refused(error.to_string().into()))?;
        send(&frame)?;
        let key = Key::of(claimed);
        let (mut progress, mut output) = (None, None);
        loop {
            let (kind, payload) = ends.answer()?;
            let outcome = match FromRunner::parse(kind, &payload).map_err(bad)? {
                FromRunner::Progress(of, report) if of == key => {
                    progress = Some(Progress {
                        job: claimed.id,
                        token: claimed.token,
                        done: report.done,
                        total: report.total,
                        message: report.message,
                        metadata: report.metadata,
                    });
                    continue;
                }
                FromRunner::Output(of, text) if of == key => {
                    output = Some(text);
                    continue;
                }
                FromRunner::Ended(of, outcome) | FromRunner::Cancelled(of, outcome) if of == key => outcome,
                FromRunner::Incompatible(of, why) if of == key => Outcome::Incompatible { why },
                FromRunner::Back(of, _) if of == key => return Ok(None),
                _ => return Err(unexpected(kind)),
            };
            return Ok(Some(Called { outcome, output, progress }));
        }
    }

    fn ended(&mut self, attempt: &Attempt, next: Option<&Next>) -> Result<Go> {
        let mut ends = self.lock();
        let state = match next {
            None => None,
            Some(Next::Finished { state, .. }) => Some(state.word()),
            Some(Next::Ready) => Some("ready"),
            Some(Next::Scheduled { .. } | Next::ScheduledAt(_)) => Some("scheduled"),
            Some(Next::Waiting { .. } | Next::WaitingUntil(_)) => Some("waiting"),
        };
        let outcome = (attempt.outcome != Outcome::HandedBack).then(|| attempt.outcome.word());
        let said = json!({
            "outcome": outcome,
            "state": state,
            "backend": attempt.claimed.lane.backend,
            "task": attempt.claimed.lane.task_name,
        })
        .to_string();
        let kind = if next.is_some() { b'K' } else { b'U' };
        write(kind, &[&Key::of(&attempt.claimed).bytes(), said.as_bytes()])?;
        match ends.answer()? {
            (b'>', _) => Ok(Go::On),
            (b'.', _) => Ok(Go::Stop),
            (kind, _) => Err(unexpected(kind)),
        }
    }
}
