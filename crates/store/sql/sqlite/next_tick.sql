-- When the next schedule is due, past or to come.
-- ?1 backend
-- ?2 queues that are served, as a list; null is all
-- ?3 queues that are not, as a list
-- ?4 now
-- ?5 names that are left alone, as a list
-- Gives its next nominal instant, null when there is none; and now.
-- Index: gristmill_schedule_due, from the backend's start to the first that is served.
select schedule.next_at, ?4
from (select 1)
left join (
    select next_at
    from gristmill_schedule
    where backend = ?1
        and next_at is not null
        and paused_at is null
        and removed_at is null
        and problem is null
        and (?2 is null or queue_name in (select value from json_each(?2)))
        and queue_name not in (select value from json_each(?3))
        and name not in (select value from json_each(?5))
    order by next_at
    limit 1
) as schedule
