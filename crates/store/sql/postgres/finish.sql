-- Ends open attempts: each job leaves gristmill_running for where it goes next, and its attempt is written down.
-- $1 attempts in order of id, so that two finishers lock in one order:
--    [{id, token, worker_id, outcome or null (it never started: no attempt is written), runner_pid, started_after_us, reason,
--      return_value, exception_class_path, traceback, output, next: result | ready | scheduled | waiting, state,
--      state_reason, fingerprint (of a failure), delay_us or due_at, retention in seconds or null, preconditions: [ids],
--      needed or null and on_precondition_failure (of what goes on waiting), counts where they change (empty: none)}]
-- $2 now, or null for the server's clock
-- Gives the accepted (id, token, whether dependents are to be notified, whether its job is cancelled). A token that is not
-- the running row's deletes nothing, so nothing follows. Nor does a worker that is not: where the database was set back to an
-- earlier state, tokens are given out again.
-- Someone's cancel request wins over every end but success. A job that goes back without having started takes its key again,
-- if nobody else has.
-- A job that waits for more preconditions has its gate armed anew: only what the engine finds open, or ended after this
-- moment, will count. The edges of another epoch than the gate's do not.
-- Index: primary keys and gristmill_unique_key_job, one probe an attempt.
-- One statement: the delete and every insert take what was locked, so a job is neither lost nor doubled.
with clock as materialized (
    select coalesce($2::timestamp at time zone 'utc', clock_timestamp()) as now
),
ended as materialized (
    select *
    from json_to_recordset($1::json) as ended (
        id uuid, token bigint, worker_id uuid, outcome text, runner_pid integer, started_after_us double precision, reason text,
        return_value text, exception_class_path text, traceback text, output text,
        next text, state text, state_reason text, fingerprint text, delay_us double precision, due_at timestamp,
        retention double precision, preconditions json, needed integer, on_precondition_failure text,
        counts text
    )
),
-- Locked in the order of the attempts, and as they are then, be it that someone has marked one as awaited meanwhile.
accepted as materialized (
    select
        {running.carried}, running.run_after, running.token, running.generation, running.started_at as first_started_at,
        running.worker_id, running.claimed_at,
        ended.outcome, ended.runner_pid, ended.started_after_us, ended.reason,
        ended.return_value, ended.exception_class_path, ended.traceback, ended.output,
        ended.next, ended.state, ended.state_reason, ended.fingerprint, ended.delay_us, ended.due_at, ended.retention,
        ended.preconditions, ended.needed, ended.on_precondition_failure,
        nullif(coalesce(ended.counts, running.counts), '') as counts
    from ended
    cross join lateral (
        select *
        from gristmill_running
        where id = ended.id
            and token = ended.token
            -- Not by "=": the index of workers would do for that, and have every job of this one looked at for each.
            and worker_id is not distinct from ended.worker_id
        for update
    ) as running
),
freed as (
    delete from gristmill_running as running
    where running.id = any (array(select id from accepted))
),
-- The runner's machine measured how long after the claim the run started; the server's clock bounds it.
timed as materialized (
    select
        accepted.*,
        clock.now,
        case
            when accepted.started_after_us is not null
            then least(accepted.claimed_at + accepted.started_after_us * interval '1 microsecond', clock.now)
        end as started_at,
        request.token is not null as cancelled,
        request.token is not null or accepted.next = 'result' as ends
    from accepted
    cross join clock
    left join lateral (
        select token
        from gristmill_cancel_request
        where job_id = accepted.id
            and token <= accepted.token
            and accepted.state is distinct from 'successful'
        offset 0
    ) as request on true
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
ending as materialized (
    select
        {carried}, run_after, token, generation, counts, coalesce(first_started_at, started_at) as started_at,
        case when cancelled then 'cancelled' else state end as state,
        case when not cancelled then state_reason end as reason,
        case when not cancelled then fingerprint end as fingerprint,
        retention
    from timed
    where ends
),
{ends},
readied as (
    insert into gristmill_ready ({place})
    select {carried}, run_after, token, generation, counts, coalesce(first_started_at, started_at)
    from timed
    where next = 'ready'
        and not ends
),
scheduled as (
    insert into gristmill_scheduled ({place})
    select
        {carried}, coalesce(due_at at time zone 'utc', now + delay_us * interval '1 microsecond'), token, generation,
        counts, coalesce(first_started_at, started_at)
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
    insert into gristmill_waiting ({place})
    select
        {carried}, coalesce(due_at at time zone 'utc', now + delay_us * interval '1 microsecond'), token, generation,
        counts, coalesce(first_started_at, started_at)
    from postponed
),
armed as (
    insert into gristmill_gate as gate (
        job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed
    )
    select id, needed, on_precondition_failure, 2, now, false, 0, 0, 0
    from postponed
    on conflict (job_id) do update
    set epoch = gate.epoch + 1,
        armed_at = excluded.armed_at,
        resolved = false,
        open = 0,
        successful = 0,
        failed = 0
),
joined as (
    insert into gristmill_edge (precondition_id, dependent_id, epoch)
    select distinct precondition.value::uuid, postponed.id, 0
    from postponed
    cross join json_array_elements_text(postponed.preconditions) as precondition
    on conflict do nothing
),
propagations as (
    insert into gristmill_propagation (kind, job_id, checks, due_at)
    select 'resolve', id, true, now
    from postponed
    union all
    -- While it was claimed, nobody took it back where its gate does not hold any more.
    select 'evaluate', timed.id, false, timed.now
    from timed
    cross join lateral (
        select
        from gristmill_gate
        where job_id = timed.id
        offset 0
    ) as gate
    where timed.first_started_at is null
        and timed.started_at is null
        and timed.next in ('ready', 'scheduled')
        and not timed.ends
),
relocked as materialized (
    select gristmill_take_back_key(
        job.id, job.unique_key, job.unique_until, job.enqueued_at + job.unique_period * interval '1 second'
    )
    from timed
    cross join lateral (
        select id, unique_key, unique_until, unique_period, enqueued_at
        from gristmill_job
        where id = timed.id
        offset 0
    ) as job
    where not timed.ends
        and (
            job.unique_until = 'each_start'
            or (job.unique_until = 'started' and (timed.outcome is null or timed.outcome = 'incompatible'))
        )
)
select id::text, token, ends and awaited, cancelled or (ends and state = 'cancelled')
from timed
where (select count(*) from relocked) is not null
