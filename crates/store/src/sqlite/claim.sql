-- Makes up to ?4 ready jobs running, each with its next token, and hands them over in order of (deadline, id).
-- ?1 worker id
-- ?2 now
-- ?3 bands of one priority: [{backend, queue_name, task_name, priority, deadline, id or null}]
-- ?4 limit
-- ?5 seconds: only jobs whose deadline is no later than that from now; null for any
-- Index: gristmill_ready_claim, a range scan from each band's mark; then primary keys.
-- SQLite has no lateral join: each band's next ids are gathered into a list by a scalar subquery and spread again.
-- A paused queue gives nothing, asked once a band. A claimed job gives up the key that it had until it starts.
-- Several statements, because none can delete and insert: between them a claimed job is in both tables, which is how
-- the later ones know it. The jobs are answered as one packed row, in no order. A null id means that the job at the deadline itself is still to be claimed.
insert into gristmill_running (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, worker_id, claimed_at
)
select
    ready.id, ready.backend, ready.queue_name, ready.task_name, ready.priority, ready.run_after, ready.deadline,
    ready.token + 1, ready.generation,
    ready.failures, ready.crashes, ready.losses, ready.postpones, ready.interruptions, ready.started_at,
    ready.awaited,
    ?1, ?2
from json_each(?3) as band
cross join json_each((
    select json_group_array(next.id)
    from (
        select head.id
        from gristmill_ready as head
        where head.backend = json_extract(band.value, '$.backend')
            and head.queue_name = json_extract(band.value, '$.queue_name')
            and head.task_name = json_extract(band.value, '$.task_name')
            and head.priority = json_extract(band.value, '$.priority')
            and (head.deadline, head.id) > (
                json_extract(band.value, '$.deadline'),
                coalesce(json_extract(band.value, '$.id'), '')
            )
            and head.deadline <= iif(
                ?5 is null,
                'a',
                strftime('%Y-%m-%d %H:%M:%f', ?2, printf('+%.6f seconds', ?5)) || '000'
            )
        order by head.deadline, head.id
        limit ?4
    ) as next
)) as found
cross join gristmill_ready as ready
where ready.id = found.value
    and not exists (
        select 1
        from gristmill_queue as paused
        where paused.backend = json_extract(band.value, '$.backend')
            and paused.queue_name = json_extract(band.value, '$.queue_name')
    )
    and exists (
        select 1
        from gristmill_worker
        where id = ?1
            and lost_at is null
            and stopped_at is null
    )
order by ready.deadline, ready.id
limit ?4;

select json_group_array(json_array(
    running.id,
    running.token,
    running.backend,
    running.queue_name,
    running.task_name,
    running.priority,
    running.deadline,
    running.run_after,
    job.enqueued_at,
    running.claimed_at,
    running.started_at,
    running.generation,
    running.failures,
    running.crashes,
    running.losses,
    running.postpones,
    running.interruptions,
    job.args,
    job.kwargs,
    job.options
)) as packed
from gristmill_running as running
cross join gristmill_ready as ready
cross join gristmill_job as job
where running.worker_id = ?1
    and ready.id = running.id
    and job.id = running.id;

delete from gristmill_unique_key
where job_id in (
        select running.id
        from gristmill_running as running
        cross join gristmill_ready as ready
        where running.worker_id = ?1
            and ready.id = running.id
    )
    and until = 'started'
    and (expires_at is null or expires_at > ?2);

delete from gristmill_ready
where id in (
    select running.id
    from gristmill_running as running
    where running.worker_id = ?1
);
