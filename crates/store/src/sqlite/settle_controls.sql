-- Carries out the wishes to cancel that no running attempt will: of jobs that are to run again, which end here, and of
-- jobs that have ended or are gone, of which the wish is dropped.
-- ?1 now
-- ?2 limit
-- Gives how many it settled.
-- The end of a job that others wait for is spread to them later.
-- Index: primary keys, one probe a wish and place; there are as many wishes as people have asked for.
-- Chosen once, into a temporary table of this connection: all statements see the same wishes.
create temp table if not exists gristmill_stray (job_id text primary key, now text not null) without rowid;

delete from temp.gristmill_stray;

insert into temp.gristmill_stray (job_id, now)
select wish.job_id, ?1
from gristmill_control as wish
where not exists (
    select 1
    from gristmill_running as running
    where running.id = wish.job_id
        and running.token >= wish.token
)
order by wish.job_id
limit ?2;

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, prune_at
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation, place.failures, place.crashes, place.losses, place.postpones, place.interruptions,
    place.started_at, place.awaited, stray.now, 'cancelled',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', stray.now, printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from temp.gristmill_stray as stray
cross join gristmill_ready as place
cross join gristmill_job as job
where place.id = stray.job_id
    and job.id = stray.job_id;

delete from gristmill_ready
where id in (select job_id from temp.gristmill_stray);

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, prune_at
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation, place.failures, place.crashes, place.losses, place.postpones, place.interruptions,
    place.started_at, place.awaited, stray.now, 'cancelled',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', stray.now, printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from temp.gristmill_stray as stray
cross join gristmill_scheduled as place
cross join gristmill_job as job
where place.id = stray.job_id
    and job.id = stray.job_id;

delete from gristmill_scheduled
where id in (select job_id from temp.gristmill_stray);

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, prune_at
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation, place.failures, place.crashes, place.losses, place.postpones, place.interruptions,
    place.started_at, place.awaited, stray.now, 'cancelled',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', stray.now, printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from temp.gristmill_stray as stray
cross join gristmill_waiting as place
cross join gristmill_job as job
where place.id = stray.job_id
    and job.id = stray.job_id;

delete from gristmill_waiting
where id in (select job_id from temp.gristmill_stray);

insert into gristmill_errand (kind, job_id, due_at)
select 'spread', result.id, stray.now
from temp.gristmill_stray as stray
cross join gristmill_result as result
where result.id = stray.job_id
    and result.finished_at = stray.now
    and result.awaited;

delete from gristmill_unique_key
where job_id in (select job_id from temp.gristmill_stray)
    and until <> 'pruned'
    and (expires_at is null or expires_at > (select min(now) from temp.gristmill_stray));

delete from gristmill_control
where job_id in (select job_id from temp.gristmill_stray);

select count(*)
from temp.gristmill_stray;
