//! Notices a loop that has stopped going round.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A loop that has not gone round for so long hangs: every wait in it ends within [`LONGEST_SLEEP`] and every
/// call to the database within its deadline, so this leaves room for a burst of calls.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// No loop sleeps longer at a stretch.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(10);

/// Told by a loop each time it goes round.
#[derive(Clone)]
pub(crate) struct Liveness {
    name: &'static str,
    born: Instant,
    seen_millis: Arc<AtomicU64>,
}

impl Liveness {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, born: Instant::now(), seen_millis: Arc::default() }
    }

    pub(crate) fn renew(&self) {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.seen_millis.store(millis, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.seen_millis.load(Ordering::Relaxed)))
    }
}

/// Waits until one of the loops has been silent for longer than `patience` and names it.
pub(crate) async fn bark(loops: &[Liveness], patience: Duration) -> &'static str {
    let look = patience / 24;
    loop {
        let before = Instant::now();
        tokio::time::sleep(look).await;
        // A process that was stopped and goes on finds every loop silent; they get a turn to go round first.
        if before.elapsed() > patience / 2 {
            continue;
        }
        if let Some(liveness) = loops.iter().find(|liveness| liveness.silence() > patience) {
            return liveness.name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_stops_going_round_is_named() {
        let (round, still) = (Liveness::new("round"), Liveness::new("still"));
        let loops = [round.clone(), still];
        let goes_round = async {
            loop {
                round.renew();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = Duration::from_millis(500);
        tokio::select! {
            () = goes_round => unreachable!(),
            name = bark(&loops, patience) => assert_eq!(name, "still"),
        }
    }
}
