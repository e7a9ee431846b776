-- When the next schedule is due, past or to come.
-- $1 backend
-- $2 queues that are served, as a list; null is all
-- $3 queues that are not, as a list
-- $4 now, or null for the server's clock
-- $5 names that are left alone, as a list
-- Gives its next nominal instant, null when there is none; and now.
-- Index: gristmill_schedule_due, from the backend's start to the first that is served.
with clock as materialized (
    select coalesce($4::timestamp at time zone 'utc', clock_timestamp()) as now
)
select
    to_char(schedule.next_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(clock.now at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')
from clock
left join lateral (
    select next_at
    from gristmill_schedule
    where backend = $1
        and next_at is not null
        and paused_at is null
        and removed_at is null
        and problem is null
        and ($2::json is null or queue_name in (select json_array_elements_text($2::json)))
        and queue_name not in (select json_array_elements_text($3::json))
        and name not in (select json_array_elements_text($5::json))
    order by next_at
    limit 1
) as schedule on true
