//! Ready jobs that are this worker's to run and that it cannot: it says so once for each task, and at its end. Pure.

use std::collections::{BTreeMap, HashSet};

use gristmill_core::{ClaimCursor, Lane};
use tracing::warn;

use super::serves::Serves;

/// A count stops here.
pub(crate) const CAP: u32 = 10_000;
/// Lanes that are counted in one order, so that nothing waits for long.
const AT_ONCE: usize = 20;
/// Lanes that are told of; a runaway number of names is not worth more lines.
const MOST: usize = 1_000;

#[derive(Default)]
pub(crate) struct Unserved {
    /// What the last survey found, with how many jobs were counted of each.
    lanes: Vec<(Lane, Option<u64>)>,
    to_count: Vec<Lane>,
    /// An order to count them is under way.
    counting: bool,
    told: HashSet<Lane>,
}

impl Unserved {
    /// Takes in what a survey found.
    pub(crate) fn surveyed(&mut self, found: &[ClaimCursor], serves: &Serves) {
        let mut lanes: Vec<Lane> =
            found.iter().map(|cursor| &cursor.lane).filter(|lane| serves.misses(lane)).cloned().collect();
        // Cursors come in the order of their lanes.
        lanes.dedup();
        lanes.truncate(MOST);
        let fresh: Vec<Lane> =
            lanes.iter().filter(|lane| !self.told.contains(*lane) && !self.to_count.contains(*lane)).cloned().collect();
        self.to_count.extend(fresh);
        self.to_count.truncate(MOST);
        let known = std::mem::take(&mut self.lanes);
        let count = |lane: &Lane| known.iter().find(|(other, _)| other == lane).and_then(|(_, count)| *count);
        self.lanes = lanes.into_iter().map(|lane| (count(&lane), lane)).map(|(count, lane)| (lane, count)).collect();
    }

    /// What is left at the end is counted once more: there may be more of it than when it was told.
    pub(crate) fn count_all(&mut self) {
        self.to_count = self.lanes.iter().map(|(lane, _)| lane.clone()).collect();
    }

    /// What to ask for next.
    pub(crate) fn ask(&mut self) -> Option<Vec<Lane>> {
        if self.to_count.is_empty() {
            return None;
        }
        self.counting = true;
        Some(self.to_count.drain(..self.to_count.len().min(AT_ONCE)).collect())
    }

    /// Nothing is left to ask.
    pub(crate) fn is_counted(&self) -> bool {
        self.to_count.is_empty() && !self.counting
    }

    /// The question got no answer, and is asked again.
    pub(crate) fn uncounted(&mut self, lanes: Vec<Lane>) {
        self.counting = false;
        self.to_count.splice(..0, lanes);
    }

    /// The question was refused: what was asked about is told without a number.
    pub(crate) fn refused(&mut self) {
        self.counting = false;
    }

    /// Takes in the counts, and tells of what was not told yet.
    pub(crate) fn counted(&mut self, counted: Vec<(Lane, u64)>, serves: &Serves) {
        self.counting = false;
        for (lane, count) in counted {
            if let Some((_, known)) = self.lanes.iter_mut().find(|(other, _)| *other == lane) {
                *known = Some(count);
            }
            if count > 0 && self.told.len() < MOST && self.told.insert(lane.clone()) {
                warn!(
                    target: "gristmill::worker",
                    { task.name = %lane.task_name, queue.name = %lane.queue_name, jobs = count },
                    "{} of {} cannot run here: {}", ready(count), lane.task_name, likely_cause(&lane, serves)
                );
            }
        }
    }

    /// The code was loaded anew: what it still does not have is told again when it has been looked for.
    pub(crate) fn imported(&mut self, serves: &Serves) {
        self.told.retain(|lane| serves.misses(lane));
        self.to_count.retain(|lane| serves.misses(lane));
    }

    /// Says at the end what is left, and gives how many jobs that are.
    pub(crate) fn tell_left(&self) -> u64 {
        let mut left: BTreeMap<&str, u64> = BTreeMap::new();
        for (lane, count) in &self.lanes {
            // One that was seen and could not be counted is one at least; one that is gone since is none.
            *left.entry(lane.task_name.as_str()).or_default() += count.unwrap_or(1);
        }
        for (task, jobs) in left.iter().filter(|(_, jobs)| **jobs > 0) {
            warn!(target: "gristmill::worker", { task.name = task, jobs }, "left: {} of {task} that cannot run here", ready(*jobs));
        }
        left.values().sum()
    }
}

fn ready(jobs: u64) -> String {
    match jobs {
        1 => "1 ready job".into(),
        many if many >= u64::from(CAP) => format!("{CAP} or more ready jobs"),
        many => format!("{many} ready jobs"),
    }
}

