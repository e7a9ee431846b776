//! Takes over the jobs of workers that vanished: suspect, wait, declare lost, end their open attempts.

use std::time::Duration;

use gristmill_core::{Attempt, Lease, WorkerId};
use gristmill_store::{Error, Result};

use crate::link::{Link, within};
use crate::pulse::Counter;
use crate::{Sessions, events};

/// Orphans read at once.
const BATCH: u32 = 1_000;
/// Orphans ended in one transaction.
const TURN: usize = 100;

/// One round; says how many jobs it took over, at most [`BATCH`].
pub(crate) async fn rescue<S: Sessions>(link: &mut Link<S>, asking: WorkerId, counter: &Counter) -> Result<u64> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.suspect(asking)).await,
        Err(error) => Err(error),
    };
    link.judge(answer)?.into_iter().for_each(events::suspected);
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.declare_lost(asking)).await,
        Err(error) => Err(error),
    };
    link.judge(answer)?.into_iter().for_each(events::lost);

    let answer = match link.session().await {
        Ok(session) => within(deadline, session.orphans(BATCH)).await,
        Err(error) => Err(error),
    };
    let mut rescued = 0;
    for turn in link.judge(answer)?.chunks(TURN) {
        rescued += end(link, turn, counter).await?;
    }
    Ok(rescued)
}

/// When to look again: at once while there are more, else after a quarter of a heartbeat.
pub(crate) fn pause(rescued: u64, lease: Lease) -> Duration {
    if rescued >= u64::from(BATCH) {
        return Duration::ZERO;
    }
    // Jitter, so that the workers of a fleet do not all come at once.
    (lease.heartbeat / 4).mul_f64(0.75 + fastrand::f64() / 2.0)
}

// One refused attempt must not keep the others from being rescued, so a refused turn is tried one by one.
async fn end<S: Sessions>(link: &mut Link<S>, attempts: &[Attempt], counter: &Counter) -> Result<u64> {
    match finish(link, attempts, counter).await {
        Err(Error::Refused(_)) if attempts.len() > 1 => {
            let mut accepted = 0;
            for attempt in attempts {
                match finish(link, std::slice::from_ref(attempt), counter).await {
                    Ok(count) => accepted += count,
                    Err(Error::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(accepted)
        }
        Err(Error::Refused(_)) => Ok(0),
        other => other,
    }
}

async fn finish<S: Sessions>(link: &mut Link<S>, attempts: &[Attempt], counter: &Counter) -> Result<u64> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.finish(attempts)).await,
        Err(error) => Err(error),
    };
    let accepted = link.judge(answer)?.accepted;
    for attempt in attempts {
        if accepted.contains(&(attempt.claimed.id, attempt.claimed.token)) {
            events::rescued(attempt);
            counter.count(attempt, None, false);
        }
    }
    Ok(accepted.len() as u64)
}
