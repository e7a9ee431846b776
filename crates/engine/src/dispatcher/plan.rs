//! What the dispatcher does next with its session. Pure, so that its order of precedence can be read and tested.

use std::time::Duration;

use super::side_work::SideWork;

/// A survey is repeated this often while there is work: what a watermark has passed over, and jobs of a higher
/// priority, are found within it.
pub(crate) const SURVEY_INTERVAL: Duration = Duration::from_millis(500);
/// The idle flag is cleared only after being busy for this long, so that sporadic jobs do not write it each time.
pub(crate) const BUSY_BEFORE_CLEARING: Duration = Duration::from_secs(1);
/// Ended attempts written in one turn, and jobs claimed in one.
pub(crate) const TURN: usize = 250;
/// With so many ended attempts unwritten, nothing is claimed: a worker whose ends are refused does not go on to run jobs
/// that it may have to leave behind like those.
const UNWRITTEN: usize = 1_000;

/// What the dispatcher knows when it is about to use its session.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View {
    /// The database and memory may disagree about who holds what.
    pub(crate) in_doubt: bool,
    /// Ended attempts to write.
    pub(crate) ended: usize,
    /// Ended attempts without an answer, those included that wait because they were refused.
    pub(crate) unwritten: usize,
    /// How many jobs it may claim: room, unless something forbids to claim.
    pub(crate) room: usize,
    /// There are cursors to claim from.
    pub(crate) cursors: bool,
    /// The ends to write may well make other jobs ready.
    pub(crate) awaited: bool,
    /// Ends have to be carried to the jobs that wait for them.
    pub(crate) propagations: bool,
    /// Propagations come before the next turn.
    pub(crate) propagations_first: bool,
    /// Time since the last survey; `None` before the first.
    pub(crate) surveyed: Option<Duration>,
    /// The last survey failed, and no end was written since.
    pub(crate) survey_failed: bool,
    /// Someone may have enqueued, cursors have drained, or the poll is due.
    pub(crate) hint: bool,
    /// The flag that asks enqueuers for wake-ups, as the database has it.
    pub(crate) idle_flag: bool,
    /// It is not to claim anything, so wake-ups are of no use to it.
    pub(crate) quiet: bool,
    /// How long it has been busy without a pause.
    pub(crate) busy: Option<Duration>,
    /// Something to do between two turns is due.
    pub(crate) side_work: Option<SideWork>,
    /// Side work may come before the ends that are due.
    pub(crate) side_work_first: bool,
}

/// One use of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Compare what the database says it holds with what it does hold.
    Audit,
    /// Look in which lanes there are jobs.
    Survey,
    /// Write so many ended attempts and claim so many jobs, in one commit.
    Turn { finish: usize, claim: usize },
    /// Carry ends to the jobs that wait for them, one batch.
    Propagate,
    /// Something between two turns.
    SideWork(SideWork),
    /// Write the idle flag.
    Idle(bool),
    /// Nothing to do.
    Wait,
}

/// The next use of the session.
pub(crate) fn next(view: View) -> Step {
    if view.in_doubt {
        return Step::Audit;
    }
    let step = step(view);
    if view.propagations && (view.propagations_first || matches!(step, Step::Idle(_) | Step::Wait)) {
        return Step::Propagate;
    }
    step
}

fn step(view: View) -> Step {
    let may_claim = view.room > 0 && view.unwritten < UNWRITTEN;
    // However often a survey fails, ends are written in between.
    let ends_come_first = view.survey_failed && view.ended > 0;
    if may_claim && survey_is_due(view) && !ends_come_first {
        return Step::Survey;
    }
    if let Some(side_work) = view.side_work
        && (view.ended == 0 || view.side_work_first)
    {
        return Step::SideWork(side_work);
    }
    let may_find = view.cursors || (view.awaited && view.ended > 0);
    let claim = if may_claim && may_find { view.room.min(TURN) } else { 0 };
    if view.ended > 0 || claim > 0 {
        return Step::Turn { finish: view.ended.min(TURN), claim };
    }
    if view.idle_flag && (view.quiet || view.busy.is_some_and(|busy| busy >= BUSY_BEFORE_CLEARING)) {
        return Step::Idle(false);
    }
    if may_claim && !view.idle_flag {
        return Step::Idle(true);
    }
    Step::Wait
}

