-- Open attempts that nobody will end: those of workers that are lost, have signed off, or have no row.
-- $1 limit
-- Index: gristmill_running's primary key in order, one probe of gristmill_worker's a row: as much as is running.
-- Reads all of gristmill_running: one row for each job that runs just now, on all machines.
select
    running.id::text,
    running.token,
    running.backend,
    running.queue_name,
    running.task_name,
    running.priority::bigint,
    to_char(running.deadline at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(running.run_after at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(job.enqueued_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(running.claimed_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(running.started_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    running.generation::bigint,
    running.counts,
    job.args,
    job.kwargs,
    job.options,
    job.retention,
    running.worker_id::text,
    misfit.count,
    to_char(misfit.first_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')
from gristmill_running as running
left join lateral (
    select id, lost_at, stopped_at
    from gristmill_worker
    where id = running.worker_id
    offset 0
) as worker on true
cross join lateral (
    select enqueued_at, args, kwargs, options, retention
    from gristmill_job
    where id = running.id
    offset 0
) as job
left join lateral (
    select count(*) as count, min(late.ended_at) as first_at
    from (
        select attempt.generation, attempt.outcome, attempt.ended_at
        from gristmill_attempt as attempt
        where running.token > 1
            and attempt.job_id = running.id
        order by attempt.token desc
        limit 1000
    ) as late
    where late.generation = running.generation
        and late.outcome = 'incompatible'
) as misfit on true
where worker.id is null
    or worker.lost_at is not null
    or worker.stopped_at is not null
order by running.id
limit $1::bigint
