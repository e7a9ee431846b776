-- Puts the first propagation of each of some kinds off, one of which somebody's transaction holds up: the others are not to
-- wait behind it.
-- $1 now, or null for the server's clock
-- $2 kinds, as a list
-- Gives their ids.
-- Index: gristmill_propagation_due from a kind's start.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
first as materialized (
    select propagation.id
    from json_array_elements_text($2::json) as kind (name)
    cross join lateral (
        select id
        from gristmill_propagation
        where gristmill_propagation.kind = kind.name
            and due_at <= (select now from clock)
            and not checks
        order by due_at, id
        limit 1
        for update skip locked
    ) as propagation
)
update gristmill_propagation as propagation
set due_at = clock.now + interval '2 seconds'
from clock
where propagation.id = any (array(select id from first))
returning propagation.id::text
