-- Makes the row of a worker that boots.
-- $1 id, $2 label, $3 host, $4 pid, $5 version, $6 backend, $7 queues, $8 tasks, $9 processes,
-- $10 heartbeat seconds, $11 lease seconds
-- $12 now, or null for the server's clock
-- $13 its id before it was declared lost, or null: what was asked of it then is asked of it still
with clock as materialized (
    select coalesce($12::timestamp at time zone 'utc', clock_timestamp()) as now
)
insert into gristmill_worker (
    id, label, host, pid, version, backend, queues, tasks, processes,
    started_at, heartbeat_at, heartbeat_seconds, lease_seconds, asked, asked_by, asked_at
)
select
    $1::uuid, $2, $3, $4::integer, $5, $6, $7, $8, $9::integer,
    clock.now, clock.now, $10::double precision, $11::double precision, was.asked, was.asked_by, was.asked_at
from clock
left join lateral (
    select asked, asked_by, asked_at
    from gristmill_worker
    where id = $13::uuid
    offset 0
) as was on true
