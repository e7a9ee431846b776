-- Asks for jobs and puts each in its place: ready, or scheduled when its date is still to come.
-- $1 jobs: [{id, backend, queue_name, task_name, priority, run_after or null, args, kwargs, options or null}]
-- $2 now, or null for the server's clock
-- Gives the moment at which they were asked for.
-- One statement, so that a job never exists without its place. The default deadline, seven days after the job is
-- due, is counted in hours: a day's length would depend on the session's time zone.
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
    returning *
),
readied as (
    insert into gristmill_ready (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions
    )
    select
        id, backend, queue_name, task_name, priority, run_after,
        coalesce(run_after, enqueued_at) + interval '168 hours', 0, 1,
        0, 0, 0, 0, 0
    from asked
    where run_after is null
        or run_after <= enqueued_at
),
scheduled as (
    insert into gristmill_scheduled (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions
    )
    select
        id, backend, queue_name, task_name, priority, run_after,
        run_after + interval '168 hours', 0, 1,
        0, 0, 0, 0, 0
    from asked
    where run_after > enqueued_at
)
select to_char(now at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')
from clock
