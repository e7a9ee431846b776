-- Ends open attempts: each job leaves gristmill_running for where it goes next, and its attempt is written down.
-- ?1 attempts:
--    [{id, token, outcome or null (it never started: no attempt is written), runner_pid, started_after_us, reason,
--      return_value, exception_class_path, traceback, output, next: result | ready | scheduled | waiting, state,
--      state_reason, delay_us or due_at, retention_us or null, preconditions: [ids], needed or null and on_failure (of
--      what goes on waiting), failures, crashes, losses, postpones, interruptions}]
-- ?2 now
-- Gives the accepted (id, token, whether its end is to be spread), packed into one row. A token that is not the running row's gets no row in
-- gristmill_ended, and every statement after that reads there alone, so a stale one changes nothing anywhere.
-- Someone's wish to cancel wins over every end but success. The end of a job frees its unique key and settles the wish; an
-- expired key is nobody's. finish_rest.sql places the jobs that go on.
-- The attempts are read out of their JSON once: reading them in each statement is what a turn would spend its time on.
-- Index: primary keys and gristmill_unique_key_job, one probe an attempt. A cross join keeps the attempts outermost.
-- The runner measured how long after the claim the run started; the present bounds it, and the claim does, because
-- SQLite computes with milliseconds.
delete from temp.gristmill_ended;

insert into temp.gristmill_ended (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, first_started_at, awaited, worker_id, claimed_at,
    outcome, runner_pid, started_at, reason, return_value, exception_class_path, traceback, output,
    next, state, state_reason, due_at, prune_at, preconditions, needed, on_failure, now
)
select
    running.id, running.backend, running.queue_name, running.task_name, running.priority, running.run_after,
    running.deadline, running.token, running.generation,
    json_extract(ended.value, '$.failures'),
    json_extract(ended.value, '$.crashes'),
    json_extract(ended.value, '$.losses'),
    json_extract(ended.value, '$.postpones'),
    json_extract(ended.value, '$.interruptions'),
    running.started_at,
    running.awaited,
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
    iif(wish.token is null, json_extract(ended.value, '$.next'), 'result'),
    iif(wish.token is null, json_extract(ended.value, '$.state'), 'cancelled'),
    iif(wish.token is null, json_extract(ended.value, '$.state_reason'), null),
    coalesce(
        json_extract(ended.value, '$.due_at'),
        strftime('%Y-%m-%d %H:%M:%f', ?2, printf('+%.6f seconds', json_extract(ended.value, '$.delay_us') / 1000000.0)) || '000'
    ),
    case
        when json_extract(ended.value, '$.retention_us') is not null
        then strftime('%Y-%m-%d %H:%M:%f', ?2,
            printf('+%.6f seconds', json_extract(ended.value, '$.retention_us') / 1000000.0)) || '000'
    end,
    json_extract(ended.value, '$.preconditions'),
    json_extract(ended.value, '$.needed'),
    json_extract(ended.value, '$.on_failure'),
    ?2
from json_each(?1) as ended
cross join gristmill_running as running
left join gristmill_control as wish on wish.job_id = running.id
    and wish.token <= running.token
    and json_extract(ended.value, '$.state') is not 'successful'
where running.id = json_extract(ended.value, '$.id')
    and running.token = json_extract(ended.value, '$.token');

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

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, reason, prune_at
)
select
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, coalesce(first_started_at, started_at),
    awaited, now, state, state_reason, prune_at
from temp.gristmill_ended
where next = 'result';

insert into gristmill_errand (kind, job_id, checks, due_at)
select iif(next = 'result', 'spread', 'settle'), id, next = 'waiting', now
from temp.gristmill_ended
where (next = 'result' and awaited)
    or next = 'waiting';

delete from gristmill_unique_key
where job_id in (select id from temp.gristmill_ended where next = 'result')
    and until <> 'pruned'
    and (expires_at is null or expires_at > (select now from temp.gristmill_ended limit 1));

delete from gristmill_control
where job_id in (select id from temp.gristmill_ended where next = 'result');

select json_group_array(json_array(id, token, next = 'result' and awaited)) as packed
from temp.gristmill_ended;
