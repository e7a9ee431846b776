-- Takes up errands that tell what waits for a job what became of it: locks the gates of the next dependents, and notes how far
-- it has come. What sync.sql then changes is committed with it.
-- $1 now, or null for the server's clock
-- $2 errands at most
-- $3 dependents, shared out among the errands; each looks at one more than its share, so that who has no more is done
-- Gives, with how many errands it took up, each (precondition, dependent) whose gate it has locked; one row of nulls for none.
-- Index: gristmill_errand_due from the kind's start; gristmill_edge's primary key, a range an errand; gates by theirs.
-- Nothing waits here: a gate that someone holds is left for later, in an errand of its own where others went on.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
picked as materialized (
    select id, job_id, other_id, seen
    from gristmill_errand
    where kind = 'spread'
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
    join gristmill_gate as gate on gate.job_id = wanted.dependent_id
    order by gate.job_id
    for update of gate skip locked
),
judged as materialized (
    select next.*, free.job_id is not null as is_free
    from next
    left join free on free.job_id = next.dependent_id
),
told as materialized (
    select
        picked.id,
        count(judged.id) as seen,
        count(judged.id) filter (where judged.is_free) as free,
        max(judged.dependent_id::text)::uuid as last
    from picked
    left join judged on judged.id = picked.id
    group by picked.id
),
done as (
    delete from gristmill_errand as errand
    using told, share
    where errand.id = told.id
        and told.seen <= share.edges
        and (told.seen = 0 or told.free > 0)
),
gone_on as (
    update gristmill_errand as errand
    set seen = told.last
    from told, share
    where errand.id = told.id
        and told.seen > share.edges
        and told.free > 0
),
put_off as (
    update gristmill_errand as errand
    set due_at = clock.now + interval '50 milliseconds'
    from told, clock
    where errand.id = told.id
        and told.seen > 0
        and told.free = 0
),
left_behind as (
    insert into gristmill_errand (kind, job_id, other_id, due_at)
    select 'spread', judged.precondition_id, judged.dependent_id, clock.now + interval '50 milliseconds'
    from judged
    join told on told.id = judged.id
    cross join clock
    where not judged.is_free
        and told.free > 0
)
select share.errands, judged.precondition_id::text, judged.dependent_id::text
from share
left join judged on judged.is_free
