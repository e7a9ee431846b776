-- Ends open attempts: each job leaves gristmill_running for where it goes next, and its attempt is written down.
-- $1 attempts in order of id, so that two finishers lock in one order:
--    [{id, token, outcome or null (it never started: no attempt is written), runner_pid, started_after_us, reason,
--      return_value, exception_class_path, traceback, output, next: result | ready | scheduled | waiting, state,
--      state_reason, delay_us or due_at, retention_us or null, preconditions: [ids], needed or null and on_failure (of
--      what goes on waiting), failures, crashes, losses, postpones, interruptions}]
-- $2 now, or null for the server's clock
-- Gives the accepted (id, token, whether its end is to be spread). A token that is not the running row's deletes nothing, so nothing follows.
-- Someone's wish to cancel wins over every end but success. The end of a job frees its unique key and settles the wish;
-- a job that goes back without having started takes its key again, if nobody else has. An expired key is nobody's: whoever
-- takes it over may hold its row until the end of a long transaction, so it is left alone.
-- A job that waits for more preconditions has its gate armed anew: only what the engine finds open, or ended after this
-- moment, will count. The edges of another arming than the gate's do not.
-- Index: primary keys and gristmill_unique_key_job, one probe an attempt.
-- One statement: every insert takes what the delete gave, so a job is neither lost nor doubled.
with clock as materialized (
    select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now
),
ended as materialized (
    select *
    from json_to_recordset($1::json) as ended (
        id uuid, token bigint, outcome text, runner_pid integer, started_after_us double precision, reason text,
        return_value text, exception_class_path text, traceback text, output text,
        next text, state text, state_reason text, delay_us double precision, due_at timestamp,
        retention_us double precision, preconditions json, needed integer, on_failure text,
        failures integer, crashes integer, losses integer, postpones integer, interruptions integer
    )
),
freed as (
    delete from gristmill_running as running
    using ended
    where running.id = ended.id
        and running.token = ended.token
    returning
        running.id, running.backend, running.queue_name, running.task_name, running.priority, running.run_after,
        running.deadline, running.token, running.generation, running.started_at as first_started_at, running.awaited,
        running.worker_id, running.claimed_at,
        ended.outcome, ended.runner_pid, ended.started_after_us, ended.reason,
        ended.return_value, ended.exception_class_path, ended.traceback, ended.output,
        ended.next, ended.state, ended.state_reason, ended.delay_us, ended.due_at, ended.retention_us,
        ended.preconditions, ended.needed, ended.on_failure,
        ended.failures, ended.crashes, ended.losses, ended.postpones, ended.interruptions
),
-- The runner's machine measured how long after the claim the run started; the server's clock bounds it.
timed as materialized (
    select
        freed.*,
        clock.now,
        case
            when freed.started_after_us is not null
            then least(freed.claimed_at + freed.started_after_us * interval '1 microsecond', clock.now)
        end as started_at,
        wish.token is not null as cancelled,
        wish.token is not null or freed.next = 'result' as ends
    from freed
    cross join clock
    left join gristmill_control as wish on wish.job_id = freed.id
        and wish.token <= freed.token
        and freed.state is distinct from 'successful'
),
attempted as (
    insert into gristmill_attempt (
        job_id, token, generation, worker_id, runner_pid, claimed_at, started_at, ended_at,
        outcome, reason, return_value, exception_class_path, traceback, output
    )
    select
        id, token, generation, worker_id, runner_pid, claimed_at,
        started_at, now,
        outcome, reason, return_value, exception_class_path, traceback, output
    from timed
    where outcome is not null
),
resulted as (
    insert into gristmill_result (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, reason, prune_at
    )
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions,
        coalesce(first_started_at, started_at),
        awaited,
        now,
        case when cancelled then 'cancelled' else state end,
        case when not cancelled then state_reason end,
        now + retention_us * interval '1 microsecond'
    from timed
    where ends
),
readied as (
    insert into gristmill_ready (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    )
    select
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions,
        coalesce(first_started_at, started_at), awaited
    from timed
    where next = 'ready'
        and not ends
),
scheduled as (
    insert into gristmill_scheduled (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    )
    select
        id, backend, queue_name, task_name, priority,
        coalesce(due_at at time zone 'utc', now + delay_us * interval '1 microsecond'),
        deadline, token, generation,
        failures, crashes, losses, postpones, interruptions,
        coalesce(first_started_at, started_at), awaited
    from timed
    where next = 'scheduled'
        and not ends
),
postponed as materialized (
    select *
    from timed
    where next = 'waiting'
        and not ends
),
kept as (
    insert into gristmill_waiting (
        id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
        failures, crashes, losses, postpones, interruptions, started_at, awaited
    )
    select
        id, backend, queue_name, task_name, priority,
        coalesce(due_at at time zone 'utc', now + delay_us * interval '1 microsecond'),
        deadline, token, generation,
        failures, crashes, losses, postpones, interruptions,
        coalesce(first_started_at, started_at), awaited
    from postponed
),
armed as (
    insert into gristmill_gate as gate (
        job_id, needed, on_failure, arming, armed_at, settled, open, successful, failed
    )
    select id, needed, on_failure, 2, now, false, 0, 0, 0
    from postponed
    on conflict (job_id) do update
    set arming = gate.arming + 1,
        armed_at = excluded.armed_at,
        settled = false,
        open = 0,
        successful = 0,
        failed = 0
),
joined as (
    insert into gristmill_edge (precondition_id, dependent_id, arming)
    select distinct precondition.value::uuid, postponed.id, 0
    from postponed
    cross join json_array_elements_text(postponed.preconditions) as precondition
    on conflict do nothing
),
errands as (
    insert into gristmill_errand (kind, job_id, checks, due_at)
    select 'spread', id, false, now
    from timed
    where ends
        and awaited
    union all
    select 'settle', id, true, now
    from postponed
    union all
    -- While it was claimed, nobody took it back where its gate does not hold any more.
    select 'judge', timed.id, false, timed.now
    from timed
    join gristmill_gate as gate on gate.job_id = timed.id
    where timed.first_started_at is null
        and timed.started_at is null
        and timed.next in ('ready', 'scheduled')
        and not timed.ends
),
unlocked as (
    delete from gristmill_unique_key as held
    using timed
    where timed.ends
        and held.job_id = timed.id
        and held.until <> 'pruned'
        and (held.expires_at is null or held.expires_at > timed.now)
),
settled as (
    delete from gristmill_control as wish
    using timed
    where timed.ends
        and wish.job_id = timed.id
),
relocked as materialized (
    select gristmill_take_back_key(job.id, job.unique_key)
    from timed
    join gristmill_job as job on job.id = timed.id
    where not timed.ends
        and (timed.outcome is null or timed.outcome = 'incompatible')
        and job.unique_until = 'started'
)
select id::text, token, ends and awaited
from timed
where (select count(*) from relocked) is not null
