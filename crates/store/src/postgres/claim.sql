-- Makes up to $4 ready jobs running, each with its next token, the first of them by (deadline, id); hands them over in no order.
-- $1 worker id
-- $2 now, or null for the server's clock
-- $3 bands of one priority: [{backend, queue_name, task_name, priority, deadline, id or null}]
-- $4 limit
-- $5 seconds: only jobs whose deadline is no later than that from now; null for any
-- Index: gristmill_ready_claim, a range scan from each band's mark; then primary keys.
-- The worker's row is locked against being declared lost until this commits, so a lost worker never gets a job.
-- Each band locks at most the limit; what another claim holds is skipped, so claims neither wait nor share.
-- A paused queue gives nothing, asked once a band. A claimed job gives up the key that it had until it starts.
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
    select band.*
    from alive
    cross join json_to_recordset($3::json) as band (
        backend text, queue_name text, task_name text, priority smallint, deadline timestamp, id uuid
    )
    where not exists (
        select
        from gristmill_queue as paused
        where paused.backend = band.backend
            and paused.queue_name = band.queue_name
    )
),
picked as materialized (
    select found.id, found.version
    from open as band
    cross join lateral (
        select ready.id, ready.deadline, ready.ctid as version
        from gristmill_ready as ready
        where ready.backend = band.backend
            and ready.queue_name = band.queue_name
            and ready.task_name = band.task_name
            and ready.priority = band.priority
            and (ready.deadline, ready.id) > (
                band.deadline at time zone 'utc',
                coalesce(band.id, '00000000-0000-0000-0000-000000000000')
            )
            and ready.deadline <= (select latest from clock)
        order by ready.deadline, ready.id
        limit $4::bigint
        for update skip locked
    ) as found
    order by found.deadline, found.id
    limit $4::bigint
),
taken as (
    delete from gristmill_ready as ready
    using picked
    where ready.id = picked.id
        and ready.ctid = picked.version
    returning ready.*
),
claimed as (
    insert into gristmill_running (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited, worker_id, claimed_at
    )
    select
        taken.id, taken.backend, taken.queue_name, taken.task_name, taken.priority, taken.run_after, taken.deadline,
        taken.token + 1, taken.generation,
        taken.failures, taken.crashes, taken.losses, taken.postpones, taken.interruptions, taken.started_at,
        taken.awaited,
        $1::uuid, clock.now
    from taken
    cross join clock
    returning *
),
unlocked as (
    delete from gristmill_unique_key as held
    using claimed
    where held.job_id = claimed.id
        and held.until = 'started'
        and (held.expires_at is null or held.expires_at > claimed.claimed_at)
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
    claimed.failures::bigint,
    claimed.crashes::bigint,
    claimed.losses::bigint,
    claimed.postpones::bigint,
    claimed.interruptions::bigint,
    job.args,
    job.kwargs,
    job.options
from claimed
join gristmill_job as job on job.id = claimed.id
