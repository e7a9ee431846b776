-- Sees to the ended attempts whose jobs go on: back to ready, to a date, or to wait for more. Runs after finish.sql, in its
-- transaction, where there may be such; most turns have none.
-- A job that waits for more preconditions has its gate armed anew: only what the engine finds open, or ended after this
-- moment, will count. The edges of another arming than the gate's do not. A job that goes back without having started takes
-- its key again, if nobody else has.
-- Nothing is bound, and nothing is given. Index: primary keys, one probe a job.
insert into gristmill_ready (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, coalesce(first_started_at, started_at),
    awaited
from temp.gristmill_ended
where next = 'ready';

insert into gristmill_scheduled (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    id, backend, queue_name, task_name, priority, due_at, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, coalesce(first_started_at, started_at),
    awaited
from temp.gristmill_ended
where next = 'scheduled';

insert into gristmill_waiting (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    id, backend, queue_name, task_name, priority, due_at, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, coalesce(first_started_at, started_at),
    awaited
from temp.gristmill_ended
where next = 'waiting';

insert into gristmill_gate (job_id, needed, on_failure, arming, armed_at, settled, open, successful, failed)
select id, needed, on_failure, 2, now, 0, 0, 0, 0
from temp.gristmill_ended
where next = 'waiting'
on conflict (job_id) do update
set arming = gristmill_gate.arming + 1,
    armed_at = excluded.armed_at,
    settled = 0,
    open = 0,
    successful = 0,
    failed = 0;

insert into gristmill_edge (precondition_id, dependent_id, arming)
select precondition.value, ended.id, 0
from temp.gristmill_ended as ended
cross join json_each(ended.preconditions) as precondition
where ended.next = 'waiting'
on conflict do nothing;

-- While it was claimed, nobody took it back where its gate does not hold any more.
insert into gristmill_errand (kind, job_id, due_at)
select 'judge', ended.id, ended.now
from temp.gristmill_ended as ended
cross join gristmill_gate as gate
where ended.first_started_at is null
    and ended.started_at is null
    and ended.next in ('ready', 'scheduled')
    and gate.job_id = ended.id;

insert into gristmill_unique_key (key, job_id, until)
select job.unique_key, job.id, job.unique_until
from temp.gristmill_ended as ended
cross join gristmill_job as job
where ended.next <> 'result'
    and (ended.outcome is null or ended.outcome = 'incompatible')
    and job.id = ended.id
    and job.unique_until = 'started'
on conflict do nothing;
