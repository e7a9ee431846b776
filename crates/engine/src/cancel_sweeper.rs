//! Sweeps up cancel requests that no runner can carry out: those about jobs which do not run any more.

use std::time::Duration;

use gristmill_core::Lease;
use gristmill_store::Result;
use tracing::debug;

use crate::Sessions;
use crate::link::{Link, within};

/// Cancel requests swept up in one transaction.
const BATCH: u32 = 500;

/// Sweeps up one batch and says how many that were.
pub(crate) async fn sweep<S: Sessions>(link: &mut Link<S>) -> Result<u64> {
    let deadline = link.deadline();
    let answer = match link.session().await {
        Ok(session) => within(deadline, session.sweep_cancel_requests(BATCH)).await,
        Err(error) => Err(error),
    };
    let swept = link.judge(answer)?;
    if swept > 0 {
        debug!(target: "gristmill::cancel_sweeper", swept, "swept up");
    }
    Ok(swept)
}

/// When to look again: at once while there are more, else after a heartbeat.
pub(crate) fn pause(swept: u64, lease: Lease) -> Duration {
    if swept >= u64::from(BATCH) { Duration::ZERO } else { lease.heartbeat.mul_f64(0.75 + fastrand::f64() / 2.0) }
}
