-- Moves due jobs from gristmill_scheduled to gristmill_ready, earliest first.
-- $1 now, or null for the server's clock
-- $2 limit
-- Gives how many it moved, and the milliseconds until the next one is due: null when none are left, zero when the limit was
-- reached.
-- Index: gristmill_scheduled_promote, from its start. What another worker is moving is skipped.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
due as materialized (
    select id
    from gristmill_scheduled
    where run_after <= (select now from clock)
    order by run_after, id
    limit $2::bigint
    for update skip locked
),
moved as (
    delete from gristmill_scheduled as scheduled
    where scheduled.id = any (array(select id from due))
    returning scheduled.*
),
readied as (
    insert into gristmill_ready ({place})
    select {place}
    from moved
)
select
    count(*),
    case
        when count(*) = $2::bigint then 0
        else (
            select ceil(extract(epoch from run_after - (select now from clock)) * 1000)::bigint
            from gristmill_scheduled
            where run_after > (select now from clock)
            order by run_after, id
            limit 1
        )
    end
from moved
