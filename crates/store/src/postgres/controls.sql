-- The open attempts of a worker that someone wants cancelled.
-- $1 worker id
-- Index: gristmill_running's primary key, one probe a wish; there are as many wishes as running jobs at most.
with wish as materialized (
    select job_id, token
    from gristmill_control
)
select running.id::text, running.token
from wish
join gristmill_running as running on running.id = wish.job_id
where running.worker_id = $1::uuid
    and wish.token <= running.token
order by running.id
