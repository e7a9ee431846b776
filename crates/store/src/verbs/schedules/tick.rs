//! A round of ticks: schedules that are due are locked, their ticks written down and their jobs enqueued in one
//! transaction, so that whoever looks, however often and whatever goes wrong, each tick has one job or one reason.

use std::time::Duration;

use gristmill_core::Moment;

use super::settle::{Locked, Mark};
use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::{Bind, Error, Result, Session};

static NEXT_TICK: Sql = sql!("next_tick");
static DUE_SCHEDULES: Sql = sql!("due_schedules");

/// The most schedules that one round takes.
const SCHEDULES_AT_ONCE: u32 = 100;
/// Schedules whose way is barred by somebody's lock that one round finds out about: each costs the time that a statement
/// waits for a lock, and they are left alone in the next.
const BARRED_AT_ONCE: usize = 4;
/// When to look again at what another worker is settling: it has most likely done so by then, but may have died.
const SETTLED_ELSEWHERE: Duration = Duration::from_millis(250);

/// The schedules that a worker ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served<'a> {
    /// Queues whose schedules alone tick; `None` is all.
    pub queues: Option<&'a [String]>,
    /// But of none of these.
    pub exclude: &'a [String],
    /// Names of some that are left alone for now.
    pub put_off: &'a [String],
}

/// What one round of ticks did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Jobs that were enqueued.
    pub jobs: u64,
    /// Ticks that were recorded without a job.
    pub skipped: u64,
    /// How long until the next tick is due; zero when some may be due already, `None` when there is none at all.
    pub next_due: Option<Duration>,
    /// Some that are due were left to who has their schedules locked.
    pub elsewhere: bool,
    /// Schedules that are due and could not be settled, because somebody's transaction holds what their jobs need: to be
    /// put off, each by itself.
    pub barred: Vec<String>,
}

/// What a round came to, besides what it did.
#[derive(Default)]
pub struct Round {
    /// Schedules that it settles in one transaction.
    together: Vec<String>,
    /// Schedules whose jobs have a unique key. Who enqueues may wait for someone who is taking the same key and does not
    /// commit; that must not keep back any other schedule.
    alone: Vec<String>,
    /// Some that are due are left for the next round.
    leaves_some: bool,
}

impl Session {
    /// Settles what is due of at most `limit` schedules (and of 100), most of it in one transaction. Never waits for another
    /// worker: what that is settling is left to it. A schedule that somebody's transaction stands in the way of is named, and
    /// one whose ticks the database refuses has a problem from then on; the others go on. Costs one statement when nothing
    /// is due.
    pub async fn tick(&mut self, backend: &str, served: &Served<'_>, limit: u32) -> Result<Ticked> {
        let next_due = self.next_tick(backend, served).await?;
        if next_due != Some(Duration::ZERO) {
            return Ok(Ticked { next_due, ..Ticked::default() });
        }
        self.begin().await?;
        let mut round = Round::default();
        let settled = self.round_within(backend, served, limit.min(SCHEDULES_AT_ONCE), &mut round).await;
        let together = match self.end(settled).await {
            Err(Error::Refused(_) | Error::Locked(_)) => {
                round.alone.append(&mut round.together);
                Ticked::default()
            }
            answer => answer?,
        };
        let mut ticked = self.tick_each_alone(backend, served, &round).await?;
        ticked.jobs += together.jobs;
        ticked.skipped += together.skipped;

        let left_alone = [served.put_off, &ticked.barred].concat();
        ticked.next_due = self.next_tick(backend, &Served { put_off: &left_alone, ..*served }).await?;
        let leaves_some = round.leaves_some || ticked.barred.len() >= BARRED_AT_ONCE;
        if ticked.next_due == Some(Duration::ZERO) && !leaves_some {
            ticked.elsewhere = true;
            ticked.next_due = Some(SETTLED_ELSEWHERE);
        }
        Ok(ticked)
    }

