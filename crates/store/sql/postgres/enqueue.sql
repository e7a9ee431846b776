-- Asks for jobs and puts each in its place: ready, or scheduled when its date is still to come, or waiting when it is held or
-- waits for others; enqueue_gates.sql says for which. A job whose unique key another job has is not made; a key that has run
-- out, or whose job somebody has deleted by hand, is nobody's.
-- $1 jobs: [{id, backend, queue_name, task_name, priority, args, kwargs, options or null, run_after or run_delay (seconds from
--      now) or neither, deadline or deadline_delay or neither, retention (seconds) or null, held, unique_key or null,
--      unique_until, unique_period (seconds) or null, waits, awaited (one of the same enqueue waits for it)}]
-- $2 now, or null for the server's clock
-- $3 what the jobs have in common, likewise, or null: what one of them says itself comes first
-- Gives (moment, null, null), and for each job that was not made (null, its id, the id of the one that has its key, or null
-- where someone took the key while this looked: ask again).
-- Index: gristmill_unique_key's primary key, one probe a key. Keys are taken in their order, so that two who enqueue never
-- wait for each other in a circle. Who holds a key is not locked: the end of a job must not wait for this transaction.
with clock as materialized (
    select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now
),
alike as materialized (
    select
        backend, queue_name, task_name, priority, options, retention, held, waits, unique_until, unique_period, now,
        coalesce(run_after at time zone 'utc', now + run_delay * interval '1 second') as run_after,
        coalesce(deadline at time zone 'utc', now + deadline_delay * interval '1 second') as deadline
    from clock
    cross join json_to_record(coalesce($3, '{}')::json) as alike (
        backend text, queue_name text, task_name text, priority smallint, options text, run_after timestamp,
        run_delay double precision, deadline timestamp, deadline_delay double precision, retention double precision,
        held boolean, waits boolean, unique_until text, unique_period double precision
    )
),
new as materialized (
    select
        asked.id, coalesce(asked.backend, alike.backend) as backend, coalesce(asked.queue_name, alike.queue_name) as queue_name,
        coalesce(asked.task_name, alike.task_name) as task_name, coalesce(asked.priority, alike.priority) as priority,
        asked.args, asked.kwargs, coalesce(asked.options, alike.options) as options,
        coalesce(asked.retention, alike.retention) as retention,
        coalesce(asked.run_after at time zone 'utc', now + asked.run_delay * interval '1 second', alike.run_after) as run_after,
        coalesce(asked.deadline at time zone 'utc', now + asked.deadline_delay * interval '1 second', alike.deadline) as deadline,
        coalesce(asked.held, alike.held, false) as held, coalesce(asked.waits, alike.waits, false) as waits,
        coalesce(awaited, false) as awaited,
        unique_key, coalesce(asked.unique_until, alike.unique_until) as unique_until,
        coalesce(asked.unique_period, alike.unique_period) as unique_period, position, now
    from rows from (
        json_to_recordset($1::json) as (
            id uuid, backend text, queue_name text, task_name text, priority smallint, args text, kwargs text, options text,
            run_after timestamp, run_delay double precision, deadline timestamp, deadline_delay double precision,
            retention double precision, held boolean, unique_key text, unique_until text, unique_period double precision,
            waits boolean, awaited boolean
        )
    ) with ordinality as asked (
        id, backend, queue_name, task_name, priority, args, kwargs, options, run_after, run_delay, deadline, deadline_delay,
        retention, held, unique_key, unique_until, unique_period, waits, awaited, position
    )
    cross join alike
),
free as materialized (
    select held.key
    from (select distinct unique_key as key from new where unique_key is not null order by unique_key) as wanted
    cross join lateral (
        select key
        from gristmill_unique_key
        where key = wanted.key
            and (expires_at <= (select now from clock) or gristmill_is_nowhere(job_id))
        for update
    ) as held
),
released as (
    delete from gristmill_unique_key as held
    where held.key = any (array(select key from free))
    returning held.key
),
taken as (
    insert into gristmill_unique_key (key, job_id, until, expires_at)
    select unique_key, id, unique_until, now + unique_period * interval '1 second'
    from (
        select distinct on (unique_key) unique_key, id, unique_until, unique_period, now
        from new
        where unique_key is not null
        order by unique_key, position
    ) as first
    where (select count(*) from released) is not null
    on conflict do nothing
    returning key, job_id
),
made as materialized (
    select new.*, coalesce(deadline, coalesce(run_after, now) + interval '168 hours') as urgency
    from new
    left join taken on taken.key = new.unique_key
    where new.unique_key is null
        or taken.job_id = new.id
),
asked as (
    insert into gristmill_job (
        id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options,
        deadline, unique_key, unique_until, unique_period, retention
    )
    select
        id, backend, queue_name, task_name, priority, run_after, now, args, kwargs, options,
        deadline, unique_key, case when unique_key is not null then unique_until end, unique_period, retention
    from made
),
readied as (
    insert into gristmill_ready (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, awaited
    )
    select id, backend, queue_name, task_name, priority, run_after, urgency, 0, 1, awaited
    from made
    where (run_after is null or run_after <= now)
        and not waits
        and not held
),
scheduled as (
    insert into gristmill_scheduled (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, awaited
    )
    select id, backend, queue_name, task_name, priority, run_after, urgency, 0, 1, awaited
    from made
    where run_after > now
        and not waits
        and not held
),
kept as (
    insert into gristmill_waiting (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, awaited, held
    )
    select id, backend, queue_name, task_name, priority, run_after, urgency, 0, 1, awaited, held
    from made
    where waits
        or held
)
select to_char(now at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'), null, null
from clock
union all
select null, new.id::text, coalesce(taken.job_id, held.job_id)::text
from new
left join taken on taken.key = new.unique_key
left join lateral (
    select job_id
    from gristmill_unique_key
    where key = new.unique_key
        and taken.key is null
    offset 0
) as held on true
where new.unique_key is not null
    and taken.job_id is distinct from new.id
