-- Where a session is, and as whom it reads and writes: asked of two that have to agree.
-- Gives (database, schema of the queue's tables, number of the table of jobs, role, whether it is encrypted).
-- Index: the catalogue's own; of the server's sessions it looks at this one.
select
    current_database()::text,
    coalesce((select relnamespace::regnamespace::text from pg_class where oid = to_regclass('gristmill_job')), ''),
    coalesce(to_regclass('gristmill_job')::oid::text, ''),
    current_user::text,
    coalesce((select ssl from pg_stat_get_activity(pg_backend_pid())), false)
