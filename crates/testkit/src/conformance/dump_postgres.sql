select 'job' as name, row(t.*)::text as line from gristmill_job t
union all
select 'ready', row(t.*)::text from gristmill_ready t
union all
select 'scheduled', row(t.*)::text from gristmill_scheduled t
union all
select 'waiting', row(t.*)::text from gristmill_waiting t
union all
select 'running', row(t.*)::text from gristmill_running t
union all
select 'attempt', row(t.*)::text from gristmill_attempt t
union all
select 'result', row(t.*)::text from gristmill_result t
union all
select 'unique_key', row(t.*)::text from gristmill_unique_key t
union all
select 'notice', row(t.*)::text from gristmill_notice t
union all
select 'gate', row(t.*)::text from gristmill_gate t
union all
select 'edge', row(t.*)::text from gristmill_edge t
union all
select 'propagation', row(t.kind, t.job_id, t.other_id, t.seen, t.checks, t.due_at)::text from gristmill_propagation t
union all
select 'cancel_request', row(t.*)::text from gristmill_cancel_request t
union all
select 'progress', row(t.*)::text from gristmill_progress t
union all
select 'action', row(t.*)::text from gristmill_action t
union all
select 'queue', row(t.*)::text from gristmill_queue t
union all
select 'schedule', row(t.*)::text from gristmill_schedule t
union all
select 'tick', row(t.*)::text from gristmill_tick t
union all
select 'worker', row(t.*)::text from gristmill_worker t
union all
select 'pulse', row(t.*)::text from gristmill_pulse t
union all
select 'depth', row(t.*)::text from gristmill_depth t
order by 1, 2
