-- Asks for jobs; the trigger gristmill_job_place puts each in its place: ready, or scheduled when its date is still
-- to come, or waiting when it is held or has preconditions. A job whose unique key another job holds is not made.
-- $1 jobs: [{id, backend, queue_name, task_name, priority, run_after or null, args, kwargs, options or null,
--      deadline or null, unique_key or null, unique_until, after: [ids] or null, needed or null, on_failure, held}]
-- $2 now, or null for the server's clock
-- Gives, in the order of the jobs: the moment at which they were asked for, the id of the job that the request got, and
-- whether it is one that was there. The id is null where someone took the key while this looked: ask again. No job: one row.
-- Each row also has a precondition that is unknown, if there is one: then it all has to be undone.
-- Nobody but this transaction knows the jobs made here, so one that waits only for such needs not be settled.
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
            args text, kwargs text, options text, deadline timestamp, unique_key text, unique_until text,
            after json, needed integer, on_failure text, held boolean
        )
    ) with ordinality as new (
        id, backend, queue_name, task_name, priority, run_after, args, kwargs, options, deadline,
        unique_key, unique_until, after, needed, on_failure, held, position
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
made as materialized (
    select new.*
    from new
    left join taken on taken.key = new.unique_key
    where new.unique_key is null
        or taken.job_id = new.id
),
edge as materialized (
    select distinct
        made.id as dependent_id,
        precondition.value::uuid as precondition_id,
        precondition.value::uuid in (select id from made) as is_new
    from made
    cross join json_array_elements_text(made.after) as precondition
),
unknown as materialized (
    select min(edge.precondition_id::text) as id
    from edge
    left join gristmill_job as job on job.id = edge.precondition_id
    where not edge.is_new
        and job.id is null
),
gate as materialized (
    select dependent_id, count(*) as edges, bool_and(is_new) as settled
    from edge
    group by dependent_id
),
joined as (
    insert into gristmill_edge (precondition_id, dependent_id)
    select precondition_id, dependent_id
    from edge
),
gated as (
    insert into gristmill_gate (job_id, needed, on_failure, arming, armed_at, settled, open, successful, failed)
    select gate.dependent_id, made.needed, coalesce(made.on_failure, 'strand'), 1, clock.now, gate.settled, gate.edges, 0, 0
    from gate
    join made on made.id = gate.dependent_id
    cross join clock
),
errands as (
    insert into gristmill_errand (kind, job_id, due_at)
    select 'settle', gate.dependent_id, clock.now
    from gate
    cross join clock
    where not gate.settled
),
asked as (
    insert into gristmill_job (
        id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options,
        deadline, unique_key, unique_until, waits, held, awaited
    )
    select
        made.id, made.backend, made.queue_name, made.task_name, made.priority, made.run_after at time zone 'utc', clock.now,
        made.args, made.kwargs, made.options, made.deadline at time zone 'utc',
        made.unique_key, case when made.unique_key is not null then made.unique_until end,
        gate.dependent_id is not null,
        coalesce(made.held, false),
        made.id in (select precondition_id from edge)
    from made
    cross join clock
    left join gate on gate.dependent_id = made.id
)
select
    to_char(clock.now at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    case
        when new.unique_key is null then new.id
        else coalesce(taken.job_id, held.job_id)
    end::text,
    coalesce(new.unique_key is not null and taken.job_id is distinct from new.id, false),
    unknown.id
from clock
cross join unknown
left join new on true
left join taken on taken.key = new.unique_key
left join gristmill_unique_key as held on held.key = new.unique_key
    and taken.key is null
order by new.position
