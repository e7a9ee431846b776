//! What the people of the simulated world do with jobs that wait for others: they ask for them, have jobs wait for more,
//! and look after those that cannot go on.

use gristmill_core::{JobId, OnPreconditionFailure};
use gristmill_store::NewJob;

use super::gates;
use super::world::World;

impl World {
    /// Has some of these wait for jobs in any place: those that were there before, and those that are made with them.
    pub(super) fn let_them_wait(&mut self, jobs: &mut [NewJob]) {
        let known = self.oracle.known_ids();
        for at in 0..jobs.len() {
            if self.rng.u32(0..5) >= 2 {
                continue;
            }
            // One with a key may turn out to be there, under another id.
            let made: Vec<JobId> = jobs[..at].iter().filter(|job| job.unique_key.is_none()).map(|job| job.id).collect();
            let mut after = if self.rng.bool() && !made.is_empty() { made } else { [made, known.clone()].concat() };
            self.rng.shuffle(&mut after);
            after.truncate(self.rng.usize(1..5));
            if after.is_empty() {
                continue;
            }
            let job = &mut jobs[at];
            job.after = after;
            job.needed = [None, None, Some(1), Some(2)][self.rng.usize(0..4)];
            job.on_precondition_failure =
                [OnPreconditionFailure::Strand, OnPreconditionFailure::Proceed, OnPreconditionFailure::Fail]
                    [self.rng.usize(0..3)];
            job.options_json = Some(with_goals(job));
            self.tally.waited += 1;
        }
    }

    /// Has a job that has not started wait for another one too, which may close a circle.
    pub(super) async fn add_preconditions(&mut self) -> Result<(), String> {
        let ids = self.some_of(self.oracle.alive_ids());
        let Some(&job) = ids.first() else { return Ok(()) };
        let after = self.some_of(self.oracle.known_ids());
        let acted = self.session().await.add_preconditions(job, &after, "someone").await.expect("adds");
        for acted in acted {
            assert!(acted.done == "added" || acted.done.starts_with("refused"), "{}", acted.done);
            self.tally.added += u64::from(acted.done == "added");
        }
        self.look().await
    }

    /// Looks after the jobs that are stranded: retries what failed above them, or gives them up.
    pub(super) async fn look_after_stranded(&mut self) -> Result<(), String> {
        for job in self.some_of(self.oracle.stranded_ids()) {
            if self.rng.u32(0..3) == 0 {
                self.cancel_these(&[job]).await?;
            } else {
                let failed = gates::failed_preconditions(&self.shared, job).await;
                self.retry_these(&failed).await?;
            }
        }
        Ok(())
    }
}

fn with_goals(job: &NewJob) -> String {
    let mut options: serde_json::Map<String, serde_json::Value> =
        job.options_json.as_deref().map(|json| serde_json::from_str(json).expect("options")).unwrap_or_default();
    if let Some(needed) = job.needed {
        options.insert("needed".into(), needed.into());
    }
    if job.on_precondition_failure != OnPreconditionFailure::Strand {
        options.insert("on_precondition_failure".into(), job.on_precondition_failure.word().into());
    }
    serde_json::Value::Object(options).to_string()
}
