-- How deep each queue is in this minute, unless somebody has written that already: ready and scheduled jobs, and for how long
-- the oldest of those first in their lines has been due. A queue that was not empty a minute ago is told too.
-- $1 now, or null for the server's clock
-- $2 most claim cursors that are looked at
-- $3 a count stops here
-- Gives at least one row, with the minute and how many seconds of it are left; without a queue where there is none to tell.
-- Reads all of gristmill_ready: as many entries of each queue as are counted, once a minute for all workers.
-- Reads all of gristmill_scheduled: as many as are counted, whichever they are.
-- Index: gristmill_ready_claim, one probe a cursor and as many entries of a queue as are counted; gristmill_depth's primary key.
with recursive clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
minute as materialized (
    select date_bin(interval '1 minute', now, timestamptz '2000-01-01 00:00:00+00') as at
    from clock
),
wanted as materialized (
    select minute.at
    from minute
    where not exists (
        select
        from gristmill_depth as depth
        where depth.level = 1
            and depth.at = minute.at
        offset 0
    )
),
claim_cursor as (
    select first.*
    from wanted
    cross join lateral (
        select backend, queue_name, task_name, priority, id, run_after
        from gristmill_ready
        order by backend, queue_name, task_name, priority, deadline, id
        limit 1
    ) as first
    union all
    select next.*
    from claim_cursor
    cross join lateral (
        select backend, queue_name, task_name, priority, id, run_after
        from gristmill_ready
        where (backend, queue_name, task_name, priority)
            > (claim_cursor.backend, claim_cursor.queue_name, claim_cursor.task_name, claim_cursor.priority)
        order by backend, queue_name, task_name, priority, deadline, id
        limit 1
    ) as next
),
page as materialized (
    select *
    from claim_cursor
    limit $2::bigint
),
queue as materialized (
    select distinct backend, queue_name
    from page
),
found as (
    select queue.backend, queue.queue_name, counted.ready, 0 as scheduled, 0.0::double precision as seconds
    from queue
    cross join lateral (
        select count(*) as ready
        from (
            select
            from gristmill_ready as ready
            where ready.backend = queue.backend
                and ready.queue_name = queue.queue_name
            limit $3::bigint
        ) as first
    ) as counted
    union all
    select
        page.backend, page.queue_name, 0, 0,
        extract(epoch from clock.now - greatest(job.enqueued_at, page.run_after))::double precision
    from page
    cross join clock
    cross join lateral (
        select enqueued_at
        from gristmill_job
        where id = page.id
        offset 0
    ) as job
    union all
    select due_later.backend, due_later.queue_name, 0, count(*), 0.0
    from wanted
    cross join lateral (
        select backend, queue_name
        from gristmill_scheduled
        limit $3::bigint
    ) as due_later
    group by due_later.backend, due_later.queue_name
    union all
    select before.backend, before.queue_name, 0, 0, 0.0
    from wanted
    cross join lateral (
        select backend, queue_name
        from gristmill_depth
        where level = 1
            and at = wanted.at - interval '1 minute'
            and (ready > 0 or scheduled > 0)
        offset 0
    ) as before
),
told as (
    select
        backend, queue_name, sum(ready)::bigint as ready, sum(scheduled)::bigint as scheduled, max(seconds) as seconds
    from found
    group by backend, queue_name
)
select
    to_char(minute.at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    extract(epoch from minute.at + interval '1 minute' - clock.now)::double precision,
    told.backend, told.queue_name, told.ready, told.scheduled, greatest(told.seconds, 0)
from minute
cross join clock
left join told on true
order by told.backend, told.queue_name
