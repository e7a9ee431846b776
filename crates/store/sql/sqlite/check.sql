-- statements: 12
-- Looks whether jobs that got more preconditions, or wait for their own again, can be reached from themselves over jobs that
-- wait; if so, one of them fails. Whatever the edges say: they may be about to change.
-- ?1 now
-- ?2 propagations at most
-- Gives each job that was looked at, and whether it failed; no row where none is to be looked at.
-- Index: gristmill_propagation_due, both kinds; gristmill_edge_dependent, a range for each job above one of them, each once.
-- What a job waits for from its enqueue on was there before it. So a circle has a job on it that got preconditions later: it
-- postponed itself for them, or someone added them. Where none such lies above all of these jobs together, or none that can
-- be reached from itself, all of them are fine. Else they are looked at one by one.
create temp table if not exists gristmill_checked (
    id integer primary key,
    kind text not null,
    due_at text not null,
    job_id text not null,
    closes integer not null
);

delete from temp.gristmill_checked;

delete from temp.gristmill_ended;

insert into temp.gristmill_checked (id, kind, due_at, job_id, closes)
with recursive picked (id, kind, due_at, job_id) as materialized (
    select id, kind, due_at, job_id
    from gristmill_propagation indexed by gristmill_propagation_due
    where kind in ('resolve', 'evaluate')
        and checks
        and due_at <= ?1
    order by due_at, id
    limit ?2
),
around (id) as (
    select job_id
    from picked
    union
    select edge.precondition_id
    from around
    cross join gristmill_waiting as waiting
    cross join gristmill_edge as edge indexed by gristmill_edge_dependent
    where waiting.id = around.id
        and edge.dependent_id = waiting.id
),
-- Each costs a walk of its own, so a few at most are walked from.
late (id) as materialized (
    select around.id
    from around
    cross join gristmill_gate as gate
    cross join gristmill_waiting as waiting
    where gate.job_id = around.id
        and waiting.id = around.id
        and (
            gate.epoch > 1
            or exists (
                select 1
                from gristmill_action as act indexed by gristmill_action_job
                where act.job_id = around.id
                    and act.verb = 'add preconditions'
            )
        )
    limit 5
),
walk (start, id) as (
    select late.id, edge.precondition_id
    from late
    cross join gristmill_edge as edge indexed by gristmill_edge_dependent
    where edge.dependent_id = late.id
        and (select count(*) from late) < 5
    union
    select walk.start, edge.precondition_id
    from walk
    cross join gristmill_waiting as waiting
    cross join gristmill_edge as edge indexed by gristmill_edge_dependent
    where waiting.id = walk.id
        and edge.dependent_id = waiting.id
),
all_fine (is_so) as materialized (
    select (select count(*) from late) < 5
        and not exists (select 1 from walk where walk.id = walk.start)
),
one (id, kind, due_at, job_id) as materialized (
    select id, kind, due_at, job_id
    from picked
    where not (select is_so from all_fine)
    order by due_at, id
    limit 1
),
above (id) as (
    select edge.precondition_id
    from one
    cross join gristmill_waiting as waiting
    cross join gristmill_edge as edge indexed by gristmill_edge_dependent
    where waiting.id = one.job_id
        and edge.dependent_id = waiting.id
    union
    select edge.precondition_id
    from above
    cross join gristmill_waiting as waiting
    cross join gristmill_edge as edge indexed by gristmill_edge_dependent
    where waiting.id = above.id
        and edge.dependent_id = waiting.id
)
select id, kind, due_at, job_id, 0
from picked
where (select is_so from all_fine)
union all
select id, kind, due_at, job_id, exists (select 1 from above where above.id = one.job_id)
from one;

insert into temp.gristmill_ended (
    {carried}, run_after, token, generation, counts, first_started_at, next, state, state_reason, retention, now
)
select {waiting.place}, 'result', 'failed', 'cycle', job.retention, ?1
from temp.gristmill_checked as checked
cross join gristmill_waiting as waiting
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where checked.closes
    and waiting.id = checked.job_id
    and job.id = checked.job_id;

{ends};

delete from gristmill_waiting
where id in (select job_id from temp.gristmill_checked where closes);

-- Its edges are held against their preconditions all the same: a retry goes by them.
update gristmill_propagation indexed by gristmill_propagation_due
set checks = 0
where (kind, due_at, id) in (select kind, due_at, id from temp.gristmill_checked);

select job_id, closes
from temp.gristmill_checked;
