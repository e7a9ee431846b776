-- Gives jobs that have not started another priority, another queue, or both, wherever they are kept until then.
-- $1 job ids, as a list
-- $2 actor
-- $3 priority, or null for the one that each has
-- $4 queue name, or null for the one that each has
-- $5 backends that have that queue, as a list; null for any
-- $6 now, or null for the server's clock
-- Gives (id, token, changed, or "refused: " and why). A job that is missing has started or ended, or someone was moving it.
-- Index: primary keys, one probe a job and place.
-- What was asked is changed as well, without a lock that an enqueue which waits for the job would mind.
with clock as materialized (
    select coalesce($6::timestamp at time zone 'utc', clock_timestamp()) as now
),
wanted as materialized (
    select distinct value::uuid as id
    from json_array_elements_text($1::json) as value
),
free_ready as materialized (
    select place.*
    from wanted
    cross join lateral (
        select id, token, backend, queue_name, priority
        from gristmill_ready
        where id = wanted.id
        for update skip locked
    ) as place
),
free_scheduled as materialized (
    select place.*
    from wanted
    cross join lateral (
        select id, token, backend, queue_name, priority
        from gristmill_scheduled
        where id = wanted.id
        for update skip locked
    ) as place
),
free_waiting as materialized (
    select place.*
    from wanted
    cross join lateral (
        select id, token, backend, queue_name, priority
        from gristmill_waiting
        where id = wanted.id
        for update skip locked
    ) as place
),
free as materialized (
    select * from free_ready
    union all
    select * from free_scheduled
    union all
    select * from free_waiting
),
found as materialized (
    select
        free.id,
        free.token,
        case
            when $4::text is not null and $5::json is not null
                and free.backend not in (select json_array_elements_text($5::json))
                then 'refused: its backend has no such queue'
            when free.priority = coalesce($3::smallint, free.priority)
                and free.queue_name = coalesce($4, free.queue_name)
                then 'refused: it is like that already'
            else 'changed'
        end as done
    from free
    cross join lateral (
        select id
        from gristmill_job
        where id = free.id
        for no key update skip locked
    ) as job
),
asked as (
    update gristmill_job as job
    set priority = coalesce($3::smallint, job.priority),
        queue_name = coalesce($4, job.queue_name)
    where job.id = any (array(select id from found where done = 'changed'))
),
changed_ready as (
    update gristmill_ready as place
    set priority = coalesce($3::smallint, place.priority),
        queue_name = coalesce($4, place.queue_name)
    where place.id = any (array(select id from found where done = 'changed'))
),
changed_scheduled as (
    update gristmill_scheduled as place
    set priority = coalesce($3::smallint, place.priority),
        queue_name = coalesce($4, place.queue_name)
    where place.id = any (array(select id from found where done = 'changed'))
),
changed_waiting as (
    update gristmill_waiting as place
    set priority = coalesce($3::smallint, place.priority),
        queue_name = coalesce($4, place.queue_name)
    where place.id = any (array(select id from found where done = 'changed'))
),
acted as (
    insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
    select gen_random_uuid(), found.id, 'change', found.token, $2, clock.now
    from found
    cross join clock
    where found.done = 'changed'
)
select id::text, token, done
from found
order by id
