-- Forgets days of the pulse, and how deep queues were then.
-- $1 now, or null for the server's clock
-- $2 seconds: how long they are kept
-- $3 limit, of each
-- Gives a row for each that it forgot. What another worker is forgetting is skipped.
-- Index: gristmill_pulse_at and gristmill_depth's primary key, each from its level's start; then primary keys.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) - interval '1 second' * $2::double precision
        as oldest
),
picked as materialized (
    select id
    from gristmill_pulse
    where level = 3
        and at < (select oldest from clock)
    order by at
    limit $3::bigint
    for update skip locked
),
old as materialized (
    select ctid as version
    from gristmill_depth
    where level = 3
        and at < (select oldest from clock)
    order by at, backend, queue_name
    limit $3::bigint
    for update skip locked
),
forgotten as (
    delete from gristmill_pulse as pulse
    where pulse.id = any (array(select id from picked))
    returning pulse.level::bigint
),
depths as (
    delete from gristmill_depth as depth
    where depth.ctid = any (array(select version from old))
    returning depth.level::bigint
)
select level
from forgotten
union all
select level
from depths
