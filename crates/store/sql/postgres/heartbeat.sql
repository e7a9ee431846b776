-- Says that a worker lives, takes a suspicion back, and brings what people ask of it.
-- $1 worker id
-- $2 now, or null for the server's clock
-- Gives (asked, by whom), or nothing when the worker was declared lost or has signed off: a lost worker never comes back.
-- Index: gristmill_worker's primary key.
update gristmill_worker
set heartbeat_at = coalesce($2::timestamp at time zone 'utc', clock_timestamp()),
    suspect_at = null
where id = $1::uuid
    and lost_at is null
    and stopped_at is null
returning asked, asked_by
