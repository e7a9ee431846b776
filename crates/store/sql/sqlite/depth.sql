-- How deep each queue is in this minute, unless somebody has written that already: ready and scheduled jobs, and for how long
-- the oldest of those first in their lines has been due. A queue that was not empty a minute ago is told too.
-- ?1 now
-- ?2 most claim cursors that are looked at
-- ?3 a count stops here
-- Gives at least one row, with the minute and how many seconds of it are left; without a queue where there is none to tell.
-- Index: gristmill_ready_claim, four probes a cursor at most and as many entries of a queue as are counted;
-- gristmill_scheduled_promote, as many as are counted; gristmill_depth's primary key.
-- survey.sql says why a step carries an id.
with recursive minute (at, left_seconds) as (
    select strftime('%Y-%m-%d %H:%M:00', ?1) || '.000000', 60.0 - cast(strftime('%f', ?1) as real)
),
wanted (at) as materialized (
    select minute.at
    from minute
    where not exists (select 1 from gristmill_depth where level = 1 and at = minute.at)
),
head (id) as (
    select (
        select id
        from gristmill_ready
        where backend >= ''
        order by backend, queue_name, task_name, priority, deadline, id
        limit 1
    )
    from wanted
    union all
    select coalesce(
        (
            select id
            from gristmill_ready
            where backend = last.backend
                and queue_name = last.queue_name
                and task_name = last.task_name
                and priority > last.priority
            order by priority, deadline, id
            limit 1
        ),
        (
            select id
            from gristmill_ready
            where backend = last.backend
                and queue_name = last.queue_name
                and task_name > last.task_name
            order by task_name, priority, deadline, id
            limit 1
        ),
        (
            select id
            from gristmill_ready
            where backend = last.backend
                and queue_name > last.queue_name
            order by queue_name, task_name, priority, deadline, id
            limit 1
        ),
        (
            select id
            from gristmill_ready
            where backend > last.backend
            order by backend, queue_name, task_name, priority, deadline, id
            limit 1
        )
    )
    from head
    cross join gristmill_ready as last
    where last.id = head.id
    limit ?2
),
page as materialized (
    select first.backend, first.queue_name, first.id, first.run_after
    from head
    cross join gristmill_ready as first
    where first.id = head.id
),
queue as (
    select distinct backend, queue_name
    from page
),
found (backend, queue_name, ready, scheduled, seconds) as (
    select
        queue.backend, queue.queue_name,
        (
            select count(*)
            from (
                select 1
                from gristmill_ready as ready
                where ready.backend = queue.backend
                    and ready.queue_name = queue.queue_name
                limit ?3
            )
        ),
        0, 0.0
    from queue
    union all
    select
        page.backend, page.queue_name, 0, 0,
        (julianday(?1) - julianday(max(job.enqueued_at, coalesce(page.run_after, job.enqueued_at)))) * 86400.0
    from page
    cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
    where job.id = page.id
    union all
    select backend, queue_name, 0, count(*), 0.0
    from (
        select scheduled.backend, scheduled.queue_name
        from wanted
        cross join gristmill_scheduled as scheduled indexed by gristmill_scheduled_promote
        where scheduled.run_after >= ''
        order by scheduled.run_after, scheduled.id
        limit ?3
    )
    group by backend, queue_name
    union all
    select depth.backend, depth.queue_name, 0, 0, 0.0
    from wanted
    cross join gristmill_depth as depth
    where depth.level = 1
        and depth.at = strftime('%Y-%m-%d %H:%M:00', ?1, '-60 seconds') || '.000000'
        and (depth.ready > 0 or depth.scheduled > 0)
),
told as (
    select backend, queue_name, sum(ready) as ready, sum(scheduled) as scheduled, max(seconds) as seconds
    from found
    group by backend, queue_name
)
select
    minute.at, minute.left_seconds, told.backend, told.queue_name, told.ready, told.scheduled, max(told.seconds, 0.0)
from minute
left join told
order by told.backend, told.queue_name
