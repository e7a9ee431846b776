//! What a runner may say, and what follows from it for the jobs it has.

use std::time::Instant;

use gristmill_core::{Outcome, Progress};

use super::{Assigned, Ended, Lingering, News, Runner, Running, Stage, To};
use crate::clock::instant_of;
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
                FromRunner::Hello(pid) if !self.up => {
                    self.up = true;
                    self.pid.get_or_insert(pid);
                    news.push(News::Up);
                }
                FromRunner::Hello(_) => return Err(BadFrame("a second hello".into())),
                FromRunner::Started(key, at) => self.start(key, at, false)?,
                FromRunner::Preparing(key, at) => self.start(key, at, true)?,
                FromRunner::Output(key, text) => news.extend(self.output(key, text)?),
                FromRunner::Progress(key, report) => news.push(self.progress(key, report)?),
                FromRunner::Asking(key, failure) => self.asking(key, failure)?,
                FromRunner::Ended(key, outcome) => news.push(self.end(key, outcome)?),
                FromRunner::Cancelled(key, failure) => news.push(self.stopped(key, failure)?),
                FromRunner::ToWrite(key, outcome) => news.push(self.ask_to_write(key, outcome)?),
                FromRunner::Kept(key) => news.push(self.kept(key)?),
                FromRunner::Undone(key) => news.push(self.undone(key)?),
                FromRunner::Lingers(key, asks) => self.lingers(key, asks)?,
                FromRunner::Rested(key) => news.push(self.rested(key)?),
                FromRunner::Leaving(None) => {
                    self.leaving = true;
                    news.push(News::Leaving(None));
                }
                FromRunner::Leaving(Some(key)) => {
                    self.running(key, "stay")?;
                    self.leaving = true;
                    self.goes_on = Some(key);
                }
                FromRunner::Incompatible(key, why) => news.extend(self.misfit(key, why)?),
                FromRunner::Back(key, why) => {
                    if !self.recalled.remove(&key) {
                        let (assigned, to) = self.back(key)?;
                        news.push(News::Back(assigned, to, why));
                    }
                }
            }
        }
    }

    // In order where one runs after the other; those that run side by side may overtake each other.
    fn start(&mut self, key: Key, at: u64, prepares: bool) -> Result<(), BadFrame> {
        if self.recalled.contains(&key) {
            return Ok(());
        }
        if let Some(running) = self.running_job(key) {
            return running.begin(instant_of(at), prepares);
        }
        let place = self.pipe.iter().position(|assigned| assigned.key == key);
        let assigned = match place {
            Some(place) if self.pipe[place].is_async => self.pipe.remove(place),
            Some(0) if self.started.is_empty() && self.lingering.is_empty() => self.pipe.pop_front(),
            _ => None,
        };
        let assigned = assigned.ok_or_else(|| BadFrame("the start of a job that was not its to start".into()))?;
        let since = instant_of(at).clamp(assigned.taken, Instant::now());
        let stage = if prepares { Stage::Preparing(since) } else { Stage::Handling(since) };
        self.started.push(Running::new(assigned, since, stage));
        Ok(())
    }

    fn asking(&mut self, key: Key, failure: Outcome) -> Result<(), BadFrame> {
        let running = self.running(key, "end")?;
        if !matches!(running.stage, Stage::Handling(_)) {
            return Err(BadFrame("a question about an end that has been asked".into()));
        }
        running.stage = Stage::Asking(Instant::now(), failure);
        Ok(())
    }

    pub(super) fn running(&mut self, key: Key, what: &str) -> Result<&mut Running, BadFrame> {
        self.running_job(key).ok_or_else(|| BadFrame(format!("the {what} of a job that it does not run")))
    }

    // Of what lingers it is added to what was said of it; of what runs the newest counts.
    fn output(&mut self, key: Key, text: String) -> Result<Option<News>, BadFrame> {
        if self.lingering().iter().any(|lingering| lingering.key == key) {
            return Ok(Some(News::Noted(key, text)));
        }
        self.running(key, "output")?.output = Some(text);
        Ok(None)
    }

    fn progress(&mut self, key: Key, report: Report) -> Result<News, BadFrame> {
        let running = self.running(key, "progress")?;
        running.reports = running.reports.saturating_add(1);
        // By the whole time it ran, so that reports which lay in the socket for long are not too many.
        if f64::from(running.reports) > f64::from(REPORTS) * (1.0 + running.since.elapsed().as_secs_f64()) {
            return Err(BadFrame("more progress than a job may report".into()));
        }
        let claimed = &running.assigned.claimed;
        let (job, token) = (claimed.id, claimed.token);
        let Report { done, total, message, metadata } = report;
        Ok(News::Progress(Progress { job, token, done, total, message, metadata }))
    }

    fn end(&mut self, key: Key, outcome: Outcome) -> Result<News, BadFrame> {
        let undone = matches!(outcome, Outcome::Conflict { .. } | Outcome::Interrupted);
        let is_failure = undone || matches!(outcome, Outcome::Failed { .. });
        let running = self.running(key, "end")?;
        if undone && !running.assigned.asks.transactional {
            return Err(BadFrame("a transaction undone where there is none".into()));
        }
        if running.writing.is_some() && !is_failure {
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
        if !running.assigned.asks.transactional || running.writing.is_some() {
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
        let place = self.started.iter().position(|running| running.assigned.key == key);
        let place = place.ok_or_else(|| BadFrame("the end of a job that it does not run".into()))?;
        if self.goes_on == Some(key) && !written {
            // Whatever its task was asked has been answered.
            self.started[place].stage = Stage::Handling(self.started[place].since);
            return Ok(News::Leaving(Some((key, outcome))));
        }
        let Running { assigned, since, output, lingers, .. } = self.started.remove(place);
        self.forget(&assigned);
        self.lingering.extend(lingers.map(|asks| Lingering::new(&assigned, since, asks)));
        Ok(News::Ended(Ended { assigned, started: Some(since), outcome, output, written, lingers }))
    }

    // As with a job that it gives back; this one needs other code.
    fn misfit(&mut self, key: Key, why: String) -> Result<Option<News>, BadFrame> {
        if self.recalled.remove(&key) {
            return Ok(None);
        }
        let place = self.pipe.iter().position(|assigned| assigned.key == key);
        let assigned = place.and_then(|place| self.pipe.remove(place));
        let mut assigned = assigned.ok_or_else(|| BadFrame("arguments of a job that it does not have".into()))?;
        let asked = assigned.asked.take();
        self.forget(&assigned);
        Ok(Some(match asked {
            Some(To::Cancelled) => News::Back(assigned, To::Cancelled, why),
            _ => News::Ended(Ended {
                assigned,
                started: None,
                outcome: Outcome::Incompatible { why },
                output: None,
                written: false,
                lingers: None,
            }),
        }))
    }

    // What runs can be given back only if it was asked for: then its start and the request have crossed.
    fn back(&mut self, key: Key) -> Result<(Assigned, To), BadFrame> {
        let not_its = || BadFrame("a job given back that was not its to give".into());
        let assigned = if let Some(place) = self.pipe.iter().position(|assigned| assigned.key == key) {
            self.pipe.remove(place)
        } else {
            let crossed = |running: &Running| running.assigned.key == key && running.assigned.asked.is_some();
            self.started.iter().position(crossed).map(|place| self.started.remove(place).assigned)
        };
        let mut assigned = assigned.ok_or_else(not_its)?;
        let asked = assigned.asked.take();
        self.forget(&assigned);
        Ok((assigned, asked.unwrap_or(if self.leaving { To::Queue } else { To::Database })))
    }
}
