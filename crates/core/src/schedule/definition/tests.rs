use super::*;

fn read(json: &str) -> Announced {
    serde_json::from_str(json).expect("is an announced schedule")
}

#[test]
fn what_is_missing_is_the_default_and_what_is_unknown_is_ignored() {
    let short = read(r#"{"name": "n", "task_name": "t", "definition": {"cron": "@daily", "colour": 1}, "shape": []}"#);
    let long = Announced {
        name: "n".into(),
        queue_name: "default".into(),
        task_name: "t".into(),
        definition: Definition { cron: Some("@daily".into()), ..Definition::default() },
        job: JobTemplate::default(),
    };
    assert_eq!(short, long);
    assert_eq!(short.definition.policy(), Policy::default());
}

#[test]
fn every_field_reads_back_as_it_was_written() {
    let full = read(
        r#"{"name": "nightly", "queue_name": "clock", "task_name": "shop.tasks.report",
            "definition": {"cron": "30 8 * * *", "every": null, "timezone": "Europe/Zurich", "catch_up": "all",
                "window": 3600.5, "cap": 7, "overlap": "skip", "jitter": 30, "run_on_creation": true,
                "datetime_kwarg": "at", "args": "[1, 2]", "kwargs": "{\"a\": 1}"},
            "job": {"queue_name": "slow", "priority": -5, "options": {"timeout": 3}, "deadline_after": 60,
                "unique_key": "k", "unique_until": "pruned", "held": true}}"#,
    );
    assert_eq!(read(&serde_json::to_string(&full).expect("has a JSON form")), full);
    let Definition { catch_up, overlap, .. } = full.definition;
    assert_eq!((catch_up, overlap, full.job.unique_until), (CatchUp::All, Overlap::Skip, Some(UniqueUntil::Pruned)));
    let policy = full.definition.policy();
    assert_eq!((policy.window, policy.cap), (Duration::from_millis(3_600_500), 7));
    assert_eq!(full.definition.jitter(), Duration::from_secs(30));
    assert_eq!(full.job.deadline_after(), Some(Duration::from_mins(1)));
}

#[test]
fn a_definition_has_one_rule() {
    let both = Definition { cron: Some("@daily".into()), every: Some(5.0), ..Definition::default() };
    for odd in [Definition::default(), both] {
        assert_eq!(odd.schedule(), Err(Error::Rule));
    }
    let every = |seconds| Definition { every: Some(seconds), ..Definition::default() }.schedule();
    assert_eq!(every(1.1), Schedule::every(Duration::from_millis(1_100)));
    // The nearest number to this many seconds is some nanoseconds off.
    assert_eq!(every(30_000_000.1), Schedule::every(Duration::from_millis(30_000_000_100)));
    for odd in [f64::NAN, f64::INFINITY, -1.0, 0.0, 0.999, 1e300] {
        assert!(matches!(every(odd), Err(Error::Period(_))), "{odd}");
    }
}

#[test]
fn an_error_of_a_definition_is_a_sentence() {
    let nowhere = Definition { cron: Some("@daily".into()), timezone: "Mars/Base".into(), ..Definition::default() };
    let told = nowhere.schedule().expect_err("there is no such zone").to_string();
    assert!(told.starts_with("'Mars/Base' is no time zone"), "{told}");
}

#[test]
fn no_number_makes_a_plan_without_a_bound() {
    let wild = Definition { window: Some(f64::MAX), cap: Some(u32::MAX), jitter: f64::NAN, ..Definition::default() };
    assert_eq!(wild.policy().cap, MOST_LISTED);
    assert!(wild.policy().window <= Duration::from_secs_f64(LONGEST));
    assert_eq!(wild.jitter(), Duration::ZERO);
}
