-- Takes up propagations that tell what waits for a job what became of it: locks the gates of the next dependents, and notes
-- how far it has come. What sync.sql then changes is committed with it.
-- $1 now, or null for the server's clock
-- $2 propagations at most
-- $3 dependents, shared out among the propagations; each looks at one more than its share, so that who has no more is done
-- $4 whether to lock the edges too, so that sync.sql waits for none that someone holds
-- Gives, with how many propagations it took up, each (precondition, dependent) whose gate it has locked; one row of nulls for
-- none.
-- Index: gristmill_propagation_due from the kind's start; gristmill_edge's primary key, a range a propagation; gates by
-- theirs.
-- Nothing waits here: a gate that someone holds is left for later, in a propagation of its own where others went on.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
picked as materialized (
    select id, job_id, other_id, seen
    from gristmill_propagation
    where kind = 'notify'
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
    select picked.id, picked.job_id as precondition_id, edge.dependent_id
    from picked
    cross join lateral (
        select dependent_id
        from gristmill_edge
        where precondition_id = picked.job_id
            and dependent_id >= coalesce(picked.other_id, picked.seen, '00000000-0000-0000-0000-000000000000')
            and dependent_id <= coalesce(picked.other_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            and dependent_id is distinct from picked.seen
        order by dependent_id
        limit (select edges + 1 from share)
    ) as edge
),
free as materialized (
    select gate.job_id
    from (select distinct dependent_id from next) as wanted
    cross join lateral (
        select job_id
        from gristmill_gate
        where job_id = wanted.dependent_id
        for update skip locked
    ) as gate
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
examined as materialized (
    select
        next.*,
        free.job_id is not null
        and (
            not $4::boolean
            or (next.precondition_id, next.dependent_id) in (select precondition_id, dependent_id from free_edge)
        ) as is_free
    from next
    left join free on free.job_id = next.dependent_id
),
told as materialized (
    select
        picked.id,
        count(examined.id) as seen,
        count(examined.id) filter (where examined.is_free) as free,
        max(examined.dependent_id::text)::uuid as last
    from picked
    left join examined on examined.id = picked.id
    group by picked.id
),
done as (
    delete from gristmill_propagation as propagation
    where propagation.id = any (array(
        select told.id
        from told
        cross join share
        where told.seen <= share.edges
            and (told.seen = 0 or told.free > 0)
    ))
),
gone_on as (
    update gristmill_propagation as propagation
    set seen = told.last
    from told
    cross join share
    where propagation.id = any (array(
            select told.id
            from told
            cross join share
            where told.seen > share.edges
                and told.free > 0
        ))
        and propagation.id = told.id
),
put_off as (
    update gristmill_propagation as propagation
    set due_at = clock.now + interval '50 milliseconds'
    from clock
    where propagation.id = any (array(select id from told where seen > 0 and free = 0))
),
left_behind as (
    insert into gristmill_propagation (kind, job_id, other_id, due_at)
    select 'notify', examined.precondition_id, examined.dependent_id, clock.now + interval '50 milliseconds'
    from examined
    join told on told.id = examined.id
    cross join clock
    where not examined.is_free
        and told.free > 0
)
select share.propagations, examined.precondition_id::text, examined.dependent_id::text
from share
left join examined on examined.is_free
