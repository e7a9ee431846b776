//! Keeps house beside the mill: promotes and rescues, each at its own pace, over one session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_store::Result;
use tokio::sync::{Notify, watch};

use crate::link::{Link, is_fatal};
use crate::watchdog::{LONGEST_SLEEP, Pulse};
use crate::{Options, Sessions, Standing, promoter, rescuer};

pub(crate) struct Keeper<S> {
    pub(crate) link: Link<S>,
    pub(crate) options: Options,
    pub(crate) standing: watch::Receiver<Standing>,
    /// Tells the mill to look.
    pub(crate) hint: Arc<Notify>,
    pub(crate) pulse: Pulse,
}

impl<S: Sessions> Keeper<S> {
    /// Goes on for ever. An error is one that trying again cannot help.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut promote_at = Instant::now();
        let mut rescue_at = promote_at;
        loop {
            self.pulse.beat();
            self.link.rest().await;
            let now = Instant::now();
            if now >= promote_at {
                match promoter::promote(&mut self.link).await {
                    Ok(promoted) => {
                        if promoted.moved > 0 {
                            self.hint.notify_one();
                        }
                        promote_at = Instant::now() + promoter::pause(&promoted, self.options.poll_interval);
                    }
                    Err(error) if is_fatal(&error) => return Err(error),
                    Err(_) => continue,
                }
            }
            // Only a registered worker judges others.
            let standing = *self.standing.borrow();
            if now >= rescue_at && standing.until.is_some() {
                match rescuer::rescue(&mut self.link, standing.worker).await {
                    Ok(rescued) => {
                        if rescued > 0 {
                            self.hint.notify_one();
                        }
                        // Jitter, so that the workers of a fleet do not all come at once.
                        let pause = (self.options.lease.heartbeat / 4).mul_f64(0.75 + fastrand::f64() / 2.0);
                        rescue_at = Instant::now() + pause;
                    }
                    Err(error) if is_fatal(&error) => return Err(error),
                    Err(_) => continue,
                }
            }
            let next = promote_at.min(rescue_at.max(now + Duration::from_millis(100)));
            let now = Instant::now();
            tokio::time::sleep(next.saturating_duration_since(now).min(LONGEST_SLEEP)).await;
        }
    }
}
