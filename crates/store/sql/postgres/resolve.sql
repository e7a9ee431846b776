-- Takes up propagations that hold the edges of a job against its preconditions, or only have its gate evaluated: locks the
-- gate, and the place of each of the next preconditions, which is marked as awaited from here on and given the job's deadline
-- where that is earlier. What sync.sql then changes is committed with it.
-- $1 now, or null for the server's clock
-- $2 propagations at most, of each of the two kinds
-- $3 preconditions, shared out among the propagations
-- $4 whether to lock the edges too, so that sync.sql waits for none that someone holds
-- Gives, with how many propagations it took up, each (precondition, dependent, null) that may be held against each other, and
-- each (null, dependent, whether all its edges have been) to be evaluated; one row of nulls for none.
-- Index: gristmill_propagation_due from the kind's start; gristmill_edge_dependent, a range a propagation; places by their
-- primary keys.
-- A precondition's place is locked so that its end either sees the mark or is seen here. Nothing waits here: what someone is
-- moving is left for later.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
resolves as materialized (
    select id, kind, job_id, other_id, seen
    from gristmill_propagation
    where kind = 'resolve'
        and due_at <= (select now from clock)
        and not checks
    order by due_at, id
    limit $2::bigint
    for update skip locked
),
evaluates as materialized (
    select id, kind, job_id, other_id, seen
    from gristmill_propagation
    where kind = 'evaluate'
        and due_at <= (select now from clock)
        and not checks
    order by due_at, id
    limit $2::bigint
    for update skip locked
),
picked as materialized (
    select * from resolves
    union all
    select * from evaluates
),
share as materialized (
    select greatest($3::bigint / greatest(count(*), 1), 1) as edges, (select count(*) from picked) as propagations
    from resolves
),
gate as materialized (
    select gate.job_id, gate.epoch
    from (select distinct job_id from picked) as wanted
    cross join lateral (
        select job_id, epoch
        from gristmill_gate
        where job_id = wanted.job_id
        for update skip locked
    ) as gate
),
next as materialized (
    select resolves.id, edge.precondition_id, resolves.job_id as dependent_id, gate.epoch
    from resolves
    join gate on gate.job_id = resolves.job_id
    cross join lateral (
        select precondition_id
        from gristmill_edge
        where dependent_id = resolves.job_id
            and precondition_id >= coalesce(resolves.other_id, resolves.seen, '00000000-0000-0000-0000-000000000000')
            and precondition_id <= coalesce(resolves.other_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            and precondition_id is distinct from resolves.seen
        order by precondition_id
        limit (select edges from share)
    ) as edge
),
wanted as materialized (
    select next.precondition_id as id, min(dependent.deadline) as deadline
    from next
    left join lateral (
        select deadline
        from gristmill_waiting
        where id = next.dependent_id
        offset 0
    ) as dependent on true
    group by next.precondition_id
),
free_ready as materialized (
    select
        place.id,
        wanted.deadline,
        not place.awaited or place.deadline > wanted.deadline as changes
    from wanted
    cross join lateral (
        select id, awaited, deadline
        from gristmill_ready
        where id = wanted.id
        for update skip locked
    ) as place
),
free_scheduled as materialized (
    select
        place.id,
        wanted.deadline,
        not place.awaited or place.deadline > wanted.deadline as changes
    from wanted
    cross join lateral (
        select id, awaited, deadline
        from gristmill_scheduled
        where id = wanted.id
        for update skip locked
    ) as place
),
free_waiting as materialized (
    select
        place.id,
        wanted.deadline,
        not place.awaited or place.deadline > wanted.deadline as changes,
        wanted.deadline <= place.deadline as is_earlier
    from wanted
    cross join lateral (
        select id, awaited, deadline
        from gristmill_waiting
        where id = wanted.id
        for update skip locked
    ) as place
),
free_running as materialized (
    select
        place.id,
        wanted.deadline,
        not place.awaited or place.deadline > wanted.deadline as changes
    from wanted
    cross join lateral (
        select id, awaited, deadline
        from gristmill_running
        where id = wanted.id
        for update skip locked
    ) as place
),
free_result as materialized (
    select place.id, not place.awaited as changes
    from wanted
    cross join lateral (
        select id, awaited
        from gristmill_result
        where id = wanted.id
        for update skip locked
    ) as place
),
marked_ready as (
    update gristmill_ready as place
    set awaited = true,
        deadline = least(
            place.deadline,
            (array(select deadline from free_ready where changes))[
                array_position(array(select id from free_ready where changes), place.id)
            ]
        )
    where place.id = any (array(select id from free_ready where changes))
),
marked_scheduled as (
    update gristmill_scheduled as place
    set awaited = true,
        deadline = least(
            place.deadline,
            (array(select deadline from free_scheduled where changes))[
                array_position(array(select id from free_scheduled where changes), place.id)
            ]
        )
    where place.id = any (array(select id from free_scheduled where changes))
),
marked_waiting as (
    update gristmill_waiting as place
    set awaited = true,
        deadline = least(
            place.deadline,
            (array(select deadline from free_waiting where changes))[
                array_position(array(select id from free_waiting where changes), place.id)
            ]
        )
    where place.id = any (array(select id from free_waiting where changes))
),
raised as (
    insert into gristmill_propagation (kind, job_id, due_at)
    select 'raise_deadline', free_waiting.id, clock.now
    from free_waiting
    cross join clock
    where changes
        and is_earlier
),
marked_running as (
    update gristmill_running as place
    set awaited = true,
        deadline = least(
            place.deadline,
            (array(select deadline from free_running where changes))[
                array_position(array(select id from free_running where changes), place.id)
            ]
        )
    where place.id = any (array(select id from free_running where changes))
),
marked_result as (
    update gristmill_result as place
    set awaited = true
    where place.id = any (array(select id from free_result where changes))
),
-- A precondition without a row was forgotten; its outcome is what the edge says, or unknown.
free as materialized (
    select id from free_ready
    union all
    select id from free_scheduled
    union all
    select id from free_waiting
    union all
    select id from free_running
    union all
    select id from free_result
    union all
    select wanted.id
    from wanted
    where not exists (select from gristmill_job where id = wanted.id offset 0)
),
free_edge as materialized (
    select edge.precondition_id, edge.dependent_id
    from next
    cross join lateral (
        select precondition_id, dependent_id
        from gristmill_edge
        where precondition_id = next.precondition_id
            and dependent_id = next.dependent_id
        for update skip locked
    ) as edge
    where $4::boolean
),
held as materialized (
    select
        next.*,
        free.id is not null
        and (
            not $4::boolean
            or (next.precondition_id, next.dependent_id) in (select precondition_id, dependent_id from free_edge)
        ) as is_free
    from next
    left join free on free.id = next.precondition_id
),
told as materialized (
    select
        picked.id,
        picked.kind,
        picked.job_id,
        picked.other_id,
        gate.job_id is not null as is_locked,
        exists (select from gristmill_gate where job_id = picked.job_id offset 0) as has_gate,
        count(held.id) as seen,
        count(held.id) filter (where not held.is_free) as stuck,
        max(held.precondition_id::text)::uuid as last,
        -- Of a gate that is armed anew only what has been held counts, so one that is stuck stops the rest.
        coalesce(gate.epoch, 1) > 1 as is_whole
    from picked
    left join gate on gate.job_id = picked.job_id
    left join held on held.id = picked.id
    group by picked.id, picked.kind, picked.job_id, picked.other_id, gate.job_id, gate.epoch
),
ruled as materialized (
    select
        told.*,
        case
            when not has_gate then 'void'
            when not is_locked or (is_whole and stuck > 0) then 'later'
            when seen >= share.edges and kind = 'resolve' and other_id is null then 'on'
            else 'done'
        end as rule
    from told
    cross join share
),
done as (
    delete from gristmill_propagation as propagation
    where propagation.id = any (array(select id from ruled where rule in ('void', 'done')))
),
gone_on as (
    update gristmill_propagation as propagation
    set seen = ruled.last
    from ruled
    where propagation.id = any (array(select id from ruled where rule = 'on'))
        and propagation.id = ruled.id
),
put_off as (
    update gristmill_propagation as propagation
    set due_at = clock.now + interval '50 milliseconds'
    from clock
    where propagation.id = any (array(select id from ruled where rule = 'later'))
),
left_behind as (
    insert into gristmill_propagation (kind, job_id, other_id, due_at)
    select 'resolve', held.dependent_id, held.precondition_id, clock.now + interval '50 milliseconds'
    from held
    join ruled on ruled.id = held.id
    cross join clock
    where not held.is_free
        and ruled.rule in ('on', 'done')
)
select share.propagations, answer.precondition_id::text, answer.dependent_id::text, answer.resolved
from share
left join (
    select held.precondition_id, held.dependent_id, null::boolean as resolved
    from held
    join ruled on ruled.id = held.id
    where held.is_free
        and ruled.rule in ('on', 'done')
    union all
    select null, job_id, bool_or(kind = 'resolve' and other_id is null)
    from ruled
    where rule = 'done'
    group by job_id
) as answer on true
