-- The open attempts of a worker that someone wants cancelled.
-- ?1 worker id
-- Index: gristmill_running's primary key, one probe a wish; there are as many wishes as running jobs at most.
select running.id, running.token
from gristmill_control as wish
cross join gristmill_running as running
where running.id = wish.job_id
    and running.worker_id = ?1
    and wish.token <= running.token
order by running.id
