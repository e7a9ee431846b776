-- Writes down that someone asks for a job of a schedule at this moment; the job is enqueued in the same transaction.
-- $1 backend
-- $2 schedule's name
-- $3 job id
-- $4 now, or null for the server's clock
-- Gives the moment, which is the tick's nominal instant; nothing when that instant is taken: ask again.
-- Index: gristmill_tick's primary key.
with clock as materialized (
    select coalesce($4::timestamp at time zone 'utc', clock_timestamp()) as now
)
insert into gristmill_tick (backend, schedule, nominal, by_hand, found_at, job_id)
select $1, $2, clock.now, true, clock.now, $3::uuid
from clock
on conflict do nothing
returning to_char(nominal at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')
