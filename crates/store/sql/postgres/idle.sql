-- Sets or clears the flag by which a worker asks enqueuers for wake-ups.
-- $1 worker id
-- $2 1 or 0
-- Index: gristmill_worker's primary key.
update gristmill_worker
set idle = $2::integer::boolean
where id = $1::uuid
    and stopped_at is null
