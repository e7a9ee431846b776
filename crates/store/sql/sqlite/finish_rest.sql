-- statements: 8
-- Sees to the ended attempts whose jobs go on: back to ready, to a date, or to wait for more. Runs after finish.sql, in its
-- transaction, where there may be such; most turns have none.
-- A job that waits for more preconditions has its gate armed anew: only what the engine finds open, or ended after this
-- moment, will count. The edges of another epoch than the gate's do not. A job that goes back without having started takes
-- its key again, if nobody else has; one that is unique until each start does so whenever it goes back.
-- Nothing is bound, and nothing is given. Index: primary keys, one probe a job.
insert into gristmill_ready ({place})
select {carried}, run_after, token, generation, counts, coalesce(first_started_at, started_at)
from temp.gristmill_ended
where next = 'ready';

insert into gristmill_scheduled ({place})
select {carried}, due_at, token, generation, counts, coalesce(first_started_at, started_at)
from temp.gristmill_ended
where next = 'scheduled';

insert into gristmill_waiting ({place})
select {carried}, due_at, token, generation, counts, coalesce(first_started_at, started_at)
from temp.gristmill_ended
where next = 'waiting';

insert into gristmill_gate (job_id, needed, on_precondition_failure, epoch, armed_at, resolved, open, successful, failed)
select id, needed, on_precondition_failure, 2, now, 0, 0, 0, 0
from temp.gristmill_ended
where next = 'waiting'
on conflict (job_id) do update
set epoch = gristmill_gate.epoch + 1,
    armed_at = excluded.armed_at,
    resolved = 0,
    open = 0,
    successful = 0,
    failed = 0;

insert into gristmill_edge (precondition_id, dependent_id, epoch)
select precondition.value, ended.id, 0
from temp.gristmill_ended as ended
cross join json_each(ended.preconditions) as precondition
where ended.next = 'waiting'
on conflict do nothing;

insert into gristmill_propagation (kind, job_id, checks, due_at)
select 'resolve', id, 1, now
from temp.gristmill_ended
where next = 'waiting';

-- While it was claimed, nobody took it back where its gate does not hold any more.
insert into gristmill_propagation (kind, job_id, due_at)
select 'evaluate', ended.id, ended.now
from temp.gristmill_ended as ended
cross join gristmill_gate as gate
where ended.first_started_at is null
    and ended.started_at is null
    and ended.next in ('ready', 'scheduled')
    and gate.job_id = ended.id;

insert into gristmill_unique_key (key, job_id, until, expires_at)
select
    job.unique_key,
    job.id,
    job.unique_until,
    strftime('%Y-%m-%d %H:%M:%f', job.enqueued_at, job.unique_period || ' seconds') || '000'
from temp.gristmill_ended as ended
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where ended.next <> 'result'
    and job.id = ended.id
    and iif(
        ended.outcome is null or ended.outcome = 'incompatible',
        job.unique_until in ('started', 'each_start'),
        job.unique_until = 'each_start'
    )
on conflict do nothing;
