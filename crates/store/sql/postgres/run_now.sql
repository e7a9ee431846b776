-- Makes scheduled jobs due now: those that have a date of their own, and those that wait for their next try.
-- $1 job ids, as a list
-- $2 actor
-- $3 now, or null for the server's clock
-- Gives (id, token, readied). A job that is missing is not scheduled, or someone was moving it.
-- Index: primary keys, one probe a job.
-- A deadline that followed from the date follows from this one; an earlier one stays.
with clock as materialized (
    select coalesce($3::timestamp at time zone 'utc', clock_timestamp()) as now
),
wanted as materialized (
    select distinct value::uuid as id
    from json_array_elements_text($1::json) as value
),
free_scheduled as materialized (
    select place.id, job.deadline as own_deadline
    from wanted
    cross join lateral (
        select id
        from gristmill_scheduled
        where id = wanted.id
        for update skip locked
    ) as place
    cross join lateral (
        select deadline
        from gristmill_job
        where id = place.id
        offset 0
    ) as job
),
left_scheduled as (
    delete from gristmill_scheduled as place
    where place.id = any (array(select id from free_scheduled))
    returning place
),
-- The row with two of its columns new, so that none of the others has to be named.
due as materialized (
    select sooner.*
    from left_scheduled
    cross join clock
    cross join lateral json_populate_record(
        left_scheduled.place,
        json_build_object(
            'run_after', clock.now,
            'deadline', least(
                (left_scheduled.place).deadline,
                case
                    when (left_scheduled.place).id = any (array(select id from free_scheduled where own_deadline is null))
                        then clock.now + interval '168 hours'
                end
            )
        )
    ) as sooner
),
readied as (
    insert into gristmill_ready ({place})
    select {place}
    from due
),
acted as (
    insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
    select gen_random_uuid(), due.id, 'run now', due.token, $2, clock.now
    from due
    cross join clock
)
select id::text, token, 'readied'
from due
order by id
