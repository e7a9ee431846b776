//! One use of the mill's session, carried out beside the mill so that it never waits for the database.

use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{Attempt, Band, JobId, Lane, Progress, Token, WorkerId};
use gristmill_store::{Error, Result, Survey, Turned, Wanted, WorkedOff};

use crate::bands::Serves;
use crate::link::{Link, within};
use crate::plan::TURN;
use crate::{Sessions, errands, promoter};

/// What the mill asks.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Look which bands have jobs; first move due ones to ready if `promote`.
    Survey { promote: bool, horizon: Option<Duration> },
    /// Write the ends of attempts and claim, in one commit; before that, the last that their handlers said.
    Turn { said: Vec<Progress>, attempts: Vec<Attempt>, claim: Option<Claim> },
    /// Carry ends to the jobs that wait for them, one batch.
    Errands,
    /// Write what running handlers said.
    Progress(Vec<Progress>),
    /// Ask which open attempts someone wants cancelled.
    Controls,
    /// Write the idle flag.
    Idle(bool),
    /// Ask which open attempts the database thinks it has.
    Audit,
    /// Put open attempts that nobody holds back to ready.
    HandBack(Vec<(JobId, Token)>),
}

/// What to claim.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// None: what the ends that are written with it make ready.
    pub(crate) bands: Vec<Band>,
    pub(crate) limit: usize,
    pub(crate) serves: Arc<Serves>,
}

/// What the database said.
pub(crate) enum Answer {
    Surveyed(Survey),
    Turned(Turned),
    /// And how long to leave errands alone then.
    WorkedOff(WorkedOff, Duration),
    Said,
    Wanted(Vec<(JobId, Token)>),
    Idle,
    Owned(Vec<(JobId, Token)>),
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
        Order::Survey { promote, horizon } => {
            if *promote {
                while within(deadline, session.promote(promoter::BATCH)).await?.moved >= u64::from(promoter::BATCH) {}
            }
            within(deadline, session.survey(*horizon)).await.map(Answer::Surveyed)
        }
        Order::Turn { attempts, claim: None, .. } => {
            let finished = within(deadline, session.finish(attempts)).await?;
            Ok(Answer::Turned(Turned { finished, ..Turned::default() }))
        }
        Order::Turn { attempts, claim: Some(Claim { bands, limit, serves }), .. } => {
            let (limit, horizon) = (u32::try_from(*limit).unwrap_or(u32::MAX), serves.horizon);
            if attempts.is_empty() {
                let claimed = within(deadline, session.claim(worker, bands, limit, horizon)).await?;
                return Ok(Answer::Turned(Turned { claimed, asked: bands.clone(), ..Turned::default() }));
            }
            let takes = |lane: &Lane| serves.takes_any(lane);
            let wanted = Wanted { worker, bands, limit, horizon, serves: &takes };
            within(deadline, session.finish_and_claim(attempts, wanted)).await.map(Answer::Turned)
        }
        Order::Errands => {
            let (worked_off, breath) = within(deadline, errands::batch(session)).await?;
            Ok(Answer::WorkedOff(worked_off, breath))
        }
        Order::Progress(_) => Ok(Answer::Said),
        Order::Controls => within(deadline, session.controls(worker)).await.map(Answer::Wanted),
        Order::Idle(idle) => within(deadline, session.idle(worker, *idle)).await.map(|()| Answer::Idle),
        Order::Audit => within(deadline, session.owned(worker)).await.map(Answer::Owned),
        Order::HandBack(attempts) => within(deadline, session.hand_back(attempts)).await.map(Answer::HandedBack),
    }
}

// What is refused is left unsaid: it must not keep an end from being written. That session is spent, as always.
async fn say<S: Sessions>(link: &mut Link<S>, said: &[Progress]) -> Result<()> {
    let deadline = link.deadline();
    for said in said.chunks(TURN) {
        match within(deadline, link.session().await?.progress(said)).await {
            refused @ Err(Error::Refused(_)) => drop(link.judge(refused)),
            other => other?,
        }
    }
    Ok(())
}
