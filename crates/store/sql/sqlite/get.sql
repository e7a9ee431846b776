-- One job as people see it, with its newest exception.
-- ?1 job id
-- Index: primary keys; every branch of the view is asked for the one id.
select
    job.id,
    job.backend,
    job.queue_name,
    job.task_name,
    job.priority,
    job.state,
    job.reason,
    job.token,
    job.generation,
    job.failures,
    job.crashes,
    job.losses,
    job.postpones,
    job.interruptions,
    job.enqueued_at,
    job.due_at,
    job.deadline,
    job.started_at,
    job.finished_at,
    job.worker_id,
    job.return_value,
    error.exception_class_path,
    error.traceback
from gristmill_jobs as job
left join gristmill_attempt as error on error.job_id = job.id
    and error.token = (
        select max(token)
        from gristmill_attempt
        where job_id = ?1
            and exception_class_path is not null
    )
where job.id = ?1