// While cursors are known a hint says nothing new; on SQLite each commit of its own is one.
fn survey_is_due(view: View) -> bool {
    match view.surveyed {
        None => true,
        Some(_) if !view.cursors => view.hint,
        Some(age) => age >= SURVEY_INTERVAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUST_NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn a_doubt_is_settled_before_anything_else() {
        let view = View { in_doubt: true, ended: 3, room: 2, cursors: true, surveyed: JUST_NOW, ..View::default() };
        assert_eq!(next(view), Step::Audit);
    }

    #[test]
    fn finishing_and_claiming_share_one_turn_of_bounded_size() {
        let view = View { ended: 3, room: 2, cursors: true, surveyed: JUST_NOW, ..View::default() };
        assert_eq!(next(view), Step::Turn { finish: 3, claim: 2 });
        let view = View { ended: 500, room: 500, ..view };
        assert_eq!(next(view), Step::Turn { finish: TURN, claim: TURN });
    }

    #[test]
    fn without_room_it_finishes_and_neither_looks_nor_claims() {
        let view = View { ended: 1, cursors: true, hint: true, ..View::default() };
        assert_eq!(next(view), Step::Turn { finish: 1, claim: 0 });
        assert_eq!(next(View { ended: 0, ..view }), Step::Wait);
    }

    #[test]
    fn with_a_thousand_ends_unwritten_nothing_is_claimed_and_they_are_still_tried() {
        let view = View { ended: 3, room: 2, cursors: true, surveyed: JUST_NOW, idle_flag: true, ..View::default() };
        assert_eq!(next(View { unwritten: UNWRITTEN - 1, ..view }), Step::Turn { finish: 3, claim: 2 });
        let view = View { unwritten: UNWRITTEN, hint: true, cursors: false, ..view };
        assert_eq!(next(view), Step::Turn { finish: 3, claim: 0 });
        assert_eq!(next(View { ended: 0, ..view }), Step::Wait);
    }

    #[test]
    fn in_a_chain_of_jobs_each_end_and_the_next_claim_are_one_commit() {
        let view = View { room: 1, surveyed: JUST_NOW, idle_flag: true, awaited: true, ..View::default() };
        for _ in 0..1_000 {
            assert_eq!(next(View { ended: 1, ..view }), Step::Turn { finish: 1, claim: 1 });
            assert_eq!(next(View { room: 0, ..view }), Step::Wait, "the next level runs");
        }
        assert_eq!(next(View { ended: 1, awaited: false, ..view }), Step::Turn { finish: 1, claim: 0 });
    }

    #[test]
    fn propagations_come_before_what_is_ready_and_never_twice_before_a_turn() {
        let view = View { ended: 3, room: 2, cursors: true, surveyed: JUST_NOW, propagations: true, ..View::default() };
        assert_eq!(next(View { propagations_first: true, ..view }), Step::Propagate);
        assert_eq!(next(view), Step::Turn { finish: 3, claim: 2 });
        assert_eq!(next(View { surveyed: Some(SURVEY_INTERVAL), ..view }), Step::Survey);
        assert_eq!(next(View { ended: 0, cursors: false, ..view }), Step::Propagate, "nothing else is to be done");
    }

    #[test]
    fn who_has_no_room_carries_ends_to_those_who_have() {
        assert_eq!(next(View { propagations: true, ..View::default() }), Step::Propagate);
    }

    #[test]
    fn ends_that_are_due_are_written_before_an_aside_but_do_not_put_it_off_for_ever() {
        let view = View { ended: 3, side_work: Some(SideWork::CancelRequests), ..View::default() };
        assert_eq!(next(view), Step::Turn { finish: 3, claim: 0 });
        assert_eq!(next(View { side_work_first: true, ..view }), Step::SideWork(SideWork::CancelRequests));
        assert_eq!(next(View { ended: 0, ..view }), Step::SideWork(SideWork::CancelRequests));
    }

    #[test]
    fn a_busy_worker_looks_around_every_half_second_whatever_the_hints() {
        let view = View { room: 1, cursors: true, hint: true, surveyed: JUST_NOW, ..View::default() };
        assert_eq!(next(view), Step::Turn { finish: 0, claim: 1 });
        assert_eq!(next(View { surveyed: Some(SURVEY_INTERVAL), hint: false, ..view }), Step::Survey);
    }

    #[test]
    fn surveys_that_fail_keep_no_end_from_being_written() {
        let view = View { ended: 2, room: 1, hint: true, surveyed: None, ..View::default() };
        assert_eq!(next(view), Step::Survey);
        assert_eq!(next(View { survey_failed: true, ..view }), Step::Turn { finish: 2, claim: 0 });
        assert_eq!(next(View { survey_failed: true, ended: 0, ..view }), Step::Survey);
        let view = View { surveyed: Some(SURVEY_INTERVAL), cursors: true, survey_failed: true, ..view };
        assert_eq!(next(view), Step::Turn { finish: 2, claim: 1 });
    }

    #[test]
    fn a_hungry_worker_looks_at_every_hint_then_sets_its_flag_then_waits() {
        let view = View { room: 1, hint: true, surveyed: JUST_NOW, ..View::default() };
        assert_eq!(next(view), Step::Survey);
        assert_eq!(next(View { hint: false, ..view }), Step::Idle(true));
        assert_eq!(next(View { hint: false, idle_flag: true, ..view }), Step::Wait);
    }

    #[test]
    fn who_is_quiet_writes_ends_and_takes_its_flag_back_and_asks_for_nothing() {
        let view = View { quiet: true, idle_flag: true, ended: 2, cursors: true, hint: true, ..View::default() };
        assert_eq!(next(view), Step::Turn { finish: 2, claim: 0 });
        assert_eq!(next(View { ended: 0, ..view }), Step::Idle(false));
        assert_eq!(next(View { ended: 0, idle_flag: false, ..view }), Step::Wait);
    }

    #[test]
    fn the_idle_flag_outlives_a_short_busy_spell() {
        let view = View { idle_flag: true, busy: Some(Duration::from_millis(900)), ..View::default() };
        assert_eq!(next(view), Step::Wait);
        assert_eq!(next(View { busy: Some(BUSY_BEFORE_CLEARING), ..view }), Step::Idle(false));
    }
}
