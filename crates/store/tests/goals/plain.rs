//! Jobs that wait for each other, as simply as they can be told: everything in memory, everything at once.

use std::collections::BTreeMap;

use gristmill_core::OnPreconditionFailure;
use gristmill_testkit::gate::{Gate, Verdict};

/// A job's number; its id is made of it.
pub(crate) type Number = usize;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    Waiting {
        held: bool,
        stranded: bool,
    },
    Ready,
    Scheduled,
    Running,
    /// `successful`, `failed` or `cancelled`; and why.
    Ended(&'static str, Option<&'static str>),
}

/// What a dependent's gate takes its precondition for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Seen {
    Open,
    Successful,
    Failed,
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) place: Place,
    /// It has a date far away.
    pub(crate) dated: bool,
    /// In this generation.
    started: bool,
    has_gate: bool,
    needed: Option<u32>,
    on_precondition_failure: OnPreconditionFailure,
    /// Its preconditions; those that do not count ended before its gate was armed.
    edges: BTreeMap<Number, (Seen, bool)>,
}

/// A request for a job.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) after: Vec<Number>,
    pub(crate) needed: Option<u32>,
    pub(crate) on_precondition_failure: OnPreconditionFailure,
    pub(crate) held: bool,
    pub(crate) dated: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    pub(crate) jobs: Vec<Job>,
}

impl Plain {
    pub(crate) fn enqueue(&mut self, new: &New) {
        let number = self.jobs.len();
        let edges: BTreeMap<_, _> = new.after.iter().map(|&precondition| (precondition, (Seen::Open, true))).collect();
        let waits = !edges.is_empty();
        let place = match (waits || new.held, new.dated) {
            (true, _) => Place::Waiting { held: new.held, stranded: false },
            (false, true) => Place::Scheduled,
            (false, false) => Place::Ready,
        };
        let New { needed, on_precondition_failure, dated, .. } = *new;
        self.jobs.push(Job { place, dated, started: false, has_gate: waits, needed, on_precondition_failure, edges });
        self.resolve(number);
    }

    pub(crate) fn start(&mut self, number: Number) {
        self.jobs[number].place = Place::Running;
        self.jobs[number].started = true;
    }

    pub(crate) fn end(&mut self, number: Number, state: &'static str, why: Option<&'static str>) {
        self.jobs[number].place = Place::Ended(state, why);
        self.notify(number);
    }

    /// For these and whatever else it has ever waited for; without them, until a date.
    pub(crate) fn postpone(&mut self, number: Number, after: Option<&[Number]>) {
        let Some(after) = after else {
            self.jobs[number].place = Place::Scheduled;
            self.jobs[number].dated = true;
            return;
        };
        self.jobs[number].place = Place::Waiting { held: false, stranded: false };
        self.jobs[number].dated = false;
        self.jobs[number].has_gate = true;
        for &precondition in after {
            self.jobs[number].edges.entry(precondition).or_insert((Seen::Open, false));
        }
        let counted: Vec<_> = self.jobs[number].edges.keys().copied().collect();
        let counted: Vec<_> =
            counted.into_iter().map(|each| (each, !matches!(self.jobs[each].place, Place::Ended(..)))).collect();
        for (precondition, counts) in counted {
            let seen = self.outcome(precondition);
            self.jobs[number].edges.insert(precondition, (seen, counts));
        }
        self.evaluate(number);
    }

    /// False: it has started or ended.
    pub(crate) fn add(&mut self, number: Number, precondition: Number) -> bool {
        let job = &mut self.jobs[number];
        match job.place {
            Place::Ready | Place::Scheduled if job.started => return false,
            Place::Ready | Place::Scheduled => job.place = Place::Waiting { held: false, stranded: false },
            Place::Waiting { .. } => {}
            _ => return false,
        }
        job.has_gate = true;
        // One that did not count any more does again.
        job.edges.insert(precondition, (Seen::Open, true));
        self.resolve(number);
        true
    }

    /// False: it runs or has ended.
    pub(crate) fn cancel(&mut self, number: Number) -> bool {
        if matches!(self.jobs[number].place, Place::Running | Place::Ended(..)) {
            return false;
        }
        self.end(number, "cancelled", None);
        true
    }

    pub(crate) fn hold(&mut self, number: Number) -> bool {
        match &mut self.jobs[number].place {
            Place::Waiting { held, .. } if !*held => *held = true,
            place @ (Place::Ready | Place::Scheduled) => *place = Place::Waiting { held: true, stranded: false },
            _ => return false,
        }
        true
    }

