-- Takes rows of one level out of the pulse, those of an hour or a day that has long passed, to be put back as fewer of the next.
-- $1 level
-- $2 now, or null for the server's clock
-- $3 seconds: how long ago that is over
-- $4 seconds of a row of the next level
-- $5 limit
-- Gives them with the beginning that they have there, oldest first. What another worker is taking is skipped.
-- Index: gristmill_pulse_at, from its level's start; then primary keys.
with clock as materialized (
    select date_bin(
        interval '1 second' * $4::double precision,
        coalesce($2::timestamp at time zone 'utc', clock_timestamp()) - interval '1 second' * $3::double precision,
        timestamptz '2000-01-01 00:00:00+00'
    ) as latest
),
picked as materialized (
    select id
    from gristmill_pulse
    where level = $1::smallint
        and at < (select latest from clock)
    order by at
    limit $5::bigint
    for update skip locked
)
delete from gristmill_pulse as pulse
where pulse.id = any (array(select id from picked))
returning
    to_char(
        date_bin(interval '1 second' * $4::double precision, pulse.at, timestamptz '2000-01-01 00:00:00+00')
            at time zone 'utc',
        'YYYY-MM-DD HH24:MI:SS.US'
    ),
    pulse.backend, pulse.queue_name, pulse.task_name, pulse.outcome, pulse.version, pulse.attempts,
    pulse.wait_seconds, pulse.run_seconds, pulse.waits, pulse.runs
