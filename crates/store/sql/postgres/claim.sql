-- Makes up to $4 ready jobs running, each with its next token, the first of them by (deadline, id); hands them over in no order.
-- $1 worker id
-- $2 now, or null for the server's clock
-- $3 cursors of one priority: [{backend, queue_name, task_name, priority, deadline, id or null}]
-- $4 limit
-- $5 seconds: only jobs whose deadline is no later than that from now; null for any
-- $6 whether to leave jobs alone whose key someone holds, and not to wait for it
-- Of a job that was claimed before it tells how often in its last 1,000 attempts the code did not fit it, and since when.
-- Index: gristmill_ready_claim, a range scan from each cursor's watermark; then primary keys.
-- The worker's row is locked against being declared lost until this commits, so a lost worker never gets a job.
-- Each cursor locks at most the limit; what another claim holds is skipped, so claims neither wait nor share.
-- A paused queue gives nothing, asked once a cursor. A claimed job gives up the key that it had until it starts.
-- A job that someone changed and committed while this ran stays for the next claim: its arguments are read as they were
-- when this began.
-- A null id means that the job at the deadline itself is still to be claimed: no id is the nil one.
with clock as materialized (
    select
        coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now,
        coalesce(
            coalesce($2::timestamp at time zone 'utc', clock_timestamp()) + interval '1 second' * $5::double precision,
            'infinity'
        ) as latest
),
alive as materialized (
    select id
    from gristmill_worker
    where id = $1::uuid
        and lost_at is null
        and stopped_at is null
    for share
),
open as materialized (
    select claim_cursor.*
    from alive
    cross join json_to_recordset($3::json) as claim_cursor (
        backend text, queue_name text, task_name text, priority smallint, deadline timestamp, id uuid
    )
    where not exists (
        select
        from gristmill_queue as paused
        where paused.backend = claim_cursor.backend
            and paused.queue_name = claim_cursor.queue_name
        offset 0
    )
),
picked as materialized (
    select found.id, found.version
    from open as claim_cursor
    cross join lateral (
        select ready.id, ready.deadline, ready.ctid as version
        from gristmill_ready as ready
        where ready.backend = claim_cursor.backend
            and ready.queue_name = claim_cursor.queue_name
            and ready.task_name = claim_cursor.task_name
            and ready.priority = claim_cursor.priority
            and (ready.deadline, ready.id) > (
                claim_cursor.deadline at time zone 'utc',
                coalesce(claim_cursor.id, '00000000-0000-0000-0000-000000000000')
            )
            and ready.deadline <= (select latest from clock)
        order by ready.deadline, ready.id
        limit $4::bigint
        for update skip locked
    ) as found
    order by found.deadline, found.id
    limit $4::bigint
),
held_key as materialized (
    select held.key, held.job_id
    from picked
    cross join lateral (
        select key, job_id
        from gristmill_unique_key
        where job_id = picked.id
            and until in ('started', 'each_start')
            and (expires_at is null or expires_at > (select now from clock))
        offset 0
    ) as held
    where $6::boolean
),
free_key as materialized (
    select held.key
    from held_key
    cross join lateral (
        select key
        from gristmill_unique_key
        where key = held_key.key
        for update skip locked
    ) as held
),
barred as materialized (
    select job_id as id
    from held_key
    where key not in (select key from free_key)
),
taken as (
    delete from gristmill_ready as ready
    where ready.ctid = any (array(select version from picked where id not in (select id from barred)))
    returning ready.*
),
claimed as (
    insert into gristmill_running ({place}, worker_id, claimed_at)
    select
        {taken.carried}, taken.run_after, taken.token + 1, taken.generation, taken.counts, taken.started_at,
        $1::uuid, clock.now
    from taken
    cross join clock
    returning *
),
unlocked as (
    delete from gristmill_unique_key as held
    where held.job_id = any (array(select id from claimed))
        and held.until in ('started', 'each_start')
        and (held.expires_at is null or held.expires_at > (select now from clock))
)
select
    claimed.id::text,
    claimed.token,
    claimed.backend,
    claimed.queue_name,
    claimed.task_name,
    claimed.priority::bigint,
    to_char(claimed.deadline at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(claimed.run_after at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(job.enqueued_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(claimed.claimed_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    to_char(claimed.started_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    claimed.generation::bigint,
    claimed.counts,
    job.args,
    job.kwargs,
    job.options,
    job.retention,
    claimed.worker_id::text,
    misfit.count,
    to_char(misfit.first_at at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US')
from claimed
cross join lateral (
    select enqueued_at, args, kwargs, options, retention
    from gristmill_job
    where id = claimed.id
    offset 0
) as job
left join lateral (
    select count(*) as count, min(late.ended_at) as first_at
    from (
        select attempt.generation, attempt.outcome, attempt.ended_at
        from gristmill_attempt as attempt
        where claimed.token > 1
            and attempt.job_id = claimed.id
        order by attempt.token desc
        limit 1000
    ) as late
    where late.generation = claimed.generation
        and late.outcome = 'incompatible'
) as misfit on true
