//! Carries out wishes to cancel that nobody's runner can: those about jobs which do not run any more.

use std::time::Duration;

use gristmill_core::Lease;
use gristmill_store::Result;
use tracing::debug;

use crate::Sessions;
use crate::link::{Link, within};

/// Wishes settled in one transaction.
const BATCH: u32 = 500;

/// Settles one batch and says how many that were.
pub(crate) async fn settle<S: Sessions>(link: &mut Link<S>) -> Result<u64> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.settle_controls(BATCH)).await,
        Err(error) => Err(error),
    };
    let settled = link.judge(answer)?;
    if settled > 0 {
        debug!(target: "gristmill::settler", settled, "settled");
    }
    Ok(settled)
}

/// When to look again: at once while there are more, else after a heartbeat.
pub(crate) fn pause(settled: u64, lease: Lease) -> Duration {
    if settled >= u64::from(BATCH) { Duration::ZERO } else { lease.heartbeat.mul_f64(0.75 + fastrand::f64() / 2.0) }
}
