-- Second phase of a rescue: declares suspects lost that kept silent for three of their own heartbeats.
-- $1 the worker that asks: it never declares itself
-- $2 now, or null for the server's clock
-- Gives the newly lost. From here on they claim nothing and their heartbeats are refused. One whose row someone holds is
-- looked at again the next time.
-- Index: gristmill_worker_live.
-- Reads all of gristmill_worker: of that index, which holds those that live.
with clock as materialized (
    select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now
),
silent as materialized (
    select worker.id
    from gristmill_worker as worker
    where worker.id <> $1::uuid
        and worker.lost_at is null
        and worker.stopped_at is null
        and worker.suspect_at + worker.heartbeat_seconds * interval '3 seconds' <= (select now from clock)
        and worker.heartbeat_at < worker.suspect_at
    order by worker.id
    for update skip locked
)
update gristmill_worker as worker
set lost_at = clock.now,
    idle = false
from clock
where worker.id = any (array(select id from silent))
returning worker.id::text
