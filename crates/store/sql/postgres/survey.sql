-- Every claim cursor that has a ready job, after a given one and in order of the index, with its first job's deadline; and
-- whether a propagation is due. One of a paused queue is named too, so that a full page shows, and says so.
-- $1 backend, $2 queue_name, $3 task_name, $4 priority of the last cursor already known
-- $5 limit
-- $6 now, or null for the server's clock
-- $7 seconds: a cursor whose first job has a later deadline than that from now is as good as paused; null for any
-- $8 whether it is asked if something is under way: a propagation, due or not, an attempt whose end a job waits for, or one
--    of a worker that is suspected or gone, whose job will be ready again
-- Gives at least one row; one without a cursor when there is none.
-- Index: gristmill_ready_claim, one probe a cursor: each step asks for the first row behind all those of the cursor before it;
-- gristmill_propagation_due, one probe a kind.
-- Reads all of gristmill_running: only where it is asked what is under way, up to the first that is; one row for each job
-- that runs just now, on all machines.
with recursive claim_cursor as (
    (
        select backend, queue_name, task_name, priority, deadline
        from gristmill_ready
        where (backend, queue_name, task_name, priority) > ($1, $2, $3, $4::smallint)
        order by backend, queue_name, task_name, priority, deadline, id
        limit 1
    )
    union all
    select next.*
    from claim_cursor
    cross join lateral (
        select backend, queue_name, task_name, priority, deadline
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
    limit $5::bigint
),
clock as materialized (
    select coalesce($6::timestamp at time zone 'utc', clock_timestamp()) as now
),
propagations as materialized (
    select
        exists (select from gristmill_propagation where kind = 'notify' and due_at <= clock.now)
        or exists (select from gristmill_propagation where kind = 'resolve' and due_at <= clock.now)
        or exists (select from gristmill_propagation where kind = 'evaluate' and due_at <= clock.now)
        or exists (select from gristmill_propagation where kind = 'raise_deadline' and due_at <= clock.now) as are_due,
        $8::boolean
        and (
            exists (select from gristmill_propagation where kind = 'notify')
            or exists (select from gristmill_propagation where kind = 'resolve')
            or exists (select from gristmill_propagation where kind = 'evaluate')
            or exists (
                select
                from gristmill_running as running
                left join lateral (
                    select worker.id
                    from gristmill_worker as worker
                    where worker.id = running.worker_id
                        and worker.suspect_at is null
                        and worker.lost_at is null
                        and worker.stopped_at is null
                    offset 0
                ) as live on true
                where running.awaited
                    or live.id is null
            )
        ) as are_under_way
    from clock
)
select
    propagations.are_due,
    propagations.are_under_way,
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
        offset 0
    )
    or coalesce(page.deadline > clock.now + interval '1 second' * $7::double precision, false)
from propagations
cross join clock
left join page on true
