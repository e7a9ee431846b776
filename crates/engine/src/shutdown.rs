//! How a worker is asked to stop: one type, fed by signals and by what people ask of its row, looked at by every loop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A request counts as a further one only this long after the last that counted: a signal sent to the whole
/// process group, or a storm of them, is one request.
const BETWEEN_REQUESTS: Duration = Duration::from_secs(2);

/// How far a stop has come. It only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nobody asked.
    #[default]
    Running,
    /// Claim nothing more and finish what runs, within the grace.
    Draining,
    /// End what runs and give it back, now.
    Stopping,
    /// Leave at once.
    Exiting,
}

/// Asks a worker to stop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Stopper {
    stage: Arc<watch::Sender<Stage>>,
    last: Arc<Mutex<Option<Instant>>>,
}

/// What a worker looks at.
#[derive(Clone, Debug)]
pub struct Shutdown {
    stage: watch::Receiver<Stage>,
    // Keeps the channel open when every `Stopper` is gone: nobody can ask any more, which is not a request.
    open: Arc<watch::Sender<Stage>>,
}

/// A fresh pair: one asks, the other is handed to [`crate::Worker::run`].
pub fn channel() -> (Stopper, Shutdown) {
    let (sender, receiver) = watch::channel(Stage::Running);
    let stage = Arc::new(sender);
    let shutdown = Shutdown { stage: receiver, open: Arc::clone(&stage) };
    (Stopper { stage, last: Arc::default() }, shutdown)
}

impl Stopper {
    /// Asks once more: the first request drains, the second hands back, the third leaves.
    pub fn request(&self) -> Stage {
        self.request_at(Instant::now())
    }

    /// Goes to a stage at once, or stays where it is when that is further.
    pub fn advance(&self, to: Stage) {
        advance(&self.stage, to);
    }

    fn request_at(&self, now: Instant) -> Stage {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= BETWEEN_REQUESTS) {
            *last = Some(now);
            let next = match *self.stage.borrow() {
                Stage::Running => Stage::Draining,
                Stage::Draining => Stage::Stopping,
                Stage::Stopping | Stage::Exiting => Stage::Exiting,
            };
            self.advance(next);
        }
        self.stage()
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }
}

impl Shutdown {
    /// How far it has come.
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Has it drain, as a first request does; the next one hands back.
    pub(crate) fn drain(&self) {
        advance(&self.open, Stage::Draining);
    }

    /// Waits until it has come further. Cancel safe.
    pub async fn changed(&mut self) {
        if self.stage.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn advance(stage: &watch::Sender<Stage>, to: Stage) {
    stage.send_if_modified(|stage| {
        let further = to > *stage;
        *stage = (*stage).max(to);
        further
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_requests_is_one_request() {
        let (stopper, shutdown) = channel();
        let start = Instant::now();
        for millis in 0..1_999 {
            stopper.request_at(start + Duration::from_millis(millis));
        }
        assert_eq!(shutdown.stage(), Stage::Draining);
    }

    #[test]
    fn each_request_two_seconds_later_goes_one_stage_further() {
        let (stopper, shutdown) = channel();
        let start = Instant::now();
        for (seconds, stage) in [(0, Stage::Draining), (2, Stage::Stopping), (4, Stage::Exiting), (6, Stage::Exiting)] {
            stopper.request_at(start + Duration::from_secs(seconds));
            assert_eq!(shutdown.stage(), stage);
        }
    }

    #[test]
    fn a_stage_never_goes_back() {
        let (stopper, shutdown) = channel();
        stopper.advance(Stage::Stopping);
        stopper.advance(Stage::Draining);
        assert_eq!(shutdown.stage(), Stage::Stopping);
    }
}
