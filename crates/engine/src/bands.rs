//! Which bands a worker knows to hold work for it, and which of them to claim from next. Pure.

use std::collections::HashSet;
use std::time::Duration;

use gristmill_core::{Band, Claimed, JobId, Lane, Moment};
use gristmill_store::Session;

use crate::Options;

/// What this worker takes.
#[derive(Debug)]
pub(crate) struct Serves {
    backend: String,
    queues: Option<HashSet<String>>,
    exclude_queues: HashSet<String>,
    tasks: HashSet<String>,
    /// Queues of which only so many jobs may be held.
    limited: HashSet<String>,
    /// How far away a deadline may be.
    pub(crate) horizon: Option<Duration>,
}

impl Serves {
    pub(crate) fn new(options: &Options, tasks: &[String]) -> Self {
        Self {
            backend: options.backend.clone(),
            queues: options.queues.as_ref().map(|queues| queues.iter().cloned().collect()),
            exclude_queues: options.exclude_queues.iter().cloned().collect(),
            tasks: tasks.iter().cloned().collect(),
            limited: options.queue_limits.keys().cloned().collect(),
            horizon: options.deadline_horizon,
        }
    }

    fn takes(&self, lane: &Lane) -> bool {
        lane.backend == self.backend
            && self.queues.as_ref().is_none_or(|queues| queues.contains(&lane.queue_name))
            && !self.exclude_queues.contains(&lane.queue_name)
            && self.tasks.contains(&lane.task_name)
    }

    /// Whether it takes any number of them that there is room for. A claim cannot divide what it finds among limits.
    pub(crate) fn takes_any(&self, lane: &Lane) -> bool {
        self.takes(lane) && !self.limited.contains(&lane.queue_name)
    }
}

/// The served bands that the last survey found and that have not been drained since.
#[derive(Default)]
pub(crate) struct Bands {
    known: Vec<Band>,
}

