-- Lets held jobs go: ready, or scheduled when their date is still to come. One with a gate waits until the engine has
-- evaluated that, which only it can do without waiting for anyone.
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
    select place.id, exists (select from gristmill_gate where job_id = place.id offset 0) as has_gate
    from wanted
    cross join lateral (
        select id
        from gristmill_waiting
        where id = wanted.id
            and held
        for update skip locked
    ) as place
),
gated as (
    update gristmill_waiting as place
    set held = false,
        held_reason = null
    where place.id = any (array(select id from free_waiting where has_gate))
    returning place.id, place.token
),
evaluated as (
    insert into gristmill_propagation (kind, job_id, due_at)
    select 'evaluate', gated.id, clock.now
    from gated
    cross join clock
),
left_waiting as (
    delete from gristmill_waiting as place
    where place.id = any (array(select id from free_waiting where not has_gate))
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
    insert into gristmill_ready ({place})
    select {place}
    from left_waiting
    where run_after is null
        or run_after <= (select now from clock)
),
scheduled as (
    insert into gristmill_scheduled ({place})
    select {place}
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
