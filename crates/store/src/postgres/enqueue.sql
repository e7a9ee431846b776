-- Asks for jobs; the trigger gristmill_job_place puts each in its place: ready, or scheduled when its date is still
-- to come. A job whose unique key another job holds is not made.
-- $1 jobs: [{id, backend, queue_name, task_name, priority, run_after or null, args, kwargs, options or null,
--      deadline or null, unique_key or null, unique_until}]
-- $2 now, or null for the server's clock
-- Gives, in the order of the jobs: the moment at which they were asked for, the id of the job that the request got, and
-- whether it is one that was there. The id is null where someone took the key while this looked: ask again. No job: one row.
-- Index: gristmill_unique_key's primary key, one probe a key. Keys are taken in their order, so that two who enqueue never
-- wait for each other in a circle. Who holds a key is not locked: the end of a job must not wait for this transaction.
with clock as materialized (
    select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now
),
new as materialized (
    select *
    from rows from (
        json_to_recordset($1::json) as (
            id uuid, backend text, queue_name text, task_name text, priority smallint, run_after timestamp,
            args text, kwargs text, options text, deadline timestamp, unique_key text, unique_until text
        )
    ) with ordinality as new (
        id, backend, queue_name, task_name, priority, run_after, args, kwargs, options, deadline,
        unique_key, unique_until, position
    )
),
expired as materialized (
    select held.key
    from new
    join gristmill_unique_key as held on held.key = new.unique_key
    where held.expires_at <= (select now from clock)
    order by held.key
    for update of held
),
released as (
    delete from gristmill_unique_key as held
    using expired
    where held.key = expired.key
    returning held.key
),
taken as (
    insert into gristmill_unique_key (key, job_id, until)
    select unique_key, id, unique_until
    from (
        select distinct on (unique_key) unique_key, id, unique_until
        from new
        where unique_key is not null
        order by unique_key, position
    ) as first
    where (select count(*) from released) is not null
    on conflict do nothing
    returning key, job_id
),
asked as (
    insert into gristmill_job (
        id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options,
        deadline, unique_key, unique_until
    )
    select
        new.id, new.backend, new.queue_name, new.task_name, new.priority, new.run_after at time zone 'utc', clock.now,
        new.args, new.kwargs, new.options, new.deadline at time zone 'utc',
        new.unique_key, case when new.unique_key is not null then new.unique_until end
    from new
    cross join clock
    left join taken on taken.key = new.unique_key
    where new.unique_key is null
        or taken.job_id = new.id
)
select
    to_char(clock.now at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    case
        when new.unique_key is null then new.id
        else coalesce(taken.job_id, held.job_id)
    end::text,
    coalesce(new.unique_key is not null and taken.job_id is distinct from new.id, false)
from clock
left join new on true
left join taken on taken.key = new.unique_key
left join gristmill_unique_key as held on held.key = new.unique_key
    and taken.key is null
order by new.position
