//! Schedules in the simulated world: what its code has, what people do to them, and who ticks.

use gristmill_core::schedule::{Announced, Announcement, CatchUp, Definition, JobTemplate, Overlap};
use gristmill_store::Error;

use super::runners::TASKS;
use super::world::World;
use crate::schedules::look;

/// Enough for each tick of any outage here to be listed by itself, so that none may be missing.
const CAP: u32 = 5_000;
const NAMES: [&str; 4] = ["one", "two", "three", "four"];
/// Seconds within which whatever is due has been ticked, once all is well.
const LAST_LOOKS: u32 = 60;
/// What people keep in the database.
const KEPT: [&str; 2] = ["kept", "also kept"];

/// As statements name one.
pub(super) fn some_name(rng: &mut fastrand::Rng) -> String {
    format!("\"{}\"", NAMES[rng.usize(..NAMES.len())])
}

/// The schedules of the code that a supervisor boots with.
pub(super) fn code(rng: &mut fastrand::Rng) -> Announcement {
    let schedules = NAMES.iter().filter(|_| rng.u32(0..3) > 0).map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let schedules = schedules.into_iter().map(|name| schedule(rng, name)).collect();
    // Now and then a version in which nobody may keep schedules for the second task.
    let open = if rng.u32(0..4) > 0 { &TASKS[..] } else { &TASKS[..1] };
    let schedulable = open.iter().map(|task| ((*task).to_owned(), template(rng))).collect();
    Announcement { schedules, schedulable }
}

fn schedule(rng: &mut fastrand::Rng, name: String) -> Announced {
    let (cron, every) = match rng.u32(0..6) {
        0 => (Some("*/3 * * * *".to_owned()), None),
        1 => (Some("* * * * * */45".to_owned()), None),
        2 => (Some("manual".to_owned()), None),
        _ => (None, Some(f64::from(rng.u32(30..300)))),
    };
    let definition = Definition {
        cron,
        every,
        timezone: if rng.bool() { "UTC".into() } else { "Europe/Zurich".into() },
        catch_up: [CatchUp::Latest, CatchUp::All, CatchUp::None][rng.usize(0..3)],
        cap: Some(CAP),
        overlap: if rng.bool() { Overlap::Allow } else { Overlap::Skip },
        jitter: if rng.bool() { 0.0 } else { 10.0 },
        run_on_creation: rng.bool(),
        args: format!("[{}]", rng.u32(0..3)),
        ..Definition::default()
    };
    let task_name = TASKS[rng.usize(0..TASKS.len())].to_owned();
    Announced { name, queue_name: "default".into(), task_name, definition, job: template(rng) }
}

fn template(rng: &mut fastrand::Rng) -> JobTemplate {
    let unique_key = (rng.u32(0..4) == 0).then(|| format!("key {}", rng.u32(0..6)));
    JobTemplate { priority: rng.i16(-1..=1), unique_key, ..JobTemplate::default() }
}

impl World {
    /// Now and then a deployment brings other schedules; supervisors announce them as they boot.
    pub(super) fn deploy(&mut self) {
        self.tally.deployments += 1;
        self.code = code(&mut self.rng);
        // One of them loads its code anew, as if someone had saved a file; whoever announces last is right.
        let n = self.rng.usize(..self.fleet.len());
        self.fleet[n].schedules.announce(self.code.clone());
    }

    /// What supervisor `n` does about schedules when it is time. Whether it has looked, and had an answer.
    pub(super) async fn tick(&mut self, n: usize) -> Result<bool, String> {
        let now = crate::clock::now();
        let supervisor = &mut self.fleet[n];
        let sees_to_them = supervisor.schedules.are_the_tickers() || supervisor.schedules.are_the_keepers();
        let waits = supervisor.ticker.not_before().is_some_and(|instant| now < instant);
        if supervisor.next_tick > self.now || waits || !sees_to_them {
            return Ok(false);
        }
        supervisor.next_tick = self.now + self.rng.i64(0..5_000_000);
        let ticked = look(&mut supervisor.ticker, &supervisor.schedules).await;
        if let Err(error) = &ticked
            && (matches!(error, Error::Locked(_)) || self.weather_now().is_fair())
        {
            return Err(format!("all schedules are kept back by what one waits for: {error}"));
        }
        let ticked = self.check(ticked)?;
        if let Some(ticked) = &ticked {
            self.tally.ticks += ticked.jobs;
            self.tally.ticks_skipped += ticked.skipped;
            if ticked.jobs > 0 {
                self.tell(n, &format!("ticks {} jobs", ticked.jobs));
            }
        }
        self.look().await?;
        Ok(ticked.is_some())
    }

    /// People pause, resume and keep schedules.
    pub(super) async fn steer_schedules(&mut self) -> Result<(), String> {
        let name = [&NAMES[..], &KEPT[..]].concat()[self.rng.usize(0..NAMES.len() + KEPT.len())];
        let mut session = self.session().await;
        match self.rng.u32(0..10) {
            0..2 => {
                session.pause_schedule("default", name, "a look at it").await.expect("pauses");
            }
            2..6 => {
                session.resume_schedule("default", name).await.expect("resumes");
            }
            6..9 => {
                let kept = schedule(&mut self.rng, KEPT[usize::from(name == KEPT[0])].to_owned());
                session.define_schedule("default", &kept).await.expect("defines");
                self.tally.schedules_kept += 1;
            }
            _ => {
                session.remove_schedule("default", name).await.expect("removes");
            }
        }
        self.look().await
    }

    /// Everyone ticks what is due; then nobody does any more, so that all can end.
    pub(super) async fn end_schedules(&mut self) -> Result<(), String> {
        // One look takes a batch, which is small after one that failed, and leaves alone what is put off for a while.
        for _ in 0..LAST_LOOKS {
            let mut looked = false;
            for n in 0..self.fleet.len() {
                self.fleet[n].next_tick = self.now;
                looked |= self.tick(n).await?;
            }
            if looked && self.oracle.ticks.nothing_is_due(&self.shared, self.now).await.is_ok() {
                break;
            }
            self.wait_a_second();
        }
        self.oracle.ticks.nothing_is_due(&self.shared, self.now).await?;
        for name in NAMES.iter().chain(&KEPT) {
            self.session().await.pause_schedule("default", name, "the end").await.expect("pauses");
        }
        self.look().await
    }
}
