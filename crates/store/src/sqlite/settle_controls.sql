-- Carries out the wishes to cancel that no running attempt will: of jobs that are to run again, which end here, and of
-- jobs that have ended or are gone, of which the wish is dropped.
-- ?1 now
-- ?2 limit
-- Gives how many it settled.
-- Index: primary keys, one probe a wish and place; there are as many wishes as people have asked for.
-- One writer at a time: all statements see the same wishes. Between them a job that ends is in both places, which is how
-- the later ones know it.
insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, finished_at, state, prune_at
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation, place.failures, place.crashes, place.losses, place.postpones, place.interruptions,
    place.started_at, ?1, 'cancelled',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', ?1, printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from gristmill_ready as place
cross join gristmill_job as job
where place.id in (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select 1
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit ?2
)
    and job.id = place.id;

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, finished_at, state, prune_at
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation, place.failures, place.crashes, place.losses, place.postpones, place.interruptions,
    place.started_at, ?1, 'cancelled',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', ?1, printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from gristmill_scheduled as place
cross join gristmill_job as job
where place.id in (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select 1
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit ?2
)
    and job.id = place.id;

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, finished_at, state, prune_at
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation, place.failures, place.crashes, place.losses, place.postpones, place.interruptions,
    place.started_at, ?1, 'cancelled',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', ?1, printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from gristmill_waiting as place
cross join gristmill_job as job
where place.id in (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select 1
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit ?2
)
    and job.id = place.id;

delete from gristmill_unique_key
where job_id in (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select 1
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit ?2
)
    and until <> 'pruned'
    and (expires_at is null or expires_at > ?1);

delete from gristmill_ready
where ?1 is not null
    and id in (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select 1
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit ?2
)
    and exists (select 1 from gristmill_result as moved where moved.id = gristmill_ready.id);

delete from gristmill_scheduled
where ?1 is not null
    and id in (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select 1
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit ?2
)
    and exists (select 1 from gristmill_result as moved where moved.id = gristmill_scheduled.id);

delete from gristmill_waiting
where ?1 is not null
    and id in (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select 1
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit ?2
)
    and exists (select 1 from gristmill_result as moved where moved.id = gristmill_waiting.id);

select count(*)
from (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select 1
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit ?2
)
where ?1 is not null;

delete from gristmill_control
where ?1 is not null
    and job_id in (
    select wish.job_id
    from gristmill_control as wish
    where not exists (
        select 1
        from gristmill_running as running
        where running.id = wish.job_id
            and running.token >= wish.token
    )
    order by wish.job_id
    limit ?2
);
