//! What may happen in one step.

use gristmill_store::UniqueUntil;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;

/// One step. The first one does nothing, so a failing sequence shrinks towards few steps that matter.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Nothing,
    Advance {
        seconds: i64,
    },
    Enqueue {
        jobs: Vec<Asked>,
    },
    Claim {
        worker: usize,
        limit: u32,
    },
    /// Ends open attempts, each its own way.
    Finish {
        picks: Vec<(Index, Ending)>,
    },
    /// Ends any attempt there ever was.
    FinishAny {
        pick: Index,
        ending: Ending,
    },
    HandBack {
        picks: Vec<Index>,
    },
    Cancel {
        picks: Vec<Index>,
    },
    Hold {
        picks: Vec<Index>,
    },
    Release {
        picks: Vec<Index>,
    },
    Retry {
        picks: Vec<Index>,
    },
    RunNow {
        picks: Vec<Index>,
    },
    /// Gives jobs another priority, another queue, or both.
    Change {
        picks: Vec<Index>,
        priority: Option<i16>,
        queue: Option<usize>,
    },
    Promote {
        limit: u32,
    },
    Prune {
        retention: u64,
    },
    SweepCancelRequests {
        limit: u32,
    },
    Pause {
        queue: usize,
    },
    Resume {
        queue: usize,
    },
}

/// A request for a job.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) queue: usize,
    pub(crate) run_after: Option<i64>,
    pub(crate) options: usize,
    pub(crate) unique: Option<(usize, UniqueUntil)>,
}

/// How an attempt ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    Success,
    Error,
    Crash,
    Lost,
    Interrupted,
    Cancelled,
    Expired,
    Incompatible,
    Postponed,
    PostponedTo(i64),
    HandedBack,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let picks = || vec(any::<Index>(), 1..4);
    prop_oneof![
        1 => Just(Op::Nothing),
        4 => (0_i64..80).prop_map(|seconds| Op::Advance { seconds }),
        6 => vec(asked(), 0..4).prop_map(|jobs| Op::Enqueue { jobs }),
        8 => (0_usize..2, 0_u32..4).prop_map(|(worker, limit)| Op::Claim { worker, limit }),
        8 => vec((any::<Index>(), ending()), 1..4).prop_map(|picks| Op::Finish { picks }),
        1 => (any::<Index>(), ending()).prop_map(|(pick, ending)| Op::FinishAny { pick, ending }),
        2 => picks().prop_map(|picks| Op::HandBack { picks }),
        4 => picks().prop_map(|picks| Op::Cancel { picks }),
        2 => picks().prop_map(|picks| Op::Hold { picks }),
        2 => picks().prop_map(|picks| Op::Release { picks }),
        4 => picks().prop_map(|picks| Op::Retry { picks }),
        3 => picks().prop_map(|picks| Op::RunNow { picks }),
        3 => (picks(), option::of(0_i16..2), option::of(0_usize..2))
            .prop_map(|(picks, priority, queue)| Op::Change { picks, priority, queue }),
        3 => (1_u32..4).prop_map(|limit| Op::Promote { limit }),
        2 => (0_u64..200).prop_map(|retention| Op::Prune { retention }),
        2 => (1_u32..4).prop_map(|limit| Op::SweepCancelRequests { limit }),
        1 => (0_usize..2).prop_map(|queue| Op::Pause { queue }),
        2 => (0_usize..2).prop_map(|queue| Op::Resume { queue }),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let until = [UniqueUntil::Started, UniqueUntil::EachStart, UniqueUntil::Finished, UniqueUntil::Pruned];
    let until = proptest::sample::select(until.to_vec());
    (0_usize..2, option::weighted(0.3, -20_i64..60), 0_usize..4, option::weighted(0.6, (0_usize..2, until)))
        .prop_map(|(queue, run_after, options, unique)| Asked { queue, run_after, options, unique })
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        3 => Just(Ending::Success),
        3 => Just(Ending::Error),
        2 => Just(Ending::Crash),
        1 => Just(Ending::Lost),
        1 => Just(Ending::Interrupted),
        1 => Just(Ending::Cancelled),
        1 => Just(Ending::Expired),
        2 => Just(Ending::Incompatible),
        1 => Just(Ending::Postponed),
        1 => (-30_i64..60).prop_map(Ending::PostponedTo),
        2 => Just(Ending::HandedBack),
    ]
}
