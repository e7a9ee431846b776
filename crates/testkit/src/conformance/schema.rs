//! What the tables promise.

use gristmill_store::testing::check;
use gristmill_store::{Dialect, Error};

use super::{Fixture, asks};

asks![
    the_schema_is_the_one_that_is_kept,
    a_database_without_tables_is_refused,
    a_database_of_another_version_is_refused,
    a_session_says_where_it_is,
];

/// Set it to write `schema/<database>.sql` anew instead of comparing with it.
const UPDATE: &str = "GRISTMILL_UPDATE_SCHEMA";

async fn the_schema_is_the_one_that_is_kept(fixture: &dyn Fixture) {
    let mut session = fixture.session().await;
    let found = session.dump_schema().await.expect("dumps");
    let name = session.dialect().name();
    let path = format!("{}/../store/schema/{name}.sql", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &found).expect("writes");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == found, "the schema has changed; if it should, set {UPDATE}=1 and run this again:\n{found}");
}

async fn a_database_without_tables_is_refused(fixture: &dyn Fixture) {
    let mut session = fixture.session().await;
    session.connection().run("drop table gristmill_schema", &[]).await.expect("drops");

    let refused = check(&mut session).await;

    assert!(matches!(&refused, Err(Error::Schema(why)) if why.contains("manage.py migrate")), "{refused:?}");
}

async fn a_database_of_another_version_is_refused(fixture: &dyn Fixture) {
    let mut session = fixture.session().await;
    for (version, advice) in [
        ("insert into gristmill_schema (version, name) values (1000, 'of tomorrow')", "upgrade this program"),
        ("update gristmill_schema set version = version - 1000", "manage.py migrate"),
    ] {
        session.connection().run(version, &[]).await.expect("updates");

        let refused = check(&mut session).await;

        assert!(matches!(&refused, Err(Error::Schema(why)) if why.contains(advice)), "{refused:?}");
    }
}

async fn a_session_says_where_it_is(fixture: &dyn Fixture) {
    let (mut session, mut other) = (fixture.session().await, fixture.session().await);
    let found = session.whereabouts().await.expect("asks");
    if session.dialect() == Dialect::Sqlite {
        assert_eq!(found, None);
        return;
    }
    let found = found.expect("is somewhere");
    assert_eq!((found.schema.as_str(), found.encrypted), ("public", false));
    assert!(!found.database.is_empty() && !found.role.is_empty() && !found.table.is_empty(), "{found:?}");

    session.connection().run("create schema decoy", &[]).await.expect("creates");
    session.connection().run("create table decoy.gristmill_job (id uuid)", &[]).await.expect("creates");
    let decoyed = "select set_config('search_path', 'decoy, public', false)";
    other.connection().run(decoyed, &[]).await.expect("sets");
    let decoyed = other.whereabouts().await.expect("asks").expect("is somewhere");

    assert_eq!(found.difference(&decoyed).as_deref(), Some("schema: public there, decoy here"));
}
