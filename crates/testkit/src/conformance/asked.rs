//! What asking something of a worker promises.

use gristmill_core::WorkerId;
use gristmill_store::{Asked, NewWorker, Session};

use super::rescue::declare_lost;
use super::scene::{at, new_worker, number, session, worker};
use super::{Fixture, asks};

asks![
    a_worker_hears_what_is_asked_of_it_with_its_next_heartbeat,
    who_is_quiet_may_be_let_claim_again,
    a_stop_is_neither_taken_back_nor_softened,
    nothing_is_asked_of_who_has_ended,
    who_asked_and_when_is_kept,
    what_was_asked_of_a_lost_worker_is_asked_of_its_next_name,
];

fn quiet() -> Asked {
    Asked::Quiet { by: "lea".into() }
}

fn stop() -> Asked {
    Asked::Stop { by: "the deploy".into() }
}

async fn ask(session: &mut Session, worker: WorkerId, asked: &Asked) -> bool {
    session.ask_worker(worker, asked).await.expect("answers")
}

async fn heard(session: &mut Session, worker: WorkerId) -> Asked {
    session.heartbeat(worker).await.expect("beats").expect("lives")
}

async fn a_worker_hears_what_is_asked_of_it_with_its_next_heartbeat(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let (one, other) = (worker(&mut session).await, worker(&mut session).await);
    assert_eq!(heard(&mut session, one).await, Asked::Nothing);

    assert!(ask(&mut session, one, &quiet()).await);

    assert_eq!(heard(&mut session, one).await, quiet());
    assert_eq!(heard(&mut session, one).await, quiet(), "as long as it is asked");
    assert_eq!(heard(&mut session, other).await, Asked::Nothing);
}

async fn who_is_quiet_may_be_let_claim_again(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    assert!(!ask(&mut session, worker, &Asked::Nothing).await, "nothing was asked");
    assert!(ask(&mut session, worker, &quiet()).await);

    assert!(ask(&mut session, worker, &Asked::Nothing).await);

    assert_eq!(heard(&mut session, worker).await, Asked::Nothing);
    assert!(!ask(&mut session, worker, &Asked::Nothing).await);
}

async fn a_stop_is_neither_taken_back_nor_softened(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    assert!(ask(&mut session, worker, &quiet()).await);
    assert!(ask(&mut session, worker, &stop()).await);

    for asked in [Asked::Nothing, quiet(), Asked::Stop { by: "somebody else".into() }] {
        assert!(!ask(&mut session, worker, &asked).await, "{asked:?}");
    }

    assert_eq!(heard(&mut session, worker).await, stop());
}

async fn nothing_is_asked_of_who_has_ended(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let lost = worker(&mut session).await;
    assert_eq!(declare_lost(&mut session).await, [lost]);
    let gone = worker(&mut session).await;
    session.sign_off(gone, 0, None).await.expect("signs off");

    for worker in [lost, gone, WorkerId::new()] {
        assert!(!ask(&mut session, worker, &quiet()).await);
        assert!(!ask(&mut session, worker, &stop()).await);
    }

    assert_eq!(number(&mut session, "select count(*) from gristmill_worker where asked is not null").await, 0);
}

async fn who_asked_and_when_is_kept(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let worker = worker(&mut session).await;
    session.set_now(Some(at(5)));
    assert!(ask(&mut session, worker, &quiet()).await);
    let kept = "select count(*) from gristmill_worker where asked_by = 'lea' and asked_at > started_at";
    assert_eq!(number(&mut session, kept).await, 1);

    assert!(ask(&mut session, worker, &Asked::Nothing).await);

    let nothing = "select count(*) from gristmill_worker where coalesce(asked, asked_by) is null and asked_at is null";
    assert_eq!(number(&mut session, nothing).await, 1);
}

async fn what_was_asked_of_a_lost_worker_is_asked_of_its_next_name(fixture: &dyn Fixture) {
    let mut session = session(fixture).await;
    let before = worker(&mut session).await;
    assert!(ask(&mut session, before, &quiet()).await);
    assert_eq!(declare_lost(&mut session).await, [before]);

    let again = NewWorker { before: Some(before), ..new_worker() };
    session.register(&again).await.expect("registers");

    assert_eq!(heard(&mut session, again.id).await, quiet());
    let third = worker(&mut session).await;
    assert_eq!(heard(&mut session, third).await, Asked::Nothing, "it is another");
}
