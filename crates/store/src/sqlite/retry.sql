-- Begins a new generation of jobs that have ended: ready at once, with fresh counts, or waiting until its gate has been judged
-- anew. The token stays, so that the next claim's is greater. A wish to cancel goes with the old generation. What waits for
-- the job is told that it is open again.
-- ?1 job ids, as a list
-- ?2 actor
-- ?3 now, or null for this machine's clock
-- Gives (id, token, retried, or "refused: " and why). A job takes its unique key again, and is refused where another
-- has it. A job that is missing has not ended.
-- Index: primary keys, one probe a job.
-- Between the statements a retried job is in both places, which is how the later ones know it.
delete from gristmill_unique_key
where key in (
        select job.unique_key
        from gristmill_result as result
        cross join gristmill_job as job
        where result.id in (select replace(lower(value), '-', '') from json_each(?1))
            and job.id = result.id
            and job.unique_until <> 'pruned'
            and ?2 is not null
    )
    and expires_at <= coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000');

insert into gristmill_unique_key (key, job_id, until)
select job.unique_key, job.id, job.unique_until
from gristmill_result as result
cross join gristmill_job as job
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and job.id = result.id
    and job.unique_until <> 'pruned'
order by job.id
on conflict do nothing;

-- Without its date: a retry runs as soon as it may.
insert into gristmill_ready (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, awaited
)
select
    result.id, result.backend, result.queue_name, result.task_name, result.priority, null, result.deadline,
    result.token, result.generation + 1,
    0, 0, 0, 0, 0, result.awaited
from gristmill_result as result
cross join gristmill_job as job
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and job.id = result.id
    and not exists (select 1 from gristmill_gate as gate where gate.job_id = result.id)
    and (
        coalesce(job.unique_until, 'pruned') = 'pruned'
        or exists (
            select 1
            from gristmill_unique_key as held
            where held.key = job.unique_key
                and held.job_id = job.id
        )
    );

insert into gristmill_waiting (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, awaited
)
select
    result.id, result.backend, result.queue_name, result.task_name, result.priority, null, result.deadline,
    result.token, result.generation + 1,
    0, 0, 0, 0, 0, result.awaited
from gristmill_result as result
cross join gristmill_job as job
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and job.id = result.id
    and exists (select 1 from gristmill_gate as gate where gate.job_id = result.id)
    and (
        coalesce(job.unique_until, 'pruned') = 'pruned'
        or exists (
            select 1
            from gristmill_unique_key as held
            where held.key = job.unique_key
                and held.job_id = job.id
        )
    );

insert into gristmill_errand (kind, job_id, checks, due_at)
select 'judge', waiting.id, 1, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_result as result
cross join gristmill_waiting as waiting
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and waiting.id = result.id
    and ?2 is not null;

insert into gristmill_errand (kind, job_id, due_at)
select 'spread', result.id, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_result as result
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and result.awaited
    and ?2 is not null
    and (
        exists (select 1 from gristmill_ready as ready where ready.id = result.id)
        or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
    );

insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
select lower(hex(randomblob(16))), result.id, 'retry', result.token, ?2, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_result as result
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and (
        exists (select 1 from gristmill_ready as ready where ready.id = result.id)
        or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
    );

select
    result.id,
    result.token,
    iif(
        exists (select 1 from gristmill_ready as ready where ready.id = result.id)
            or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id),
        'retried',
        'refused: another job has its unique key'
    )
from gristmill_result as result
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
order by result.id;

delete from gristmill_control
where job_id in (
    select result.id
    from gristmill_result as result
    where result.id in (select replace(lower(value), '-', '') from json_each(?1))
        and (
            exists (select 1 from gristmill_ready as ready where ready.id = result.id)
            or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
        )
);

delete from gristmill_result
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and (
        exists (select 1 from gristmill_ready as moved where moved.id = gristmill_result.id)
        or exists (select 1 from gristmill_waiting as moved where moved.id = gristmill_result.id)
    );
