//! How long to wait between two attempts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest wait there is, in seconds: a year. Every delay saturates at it.
const LONGEST: f64 = 366.0 * 86_400.0;

/// How the wait grows with the attempts that have failed. All numbers are seconds but `factor` and `jitter`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Backoff {
    /// `base`, then `factor` times as long each time, at most `max`.
    Exponential {
        /// The first wait.
        base: f64,
        /// How much longer the next one is.
        #[serde(default = "two")]
        factor: f64,
        /// The longest.
        #[serde(default = "an_hour")]
        max: f64,
        /// Up to this part of the wait is added by chance, so that jobs that failed together do not return together.
        #[serde(default)]
        jitter: f64,
    },
    /// `step`, twice `step`, three times `step`.
    Linear {
        /// How much longer each wait is than the one before.
        step: f64,
    },
    /// Always the same.
    Constant {
        /// The wait.
        seconds: f64,
    },
    /// The registered task has a function for it; the runner asks it. What it does not answer is tried again at once.
    Callable,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::Exponential { base: 5.0, factor: two(), max: an_hour(), jitter: 0.1 }
    }
}

fn two() -> f64 {
    2.0
}

fn an_hour() -> f64 {
    3_600.0
}

impl Backoff {
    /// The wait after so many failures (the first is 1). `roll` in 0..1 is the part of the jitter that is used.
    /// Never overflows and never negative, whatever the numbers are.
    pub fn delay(&self, failures: u32, roll: f64) -> Duration {
        let failures = f64::from(failures.max(1));
        let seconds = match self {
            Self::Exponential { base, factor, max, jitter } => {
                let wait = (base * factor.powf(failures - 1.0)).min(*max);
                wait + wait * jitter.clamp(0.0, 1.0) * roll.clamp(0.0, 1.0)
            }
            Self::Linear { step } => step * failures,
            Self::Constant { seconds } => *seconds,
            Self::Callable => 0.0,
        };
        bounded(seconds)
    }
}

/// A duration of so many seconds: nothing for what is negative or not a number, a year at most.
pub fn bounded(seconds: f64) -> Duration {
    // The comparison is false for what is not a number.
    if seconds > 0.0 { Duration::from_secs_f64(seconds.min(LONGEST)) } else { Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exponential(jitter: f64) -> Backoff {
        Backoff::Exponential { base: 2.0, factor: 3.0, max: 100.0, jitter }
    }

    #[test]
    fn exponential_waits_grow_by_the_factor_up_to_the_longest() {
        let waits: Vec<_> = (1..=6).map(|failures| exponential(0.0).delay(failures, 0.9).as_secs()).collect();
        assert_eq!(waits, [2, 6, 18, 54, 100, 100]);
    }

    #[test]
    fn jitter_only_ever_adds() {
        assert_eq!(exponential(0.5).delay(1, 0.0), Duration::from_secs(2));
        assert_eq!(exponential(0.5).delay(1, 1.0), Duration::from_secs(3));
    }

    #[test]
    fn linear_and_constant_waits_are_what_they_say() {
        assert_eq!(Backoff::Linear { step: 1.5 }.delay(4, 0.0), Duration::from_secs(6));
        assert_eq!(Backoff::Constant { seconds: 7.0 }.delay(9, 1.0), Duration::from_secs(7));
    }

    proptest! {
        #[test]
        fn no_numbers_overflow(failures: u32, base: f64, factor: f64, max: f64, jitter: f64, roll: f64) {
            let growing = Backoff::Exponential { base, factor, max, jitter };
            for backoff in [growing, Backoff::Linear { step: base }, Backoff::Constant { seconds: base }] {
                prop_assert!(backoff.delay(failures, roll) <= Duration::from_secs_f64(LONGEST));
            }
        }
    }
}
