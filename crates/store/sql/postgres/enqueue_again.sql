-- Writes down beside two jobs that one was enqueued because of the other, with other arguments.
-- $1 the job that was there
-- $2 the new one
-- $3 actor
-- $4 now, or null for the server's clock
-- Gives (id, token, enqueued) of the new one. No row: one of them is not there.
-- Index: primary keys, one probe a job.
with clock as materialized (
    select coalesce($4::timestamp at time zone 'utc', clock_timestamp()) as now
),
pair as materialized (
    select former.id as former_id, made.id as made_id
    from (select id from gristmill_job where id = $1::uuid for key share) as former
    cross join (select id from gristmill_job where id = $2::uuid for key share) as made
),
acted as (
    insert into gristmill_action (id, job_id, verb, token, actor, acted_at, other_id)
    select gen_random_uuid(), pair.former_id, 'enqueue again', 0, $3::text, clock.now, pair.made_id
    from pair
    cross join clock
    union all
    select gen_random_uuid(), pair.made_id, 'enqueue', 0, $3::text, clock.now, pair.former_id
    from pair
    cross join clock
)
select made_id::text, 0::bigint, 'enqueued'
from pair
