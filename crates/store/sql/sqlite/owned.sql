-- The open attempts of a worker.
-- ?1 worker id
-- Index: gristmill_running_worker.
select id, token
from gristmill_running indexed by gristmill_running_worker
where worker_id = ?1
order by id
