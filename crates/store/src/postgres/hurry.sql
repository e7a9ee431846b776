-- Passes earlier deadlines on to what jobs wait for, one level: a precondition that waits itself gets an errand of its own.
-- $1 now, or null for the server's clock
-- $2 errands at most
-- $3 preconditions, shared out among the errands
-- Gives how many errands it took up.
-- Index: gristmill_errand_due from the kind's start; gristmill_edge_dependent, a range an errand; places by their primary keys.
-- What someone is moving keeps its deadline until it is tried again.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
picked as materialized (
    select id, job_id, other_id, seen
    from gristmill_errand
    where kind = 'hurry'
        and due_at <= (select now from clock)
    order by due_at, id
    limit $2::bigint
    for update skip locked
),
share as materialized (
    select greatest($3::bigint / greatest(count(*), 1), 1) as edges, count(*) as errands
    from picked
),
next as materialized (
    select picked.id, picked.job_id, waiting.deadline, edge.precondition_id
    from picked
    join gristmill_waiting as waiting on waiting.id = picked.job_id
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
    join gristmill_ready as place on place.id = wanted.id
    where place.deadline > wanted.deadline
),
free_ready as materialized (
    select place.id, wanted.deadline
    from wanted
    join gristmill_ready as place on place.id = wanted.id
    where place.deadline > wanted.deadline
    order by place.id
    for update of place skip locked
),
hurried_ready as (
    update gristmill_ready as place
    set deadline = free.deadline
    from free_ready as free
    where place.id = free.id
),
late_scheduled as materialized (
    select place.id
    from wanted
    join gristmill_scheduled as place on place.id = wanted.id
    where place.deadline > wanted.deadline
),
free_scheduled as materialized (
    select place.id, wanted.deadline
    from wanted
    join gristmill_scheduled as place on place.id = wanted.id
    where place.deadline > wanted.deadline
    order by place.id
    for update of place skip locked
),
hurried_scheduled as (
    update gristmill_scheduled as place
    set deadline = free.deadline
    from free_scheduled as free
    where place.id = free.id
),
late_waiting as materialized (
    select place.id
    from wanted
    join gristmill_waiting as place on place.id = wanted.id
    where place.deadline > wanted.deadline
),
free_waiting as materialized (
    select place.id, wanted.deadline
    from wanted
    join gristmill_waiting as place on place.id = wanted.id
    where place.deadline > wanted.deadline
    order by place.id
    for update of place skip locked
),
hurried_waiting as (
    update gristmill_waiting as place
    set deadline = free.deadline
    from free_waiting as free
    where place.id = free.id
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
    delete from gristmill_errand as errand
    using told, share
    where errand.id = told.id
        and told.seen < share.edges
),
gone_on as (
    update gristmill_errand as errand
    set seen = told.last
    from told, share
    where errand.id = told.id
        and told.seen >= share.edges
),
errands as (
    insert into gristmill_errand (kind, job_id, other_id, due_at)
    select 'hurry', free_waiting.id, null::uuid, clock.now
    from free_waiting
    cross join clock
    union all
    select 'hurry', stuck.job_id, stuck.precondition_id, clock.now + interval '1 second'
    from stuck
    cross join clock
)
select errands
from share
