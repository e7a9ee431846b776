-- Looks whether one job that got more preconditions, or waits for its own again, can be reached from itself over jobs that
-- wait; if so, it fails. Whatever the edges say: they may be about to change.
-- ?1 now
-- Gives the job and whether it failed, or no row where none is to be looked at.
-- Index: gristmill_errand_due, both kinds; gristmill_edge_dependent, a range for each job above it, each once.
create temp table if not exists gristmill_checked (id integer primary key, job_id text not null, closes integer not null);

delete from temp.gristmill_checked;

insert into temp.gristmill_checked (id, job_id, closes)
select
    picked.id,
    picked.job_id,
    exists (
        with recursive above (id) as (
            select edge.precondition_id
            from gristmill_waiting as waiting
            cross join gristmill_edge as edge
            where waiting.id = picked.job_id
                and edge.dependent_id = waiting.id
            union
            select edge.precondition_id
            from above
            cross join gristmill_waiting as waiting
            cross join gristmill_edge as edge
            where waiting.id = above.id
                and edge.dependent_id = waiting.id
        )
        select 1
        from above
        where above.id = picked.job_id
    )
from (
    select id, job_id
    from gristmill_errand
    where kind in ('settle', 'judge')
        and checks
        and due_at <= ?1
    order by due_at, id
    limit 1
) as picked;

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, reason, prune_at
)
select
    waiting.id, waiting.backend, waiting.queue_name, waiting.task_name, waiting.priority, waiting.run_after,
    waiting.deadline, waiting.token, waiting.generation,
    waiting.failures, waiting.crashes, waiting.losses, waiting.postpones, waiting.interruptions, waiting.started_at,
    waiting.awaited, ?1, 'failed', 'cycle',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', ?1, printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from temp.gristmill_checked as checked
cross join gristmill_waiting as waiting
cross join gristmill_job as job
where checked.closes
    and waiting.id = checked.job_id
    and job.id = checked.job_id;

insert into gristmill_errand (kind, job_id, due_at)
select 'spread', waiting.id, ?1
from temp.gristmill_checked as checked
cross join gristmill_waiting as waiting
where checked.closes
    and waiting.id = checked.job_id
    and waiting.awaited;

delete from gristmill_unique_key
where job_id in (select job_id from temp.gristmill_checked where closes)
    and until <> 'pruned'
    and (expires_at is null or expires_at > ?1);

delete from gristmill_control
where job_id in (select job_id from temp.gristmill_checked where closes);

delete from gristmill_waiting
where id in (select job_id from temp.gristmill_checked where closes);

-- Its edges are held against their preconditions all the same: a retry goes by them.
update gristmill_errand
set checks = 0
where id in (select id from temp.gristmill_checked);

select job_id, closes
from temp.gristmill_checked;
