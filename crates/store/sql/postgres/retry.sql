-- Begins a new generation of jobs that have ended: ready at once, with fresh counts, or waiting until its gate has been
-- evaluated anew. The token stays, so that the next claim's is greater. A cancel request goes with the old generation. What
-- waits for the job is told that it is open again.
-- $1 job ids, as a list
-- $2 actor
-- $3 now, or null for the server's clock
-- Gives (id, token, retried, or "refused: " and why). A job takes its unique key again, and is refused where another
-- has it; unless the key has run out by now, which needs none. A job that is missing has not ended, or someone was moving it.
-- Index: primary keys, one probe a job.
with clock as materialized (
    select coalesce($3::timestamp at time zone 'utc', clock_timestamp()) as now
),
wanted as materialized (
    select distinct value::uuid as id
    from json_array_elements_text($1::json) as value
),
ended as materialized (
    select
        result.id, result.token, job.unique_key, job.unique_until,
        job.enqueued_at + job.unique_period * interval '1 second' as expires_at
    from wanted
    cross join lateral (
        select id, token
        from gristmill_result
        where id = wanted.id
        for update skip locked
    ) as result
    cross join lateral (
        select unique_key, unique_until, unique_period, enqueued_at
        from gristmill_job
        where id = result.id
        offset 0
    ) as job
),
-- What needs its key again.
keyed as materialized (
    select *
    from ended
    where unique_until <> 'pruned'
        and (expires_at is null or expires_at > (select now from clock))
),
expired as materialized (
    select held.key
    from (select distinct unique_key as key from keyed order by unique_key) as wanted
    cross join lateral (
        select key
        from gristmill_unique_key
        where key = wanted.key
            and expires_at <= (select now from clock)
        for update
    ) as held
),
released as (
    delete from gristmill_unique_key as held
    where held.key = any (array(select key from expired))
    returning held.key
),
taken as (
    insert into gristmill_unique_key (key, job_id, until, expires_at)
    select unique_key, id, unique_until, expires_at
    from (
        select distinct on (unique_key) unique_key, id, unique_until, expires_at
        from keyed
        order by unique_key, id
    ) as first
    where (select count(*) from released) is not null
    on conflict do nothing
    returning job_id
),
examined as materialized (
    select
        ended.id,
        ended.token,
        keyed.id is null or taken.job_id is not null as free
    from ended
    left join keyed on keyed.id = ended.id
    left join taken on taken.job_id = ended.id
),
left_result as (
    delete from gristmill_result as place
    where place.id = any (array(select id from examined where free))
    returning place.*
),
reopened as materialized (
    select left_result.*, exists (select from gristmill_gate where job_id = left_result.id offset 0) as has_gate
    from left_result
),
-- Without its date: a retry runs as soon as it may.
readied as (
    insert into gristmill_ready ({carried}, token, generation)
    select {carried}, token, generation + 1
    from reopened
    where not has_gate
),
kept as (
    insert into gristmill_waiting ({carried}, token, generation)
    select {carried}, token, generation + 1
    from reopened
    where has_gate
),
propagations as (
    insert into gristmill_propagation (kind, job_id, checks, due_at)
    select 'evaluate', reopened.id, true, clock.now
    from reopened
    cross join clock
    where reopened.has_gate
    union all
    select 'notify', left_result.id, false, clock.now
    from left_result
    cross join clock
    where left_result.awaited
),
dropped as (
    delete from gristmill_cancel_request as request
    where request.job_id = any (array(select id from left_result))
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
from examined
order by id
