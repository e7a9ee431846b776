//! `CLOCK_MONOTONIC` is the clock that both sides of a socket read.

use std::time::{Duration, Instant};

/// An instant of this process for nanoseconds of `CLOCK_MONOTONIC`.
pub(super) fn instant_of(nanoseconds: u64) -> Instant {
    let now = Instant::now();
    let ago = monotonic_nanoseconds(now).saturating_sub(nanoseconds);
    now.checked_sub(Duration::from_nanos(ago)).unwrap_or(now)
}

/// Nanoseconds of `CLOCK_MONOTONIC` at an instant of this process, which counts by the same clock.
pub(crate) fn monotonic_nanoseconds(instant: Instant) -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let clock = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0));
    let now = Instant::now();
    let then = if instant >= now { clock + (instant - now) } else { clock.saturating_sub(now - instant) };
    u64::try_from(then.as_nanos()).unwrap_or(u64::MAX)
}
