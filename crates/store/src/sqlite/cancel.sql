-- Cancels jobs: those that wait end at once and free their unique keys, for those that run a wish is written down, which
-- holds for the attempt of this token and any later one until the job has ended.
-- ?1 job ids, as a list
-- ?2 actor
-- ?3 now, or null for this machine's clock
-- Gives (id, token, cancelled or asked). A job that is missing has ended.
-- The end of a job that others wait for is spread to them later.
-- Index: primary keys, one probe a job and place.
-- Between the statements a job that ends is in both places, which is how the later ones know it.
insert into gristmill_control (job_id, token, asked_at)
select id, token, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_running
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null
on conflict do nothing;

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, prune_at
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation, place.failures, place.crashes, place.losses, place.postpones, place.interruptions,
    place.started_at, place.awaited, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), 'cancelled',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from gristmill_ready as place
cross join gristmill_job as job
where place.id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null
    and job.id = place.id;

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, prune_at
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation, place.failures, place.crashes, place.losses, place.postpones, place.interruptions,
    place.started_at, place.awaited, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), 'cancelled',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from gristmill_scheduled as place
cross join gristmill_job as job
where place.id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null
    and job.id = place.id;

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, prune_at
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation, place.failures, place.crashes, place.losses, place.postpones, place.interruptions,
    place.started_at, place.awaited, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), 'cancelled',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'), printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from gristmill_waiting as place
cross join gristmill_job as job
where place.id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null
    and job.id = place.id;

delete from gristmill_unique_key
where job_id in (
        select result.id
        from gristmill_result as result
        where result.id in (select replace(lower(value), '-', '') from json_each(?1))
            and ?2 is not null
            and (
                exists (select 1 from gristmill_ready as ready where ready.id = result.id)
                or exists (select 1 from gristmill_scheduled as scheduled where scheduled.id = result.id)
                or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
            )
    )
    and until <> 'pruned'
    and (expires_at is null or expires_at > coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'));

insert into gristmill_errand (kind, job_id, due_at)
select 'spread', result.id, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from gristmill_result as result
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and ?2 is not null
    and result.awaited
    and (
        exists (select 1 from gristmill_ready as ready where ready.id = result.id)
        or exists (select 1 from gristmill_scheduled as scheduled where scheduled.id = result.id)
        or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
    );

delete from gristmill_control
where job_id in (
        select result.id
        from gristmill_result as result
        where result.id in (select replace(lower(value), '-', '') from json_each(?1))
            and (
                exists (select 1 from gristmill_ready as ready where ready.id = result.id)
                or exists (select 1 from gristmill_scheduled as scheduled where scheduled.id = result.id)
                or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
            )
    );

insert into gristmill_action (id, job_id, verb, token, actor, acted_at)
select lower(hex(randomblob(16))), found.id, 'cancel', found.token, ?2, coalesce(?3, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')
from (
    select id, token
    from gristmill_running
    where id in (select replace(lower(value), '-', '') from json_each(?1))
    union all
    select result.id, result.token
    from gristmill_result as result
    where result.id in (select replace(lower(value), '-', '') from json_each(?1))
        and (
            exists (select 1 from gristmill_ready as ready where ready.id = result.id)
            or exists (select 1 from gristmill_scheduled as scheduled where scheduled.id = result.id)
            or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
        )
) as found;

select id, token, 'asked' as done
from gristmill_running
where id in (select replace(lower(value), '-', '') from json_each(?1))
union all
select result.id, result.token, 'cancelled'
from gristmill_result as result
where result.id in (select replace(lower(value), '-', '') from json_each(?1))
    and (
        exists (select 1 from gristmill_ready as ready where ready.id = result.id)
        or exists (select 1 from gristmill_scheduled as scheduled where scheduled.id = result.id)
        or exists (select 1 from gristmill_waiting as waiting where waiting.id = result.id)
    )
order by 1;

delete from gristmill_ready
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and exists (select 1 from gristmill_result as moved where moved.id = gristmill_ready.id);

delete from gristmill_scheduled
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and exists (select 1 from gristmill_result as moved where moved.id = gristmill_scheduled.id);

delete from gristmill_waiting
where id in (select replace(lower(value), '-', '') from json_each(?1))
    and exists (select 1 from gristmill_result as moved where moved.id = gristmill_waiting.id);
