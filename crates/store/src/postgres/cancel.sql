-- Cancels jobs: those that wait end at once and free their unique keys, for those that run a wish is written down, which
-- holds for the attempt of this token and any later one until the job has ended.
-- $1 job ids, as a list
-- $2 actor
-- $3 now, or null for the server's clock
-- Gives (id, token, cancelled or asked). A job that is missing has ended, or someone was moving it: ask again.
-- The end of a job that others wait for is spread to them later.
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
free_waiting as materialized (
    select place.id
    from wanted
    join gristmill_waiting as place on place.id = wanted.id
    order by place.id
    for update of place skip locked
),
left_waiting as (
    delete from gristmill_waiting as place
    using free_waiting as free
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
    union all
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from left_waiting
),
resulted as (
    insert into gristmill_result (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, prune_at
    )
    select
        gone.id, gone.backend, gone.queue_name, gone.task_name, gone.priority, gone.run_after, gone.deadline,
        gone.token, gone.generation, gone.failures, gone.crashes, gone.losses, gone.postpones, gone.interruptions,
        gone.started_at, gone.awaited, clock.now, 'cancelled',
        case
            when job.options like '%"retention"%'
            then clock.now + interval '1 second' * greatest(60, least(3162240000, substring(
                job.options from '"retention":\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)'
            )::double precision))
        end
    from gone
    cross join clock
    join gristmill_job as job on job.id = gone.id
),
spread as (
    insert into gristmill_errand (kind, job_id, due_at)
    select 'spread', gone.id, clock.now
    from gone
    cross join clock
    where gone.awaited
),
unlocked as (
    delete from gristmill_unique_key as held
    using gone, clock
    where held.job_id = gone.id
        and held.until <> 'pruned'
        and (held.expires_at is null or held.expires_at > clock.now)
),
dropped as (
    delete from gristmill_control as wish
    using gone
    where wish.job_id = gone.id
),
running as materialized (
    select running.id, running.token
    from wanted
    join gristmill_running as running on running.id = wanted.id
),
wished as (
    insert into gristmill_control (job_id, token, asked_at)
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
