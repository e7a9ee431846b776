-- Every band that has a ready job, after a given one and in order of the index, with its first job's deadline; and whether an
-- errand is due. A band of a paused queue is named too, so that a full page shows, and says so.
-- ?1 backend, ?2 queue_name, ?3 task_name, ?4 priority of the last band already known
-- ?5 limit
-- ?6 now
-- ?7 seconds: a band whose first job has a later deadline than that from now is as good as paused; null for any
-- Gives at least one row; one without a band when there is none.
-- Index: gristmill_ready_claim, four probes a band at most: each step asks for the first row behind the whole band before it;
-- gristmill_errand_due, one probe a kind.
-- Without lateral joins a step can carry one value, so it carries the first row's id; a null one ends it.
-- Column by column: of whole rows SQLite seeks the first that is not less, and would walk over the band to its end.
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
    select band.*
    from head
    cross join gristmill_ready as band
    where band.id = head.id
),
errands as (
    select
        exists (select 1 from gristmill_errand where kind = 'spread' and due_at <= ?6)
        or exists (select 1 from gristmill_errand where kind = 'settle' and due_at <= ?6)
        or exists (select 1 from gristmill_errand where kind = 'judge' and due_at <= ?6)
        or exists (select 1 from gristmill_errand where kind = 'hurry' and due_at <= ?6) as are_due
)
select
    errands.are_due,
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
from errands
left join page