    pub(crate) fn release(&mut self, number: Number) -> bool {
        match &mut self.jobs[number].place {
            Place::Waiting { held, .. } if *held => *held = false,
            _ => return false,
        }
        self.evaluate(number);
        true
    }

    /// False: it has not ended.
    pub(crate) fn retry(&mut self, number: Number) -> bool {
        let job = &mut self.jobs[number];
        if !matches!(job.place, Place::Ended(..)) {
            return false;
        }
        job.started = false;
        job.dated = false;
        job.place = if job.has_gate { Place::Waiting { held: false, stranded: false } } else { Place::Ready };
        self.notify(number);
        self.evaluate(number);
        true
    }

    /// Whether the one waits for the other, by whatever way: the other may not wait for it then. Circles are asked about
    /// elsewhere; which of their jobs fails is a matter of timing.
    pub(crate) fn waits_for(&self, one: Number, other: Number) -> bool {
        let mut seen = vec![false; self.jobs.len()];
        let mut next = vec![one];
        while let Some(here) = next.pop() {
            if here == other {
                return true;
            }
            next.extend(self.jobs[here].edges.keys().filter(|&&each| !std::mem::replace(&mut seen[each], true)));
        }
        false
    }

    // --- the graph ---------------------------------------------------------------------------------------

    fn outcome(&self, number: Number) -> Seen {
        match self.jobs[number].place {
            Place::Ended("successful", _) => Seen::Successful,
            Place::Ended(..) | Place::Waiting { stranded: true, .. } => Seen::Failed,
            _ => Seen::Open,
        }
    }

    fn resolve(&mut self, number: Number) {
        let preconditions: Vec<_> = self.jobs[number].edges.keys().copied().collect();
        for precondition in preconditions {
            let seen = self.outcome(precondition);
            self.jobs[number].edges.get_mut(&precondition).expect("is there").0 = seen;
        }
        self.evaluate(number);
    }

    fn notify(&mut self, number: Number) {
        let dependents: Vec<_> =
            (0..self.jobs.len()).filter(|&each| self.jobs[each].edges.contains_key(&number)).collect();
        let seen = self.outcome(number);
        for &dependent in &dependents {
            self.jobs[dependent].edges.get_mut(&number).expect("is there").0 = seen;
        }
        for dependent in dependents {
            self.evaluate(dependent);
        }
    }

    fn verdict(&self, number: Number) -> Verdict {
        let job = &self.jobs[number];
        let count = |seen| job.edges.values().filter(|edge| **edge == (seen, true)).count() as u64;
        let Job { needed, on_precondition_failure, .. } = *job;
        let (open, successful, failed) = (count(Seen::Open), count(Seen::Successful), count(Seen::Failed));
        Gate { needed, on_precondition_failure, open, successful, failed }.verdict()
    }

    fn evaluate(&mut self, number: Number) {
        let verdict = self.verdict(number);
        let job = &mut self.jobs[number];
        if !job.has_gate {
            if job.place == (Place::Waiting { held: false, stranded: false }) {
                job.place = if job.dated { Place::Scheduled } else { Place::Ready };
            }
            return;
        }
        match &mut job.place {
            Place::Waiting { held: false, stranded } if verdict == Verdict::Holds => {
                let was_stranded = *stranded;
                job.place = if job.dated { Place::Scheduled } else { Place::Ready };
                if was_stranded {
                    self.notify(number);
                }
            }
            Place::Waiting { .. }
                if verdict == Verdict::Hopeless && job.on_precondition_failure == OnPreconditionFailure::Fail =>
            {
                self.end(number, "failed", Some("precondition failed"));
            }
            Place::Waiting { stranded, .. } if *stranded != (verdict == Verdict::Hopeless) => {
                *stranded = !*stranded;
                self.notify(number);
            }
            Place::Ready | Place::Scheduled if job.needed.is_none() && verdict != Verdict::Holds && !job.started => {
                job.place = Place::Waiting { held: false, stranded: false };
                self.evaluate(number);
            }
            _ => {}
        }
    }
}

impl Job {
    /// As people see it.
    pub(crate) fn state(&self) -> (&'static str, Option<&'static str>) {
        match self.place {
            Place::Waiting { held: true, .. } => ("held", None),
            Place::Waiting { stranded: true, .. } => ("stranded", None),
            Place::Waiting { .. } => ("waiting", None),
            Place::Ready => ("ready", None),
            Place::Scheduled => ("scheduled", None),
            Place::Running => ("running", None),
            Place::Ended(state, why) => (state, why),
        }
    }
}
