//! How long a silent worker counts as alive, all of it derived from its heartbeat.

use std::time::Duration;

/// The four times that keep two live attempts of one job apart. In order, counted from a worker's last
/// acknowledged heartbeat: it *fences* itself (ends its own runs), its *lease* runs out (others suspect it),
/// and its jobs are *rescued* (they run elsewhere).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Time between two heartbeats.
    pub heartbeat: Duration,
}

impl Lease {
    /// From the time between two heartbeats; 5 s is the default.
    pub fn new(heartbeat: Duration) -> Self {
        Self { heartbeat: heartbeat.max(Duration::from_millis(50)) }
    }

    /// When others begin to suspect the worker: 60 s at the default heartbeat of 5 s, 8 s at 1 s.
    ///
    /// The line through those two points keeps a 40 s outage harmless by default and a takeover
    /// within 12 s for who asks for it; it never comes under three heartbeats.
    pub fn length(&self) -> Duration {
        (self.heartbeat * 13).saturating_sub(Duration::from_secs(5)).max(self.heartbeat * 3)
    }

    /// When the worker ends its own runs: one heartbeat before its lease runs out.
    pub fn fence(&self) -> Duration {
        self.length().saturating_sub(self.heartbeat)
    }

    /// How long a suspect may still answer before its jobs are rescued: three heartbeats.
    pub fn mercy(&self) -> Duration {
        self.heartbeat * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_heartbeat_gives_the_documented_times() {
        let lease = Lease::new(Duration::from_secs(5));
        assert_eq!(lease.fence(), Duration::from_secs(55));
        assert_eq!(lease.length(), Duration::from_mins(1));
        assert_eq!(lease.length() + lease.mercy(), Duration::from_secs(75));
    }

    #[test]
    fn a_heartbeat_of_one_second_is_taken_over_within_twelve() {
        let lease = Lease::new(Duration::from_secs(1));
        assert!(lease.length() + lease.mercy() <= Duration::from_secs(11));
    }

    #[test]
    fn a_worker_always_fences_itself_before_others_may_rescue() {
        for millis in [50, 100, 500, 1_000, 2_000, 5_000, 60_000] {
            let lease = Lease::new(Duration::from_millis(millis));
            assert!(lease.fence() < lease.length());
            assert!(lease.fence() >= lease.heartbeat);
        }
    }
}
