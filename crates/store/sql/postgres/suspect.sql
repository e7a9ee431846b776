-- First phase of a rescue: marks workers whose lease has run out. A heartbeat takes the mark back.
-- $1 the worker that asks: it never suspects itself
-- $2 now, or null for the server's clock
-- Gives the newly suspected. One whose row someone holds is looked at again the next time.
-- Index: gristmill_worker_live.
-- Reads all of gristmill_worker: of that index, which holds those that live.
with clock as materialized (
    select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now
),
silent as materialized (
    select worker.id
    from gristmill_worker as worker
    where worker.id <> $1::uuid
        and worker.suspect_at is null
        and worker.lost_at is null
        and worker.stopped_at is null
        and worker.heartbeat_at + worker.lease_seconds * interval '1 second' <= (select now from clock)
    order by worker.id
    for update skip locked
)
update gristmill_worker as worker
set suspect_at = clock.now
from clock
where worker.id = any (array(select id from silent))
returning worker.id::text
