//! What zygotes and runners say, and what follows from it.

use std::task::{Context, Poll};
use std::time::Instant;

use gristmill_engine::executor::Event;

use super::{Actor, is_async};
use crate::frame::{BadFrame, FromZygote, Key};
use crate::messages::Said;
use crate::runner::{Killed, News, To};
use crate::zygote::Stage;

/// Reads from one runner before the others have their turn.
const READS_A_TURN: usize = 16;

impl Actor {
    pub(super) fn poll_zygotes(&mut self, context: &mut Context<'_>) {
        let mut index = 0;
        while index < self.zygotes.len() {
            match self.zygotes[index].read(context, &mut self.scratch) {
                Poll::Pending => index += 1,
                Poll::Ready(Some(Ok(said))) => self.hear_zygote(index, said),
                Poll::Ready(Some(Err(error))) => {
                    tracing::error!(%error, "the zygote sent a bad frame and is killed");
                    self.zygotes[index].kill_now();
                    self.lose_zygote(index);
                }
                Poll::Ready(None) => self.lose_zygote(index),
            }
        }
    }

    pub(super) fn hear_zygote(&mut self, index: usize, said: FromZygote) {
        match said {
            FromZygote::Hello(mut hello) => {
                let zygote = &mut self.zygotes[index];
                zygote.stage = Stage::Serving;
                if let Some(lease) = &self.lease {
                    zygote.vouch(lease);
                }
                tracing::info!(
                    tasks = hello.tasks.len(),
                    modules = hello.modules,
                    zygote.pid = zygote.pid,
                    "the project is imported anew"
                );
                let announcement = hello.take_announcement();
                self.async_tasks = hello.async_tasks.into_iter().collect();
                for assigned in &mut self.queue {
                    assigned.is_async = is_async(assigned, &self.async_tasks);
                }
                self.tell(Said::Imported(hello.tasks, announcement));
            }
            FromZygote::Error(refusal) => {
                tracing::error!(traceback = refusal.traceback, "{}", refusal.message);
                if self.config.reload {
                    self.zygotes[index].stage = Stage::Refused;
                }
                self.refusal = Some(refusal.message);
            }
            FromZygote::Spawned(spawned) => {
                if let Some(runner) = self.runners.iter_mut().find(|runner| runner.number == spawned.runner) {
                    runner.pid = Some(spawned.pid);
                }
            }
            FromZygote::Exited(exited) => {
                if let Some(place) = self.runners.iter().position(|runner| runner.number == exited.runner) {
                    self.bury(place, Some(&exited));
                }
            }
            FromZygote::Modified(path) => self.reload(index, &path),
        }
    }

    /// Retires a zygote whose code is out of date; `staff` starts the next one.
    pub(super) fn reload(&mut self, index: usize, path: &str) {
        if self.zygotes[index].stage == Stage::Retiring {
            return;
        }
        tracing::info!("{path} has changed; starting afresh");
        self.zygotes[index].stage = Stage::Retiring;
        self.zygote_failures.reset();
        let generation = self.zygotes[index].generation;
        for runner in self.runners.iter_mut().filter(|runner| runner.generation == generation) {
            self.queue.extend(runner.recall(To::Queue));
            runner.quit();
        }
    }

    pub(super) fn lose_zygote(&mut self, index: usize) {
        let zygote = self.zygotes.remove(index);
        let expected = matches!(zygote.stage, Stage::Retiring | Stage::Refused) || self.closing.is_some();
        if !expected {
            let why = self.refusal.take().unwrap_or_else(|| "the zygote died".into());
            tracing::error!(zygote.pid = zygote.pid, "{why}");
            if self.zygote_failures.fail() {
                self.tell(Said::Event(Event::Broken(why)));
            }
        }
        let now = Instant::now();
        let generation = zygote.generation;
        for runner in self.runners.iter_mut().filter(|runner| runner.generation == generation) {
            runner.orphaned = Some(now);
        }
        let forked = self.forked_by(generation);
        let ending = tokio::spawn(async move {
            zygote.end(&forked).await;
        });
        self.endings.push((generation, ending));
    }

