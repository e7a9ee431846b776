//! What a program says of its schedules as it starts: whoever started last is right.

use std::collections::BTreeMap;

use gristmill_core::Moment;
use gristmill_core::schedule::{Announced, Announcement, Definition, JobTemplate};
use serde::Serialize;

use super::settle::Locked;
use crate::row::Fields;
use crate::statement::{Sql, sql};
use crate::verbs::json;
use crate::{Bind, Error, Result, Row, Session};

static ANNOUNCE_LOCK: Sql = sql!("announce_lock");
static SCHEDULES: Sql = sql!("schedules");
static REGISTER_SCHEDULES: Sql = sql!("register_schedules");
static WITHDRAW_SCHEDULES: Sql = sql!("withdraw_schedules");

/// What an announcement changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registered {
    /// Schedules that are new.
    pub created: u64,
    /// Schedules that are not what they were, or are back.
    pub changed: u64,
    /// Schedules that are not announced any more.
    pub removed: u64,
}

impl Session {
    /// Brings the schedules of a backend in line with what a program says of them, in one transaction: those of its code
    /// are made, changed or marked as removed, and those that people keep follow their tasks. What a rule owes up to now
    /// is settled before it changes. Waits for others who announce, and for rounds of ticks.
    pub async fn announce(&mut self, backend: &str, announcement: &Announcement) -> Result<Registered> {
        self.begin().await?;
        let registered = self.announce_within(backend, announcement).await;
        self.end(registered).await
    }

    async fn announce_within(&mut self, backend: &str, announcement: &Announcement) -> Result<Registered> {
        let mut rows = self.run(&ANNOUNCE_LOCK, &[self.now()]).await?;
        let mut fields = Fields::of(rows.pop().ok_or_else(|| Error::Refused("announce_lock gave no time".into()))?);
        let _ = fields.optional_text()?;
        let now = fields.moment()?;
        let rows = self.run(&SCHEDULES, &[backend.into()]).await?;
        let known: Vec<Known> = rows.into_iter().map(Known::read).collect::<Result<_>>()?;

        let changes = Changes::of(known, announcement);
        self.settle_ticks_to_the_last_within(backend, &changes.owing, &now).await?;
        let registered = changes.counted();
        if !changes.registered.is_empty() {
            let binds = [backend.into(), json(&changes.registered), Bind::from(now.0.clone())];
            self.run(&REGISTER_SCHEDULES, &binds).await?;
        }
        if !changes.withdrawn.is_empty() {
            let binds = [backend.into(), json(&changes.withdrawn), Bind::from(now.0.clone())];
            self.run(&WITHDRAW_SCHEDULES, &binds).await?;
        }
        Ok(registered)
    }

    async fn settle_ticks_to_the_last_within(&mut self, backend: &str, owing: &[Locked], now: &Moment) -> Result<()> {
        let mut rest = owing;
        while !rest.is_empty() {
            let (_, settled) = self.settle_ticks_within(backend, rest, now).await?;
            rest = &rest[settled.max(1)..];
        }
        Ok(())
    }
}

/// What an announcement does to the schedules that are known.
#[derive(Default)]
struct Changes {
    created: u64,
    /// What is written anew, or for the first time.
    registered: Vec<Registration>,
    withdrawn: Vec<String>,
    /// Whose rules owe ticks up to now.
    owing: Vec<Locked>,
}

impl Changes {
    fn of(known: Vec<Known>, announcement: &Announcement) -> Self {
        // Of two with one name, the later one.
        let mut announced: BTreeMap<&str, &Announced> =
            announcement.schedules.iter().map(|schedule| (&*schedule.name, schedule)).collect();
        let mut changes = Self::default();
        for known in known {
            match announced.remove(&*known.locked.name) {
                Some(schedule) => changes.hold_against(known, schedule),
                None if known.is_of_code => changes.withdraw(known),
                None => match announcement.schedulable.get(&known.locked.task_name) {
                    Some(job) => changes.follow(known, job),
                    None => changes.withdraw(known),
                },
            }
        }
        changes.created = announced.len() as u64;
        changes.registered.extend(announced.into_values().map(|new| Registration::of_code(new, false, true)));
        changes
    }

    /// The code has a schedule of this name.
    fn hold_against(&mut self, known: Known, announced: &Announced) {
        let definition = known.definition();
        let is_same = known.is_of_code
            && known.queue_name == announced.queue_name
            && known.locked.task_name == announced.task_name
            && known.job().as_ref() == Some(&announced.job)
            && definition.as_ref() == Some(&announced.definition);
        if is_same && !known.is_removed && !known.has_problem {
            return;
        }
        let keeps_rule = definition.is_some_and(|definition| definition.has_the_rule_of(&announced.definition));
        let starts_anew = known.is_removed || !keeps_rule;
        self.registered.push(Registration::of_code(announced, starts_anew, starts_anew || known.has_problem));
        if starts_anew && known.ticks() {
            self.owing.push(known.locked);
        }
    }

    /// People keep it, and its task allows that.
    fn follow(&mut self, known: Known, job: &JobTemplate) {
        if !known.is_removed && known.job().as_ref() == Some(job) {
            return;
        }
        let Known { locked, queue_name, is_removed, .. } = known;
        self.registered.push(Registration {
            name: locked.name,
            origin: "database",
            queue_name,
            task_name: locked.task_name,
            definition: locked.definition,
            job: text(job),
            marks: is_removed,
            looks: is_removed,
        });
    }

    fn withdraw(&mut self, known: Known) {
        if !known.is_removed {
            self.withdrawn.push(known.locked.name);
        }
    }

    fn counted(&self) -> Registered {
        Registered {
            created: self.created,
            changed: self.registered.len() as u64 - self.created,
            removed: self.withdrawn.len() as u64,
        }
    }
}

/// A schedule as it is stored.
#[allow(clippy::struct_excessive_bools)]
struct Known {
    locked: Locked,
    is_of_code: bool,
    queue_name: String,
    is_removed: bool,
    is_paused: bool,
    has_problem: bool,
}

impl Known {
    fn read(row: Row) -> Result<Self> {
        let mut fields = Fields::of(row);
        Ok(Self {
            locked: Locked::read(&mut fields)?,
            is_of_code: fields.text()? == "code",
            queue_name: fields.text()?,
            is_removed: fields.bool()?,
            is_paused: fields.bool()?,
            has_problem: fields.bool()?,
        })
    }

    fn ticks(&self) -> bool {
        !self.is_removed && !self.is_paused && !self.has_problem
    }

    /// `None`: it cannot be read, so whatever is announced is another.
    fn definition(&self) -> Option<Definition> {
        serde_json::from_str(&self.locked.definition).ok()
    }

    fn job(&self) -> Option<JobTemplate> {
        serde_json::from_str(&self.locked.job).ok()
    }
}

/// What `register_schedules.sql` reads.
#[derive(Serialize)]
struct Registration {
    name: String,
    origin: &'static str,
    queue_name: String,
    task_name: String,
    definition: String,
    job: String,
    /// Nothing is owed for the time up to now.
    marks: bool,
    /// Whoever ticks looks at it next.
    looks: bool,
}

impl Registration {
    fn of_code(announced: &Announced, marks: bool, looks: bool) -> Self {
        Self {
            name: announced.name.clone(),
            origin: "code",
            queue_name: announced.queue_name.clone(),
            task_name: announced.task_name.clone(),
            definition: text(&announced.definition),
            job: text(&announced.job),
            marks,
            looks,
        }
    }
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain structs have a JSON form")
}
