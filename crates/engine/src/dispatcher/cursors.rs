//! How far a worker's claims have come in each lane that it knows to hold work for it, and where to claim next. Pure.

use gristmill_core::{ClaimCursor, Claimed, JobId, Lane, Moment};
use gristmill_store::Session;

use super::serves::Serves;

/// The cursors of what is served that the last survey found, and that have not been drained since.
#[derive(Default)]
pub(crate) struct ClaimCursors {
    known: Vec<ClaimCursor>,
}

impl ClaimCursors {
    /// Starts afresh from what a survey found.
    pub(crate) fn surveyed(&mut self, found: Vec<ClaimCursor>, serves: &Serves) {
        self.known = found.into_iter().filter(|cursor| serves.takes(&cursor.lane)).collect();
        // The earliest first, so that a claim that cannot ask all cursors asks those whose turn it is.
        self.known.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| watermark(a).cmp(&watermark(b))));
    }

    /// Takes in cursors of lanes that got jobs, each with its earliest one's deadline. A watermark that has gone past it goes back.
    pub(crate) fn learn(&mut self, readied: Vec<ClaimCursor>, serves: &Serves) {
        for cursor in readied.into_iter().filter(|cursor| serves.takes(&cursor.lane)) {
            match self.known.iter_mut().find(|known| same(known, &cursor.lane, cursor.priority)) {
                Some(known) if watermark(known) <= watermark(&cursor) => {}
                Some(known) => *known = cursor,
                None => self.known.push(cursor),
            }
        }
    }

    /// Those to ask now, and for how many jobs at most: of the highest priority, the ones with the earliest watermarks.
    /// `left` says how many more jobs of a queue may be held, `None` being no limit. A claim cannot divide what it
    /// finds among limits, so each queue that has one is asked by itself.
    pub(crate) fn next(&self, left: impl Fn(&str) -> Option<usize>) -> (Vec<ClaimCursor>, usize) {
        let left = |cursor: &ClaimCursor| left(&cursor.lane.queue_name);
        let open = || self.known.iter().filter(|cursor| left(cursor) != Some(0));
        let Some(highest) = open().map(|cursor| cursor.priority).max() else { return (Vec::new(), 0) };
        let mut cursors: Vec<&ClaimCursor> = open().filter(|cursor| cursor.priority == highest).collect();
        cursors.sort_by(|a, b| watermark(a).cmp(&watermark(b)));
        let earliest = cursors[0];
        let limit = left(earliest);
        if limit.is_some() {
            cursors.retain(|cursor| cursor.lane.queue_name == earliest.lane.queue_name);
        } else {
            cursors.retain(|cursor| left(cursor).is_none());
        }
        (cursors.into_iter().take(Session::CURSORS_PER_CLAIM).cloned().collect(), limit.unwrap_or(usize::MAX))
    }

    /// Whether there is one to ask now.
    pub(crate) fn any(&self, left: impl Fn(&str) -> Option<usize>) -> bool {
        self.known.iter().any(|cursor| left(&cursor.lane.queue_name) != Some(0))
    }

    /// Takes in what a claim of at most `limit` jobs gave. Fewer than asked means that the asked cursors are drained. A
    /// watermark that went back meanwhile is left alone: the claim did not look that far back.
    pub(crate) fn claimed(&mut self, asked: &[ClaimCursor], limit: usize, claimed: &[Claimed]) {
        let looked_at = |cursor: &ClaimCursor| {
            asked
                .iter()
                .any(|asked| same(asked, &cursor.lane, cursor.priority) && watermark(asked) <= watermark(cursor))
        };
        if claimed.len() < limit {
            self.known.retain(|cursor| !looked_at(cursor));
            return;
        }
        for cursor in self.known.iter_mut().filter(|cursor| looked_at(cursor)) {
            let of_it = claimed.iter().filter(|job| same(cursor, &job.lane, job.priority));
            if let Some(last) = of_it.max_by_key(|job| (&job.deadline, job.id)) {
                cursor.deadline = last.deadline.clone();
                cursor.id = Some(last.id);
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

fn watermark(cursor: &ClaimCursor) -> (&Moment, Option<JobId>) {
    (&cursor.deadline, cursor.id)
}

fn same(cursor: &ClaimCursor, lane: &Lane, priority: i16) -> bool {
    cursor.priority == priority && cursor.lane == *lane
}

#[cfg(test)]
mod tests {
    use gristmill_core::{Counts, StoredOptions, Token, WorkerId};

    use std::collections::HashMap;

    use super::*;
    use crate::Options;

    fn cursor(queue: &str, task: &str, priority: i16, deadline: &str) -> ClaimCursor {
        let lane = Lane { backend: "default".into(), queue_name: queue.into(), task_name: task.into() };
        ClaimCursor { lane, priority, deadline: Moment(deadline.into()), id: None }
    }

    fn job(cursor: &ClaimCursor, deadline: &str) -> Claimed {
        let moment = Moment(deadline.into());
        Claimed {
            id: JobId::new(),
            token: Token(1),
            lane: cursor.lane.clone(),
            priority: cursor.priority,
            deadline: moment.clone(),
            run_after: None,
            enqueued_at: moment.clone(),
            claimed_at: moment,
            started_at: None,
            generation: 1,
            counts: Counts::default(),
            misfits: gristmill_core::Misfits::default(),
            args: "[]".into(),
            kwargs: "{}".into(),
            stored_options: StoredOptions::default(),
            worker_id: WorkerId::new(),
        }
    }

    fn known(options: &Options, found: Vec<ClaimCursor>) -> ClaimCursors {
        let mut cursors = ClaimCursors::default();
        cursors.surveyed(found, &Serves::new(options, &["work".to_owned()]));
        cursors
    }

    fn no_limit(_queue: &str) -> Option<usize> {
        None
    }

    #[test]
    fn only_served_cursors_are_kept() {
        let options = Options {
            queues: Some(vec!["mail".into(), "slow".into()]),
            exclude_queues: vec!["slow".into()],
            ..Options::default()
        };
        let mut elsewhere = cursor("mail", "work", 0, "1");
        elsewhere.lane.backend = "other".into();
        let served = cursor("mail", "work", 0, "1");
        let found = vec![
            served.clone(),
            cursor("slow", "work", 0, "1"),
            cursor("other", "work", 0, "1"),
            cursor("mail", "unknown", 0, "1"),
            elsewhere,
        ];
        assert_eq!(known(&options, found).next(no_limit).0, [served]);
    }

    #[test]
    fn the_highest_priority_is_asked_first_and_its_earliest_cursors() {
        let mut found: Vec<ClaimCursor> =
            (0..12).rev().map(|n| cursor(&format!("q{n:02}"), "work", 5, &format!("{n:02}"))).collect();
        found.push(cursor("low", "work", 0, "00"));
        let asked = known(&Options::default(), found).next(no_limit).0;
        let watermarks: Vec<&str> = asked.iter().map(|cursor| cursor.deadline.0.as_str()).collect();
        assert_eq!(watermarks, ["00", "01", "02", "03", "04", "05", "06", "07"]);
        assert!(asked.iter().all(|cursor| cursor.priority == 5));
    }

    #[test]
    fn a_full_claim_moves_the_marks_to_the_last_claimed_of_each_cursor() {
        let (first, second) = (cursor("a", "work", 0, "1"), cursor("b", "work", 0, "1"));
        let mut cursors = known(&Options::default(), vec![first.clone(), second.clone()]);
        let jobs = [job(&first, "1"), job(&first, "2")];
        cursors.claimed(&cursors.next(no_limit).0, 2, &jobs);
        let next = cursors.next(no_limit).0;
        assert_eq!(next[0], second, "nothing of it came, so its watermark stays and it is the earliest now");
        assert_eq!((next[1].deadline.0.as_str(), next[1].id), ("2", Some(jobs[1].id)));
    }

    #[test]
    fn a_claim_that_gives_fewer_than_asked_drains_the_cursors_it_asked() {
        let (high, low) = (cursor("a", "work", 1, "1"), cursor("b", "work", 0, "1"));
        let mut cursors = known(&Options::default(), vec![high.clone(), low.clone()]);
        cursors.claimed(&cursors.next(no_limit).0, 2, &[job(&high, "1")]);
        assert_eq!(cursors.next(no_limit).0, [low]);
        cursors.claimed(&cursors.next(no_limit).0, 2, &[]);
        assert!(cursors.is_empty());
    }

    #[test]
    fn a_queue_with_a_limit_is_asked_by_itself_and_not_at_all_when_it_is_reached() {
        let (slow, other, mail) =
            (cursor("slow", "work", 0, "1"), cursor("slow", "work", 0, "3"), cursor("mail", "work", 0, "2"));
        let cursors = known(&Options::default(), vec![slow.clone(), other.clone(), mail.clone()]);
        let left = |n: usize| move |queue: &str| (queue == "slow").then_some(n);
        assert_eq!(cursors.next(left(2)), (vec![slow.clone(), other], 2));
        assert_eq!(cursors.next(left(0)), (vec![mail], usize::MAX));
        let cursors = known(&Options::default(), vec![slow]);
        assert_eq!(cursors.next(left(0)), (Vec::new(), 0));
        assert!(cursors.any(left(1)) && !cursors.any(left(0)));
    }

    #[test]
    fn cursors_that_got_jobs_are_asked_in_their_turn_and_those_of_others_are_not() {
        let (low, high, other) =
            (cursor("a", "work", 0, "1"), cursor("b", "work", 1, "2"), cursor("a", "other", 9, "0"));
        let mut cursors = known(&Options::default(), vec![low.clone()]);
        let serves = Serves::new(&Options::default(), &["work".to_owned()]);
        cursors.learn(vec![high.clone(), other], &serves);
        assert_eq!(cursors.next(no_limit).0, std::slice::from_ref(&high));
        cursors.claimed(std::slice::from_ref(&high), 1, &[]);
        assert_eq!(cursors.next(no_limit).0, [low]);
    }

    #[test]
    fn a_mark_goes_back_to_what_was_made_ready_before_it_and_never_forward() {
        let first = cursor("a", "work", 0, "5");
        let serves = Serves::new(&Options::default(), &["work".to_owned()]);
        let mut cursors = known(&Options::default(), vec![first.clone()]);
        cursors.learn(vec![cursor("a", "work", 0, "7")], &serves);
        assert_eq!(cursors.next(no_limit).0, std::slice::from_ref(&first));
        cursors.claimed(std::slice::from_ref(&first), 1, &[job(&first, "5")]);
        cursors.learn(vec![first.clone()], &serves);
        assert_eq!(cursors.next(no_limit).0, [first], "it lies before the job that was claimed, perhaps");
    }

    #[test]
    fn a_claim_that_did_not_look_that_far_back_neither_drains_a_cursor_nor_moves_its_mark() {
        let (asked, earlier) = (cursor("a", "work", 0, "5"), cursor("a", "work", 0, "3"));
        let serves = Serves::new(&Options::default(), &["work".to_owned()]);
        for limit in [1, 2] {
            let mut cursors = known(&Options::default(), vec![asked.clone()]);
            cursors.learn(vec![earlier.clone()], &serves);
            cursors.claimed(std::slice::from_ref(&asked), limit, &[job(&asked, "6")]);
            assert_eq!(cursors.next(no_limit).0, std::slice::from_ref(&earlier));
        }
    }

    #[test]
    fn of_a_queue_with_a_limit_nothing_is_claimed_together_with_others() {
        let options = Options { queue_limits: HashMap::from([("slow".to_owned(), 1)]), ..Options::default() };
        let serves = Serves::new(&options, &["work".to_owned()]);
        assert!(serves.takes_any(&cursor("mail", "work", 0, "1").lane));
        assert!(!serves.takes_any(&cursor("slow", "work", 0, "1").lane));
        assert!(!serves.takes_any(&cursor("mail", "other", 0, "1").lane));
    }

    #[test]
    fn a_queue_at_its_limit_does_not_hold_up_a_lower_priority() {
        let (high, low) = (cursor("slow", "work", 9, "1"), cursor("mail", "work", 0, "1"));
        let cursors = known(&Options::default(), vec![high, low.clone()]);
        assert_eq!(cursors.next(|queue| (queue == "slow").then_some(0)).0, [low]);
    }
}
