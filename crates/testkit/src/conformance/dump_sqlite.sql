select 'job' as name, json_array(id, backend, queue_name, task_name, priority, run_after, enqueued_at, args, kwargs, options, deadline, unique_key, unique_until, unique_period, retention) as line from gristmill_job
union all
select 'ready', json_array(id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, counts, started_at, awaited) from gristmill_ready
union all
select 'scheduled', json_array(id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, counts, started_at, awaited) from gristmill_scheduled
union all
select 'waiting', json_array(id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, counts, started_at, awaited, stranded, held, held_reason) from gristmill_waiting
union all
select 'running', json_array(id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, counts, started_at, awaited, worker_id, claimed_at) from gristmill_running
union all
select 'attempt', json_array(job_id, token, generation, worker_id, runner_pid, claimed_at, started_at, ended_at, outcome, reason, return_value, exception_class_path, traceback, output) from gristmill_attempt
union all
select 'result', json_array(id, backend, queue_name, task_name, priority, run_after, deadline, token, generation, counts, started_at, awaited, finished_at, state, reason, prune_at, fingerprint) from gristmill_result
union all
select 'unique_key', json_array(key, job_id, until, expires_at) from gristmill_unique_key
union all
select 'notice', json_array(fingerprint, hour, job_id) from gristmill_notice
union all
select 'gate', json_array(job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed) from gristmill_gate
union all
select 'edge', json_array(precondition_id, dependent_id, state, epoch) from gristmill_edge
union all
select 'propagation', json_array(kind, job_id, other_id, seen, checks, due_at) from gristmill_propagation
union all
select 'cancel_request', json_array(job_id, token, asked_at) from gristmill_cancel_request
union all
select 'progress', json_array(job_id, token, done, total, message, metadata, updated_at) from gristmill_progress
union all
select 'action', json_array(id, job_id, verb, token, actor, acted_at, other_id) from gristmill_action
union all
select 'queue', json_array(backend, queue_name, paused_at, reason) from gristmill_queue
union all
select 'schedule', json_array(backend, name, origin, queue_name, task_name, definition, job, created_at, defined_at, removed_at, paused_at, paused_reason, high_water, next_at, problem) from gristmill_schedule
union all
select 'tick', json_array(backend, schedule, nominal, by_hand, found_at, job_id, skipped) from gristmill_tick
union all
select 'worker', json_array(id, label, pid, heartbeat_at, idle, suspect_at, lost_at, stopped_at, exit_status, last_error, asked, asked_by, asked_at) from gristmill_worker
union all
select 'pulse', json_array(level, at, backend, queue_name, task_name, outcome, version, attempts, wait_seconds, run_seconds, waits, runs) from gristmill_pulse
union all
select 'depth', json_array(level, at, backend, queue_name, ready, scheduled, oldest_seconds) from gristmill_depth
order by 1, 2
