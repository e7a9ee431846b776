-- The open attempts of a worker.
-- $1 worker id
-- Index: gristmill_running_worker.
select id::text, token
from gristmill_running
where worker_id = $1::uuid
order by id
