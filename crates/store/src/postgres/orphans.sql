-- Open attempts that nobody will end: those of workers that are lost, have signed off, or have no row.
-- $1 limit
-- Index: gristmill_running's primary key in order, one probe of gristmill_worker's a row: as much as is running.
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
    running.failures::bigint,
    running.crashes::bigint,
    running.losses::bigint,
    running.postpones::bigint,
    running.interruptions::bigint,
    job.args,
    job.kwargs,
    job.options
from gristmill_running as running
left join gristmill_worker as worker on worker.id = running.worker_id
join gristmill_job as job on job.id = running.id
where worker.id is null
    or worker.lost_at is not null
    or worker.stopped_at is not null
order by running.id
limit $1::bigint
