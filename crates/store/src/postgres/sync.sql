-- Brings edges in line with their preconditions, counts them in their gates, and has the gates that changed judged: what may go
-- goes, what cannot any more is stranded or fails, what can again is healed, and what had been let go and has not started
-- waits again where it needs all. Runs after spread.sql or settle.sql in their transaction, which has locked the gates.
-- $1 edges: [{precondition_id, dependent_id}]
-- $2 gates to judge even if no edge changes: [{job_id, settled: all their edges have been held}]
-- $3 whether the edges are being settled: an edge of another arming than its gate's is taken over if it still counts
-- $4 now, or null for the server's clock
-- Gives what was done by band: (what, backend, queue_name, task_name, priority, earliest deadline, jobs).
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
judged as materialized (
    select job_id as id, bool_or(settled) as settled
    from json_to_recordset($2::json) as judged (job_id uuid, settled boolean)
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
    left join gristmill_job as job on job.id = wanted.id
    left join gristmill_result as result on result.id = wanted.id
    left join gristmill_waiting as waiting on waiting.id = wanted.id
),
held as materialized (
    select
        edge.precondition_id,
        edge.dependent_id,
        edge.state as old_state,
        edge.arming as old_arming,
        gate.arming as current,
        case
            when truth.is_forgotten and edge.state <> 'open' then edge.state
            else truth.state
        end as state,
        case
            when not $3::boolean or gate.settled or edge.arming = gate.arming then edge.arming
            when truth.finished_at > gate.armed_at then gate.arming
            when truth.finished_at is null and not truth.is_forgotten then gate.arming
            else 0
        end as arming
    from pair
    join truth on truth.id = pair.precondition_id
    join gristmill_edge as edge on edge.precondition_id = pair.precondition_id
        and edge.dependent_id = pair.dependent_id
    join gristmill_gate as gate on gate.job_id = pair.dependent_id
),
changed as (
    update gristmill_edge as edge
    set state = held.state,
        arming = held.arming
    from held
    where edge.precondition_id = held.precondition_id
        and edge.dependent_id = held.dependent_id
        and (held.state <> held.old_state or held.arming <> held.old_arming)
    returning held.*
),
shift as materialized (
    select
        dependent_id as id,
        count(*) filter (where arming = current and state = 'open')
            - count(*) filter (where old_arming = current and old_state = 'open') as open,
        count(*) filter (where arming = current and state = 'successful')
            - count(*) filter (where old_arming = current and old_state = 'successful') as successful,
        count(*) filter (where arming = current and state = 'failed')
            - count(*) filter (where old_arming = current and old_state = 'failed') as failed
    from changed
    group by dependent_id
),
counted as (
    update gristmill_gate as gate
    set open = gate.open + coalesce(shift.open, 0),
        successful = gate.successful + coalesce(shift.successful, 0),
        failed = gate.failed + coalesce(shift.failed, 0),
        settled = gate.settled or coalesce(judged.settled, false)
    from (select id from shift union select id from judged) as touched
    left join shift on shift.id = touched.id
    left join judged on judged.id = touched.id
    where gate.job_id = touched.id
    returning gate.*
),
verdict as materialized (
    select
        job_id as id,
        needed is null as needs_all,
        on_failure,
        successful + case when on_failure = 'proceed' then failed else 0 end
            >= least(coalesce(needed, open + successful + failed), open + successful + failed) as holds,
        on_failure <> 'proceed'
            and successful + open < least(coalesce(needed, open + successful + failed), open + successful + failed) as is_hopeless
    from counted
    where settled
),
place as materialized (
    select
        waiting.id, waiting.held, waiting.stranded, waiting.awaited,
        verdict.holds, verdict.is_hopeless, verdict.on_failure
    from verdict
    join gristmill_waiting as waiting on waiting.id = verdict.id
    order by waiting.id
    for update of waiting skip locked
),
-- Someone is moving it just now: whoever comes next judges what is there then.
missed as (
    insert into gristmill_errand (kind, job_id, due_at)
    select 'judge', verdict.id, clock.now + interval '50 milliseconds'
    from verdict
    join gristmill_waiting as waiting on waiting.id = verdict.id
    cross join clock
    where verdict.id not in (select id from place)
),
let_go as (
    delete from gristmill_waiting as waiting
    using place
    where waiting.id = place.id
        and place.holds
        and not place.held
    returning waiting.*
),
readied as (
    insert into gristmill_ready (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    )
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from let_go
    where run_after is null
        or run_after <= (select now from clock)
),
scheduled as (
    insert into gristmill_scheduled (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    )
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from let_go
    where run_after > (select now from clock)
),
flagged as (
    update gristmill_waiting as waiting
    set stranded = place.is_hopeless
    from place
    where waiting.id = place.id
        and place.on_failure <> 'fail'
        and place.stranded <> place.is_hopeless
        and (place.held or not place.holds)
    returning waiting.*
),
given_up as (
    delete from gristmill_waiting as waiting
    using place
    where waiting.id = place.id
        and place.is_hopeless
        and place.on_failure = 'fail'
    returning waiting.*
),
resulted as (
    insert into gristmill_result (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, reason, prune_at
    )
    select
        given_up.id, given_up.backend, given_up.queue_name, given_up.task_name, given_up.priority, given_up.run_after,
        given_up.deadline, given_up.token, given_up.generation,
        given_up.failures, given_up.crashes, given_up.losses, given_up.postpones, given_up.interruptions,
        given_up.started_at, given_up.awaited, clock.now, 'failed', 'precondition failed',
        case
            when job.options like '%"retention"%'
            then clock.now + interval '1 second' * greatest(60, least(3162240000, substring(
                job.options from '"retention":\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)'
            )::double precision))
        end
    from given_up
    cross join clock
    join gristmill_job as job on job.id = given_up.id
),
unlocked as (
    delete from gristmill_unique_key as held
    using given_up, clock
    where held.job_id = given_up.id
        and held.until <> 'pruned'
        and (held.expires_at is null or held.expires_at > clock.now)
),
dropped as (
    delete from gristmill_control as wish
    using given_up
    where wish.job_id = given_up.id
),
free_ready as materialized (
    select ready.id
    from verdict
    join gristmill_ready as ready on ready.id = verdict.id
    where verdict.needs_all
        and not verdict.holds
        and ready.started_at is null
    order by ready.id
    for update of ready skip locked
),
left_ready as (
    delete from gristmill_ready as ready
    using free_ready as free
    where ready.id = free.id
    returning ready.*
),
free_scheduled as materialized (
    select scheduled.id
    from verdict
    join gristmill_scheduled as scheduled on scheduled.id = verdict.id
    where verdict.needs_all
        and not verdict.holds
        and scheduled.started_at is null
    order by scheduled.id
    for update of scheduled skip locked
),
left_scheduled as (
    delete from gristmill_scheduled as scheduled
    using free_scheduled as free
    where scheduled.id = free.id
    returning scheduled.*
),
taken_back as materialized (
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from left_ready
    union all
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    from left_scheduled
),
kept as (
    insert into gristmill_waiting (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    )
    select *
    from taken_back
),
errands as (
    insert into gristmill_errand (kind, job_id, checks, due_at)
    select told.kind, told.id, told.kind = 'judge', clock.now
    from (
        select 'spread' as kind, id
        from flagged
        where awaited
        union all
        select 'spread', id
        from given_up
        where awaited
        union all
        -- It was stranded until now, and counted as failed.
        select 'spread', id
        from let_go
        where awaited
            and stranded
        union all
        -- While it did not wait, nobody who began to wait for it found a circle through it.
        select 'judge', taken_back.id
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
