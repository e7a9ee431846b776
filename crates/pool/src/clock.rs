//! The clocks that both sides of a socket read: `CLOCK_MONOTONIC`, and for leases `CLOCK_BOOTTIME`, which goes on while
//! the machine sleeps.

use std::time::{Duration, Instant};

use rustix::time::ClockId;

/// An instant of this process for nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn instant_of(nanoseconds: u64) -> Instant {
    let now = Instant::now();
    let ago = monotonic_nanoseconds(now).saturating_sub(nanoseconds);
    now.checked_sub(Duration::from_nanos(ago)).unwrap_or(now)
}

/// Nanoseconds of `CLOCK_MONOTONIC` at an instant of this process, which counts by the same clock.
pub(crate) fn monotonic_nanoseconds(instant: Instant) -> u64 {
    nanoseconds(ClockId::Monotonic, instant)
}

/// Nanoseconds of `CLOCK_BOOTTIME` at an instant of this process, as it is unless the machine sleeps before.
pub(crate) fn boot_nanoseconds(instant: Instant) -> u64 {
    nanoseconds(BOOT_CLOCK, instant)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT_CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT_CLOCK: ClockId = ClockId::Monotonic;

fn nanoseconds(clock: ClockId, instant: Instant) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    let clock = Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0));
    let now = Instant::now();
    let then = if instant >= now { clock + (instant - now) } else { clock.saturating_sub(now - instant) };
    u64::try_from(then.as_nanos()).unwrap_or(u64::MAX)
}