    // -- what the runners say -----------------------------------------------------------------------------------

    pub(super) fn poll_runners(&mut self, context: &mut Context<'_>) {
        let mut news = Vec::new();
        for index in 0..self.runners.len() {
            for turn in 0.. {
                match self.runners[index].read(context, &mut self.scratch, &mut news) {
                    Poll::Pending => break,
                    Poll::Ready(read) => self.hear_runner(index, &mut news, read),
                }
                if turn == READS_A_TURN {
                    context.waker().wake_by_ref();
                    break;
                }
            }
        }
    }

    pub(super) fn hear_runner(&mut self, index: usize, news: &mut Vec<News>, read: Result<(), BadFrame>) {
        let runner = &mut self.runners[index];
        runner.to_measure |= self.config.max_runner_memory_mb.is_some()
            && news.iter().any(|news| matches!(news, News::Ended(ended) if ended.started.is_some()));
        let pid = runner.pid;
        let running_since = runner.running_since();
        let leaving: Vec<_> = news.extract_if(.., |each| matches!(each, News::Leaving(_))).collect();
        for key in self.take_news(pid, running_since, news) {
            self.answer(index, key);
        }
        for each in leaving {
            self.part_with(index, each);
        }
        if let Err(error) = read {
            tracing::error!(runner.pid = pid, %error, "a runner broke the protocol and is killed");
            self.kill(index, Killed::Broken(format!("it broke the worker's protocol with {error}")));
        }
    }

    /// Has a runner get nothing more, or killed where a job that has ended goes on in it.
    fn part_with(&mut self, index: usize, leaving: News) {
        let runner = &mut self.runners[index];
        match leaving {
            News::Leaving(Some((key, outcome))) => self.kill(index, Killed::For(key, outcome)),
            News::Leaving(None) if !runner.spent => {
                runner.spent = true;
                let back = runner.recall(To::Queue);
                self.give(back.into_iter().map(|assigned| (To::Queue, assigned)).collect());
            }
            _ => {}
        }
    }

    /// Gives the jobs that wait for the statements that end them.
    pub(super) fn take_news(
        &mut self,
        pid: Option<u32>,
        running_since: Option<Instant>,
        news: &mut Vec<News>,
    ) -> Vec<Key> {
        let mut ends = Vec::with_capacity(news.len());
        let mut to_write = Vec::new();
        let (mut noted, mut rested) = (Vec::new(), Vec::new());
        for each in news.drain(..) {
            match each {
                News::Up => {
                    self.runner_failures.reset();
                    self.zygote_failures.reset();
                    self.tell(Said::Event(Event::Room));
                }
                News::Back(assigned, to, why) => {
                    if !why.is_empty() {
                        tracing::warn!(job.id = %assigned.claimed.id, "given back: {why}");
                    }
                    self.give(vec![(to, assigned)]);
                }
                News::Progress(progress) => self.tell(Said::Event(Event::Progress(progress))),
                News::ToWrite(key) => to_write.push(key),
                News::Ended(ended) => ends.push(ended),
                News::Noted(key, text) => noted.push((key, text)),
                News::Rested(lingering) => rested.push(lingering),
                // Its runner is seen to by whoever hears it.
                News::Leaving(_) => {}
            }
        }
        // One job ends where the next begins, however late both are read. Those that run side by side say nothing
        // about how long a runner is busy, and those that linger keep it busy for longer.
        let mut until = running_since.unwrap_or_else(Instant::now);
        for ended in ends.iter().rev().filter(|ended| !ended.assigned.is_async) {
            if let Some(started) = ended.started {
                if ended.lingers.is_none() {
                    self.pace.learn(&ended.assigned.claimed.lane.task_name, until.saturating_duration_since(started));
                }
                until = started;
            }
        }
        for ended in ends {
            self.ended(ended, pid);
        }
        for (key, text) in noted {
            self.note(key, text);
        }
        for lingering in rested {
            self.rested(&lingering);
        }
        to_write
    }
}