/// Why a worker of this code cannot run a lane's jobs, as far as their names tell.
fn likely_cause(lane: &Lane, serves: &Serves) -> String {
    let Lane { backend, queue_name, task_name } = lane;
    if !serves.has_queue(lane) {
        return format!("QUEUES of backend {backend:?} does not name queue {queue_name:?}");
    }
    match task_name.rsplit_once('.') {
        Some(("__main__", _)) => "it is defined in a program, which no worker can import; move it to a module".into(),
        Some((module, _)) if serves.knows_of(module) => {
            format!("{module} has no such task any more, or not yet; aliases= of its new name keeps old jobs")
        }
        Some((module, _)) => format!(
            "no such task is known here; is its app in INSTALLED_APPS, and {module} among OPTIONS[\"TASK_MODULES\"]?"
        ),
        None => "no such task is known here".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use gristmill_core::Moment;

    fn lane(queue: &str, task: &str) -> Lane {
        Lane { backend: "default".into(), queue_name: queue.into(), task_name: task.into() }
    }

    fn cursors(lanes: &[Lane]) -> Vec<ClaimCursor> {
        let cursor =
            |lane: &Lane| ClaimCursor { lane: lane.clone(), priority: 0, deadline: Moment("1".into()), id: None };
        lanes.iter().map(cursor).collect()
    }

    fn serves(options: &Options) -> Serves {
        Serves::new(options, &["shop.tasks.send".to_owned()])
    }

    #[test]
    fn each_lane_is_counted_and_told_once_and_all_once_more_at_the_end() {
        let serves = serves(&Options::default());
        let (unknown, known) = (lane("default", "shop.mails.send"), lane("default", "shop.tasks.send"));
        let mut unserved = Unserved::default();
        unserved.surveyed(&cursors(&[unknown.clone(), unknown.clone(), known]), &serves);
        assert!(!unserved.is_counted());
        assert_eq!(unserved.ask(), Some(vec![unknown.clone()]));
        assert!(!unserved.is_counted(), "the answer is on its way");
        unserved.counted(vec![(unknown.clone(), 3)], &serves);
        unserved.surveyed(&cursors(std::slice::from_ref(&unknown)), &serves);
        assert_eq!(unserved.ask(), None);
        unserved.count_all();
        assert_eq!(unserved.ask(), Some(vec![unknown.clone()]));
        unserved.counted(vec![(unknown, 7)], &serves);
        assert!(unserved.is_counted());
        assert_eq!(unserved.tell_left(), 7);
    }

    #[test]
    fn a_count_that_got_no_answer_is_asked_for_again_and_one_that_was_refused_is_not() {
        let (serves, unknown) = (serves(&Options::default()), lane("default", "shop.mails.send"));
        let mut unserved = Unserved::default();
        unserved.surveyed(&cursors(std::slice::from_ref(&unknown)), &serves);
        let asked = unserved.ask().expect("it is new");
        unserved.uncounted(asked);
        assert_eq!(unserved.ask(), Some(vec![unknown]));
        unserved.refused();
        assert!(unserved.is_counted());
        assert_eq!(unserved.tell_left(), 1, "it is there, however many there are");
    }

    #[test]
    fn a_queue_that_no_setting_names_is_told_of_unless_somebody_chose_the_queues() {
        let queues = Some(vec!["mail".to_owned()]);
        let (gone, left_out) = (lane("old", "shop.tasks.send"), lane("spam", "shop.tasks.send"));
        let settings = Options { queues, exclude_queues: vec!["spam".into()], ..Options::default() };
        let chosen = Options { queues_are_chosen: true, ..settings.clone() };
        assert!(serves(&settings).misses(&gone));
        assert!(!serves(&settings).misses(&left_out));
        assert!(!serves(&chosen).misses(&gone));
        assert_eq!(
            likely_cause(&gone, &serves(&settings)),
            "QUEUES of backend \"default\" does not name queue \"old\""
        );
    }

    #[test]
    fn the_likely_cause_follows_from_the_name() {
        let serves = serves(&Options::default());
        for (task, words) in [
            ("shop.tasks.sned", "shop.tasks has no such task any more"),
            ("shop.mails.send", "shop.mails among OPTIONS[\"TASK_MODULES\"]"),
            ("__main__.send", "it is defined in a program"),
            ("nightly", "no such task is known here"),
        ] {
            let cause = likely_cause(&lane("default", task), &serves);
            assert!(cause.contains(words), "{cause}");
        }
    }

    #[test]
    fn code_that_was_loaded_anew_ends_what_was_to_be_told_of_what_it_has() {
        let (old, unknown) = (serves(&Options::default()), lane("default", "shop.mails.send"));
        let mut unserved = Unserved::default();
        unserved.surveyed(&cursors(std::slice::from_ref(&unknown)), &old);
        unserved.imported(&Serves::new(&Options::default(), &["shop.mails.send".to_owned()]));
        assert!(unserved.is_counted());
    }
}
