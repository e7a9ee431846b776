-- Looks whether jobs that got more preconditions, or wait for their own again, can be reached from themselves over jobs that
-- wait; if so, one of them fails. Whatever the edges say: they may be about to change. Runs after check_lock.sql, in its
-- transaction.
-- $1 now, or null for the server's clock
-- $2 propagations at most
-- Gives each job that was looked at, and whether it failed; no row where none is to be looked at.
-- Index: gristmill_propagation_due, both kinds; gristmill_edge_dependent, a range for each job above one of them, each once.
-- What a job waits for from its enqueue on was there before it. So a circle has a job on it that got preconditions later: it
-- postponed itself for them, or someone added them. Where none such lies above all of these jobs together, or none that can
-- be reached from itself, all of them are fine. Else they are looked at one by one.
with recursive clock as materialized (
    select coalesce($1::timestamp at time zone 'utc', clock_timestamp()) as now
),
picked as materialized (
    select id, job_id, due_at
    from gristmill_propagation
    where kind in ('resolve', 'evaluate')
        and checks
        and due_at <= (select now from clock)
    order by due_at, id
    limit $2::bigint
    for update skip locked
),
around (id) as (
    select job_id
    from picked
    union
    select edge.precondition_id
    from around
    cross join lateral (
        select edge.precondition_id
        from gristmill_edge as edge
        where edge.dependent_id = around.id
            and exists (select from gristmill_waiting where id = around.id offset 0)
        offset 0
    ) as edge
),
-- Each costs a walk of its own, so a few at most are walked from.
late as materialized (
    select around.id
    from around
    cross join lateral (
        select epoch
        from gristmill_gate
        where job_id = around.id
        offset 0
    ) as gate
    where exists (select from gristmill_waiting where id = around.id offset 0)
        and (
            gate.epoch > 1
            or exists (
                select
                from gristmill_action as act
                where act.job_id = around.id
                    and act.verb = 'add preconditions'
                offset 0
            )
        )
    limit 5
),
walk (start, id) as (
    select late.id, edge.precondition_id
    from late
    cross join lateral (
        select precondition_id
        from gristmill_edge
        where dependent_id = late.id
        offset 0
    ) as edge
    where (select count(*) from late) < 5
    union
    select walk.start, edge.precondition_id
    from walk
    cross join lateral (
        select edge.precondition_id
        from gristmill_edge as edge
        where edge.dependent_id = walk.id
            and exists (select from gristmill_waiting where id = walk.id offset 0)
        offset 0
    ) as edge
),
fine as materialized (
    select id, job_id
    from picked
    where (select count(*) from late) < 5
        and not exists (select from walk where walk.id = walk.start)
),
one as materialized (
    select id, job_id
    from picked
    where not exists (select from fine)
    order by due_at, id
    limit 1
),
above (id) as (
    select edge.precondition_id
    from one
    cross join lateral (
        select edge.precondition_id
        from gristmill_edge as edge
        where edge.dependent_id = one.job_id
            and exists (select from gristmill_waiting where id = one.job_id offset 0)
        offset 0
    ) as edge
    union
    select edge.precondition_id
    from above
    cross join lateral (
        select edge.precondition_id
        from gristmill_edge as edge
        where edge.dependent_id = above.id
            and exists (select from gristmill_waiting where id = above.id offset 0)
        offset 0
    ) as edge
),
closed as materialized (
    select one.id, one.job_id
    from one
    where exists (
        select
        from above
        where above.id = one.job_id
    )
),
free as materialized (
    select waiting.id
    from closed
    cross join lateral (
        select id
        from gristmill_waiting
        where id = closed.job_id
        for update skip locked
    ) as waiting
),
given_up as (
    delete from gristmill_waiting as waiting
    where waiting.id = any (array(select id from free))
    returning waiting.*
),
ending as materialized (
    select {given_up.place}, 'failed' as state, 'cycle' as reason, null::text as fingerprint, job.retention
    from given_up
    cross join lateral (
        select retention
        from gristmill_job
        where id = given_up.id
        offset 0
    ) as job
),
{ends},
looked_at as materialized (
    select id, job_id
    from fine
    union all
    select id, job_id
    from one
),
-- Its edges are held against their preconditions all the same: a retry goes by them.
checked as (
    update gristmill_propagation as propagation
    set checks = false
    where propagation.id = any (array(
        select id
        from looked_at
        where id not in (select id from closed)
            or job_id in (select id from given_up)
    ))
),
put_off as (
    update gristmill_propagation as propagation
    set due_at = clock.now + interval '50 milliseconds'
    from clock
    where propagation.id = any (array(select id from closed where job_id not in (select id from free)))
)
select looked_at.job_id::text, given_up.id is not null
from looked_at
left join given_up on given_up.id = looked_at.job_id