impl Bands {
    /// Starts afresh from what a survey found.
    pub(crate) fn surveyed(&mut self, found: Vec<Band>, serves: &Serves) {
        self.known = found.into_iter().filter(|band| serves.takes(&band.lane)).collect();
        // The earliest first, so that a claim that cannot ask all bands asks those whose turn it is.
        self.known.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| mark(a).cmp(&mark(b))));
    }

    /// Takes in bands that got jobs, each with its earliest one's deadline. A mark that has gone past it goes back.
    pub(crate) fn learn(&mut self, readied: Vec<Band>, serves: &Serves) {
        for band in readied.into_iter().filter(|band| serves.takes(&band.lane)) {
            match self.known.iter_mut().find(|known| same(known, &band.lane, band.priority)) {
                Some(known) if mark(known) <= mark(&band) => {}
                Some(known) => *known = band,
                None => self.known.push(band),
            }
        }
    }

    /// Those to ask now, and for how many jobs at most: of the highest priority, the ones with the earliest marks.
    /// `left` says how many more jobs of a queue may be held, `None` being no limit. A claim cannot divide what it
    /// finds among limits, so each queue that has one is asked by itself.
    pub(crate) fn next(&self, left: impl Fn(&str) -> Option<usize>) -> (Vec<Band>, usize) {
        let left = |band: &Band| left(&band.lane.queue_name);
        let open = || self.known.iter().filter(|band| left(band) != Some(0));
        let Some(highest) = open().map(|band| band.priority).max() else { return (Vec::new(), 0) };
        let mut bands: Vec<&Band> = open().filter(|band| band.priority == highest).collect();
        bands.sort_by(|a, b| mark(a).cmp(&mark(b)));
        let earliest = bands[0];
        let limit = left(earliest);
        if limit.is_some() {
            bands.retain(|band| band.lane.queue_name == earliest.lane.queue_name);
        } else {
            bands.retain(|band| left(band).is_none());
        }
        (bands.into_iter().take(Session::BANDS_PER_CLAIM).cloned().collect(), limit.unwrap_or(usize::MAX))
    }

    /// Whether there is one to ask now.
    pub(crate) fn any(&self, left: impl Fn(&str) -> Option<usize>) -> bool {
        self.known.iter().any(|band| left(&band.lane.queue_name) != Some(0))
    }

    /// Takes in what a claim of at most `limit` jobs gave. Fewer than asked means that the asked bands are drained. A
    /// mark that went back meanwhile is left alone: the claim did not look that far back.
    pub(crate) fn claimed(&mut self, asked: &[Band], limit: usize, claimed: &[Claimed]) {
        let looked_at =
            |band: &Band| asked.iter().any(|asked| same(asked, &band.lane, band.priority) && mark(asked) <= mark(band));
        if claimed.len() < limit {
            self.known.retain(|band| !looked_at(band));
            return;
        }
        for band in self.known.iter_mut().filter(|band| looked_at(band)) {
            let of_it = claimed.iter().filter(|job| same(band, &job.lane, job.priority));
            if let Some(last) = of_it.max_by_key(|job| (&job.deadline, job.id)) {
                band.deadline = last.deadline.clone();
                band.id = Some(last.id);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}

fn mark(band: &Band) -> (&Moment, Option<JobId>) {
    (&band.deadline, band.id)
}

fn same(band: &Band, lane: &Lane, priority: i16) -> bool {
    band.priority == priority && band.lane == *lane
}

#[cfg(test)]
mod tests {
    use gristmill_core::{Counts, Token};

    use std::collections::HashMap;

    use super::*;

    fn band(queue: &str, task: &str, priority: i16, deadline: &str) -> Band {
        let lane = Lane { backend: "default".into(), queue_name: queue.into(), task_name: task.into() };
        Band { lane, priority, deadline: Moment(deadline.into()), id: None }
    }

    fn job(band: &Band, deadline: &str) -> Claimed {
        let moment = Moment(deadline.into());
        Claimed {
            id: JobId::new(),
            token: Token(1),
            lane: band.lane.clone(),
            priority: band.priority,
            deadline: moment.clone(),
            run_after: None,
            enqueued_at: moment.clone(),
            claimed_at: moment,
            started_at: None,
            generation: 1,
            counts: Counts::default(),
            args: "[]".into(),
            kwargs: "{}".into(),
            options_json: None,
        }
    }

    fn known(options: &Options, found: Vec<Band>) -> Bands {
        let mut bands = Bands::default();
        bands.surveyed(found, &Serves::new(options, &["work".to_owned()]));
        bands
    }

    fn no_limit(_queue: &str) -> Option<usize> {
        None
    }

    #[test]
    fn only_served_bands_are_kept() {
        let options = Options {
            queues: Some(vec!["mail".into(), "slow".into()]),
            exclude_queues: vec!["slow".into()],
            ..Options::default()
        };
        let mut elsewhere = band("mail", "work", 0, "1");
        elsewhere.lane.backend = "other".into();
        let served = band("mail", "work", 0, "1");
        let found = vec![
            served.clone(),
            band("slow", "work", 0, "1"),
            band("other", "work", 0, "1"),
            band("mail", "unknown", 0, "1"),
            elsewhere,
        ];
        assert_eq!(known(&options, found).next(no_limit).0, [served]);
    }

    #[test]
    fn the_highest_priority_is_asked_first_and_its_earliest_bands() {
        let mut found: Vec<Band> =
            (0..12).rev().map(|n| band(&format!("q{n:02}"), "work", 5, &format!("{n:02}"))).collect();
        found.push(band("low", "work", 0, "00"));
        let asked = known(&Options::default(), found).next(no_limit).0;
        let marks: Vec<&str> = asked.iter().map(|band| band.deadline.0.as_str()).collect();
        assert_eq!(marks, ["00", "01", "02", "03", "04", "05", "06", "07"]);
        assert!(asked.iter().all(|band| band.priority == 5));
    }

    #[test]
    fn a_full_claim_moves_the_marks_to_the_last_claimed_of_each_band() {
        let (first, second) = (band("a", "work", 0, "1"), band("b", "work", 0, "1"));
        let mut bands = known(&Options::default(), vec![first.clone(), second.clone()]);
        let jobs = [job(&first, "1"), job(&first, "2")];
        bands.claimed(&bands.next(no_limit).0, 2, &jobs);
        let next = bands.next(no_limit).0;
        assert_eq!(next[0], second, "nothing of it came, so its mark stays and it is the earliest now");
        assert_eq!((next[1].deadline.0.as_str(), next[1].id), ("2", Some(jobs[1].id)));
    }

    #[test]
    fn a_claim_that_gives_fewer_than_asked_drains_the_bands_it_asked() {
        let (high, low) = (band("a", "work", 1, "1"), band("b", "work", 0, "1"));
        let mut bands = known(&Options::default(), vec![high.clone(), low.clone()]);
        bands.claimed(&bands.next(no_limit).0, 2, &[job(&high, "1")]);
        assert_eq!(bands.next(no_limit).0, [low]);
        bands.claimed(&bands.next(no_limit).0, 2, &[]);
        assert!(bands.is_empty());
    }

    #[test]
    fn a_queue_with_a_limit_is_asked_by_itself_and_not_at_all_when_it_is_reached() {
        let (slow, other, mail) =
            (band("slow", "work", 0, "1"), band("slow", "work", 0, "3"), band("mail", "work", 0, "2"));
        let bands = known(&Options::default(), vec![slow.clone(), other.clone(), mail.clone()]);
        let left = |n: usize| move |queue: &str| (queue == "slow").then_some(n);
        assert_eq!(bands.next(left(2)), (vec![slow.clone(), other], 2));
        assert_eq!(bands.next(left(0)), (vec![mail], usize::MAX));
        let bands = known(&Options::default(), vec![slow]);
        assert_eq!(bands.next(left(0)), (Vec::new(), 0));
        assert!(bands.any(left(1)) && !bands.any(left(0)));
    }

    #[test]
    fn bands_that_got_jobs_are_asked_in_their_turn_and_those_of_others_are_not() {
        let (low, high, other) = (band("a", "work", 0, "1"), band("b", "work", 1, "2"), band("a", "other", 9, "0"));
        let mut bands = known(&Options::default(), vec![low.clone()]);
        let serves = Serves::new(&Options::default(), &["work".to_owned()]);
        bands.learn(vec![high.clone(), other], &serves);
        assert_eq!(bands.next(no_limit).0, std::slice::from_ref(&high));
        bands.claimed(std::slice::from_ref(&high), 1, &[]);
        assert_eq!(bands.next(no_limit).0, [low]);
    }

    #[test]
    fn a_mark_goes_back_to_what_was_made_ready_before_it_and_never_forward() {
        let first = band("a", "work", 0, "5");
        let serves = Serves::new(&Options::default(), &["work".to_owned()]);
        let mut bands = known(&Options::default(), vec![first.clone()]);
        bands.learn(vec![band("a", "work", 0, "7")], &serves);
        assert_eq!(bands.next(no_limit).0, std::slice::from_ref(&first));
        bands.claimed(std::slice::from_ref(&first), 1, &[job(&first, "5")]);
        bands.learn(vec![first.clone()], &serves);
        assert_eq!(bands.next(no_limit).0, [first], "it lies before the job that was claimed, perhaps");
    }

    #[test]
    fn a_claim_that_did_not_look_that_far_back_neither_drains_a_band_nor_moves_its_mark() {
        let (asked, earlier) = (band("a", "work", 0, "5"), band("a", "work", 0, "3"));
        let serves = Serves::new(&Options::default(), &["work".to_owned()]);
        for limit in [1, 2] {
            let mut bands = known(&Options::default(), vec![asked.clone()]);
            bands.learn(vec![earlier.clone()], &serves);
            bands.claimed(std::slice::from_ref(&asked), limit, &[job(&asked, "6")]);
            assert_eq!(bands.next(no_limit).0, std::slice::from_ref(&earlier));
        }
    }

    #[test]
    fn of_a_queue_with_a_limit_nothing_is_claimed_together_with_others() {
        let options = Options { queue_limits: HashMap::from([("slow".to_owned(), 1)]), ..Options::default() };
        let serves = Serves::new(&options, &["work".to_owned()]);
        assert!(serves.takes_any(&band("mail", "work", 0, "1").lane));
        assert!(!serves.takes_any(&band("slow", "work", 0, "1").lane));
        assert!(!serves.takes_any(&band("mail", "other", 0, "1").lane));
    }

    #[test]
    fn a_queue_at_its_limit_does_not_hold_up_a_lower_priority() {
        let (high, low) = (band("slow", "work", 9, "1"), band("mail", "work", 0, "1"));
        let bands = known(&Options::default(), vec![high, low.clone()]);
        assert_eq!(bands.next(|queue| (queue == "slow").then_some(0)).0, [low]);
    }
}
