-- One job as people see it, with its newest exception.
-- $1 job id
-- Index: primary keys; every branch of the view is asked for the one id.
select
    job.id::text,
    job.backend,
    job.queue_name,
    job.task_name,
    job.priority::bigint,
    job.state,
    job.reason,
    job.token,
    job.generation::bigint,
    job.failures::bigint,
    job.crashes::bigint,
    job.losses::bigint,
    job.postpones::bigint,
    job.interruptions::bigint,
    to_char(job.enqueued_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(job.due_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(job.deadline at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(job.started_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(job.finished_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    job.worker_id::text,
    job.return_value,
    error.exception_class_path,
    error.traceback
from gristmill_jobs as job
left join gristmill_attempt as error on error.job_id = job.id
    and error.token = (
        select max(token)
        from gristmill_attempt
        where job_id = $1::uuid
            and exception_class_path is not null
    )
where job.id = $1::uuid
