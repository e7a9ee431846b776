//! The monotonic clock, in one place so that a simulation can put its own in its stead.

#[cfg(not(test))]
pub(crate) use real::{database, now, slept};
#[cfg(test)]
pub(crate) use simulated::{database, now, slept};

#[cfg(not(test))]
mod real {
    use std::time::{Duration, Instant};

    use gristmill_core::Moment;
    use rustix::time::{ClockId, clock_gettime};

    /// The present.
    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    /// How long this machine has slept since it was booted: what [`now`] does not count, and other machines do.
    pub(crate) fn slept() -> Duration {
        // In this order what passes in between is no sleep.
        let [since_boot, awake] = [BOOT_CLOCK, ClockId::Monotonic].map(|clock| {
            let time = clock_gettime(clock);
            Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
        });
        since_boot.saturating_sub(awake)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    const BOOT_CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const BOOT_CLOCK: ClockId = ClockId::Monotonic;

    /// What sessions take for the present: the database's own clock.
    pub(crate) fn database() -> Option<Moment> {
        None
    }
}

#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    use gristmill_core::Moment;

    thread_local! {
        static PRESENT: Cell<Option<(Instant, i64)>> = const { Cell::new(None) };
        static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// The machine sleeps for so long.
    pub(crate) fn sleep(duration: Duration) {
        SLEPT.set(SLEPT.get() + duration);
    }

    pub(crate) fn slept() -> Duration {
        SLEPT.get()
    }

    /// From now on this thread's clocks show `micros` since 1970; the monotonic one counts from `origin`.
    pub(crate) fn set(origin: Instant, micros: i64) {
        PRESENT.set(Some((origin, micros)));
    }

    pub(crate) fn now() -> Instant {
        match PRESENT.get() {
            Some((origin, micros)) => origin + Duration::from_micros(micros.unsigned_abs()),
            None => Instant::now(),
        }
    }

    pub(crate) fn database() -> Option<Moment> {
        PRESENT.get().map(|(_, micros)| Moment::from_unix_micros(micros))
    }
}
