-- First phase of a rescue: marks workers whose lease has run out. A heartbeat takes the mark back.
-- $1 the worker that asks: it never suspects itself
-- $2 now, or null for the server's clock
-- Gives the newly suspected.
-- Index: gristmill_worker_live.
with clock as materialized (
    select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now
)
update gristmill_worker as worker
set suspect_at = clock.now
from clock
where worker.id <> $1::uuid
    and worker.suspect_at is null
    and worker.lost_at is null
    and worker.stopped_at is null
    and worker.heartbeat_at + worker.lease_seconds * interval '1 second' <= clock.now
returning worker.id::text
