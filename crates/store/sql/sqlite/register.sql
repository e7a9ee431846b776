-- Makes the row of a worker that boots.
-- ?1 id, ?2 label, ?3 host, ?4 pid, ?5 version, ?6 backend, ?7 queues, ?8 tasks, ?9 processes,
-- ?10 heartbeat seconds, ?11 lease seconds
-- ?12 now
-- ?13 its id before it was declared lost, or null: what was asked of it then is asked of it still
insert into gristmill_worker (
    id, label, host, pid, version, backend, queues, tasks, processes,
    started_at, heartbeat_at, heartbeat_seconds, lease_seconds, asked, asked_by, asked_at
)
select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?12, ?12, ?10, ?11, was.asked, was.asked_by, was.asked_at
from (select ?13 as id) as before
left join gristmill_worker as was indexed by sqlite_autoindex_gristmill_worker_1 on was.id = before.id
