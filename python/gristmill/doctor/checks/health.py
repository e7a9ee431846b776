"""I12: schema, workers, and what the database itself needs to stay quick."""

from __future__ import annotations

from datetime import timedelta

from gristmill import __version__
from gristmill.database.schema import SCHEMA_VERSION, is_in_memory
from gristmill.doctor.check import Finding, Question
from gristmill.doctor.examination import Examination
from gristmill.inspect.transactions import OLD_SECONDS, open_transactions
from gristmill.models import Worker

#: A clock that is so far ahead makes leases last longer than they should.
AHEAD = timedelta(minutes=1)
#: Dead rows beyond so many, and so many times the living ones, mean that vacuum does not keep up.
DEAD_ROWS, DEAD_TIMES = 100_000, 5
#: The share of PostgreSQL's queue for NOTIFY beyond which a listener must be stuck.
FULL = 0.5


def schema(examination: Examination) -> list[Finding]:
    """Compares the schema's version with this package's."""
    with examination.reading() as cursor:
        cursor.execute("select max(version) from gristmill_schema")
        ((version,),) = cursor.fetchall()
    if version == SCHEMA_VERSION:
        return []
    sentence = f"the tables are of version {version}, and this package knows version {SCHEMA_VERSION}"
    return [SCHEMA.finding("gristmill_schema", sentence, version=version, known=SCHEMA_VERSION)]


def workers(examination: Examination) -> list[Finding]:
    """Looks at the versions and clocks of living workers."""
    rows = Worker.objects.using(examination.using).filter(pk__in=[worker.id for worker in examination.living])
    found = []
    for row in rows:
        if row.version != __version__:
            sentence = f"{row.label} is of version {row.version}, and this package of version {__version__}"
            found.append(WORKERS.finding(row.id.hex, sentence, version=row.version))
        if row.heartbeat_at > examination.now + AHEAD:
            sentence = f"the heartbeat of {row.label} lies in the future: this database's clock went back"
            found.append(WORKERS.finding(row.id.hex, sentence, heartbeat_at=row.heartbeat_at))
    return found


def indexes(examination: Examination) -> list[Finding]:
    """Finds indexes of ours that PostgreSQL does not use."""
    with examination.reading() as cursor:
        cursor.execute(
            "select index.relname::text, owner.relname::text from pg_index "
            "join pg_class as index on index.oid = indexrelid join pg_class as owner on owner.oid = indrelid "
            "where starts_with(owner.relname::text, 'gristmill_') and pg_table_is_visible(owner.oid) "
            "and not (indisvalid and indisready) limit 100"
        )
        rows = cursor.fetchall()
    return [
        INDEXES.finding(name, f"index {name} of {table} is invalid; reindex index concurrently {name} mends it")
        for name, table in rows
    ]


def dead_rows(examination: Examination) -> list[Finding]:
    """Finds tables of ours that vacuum does not keep up with."""
    with examination.reading() as cursor:
        cursor.execute(
            "select relname::text, n_live_tup, n_dead_tup from pg_stat_user_tables "
            "where starts_with(relname::text, 'gristmill_') and schemaname = any(current_schemas(false)) "
            "and n_dead_tup > %s and n_dead_tup > %s * n_live_tup",
            [DEAD_ROWS, DEAD_TIMES],
        )
        rows = cursor.fetchall()
    return [
        DEAD.finding(table, f"{table} has {dead:,} dead rows and {live:,} living ones: vacuum does not keep up")
        for table, live, dead in rows
    ]


def old_transactions(examination: Examination) -> list[Finding]:
    """Finds what keeps dead rows from being taken away."""
    with examination.reading() as cursor:
        found = [
            OLD.finding(
                f"process {pid}", f"a transaction of process {pid} ({name}) has been open for {seconds:,} s", pid=pid
            )
            for pid, name, seconds in open_transactions(cursor, OLD_SECONDS)
        ]
        cursor.execute(
            "select gid, extract(epoch from clock_timestamp() - prepared)::bigint from pg_prepared_xacts "
            "where database = current_database() and clock_timestamp() - prepared > %s * interval '1 second' limit 10",
            [OLD_SECONDS],
        )
        return found + [
            OLD.finding(gid, f"a prepared transaction has been left for {seconds:,} s") for gid, seconds in cursor
        ]


def notifications(examination: Examination) -> list[Finding]:
    """Looks at how full the queue for NOTIFY is."""
    with examination.reading() as cursor:
        cursor.execute("select pg_notification_queue_usage()")
        ((share,),) = cursor.fetchall()
    if share < FULL:
        return []
    sentence = f"the queue for NOTIFY is {share:.0%} full: a listener is stuck in a transaction"
    return [NOTIFY.finding("NOTIFY", sentence, share=share)]


def journal(examination: Examination) -> list[Finding]:
    """Looks whether the file is in WAL mode."""
    if is_in_memory(examination.connection):
        return []
    with examination.reading() as cursor:
        cursor.execute("pragma journal_mode")
        ((mode,),) = cursor.fetchall()
    if mode == "wal":
        return []
    return [JOURNAL.finding("journal_mode", f"the file is in journal mode {mode}; workers need WAL: run migrate")]


SCHEMA = Question("schema version", "I12", "The tables are of the version that this package knows.", schema)
WORKERS = Question("workers", "I12", "Workers are of this version, and time goes forward.", workers, warning=True)
INDEXES = Question("invalid index", "I12", "Every index is in use.", indexes, warning=True, vendor="postgresql")
DEAD = Question("dead rows", "I12", "Vacuum keeps up.", dead_rows, warning=True, vendor="postgresql")
OLD = Question(
    "old transaction", "I12", "No transaction is open for a quarter of an hour.", old_transactions,
    warning=True, vendor="postgresql",
)  # fmt: skip
NOTIFY = Question("NOTIFY queue", "I12", "Listeners keep up.", notifications, warning=True, vendor="postgresql")
JOURNAL = Question("journal mode", "I12", "The file is in WAL mode.", journal, warning=True, vendor="sqlite")

CHECKS = (SCHEMA, WORKERS, INDEXES, DEAD, OLD, NOTIFY, JOURNAL)
