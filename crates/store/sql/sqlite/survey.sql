-- Every claim cursor that has a ready job, after a given one and in order of the index, with its first job's deadline; and
-- whether a propagation is due. One of a paused queue is named too, so that a full page shows, and says so.
-- ?1 backend, ?2 queue_name, ?3 task_name, ?4 priority of the last cursor already known
-- ?5 limit
-- ?6 now
-- ?7 seconds: a cursor whose first job has a later deadline than that from now is as good as paused; null for any
-- ?8 whether it is asked if something is under way: a propagation, due or not, an attempt whose end a job waits for, or one
--    of a worker that is suspected or gone, whose job will be ready again
-- Gives at least one row; one without a cursor when there is none.
-- Index: gristmill_ready_claim, four probes a cursor at most: each step asks for the first row behind all those of the cursor
-- before it; gristmill_propagation_due, one probe a kind.
-- Reads all of gristmill_running: only where it is asked what is under way, up to the first that is; one row for each job
-- that runs just now, on all machines.
-- Without lateral joins a step can carry one value, so it carries the first row's id; a null one ends it.
-- Column by column: of whole rows SQLite seeks the first that is not less, and would walk over all those of the cursor.
with recursive head (id) as (
    select coalesce(
        (
            select id
            from gristmill_ready
            where backend = ?1
                and queue_name = ?2
                and task_name = ?3
                and priority > ?4
            order by priority, deadline, id
            limit 1
        ),
        (
            select id
            from gristmill_ready
            where backend = ?1
                and queue_name = ?2
                and task_name > ?3
            order by task_name, priority, deadline, id
            limit 1
        ),
        (
            select id
            from gristmill_ready
            where backend = ?1
                and queue_name > ?2
            order by queue_name, task_name, priority, deadline, id
            limit 1
        ),
        (
            select id
            from gristmill_ready
            where backend > ?1
            order by backend, queue_name, task_name, priority, deadline, id
            limit 1
        )
    )
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
    limit ?5
),
page as (
    select claim_cursor.*
    from head
    cross join gristmill_ready as claim_cursor
    where claim_cursor.id = head.id
),
propagations as (
    select
        exists (
            select 1
            from gristmill_propagation indexed by gristmill_propagation_due
            where kind = 'notify'
                and due_at <= ?6
        )
        or exists (
            select 1
            from gristmill_propagation indexed by gristmill_propagation_due
            where kind = 'resolve'
                and due_at <= ?6
        )
        or exists (
            select 1
            from gristmill_propagation indexed by gristmill_propagation_due
            where kind = 'evaluate'
                and due_at <= ?6
        )
        or exists (
            select 1
            from gristmill_propagation indexed by gristmill_propagation_due
            where kind = 'raise_deadline'
                and due_at <= ?6
        ) as are_due,
        ?8
        and (
            exists (select 1 from gristmill_propagation indexed by gristmill_propagation_due where kind = 'notify')
            or exists (select 1 from gristmill_propagation indexed by gristmill_propagation_due where kind = 'resolve')
            or exists (select 1 from gristmill_propagation indexed by gristmill_propagation_due where kind = 'evaluate')
            or exists (
                select 1
                from gristmill_running as running
                left join gristmill_worker as worker indexed by sqlite_autoindex_gristmill_worker_1
                    on worker.id = running.worker_id
                    and worker.suspect_at is null
                    and worker.lost_at is null
                    and worker.stopped_at is null
                where running.awaited
                    or worker.id is null
            )
        ) as are_under_way
)
select
    propagations.are_due,
    propagations.are_under_way,
    page.backend,
    page.queue_name,
    page.task_name,
    page.priority,
    +page.deadline,
    exists (
        select 1
        from gristmill_queue as paused
        where paused.backend = page.backend
            and paused.queue_name = page.queue_name
    )
    or (?7 is not null and page.deadline > strftime('%Y-%m-%d %H:%M:%f', ?6, printf('+%.6f seconds', ?7)) || '000')
from propagations
left join page
