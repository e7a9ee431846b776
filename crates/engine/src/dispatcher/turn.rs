//! One use of the dispatcher's session, carried out beside the dispatcher so that it never waits for the database.

use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{Attempt, ClaimCursor, JobId, Lane, Note, Progress, Token, WorkerId};
use gristmill_store::{Error, Propagated, Result, Survey, Turned, Wanted};

use super::plan::TURN;
use super::serves::Serves;
use super::unserved;
use crate::link::{Link, within};
use crate::{Sessions, promoter, propagation};

/// What the dispatcher asks.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Look in which lanes there are jobs. `to_end` is for who ends when all is done: due jobs are moved to ready first, and it is
    /// asked what is under way.
    Survey { to_end: bool, horizon: Option<Duration> },
    /// Write the ends of attempts and claim, in one commit; before that, the last that their handlers said.
    Turn { said: Vec<Progress>, attempts: Vec<Attempt>, claim: Option<Claim> },
    /// Carry ends to the jobs that wait for them, one batch.
    Propagate,
    /// Write what running handlers said.
    Progress(Vec<Progress>),
    /// Add to the output of attempts that have ended.
    Note(Vec<Note>),
    /// Ask which open attempts someone wants cancelled.
    CancelRequests,
    /// Write the idle flag.
    Idle(bool),
    /// Ask which open attempts the database thinks it has.
    Audit,
    /// Count the ready jobs of lanes.
    Count(Vec<Lane>),
    /// Put open attempts that nobody holds back to ready.
    HandBack(Vec<(JobId, Token)>),
}

/// What to claim.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// None: what the ends that are written with it make ready.
    pub(crate) cursors: Vec<ClaimCursor>,
    pub(crate) limit: usize,
    pub(crate) serves: Arc<Serves>,
}

/// What the database said.
pub(crate) enum Answer {
    Surveyed(Survey),
    Turned(Turned),
    /// What was carried out, and how long to leave propagations alone then.
    Propagated(Propagated, Duration),
    Said,
    Wanted(Vec<(JobId, Token)>),
    Idle,
    Owned(Vec<(JobId, Token)>),
    Counted(Vec<(Lane, u64)>),
    HandedBack(Vec<(JobId, Token)>),
}

/// An order that was carried out, or was not.
pub(crate) struct Done<S> {
    pub(crate) link: Link<S>,
    pub(crate) worker: WorkerId,
    pub(crate) order: Order,
    pub(crate) answer: Result<Answer>,
}

/// Carries out one order.
pub(crate) async fn carry_out<S: Sessions>(mut link: Link<S>, worker: WorkerId, order: Order) -> Done<S> {
    let answer = ask(&mut link, worker, &order).await;
    let answer = link.judge(answer);
    Done { link, worker, order, answer }
}

async fn ask<S: Sessions>(link: &mut Link<S>, worker: WorkerId, order: &Order) -> Result<Answer> {
    if let Order::Turn { said, .. } | Order::Progress(said) = order {
        say(link, said).await?;
    }
    let deadline = link.deadline();
    let session = link.session().await?;
    match order {
        Order::Survey { to_end: true, horizon } => {
            while within(deadline, session.promote(promoter::BATCH)).await?.moved >= u64::from(promoter::BATCH) {}
            within(deadline, session.survey_to_end(*horizon)).await.map(Answer::Surveyed)
        }
        Order::Survey { to_end: false, horizon } => {
            within(deadline, session.survey(*horizon)).await.map(Answer::Surveyed)
        }
        Order::Turn { attempts, claim: None, .. } => {
            let finished = within(deadline, session.finish(attempts)).await?;
            Ok(Answer::Turned(Turned { finished, ..Turned::default() }))
        }
        Order::Turn { attempts, claim: Some(Claim { cursors, limit, serves }), .. } => {
            let (limit, horizon) = (u32::try_from(*limit).unwrap_or(u32::MAX), serves.horizon);
            if attempts.is_empty() {
                let claimed = within(deadline, session.claim(worker, cursors, limit, horizon)).await?;
                return Ok(Answer::Turned(Turned { claimed, asked: cursors.clone(), ..Turned::default() }));
            }
            let takes = |lane: &Lane| serves.takes_any(lane);
            let wanted = Wanted { worker, cursors, limit, horizon, serves: &takes };
            within(deadline, session.finish_and_claim(attempts, wanted)).await.map(Answer::Turned)
        }
        Order::Propagate => {
            let (propagated, breath) = within(deadline, propagation::batch(session)).await?;
            Ok(Answer::Propagated(propagated, breath))
        }
        Order::Progress(_) => Ok(Answer::Said),
        Order::Note(notes) => within(deadline, session.note(notes)).await.map(|()| Answer::Said),
        Order::CancelRequests => within(deadline, session.cancel_requests(worker)).await.map(Answer::Wanted),
        Order::Idle(idle) => within(deadline, session.idle(worker, *idle)).await.map(|()| Answer::Idle),
        Order::Audit => within(deadline, session.owned(worker)).await.map(Answer::Owned),
        Order::Count(lanes) => {
            let mut counted = Vec::with_capacity(lanes.len());
            for lane in lanes {
                let count = within(deadline, session.count_ready(lane, unserved::CAP)).await?;
                counted.push((lane.clone(), count));
            }
            Ok(Answer::Counted(counted))
        }
        Order::HandBack(attempts) => within(deadline, session.hand_back(attempts)).await.map(Answer::HandedBack),
    }
}

// What is refused, or what somebody's lock keeps back, is left unsaid: it must not keep an end from being written.
async fn say<S: Sessions>(link: &mut Link<S>, said: &[Progress]) -> Result<()> {
    let deadline = link.deadline();
    for said in said.chunks(TURN) {
        match within(deadline, link.session().await?.progress(said)).await {
            unsaid @ Err(Error::Refused(_) | Error::Locked(_)) => drop(link.judge(unsaid)),
            other => other?,
        }
    }
    Ok(())
}
