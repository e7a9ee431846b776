-- Schedules that are due, locked until their ticks are settled; what another worker is settling is skipped.
-- $1 backend
-- $2 queues that are served, as a list; null is all
-- $3 queues that are not, as a list
-- $4 now, or null for the server's clock
-- $5 limit
-- $6 name of the only one that is meant; null is all
-- $7 names that are left alone, as a list
-- Gives (name, task name, definition, job, created at, high water, now), those first that have been due longest.
-- Index: gristmill_schedule_due, from the backend's start.
with clock as materialized (
    select coalesce($4::timestamp at time zone 'utc', clock_timestamp()) as now
)
select
    schedule.name,
    schedule.task_name,
    schedule.definition,
    schedule.job,
    to_char(schedule.created_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(schedule.high_water at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char((select now from clock) at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')
from gristmill_schedule as schedule
where schedule.backend = $1
    and schedule.next_at is not null
    and schedule.next_at <= (select now from clock)
    and schedule.paused_at is null
    and schedule.removed_at is null
    and schedule.problem is null
    and ($6 is null or schedule.name = $6)
    and schedule.name not in (select json_array_elements_text($7::json))
    and ($2::json is null or schedule.queue_name in (select json_array_elements_text($2::json)))
    and schedule.queue_name not in (select json_array_elements_text($3::json))
order by schedule.next_at
limit $5::bigint
for update of schedule skip locked
