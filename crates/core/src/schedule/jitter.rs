//! Spreads jobs that would all start on the stroke of the hour.

use std::time::Duration;

use super::Micros;

/// How long after its nominal instant a tick's job is due: at least nothing, less than `most`, in whole microseconds.
/// The same for everyone who asks, so that two workers and a retried transaction mean the same job; different from
/// tick to tick and from schedule to schedule, so that nobody is always last. The nominal instant stays what it is.
pub fn jitter(schedule: &str, nominal: Micros, most: Duration) -> Duration {
    let bytes = schedule.bytes().chain(nominal.to_le_bytes());
    // FNV-1a, then the finalizer of SplitMix64: the standard library's hashes may change with its version.
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let hash = hash ^ hash >> 31;
    let part = (u128::from(hash) * most.as_micros()) >> 64;
    Duration::from_micros(u64::try_from(part).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_tick_always_waits_as_long() {
        let wait = jitter("nightly", 1_800_000_000_000_000, Duration::from_mins(5));
        assert_eq!(wait, Duration::from_micros(110_427_525), "a figure that must not change between versions");
    }

    #[test]
    fn ticks_spread_over_the_whole_of_it() {
        let most = Duration::from_mins(1);
        let mut tenths = [0; 10];
        for tick in 0..10_000_i64 {
            tenths[(jitter("spread", tick * 3_600_000_000, most).as_secs() / 6) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1_150).contains(count)), "{tenths:?}");
    }

    proptest! {
        #[test]
        fn a_wait_is_shorter_than_the_most(name: String, nominal: i64, seconds in 0_u64..100_000) {
            let wait = jitter(&name, nominal, Duration::from_secs(seconds));
            prop_assert!(wait < Duration::from_secs(seconds) || seconds == 0 && wait.is_zero());
        }
    }
}
