-- Cancels jobs: those that wait end at once and free their unique keys, for those that run a request is written down, which
-- holds for the attempt of this token and any later one until the job has ended.
-- $1 job ids, as a list
-- $2 actor
-- $3 now, or null for the server's clock
-- Gives (id, token, cancelled or asked). A job that is missing has ended, or someone was moving it: ask again.
-- Jobs that wait for one that ends are notified later.
-- Index: primary keys, one probe a job and place.
-- It may be part of someone's long transaction, so it locks nothing of a job that runs: its end must not wait for this.
with clock as materialized (
    select coalesce($3::timestamp at time zone 'utc', clock_timestamp()) as now
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
free_waiting as materialized (
    select place.id
    from wanted
    cross join lateral (
        select id
        from gristmill_waiting
        where id = wanted.id
        for update skip locked
    ) as place
),
left_waiting as (
    delete from gristmill_waiting as place
    where place.id = any (array(select id from free_waiting))
    returning place.*
),
gone as materialized (
    select {place}
    from left_ready
    union all
    select {place}
    from left_scheduled
    union all
    select {place}
    from left_waiting
),
ending as materialized (
    select {gone.place}, 'cancelled' as state, null::text as reason, null::text as fingerprint, job.retention
    from gone
    cross join lateral (
        select retention
        from gristmill_job
        where id = gone.id
        offset 0
    ) as job
),
{ends},
running as materialized (
    select running.id, running.token
    from wanted
    cross join lateral (
        select id, token
        from gristmill_running
        where id = wanted.id
        offset 0
    ) as running
),
requested as (
    insert into gristmill_cancel_request (job_id, token, asked_at)
    select running.id, running.token, clock.now
    from running
    cross join clock
    order by running.id
    on conflict do nothing
),
found as materialized (
    select id, token, 'cancelled' as done
    from gone
    union all
    select id, token, 'asked'
    from running
),
acted as (
    insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
    select gen_random_uuid(), found.id, 'cancel', found.token, $2, clock.now
    from found
    cross join clock
)
select id::text, token, done
from found
order by id
