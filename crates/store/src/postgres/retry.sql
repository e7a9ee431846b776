-- Begins a new generation of jobs that have ended: ready at once, with fresh counts, or waiting until its gate has been judged
-- anew. The token stays, so that the next claim's is greater. A wish to cancel goes with the old generation. What waits for
-- the job is told that it is open again.
-- $1 job ids, as a list
-- $2 actor
-- $3 now, or null for the server's clock
-- Gives (id, token, retried, or "refused: " and why). A job takes its unique key again, and is refused where another
-- has it. A job that is missing has not ended, or someone was moving it.
-- Index: primary keys, one probe a job.
with clock as materialized (
    select coalesce($3::timestamp at time zone 'utc', clock_timestamp()) as now
),
wanted as materialized (
    select distinct value::uuid as id
    from json_array_elements_text($1::json) as value
),
ended as materialized (
    select result.id, result.token, job.unique_key, job.unique_until
    from wanted
    join gristmill_result as result on result.id = wanted.id
    join gristmill_job as job on job.id = result.id
    order by result.id
    for update of result skip locked
),
expired as materialized (
    select held.key
    from ended
    join gristmill_unique_key as held on held.key = ended.unique_key
    where ended.unique_until <> 'pruned'
        and held.expires_at <= (select now from clock)
    order by held.key
    for update of held
),
released as (
    delete from gristmill_unique_key as held
    using expired
    where held.key = expired.key
    returning held.key
),
taken as (
    insert into gristmill_unique_key (key, job_id, until)
    select unique_key, id, unique_until
    from (
        select distinct on (unique_key) unique_key, id, unique_until
        from ended
        where unique_until <> 'pruned'
        order by unique_key, id
    ) as first
    where (select count(*) from released) is not null
    on conflict do nothing
    returning job_id
),
judged as materialized (
    select
        ended.id,
        ended.token,
        coalesce(ended.unique_until, 'pruned') = 'pruned' or taken.job_id is not null as free
    from ended
    left join taken on taken.job_id = ended.id
),
left_result as (
    delete from gristmill_result as place
    using judged
    where judged.free
        and place.id = judged.id
    returning place.*
),
gated as materialized (
    select left_result.id
    from left_result
    join gristmill_gate as gate on gate.job_id = left_result.id
),
-- Without its date: a retry runs as soon as it may.
readied as (
    insert into gristmill_ready (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, awaited
    )
    select
        id, backend, queue_name, task_name, priority, null, deadline, token, generation + 1,
        0, 0, 0, 0, 0, awaited
    from left_result
    where id not in (select id from gated)
),
kept as (
    insert into gristmill_waiting (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, awaited
    )
    select
        id, backend, queue_name, task_name, priority, null, deadline, token, generation + 1,
        0, 0, 0, 0, 0, awaited
    from left_result
    where id in (select id from gated)
),
errands as (
    insert into gristmill_errand (kind, job_id, checks, due_at)
    select 'judge', gated.id, true, clock.now
    from gated
    cross join clock
    union all
    select 'spread', left_result.id, false, clock.now
    from left_result
    cross join clock
    where left_result.awaited
),
dropped as (
    delete from gristmill_control as wish
    using left_result
    where wish.job_id = left_result.id
),
acted as (
    insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
    select gen_random_uuid(), left_result.id, 'retry', left_result.token, $2, clock.now
    from left_result
    cross join clock
)
select
    id::text,
    token,
    case when free then 'retried' else 'refused: another job has its unique key' end
from judged
order by id
