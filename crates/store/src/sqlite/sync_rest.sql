-- Sees to what sync.sql has found beside jobs that may go: those that wait for their date, fail, are stranded or healed; and
-- those that had been let go, have not started, and whose gates do not hold any more: they wait again. Runs after it, in
-- its transaction.
-- ?1 now
-- Gives the jobs that wait again by band, as sync.sql does, packed into one row.
-- Index: primary keys, one probe a job.
insert into gristmill_scheduled (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    waiting.id, waiting.backend, waiting.queue_name, waiting.task_name, waiting.priority, waiting.run_after,
    waiting.deadline, waiting.token, waiting.generation,
    waiting.failures, waiting.crashes, waiting.losses, waiting.postpones, waiting.interruptions, waiting.started_at,
    waiting.awaited
from temp.gristmill_moved as moved
cross join gristmill_waiting as waiting
where waiting.id = moved.id
    and moved.what = 'scheduled';

insert into gristmill_result (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited, finished_at, state, reason, prune_at
)
select
    waiting.id, waiting.backend, waiting.queue_name, waiting.task_name, waiting.priority, waiting.run_after,
    waiting.deadline, waiting.token, waiting.generation,
    waiting.failures, waiting.crashes, waiting.losses, waiting.postpones, waiting.interruptions, waiting.started_at,
    waiting.awaited, ?1, 'failed', 'precondition failed',
    case
        when json_valid(job.options) and json_extract(job.options, '$.retention') is not null
        then strftime('%Y-%m-%d %H:%M:%f', ?1, printf('+%.6f seconds',
            max(60, min(3162240000, json_extract(job.options, '$.retention'))))) || '000'
    end
from temp.gristmill_moved as moved
cross join gristmill_waiting as waiting
cross join gristmill_job as job
where waiting.id = moved.id
    and moved.what = 'failed'
    and job.id = moved.id;

delete from gristmill_unique_key
where job_id in (select id from temp.gristmill_moved where what = 'failed')
    and until <> 'pruned'
    and (expires_at is null or expires_at > ?1);

delete from gristmill_control
where job_id in (select id from temp.gristmill_moved where what = 'failed');

update gristmill_waiting
set stranded = not stranded
where id in (select id from temp.gristmill_moved where what in ('stranded', 'healed'));

delete from gristmill_waiting
where id in (select id from temp.gristmill_moved where what in ('scheduled', 'failed'));

insert or ignore into temp.gristmill_moved (
    id, what, backend, queue_name, task_name, priority, deadline, awaited, stranded
)
select
    place.id, 'waiting', place.backend, place.queue_name, place.task_name, place.priority, place.deadline,
    place.awaited, 0
from temp.gristmill_verdict as verdict
cross join gristmill_ready as place
where place.id = verdict.id
    and verdict.needs_all
    and not verdict.holds
    and not verdict.waits
    and place.started_at is null;

insert or ignore into temp.gristmill_moved (
    id, what, backend, queue_name, task_name, priority, deadline, awaited, stranded
)
select
    place.id, 'waiting', place.backend, place.queue_name, place.task_name, place.priority, place.deadline,
    place.awaited, 0
from temp.gristmill_verdict as verdict
cross join gristmill_scheduled as place
where place.id = verdict.id
    and verdict.needs_all
    and not verdict.holds
    and not verdict.waits
    and place.started_at is null;

insert into gristmill_waiting (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation,
    place.failures, place.crashes, place.losses, place.postpones, place.interruptions, place.started_at, place.awaited
from temp.gristmill_moved as moved
cross join gristmill_ready as place
where place.id = moved.id
    and moved.what = 'waiting';

insert into gristmill_waiting (
    id, backend, queue_name, task_name, priority, run_after, deadline, token, generation,
    failures, crashes, losses, postpones, interruptions, started_at, awaited
)
select
    place.id, place.backend, place.queue_name, place.task_name, place.priority, place.run_after, place.deadline,
    place.token, place.generation,
    place.failures, place.crashes, place.losses, place.postpones, place.interruptions, place.started_at, place.awaited
from temp.gristmill_moved as moved
cross join gristmill_scheduled as place
where place.id = moved.id
    and moved.what = 'waiting';

delete from gristmill_ready
where id in (select id from temp.gristmill_moved where what = 'waiting');

delete from gristmill_scheduled
where id in (select id from temp.gristmill_moved where what = 'waiting');

-- Who was stranded until now counted as failed.
insert into gristmill_errand (kind, job_id, due_at)
select 'spread', id, ?1
from temp.gristmill_moved
where awaited
    and (what in ('stranded', 'healed', 'failed') or stranded);

-- While it did not wait, nobody who began to wait for it found a circle through it.
insert into gristmill_errand (kind, job_id, checks, due_at)
select 'judge', id, 1, ?1
from temp.gristmill_moved
where what = 'waiting';

select json_group_array(json_array(done.what, done.backend, done.queue_name, done.task_name, done.priority, done.deadline, done.jobs)) as packed
from (
    select what, backend, queue_name, task_name, priority, min(deadline) as deadline, count(*) as jobs
    from temp.gristmill_moved
    where what = 'waiting'
    group by what, backend, queue_name, task_name, priority
) as done;
