-- Brings edges in line with their preconditions, counts them in their gates, and has the gates that changed evaluated: what
-- may go goes, what cannot any more is stranded or fails, what can again is healed, and what had been let go and has not
-- started waits again where it needs all. Runs after notify.sql or resolve.sql in their transaction, which has locked the
-- gates.
-- $1 edges: [{precondition_id, dependent_id}]
-- $2 gates to evaluate even if no edge changes: [{job_id, resolved: all their edges have been held}]
-- $3 whether the edges are being resolved: an edge of another epoch than its gate's is taken over if it still counts
-- $4 now, or null for the server's clock
-- Gives what was done by cursor: (what, backend, queue_name, task_name, priority, earliest deadline, jobs).
-- Index: primary keys, one probe an edge, gate and place.
-- A statement of its own after the locks: what it sees is at least as new as what whoever held them before has written. An
-- edge changes in the statement that changes its gate's counts.
with clock as materialized (
    select coalesce($4::timestamp at time zone 'utc', clock_timestamp()) as now
),
pair as materialized (
    select distinct precondition_id, dependent_id
    from json_to_recordset($1::json) as pair (precondition_id uuid, dependent_id uuid)
),
evaluated as materialized (
    select job_id as id, bool_or(resolved) as resolved
    from json_to_recordset($2::json) as evaluated (job_id uuid, resolved boolean)
    group by job_id
),
truth as materialized (
    select
        wanted.id,
        job.id is null as is_forgotten,
        case
            when result.state = 'successful' then 'successful'
            when result.id is not null or waiting.stranded or job.id is null then 'failed'
            else 'open'
        end as state,
        result.finished_at
    from (select distinct precondition_id as id from pair) as wanted
    left join lateral (
        select id
        from gristmill_job
        where id = wanted.id
        offset 0
    ) as job on true
    left join lateral (
        select id, state, finished_at
        from gristmill_result
        where id = wanted.id
        offset 0
    ) as result on true
    left join lateral (
        select stranded
        from gristmill_waiting
        where id = wanted.id
        offset 0
    ) as waiting on true
),
held as materialized (
    select
        pair.dependent_id,
        edge.ctid as version,
        edge.state as old_state,
        edge.epoch as old_epoch,
        gate.epoch as current,
        case
            when truth.is_forgotten and edge.state <> 'open' then edge.state
            else truth.state
        end as state,
        case
            when not $3::boolean or gate.resolved or edge.epoch = gate.epoch then edge.epoch
            when truth.finished_at > gate.armed_at then gate.epoch
            when truth.finished_at is null and not truth.is_forgotten then gate.epoch
            else 0
        end as epoch
    from pair
    full join truth on truth.id = pair.precondition_id
    cross join lateral (
        select ctid, state, epoch
        from gristmill_edge
        where precondition_id = pair.precondition_id
            and dependent_id = pair.dependent_id
        offset 0
    ) as edge
    cross join lateral (
        select epoch, resolved, armed_at
        from gristmill_gate
        where job_id = pair.dependent_id
        offset 0
    ) as gate
),
changing as materialized (
    select *
    from held
    where state <> old_state
        or epoch <> old_epoch
),
-- Their gates are locked, so that nobody else changes these edges: a version is as good as a key.
changed as (
    update gristmill_edge as edge
    set state = (array(select state from changing))[array_position(array(select version from changing), edge.ctid)],
        epoch = coalesce(
            (array(select epoch from changing where epoch <> old_epoch))[
                array_position(array(select version from changing where epoch <> old_epoch), edge.ctid)
            ],
            edge.epoch
        )
    where edge.ctid = any (array(select version from changing))
),
shift as materialized (
    select
        dependent_id as id,
        count(*) filter (where epoch = current and state = 'open')
            - count(*) filter (where old_epoch = current and old_state = 'open') as open,
        count(*) filter (where epoch = current and state = 'successful')
            - count(*) filter (where old_epoch = current and old_state = 'successful') as successful,
        count(*) filter (where epoch = current and state = 'failed')
            - count(*) filter (where old_epoch = current and old_state = 'failed') as failed
    from changing
    group by dependent_id
),
-- Inserted, as a conflict is found by the key alone; there is one for each, and it is locked.
counted as (
    insert into gristmill_gate as gate (
        job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed
    )
    select
        known.job_id, known.needed, known.on_precondition_failure, known.epoch, known.armed_at,
        known.resolved or coalesce(evaluated.resolved, false),
        known.open + coalesce(shift.open, 0),
        known.successful + coalesce(shift.successful, 0),
        known.failed + coalesce(shift.failed, 0)
    from shift
    full join evaluated on evaluated.id = shift.id
    cross join lateral (
        select *
        from gristmill_gate
        where job_id = coalesce(shift.id, evaluated.id)
        offset 0
    ) as known
    on conflict (job_id) do update
    set resolved = excluded.resolved,
        open = excluded.open,
        successful = excluded.successful,
        failed = excluded.failed
    returning gate.*
),
verdict as materialized (
    select
        job_id as id,
        needed is null as needs_all,
        on_precondition_failure,
        successful + case when on_precondition_failure = 'proceed' then failed else 0 end
            >= least(coalesce(needed, open + successful + failed), open + successful + failed) as holds,
        on_precondition_failure <> 'proceed'
            and successful + open < least(coalesce(needed, open + successful + failed), open + successful + failed) as is_hopeless
    from counted
    where resolved
),
place as materialized (
    select
        waiting.id, waiting.held, waiting.stranded, waiting.awaited,
        verdict.holds, verdict.is_hopeless, verdict.on_precondition_failure
    from verdict
    cross join lateral (
        select id, held, stranded, awaited
        from gristmill_waiting
        where id = verdict.id
        for update skip locked
    ) as waiting
),
let_go as (
    delete from gristmill_waiting as waiting
    where waiting.id = any (array(select id from place where holds and not held))
    returning waiting.*
),
readied as (
    insert into gristmill_ready ({place})
    select {place}
    from let_go
    where run_after is null
        or run_after <= (select now from clock)
),
scheduled as (
    insert into gristmill_scheduled ({place})
    select {place}
    from let_go
    where run_after > (select now from clock)
),
flagged as (
    update gristmill_waiting as waiting
    set stranded = not waiting.stranded
    where waiting.id = any (array(
        select id
        from place
        where on_precondition_failure <> 'fail'
            and stranded <> is_hopeless
            and (held or not holds)
    ))
    returning waiting.*
),
given_up as (
    delete from gristmill_waiting as waiting
    where waiting.id = any (array(select id from place where is_hopeless and on_precondition_failure = 'fail'))
    returning waiting.*
),
ending as materialized (
    select {given_up.place}, 'failed' as state, 'precondition failed' as reason, null::text as fingerprint, job.retention
    from given_up
    cross join lateral (
        select retention
        from gristmill_job
        where id = given_up.id
        offset 0
    ) as job
),
{ends},
free_ready as materialized (
    select ready.id
    from verdict
    cross join lateral (
        select id
        from gristmill_ready
        where id = verdict.id
            and started_at is null
        for update skip locked
    ) as ready
    where verdict.needs_all
        and not verdict.holds
),
left_ready as (
    delete from gristmill_ready as ready
    where ready.id = any (array(select id from free_ready))
    returning ready.*
),
free_scheduled as materialized (
    select scheduled.id
    from verdict
    cross join lateral (
        select id
        from gristmill_scheduled
        where id = verdict.id
            and started_at is null
        for update skip locked
    ) as scheduled
    where verdict.needs_all
        and not verdict.holds
),
left_scheduled as (
    delete from gristmill_scheduled as scheduled
    where scheduled.id = any (array(select id from free_scheduled))
    returning scheduled.*
),
-- Someone is moving it just now, or keeps it from starting until they commit: whoever comes next evaluates what is there
-- then.
missed as (
    insert into gristmill_propagation (kind, job_id, due_at)
    select 'evaluate', locked.id, clock.now + interval '50 milliseconds'
    from (
        select verdict.id
        from verdict
        where verdict.id not in (select id from place)
            and exists (select from gristmill_waiting where id = verdict.id offset 0)
        union all
        select verdict.id
        from verdict
        where verdict.needs_all
            and not verdict.holds
            and verdict.id not in (select id from free_ready)
            and exists (select from gristmill_ready where id = verdict.id and started_at is null offset 0)
        union all
        select verdict.id
        from verdict
        where verdict.needs_all
            and not verdict.holds
            and verdict.id not in (select id from free_scheduled)
            and exists (select from gristmill_scheduled where id = verdict.id and started_at is null offset 0)
    ) as locked
    cross join clock
),
taken_back as materialized (
    select {place}
    from left_ready
    union all
    select {place}
    from left_scheduled
),
kept as (
    insert into gristmill_waiting ({place})
    select *
    from taken_back
),
propagations as (
    insert into gristmill_propagation (kind, job_id, checks, due_at)
    select told.kind, told.id, told.kind = 'evaluate', clock.now
    from (
        select 'notify' as kind, id
        from flagged
        where awaited
        union all
        -- It was stranded until now, and counted as failed.
        select 'notify', id
        from let_go
        where awaited
            and stranded
        union all
        -- While it did not wait, nobody who began to wait for it found a circle through it.
        select 'evaluate', taken_back.id
        from taken_back
    ) as told
    cross join clock
)
select
    done.what,
    done.backend,
    done.queue_name,
    done.task_name,
    done.priority::bigint,
    to_char(min(done.deadline) at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS.US'),
    count(*)
from (
    select
        case when run_after > (select now from clock) then 'scheduled' else 'ready' end as what,
        backend, queue_name, task_name, priority, deadline
    from let_go
    union all
    select case when stranded then 'stranded' else 'healed' end, backend, queue_name, task_name, priority, deadline
    from flagged
    union all
    select 'failed', backend, queue_name, task_name, priority, deadline
    from given_up
    union all
    select 'waiting', backend, queue_name, task_name, priority, deadline
    from taken_back
) as done
group by done.what, done.backend, done.queue_name, done.task_name, done.priority
