-- Closes a worker's row with its exit status and last error; the first closing stands.
-- $1 worker id
-- $2 exit status
-- $3 last error, or null
-- $4 now, or null for the server's clock
-- Index: gristmill_worker's primary key.
update gristmill_worker
set stopped_at = coalesce($4::timestamp at time zone 'utc', clock_timestamp()),
    idle = false,
    exit_status = $2::integer,
    last_error = $3
where id = $1::uuid
    and stopped_at is null
