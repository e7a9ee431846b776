-- Looks whether one job that got more preconditions, or waits for its own again, can be reached from itself over jobs that
-- wait; if so, it fails. Whatever the edges say: they may be about to change. Runs after check_lock.sql, in its transaction.
-- $1 now, or null for the server's clock
-- Gives the job and whether it failed, or no row where none is to be looked at.
-- Index: gristmill_errand_due, both kinds; gristmill_edge_dependent, a range for each job above it, each once.
with recursive clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
picked as materialized (
    select id, job_id
    from gristmill_errand
    where kind in ('settle', 'judge')
        and checks
        and due_at <= (select now from clock)
    order by due_at, id
    limit 1
    for update skip locked
),
above (id) as (
    select edge.precondition_id
    from picked
    join gristmill_waiting as waiting on waiting.id = picked.job_id
    join gristmill_edge as edge on edge.dependent_id = picked.job_id
    union
    select edge.precondition_id
    from above
    join gristmill_waiting as waiting on waiting.id = above.id
    join gristmill_edge as edge on edge.dependent_id = above.id
),
closed as materialized (
    select picked.id, picked.job_id
    from picked
    where exists (
        select
        from above
        where above.id = picked.job_id
    )
),
free as materialized (
    select waiting.id
    from closed
    join gristmill_waiting as waiting on waiting.id = closed.job_id
    for update of waiting skip locked
),
given_up as (
    delete from gristmill_waiting as waiting
    using free
    where waiting.id = free.id
    returning waiting.*
),
resulted as (
    insert into gristmill_result (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, reason, prune_at
    )
    select
        given_up.id, given_up.backend, given_up.queue_name, given_up.task_name, given_up.priority, given_up.run_after,
        given_up.deadline, given_up.token, given_up.generation,
        given_up.failures, given_up.crashes, given_up.losses, given_up.postpones, given_up.interruptions,
        given_up.started_at, given_up.awaited, clock.now, 'failed', 'cycle',
        case
            when job.options like '%"retention"%'
            then clock.now + interval '1 second' * greatest(60, least(3162240000, substring(
                job.options from '"retention":\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)'
            )::double precision))
        end
    from given_up
    cross join clock
    join gristmill_job as job on job.id = given_up.id
),
unlocked as (
    delete from gristmill_unique_key as held
    using given_up, clock
    where held.job_id = given_up.id
        and held.until <> 'pruned'
        and (held.expires_at is null or held.expires_at > clock.now)
),
dropped as (
    delete from gristmill_control as wish
    using given_up
    where wish.job_id = given_up.id
),
spread as (
    insert into gristmill_errand (kind, job_id, due_at)
    select 'spread', given_up.id, clock.now
    from given_up
    cross join clock
    where given_up.awaited
),
-- Its edges are held against their preconditions all the same: a retry goes by them.
checked as (
    update gristmill_errand as errand
    set checks = false
    from picked
    where errand.id = picked.id
        and (picked.id not in (select id from closed) or picked.job_id in (select id from given_up))
),
put_off as (
    update gristmill_errand as errand
    set due_at = clock.now + interval '50 milliseconds'
    from closed, clock
    where errand.id = closed.id
        and closed.job_id not in (select id from free)
)
select picked.job_id::text, given_up.id is not null
from picked
left join given_up on given_up.id = picked.job_id
