-- statements: 9, packed
-- Ends open attempts: each job leaves gristmill_running for where it goes next, and its attempt is written down.
-- ?1 attempts:
--    [{id, token, worker_id, outcome or null (it never started: no attempt is written), runner_pid, started_after_us, reason,
--      return_value, exception_class_path, traceback, output, next: result | ready | scheduled | waiting, state,
--      state_reason, fingerprint (of a failure), delay_us or due_at, retention in seconds or null, preconditions: [ids],
--      needed or null and on_precondition_failure (of what goes on waiting), counts where they change (empty: none)}]
-- ?2 now
-- Gives the accepted (id, token, whether dependents are to be notified, whether its job is cancelled), packed into one row. A
-- token that is not the running row's gets no row in gristmill_ended, and every statement after that reads there alone,
-- so a stale one changes nothing anywhere. Nor does one of another worker: where the database was set back to an earlier
-- state, tokens are given out again.
-- Someone's cancel request wins over every end but success. finish_rest.sql places the jobs that go on.
-- The attempts are read out of their JSON once: reading them in each statement is what a turn would spend its time on.
-- Index: primary keys and gristmill_unique_key_job, one probe an attempt. A cross join keeps the attempts outermost.
-- The runner measured how long after the claim the run started; the present bounds it, and the claim does, because
-- SQLite computes with milliseconds.
delete from temp.gristmill_ended;

insert into temp.gristmill_ended (
    {carried}, run_after, token, generation, counts, first_started_at, worker_id, claimed_at,
    outcome, runner_pid, started_at, reason, return_value, exception_class_path, traceback, output,
    next, state, state_reason, fingerprint, due_at, retention, preconditions, needed, on_precondition_failure, now
)
select
    {running.carried}, running.run_after, running.token, running.generation,
    nullif(coalesce(json_extract(ended.value, '$.counts'), running.counts), ''),
    running.started_at,
    running.worker_id,
    running.claimed_at,
    json_extract(ended.value, '$.outcome'),
    json_extract(ended.value, '$.runner_pid'),
    case
        when json_extract(ended.value, '$.started_after_us') is not null
        then min(?2, max(running.claimed_at, strftime('%Y-%m-%d %H:%M:%f', running.claimed_at,
            printf('+%.6f seconds', json_extract(ended.value, '$.started_after_us') / 1000000.0)) || '000'))
    end,
    json_extract(ended.value, '$.reason'),
    json_extract(ended.value, '$.return_value'),
    json_extract(ended.value, '$.exception_class_path'),
    json_extract(ended.value, '$.traceback'),
    json_extract(ended.value, '$.output'),
    iif(request.token is null, json_extract(ended.value, '$.next'), 'result'),
    iif(request.token is null, json_extract(ended.value, '$.state'), 'cancelled'),
    iif(request.token is null, json_extract(ended.value, '$.state_reason'), null),
    iif(request.token is null, json_extract(ended.value, '$.fingerprint'), null),
    coalesce(
        json_extract(ended.value, '$.due_at'),
        strftime('%Y-%m-%d %H:%M:%f', ?2, printf('+%.6f seconds', json_extract(ended.value, '$.delay_us') / 1000000.0)) || '000'
    ),
    json_extract(ended.value, '$.retention'),
    json_extract(ended.value, '$.preconditions'),
    json_extract(ended.value, '$.needed'),
    json_extract(ended.value, '$.on_precondition_failure'),
    ?2
from json_each(?1) as ended
cross join gristmill_running as running
left join gristmill_cancel_request as request on request.job_id = running.id
    and request.token <= running.token
    and json_extract(ended.value, '$.state') is not 'successful'
where running.id = json_extract(ended.value, '$.id')
    and running.token = json_extract(ended.value, '$.token')
    and running.worker_id = json_extract(ended.value, '$.worker_id');

delete from gristmill_running
where id in (select id from temp.gristmill_ended);

insert into gristmill_attempt (
    job_id, token, generation, worker_id, runner_pid, claimed_at, started_at, ended_at,
    outcome, reason, return_value, exception_class_path, traceback, output
)
select
    id, token, generation, worker_id, runner_pid, claimed_at, started_at, now,
    outcome, reason, return_value, exception_class_path, traceback, output
from temp.gristmill_ended
where outcome is not null;

{ends};

select json_group_array(json_array(
    id, token, next = 'result' and awaited, next = 'result' and state = 'cancelled'
)) as packed
from temp.gristmill_ended;
