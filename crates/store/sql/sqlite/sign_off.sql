-- Closes a worker's row with its exit status and last error; the first closing stands.
-- ?1 worker id
-- ?2 exit status
-- ?3 last error, or null
-- ?4 now
-- Index: gristmill_worker's primary key.
update gristmill_worker
set stopped_at = ?4,
    idle = 0,
    exit_status = ?2,
    last_error = ?3
where id = ?1
    and stopped_at is null
