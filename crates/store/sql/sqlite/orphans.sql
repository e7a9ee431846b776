-- Open attempts that nobody will end: those of workers that are lost, have signed off, or have no row.
-- ?1 limit
-- Index: gristmill_running's primary key in order, one probe of gristmill_worker's a row: as much as is running.
-- Reads all of gristmill_running: one row for each job that runs just now, on all machines.
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
    running.counts,
    job.args,
    job.kwargs,
    job.options,
    job.retention,
    running.worker_id,
    (
        select count(*)
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
    ),
    (
        select min(late.ended_at)
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
    )
from gristmill_running as running indexed by sqlite_autoindex_gristmill_running_1
left join gristmill_worker as worker indexed by sqlite_autoindex_gristmill_worker_1 on worker.id = running.worker_id
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where job.id = running.id
    and (worker.id is null or worker.lost_at is not null or worker.stopped_at is not null)
order by running.id
limit ?1
