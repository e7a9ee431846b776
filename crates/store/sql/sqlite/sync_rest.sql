-- statements: 18, packed
-- Sees to what sync.sql has found beside jobs that may go: those that wait for their date, fail, are stranded or healed; and
-- those that had been let go, have not started, and whose gates do not hold any more: they wait again. Runs after it, in
-- its transaction.
-- ?1 now
-- Gives the jobs that wait again by cursor, as sync.sql does, packed into one row.
-- Index: primary keys, one probe a job.
insert into gristmill_scheduled ({place})
select {waiting.place}
from temp.gristmill_moved as moved
cross join gristmill_waiting as waiting
where waiting.id = moved.id
    and moved.what = 'scheduled';

delete from temp.gristmill_ended;

insert into temp.gristmill_ended (
    {carried}, run_after, token, generation, counts, first_started_at, next, state, state_reason, retention, now
)
select {waiting.place}, 'result', 'failed', 'precondition failed', job.retention, ?1
from temp.gristmill_moved as moved
cross join gristmill_waiting as waiting
cross join gristmill_job as job indexed by sqlite_autoindex_gristmill_job_1
where waiting.id = moved.id
    and moved.what = 'failed'
    and job.id = moved.id;

{ends};

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
    and not verdict.waits
    and iif(verdict.holds, 0, place.started_at is null);

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
    and not verdict.waits
    and iif(verdict.holds, 0, place.started_at is null);

insert into gristmill_waiting ({place})
select {place.place}
from temp.gristmill_moved as moved
cross join gristmill_ready as place
where place.id = moved.id
    and moved.what = 'waiting';

insert into gristmill_waiting ({place})
select {place.place}
from temp.gristmill_moved as moved
cross join gristmill_scheduled as place
where place.id = moved.id
    and moved.what = 'waiting';

delete from gristmill_ready
where id in (select id from temp.gristmill_moved where what = 'waiting');

delete from gristmill_scheduled
where id in (select id from temp.gristmill_moved where what = 'waiting');

-- Who was stranded until now counted as failed.
insert into gristmill_propagation (kind, job_id, due_at)
select 'notify', id, ?1
from temp.gristmill_moved
where awaited
    and what <> 'failed'
    and (what in ('stranded', 'healed') or stranded);

-- While it did not wait, nobody who began to wait for it found a circle through it.
insert into gristmill_propagation (kind, job_id, checks, due_at)
select 'evaluate', id, 1, ?1
from temp.gristmill_moved
where what = 'waiting';

select json_group_array(json_array(done.what, done.backend, done.queue_name, done.task_name, done.priority, done.deadline, done.jobs)) as packed
from (
    select what, backend, queue_name, task_name, priority, min(deadline) as deadline, count(*) as jobs
    from temp.gristmill_moved
    where what = 'waiting'
    group by what, backend, queue_name, task_name, priority
) as done;
