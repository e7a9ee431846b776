-- Forgets these jobs that have ended, with everything about them, however long ago they did: somebody has chosen them.
-- $1 job ids, as a list
-- Never one that a job waits for which has not ended, or that someone's open transaction begins to wait for. One with very many
-- preconditions loses some of its edges each time, and goes with the last.
-- Gives (id, token, forgotten or thinned or refused: why); thinned: ask again. A job that is missing has not ended, or is being
-- moved or forgotten by someone else at this moment: nobody is waited for with locks in hand.
-- Index: primary keys, one probe a job.
with asked as materialized (
    select distinct value::uuid as id
    from json_array_elements_text($1::json)
),
found as materialized (
    select ended.id, ended.token
    from asked
    cross join lateral (
        select id, token
        from gristmill_result
        where id = asked.id
        for update skip locked
    ) as ended
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
    select kept.id, 'a job waits for it that has not ended' as why
    from kept
    where gristmill_is_awaited(kept.id)
    union all
    select job_id, 'someone takes its unique key over'
    from held_key
    where key not in (select key from free_key)
    union all
    select found.id, 'a job begins to wait for it'
    from found
    where found.id not in (select id from kept)
        and exists (select from gristmill_job where id = found.id offset 0)
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
select
    found.id::text,
    found.token,
    case
        when found.id in (select id from picked) then 'forgotten'
        else coalesce('refused: ' || (select min(why) from needed where needed.id = found.id), 'thinned')
    end
from found
