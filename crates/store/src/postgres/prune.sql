-- Forgets jobs that have ended, with everything about them: those past a retention of their own, and those without one that
-- ended longer ago than the usual one. Nothing that ended less than 60 s ago.
-- $1 now, or null for the server's clock
-- $2 the usual retention, in seconds
-- $3 limit
-- Gives how many it forgot. What another worker is forgetting is skipped.
-- Index: gristmill_result_prune_at and gristmill_result_prune, each from its start; then primary keys.
with clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
due as materialized (
    select id
    from gristmill_result
    where prune_at <= (select now from clock)
        and finished_at <= (select now - interval '60 seconds' from clock)
    order by prune_at
    limit $3::bigint
    for update skip locked
),
old as materialized (
    select id
    from gristmill_result
    where prune_at is null
        and finished_at <= (
            select now - interval '1 second' * greatest(60, least(3162240000, $2::double precision))
            from clock
        )
    order by finished_at, id
    limit $3::bigint - (select count(*) from due)
    for update skip locked
),
picked as materialized (
    select id
    from due
    union all
    select id
    from old
),
forgotten as (
    delete from gristmill_result as result
    using picked
    where result.id = picked.id
    returning result.id
),
attempts as (
    delete from gristmill_attempt as attempt
    using picked
    where attempt.job_id = picked.id
),
sayings as (
    delete from gristmill_progress as saying
    using picked
    where saying.job_id = picked.id
),
wishes as (
    delete from gristmill_control as wish
    using picked
    where wish.job_id = picked.id
),
acts as (
    delete from gristmill_action as act
    using picked
    where act.job_id = picked.id
),
locks as (
    delete from gristmill_unique_key as lock
    using picked
    where lock.job_id = picked.id
),
jobs as (
    delete from gristmill_job as job
    using picked
    where job.id = picked.id
)
select count(*)
from forgotten
