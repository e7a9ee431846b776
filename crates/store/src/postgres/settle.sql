-- Takes up errands that hold the edges of a job against its preconditions, or only have its gate judged: locks the gate, and
-- the place of each of the next preconditions, which is marked as awaited from here on and given the job's deadline where
-- that is earlier. What sync.sql then changes is committed with it.
-- $1 now, or null for the server's clock
-- $2 errands at most, of each of the two kinds
-- $3 preconditions, shared out among the errands
-- Gives, with how many errands it took up, each (precondition, dependent, null) that may be held against each other, and each
-- (null, dependent, whether all its edges have been) to be judged; one row of nulls for none.
-- Index: gristmill_errand_due from the kind's start; gristmill_edge_dependent, a range an errand; places by their primary keys.
-- A precondition's place is locked so that its end either sees the mark or is seen here. Nothing waits here: what someone is
-- moving is left for later.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
settles as materialized (
    select id, kind, job_id, other_id, seen
    from gristmill_errand
    where kind = 'settle'
        and due_at <= (select now from clock)
        and not checks
    order by due_at, id
    limit $2::bigint
    for update skip locked
),
judges as materialized (
    select id, kind, job_id, other_id, seen
    from gristmill_errand
    where kind = 'judge'
        and due_at <= (select now from clock)
        and not checks
    order by due_at, id
    limit $2::bigint
    for update skip locked
),
picked as materialized (
    select * from settles
    union all
    select * from judges
),
share as materialized (
    select greatest($3::bigint / greatest(count(*), 1), 1) as edges, (select count(*) from picked) as errands
    from settles
),
gate as materialized (
    select gate.job_id, gate.arming
    from (select distinct job_id from picked) as wanted
    join gristmill_gate as gate on gate.job_id = wanted.job_id
    order by gate.job_id
    for update of gate skip locked
),
next as materialized (
    select settles.id, edge.precondition_id, settles.job_id as dependent_id, gate.arming
    from settles
    join gate on gate.job_id = settles.job_id
    cross join lateral (
        select precondition_id
        from gristmill_edge
        where dependent_id = settles.job_id
            and precondition_id >= coalesce(settles.other_id, settles.seen, '00000000-0000-0000-0000-000000000000')
            and precondition_id <= coalesce(settles.other_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            and precondition_id is distinct from settles.seen
        order by precondition_id
        limit (select edges from share)
    ) as edge
),
wanted as materialized (
    select next.precondition_id as id, min(dependent.deadline) as deadline
    from next
    left join gristmill_waiting as dependent on dependent.id = next.dependent_id
    group by next.precondition_id
),
free_ready as materialized (
    select place.id, wanted.deadline
    from wanted
    join gristmill_ready as place on place.id = wanted.id
    order by place.id
    for update of place skip locked
),
free_scheduled as materialized (
    select place.id, wanted.deadline
    from wanted
    join gristmill_scheduled as place on place.id = wanted.id
    order by place.id
    for update of place skip locked
),
free_waiting as materialized (
    select place.id, wanted.deadline
    from wanted
    join gristmill_waiting as place on place.id = wanted.id
    order by place.id
    for update of place skip locked
),
free_running as materialized (
    select place.id, wanted.deadline
    from wanted
    join gristmill_running as place on place.id = wanted.id
    order by place.id
    for update of place skip locked
),
free_result as materialized (
    select place.id
    from wanted
    join gristmill_result as place on place.id = wanted.id
    order by place.id
    for update of place skip locked
),
marked_ready as (
    update gristmill_ready as place
    set awaited = true,
        deadline = least(place.deadline, free.deadline)
    from free_ready as free
    where place.id = free.id
        and (not place.awaited or place.deadline > free.deadline)
),
marked_scheduled as (
    update gristmill_scheduled as place
    set awaited = true,
        deadline = least(place.deadline, free.deadline)
    from free_scheduled as free
    where place.id = free.id
        and (not place.awaited or place.deadline > free.deadline)
),
marked_waiting as (
    update gristmill_waiting as place
    set awaited = true,
        deadline = least(place.deadline, free.deadline)
    from free_waiting as free
    where place.id = free.id
        and (not place.awaited or place.deadline > free.deadline)
    returning place.id, place.deadline = free.deadline as is_earlier
),
hurried as (
    insert into gristmill_errand (kind, job_id, due_at)
    select 'hurry', marked_waiting.id, clock.now
    from marked_waiting
    cross join clock
    where is_earlier
),
marked_running as (
    update gristmill_running as place
    set awaited = true,
        deadline = least(place.deadline, free.deadline)
    from free_running as free
    where place.id = free.id
        and (not place.awaited or place.deadline > free.deadline)
),
marked_result as (
    update gristmill_result as place
    set awaited = true
    from free_result as free
    where place.id = free.id
        and not place.awaited
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
    where not exists (
        select
        from gristmill_job as job
        where job.id = wanted.id
    )
),
held as materialized (
    select next.*, free.id is not null as is_free
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
        exists (select from gristmill_gate as known where known.job_id = picked.job_id) as has_gate,
        count(held.id) as seen,
        count(held.id) filter (where not held.is_free) as stuck,
        max(held.precondition_id::text)::uuid as last,
        -- Of a gate that is armed anew only what has been held counts, so one that is stuck stops the rest.
        coalesce(gate.arming, 1) > 1 as is_whole
    from picked
    left join gate on gate.job_id = picked.job_id
    left join held on held.id = picked.id
    group by picked.id, picked.kind, picked.job_id, picked.other_id, gate.job_id, gate.arming
),
ruled as materialized (
    select
        told.*,
        case
            when not has_gate then 'void'
            when not is_locked or (is_whole and stuck > 0) then 'later'
            when seen >= share.edges and kind = 'settle' and other_id is null then 'on'
            else 'done'
        end as rule
    from told
    cross join share
),
done as (
    delete from gristmill_errand as errand
    using ruled
    where errand.id = ruled.id
        and ruled.rule in ('void', 'done')
),
gone_on as (
    update gristmill_errand as errand
    set seen = ruled.last
    from ruled
    where errand.id = ruled.id
        and ruled.rule = 'on'
),
put_off as (
    update gristmill_errand as errand
    set due_at = clock.now + interval '50 milliseconds'
    from ruled, clock
    where errand.id = ruled.id
        and ruled.rule = 'later'
),
left_behind as (
    insert into gristmill_errand (kind, job_id, other_id, due_at)
    select 'settle', held.dependent_id, held.precondition_id, clock.now + interval '50 milliseconds'
    from held
    join ruled on ruled.id = held.id
    cross join clock
    where not held.is_free
        and ruled.rule in ('on', 'done')
)
select share.errands, answer.precondition_id::text, answer.dependent_id::text, answer.settled
from share
left join (
    select held.precondition_id, held.dependent_id, null::boolean as settled
    from held
    join ruled on ruled.id = held.id
    where held.is_free
        and ruled.rule in ('on', 'done')
    union all
    select null, job_id, bool_or(kind = 'settle' and other_id is null)
    from ruled
    where rule = 'done'
    group by job_id
) as answer on true
