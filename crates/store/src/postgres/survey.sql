-- Every band that has a ready job, after a given one and in order of the index, with its first job's deadline; and whether an
-- errand is due. A band of a paused queue is named too, so that a full page shows, and says so.
-- $1 backend, $2 queue_name, $3 task_name, $4 priority of the last band already known
-- $5 limit
-- $6 now, or null for the server's clock
-- $7 seconds: a band whose first job has a later deadline than that from now is as good as paused; null for any
-- Gives at least one row; one without a band when there is none.
-- Index: gristmill_ready_claim, one probe a band: each step asks for the first row behind the whole band before it;
-- gristmill_errand_due, one probe a kind.
with recursive band as (
    (
        select backend, queue_name, task_name, priority, deadline
        from gristmill_ready
        where (backend, queue_name, task_name, priority) > ($1, $2, $3, $4::smallint)
        order by backend, queue_name, task_name, priority, deadline, id
        limit 1
    )
    union all
    select next.*
    from band
    cross join lateral (
        select backend, queue_name, task_name, priority, deadline
        from gristmill_ready
        where (backend, queue_name, task_name, priority)
            > (band.backend, band.queue_name, band.task_name, band.priority)
        order by backend, queue_name, task_name, priority, deadline, id
        limit 1
    ) as next
),
page as materialized (
    select *
    from band
    limit $5::bigint
),
clock as materialized (
    select coalesce($6::timestamp at time zone 'utc', clock_timestamp()) as now
),
errands as materialized (
    select
        exists (select from gristmill_errand where kind = 'spread' and due_at <= clock.now)
        or exists (select from gristmill_errand where kind = 'settle' and due_at <= clock.now)
        or exists (select from gristmill_errand where kind = 'judge' and due_at <= clock.now)
        or exists (select from gristmill_errand where kind = 'hurry' and due_at <= clock.now) as are_due
    from clock
)
select
    errands.are_due,
    page.backend,
    page.queue_name,
    page.task_name,
    page.priority::bigint,
    to_char(page.deadline at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    exists (
        select
        from gristmill_queue as paused
        where paused.backend = page.backend
            and paused.queue_name = page.queue_name
    )
    or coalesce(page.deadline > clock.now + interval '1 second' * $7::double precision, false)
from errands
cross join clock
left join page on true
