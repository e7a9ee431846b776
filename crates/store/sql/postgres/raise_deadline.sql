-- Passes earlier deadlines on to what jobs wait for, one level: a precondition that waits itself gets a propagation of its
-- own.
-- $1 now, or null for the server's clock
-- $2 propagations at most
-- $3 preconditions, shared out among the propagations
-- Gives how many propagations it took up.
-- Index: gristmill_propagation_due from the kind's start; gristmill_edge_dependent, a range a propagation; places by their
-- primary keys.
-- What someone is moving keeps its deadline until it is tried again.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
picked as materialized (
    select id, job_id, other_id, seen
    from gristmill_propagation
    where kind = 'raise_deadline'
        and due_at <= (select now from clock)
    order by due_at, id
    limit $2::bigint
    for update skip locked
),
share as materialized (
    select greatest($3::bigint / greatest(count(*), 1), 1) as edges, count(*) as propagations
    from picked
),
next as materialized (
    select picked.id, picked.job_id, waiting.deadline, edge.precondition_id
    from picked
    cross join lateral (
        select deadline
        from gristmill_waiting
        where id = picked.job_id
        offset 0
    ) as waiting
    cross join lateral (
        select precondition_id, state
        from gristmill_edge
        where dependent_id = picked.job_id
            and precondition_id >= coalesce(picked.other_id, picked.seen, '00000000-0000-0000-0000-000000000000')
            and precondition_id <= coalesce(picked.other_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            and precondition_id is distinct from picked.seen
        order by precondition_id
        limit (select edges from share)
    ) as edge
),
wanted as materialized (
    select precondition_id as id, min(deadline) as deadline
    from next
    group by precondition_id
),
late_ready as materialized (
    select place.id
    from wanted
    cross join lateral (
        select id
        from gristmill_ready
        where id = wanted.id
            and deadline > wanted.deadline
        offset 0
    ) as place
),
free_ready as materialized (
    select place.id, wanted.deadline
    from wanted
    cross join lateral (
        select id
        from gristmill_ready
        where id = wanted.id
            and deadline > wanted.deadline
        for update skip locked
    ) as place
),
raised_ready as (
    update gristmill_ready as place
    set deadline = (array(select deadline from free_ready))[array_position(array(select id from free_ready), place.id)]
    where place.id = any (array(select id from free_ready))
),
late_scheduled as materialized (
    select place.id
    from wanted
    cross join lateral (
        select id
        from gristmill_scheduled
        where id = wanted.id
            and deadline > wanted.deadline
        offset 0
    ) as place
),
free_scheduled as materialized (
    select place.id, wanted.deadline
    from wanted
    cross join lateral (
        select id
        from gristmill_scheduled
        where id = wanted.id
            and deadline > wanted.deadline
        for update skip locked
    ) as place
),
raised_scheduled as (
    update gristmill_scheduled as place
    set deadline = (array(select deadline from free_scheduled))[array_position(array(select id from free_scheduled), place.id)]
    where place.id = any (array(select id from free_scheduled))
),
late_waiting as materialized (
    select place.id
    from wanted
    cross join lateral (
        select id
        from gristmill_waiting
        where id = wanted.id
            and deadline > wanted.deadline
        offset 0
    ) as place
),
free_waiting as materialized (
    select place.id, wanted.deadline
    from wanted
    cross join lateral (
        select id
        from gristmill_waiting
        where id = wanted.id
            and deadline > wanted.deadline
        for update skip locked
    ) as place
),
raised_waiting as (
    update gristmill_waiting as place
    set deadline = (array(select deadline from free_waiting))[array_position(array(select id from free_waiting), place.id)]
    where place.id = any (array(select id from free_waiting))
),
stuck as materialized (
    select next.id, next.job_id, next.precondition_id
    from next
    where next.precondition_id in (
            select id from late_ready
            union all
            select id from late_scheduled
            union all
            select id from late_waiting
        )
        and next.precondition_id not in (
            select id from free_ready
            union all
            select id from free_scheduled
            union all
            select id from free_waiting
        )
),
told as materialized (
    select picked.id, count(next.id) as seen, max(next.precondition_id::text)::uuid as last
    from picked
    left join next on next.id = picked.id
    group by picked.id
),
done as (
    delete from gristmill_propagation as propagation
    where propagation.id = any (array(select told.id from told cross join share where told.seen < share.edges))
),
gone_on as (
    update gristmill_propagation as propagation
    set seen = told.last
    from told
    cross join share
    where propagation.id = any (array(select told.id from told cross join share where told.seen >= share.edges))
        and propagation.id = told.id
        and told.seen >= share.edges
),
propagations as (
    insert into gristmill_propagation (kind, job_id, other_id, due_at)
    select 'raise_deadline', free_waiting.id, null::uuid, clock.now
    from free_waiting
    cross join clock
    union all
    select 'raise_deadline', stuck.job_id, stuck.precondition_id, clock.now + interval '1 second'
    from stuck
    cross join clock
)
select propagations
from share
