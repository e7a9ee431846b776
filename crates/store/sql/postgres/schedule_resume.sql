-- Ends the pause of a schedule. Nothing is owed for the time that it was paused.
-- $1 backend
-- $2 name
-- $3 now, or null for the server's clock
-- Gives the schedule's name; nothing when it was not paused.
-- Index: gristmill_schedule's primary key. What has a problem is not due.
with clock as materialized (
    select coalesce($3::timestamp at time zone 'utc', clock_timestamp()) as now
)
update gristmill_schedule as schedule
set paused_at = null,
    paused_reason = null,
    high_water = greatest(schedule.high_water, clock.now),
    next_at = case when schedule.problem is null then clock.now end
from clock
where schedule.backend = $1
    and schedule.name = $2
    and schedule.paused_at is not null
returning schedule.name
