-- The open attempts of a worker that someone wants cancelled.
-- $1 worker id
-- Index: gristmill_running's primary key, one probe a request; there are as many requests as running jobs at most.
-- Reads all of gristmill_cancel_request: one row for each running job that someone wants ended.
with request as materialized (
    select job_id, token
    from gristmill_cancel_request
)
select running.id::text, running.token
from request
cross join lateral (
    select id, token
    from gristmill_running
    where id = request.job_id
        -- Not by "=": the index of workers would do for that, and have every job of this one looked at for each.
        and worker_id is not distinct from $1::uuid
        and token >= request.token
    offset 0
) as running
order by running.id
