-- Waits until nobody else announces schedules: of two programs that start at once, the later sees what the earlier wrote.
-- $1 now, or null for the server's clock
-- Gives nothing of use, and the time once the wait is over. Held until the transaction ends, which is soon.
select
    pg_advisory_xact_lock(7166481, 2)::text,
    to_char(coalesce($1::timestamp at time zone 'utc', clock_timestamp()) at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')
