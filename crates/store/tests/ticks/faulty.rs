//! A connection that breaks off in the middle of what it does, and takes its time before.

use gristmill_store::{Answer, Bind, Connection, Dialect, Error, Row};

/// Breaks at one of its statements: before it is carried out, or after, so that only the answer is lost.
pub(crate) struct Faulty {
    inner: Box<dyn Connection>,
    /// Statements that it still carries out.
    left: u32,
    /// Whether the last one is carried out.
    answers: bool,
    rng: fastrand::Rng,
}

/// What the error says when it was meant to be.
pub(crate) const PLANNED: &str = "as planned";

impl Faulty {
    pub(crate) fn new(inner: Box<dyn Connection>, mut rng: fastrand::Rng) -> Self {
        Self { inner, left: rng.u32(5..400), answers: rng.bool(), rng }
    }

    /// Lets others go on, for as long as a slow network might.
    async fn dawdle(&mut self) {
        if self.rng.u8(..) < 20 {
            for _ in 0..self.rng.u8(..40) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// True: this one is carried out although its answer is lost.
    fn step(&mut self) -> Result<bool, Error> {
        match self.left {
            0 => Err(Error::Unavailable(PLANNED.into())),
            1 if !self.answers => {
                self.left = 0;
                Err(Error::Unavailable(PLANNED.into()))
            }
            left => {
                self.left = left - 1;
                Ok(self.left == 0)
            }
        }
    }
}

macro_rules! faulty {
    ($self:ident, $call:expr) => {
        Box::pin(async move {
            $self.dawdle().await;
            let is_last = $self.step()?;
            let answer = $call.await;
            if is_last { Err(Error::Unavailable(PLANNED.into())) } else { answer }
        })
    };
}

impl Connection for Faulty {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn run<'a>(&'a mut self, sql: &'static str, binds: &'a [Bind<'a>]) -> Answer<'a, Vec<Row>> {
        faulty!(self, self.inner.run(sql, binds))
    }

    fn begin(&mut self) -> Answer<'_, ()> {
        faulty!(self, self.inner.begin())
    }

    fn commit(&mut self) -> Answer<'_, ()> {
        faulty!(self, self.inner.commit())
    }

    fn rollback(&mut self) -> Answer<'_, ()> {
        faulty!(self, self.inner.rollback())
    }
}
