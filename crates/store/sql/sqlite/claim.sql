-- statements: 4, packed
-- Makes up to ?4 ready jobs running, each with its next token, and hands them over in order of (deadline, id).
-- ?1 worker id
-- ?2 now
-- ?3 cursors of one priority: [{backend, queue_name, task_name, priority, deadline, id or null}]
-- ?4 limit
-- ?5 seconds: only jobs whose deadline is no later than that from now; null for any
-- Of a job that was claimed before it tells how often in its last 1,000 attempts the code did not fit it, and since when.
-- Index: gristmill_ready_claim, a range scan from each cursor's watermark; then primary keys.
-- SQLite has no lateral join: each cursor's next ids are gathered into a list by a scalar subquery and spread again.
-- A paused queue gives nothing, asked once a cursor. A claimed job gives up the key that it had until it starts.
-- Several statements, because none can delete and insert: between them a claimed job is in both tables, which is how
-- the later ones know it. The jobs are answered as one packed row, in no order. A null id means that the job at the deadline itself is still to be claimed.
insert into gristmill_running ({place}, worker_id, claimed_at)
select
    {ready.carried}, ready.run_after, ready.token + 1, ready.generation, ready.counts, ready.started_at,
    ?1, ?2
from json_each(?3) as claim_cursor
cross join json_each((
    select json_group_array(next.id)
    from (
        select head.id
        from gristmill_ready as head
        where head.backend = json_extract(claim_cursor.value, '$.backend')
            and head.queue_name = json_extract(claim_cursor.value, '$.queue_name')
            and head.task_name = json_extract(claim_cursor.value, '$.task_name')
            and head.priority = json_extract(claim_cursor.value, '$.priority')
            and (head.deadline, head.id) > (
                json_extract(claim_cursor.value, '$.deadline'),
                coalesce(json_extract(claim_cursor.value, '$.id'), '')
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
        where paused.backend = json_extract(claim_cursor.value, '$.backend')
            and paused.queue_name = json_extract(claim_cursor.value, '$.queue_name')
    )
    and exists (
        select 1
        from gristmill_worker indexed by sqlite_autoindex_gristmill_worker_1
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
    running.counts,
    job.args,
    job.kwargs,
    job.options,
    job.retention,
    running.worker_id,
    (
        select count(*)
        from (
            select attempt.generation, attempt.outcome, attempt.ended_at
            from gristmill_attempt as attempt
            where running.token > 1
                and attempt.job_id = running.id
            order by attempt.token desc
            limit 1000
        ) as late
        where late.generation = running.generation
            and late.outcome = 'incompatible'
    ),
    (
        select min(late.ended_at)
        from (
            select attempt.generation, attempt.outcome, attempt.ended_at
            from gristmill_attempt as attempt
            where running.token > 1
                and attempt.job_id = running.id
            order by attempt.token desc
            limit 1000
        ) as late
        where late.generation = running.generation
            and late.outcome = 'incompatible'
    )
)) as packed
from gristmill_running as running
cross join gristmill_ready as ready
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where running.worker_id = ?1
    and ready.id = running.id
    and job.id = running.id;

delete from gristmill_unique_key indexed by gristmill_unique_key_job
where job_id in (
        select running.id
        from gristmill_running as running
        cross join gristmill_ready as ready
        where running.worker_id = ?1
            and ready.id = running.id
    )
    and until in ('started', 'each_start')
    and (expires_at is null or expires_at > ?2);

delete from gristmill_ready
where id in (
    select running.id
    from gristmill_running as running
    where running.worker_id = ?1
);
