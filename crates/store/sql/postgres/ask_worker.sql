-- Asks a living worker to be quiet or to stop, or has it claim again. It hears of that with its next heartbeat.
-- $1 worker id
-- $2 quiet or stop; null: it may claim again
-- $3 actor
-- $4 now, or null for the server's clock
-- Gives the id. Nothing: it has ended, it was asked to stop, which nobody takes back, or there is nothing to take back.
-- Index: gristmill_worker's primary key.
update gristmill_worker
set asked = $2::text,
    asked_by = case when $2::text is not null then $3::text end,
    asked_at = case
        when $2::text is not null then coalesce($4::timestamp at time zone 'utc', clock_timestamp())
    end
where id = $1::uuid
    and lost_at is null
    and stopped_at is null
    and case when $2::text is null then asked = 'quiet' else asked is distinct from 'stop' end
returning id::text