    /// Gives those that the database refuses a problem, unless it refuses them all: then it is not they who have it.
    async fn tick_each_alone(&mut self, backend: &str, served: &Served<'_>, round: &Round) -> Result<Ticked> {
        let (mut ticked, mut refused) = (Ticked::default(), Vec::new());
        for name in &round.alone {
            self.begin().await?;
            let settled = self.tick_alone_within(backend, served, name).await;
            match self.end(settled).await {
                Err(Error::Refused(why)) => refused.push((name, why)),
                Err(Error::Locked(_)) => ticked.barred.push(name.clone()),
                answer => {
                    let Ticked { jobs, skipped, .. } = answer?;
                    ticked.jobs += jobs;
                    ticked.skipped += skipped;
                }
            }
            if ticked.barred.len() >= BARRED_AT_ONCE {
                break;
            }
        }
        let is_their_own = !round.together.is_empty() || refused.len() < round.alone.len();
        match refused.pop() {
            Some((_, why)) if !is_their_own => return Err(Error::Refused(why)),
            last => refused.extend(last),
        }
        for (name, why) in refused {
            self.begin().await?;
            let blamed = self.blame_within(backend, served, name, &why.to_string()).await;
            self.end(blamed).await?;
        }
        Ok(ticked)
    }

    async fn tick_alone_within(&mut self, backend: &str, served: &Served<'_>, name: &str) -> Result<Ticked> {
        match self.due_within(backend, served, 1, Some(name)).await? {
            Some((due, now)) => self.settle_ticks_within(backend, &due, &now).await.map(|(ticked, _)| ticked),
            None => Ok(Ticked::default()),
        }
    }

    async fn blame_within(&mut self, backend: &str, served: &Served<'_>, name: &str, why: &str) -> Result<()> {
        if self.due_within(backend, served, 1, Some(name)).await?.is_some() {
            self.mark_within(backend, &[Mark::broken(name, why)]).await?;
        }
        Ok(())
    }

    async fn next_tick(&mut self, backend: &str, served: &Served<'_>) -> Result<Option<Duration>> {
        let [backend, queues, exclude, put_off] = served.binds(backend);
        let mut rows = self.carry_out(&NEXT_TICK, &[backend, queues, exclude, self.now(), put_off]).await?;
        let row = rows.pop().ok_or_else(|| Error::Refused("next_tick gave no answer".into()))?;
        let mut fields = Fields::of(row);
        let (next_at, now) = (fields.optional_moment()?, fields.moment()?);
        Ok(next_at.and_then(|next_at| next_at.since(&now)))
    }

    /// Settles what is due and can be settled together, in the transaction that is open.
    pub async fn round_within(
        &mut self,
        backend: &str,
        served: &Served<'_>,
        limit: u32,
        round: &mut Round,
    ) -> Result<Ticked> {
        let Some((due, now)) = self.due_within(backend, served, limit, None).await? else {
            return Ok(Ticked::default());
        };
        round.leaves_some = due.len() >= limit as usize;
        let (alone, together): (Vec<_>, Vec<_>) = due.into_iter().partition(Locked::has_key);
        let names = |schedules: &[Locked]| schedules.iter().map(|locked| locked.name.clone()).collect();
        (round.alone, round.together) = (names(&alone), names(&together));
        let (ticked, settled) = self.settle_ticks_within(backend, &together, &now).await?;
        round.leaves_some |= settled < together.len();
        Ok(ticked)
    }

    /// Locks schedules that are due: all of them, or one by its name. None: there are none, or others settle them.
    async fn due_within(
        &mut self,
        backend: &str,
        served: &Served<'_>,
        limit: u32,
        name: Option<&str>,
    ) -> Result<Option<(Vec<Locked>, Moment)>> {
        let [on_backend, queues, exclude, put_off] = served.binds(backend);
        let name = name.map_or(Bind::Null, Bind::from);
        let binds = [on_backend, queues, exclude, self.now(), Bind::Int(limit.into()), name, put_off];
        let (mut due, mut now) = (Vec::new(), None);
        for row in self.run(&DUE_SCHEDULES, &binds).await? {
            let mut fields = Fields::of(row);
            due.push(Locked::read(&mut fields)?);
            now = Some(fields.moment()?);
        }
        Ok(now.map(|now| (due, now)))
    }
}

impl Served<'_> {
    fn binds(&self, backend: &str) -> [Bind<'static>; 4] {
        let queues = self.queues.map_or(Bind::Null, |queues| json(&queues));
        [backend.into(), queues, json(&self.exclude), json(&self.put_off)]
    }
}
