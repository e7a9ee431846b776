-- Ends open attempts: each job leaves gristmill_running for where it goes next, and its attempt is written down.
-- ?1 attempts:
--    [{id, token, outcome or null (it never started: no attempt is written), runner_pid, started_after_us, reason,
--      return_value, exception_class_path, traceback, next: result | ready | scheduled, state, state_reason, delay_us,
--      failures, crashes, losses, postpones, interruptions}]
-- ?2 now
-- Gives the accepted (id, token), packed into one row. Every statement finds its rows by the running row's own token, so a stale one
-- changes nothing anywhere.
-- The attempts are read out of their JSON once, into a temporary table that each connection makes when it opens:
-- reading them in each of the five statements is what a turn would spend most of its time on.
-- Index: gristmill_running's primary key, one probe an attempt. A cross join keeps the attempts outermost.
-- The runner measured how long after the claim the run started; the present bounds it, and the claim does, because
-- SQLite computes with milliseconds.
delete from temp.gristmill_ended;

insert into temp.gristmill_ended (
    id, token, outcome, runner_pid, started_after_us, reason, return_value, exception_class_path, traceback,
    next, state, state_reason, delay_us, failures, crashes, losses, postpones, interruptions, now
)
select
    json_extract(ended.value, '$.id'),
    json_extract(ended.value, '$.token'),
    json_extract(ended.value, '$.outcome'),
    json_extract(ended.value, '$.runner_pid'),
    json_extract(ended.value, '$.started_after_us'),
    json_extract(ended.value, '$.reason'),
    json_extract(ended.value, '$.return_value'),
    json_extract(ended.value, '$.exception_class_path'),
    json_extract(ended.value, '$.traceback'),
    json_extract(ended.value, '$.next'),
    json_extract(ended.value, '$.state'),
    json_extract(ended.value, '$.state_reason'),
    json_extract(ended.value, '$.delay_us'),
    json_extract(ended.value, '$.failures'),
    json_extract(ended.value, '$.crashes'),
    json_extract(ended.value, '$.losses'),
    json_extract(ended.value, '$.postpones'),
    json_extract(ended.value, '$.interruptions'),
    ?2
from json_each(?1) as ended;

insert into gristmill_attempt (
    job_id, token, generation, worker_id, runner_pid, claimed_at, started_at, ended_at,
    outcome, reason, return_value, exception_class_path, traceback
)
select
    running.id,
    running.token,
    running.generation,
    running.worker_id,
    ended.runner_pid,
    running.claimed_at,
    case
        when ended.started_after_us is not null
        then min(ended.now, max(running.claimed_at, strftime('%Y-%m-%d %H:%M:%f', running.claimed_at,
            printf('+%.6f seconds', ended.started_after_us / 1000000.0)) || '000'))
    end,
    ended.now,
    ended.outcome,
    ended.reason,
    ended.return_value,
    ended.exception_class_path,
    ended.traceback
from temp.gristmill_ended as ended
cross join gristmill_running as running
where running.id = ended.id
    and running.token = ended.token
    and ended.outcome is not null;

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, finished_at, state, reason
)
select
    running.id, running.backend, running.queue_name, running.task_name, running.priority, running.run_after,
    running.deadline, running.token, running.generation,
    ended.failures,
    ended.crashes,
    ended.losses,
    ended.postpones,
    ended.interruptions,
    coalesce(running.started_at, attempt.started_at),
    ended.now,
    ended.state,
    ended.state_reason
from temp.gristmill_ended as ended
cross join gristmill_running as running
left join gristmill_attempt as attempt on attempt.job_id = running.id and attempt.token = running.token
where running.id = ended.id
    and running.token = ended.token
    and ended.next = 'result';

insert into gristmill_ready (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at
)
select
    running.id, running.backend, running.queue_name, running.task_name, running.priority, running.run_after,
    running.deadline, running.token, running.generation,
    ended.failures,
    ended.crashes,
    ended.losses,
    ended.postpones,
    ended.interruptions,
    coalesce(running.started_at, attempt.started_at)
from temp.gristmill_ended as ended
cross join gristmill_running as running
left join gristmill_attempt as attempt on attempt.job_id = running.id and attempt.token = running.token
where running.id = ended.id
    and running.token = ended.token
    and ended.next = 'ready';

insert into gristmill_scheduled (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at
)
select
    running.id, running.backend, running.queue_name, running.task_name, running.priority,
    strftime('%Y-%m-%d %H:%M:%f', ended.now,
        printf('+%.6f seconds', ended.delay_us / 1000000.0)) || '000',
    running.deadline, running.token, running.generation,
    ended.failures,
    ended.crashes,
    ended.losses,
    ended.postpones,
    ended.interruptions,
    coalesce(running.started_at, attempt.started_at)
from temp.gristmill_ended as ended
cross join gristmill_running as running
left join gristmill_attempt as attempt on attempt.job_id = running.id and attempt.token = running.token
where running.id = ended.id
    and running.token = ended.token
    and ended.next = 'scheduled';

select json_group_array(json_array(running.id, running.token)) as packed
from temp.gristmill_ended as ended
cross join gristmill_running as running
where running.id = ended.id
    and running.token = ended.token;

delete from gristmill_running
where id in (
    select running.id
    from temp.gristmill_ended as ended
    cross join gristmill_running as running
    where running.id = ended.id
        and running.token = ended.token
);
