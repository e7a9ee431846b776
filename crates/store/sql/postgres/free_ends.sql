-- Locks what the ends of attempts take away, but for what someone else holds: runs before finish.sql in its transaction,
-- which then waits for nobody.
-- $1 attempts, as finish.sql reads them
-- $2 now, or null for the server's clock
-- Gives the (id, token) of those that someone stands in the way of: their ends are written another time.
-- Index: primary keys and gristmill_unique_key_job, some probes an attempt.
with clock as materialized (
    select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now
),
ended as materialized (
    select *
    from json_to_recordset($1::json) as ended (id uuid, token bigint, worker_id uuid, next text)
),
open as materialized (
    select running.id, running.token, ended.next
    from ended
    cross join lateral (
        select id, token
        from gristmill_running
        where id = ended.id
            and token = ended.token
            -- Not by "=": the index of workers would do for that, and have every job of this one looked at for each.
            and worker_id is not distinct from ended.worker_id
        offset 0
    ) as running
),
free as materialized (
    select running.id, open.next
    from open
    cross join lateral (
        select id
        from gristmill_running
        where id = open.id
        for update skip locked
    ) as running
),
held_key as materialized (
    select held.key, held.job_id
    from free
    cross join lateral (
        select key, job_id
        from gristmill_unique_key
        where job_id = free.id
            and until <> 'pruned'
            and (expires_at is null or expires_at > (select now from clock))
        offset 0
    ) as held
),
free_key as materialized (
    select held.key
    from held_key
    cross join lateral (
        select key
        from gristmill_unique_key
        where key = held_key.key
        for update skip locked
    ) as held
),
held_gate as materialized (
    select gate.job_id
    from free
    cross join lateral (
        select job_id
        from gristmill_gate
        where job_id = free.id
        offset 0
    ) as gate
    where free.next = 'waiting'
),
free_gate as materialized (
    select gate.job_id
    from held_gate
    cross join lateral (
        select job_id
        from gristmill_gate
        where job_id = held_gate.job_id
        for update skip locked
    ) as gate
),
held_request as materialized (
    select request.job_id
    from free
    cross join lateral (
        select job_id
        from gristmill_cancel_request
        where job_id = free.id
        offset 0
    ) as request
),
free_request as materialized (
    select request.job_id
    from held_request
    cross join lateral (
        select job_id
        from gristmill_cancel_request
        where job_id = held_request.job_id
        for update skip locked
    ) as request
)
select open.id::text, open.token
from open
where open.id not in (select id from free)
    or open.id in (select job_id from held_key where key not in (select key from free_key))
    or open.id in (select job_id from held_gate where job_id not in (select job_id from free_gate))
    or open.id in (select job_id from held_request where job_id not in (select job_id from free_request))
