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
    cross join lateral (
        select id
        from gristmill_ready
        where id = wanted.id
        for update skip locked
    ) as place
),
left_ready as (
    delete from gristmill_ready as place
    where place.id = any (array(select id from free_ready))
    returning place.*
),
free_scheduled as materialized (
    select place.id
    from wanted
    cross join lateral (
        select id
        from gristmill_scheduled
        where id = wanted.id
        for update skip locked
    ) as place
),
left_scheduled as (
    delete from gristmill_scheduled as place
    where place.id = any (array(select id from free_scheduled))
    returning place.*
),
gone as materialized (
    select {place}
    from left_ready
    union all
    select {place}
    from left_scheduled
),
kept as (
    insert into gristmill_waiting ({place}, held, held_reason)
    select {place}, true, $3
    from gone
),
free_waiting as materialized (
    select place.id
    from wanted
    cross join lateral (
        select id
        from gristmill_waiting
        where id = wanted.id
            and not held
        for update skip locked
    ) as place
),
kept_waiting as (
    update gristmill_waiting as place
    set held = true,
        held_reason = $3
    where place.id = any (array(select id from free_waiting))
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
