-- Sets or clears the flag by which a worker asks enqueuers for wake-ups.
-- ?1 worker id
-- ?2 1 or 0
-- Index: gristmill_worker's primary key.
update gristmill_worker
set idle = ?2
where id = ?1
    and stopped_at is null
