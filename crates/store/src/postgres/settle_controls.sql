-- Carries out the wishes to cancel that no running attempt will: of jobs that are to run again, which end here, and of
-- jobs that have ended or are gone, of which the wish is dropped.
-- $1 now, or null for the server's clock
-- $2 limit
-- Gives how many it settled. What someone is moving stays for the next time.
-- The end of a job that others wait for is spread to them later.
-- Index: primary keys, one probe a wish and place; there are as many wishes as people have asked for.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
stray as materialized (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit $2::bigint
    for update of wish skip locked
),
free_ready as materialized (
    select place.id
    from stray
    join gristmill_ready as place on place.id = stray.job_id
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
    from stray
    join gristmill_scheduled as place on place.id = stray.job_id
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
    from stray
    join gristmill_waiting as place on place.id = stray.job_id
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
waits as materialized (
    select place.id
    from stray
    join gristmill_ready as place on place.id = stray.job_id
    union all
    select place.id
    from stray
    join gristmill_scheduled as place on place.id = stray.job_id
    union all
    select place.id
    from stray
    join gristmill_waiting as place on place.id = stray.job_id
),
settled as (
    delete from gristmill_control as wish
    using stray
    where wish.job_id = stray.job_id
        and (stray.job_id in (select id from gone) or stray.job_id not in (select id from waits))
    returning wish.job_id
)
select count(*)
from settled
