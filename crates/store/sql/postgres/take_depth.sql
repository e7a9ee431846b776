-- Takes depths of one level, those of an hour or a day that has long passed, to be put back as fewer of the next.
-- $1 level
-- $2 now, or null for the server's clock
-- $3 seconds: how long ago that is over
-- $4 seconds of a row of the next level
-- $5 limit
-- Gives them with the beginning that they have there. What another worker is taking is skipped.
-- Index: gristmill_depth's primary key, from its level's start.
with clock as materialized (
    select date_bin(
        interval '1 second' * $4::double precision,
        coalesce($2::timestamp at time zone 'utc', clock_timestamp()) - interval '1 second' * $3::double precision,
        timestamptz '2000-01-01 00:00:00+00'
    ) as latest
),
picked as materialized (
    select ctid as version
    from gristmill_depth
    where level = $1::smallint
        and at < (select latest from clock)
    order by at, backend, queue_name
    limit $5::bigint
    for update skip locked
)
delete from gristmill_depth as depth
where depth.ctid = any (array(select version from picked))
returning
    to_char(
        date_bin(interval '1 second' * $4::double precision, depth.at, timestamptz '2000-01-01 00:00:00+00')
            at time zone 'utc',
        'YYYY-MM-DD HH24:MI:SS.US'
    ),
    depth.backend, depth.queue_name, depth.ready::bigint, depth.scheduled::bigint, depth.oldest_seconds
