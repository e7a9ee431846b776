//! What the tables promise to who copies them: a restored dump, a fixture.

use gristmill_store::NewJob;

use super::scene::{claim_one, dump, ended, error, job, meddle, number, session, success, worker};
use super::{Fixture, asks};

asks![a_copied_job_is_where_its_own_place_row_says, a_version_that_is_known_is_not_written_twice,];

const COPY: [&str; 3] = [
    "create temp table copied as select * from gristmill_job",
    "delete from gristmill_job",
    "insert into gristmill_job select * from copied",
];

async fn a_copied_job_is_where_its_own_place_row_says(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    let dated = NewJob { run_after: Some(super::scene::at(60)), ..job() };
    session.enqueue(&[job(), job(), job(), dated]).await.expect("enqueues");
    let (done, failed) = (claim_one(&mut session, worker).await, claim_one(&mut session, worker).await);
    session.finish(&[ended(&done, success()), ended(&failed, error())]).await.expect("finishes");
    let before = dump(&mut session).await;

    for statement in COPY {
        meddle(&mut session, statement).await;
    }

    assert_eq!(dump(&mut session).await, before);
}

async fn a_version_that_is_known_is_not_written_twice(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;

    meddle(&mut session, "insert into gristmill_schema (version, name) values (1, 'as it was dumped')").await;

    let as_it_was = "select count(*) from gristmill_schema where name = '0001_initial'";
    assert_eq!(number(&mut session, as_it_was).await, 1);
}
