use proptest::prelude::*;

use super::*;
use crate::{Counts, JobId, Misfits, Moment, Reason, StoredOptions, Token, WorkerId};

fn claimed(task_name: &str) -> Claimed {
    Claimed {
        id: JobId::new(),
        token: Token(1),
        lane: Lane { backend: "default".into(), queue_name: "mail".into(), task_name: task_name.into() },
        priority: 0,
        deadline: Moment("2026-01-08 00:00:00.000000".into()),
        run_after: None,
        enqueued_at: Moment("2026-01-01 00:00:00.000000".into()),
        claimed_at: Moment("2026-01-01 00:02:00.000000".into()),
        started_at: None,
        generation: 1,
        counts: Counts::default(),
        misfits: Misfits::default(),
        args: "[]".into(),
        kwargs: "{}".into(),
        stored_options: StoredOptions::default(),
        worker_id: WorkerId::new(),
    }
}

fn ran(claimed: Claimed, outcome: Outcome) -> Attempt {
    Attempt { started_after: Some(Duration::from_secs(1)), ..Attempt::unstarted(claimed, outcome) }
}

fn success() -> Outcome {
    Outcome::Successful { return_value: "null".into() }
}

fn error() -> Outcome {
    let mut outcome = Outcome::failed(Reason::Error, "builtins.ValueError", "");
    if let Outcome::Failed { classes, .. } = &mut outcome {
        classes.push("builtins.Exception".into());
    }
    outcome
}

const TOOK: Option<Duration> = Some(Duration::from_secs(31));

fn counted(attempts: &[(Attempt, bool)]) -> Vec<(Beat, Tally)> {
    let mut pulse = Pulse::default();
    for (attempt, cancelled) in attempts {
        pulse.count(attempt, TOOK, *cancelled);
    }
    pulse.into_tallies()
}

/// The only bucket that has any, by its upper bound in seconds.
fn bucket(histogram: &Histogram) -> Option<f64> {
    let at = histogram.buckets.iter().position(|count| *count > 0)?;
    #[expect(clippy::cast_precision_loss)]
    Some(BOUNDS_MS.get(at).map_or(f64::INFINITY, |bound| *bound as f64 / 1_000.0))
}

#[test]
fn an_attempt_counts_how_long_it_was_due_and_how_long_it_ran() {
    let tallies = counted(&[(ran(claimed("send"), success()), false)]);

    let [(beat, tally)] = tallies.as_slice() else { panic!("{tallies:?}") };
    assert_eq!((beat.outcome.as_str(), tally.attempts), ("successful", 1));
    assert!((tally.waits.seconds - 121.0).abs() < 1e-9 && (tally.runs.seconds - 30.0).abs() < 1e-9, "{tally:?}");
    assert_eq!((bucket(&tally.waits), bucket(&tally.runs)), (Some(300.0), Some(60.0)));
}

#[test]
fn a_wait_counts_from_the_date_that_a_job_was_to_run_after() {
    let dated = Claimed { run_after: Some(Moment("2026-01-01 00:01:58.000000".into())), ..claimed("send") };
    let first = Some(Moment("2026-01-01 00:00:30.000000".into()));
    let retried_later = Claimed { started_at: first.clone(), ..dated.clone() };
    let retried_at_once = Claimed { started_at: first, ..claimed("send") };

    for (claimed, waits) in [(dated, 3.0), (retried_later, 3.0), (retried_at_once, 0.0)] {
        let (_, tally) = counted(&[(ran(claimed, success()), false)]).remove(0);
        assert!((tally.waits.seconds - waits).abs() < 1e-9, "{tally:?}");
    }
}

#[test]
fn a_failure_after_which_the_job_goes_on_is_a_retry_and_a_cancel_request_wins() {
    let retries = StoredOptions::of(Some(r#"{"max_attempts": 2}"#.into()));
    let goes_on = Claimed { stored_options: retries, ..claimed("send") };
    let tallies = counted(&[
        (ran(claimed("send"), error()), false),
        (ran(goes_on.clone(), error()), false),
        (ran(goes_on, error()), true),
        (Attempt::unstarted(claimed("send"), Outcome::HandedBack), false),
        (Attempt::unstarted(claimed("send"), Outcome::Expired), false),
    ]);

    let words: Vec<_> = tallies.iter().map(|(beat, tally)| (beat.outcome.as_str(), tally.attempts)).collect();
    assert_eq!(words, [("cancelled", 1), ("expired", 1), ("failed", 1), ("retried", 1)]);
    assert_eq!(tallies[1].1.runs, Histogram::default(), "what never started has not run");
}

#[test]
fn however_many_tasks_there_are_memory_is_bounded_and_nothing_is_lost() {
    let mut pulse = Pulse::default();
    for task in 0..LANES * 3 {
        pulse.count(&ran(claimed(&format!("task {task}")), success()), TOOK, false);
    }

    let tallies = pulse.into_tallies();
    assert_eq!(tallies.len(), LANES + 1);
    assert_eq!(tallies.iter().map(|(_, tally)| tally.attempts).sum::<u64>(), 3 * LANES as u64);
    assert_eq!((tallies[0].0.lane.task_name.as_str(), tallies[0].1.attempts), ("", 2 * LANES as u64));
}

#[test]
fn a_stored_histogram_is_short_and_what_is_none_reads_as_nothing() {
    let mut histogram = Histogram::default();
    assert_eq!(histogram.stored(), None);
    histogram.add(Duration::from_micros(900));
    histogram.add(Duration::from_millis(1));
    histogram.add(Duration::from_micros(1_001));
    assert_eq!(histogram.stored().as_deref(), Some("[2,1]"));
    for broken in [None, Some(""), Some("{}"), Some("[-1]"), Some("[1.5]")] {
        assert_eq!(Histogram::read(broken, 0.0), Histogram::default());
    }
}

proptest! {
    #[test]
    fn each_duration_is_in_the_bucket_whose_bounds_it_lies_between(millis in 0u64..200_000_000) {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_millis(millis));
        let at = histogram.buckets.iter().position(|count| *count == 1).expect("is in one");
        prop_assert!(at == BOUNDS_MS.len() || millis <= BOUNDS_MS[at]);
        prop_assert!(at == 0 || millis > BOUNDS_MS[at - 1]);
    }

    #[test]
    fn histograms_that_are_stored_and_merged_are_as_one_that_took_all_in(
        left in prop::collection::vec(0u64..200_000_000, 0..50),
        right in prop::collection::vec(0u64..200_000_000, 0..50),
    ) {
        let of = |millis: &[u64]| {
            let mut histogram = Histogram::default();
            for millis in millis {
                histogram.add(Duration::from_millis(*millis));
            }
            histogram
        };
        let (mut merged, other) = (of(&left), of(&right));
        merged.merge(&Histogram::read(other.stored().as_deref(), other.seconds));
        let all = of(&[left, right].concat());
        prop_assert_eq!(merged.buckets, all.buckets);
        prop_assert!((merged.seconds - all.seconds).abs() < 1e-3);
    }
}
