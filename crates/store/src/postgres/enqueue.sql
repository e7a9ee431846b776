-- Asks for jobs; the trigger gristmill_job_place puts each in its place: ready, or scheduled when its date is still
-- to come.
-- $1 jobs: [{id, backend, queue_name, task_name, priority, run_after or null, args, kwargs, options or null}]
-- $2 now, or null for the server's clock
-- Gives the moment at which they were asked for.
with clock as materialized (
    select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now
),
asked as (
    insert into gristmill_job (
        id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options
    )
    select
        new.id, new.backend, new.queue_name, new.task_name, new.priority, new.run_after at time zone 'utc', clock.now,
        new.args, new.kwargs, new.options
    from json_to_recordset($1::json) as new (
        id uuid, backend text, queue_name text, task_name text, priority smallint, run_after timestamp,
        args text, kwargs text, options text
    )
    cross join clock
)
select to_char(now at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')
from clock
