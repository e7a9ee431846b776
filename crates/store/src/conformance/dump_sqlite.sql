select 'job' as name, json_array(id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options) as line from gristmill_job
union all
select 'ready', json_array(id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, started_at) from gristmill_ready
union all
select 'scheduled', json_array(id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, started_at) from gristmill_scheduled
union all
select 'running', json_array(id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, started_at, worker_id, claimed_at) from gristmill_running
union all
select 'attempt', json_array(job_id, token, generation, worker_id, runner_pid, claimed_at, started_at, ended_at, outcome, reason, return_value, exception_class_path, traceback) from gristmill_attempt
union all
select 'result', json_array(id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, failures, crashes, losses, postpones, interruptions, started_at, finished_at, state, reason) from gristmill_result
union all
select 'worker', json_array(id, label, pid, heartbeat_at, idle, suspect_at, lost_at, stopped_at, exit_status, last_error) from gristmill_worker
order by 1, 2
