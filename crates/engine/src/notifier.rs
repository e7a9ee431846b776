//! Passes on that someone may have enqueued. Polling is the truth; this only makes it quick.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{info, warn};

use crate::Sessions;
use crate::link::{DEADLINE, within};

/// First and longest wait before trying again to listen, where listening is refused: through a pooler it
/// always is.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Turns wake-ups into hints, for ever. A hint that nobody waits for is kept, and many are one.
pub(crate) async fn run<S: Sessions>(sessions: S, hint: Arc<Notify>) {
    let mut wait = WAITS.0;
    let mut told = false;
    loop {
        let failure = match within(DEADLINE, sessions.wake_ups()).await {
            Ok(mut wake_ups) => {
                if told {
                    info!(target: "gristmill::notifier", "listening again");
                    told = false;
                }
                // What was enqueued while nobody listened is not announced again.
                hint.notify_one();
                loop {
                    match wake_ups.next().await {
                        Ok(()) => {
                            wait = WAITS.0;
                            hint.notify_one();
                        }
                        Err(failure) => break failure,
                    }
                }
            }
            Err(failure) => failure,
        };
        if !told {
            warn!(target: "gristmill::notifier", error = %failure, "no wake-ups: polling instead");
            told = true;
        }
        tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        wait = (wait * 2).min(WAITS.1);
    }
}
