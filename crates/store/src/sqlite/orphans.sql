-- Open attempts that nobody will end: those of workers that are lost, have signed off, or have no row.
-- ?1 limit
-- Index: gristmill_running's primary key in order, one probe of gristmill_worker's a row: as much as is running.
select
    running.id,
    running.token,
    running.backend,
    running.queue_name,
    running.task_name,
    running.priority,
    running.deadline,
    running.run_after,
    job.enqueued_at,
    running.claimed_at,
    running.started_at,
    running.generation,
    running.failures,
    running.crashes,
    running.losses,
    running.postpones,
    running.interruptions,
    job.args,
    job.kwargs,
    job.options
from gristmill_running as running
left join gristmill_worker as worker on worker.id = running.worker_id
cross join gristmill_job as job
where job.id = running.id
    and (worker.id is null or worker.lost_at is not null or worker.stopped_at is not null)
order by running.id
limit ?1
