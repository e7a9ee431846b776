-- Forgets jobs that have ended, with everything about them: those past a retention of their own, and those without one that
-- ended longer ago than the usual one. Nothing that ended less than 60 s ago.
-- $1 now, or null for the server's clock
-- $2 the usual retention, in seconds
-- $3 limit
-- Never one that a job waits for which has not ended: that is looked at again in ten minutes. One with very many
-- preconditions loses some of its edges each time, and goes with the last.
-- Gives how many it forgot. What another worker is forgetting is skipped.
-- Index: gristmill_result_prune_at and gristmill_result_prune, each from its start; then primary keys.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
due as materialized (
    select id
    from gristmill_result
    where prune_at <= (select now from clock)
        and finished_at <= (select now - interval '60 seconds' from clock)
    order by prune_at
    limit $3::bigint
    for update skip locked
),
old as materialized (
    select id
    from gristmill_result
    where prune_at is null
        and finished_at <= (
            select now - interval '1 second' * greatest(60, least(3162240000, $2::double precision))
            from clock
        )
    order by finished_at, id
    limit $3::bigint - (select count(*) from due)
    for update skip locked
),
found as materialized (
    select id
    from due
    union all
    select id
    from old
),
needed as materialized (
    select found.id
    from found
    where exists (
        select
        from gristmill_edge as edge
        join gristmill_job as dependent on dependent.id = edge.dependent_id
        left join gristmill_result as ended on ended.id = edge.dependent_id
        where edge.precondition_id = found.id
            and ended.id is null
    )
),
put_off as (
    update gristmill_result as result
    set prune_at = clock.now + interval '10 minutes'
    from needed, clock
    where result.id = needed.id
),
sized as materialized (
    select found.id, edges.held, sum(edges.held) over (order by edges.held, found.id) as held_so_far
    from found
    cross join lateral (
        select count(*) as held
        from (
            select
            from gristmill_edge
            where dependent_id = found.id
            limit 1001
        ) as edge
    ) as edges
    where found.id not in (select id from needed)
),
picked as materialized (
    select id
    from sized
    where held <= 1000
        and held_so_far <= 20000
),
thinned as materialized (
    select edge.precondition_id, edge.dependent_id
    from gristmill_edge as edge
    where edge.dependent_id = (select id from sized where held > 1000 order by id limit 1)
    limit 5000
),
thinner as (
    delete from gristmill_edge as edge
    using thinned
    where edge.precondition_id = thinned.precondition_id
        and edge.dependent_id = thinned.dependent_id
),
edges as (
    delete from gristmill_edge as edge
    using picked
    where edge.dependent_id = picked.id
),
gates as (
    delete from gristmill_gate as gate
    using picked
    where gate.job_id = picked.id
),
forgotten as (
    delete from gristmill_result as result
    using picked
    where result.id = picked.id
    returning result.id
),
attempts as (
    delete from gristmill_attempt as attempt
    using picked
    where attempt.job_id = picked.id
),
sayings as (
    delete from gristmill_progress as saying
    using picked
    where saying.job_id = picked.id
),
wishes as (
    delete from gristmill_control as wish
    using picked
    where wish.job_id = picked.id
),
acts as (
    delete from gristmill_action as act
    using picked
    where act.job_id = picked.id
),
locks as (
    delete from gristmill_unique_key as lock
    using picked
    where lock.job_id = picked.id
),
jobs as (
    delete from gristmill_job as job
    using picked
    where job.id = picked.id
)
select count(*)
from forgotten
