-- Keeps back jobs that have not started, until someone releases them; their gates go on counting.
-- $1 job ids, as a list
-- $2 actor
-- $3 reason, or null
-- $4 now, or null for the server's clock
-- Gives (id, token, held). A job that is missing is in no place to be held, or someone was moving it.
-- Index: primary keys, one probe a job and place.
with clock as materialized (
    select coalesce($4::timestamp at time zone 'utc', clock_timestamp()) as now
),
wanted as materialized (
    select distinct value::uuid as id
    from json_array_elements_text($1::json) as value
),
free_ready as materialized (
    select place.id
    from wanted
    join gristmill_ready as place on place.id = wanted.id
    order by place.id
    for update of place skip locked
),
left_ready as (
    delete from gristmill_ready as place
    using free_ready as free
    where place.id = free.id
    returning place.*
),
free_scheduled as materialized (
    select place.id
    from wanted
    join gristmill_scheduled as place on place.id = wanted.id
    order by place.id
    for update of place skip locked
),
left_scheduled as (
    delete from gristmill_scheduled as place
    using free_scheduled as free
    where place.id = free.id
    returning place.*
),
gone as materialized (
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from left_ready
    union all
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from left_scheduled
),
kept as (
    insert into gristmill_waiting (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited, held, held_reason
    )
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited, true, $3
    from gone
),
free_waiting as materialized (
    select place.id
    from wanted
    join gristmill_waiting as place on place.id = wanted.id
        and not place.held
    order by place.id
    for update of place skip locked
),
kept_waiting as (
    update gristmill_waiting as place
    set held = true,
        held_reason = $3
    from free_waiting as free
    where place.id = free.id
    returning place.id, place.token
),
found as materialized (
    select id, token
    from gone
    union all
    select id, token
    from kept_waiting
),
acted as (
    insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
    select gen_random_uuid(), found.id, 'hold', found.token, $2, clock.now
    from found
    cross join clock
)
select id::text, token, 'held'
from found
order by id
