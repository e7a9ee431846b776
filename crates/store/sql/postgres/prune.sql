-- Forgets jobs that have ended, with everything about them: those past a retention of their own, and those without one that
-- ended longer ago than the usual one. Nothing that ended less than 60 s ago.
-- $1 now, or null for the server's clock
-- $2 the usual retention, in seconds
-- $3 limit
-- Never one that a job waits for which has not ended, or that someone's open transaction begins to wait for: that is looked
-- at again in ten minutes. One with very many preconditions loses some of its edges each time, and goes with the last.
-- Gives how many it forgot. What another worker is forgetting, or someone holds, is skipped; so is a job whose key somebody
-- holds, who takes it over because it has expired, perhaps: nobody is waited for with locks in hand.
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
-- Who begins to wait for a job has it locked until they commit.
kept as materialized (
    select job.id
    from found
    cross join lateral (
        select id
        from gristmill_job
        where id = found.id
        for update skip locked
    ) as job
),
held_key as materialized (
    select held.key, held.job_id
    from kept
    cross join lateral (
        select key, job_id
        from gristmill_unique_key
        where job_id = kept.id
        offset 0
    ) as held
),
free_key as materialized (
    select held.key
    from held_key
    cross join lateral (
        select key
        from gristmill_unique_key
        where key = held_key.key
        for update skip locked
    ) as held
),
-- Asked of each once it is locked, and of what is true then: its last holder may have committed since this began.
needed as materialized (
    select kept.id
    from kept
    where gristmill_is_awaited(kept.id)
    union all
    select job_id
    from held_key
    where key not in (select key from free_key)
    union all
    select found.id
    from found
    where found.id not in (select id from kept)
        and exists (select from gristmill_job where id = found.id offset 0)
),
put_off as (
    update gristmill_result as result
    set prune_at = clock.now + interval '10 minutes'
    from clock
    where result.id = any (array(select id from needed))
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
    where edge.precondition_id = any (array(select precondition_id from thinned))
        and edge.dependent_id = (select dependent_id from thinned limit 1)
),
edges as (
    delete from gristmill_edge as edge
    where edge.dependent_id = any (array(select id from picked))
),
gates as (
    delete from gristmill_gate as gate
    where gate.job_id = any (array(select id from picked))
),
forgotten as (
    delete from gristmill_result as result
    where result.id = any (array(select id from picked))
    returning result.id
),
attempts as (
    delete from gristmill_attempt as attempt
    where attempt.job_id = any (array(select id from picked))
),
sayings as (
    delete from gristmill_progress as saying
    where saying.job_id = any (array(select id from picked))
),
requests as (
    delete from gristmill_cancel_request as request
    where request.job_id = any (array(select id from picked))
),
acts as (
    delete from gristmill_action as act
    where act.job_id = any (array(select id from picked))
),
locks as (
    delete from gristmill_unique_key as lock
    where lock.key = any (array(select key from free_key))
        and lock.job_id = any (array(select id from picked))
),
jobs as (
    delete from gristmill_job as job
    where job.id = any (array(select id from picked))
)
select count(*)
from forgotten
