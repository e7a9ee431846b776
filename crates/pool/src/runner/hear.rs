//! What a runner may say, and what follows from it for the jobs it has.

use std::time::Instant;

use gristmill_core::{Outcome, Progress};

use super::clock::instant_of;
use super::{Ended, Held, News, Runner, Running, To};
use crate::frame::{BadFrame, FromRunner, Key, Report};

/// Reports of progress that a job may make at once, and in every second that it runs: twice what a runner lets through.
const REPORTS: u32 = 20;

impl Runner {
    // What was said before a bad frame still holds.
    pub(super) fn hear(&mut self, news: &mut Vec<News>) -> Result<(), BadFrame> {
        loop {
            let said = match self.parser.next_frame() {
                Ok(Some((kind, payload))) => FromRunner::parse(kind, payload)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            };
            match said {
                FromRunner::Hello if !self.up => {
                    self.up = true;
                    news.push(News::Up);
                }
                FromRunner::Hello => return Err(BadFrame("a second hello".into())),
                FromRunner::Started(key, at) => self.start(key, at)?,
                FromRunner::Output(key, text) => self.running(key, "output")?.output = Some(text),
                FromRunner::Progress(key, report) => news.push(self.progress(key, report)?),
                FromRunner::Ended(key, outcome) => news.push(self.end(key, outcome)?),
                FromRunner::Cancelled(key, failure) => news.push(self.stopped(key, failure)?),
                FromRunner::ToWrite(key, outcome) => news.push(self.ask_to_write(key, outcome)?),
                FromRunner::Kept(key) => news.push(self.kept(key)?),
                FromRunner::Undone(key) => news.push(self.undone(key)?),
                FromRunner::Incompatible(key, why) => news.extend(self.misfit(key, why)?),
                FromRunner::Back(key, why) => {
                    if !self.recalled.remove(&key) {
                        let (held, to) = self.back(key)?;
                        news.push(News::Back(held, to, why));
                    }
                }
            }
        }
    }

    // In order where one runs after the other; those that run side by side may overtake each other.
    fn start(&mut self, key: Key, at: u64) -> Result<(), BadFrame> {
        if self.recalled.contains(&key) {
            return Ok(());
        }
        let place = self.pipe.iter().position(|held| held.key == key);
        let held = match place {
            Some(place) if self.pipe[place].is_async => self.pipe.remove(place),
            Some(0) if self.started.is_empty() => self.pipe.pop_front(),
            _ => None,
        };
        let held = held.ok_or_else(|| BadFrame("the start of a job that was not its to start".into()))?;
        let since = instant_of(at).clamp(held.taken, Instant::now());
        self.started.push(Running::new(held, since));
        Ok(())
    }

    fn running(&mut self, key: Key, what: &str) -> Result<&mut Running, BadFrame> {
        self.running_job(key).ok_or_else(|| BadFrame(format!("the {what} of a job that it does not run")))
    }

    fn progress(&mut self, key: Key, report: Report) -> Result<News, BadFrame> {
        let running = self.running(key, "progress")?;
        running.reports = running.reports.saturating_add(1);
        // By the whole time it ran, so that reports which lay in the socket for long are not too many.
        if f64::from(running.reports) > f64::from(REPORTS) * (1.0 + running.since.elapsed().as_secs_f64()) {
            return Err(BadFrame("more progress than a job may report".into()));
        }
        let claimed = &running.held.claimed;
        let (job, token) = (claimed.id, claimed.token);
        let Report { done, total, message, metadata } = report;
        Ok(News::Progress(Progress { job, token, done, total, message, metadata }))
    }

    fn end(&mut self, key: Key, outcome: Outcome) -> Result<News, BadFrame> {
        let is_failure = matches!(outcome, Outcome::Failed { .. });
        if self.running(key, "end")?.writing.is_some() && !is_failure {
            return Err(BadFrame("a second end of a job that was to be written".into()));
        }
        self.finish(key, outcome, false)
    }

    fn stopped(&mut self, key: Key, failure: Outcome) -> Result<News, BadFrame> {
        let asked = self.running(key, "end")?.cancelled.is_some();
        let outcome = if asked { Outcome::Cancelled { how: "when it was asked to stop".into() } } else { failure };
        self.finish(key, outcome, false)
    }

    fn ask_to_write(&mut self, key: Key, outcome: Outcome) -> Result<News, BadFrame> {
        let running = self.running(key, "end")?;
        if !running.held.asks.transactional || running.writing.is_some() {
            return Err(BadFrame("an end to write where there is none".into()));
        }
        running.writing = Some(outcome);
        Ok(News::ToWrite(key))
    }

    fn kept(&mut self, key: Key) -> Result<News, BadFrame> {
        let outcome = self.written(key)?;
        self.finish(key, outcome, true)
    }

    // Someone else has the job now. The token says so once more when this end is written.
    fn undone(&mut self, key: Key) -> Result<News, BadFrame> {
        self.written(key)?;
        self.finish(key, Outcome::Interrupted, false)
    }

    // Only the statements that it was sent can have been accepted or not.
    fn written(&mut self, key: Key) -> Result<Outcome, BadFrame> {
        let running = self.running(key, "written end")?;
        let outcome = running.writing.take_if(|_| running.answered);
        outcome.ok_or_else(|| BadFrame("a written end that was not to be written".into()))
    }

    fn finish(&mut self, key: Key, outcome: Outcome, written: bool) -> Result<News, BadFrame> {
        let place = self.started.iter().position(|running| running.held.key == key);
        let place = place.ok_or_else(|| BadFrame("the end of a job that it does not run".into()))?;
        let Running { held, since, output, .. } = self.started.remove(place);
        self.forget(&held);
        Ok(News::Ended(Ended { held, started: Some(since), outcome, output, written }))
    }

    // As with a job that it gives back; this one needs other code.
    fn misfit(&mut self, key: Key, why: String) -> Result<Option<News>, BadFrame> {
        if self.recalled.remove(&key) {
            return Ok(None);
        }
        let place = self.pipe.iter().position(|held| held.key == key);
        let held = place.and_then(|place| self.pipe.remove(place));
        let mut held = held.ok_or_else(|| BadFrame("arguments of a job that it does not have".into()))?;
        let asked = held.asked.take();
        self.forget(&held);
        Ok(Some(match asked {
            Some(To::Cancelled) => News::Back(held, To::Cancelled, why),
            _ => News::Ended(Ended {
                held,
                started: None,
                outcome: Outcome::Incompatible { why },
                output: None,
                written: false,
            }),
        }))
    }

    // What runs can be given back only if it was asked for: then its start and the request have crossed.
    fn back(&mut self, key: Key) -> Result<(Held, To), BadFrame> {
        let not_its = || BadFrame("a job given back that was not its to give".into());
        let held = if let Some(place) = self.pipe.iter().position(|held| held.key == key) {
            self.pipe.remove(place)
        } else {
            let crossed = |running: &Running| running.held.key == key && running.held.asked.is_some();
            self.started.iter().position(crossed).map(|place| self.started.remove(place).held)
        };
        let mut held = held.ok_or_else(not_its)?;
        let asked = held.asked.take();
        self.forget(&held);
        Ok((held, asked.unwrap_or(To::Database)))
    }
}
