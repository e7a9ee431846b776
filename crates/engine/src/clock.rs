//! The monotonic clock, in one place so that a simulation can put its own in its stead.

#[cfg(not(test))]
pub(crate) use real::{database, now};
#[cfg(test)]
pub(crate) use simulated::{database, now};

#[cfg(not(test))]
mod real {
    use std::time::Instant;

    use gristmill_core::Moment;

    /// The present.
    pub(crate) fn now() -> Instant {
        Instant::now()
    }

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
