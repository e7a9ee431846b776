-- The open attempts of a worker that someone wants cancelled.
-- ?1 worker id
-- Index: gristmill_running's primary key, one probe a request; there are as many requests as running jobs at most.
-- Reads all of gristmill_cancel_request: one row for each running job that someone wants ended.
select running.id, running.token
from gristmill_cancel_request as request
cross join gristmill_running as running indexed by sqlite_autoindex_gristmill_running_1
where running.id = request.job_id
    and iif(request.token <= running.token, running.worker_id = ?1, 0)
order by running.id
