-- Lets held jobs go: ready, or scheduled when their date is still to come. One with a gate waits until the engine has
-- judged that, which only it can do without waiting for anyone.
-- $1 job ids, as a list
-- $2 actor
-- $3 now, or null for the server's clock
-- Gives (id, token, released). A job that is missing is not held, or someone was moving it.
-- Index: primary keys, one probe a job.
with clock as materialized (
    select coalesce($3::timestamp at time zone 'utc', clock_timestamp()) as now
),
wanted as materialized (
    select distinct value::uuid as id
    from json_array_elements_text($1::json) as value
),
free_waiting as materialized (
    select place.id
    from wanted
    join gristmill_waiting as place on place.id = wanted.id
        and place.held
    order by place.id
    for update of place skip locked
),
gated as (
    update gristmill_waiting as place
    set held = false,
        held_reason = null
    from free_waiting as free
    join gristmill_gate as gate on gate.job_id = free.id
    where place.id = free.id
    returning place.id, place.token
),
judged as (
    insert into gristmill_errand (kind, job_id, due_at)
    select 'judge', gated.id, clock.now
    from gated
    cross join clock
),
left_waiting as (
    delete from gristmill_waiting as place
    using free_waiting as free
    where place.id = free.id
        and not exists (
            select
            from gristmill_gate as gate
            where gate.job_id = free.id
        )
    returning place.*
),
found as materialized (
    select id, token
    from left_waiting
    union all
    select id, token
    from gated
),
readied as (
    insert into gristmill_ready (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    )
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from left_waiting
    where run_after is null
        or run_after <= (select now from clock)
),
scheduled as (
    insert into gristmill_scheduled (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    )
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from left_waiting
    where run_after > (select now from clock)
),
acted as (
    insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
    select gen_random_uuid(), found.id, 'release', found.token, $2, clock.now
    from found
    cross join clock
)
select id::text, token, 'released'
from found
order by id
