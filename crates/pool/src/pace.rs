//! How long jobs take, by task, and so how many may wait ahead of a runner.

use std::collections::HashMap;
use std::time::Duration;

/// Work that may wait in a runner's pipe: so much longer may a job start than if it had been sent elsewhere.
pub(crate) const AHEAD: Duration = Duration::from_millis(20);
/// Most jobs in a runner's pipe; each is one to take back when the runner dies.
pub(crate) const PIPE: usize = 64;
/// Most jobs assigned for a runner, so that it is busy while the next ones are being claimed.
const HELD: usize = 256;
/// Jobs shorter than this are worth one in reserve; longer ones hide a claim's milliseconds anyway, and another
/// worker may be idle.
const WORTH_A_RESERVE: Duration = Duration::from_millis(200);

/// Moving averages of how long jobs take.
#[derive(Default)]
pub(crate) struct Pace {
    by_task: HashMap<String, f64>,
    overall: Option<f64>,
}

impl Pace {
    /// Learns from a job that has ended.
    pub(crate) fn learn(&mut self, task_name: &str, took: Duration) {
        let took = took.as_secs_f64();
        match self.by_task.get_mut(task_name) {
            Some(mean) => *mean = moved(*mean, took),
            None => drop(self.by_task.insert(task_name.to_owned(), took)),
        }
        self.overall = Some(self.overall.map_or(took, |mean| moved(mean, took)));
    }

    /// How long a job of this task takes, where it is known and short enough to wait behind.
    pub(crate) fn short(&self, task_name: &str) -> Option<f64> {
        self.by_task.get(task_name).copied().filter(|mean| *mean <= AHEAD.as_secs_f64())
    }

    /// How many jobs to hold for a runner beyond the one it runs.
    pub(crate) fn reserve(&self) -> usize {
        let Some(mean) = self.overall else { return 1 };
        if mean > WORTH_A_RESERVE.as_secs_f64() {
            return 0;
        }
        // Saturates: a mean of nothing gives infinity, and then the bound.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and bounded")]
        let ahead = (AHEAD.as_secs_f64() / mean) as usize;
        ahead.clamp(1, HELD)
    }
}

// Slow news is believed at once, good news slowly: a job stuck behind a long one waits, an idle moment costs little.
fn moved(mean: f64, took: f64) -> f64 {
    let weight = if took > mean { 0.5 } else { 0.2 };
    mean + weight * (took - mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_slow_tasks_let_nothing_wait_behind_them() {
        let mut pace = Pace::default();
        assert_eq!(pace.short("a"), None);
        pace.learn("a", Duration::from_millis(30));
        assert_eq!(pace.short("a"), None);
        assert_eq!(pace.reserve(), 1);
        pace.learn("a", Duration::from_secs(2));
        assert_eq!(pace.reserve(), 0);
    }

    #[test]
    fn short_tasks_are_held_for_up_to_twenty_milliseconds_of_work() {
        let mut pace = Pace::default();
        pace.learn("a", Duration::from_millis(2));
        assert_eq!(pace.reserve(), 10);
        pace.learn("a", Duration::ZERO);
        for _ in 0..100 {
            pace.learn("a", Duration::ZERO);
        }
        assert_eq!(pace.reserve(), HELD);
    }
}
